//! Names of the packages that a scaffold makes.

use std::fmt;

use serde::Serialize;

/// A package name that cargo, crates.io and `rustc` all take: also the name of the binary or library inside.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct PackageName(String);

/// Why a text is not a package name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be a package name: {why}")]
pub struct PackageNameError {
    text: String,
    why: &'static str,
}

/// The longest name that crates.io accepts.
const MAX_LENGTH: usize = 64;

/// Words of the language, reserved ones included, up to edition 2024.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Folders that cargo keeps beside the binaries it builds.
const ARTIFACTS: &[&str] = &["build", "deps", "examples", "incremental"];

/// Crates that every program already knows.
const STANDARD: &[&str] = &["alloc", "core", "proc_macro", "std", "test"];

/// File names that Windows keeps for devices: a checkout there would fail.
const DEVICES: &[&str] = &[
    "aux", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "con", "lpt1", "lpt2", "lpt3",
    "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9", "nul", "prn",
];

impl PackageName {
    /// Checks `text` by cargo's rules for new packages, in ASCII.
    ///
    /// # Errors
    /// Where cargo, crates.io or `rustc` would refuse the name, or where it would hide a crate that the scaffold uses.
    pub fn new(text: impl Into<String>) -> Result<Self, PackageNameError> {
        let text = text.into();
        let krate = text.replace('-', "_").to_ascii_lowercase();
        let among = |list: &[&str]| list.contains(&krate.as_str());
        let why = if text.is_empty() {
            "it is empty"
        } else if text.len() > MAX_LENGTH {
            "it is longer than 64 characters, the most that crates.io takes"
        } else if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            "only letters (a-z), digits, `-` and `_` are allowed"
        } else if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            "it must start with a letter"
        } else if among(KEYWORDS) {
            "it is a keyword of Rust"
        } else if among(ARTIFACTS) {
            "cargo has a folder of that name in its target directory"
        } else if among(STANDARD) {
            "it is the name of a crate of Rust's own"
        } else if among(DEVICES) {
            "it is the name of a device on Windows"
        } else if krate == "xpc_runtime" {
            "the package would hide the crate that it depends on"
        } else {
            return Ok(Self(text));
        };
        Err(PackageNameError { text, why })
    }

    /// The name with a part added: `demo` and `interface` make `demo-interface`.
    ///
    /// # Errors
    /// Where the longer name is no package name.
    pub fn with_suffix(&self, suffix: &str) -> Result<Self, PackageNameError> {
        Self::new(format!("{}-{suffix}", self.0))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as Rust code writes it: `demo_interface`.
    pub fn as_crate(&self) -> String {
        crate_name(&self.0)
    }

    /// The name as a part of a bundle identifier, where `_` is not allowed.
    pub fn as_identifier_part(&self) -> String {
        self.0.replace('_', "-")
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a package or binary is called in code: two that agree in this cannot stand side by side.
pub(super) fn crate_name(package: &str) -> String {
    package.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_cargos_rules() {
        for good in ["demo", "demo-2", "my_service", "Greeter", "a"] {
            assert!(PackageName::new(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", "empty"),
            ("2demo", "start with a letter"),
            ("-demo", "start with a letter"),
            ("_demo", "start with a letter"),
            ("my demo", "only letters"),
            ("dämo", "only letters"),
            ("a/b", "only letters"),
            ("C:\\demo", "only letters"),
            ("demo.app", "only letters"),
            ("{{name}}", "only letters"),
            ("match", "keyword"),
            ("Self", "keyword"),
            ("gen", "keyword"),
            ("test", "Rust's own"),
            ("proc-macro", "Rust's own"),
            ("deps", "target directory"),
            ("NUL", "Windows"),
            ("xpc-runtime", "depends on"),
            ("xpc_runtime", "depends on"),
        ] {
            let error = PackageName::new(bad).expect_err(bad).to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
        let longest = "a".repeat(64);
        assert!(PackageName::new(&*longest).unwrap().with_suffix("interface").is_err());
        assert!(PackageName::new(format!("{longest}b")).is_err());
    }

    #[test]
    fn a_name_is_spelled_for_code_and_for_identifiers() {
        let name = PackageName::new("my-big_demo").unwrap();
        assert_eq!(name.as_crate(), "my_big_demo");
        assert_eq!(name.as_identifier_part(), "my-big-demo");
    }
}
