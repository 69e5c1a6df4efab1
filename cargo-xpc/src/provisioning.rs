//! What a provisioning profile says, by the property list in it: for all who have to do with one, whoever looked at its signature.
//!
//! Apple's own profiles are of three kinds, told apart by the machines that they name: of development for listed Macs, of Developer ID
//! for every Mac, and the App Store's, which name none since the App Store signs anew what it hands out.

use std::fmt;
use std::time::SystemTime;

use plist::{Dictionary, Value};
use serde::{Serialize, Serializer};

/// Where a bundle keeps its profile, below its content folder.
pub const FILE: &str = "embedded.provisionprofile";

/// Entitlements that macOS grants to a team with a provisioning profile only; `.` at the end marks a prefix.
pub const RESTRICTED: [&str; 6] = [
    "com.apple.developer.",
    "com.apple.private.",
    "com.apple.rootless.",
    "com.apple.application-identifier",
    "application-identifier",
    "keychain-access-groups",
];

/// Whether macOS grants the entitlement `key` by a profile only.
pub fn is_restricted(key: &str) -> bool {
    RESTRICTED.iter().any(|rule| if rule.ends_with('.') { key.starts_with(rule) } else { key == *rule })
}

/// What is in a profile.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Provisioning {
    /// What it is called at Apple.
    pub name: String,
    /// Whose it is.
    pub teams: Vec<String>,
    /// `OSX` among them, where it is for macOS.
    pub platforms: Vec<String>,
    /// Where it may be used.
    pub machines: Machines,
    /// When its use ends.
    #[serde(serialize_with = "date")]
    pub expires: Option<SystemTime>,
    /// Those who may sign with it, in DER.
    #[serde(skip)]
    pub certificates: Vec<Vec<u8>>,
    /// What it grants.
    pub entitlements: Dictionary,
}

/// Where programs with a profile run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Machines {
    /// On every one (`ProvisionsAllDevices`): Developer ID.
    All,
    /// On those whose identifiers are listed (`ProvisionedDevices`): development.
    Listed(Vec<String>),
    /// On those that the App Store signs it for.
    Store,
}

impl Provisioning {
    /// Reads the property list; what it does not say is empty.
    pub fn read(list: &Dictionary) -> Self {
        let strings = |key: &str| match list.get(key).and_then(Value::as_array) {
            Some(values) => values.iter().filter_map(Value::as_string).map(str::to_owned).collect(),
            None => Vec::new(),
        };
        let certificates = list.get("DeveloperCertificates").and_then(Value::as_array);
        Self {
            name: list.get("Name").and_then(Value::as_string).unwrap_or("without a name").to_owned(),
            teams: strings("TeamIdentifier"),
            platforms: strings("Platform"),
            machines: match list.get("ProvisionsAllDevices").and_then(Value::as_boolean) {
                Some(true) => Machines::All,
                _ if list.contains_key("ProvisionedDevices") => Machines::Listed(strings("ProvisionedDevices")),
                _ => Machines::Store,
            },
            expires: list.get("ExpirationDate").and_then(Value::as_date).map(SystemTime::from),
            certificates: certificates.into_iter().flatten().filter_map(Value::as_data).map(<[u8]>::to_vec).collect(),
            entitlements: list.get("Entitlements").and_then(Value::as_dictionary).cloned().unwrap_or_default(),
        }
    }

    /// Why no machine lets a program of `team` use it that `name` signs with this certificate: the first thing that does not fit.
    pub fn problem(&self, team: &str, (name, certificate): (&str, &[u8])) -> Option<String> {
        if !self.teams.iter().any(|it| it == team) {
            let whose = self.teams.join(", ");
            return Some(format!("it is of team {whose}, and team {team} signs: get a profile of the team that signs"));
        }
        if !self.platforms.is_empty() && !self.platforms.iter().any(|platform| platform == "OSX") {
            return Some(format!("it is for {}, not for macOS", self.platforms.join(", ")));
        }
        if self.expires.is_some_and(|end| end < SystemTime::now()) {
            return Some(format!("it expired on {}: get a new one from developer.apple.com", iso(self.expires)));
        }
        if matches!(&self.machines, Machines::Listed(listed) if listed.is_empty()) {
            return Some("its list of devices is empty: add the Macs it is for at developer.apple.com".to_owned());
        }
        if !self.certificates.is_empty() && !self.certificates.iter().any(|it| it == certificate) {
            return Some(format!("`{name}` is not among those who may sign with it: add the certificate to it"));
        }
        None
    }

    /// Whether it grants the entitlement `key` with this value.
    pub fn grants(&self, key: &str, value: &Value) -> bool {
        self.entitlements.get(key).is_some_and(|granted| grants(granted, value))
    }
}

fn iso(date: Option<SystemTime>) -> String {
    date.map(|date| plist::Date::from(date).to_xml_format()).unwrap_or_default()
}

fn date<S: Serializer>(date: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    date.map(|date| iso(Some(date))).serialize(serializer)
}

/// As in `demo, of team ABCDE12345, for development on 2 listed Macs, until 2027-01-01T00:00:00Z`.
impl fmt::Display for Provisioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, of team {}, {}", self.name, self.teams.join(", "), self.machines)?;
        match self.expires {
            Some(_) => write!(f, ", until {}", iso(self.expires)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Machines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("for every Mac (Developer ID)"),
            Self::Listed(listed) if listed.len() == 1 => f.write_str("for development on 1 listed Mac"),
            Self::Listed(listed) => write!(f, "for development on {} listed Macs", listed.len()),
            Self::Store => f.write_str("for the App Store"),
        }
    }
}

/// A `*` at the end stands for anything.
pub fn matches_pattern(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => pattern == text,
    }
}

/// What is granted as a list may be asked for in part.
fn grants(granted: &Value, wanted: &Value) -> bool {
    match (granted, wanted) {
        (Value::String(pattern), Value::String(text)) => matches_pattern(pattern, text),
        (Value::Array(all), Value::Array(some)) => some.iter().all(|one| all.iter().any(|it| grants(it, one))),
        (Value::Array(all), one) => all.iter().any(|it| grants(it, one)),
        (Value::String(_), Value::Array(some)) => some.iter().all(|one| grants(granted, one)),
        (Value::Boolean(true), Value::Boolean(_)) => true,
        (Value::Dictionary(all), Value::Dictionary(some)) => {
            some.iter().all(|(key, one)| all.get(key).is_some_and(|it| grants(it, one)))
        }
        _ => granted == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_granted_covers_what_is_asked_for() {
        let text = |text: &str| Value::String(text.to_owned());
        let list = |texts: &[&str]| Value::Array(texts.iter().map(|it| text(it)).collect());
        for (granted, wanted, expected) in [
            (text("T.*"), text("T.com.example"), true),
            (text("T.*"), text("U.com.example"), false),
            (text("*"), list(&["a", "b"]), true),
            (list(&["T.*"]), list(&["T.a", "T.b"]), true),
            (list(&["T.*"]), list(&["T.a", "U.b"]), false),
            (list(&["a", "b"]), text("b"), true),
            (list(&["a", "b"]), text("c"), false),
            (true.into(), false.into(), true),
            (false.into(), true.into(), false),
            (text("a*b"), text("axb"), false),
        ] {
            assert_eq!(grants(&granted, &wanted), expected, "{granted:?} {wanted:?}");
        }
    }
}
