//! Provisioning profiles: what Apple grants to the programs of a team.
//!
//! A profile is a property list in a CMS signature of Apple's. macOS looks for it in the bundle of the very program whose entitlements it
//! grants, and kills a program at its launch whose profile does not fit: so everything that it looks at is compared before anything is
//! signed.

use std::fmt;
use std::time::SystemTime;

use camino::Utf8Path;
use cryptographic_message_syntax::{CmsError, SignedData};
use plist::{Dictionary, Value};

use super::identity::Signer;
use super::{Entitlements, Identity, SignError};
use crate::property_list;

/// Where a bundle keeps its profile, below its content folder.
pub(super) const FILE: &str = "embedded.provisionprofile";
const APPLICATION_IDENTIFIER: &str = "com.apple.application-identifier";
const TEAM_IDENTIFIER: &str = "com.apple.developer.team-identifier";

/// A provisioning profile.
#[derive(Clone, PartialEq)]
pub struct Profile {
    /// Where it comes from.
    source: String,
    bytes: Vec<u8>,
    name: String,
    teams: Vec<String>,
    platforms: Vec<String>,
    expires: Option<SystemTime>,
    /// Those who may sign with it, in DER.
    certificates: Vec<Vec<u8>>,
    entitlements: Dictionary,
}

impl Profile {
    /// Reads a file.
    ///
    /// # Errors
    /// Where there is none, or it is no profile whose signature holds.
    pub fn read(path: &Utf8Path) -> Result<Self, SignError> {
        match fs_err::read(path) {
            Ok(bytes) => Self::parse(path.to_string(), bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(SignError::Profile { profile: path.to_string(), why: "there is no such file".to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn parse(source: String, bytes: Vec<u8>) -> Result<Self, SignError> {
        let wrong = |why: String| SignError::Profile { profile: source.clone(), why };
        let data = SignedData::parse_ber(&bytes)
            .map_err(|_| wrong("it is no provisioning profile: get it from developer.apple.com".to_owned()))?;
        let damaged = |error: CmsError| {
            matches!(
                error,
                CmsError::DigestNotEqual | CmsError::SignatureVerificationError | CmsError::X509Certificate(_)
            )
        };
        for signer in data.signers() {
            let digest = signer.verify_message_digest_with_signed_data(&data);
            let signature = signer.verify_signature_with_signed_data(&data);
            if digest.is_err_and(damaged) || signature.is_err_and(damaged) {
                return Err(wrong(
                    "it was changed after it was signed: get it anew from developer.apple.com".to_owned(),
                ));
            }
        }
        let list = property_list::read(data.signed_content().unwrap_or_default())
            .map_err(|why| wrong(format!("what it holds is no property list: {why}")))?;
        let strings = |key: &str| match list.get(key).and_then(Value::as_array) {
            Some(values) => values.iter().filter_map(Value::as_string).map(str::to_owned).collect(),
            None => Vec::new(),
        };
        let certificates = list.get("DeveloperCertificates").and_then(Value::as_array);
        Ok(Self {
            name: list.get("Name").and_then(Value::as_string).unwrap_or("without a name").to_owned(),
            teams: strings("TeamIdentifier"),
            platforms: strings("Platform"),
            expires: list.get("ExpirationDate").and_then(Value::as_date).map(SystemTime::from),
            certificates: certificates.into_iter().flatten().filter_map(Value::as_data).map(<[u8]>::to_vec).collect(),
            entitlements: list.get("Entitlements").and_then(Value::as_dictionary).cloned().unwrap_or_default(),
            source,
            bytes,
        })
    }

    /// The file's content.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the profile is for what `identity` signs as `identifier`.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(&self, identity: &Identity, identifier: &str) -> Result<(), SignError> {
        let wrong = |why: String| Err(SignError::Profile { profile: self.to_string(), why });
        let Some((signer, team)) = identity.signer().and_then(|signer| Some((signer, signer.team()?))) else {
            return wrong("it is a team's, and what signs has no team: sign with an identity of Apple's".to_owned());
        };
        if !self.teams.iter().any(|it| it == team) {
            let whose = self.teams.join(", ");
            return wrong(format!(
                "it is of team {whose}, and team {team} signs: get a profile of the team that signs"
            ));
        }
        if !self.platforms.is_empty() && !self.platforms.iter().any(|platform| platform == "OSX") {
            return wrong(format!("it is for {}, not for macOS", self.platforms.join(", ")));
        }
        if self.expires.is_some_and(|end| end < SystemTime::now()) {
            let date = self.expires.map(|end| plist::Date::from(end).to_xml_format()).unwrap_or_default();
            return wrong(format!("it expired on {date}: get a new one from developer.apple.com"));
        }
        if !self.certificates.is_empty() && !self.certificates.iter().any(|it| it == signer.certificate_der()) {
            let subject = signer.summary().subject;
            return wrong(format!("`{subject}` is not among those who may sign with it: add the certificate to it"));
        }
        match self.application_identifier() {
            Some(pattern) if !matches_pattern(pattern.split_once('.').map_or("", |(_, it)| it), identifier) => {
                wrong(format!("it is for `{pattern}`, and the identifier is `{identifier}`"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the profile grants the entitlement `key` with this value.
    pub(super) fn grants(&self, key: &str, value: &Value) -> bool {
        self.entitlements.get(key).is_some_and(|granted| grants(granted, value))
    }

    /// Adds the entitlements by which macOS knows whose program it is.
    pub(super) fn add_identifiers(
        &self,
        signer: &Signer,
        identifier: &str,
        entitlements: &mut Entitlements,
    ) -> Result<(), SignError> {
        let prefix = self.application_identifier().and_then(|pattern| Some(pattern.split_once('.')?.0));
        let application = prefix.map(|prefix| format!("{prefix}.{identifier}"));
        let team = self.entitlements.get(TEAM_IDENTIFIER).and(signer.team()).map(str::to_owned);
        for (key, value) in [(APPLICATION_IDENTIFIER, application), (TEAM_IDENTIFIER, team)] {
            let Some(value) = value.map(Value::String) else { continue };
            if let Some(other) = entitlements.content.insert(key.to_owned(), value.clone())
                && other != value
            {
                let why = format!("the entitlements say another `{key}`: leave it out, it is taken from the profile");
                return Err(SignError::Profile { profile: self.to_string(), why });
            }
        }
        Ok(())
    }

    fn application_identifier(&self) -> Option<&str> {
        self.entitlements.get(APPLICATION_IDENTIFIER)?.as_string()
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.source)
    }
}

/// Without the megabytes of certificates.
impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").field("name", &self.name).field("source", &self.source).finish_non_exhaustive()
    }
}

/// A `*` at the end stands for anything.
fn matches_pattern(pattern: &str, text: &str) -> bool {
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
