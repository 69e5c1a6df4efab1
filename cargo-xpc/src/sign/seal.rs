//! Writing `CodeResources`.

use apple_codesign::cryptography::{Digest as CodeDigest, MultiDigest};
use apple_codesign::{AppleCodesignError, FilesFlavor, SignedMachOInfo};
use camino::Utf8Path;
use rayon::prelude::*;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use super::walk::{Entry, EntryKind, Node, Required};
use super::{SignError, seen};
use crate::beneath::{Root, Stamp};

/// A seal.
pub(super) struct Written {
    pub bytes: Vec<u8>,
    /// What was read for it.
    pub seen: Vec<(Stamp, seen::Hashes)>,
}

/// The seal of a bundle, given the signatures that its nested code has got by now, by the path of the executable.
pub(super) fn seal<'a>(
    root: &Root,
    node: &Node,
    signed: impl Fn(&Utf8Path) -> Option<&'a SignedMachOInfo>,
) -> Result<Written, SignError> {
    let failed = |source| SignError::signer(&node.path, source);
    let mut seal = node.rules.blank_seal();
    let second_flavor = if node.machine.needs_sha1 { FilesFlavor::Rules2WithSha1 } else { FilesFlavor::Rules2 };
    // Hashing is nearly all of the work, and no file's hash waits for another's.
    let hashes: Vec<Option<Hashes>> =
        node.entries.par_iter().map(|entry| Hashes::needed(root, entry)).collect::<Result<_, _>>()?;
    for (entry, hashes) in node.entries.iter().zip(&hashes) {
        let name = &entry.name;
        match &entry.kind {
            EntryKind::Symlink { target } => seal.seal_symlink(name, target),
            EntryKind::File { first, second } => {
                if let (Some(Required(required)), Some(hashes)) = (second, hashes) {
                    seal.seal_regular_file(second_flavor, name, hashes.digests(), !required).map_err(failed)?;
                }
                if let (Some(Required(required)), Some(hashes)) = (first, hashes) {
                    seal.seal_regular_file(FilesFlavor::Rules, name, hashes.digests(), !required).map_err(failed)?;
                }
            }
            EntryKind::Code { executable, optional, first } => {
                let info = signed(executable).ok_or_else(|| failed(AppleCodesignError::BinaryNoCodeSignature))?;
                seal.seal_macho(name, info, *optional).map_err(failed)?;
                if let (Some(Required(required)), Some(hashes)) = (first, hashes) {
                    seal.seal_regular_file(FilesFlavor::Rules, name, hashes.digests(), !required).map_err(failed)?;
                }
            }
        }
    }
    let mut bytes = Vec::new();
    seal.to_writer_xml(&mut bytes).map_err(failed)?;
    let seen = hashes.into_iter().flatten().filter_map(|hashes| Some((hashes.stamp?, (hashes.sha1, hashes.sha256))));
    Ok(Written { bytes, seen: seen.collect() })
}

/// Both hashes of a file, made while it is read once.
struct Hashes {
    sha1: [u8; 20],
    sha256: [u8; 32],
    /// Of a file that can be told from what it may become.
    stamp: Option<Stamp>,
}

impl Hashes {
    /// Of what the seal knows by its content.
    fn needed(root: &Root, entry: &Entry) -> Result<Option<Self>, SignError> {
        match &entry.kind {
            EntryKind::File { .. } | EntryKind::Code { first: Some(_), .. } => Self::of(root, &entry.path).map(Some),
            EntryKind::Code { first: None, .. } | EntryKind::Symlink { .. } => Ok(None),
        }
    }

    fn of(root: &Root, path: &Utf8Path) -> Result<Self, SignError> {
        let (mut sha1, mut sha256) = (Sha1::new(), Sha256::new());
        // In turns as small as a block: neither hash waits for the other, and a processor can do both at once.
        let (file, stamp) = seen::open(root, path)?;
        file.pieces(|piece| {
            for block in piece.chunks(64) {
                sha1.update(block);
                sha256.update(block);
            }
        })?;
        Ok(Self { sha1: sha1.finalize().into(), sha256: sha256.finalize().into(), stamp })
    }

    fn digests(&self) -> MultiDigest {
        MultiDigest {
            sha1: CodeDigest { data: self.sha1.to_vec().into() },
            sha256: CodeDigest { data: self.sha256.to_vec().into() },
        }
    }
}
