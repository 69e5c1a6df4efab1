//! The two sets of flags in a code directory, by the names that `codesign` prints and takes.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// `CodeDirectory.flags`: how the system treats the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CodeFlags(pub u32);

/// A name that is no flag.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no signing flag; there are {names}", names = CodeFlags::settable())]
pub struct UnknownFlag(pub String);

impl CodeFlags {
    /// No certificate stands behind the signature.
    pub const ADHOC: Self = Self(0x2);
    /// Pages that fail their hash are never mapped.
    pub const HARD: Self = Self(0x100);
    /// The process is killed when its signature becomes invalid.
    pub const KILL: Self = Self(0x200);
    /// Only libraries of the same team, or the system's, are loaded.
    pub const LIBRARY: Self = Self(0x2000);
    /// The hardened runtime.
    pub const RUNTIME: Self = Self(0x1_0000);
    /// Written by the linker; replaced by every real signing.
    pub const LINKER_SIGNED: Self = Self(0x2_0000);

    const NAMES: [(&'static str, Self); 10] = [
        ("host", Self(0x1)),
        ("adhoc", Self::ADHOC),
        ("hard", Self::HARD),
        ("kill", Self::KILL),
        ("expires", Self(0x400)),
        ("restrict", Self(0x800)),
        ("enforcement", Self(0x1000)),
        ("library", Self::LIBRARY),
        ("runtime", Self::RUNTIME),
        ("linker-signed", Self::LINKER_SIGNED),
    ];

    /// Whether every flag of `other` is set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether no flag is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of the flags set, and a number for the bits that have none.
    pub fn names(self) -> Vec<String> {
        let mut rest = self;
        let mut names = Vec::new();
        for (name, flag) in Self::NAMES {
            if self.contains(flag) {
                names.push(name.to_owned());
                rest = rest.without(flag);
            }
        }
        if !rest.is_empty() {
            names.push(format!("{:#x}", rest.0));
        }
        names
    }

    /// The flags a person may ask for: whether a signature is ad hoc or the linker's is not a matter of choice.
    fn settable() -> String {
        let chosen = Self::NAMES.iter().filter(|(_, flag)| !Self::ADHOC.with(Self::LINKER_SIGNED).contains(*flag));
        chosen.map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

impl FromStr for CodeFlags {
    type Err = UnknownFlag;

    /// Reads names with commas between them, as in `codesign --options runtime,library`.
    fn from_str(text: &str) -> Result<Self, UnknownFlag> {
        let mut flags = Self::default();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let known = Self::NAMES
                .iter()
                .find(|(known, flag)| *known == name && !Self::ADHOC.with(Self::LINKER_SIGNED).contains(*flag));
            let (_, flag) = known.ok_or_else(|| UnknownFlag(name.to_owned()))?;
            flags = flags.with(*flag);
        }
        Ok(flags)
    }
}

impl fmt::Display for CodeFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() { f.write_str("none") } else { f.write_str(&self.names().join(",")) }
    }
}

impl Serialize for CodeFlags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.names().serialize(serializer)
    }
}

/// `CodeDirectory.execSegFlags`: what the kernel lets a program do, derived from its entitlements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecSegmentFlags(pub u64);

impl ExecSegmentFlags {
    /// The segment belongs to a program, not to a library.
    pub const MAIN_BINARY: Self = Self(0x1);
    /// A debugger may attach and write (`get-task-allow`).
    pub const ALLOW_UNSIGNED: Self = Self(0x10);

    /// Whether every flag of `other` is set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
