//! The signature behind `LC_CODE_SIGNATURE`: a table of blobs (`CS_SuperBlob`), of which the code directories matter most.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use object::BigEndian;
use object::macho::{CSMAGIC_BLOBWRAPPER, CSMAGIC_CODEDIRECTORY, CsSlot};
use object::read::macho::CodeSignature;
use serde::{Serialize, Serializer};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha384};

use super::{CodeFlags, ExecSegmentFlags, MachProblem, Version};
use crate::property_list;

/// Numbers of the slots in a signature (`CSSLOT_…`). Those below [`slot::SPECIAL_LIMIT`] have their hash in the code directory.
pub mod slot {
    /// The code directory itself.
    pub const CODE_DIRECTORY: u32 = 0;
    /// The bundle's Info.plist, or a tool's embedded one; never a blob.
    pub const INFO: u32 = 1;
    /// The requirement set.
    pub const REQUIREMENTS: u32 = 2;
    /// `_CodeSignature/CodeResources`; never a blob.
    pub const RESOURCES: u32 = 3;
    /// Entitlements as a property list.
    pub const ENTITLEMENTS: u32 = 5;
    /// Entitlements in DER.
    pub const ENTITLEMENTS_DER: u32 = 7;
    /// Launch constraints, and what libraries may be loaded, start here.
    pub const CONSTRAINTS: u32 = 8;
    /// The last of them.
    pub const CONSTRAINTS_END: u32 = 11;
    /// The first number that is no special slot.
    pub const SPECIAL_LIMIT: u32 = 0x1000;
    /// Further code directories, with other hashes, start here.
    pub const ALTERNATES: u32 = 0x1000;
    /// The number after the last alternate.
    pub const ALTERNATES_END: u32 = 0x1005;
    /// The CMS signature; empty when ad hoc.
    pub const CMS: u32 = 0x1_0000;
    /// A notarization ticket that was stapled to a single file.
    pub const TICKET: u32 = 0x1_0002;
}

/// More parts than a signature can have: there are fewer than 20 slots.
const MAX_BLOBS: usize = 64;

/// A parsed signature. Ranges count from its first byte.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The bytes reserved by the load command.
    pub reserved: usize,
    /// The bytes that the table of blobs claims; the rest up to `reserved` is padding.
    pub length: usize,
    /// Every blob, in the table's order.
    pub blobs: Vec<Blob>,
    /// The code directories: the primary first, then the alternates. Never empty.
    pub directories: Vec<CodeDirectory>,
    data: Vec<u8>,
}

/// One entry of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// What it is for; see [`slot`].
    pub slot: u32,
    /// What it claims to be.
    pub magic: u32,
    /// Where it lies, with its 8-byte header.
    pub range: Range<usize>,
}

/// What the pages, the blobs and the directory itself are hashed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HashKind {
    /// 20 bytes; for systems before 10.11.4.
    Sha1,
    /// The first 20 bytes of SHA-256.
    Sha256Truncated,
    /// 32 bytes.
    Sha256,
    /// 48 bytes.
    Sha384,
}

/// A `CS_CodeDirectory`: the list of hashes that seals everything else.
#[derive(Clone, Debug)]
pub struct CodeDirectory {
    /// The slot it was found in.
    pub slot: u32,
    /// `0x20400` and the like; tells which of the fields below exist.
    pub version: u32,
    /// How the system treats the code.
    pub flags: CodeFlags,
    /// The code's own name; for a service, the name that clients connect to.
    pub identifier: String,
    /// The signer's team, in signatures by Apple's certificates.
    pub team_id: Option<String>,
    /// The hash in use.
    pub hash: HashKind,
    /// Bytes a hash; follows from `hash`.
    pub hash_size: usize,
    /// Bytes a page.
    pub page_size: usize,
    /// Non-zero marks Apple's own platform binaries.
    pub platform: u8,
    /// How many bytes of the slice the pages cover.
    pub code_limit: u64,
    /// `__TEXT`, as the kernel is told about it.
    pub exec_segment: Option<ExecSegment>,
    /// The SDK version whose hardened runtime applies.
    pub runtime: Option<Version>,
    /// Hashes of what is not code, by slot; slots whose hash is all zeros are left out, as they seal nothing.
    pub special: BTreeMap<u32, Vec<u8>>,
    /// How many pages are hashed.
    pub pages: usize,
    /// The hash of the directory itself, cut to 20 bytes: the code's identity.
    pub cdhash: CdHash,
    code_hashes: Vec<u8>,
}

/// The fields of a code directory about the executable segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecSegment {
    /// File offset of `__TEXT`.
    pub base: u64,
    /// Its end in the file.
    pub limit: u64,
    /// What the kernel may let the program do.
    pub flags: ExecSegmentFlags,
}

/// The 20 bytes that name one signed slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CdHash(pub [u8; 20]);

