//! Reading Mach-O: what the headers say, and the code signature behind them.
//!
//! A [`MachFile`] is an owned summary of a thin or universal file; it keeps ranges instead of borrowing, so that it may outlive the
//! bytes it was read from. Nothing here trusts its input: every offset and every count is checked before it is used, and damage is a
//! [`MachProblem`], never a panic. Nothing here knows how a file was signed.

mod flags;
mod parse;
mod signature;
mod types;
pub mod universal;

use std::ops::Range;

use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

pub use self::flags::{CodeFlags, ExecSegmentFlags, UnknownFlag};
pub use self::signature::{Blob, CdHash, CodeDirectory, ExecSegment, HashKind, Signature, slot};
pub use self::types::{Arch, FileKind, Library, LinkKind, Platform, Segment, Target, Version};

/// A Mach-O file: one slice, or several behind a universal header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachFile {
    /// How the slices are held.
    pub container: Container,
    /// The architectures, in the file's own order. Never empty.
    pub slices: Vec<Slice>,
}

/// What stands around the slices of a [`MachFile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// No universal header: the file is its only slice.
    Thin,
    /// A universal header with 32-bit offsets (`FAT_MAGIC`).
    Fat32,
    /// A universal header with 64-bit offsets (`FAT_MAGIC_64`).
    Fat64,
}

/// One architecture of a [`MachFile`]. Ranges other than [`Slice::range`] count from the slice's own start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Where the slice lies in the file.
    pub range: Range<usize>,
    /// Processor type and subtype.
    pub arch: Arch,
    /// Executable, library, loadable bundle, …
    pub kind: FileKind,
    /// Platform, minimum system and SDK; absent in files that say nothing about it.
    pub target: Option<Target>,
    /// `LC_ID_DYLIB`: the name by which others link this library.
    pub install_name: Option<String>,
    /// Libraries loaded at start, in order.
    pub libraries: Vec<Library>,
    /// `LC_RPATH`, in order.
    pub rpaths: Vec<String>,
    /// `LC_UUID`, which ties a binary to its debug symbols.
    pub uuid: Option<[u8; 16]>,
    /// `LC_MAIN`: where the program starts, counted from the start of `__TEXT`.
    pub entry: Option<u64>,
    /// Segments in the order of their load commands; each lies inside the slice.
    pub segments: Vec<Segment>,
    /// The first byte after the load commands.
    pub commands_end: usize,
    /// File offset of the first section in command order; 0 where it is not in the file.
    pub first_section: Option<u64>,
    /// The lowest file offset of any section that is in the file: how far the load commands may grow.
    pub lowest_section: Option<u64>,
    /// `LC_CODE_SIGNATURE`: where the signature lies, if there is one.
    pub signature: Option<Range<usize>>,
    /// `__TEXT,__info_plist`, where a bare tool carries its property list.
    pub info_plist: Option<Range<usize>>,
}

/// Why a file could not be read as Mach-O; reads on after a path.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MachProblem {
    /// Something else altogether.
    #[error("is not Mach-O")]
    NotMachO,
    /// A program for Linux or another ELF system.
    #[error("is ELF ({0}), not Mach-O")]
    Elf(String),
    /// The magic is right and the rest is not.
    #[error("is damaged Mach-O: {0}")]
    Damaged(String),
}

/// A [`MachProblem`] with the file it was found in.
#[derive(Debug, Error)]
pub enum MachError {
    /// The file could not be read at all. The message names it.
    #[error("{0}{remedy}", remedy = crate::exit::remedy(.0))]
    Io(#[from] std::io::Error),
    /// The file was read, and is not sound Mach-O.
    #[error("{path} {problem}")]
    Format {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        problem: MachProblem,
    },
}

/// What a file's first bytes promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Mach-O, thin or universal.
    MachO,
    /// ELF, with the processor's name.
    Elf(String),
    /// Neither.
    Other,
}

impl MachFile {
    /// Reads `data`, which must be one whole file.
    pub fn parse(data: &[u8]) -> Result<Self, MachProblem> {
        parse::file(data)
    }

    /// Reads the file at `path`, and gives its bytes back with the summary.
    pub fn load(path: &Utf8Path) -> Result<(Vec<u8>, Self), MachError> {
        let data = fs_err::read(path)?;
        match Self::parse(&data) {
            Ok(file) => Ok((data, file)),
            Err(problem) => Err(MachError::Format { path: path.to_owned(), problem }),
        }
    }

    /// Whether any slice carries a signature.
    pub fn is_signed(&self) -> bool {
        self.slices.iter().any(|slice| slice.signature.is_some())
    }

    /// The kind of code the file holds. Universal files hold one kind; the first slice speaks for all.
    pub fn kind(&self) -> FileKind {
        self.slices.first().map_or(FileKind::Other(0), |slice| slice.kind)
    }
}

impl Slice {
    /// The slice's own bytes out of the whole file.
    pub fn bytes<'data>(&self, file: &'data [u8]) -> &'data [u8] {
        file.get(self.range.clone()).unwrap_or_default()
    }

    /// Reads the slice's signature out of the whole file's bytes; `None` if there is none.
    pub fn read_signature(&self, file: &[u8]) -> Result<Option<Signature>, MachProblem> {
        let Some(range) = self.signature.clone() else { return Ok(None) };
        let data = self
            .bytes(file)
            .get(range)
            .ok_or_else(|| MachProblem::Damaged("its signature lies outside of the file".to_owned()))?;
        Signature::parse(data).map(Some)
    }

    /// The segment of that name.
    pub fn segment(&self, name: &str) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.name == name)
    }
}

/// Tells Mach-O and ELF by the first bytes of a file; 20 bytes are enough.
///
/// Java's class files share a universal file's magic. They hold a version number from 45 upward where a universal file counts its
/// architectures.
pub fn sniff(start: &[u8]) -> Content {
    let Some(magic) = start.first_chunk::<4>() else { return Content::Other };
    match u32::from_be_bytes(*magic) {
        0xfeed_face | 0xfeed_facf | 0xcefa_edfe | 0xcffa_edfe => Content::MachO,
        0xcafe_babe | 0xcafe_babf => match start.get(4..8).and_then(|count| count.first_chunk::<4>()) {
            Some(count) if u32::from_be_bytes(*count) < 45 => Content::MachO,
            _ => Content::Other,
        },
        0x7f45_4c46 => Content::Elf(elf_machine(start)),
        _ => Content::Other,
    }
}

/// The processor in an ELF header, by the name that Rust's targets use.
fn elf_machine(start: &[u8]) -> String {
    let Some(&[low, high]) = start.get(18..20).and_then(|bytes| bytes.first_chunk::<2>()) else {
        return "cut short".to_owned();
    };
    let little = start.get(5) != Some(&2);
    let machine = if little { u16::from_le_bytes([low, high]) } else { u16::from_be_bytes([low, high]) };
    match machine {
        3 => "i386".to_owned(),
        40 => "arm".to_owned(),
        62 => "x86_64".to_owned(),
        183 => "aarch64".to_owned(),
        243 => "riscv".to_owned(),
        other => format!("machine {other}"),
    }
}
