//! Writing `CodeResources`.

use apple_codesign::{AppleCodesignError, FilesFlavor, SignedMachOInfo};
use camino::Utf8Path;
use rayon::prelude::*;

use super::SignError;
use super::files::{Digests, SealedFiles};
use super::walk::{Entry, EntryKind, Node, Required};

/// The seal of a bundle, given the signatures that its nested code has got by now, by the path of the executable.
pub(super) fn seal<'a>(
    files: &SealedFiles<'_>,
    node: &Node,
    signed: impl Fn(&Utf8Path) -> Option<&'a SignedMachOInfo>,
) -> Result<Vec<u8>, SignError> {
    let failed = |source| SignError::signer(&node.path, source);
    let mut seal = node.rules.blank_seal();
    let second_flavor = if node.machine.needs_sha1 { FilesFlavor::Rules2WithSha1 } else { FilesFlavor::Rules2 };
    // Where the plan did not hash them, that is nearly all of the work; and no file's hash waits for another's.
    let hashes: Vec<Option<Digests>> =
        node.entries.par_iter().map(|entry| needed(files, entry)).collect::<Result<_, _>>()?;
    for (entry, hashes) in node.entries.iter().zip(&hashes) {
        let name = &entry.name;
        match &entry.kind {
            EntryKind::Symlink { target } => seal.seal_symlink(name, target),
            EntryKind::File { first, second } => {
                if let (Some(Required(required)), Some(hashes)) = (second, hashes) {
                    seal.seal_regular_file(second_flavor, name, hashes.for_seal(), !required).map_err(failed)?;
                }
                if let (Some(Required(required)), Some(hashes)) = (first, hashes) {
                    seal.seal_regular_file(FilesFlavor::Rules, name, hashes.for_seal(), !required).map_err(failed)?;
                }
            }
            EntryKind::Code { executable, optional, first } => {
                let info = signed(executable).ok_or_else(|| failed(AppleCodesignError::BinaryNoCodeSignature))?;
                seal.seal_macho(name, info, *optional).map_err(failed)?;
                if let (Some(Required(required)), Some(hashes)) = (first, hashes) {
                    seal.seal_regular_file(FilesFlavor::Rules, name, hashes.for_seal(), !required).map_err(failed)?;
                }
            }
        }
    }
    let mut bytes = Vec::new();
    seal.to_writer_xml(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// The hashes of what the seal knows by its content.
fn needed(files: &SealedFiles<'_>, entry: &Entry) -> Result<Option<Digests>, SignError> {
    match &entry.kind {
        EntryKind::File { .. } | EntryKind::Code { first: Some(_), .. } => Ok(Some(files.digests(&entry.path)?)),
        EntryKind::Code { first: None, .. } | EntryKind::Symlink { .. } => Ok(None),
    }
}
