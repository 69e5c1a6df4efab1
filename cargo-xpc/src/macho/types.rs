//! The vocabulary of Mach-O headers, with the names that Apple's tools print.

use std::fmt;

use serde::{Serialize, Serializer};

/// Processor type and subtype, printed as `lipo` and `codesign` name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arch {
    /// `cpu_type_t`.
    pub cpu: u32,
    /// `cpu_subtype_t`, with its capability bits.
    pub subtype: u32,
}

impl Arch {
    /// 64-bit ARM.
    pub const ARM64: Self = Self { cpu: 0x0100_000c, subtype: 0 };
    /// 64-bit Intel.
    pub const X86_64: Self = Self { cpu: 0x0100_0007, subtype: 3 };

    /// Whether two slices would be chosen for the same machine: capability bits do not tell architectures apart.
    pub fn same_as(self, other: Self) -> bool {
        self.cpu == other.cpu && self.subtype & 0x00ff_ffff == other.subtype & 0x00ff_ffff
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cpu, self.subtype & 0x00ff_ffff) {
            (0x0100_000c, 2) => f.write_str("arm64e"),
            (0x0100_000c, _) => f.write_str("arm64"),
            (0x0100_0007, 8) => f.write_str("x86_64h"),
            (0x0100_0007, _) => f.write_str("x86_64"),
            (7, _) => f.write_str("i386"),
            (12, _) => f.write_str("arm"),
            (18, _) => f.write_str("ppc"),
            (0x0100_0012, _) => f.write_str("ppc64"),
            (cpu, subtype) => write!(f, "cpu {cpu:#x}/{subtype:#x}"),
        }
    }
}

impl Serialize for Arch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `filetype` of a Mach-O header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// `MH_OBJECT`: not linked yet.
    Object,
    /// `MH_EXECUTE`: a program.
    Execute,
    /// `MH_DYLIB`: a library, or a framework's.
    Dylib,
    /// `MH_BUNDLE`: a plug-in, loaded at run time.
    Bundle,
    /// `MH_DYLINKER`.
    Dylinker,
    /// `MH_DSYM`: debug symbols without code.
    Symbols,
    /// Anything else, by its number.
    Other(u32),
}

impl FileKind {
    /// Whether the loader runs or loads such a file, so that it needs a signature of its own.
    pub fn is_code(self) -> bool {
        matches!(self, Self::Execute | Self::Dylib | Self::Bundle | Self::Dylinker)
    }
}

impl From<u32> for FileKind {
    fn from(value: u32) -> Self {
        match value {
            1 => Self::Object,
            2 => Self::Execute,
            6 => Self::Dylib,
            7 => Self::Dylinker,
            8 => Self::Bundle,
            10 => Self::Symbols,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object => f.write_str("object file"),
            Self::Execute => f.write_str("executable"),
            Self::Dylib => f.write_str("dynamic library"),
            Self::Bundle => f.write_str("loadable bundle"),
            Self::Dylinker => f.write_str("dynamic linker"),
            Self::Symbols => f.write_str("debug symbols"),
            Self::Other(number) => write!(f, "file type {number}"),
        }
    }
}

/// The system a slice was linked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// macOS.
    MacOs,
    /// iOS.
    Ios,
    /// tvOS.
    TvOs,
    /// watchOS.
    WatchOs,
    /// Mac Catalyst.
    MacCatalyst,
    /// Any other, by its number in `LC_BUILD_VERSION`.
    Other(u32),
}

impl From<u32> for Platform {
    fn from(value: u32) -> Self {
        match value {
            1 => Self::MacOs,
            2 => Self::Ios,
            3 => Self::TvOs,
            4 => Self::WatchOs,
            6 => Self::MacCatalyst,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MacOs => f.write_str("macOS"),
            Self::Ios => f.write_str("iOS"),
            Self::TvOs => f.write_str("tvOS"),
            Self::WatchOs => f.write_str("watchOS"),
            Self::MacCatalyst => f.write_str("Mac Catalyst"),
            Self::Other(number) => write!(f, "platform {number}"),
        }
    }
}

impl Serialize for Platform {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A version packed as Mach-O packs it: 16 bits major, 8 minor, 8 patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32);

impl Version {
    /// `major.minor.patch`.
    pub const fn new(major: u16, minor: u8, patch: u8) -> Self {
        Self((major as u32) << 16 | (minor as u32) << 8 | patch as u32)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = (self.0 >> 16, self.0 >> 8 & 0xff, self.0 & 0xff);
        write!(f, "{major}.{minor}")?;
        if patch != 0 {
            write!(f, ".{patch}")?;
        }
        Ok(())
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `LC_BUILD_VERSION`, or one of the older `LC_VERSION_MIN_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Target {
    /// The system.
    pub platform: Platform,
    /// The oldest version it runs on.
    pub minimum_os: Version,
    /// The SDK it was built against.
    pub sdk: Version,
}

impl Target {
    /// Whether every system this target admits understands SHA-256 signatures. Older ones look at a SHA-1 code directory only.
    pub fn understands_sha256(&self) -> bool {
        match self.platform {
            Platform::MacOs => self.minimum_os >= Version::new(10, 11, 4),
            Platform::Ios | Platform::TvOs => self.minimum_os >= Version::new(11, 0, 0),
            Platform::WatchOs | Platform::Other(0) => false,
            Platform::MacCatalyst | Platform::Other(_) => true,
        }
    }
}

/// How a library is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// `LC_LOAD_DYLIB`: must be there.
    Required,
    /// `LC_LOAD_WEAK_DYLIB`: may be absent.
    Weak,
    /// `LC_REEXPORT_DYLIB`.
    Reexport,
    /// `LC_LOAD_UPWARD_DYLIB`.
    Upward,
    /// `LC_LAZY_LOAD_DYLIB`.
    Lazy,
}

/// One linked library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Library {
    /// The install name, e.g. `@rpath/libfoo.dylib`.
    pub path: String,
    /// How it is linked.
    pub kind: LinkKind,
}

impl Library {
    /// Whether it is looked up relative to the program, i.e. comes with the bundle and not with the system.
    pub fn is_bundled(&self) -> bool {
        self.path.starts_with('@')
    }
}

/// A segment's name and place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Such as `__TEXT`.
    pub name: String,
    /// Where it is mapped.
    pub address: u64,
    /// Offset from the slice's start.
    pub offset: u64,
    /// Bytes in the file; zero-filled memory does not count.
    pub size: u64,
}

impl Segment {
    /// The first byte after the segment. The reader has checked that the sum fits.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }
}
