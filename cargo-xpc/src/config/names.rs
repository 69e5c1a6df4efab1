//! Names that have rules.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A bundle identifier (`CFBundleIdentifier`): reverse-DNS, ASCII letters, digits, `-` and `.`, two parts or more.
///
/// For a service it is also the name clients connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BundleId(String);

/// Why a text is not a bundle identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a bundle identifier: {why}; use reverse-DNS like `com.example.demo`")]
pub struct BundleIdError {
    text: String,
    why: &'static str,
}

/// launchd and the file system both carry the name; longer ones meet limits that nobody documents.
const MAX_LENGTH: usize = 155;

impl BundleId {
    /// Checks `text`.
    ///
    /// # Errors
    /// Where it is empty, too long, of fewer than two parts, has an empty part, or a character outside the set.
    pub fn new(text: impl Into<String>) -> Result<Self, BundleIdError> {
        let text = text.into();
        let why = if text.is_empty() {
            "it is empty"
        } else if text.len() > MAX_LENGTH {
            "it is longer than 155 characters"
        } else if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.') {
            "only letters, digits, `-` and `.` are allowed"
        } else if text.split('.').any(str::is_empty) {
            "it has an empty part"
        } else if !text.contains('.') {
            "it has a single part"
        } else {
            return Ok(Self(text));
        };
        Err(BundleIdError { text, why })
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `self` is `parent` and more parts: the App Store asks it of everything inside an app.
    pub fn is_below(&self, parent: &str) -> bool {
        self.0.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.'))
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for BundleId {
    type Error = BundleIdError;
    fn try_from(text: String) -> Result<Self, BundleIdError> {
        Self::new(text)
    }
}

impl From<BundleId> for String {
    fn from(id: BundleId) -> Self {
        id.0
    }
}

/// A bundle's file name without its extension: not empty, no `/`, not hidden, short enough for every file system.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct BundleName(String);

impl BundleName {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let why = if text.trim().is_empty() {
            "it is empty"
        } else if text.contains(['/', ':', '\0']) || text.chars().any(char::is_control) {
            "`/`, `:` and control characters are not allowed"
        } else if text.starts_with('.') {
            "it starts with a dot"
        } else if text.len() > 200 {
            "it is longer than 200 bytes"
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(format!("`{text}` cannot name a bundle: {why}"))
    }

    /// A binary's name always is one, as cargo checks it.
    pub(crate) fn of_bin(bin: &str) -> Self {
        Self(bin.to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BundleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundle_ids_are_reverse_dns() {
        for good in ["com.example.demo", "com.example.Demo-2", "a.b"] {
            assert!(BundleId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "demo", "com..demo", ".com.demo", "com.demo.", "com.exa mple", "com.exämple", "com.demo_x"] {
            assert!(BundleId::new(bad).is_err(), "{bad}");
        }
        assert!(BundleId::new(format!("a.{}", "b".repeat(153))).is_ok());
        assert!(BundleId::new(format!("a.{}", "b".repeat(154))).is_err());
    }

    #[test]
    fn below_means_more_parts() {
        let app = BundleId::new("com.example.demo").unwrap();
        assert!(BundleId::new("com.example.demo.greeter").unwrap().is_below(app.as_str()));
        assert!(!BundleId::new("com.example.demo2").unwrap().is_below(app.as_str()));
        assert!(!app.is_below(app.as_str()));
    }
}
