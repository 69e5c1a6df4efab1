//! Versions as Apple writes them: digits and dots.

use std::fmt;

use serde::Serialize;

/// A macOS version such as `11.0` or `14.4.1` (`LSMinimumSystemVersion`, `MACOSX_DEPLOYMENT_TARGET`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SystemVersion {
    major: u16,
    minor: u16,
    patch: u16,
}

impl SystemVersion {
    /// The first macOS for Apple silicon, and the oldest that `xpc-runtime` links for.
    pub const DEFAULT: Self = Self { major: 11, minor: 0, patch: 0 };

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a macOS version; write it like \"11.0\" or \"14.4.1\"");
        let parts = numbers(text).filter(|parts| (1..=3).contains(&parts.len())).ok_or_else(wrong)?;
        let part = |at: usize| u16::try_from(parts.get(at).copied().unwrap_or(0)).map_err(|_| wrong());
        let version = Self { major: part(0)?, minor: part(1)?, patch: part(2)? };
        // Mach-O stores them in 16, 8 and 8 bits.
        if version.minor > 255 || version.patch > 255 {
            return Err(wrong());
        }
        if version < (Self { major: 10, minor: 12, patch: 0 }) {
            return Err(format!("macOS {version} is older than Rust's programs run on (10.12)"));
        }
        Ok(version)
    }
}

impl fmt::Display for SystemVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch > 0 { write!(f, ".{}", self.patch) } else { Ok(()) }
    }
}

impl Serialize for SystemVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `CFBundleVersion`: one to three numbers with dots between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct BuildNumber(String);

impl BuildNumber {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match numbers(text) {
            Some(parts) if (1..=3).contains(&parts.len()) => Ok(Self(text.to_owned())),
            _ => Err(format!("`{text}` is not a build number; only one to three numbers with dots are legal")),
        }
    }

    /// x.y.z of a package: a pre-release suffix is not legal here.
    pub(crate) fn of(version: &semver::Version) -> Self {
        Self(format!("{}.{}.{}", version.major, version.minor, version.patch))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn numbers(text: &str) -> Option<Vec<u64>> {
    text.split('.')
        .map(|part| if part.bytes().all(|b| b.is_ascii_digit()) { part.parse().ok() } else { None })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_versions() {
        assert_eq!(SystemVersion::parse("11.0").unwrap(), SystemVersion::DEFAULT);
        assert_eq!(SystemVersion::parse("14").unwrap().to_string(), "14.0");
        assert_eq!(SystemVersion::parse("14.4.1").unwrap().to_string(), "14.4.1");
        for bad in ["", "x", "10.9", "11.0.0.0", "11.-1", "11.+1", "70000.0", "11.256", "11."] {
            assert!(SystemVersion::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn build_numbers_hold_digits_and_dots_only() {
        let version = semver::Version::parse("1.2.3-beta.1+5").unwrap();
        assert_eq!(BuildNumber::of(&version).as_str(), "1.2.3");
        assert!(BuildNumber::parse("42").is_ok());
        for bad in ["1.2.3-beta", "", "1..2", "1.2.3.4", "v1", "99999999999999999999"] {
            assert!(BuildNumber::parse(bad).is_err(), "{bad}");
        }
    }
}
