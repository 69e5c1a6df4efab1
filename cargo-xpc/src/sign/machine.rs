//! What signing must know of a Mach-O file, and whether a signature can be put into it.
//!
//! apple-codesign rewrites a file on assumptions that it checks by panicking; here they are checked first.

use camino::{Utf8Path, Utf8PathBuf};

use super::third_party::Origin;
use super::{Identity, SignError, identifier};
use crate::macho::{Arch, CodeFlags, Container, FileKind, MachError, MachFile, Slice};
use crate::property_list;

/// A file that can be signed.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub kind: FileKind,
    pub arches: Vec<Arch>,
    /// Some system it runs on understands SHA-1 only.
    pub needs_sha1: bool,
    /// The property list inside of each slice, for bare tools.
    pub embedded_info: Vec<Option<Vec<u8>>>,
    /// The first library that comes with the bundle.
    pub bundled_library: Option<String>,
    /// Who signed it before. Of a bundle's executable alone: whether the bundle's seal can be read is not asked here.
    pub origin: Origin,
    /// What a signature that is already there says.
    pub old: Option<OldSignature>,
}

/// What an old signature may pass on.
#[derive(Clone, Debug)]
pub(super) struct OldSignature {
    pub identifier: String,
    pub flags: CodeFlags,
    pub entitlements: Option<plist::Dictionary>,
}

/// `LC_CODE_SIGNATURE` takes this much of the header.
const COMMAND_SIZE: usize = 16;

impl Machine {
    /// Checks the file whose bytes are `data`; `shown` is how errors call it.
    pub(super) fn read(data: &[u8], shown: &Utf8Path, identity: &Identity) -> Result<Self, SignError> {
        let file = MachFile::parse(data).map_err(|problem| MachError::Format { path: shown.to_owned(), problem })?;
        Self::check(data, &file, shown, identity)
    }

    pub(super) fn check(
        data: &[u8],
        file: &MachFile,
        shown: &Utf8Path,
        identity: &Identity,
    ) -> Result<Self, SignError> {
        for slice in &file.slices {
            let unsignable = |why| SignError::Unsignable { path: shown.to_owned(), arch: slice.arch, why };
            if file.container == Container::Fat64 {
                return Err(unsignable(
                    "its universal header has 64-bit offsets; make it with `lipo` without `-fat64`",
                ));
            }
            check_layout(slice, slice.bytes(data).len()).map_err(|problem| match problem {
                Layout::NoRoom => SignError::NoRoom { path: shown.to_owned(), arch: slice.arch },
                Layout::Unsound(why) => unsignable(why),
            })?;
        }
        let first = file.slices.first();
        // A damaged old signature is no reason to refuse a new one.
        let signature = first.and_then(|slice| slice.read_signature(data).ok().flatten());
        let old = signature.and_then(|signature| {
            let directory = signature.best_directory();
            // What the linker wrote was nobody's decision.
            (!directory.flags.contains(CodeFlags::LINKER_SIGNED)).then(|| OldSignature {
                identifier: directory.identifier.clone(),
                flags: directory.flags.without(CodeFlags::ADHOC),
                entitlements: signature.entitlements().ok().flatten(),
            })
        });
        let libraries = file.slices.iter().flat_map(|slice| &slice.libraries);
        Ok(Self {
            kind: file.kind(),
            arches: file.slices.iter().map(|slice| slice.arch).collect(),
            needs_sha1: file.slices.iter().any(|slice| slice.target.is_none_or(|target| !target.understands_sha256())),
            embedded_info: file.slices.iter().map(|slice| embedded_info(slice, data)).collect(),
            bundled_library: libraries
                .into_iter()
                .find(|library| library.is_bundled())
                .map(|library| library.path.clone()),
            origin: Origin::of(data, file, identity),
            old,
        })
    }

    /// The name of a file without a bundle: what its own property list says, or what follows from the file's name.
    pub(super) fn bare_identifier(data: &[u8], file: &MachFile, name: &str) -> String {
        let own = file.slices.iter().find_map(|slice| identifier_in(&embedded_info(slice, data)?));
        own.unwrap_or_else(|| identifier::from_file_name(name))
    }

    /// `CFBundleIdentifier` of the property list inside of a bare tool.
    pub(super) fn embedded_identifier(&self) -> Option<String> {
        identifier_in(self.embedded_info.iter().flatten().next()?)
    }
}

fn identifier_in(info: &[u8]) -> Option<String> {
    // Written as a C string, the list ends with a zero, which the seal covers and no parser wants.
    let end = info.iter().rposition(|byte| *byte != 0)? + 1;
    let info = property_list::read(info.get(..end)?).ok()?;
    Some(info.get("CFBundleIdentifier")?.as_string()?.to_owned())
}

fn embedded_info(slice: &Slice, data: &[u8]) -> Option<Vec<u8>> {
    slice.bytes(data).get(slice.info_plist.clone()?).map(<[u8]>::to_vec)
}

enum Layout {
    NoRoom,
    Unsound(&'static str),
}

fn check_layout(slice: &Slice, length: usize) -> Result<(), Layout> {
    use Layout::{NoRoom, Unsound};
    let mut segments: Vec<_> = slice.segments.iter().filter(|segment| segment.size > 0).collect();
    segments.sort_by_key(|segment| segment.offset);
    let end_of_commands = slice.commands_end + if slice.signature.is_some() { 0 } else { COMMAND_SIZE };
    let Some(text) = slice.segment("__TEXT") else {
        return Err(Unsound("it has no __TEXT segment"));
    };
    let start = text.address.checked_sub(text.offset);
    if start.and_then(|start| start.checked_add(slice.entry.unwrap_or(0))).is_none() {
        return Err(Unsound("its entry point has no address"));
    }
    let last = slice.segments.iter().max_by_key(|segment| segment.offset);
    let Some(linkedit) = last.filter(|segment| segment.name == "__LINKEDIT" && segment.size > 0) else {
        return Err(Unsound("its last segment is not __LINKEDIT"));
    };
    if segments.windows(2).any(|pair| pair[0].end() > pair[1].offset) {
        return Err(Unsound("its segments overlap"));
    }
    if segments.first().is_none_or(|first| first.offset != 0 || first.end() < slice.commands_end as u64) {
        return Err(Unsound("its first segment does not hold the load commands"));
    }
    if linkedit.end() != length as u64 {
        return Err(Unsound("data follows its last segment, which a signature would cut off"));
    }
    if let Some(signature) = &slice.signature {
        if (signature.start as u64) < linkedit.offset || signature.end != length {
            return Err(Unsound("its old signature is not at the end; link it again, or remove the signature"));
        }
        return Ok(());
    }
    let sections = [slice.first_section, slice.lowest_section];
    if sections.into_iter().any(|section| section.is_none_or(|section| section < end_of_commands as u64)) {
        return Err(NoRoom);
    }
    Ok(())
}

/// A bare Mach-O file inside of a bundle.
#[derive(Clone, Debug)]
pub(super) struct Loose {
    /// Relative to the outermost bundle.
    pub path: Utf8PathBuf,
    pub machine: Machine,
}