impl fmt::Display for CdHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for CdHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl HashKind {
    fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Sha1),
            2 => Some(Self::Sha256),
            3 => Some(Self::Sha256Truncated),
            4 => Some(Self::Sha384),
            _ => None,
        }
    }

    /// Its number in a code directory (`CS_HASHTYPE_…`).
    pub fn number(self) -> u8 {
        match self {
            Self::Sha1 => 1,
            Self::Sha256 => 2,
            Self::Sha256Truncated => 3,
            Self::Sha384 => 4,
        }
    }

    /// Bytes a hash.
    pub fn size(self) -> usize {
        match self {
            Self::Sha1 | Self::Sha256Truncated => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    /// Hashes `data`.
    pub fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(data).to_vec(),
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha256Truncated => Sha256::digest(data).iter().take(20).copied().collect(),
            Self::Sha384 => Sha384::digest(data).to_vec(),
        }
    }
}

impl Signature {
    /// Reads the bytes that the load command points at.
    pub fn parse(data: &[u8]) -> Result<Self, MachProblem> {
        let table = CodeSignature::parse(data).map_err(damaged)?;
        let length = usize::try_from(table.header().length.get(BigEndian)).map_err(damaged)?;
        if length > data.len() {
            return Err(damaged("it is longer than the space reserved for it"));
        }
        if table.index().len() > MAX_BLOBS {
            return Err(damaged(format!("{} parts", table.index().len())));
        }
        let mut blobs: Vec<Blob> = Vec::new();
        let mut directories = Vec::new();
        for blob in table.blobs() {
            let blob = blob.map_err(damaged)?;
            let slot = blob.slot().0;
            let start = usize::try_from(blob.offset()).map_err(damaged)?;
            let range = start..start.saturating_add(blob.data().len());
            if range.end > length || blob.data().len() < 8 {
                return Err(damaged(format!("slot {slot:#x} does not fit into it")));
            }
            if blobs.iter().any(|other| other.slot == slot) {
                return Err(damaged(format!("slot {slot:#x} appears twice")));
            }
            if blobs.iter().any(|other| range.start < other.range.end && other.range.start < range.end) {
                return Err(damaged(format!("slot {slot:#x} overlaps another")));
            }
            if slot == slot::CODE_DIRECTORY || (slot::ALTERNATES..slot::ALTERNATES_END).contains(&slot) {
                if blob.magic() != CSMAGIC_CODEDIRECTORY {
                    return Err(damaged(format!("slot {slot:#x} holds no code directory")));
                }
                directories.push(CodeDirectory::parse(slot, blob.data())?);
            }
            // macOS overlooks a part that claims to be another kind than its slot is for.
            if let Some(due) = magic(slot).filter(|due| *due != blob.magic()) {
                return Err(damaged(format!("slot {slot:#x} holds a part of kind {:#x}, not {due:#x}", blob.magic())));
            }
            blobs.push(Blob { slot, magic: blob.magic(), range });
        }
        directories.sort_by_key(|directory| directory.slot);
        if directories.first().is_none_or(|first| first.slot != slot::CODE_DIRECTORY) {
            return Err(damaged("it has no code directory"));
        }
        // Which of two with one hash counts would depend on who looks; and some look no further than to the first gap.
        let mut hashes: Vec<HashKind> = directories.iter().map(|directory| directory.hash).collect();
        hashes.sort_unstable();
        if hashes.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(damaged("two code directories with the same hash"));
        }
        if directories.iter().skip(1).zip(slot::ALTERNATES..).any(|(directory, due)| directory.slot != due) {
            return Err(damaged("the slots of the alternate code directories have a gap"));
        }
        Ok(Self { reserved: data.len(), length, blobs, directories, data: data.to_vec() })
    }

    /// The directory that today's systems look at: the one with the strongest hash.
    pub fn best_directory(&self) -> &CodeDirectory {
        let best = self.directories.iter().max_by_key(|directory| directory.hash);
        best.unwrap_or(&self.directories[0])
    }

    /// A blob's bytes with its header, which is what the code directory hashes.
    pub fn blob(&self, slot: u32) -> Option<&[u8]> {
        let blob = self.blobs.iter().find(|blob| blob.slot == slot)?;
        self.data.get(blob.range.clone())
    }

    /// A blob's bytes without its header.
    pub fn contents(&self, slot: u32) -> Option<&[u8]> {
        self.blob(slot)?.get(8..)
    }

    /// The CMS signature, unless it is the empty one that ad-hoc signatures carry.
    pub fn cms(&self) -> Option<&[u8]> {
        self.contents(slot::CMS).filter(|contents| !contents.is_empty())
    }

    /// The entitlements, from their property list.
    pub fn entitlements(&self) -> Result<Option<plist::Dictionary>, MachProblem> {
        let Some(text) = self.contents(slot::ENTITLEMENTS) else { return Ok(None) };
        let dictionary = property_list::read(text).map_err(|error| damaged(format!("entitlements: {error}")))?;
        Ok(Some(dictionary))
    }

    /// Bytes that belong to the table but to no blob, and the padding behind it; all of them are zero in a sound signature, and none
    /// is covered by any hash.
    pub fn unused(&self) -> impl Iterator<Item = u8> + '_ {
        let mut covered: Vec<Range<usize>> = self.blobs.iter().map(|blob| blob.range.clone()).collect();
        covered.sort_by_key(|range| range.start);
        let mut gaps = Vec::new();
        let mut at = 12 + 8 * self.blobs.len();
        for range in covered {
            gaps.push(at..range.start);
            at = at.max(range.end);
        }
        gaps.push(at..self.reserved);
        gaps.into_iter().flatten().filter_map(|index| self.data.get(index).copied())
    }
}

