//! Entitlements: read, checked against what an identity may have, written.

use std::io;

use camino::Utf8Path;
use plist::{Dictionary, Value};

use super::SignError;
use crate::property_list;
use crate::provisioning::is_restricted;

/// What a program asks the system for.
#[derive(Clone, Debug, PartialEq)]
pub struct Entitlements {
    /// Where they come from, for the plan: a file, or a few words.
    pub source: String,
    /// Keys and values.
    pub content: Dictionary,
}

/// Lets a debugger attach.
pub const GET_TASK_ALLOW: &str = "com.apple.security.get-task-allow";
/// Takes over the sandbox of the parent process.
pub(super) const INHERIT: &str = "com.apple.security.inherit";
/// Lets a program with library validation load any library.
pub(super) const DISABLE_LIBRARY_VALIDATION: &str = "com.apple.security.cs.disable-library-validation";

/// The first key whose value the DER form of a list, in which signatures hold them, has no form for.
pub(super) fn unsignable(dictionary: &Dictionary) -> Option<(String, &'static str)> {
    fn kind(value: &Value) -> Option<&'static str> {
        match value {
            Value::Real(_) => Some("a real number"),
            Value::Date(_) => Some("a date"),
            Value::Data(_) => Some("data"),
            Value::Uid(_) => Some("a uid"),
            Value::Array(values) => values.iter().find_map(kind),
            Value::Dictionary(inner) => inner.values().find_map(kind),
            _ => None,
        }
    }
    dictionary.iter().find_map(|(key, value)| Some((key.clone(), kind(value)?)))
}

impl Entitlements {
    /// Reads a property list of either form.
    pub fn read(path: &Utf8Path) -> Result<Self, SignError> {
        let wrong = |why: String| SignError::EntitlementsFile { path: path.to_owned(), why };
        let bytes = match fs_err::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(wrong("there is no such file".to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        let content = property_list::read(&bytes)
            .map_err(|error| wrong(format!("not a property list with a dictionary in it: {error}")))?;
        if let Some((key, kind)) = unsignable(&content) {
            return Err(wrong(format!("`{key}` is {kind}, for which a signature has no form")));
        }
        Ok(Self { source: path.to_string(), content })
    }

    /// The keys that need a team, with what is asked for.
    pub(super) fn restricted(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.content.iter().map(|(key, value)| (key.as_str(), value)).filter(|(key, _)| is_restricted(key))
    }

    /// Whether a key is there and true.
    pub(super) fn allows(&self, key: &str) -> bool {
        self.content.get(key).and_then(Value::as_boolean) == Some(true)
    }
}

/// The XML form that goes into a signature, keys sorted: the same entitlements give the same bytes wherever they come from.
pub(super) fn to_xml(content: &Dictionary) -> Result<String, plist::Error> {
    let mut sorted = content.clone();
    sorted.sort_keys();
    let mut bytes = Vec::new();
    Value::Dictionary(sorted).to_writer_xml(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_team_is_known() {
        let with = |key: &str| {
            let mut content = Dictionary::new();
            content.insert(key.to_owned(), Value::Boolean(true));
            Entitlements { source: String::new(), content }.restricted().count() == 1
        };
        assert!(with("com.apple.developer.icloud-services"));
        assert!(with("keychain-access-groups"));
        assert!(!with("com.apple.security.app-sandbox"));
        assert!(!with("keychain-access-groups-of-mine"));
        assert!(!with("com.apple.security.get-task-allow"));
    }
}