/// What the blob in a slot has to claim to be (`CSMAGIC_…`).
fn magic(slot: u32) -> Option<u32> {
    match slot {
        slot::REQUIREMENTS => Some(0xfade_0c01),
        slot::ENTITLEMENTS => Some(0xfade_7171),
        slot::ENTITLEMENTS_DER => Some(0xfade_7172),
        slot::CONSTRAINTS..=slot::CONSTRAINTS_END => Some(0xfade_8181),
        slot::CMS => Some(CSMAGIC_BLOBWRAPPER),
        _ => None,
    }
}

impl CodeDirectory {
    fn parse(slot: u32, data: &[u8]) -> Result<Self, MachProblem> {
        let directory = object::read::macho::CodeDirectory::parse(data).map_err(damaged)?;
        let header = directory.header();
        // Later versions only append fields, so that the second digit counts what this reader cannot know.
        if !(0x2_0001..0x3_0000).contains(&directory.version().0) {
            return Err(damaged(format!("a code directory of version {:#x}", directory.version().0)));
        }
        let hash = HashKind::from_number(header.hash_type.0)
            .ok_or_else(|| damaged(format!("unknown hash type {}", header.hash_type.0)))?;
        let hash_size = usize::from(header.hash_size);
        if hash_size != hash.size() {
            return Err(damaged(format!("hashes of {hash_size} bytes where {} are due", hash.size())));
        }
        if directory.scatter_offset().unwrap_or(0) != 0 {
            return Err(damaged("scattered code, which macOS does not have"));
        }
        let mut special = BTreeMap::new();
        for number in 1..=header.n_special_slots.get(BigEndian) {
            if number >= slot::SPECIAL_LIMIT {
                return Err(damaged("more special slots than exist"));
            }
            let value = directory.special_hash(CsSlot(number)).map_err(damaged)?;
            if value.iter().any(|byte| *byte != 0) {
                special.insert(number, value.to_vec());
            }
        }
        let pages = usize::try_from(header.n_code_slots.get(BigEndian)).map_err(damaged)?;
        let first = usize::try_from(header.hash_offset.get(BigEndian)).map_err(damaged)?;
        let end = pages.checked_mul(hash_size).and_then(|size| size.checked_add(first));
        let code_hashes = end
            .and_then(|end| data.get(first..end))
            .ok_or_else(|| damaged("page hashes outside of the code directory"))?
            .to_vec();
        let text =
            |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| damaged("an identifier that is not UTF-8"));
        let mut cdhash = [0; 20];
        cdhash.copy_from_slice(&hash.digest(data)[..20]);
        Ok(Self {
            slot,
            version: directory.version().0,
            flags: CodeFlags(header.flags.get(BigEndian).0),
            identifier: text(directory.ident().map_err(damaged)?)?,
            team_id: directory.team_id().map_err(damaged)?.map(text).transpose()?,
            hash,
            hash_size,
            page_size: match header.page_size {
                // As the kernel has it.
                bits @ 12..=14 => 1 << bits,
                bits => return Err(damaged(format!("pages of 2^{bits} bytes, which macOS does not map"))),
            },
            platform: header.platform,
            code_limit: directory.code_limit(),
            exec_segment: directory.exec_seg().map(|segment| ExecSegment {
                base: segment.exec_seg_base.get(BigEndian),
                limit: segment.exec_seg_limit.get(BigEndian),
                flags: ExecSegmentFlags(segment.exec_seg_flags.get(BigEndian).0),
            }),
            runtime: runtime_version(&directory, data),
            special,
            pages,
            cdhash: CdHash(cdhash),
            code_hashes,
        })
    }

    /// The recorded hash of a page.
    pub fn page_hash(&self, page: usize) -> Option<&[u8]> {
        let start = page.checked_mul(self.hash_size)?;
        self.code_hashes.get(start..start.checked_add(self.hash_size)?)
    }
}

/// The first field of version `0x20500`, which `object` does not name; it follows the fields of version 4.
fn runtime_version(directory: &object::read::macho::CodeDirectory<'_>, data: &[u8]) -> Option<Version> {
    const SUPPORTS_RUNTIME: u32 = 0x2_0500;
    const OFFSET: usize = 88;
    if directory.version().0 < SUPPORTS_RUNTIME {
        return None;
    }
    let bytes = data.get(OFFSET..OFFSET + 4)?.first_chunk::<4>()?;
    Some(Version(u32::from_be_bytes(*bytes))).filter(|version| version.0 != 0)
}

fn damaged(what: impl fmt::Display) -> MachProblem {
    MachProblem::Damaged(format!("the signature: {what}"))
}
