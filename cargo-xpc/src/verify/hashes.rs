//! The hashes that seals hold of files, made while a file is read once.

use std::io;

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use crate::beneath::{Opened, Stamp};

/// Both of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// SHA-1.
    pub sha1: [u8; 20],
    /// SHA-256.
    pub sha256: [u8; 32],
}

/// Somebody who has read files of the bundle already.
///
/// What is said here is believed: a file that is known is not read. All else about the bundle is read and compared as ever.
pub trait Known: Sync {
    /// The hashes of the plain file with this stamp; `None` where it has to be read. Files of code are never known.
    fn hashes(&self, stamp: &Stamp) -> Option<Hashes>;
}

impl Hashes {
    pub(super) fn of(data: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(data);
        hasher.finish()
    }

    pub(super) fn of_file(file: Opened) -> io::Result<Self> {
        let mut hasher = Hasher::default();
        file.pieces(|piece| hasher.update(piece))?;
        Ok(hasher.finish())
    }
}

/// Both hashes at once.
#[derive(Default)]
struct Hasher {
    sha1: Sha1,
    sha256: Sha256,
}

impl Hasher {
    /// Each step of a hash waits for the one before it, but not for the other hash: in small turns the processor works on both.
    fn update(&mut self, data: &[u8]) {
        for piece in data.chunks(64) {
            self.sha1.update(piece);
            self.sha256.update(piece);
        }
    }

    fn finish(self) -> Hashes {
        Hashes { sha1: self.sha1.finalize().into(), sha256: self.sha256.finalize().into() }
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;
    use crate::beneath::Root;

    #[test]
    fn hashes_are_the_same_either_way() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        for size in [0, 1, 63, 64, 65, 1_000_003] {
            let data: Vec<u8> = (0..size).map(|at| at as u8).collect();
            fs_err::write(root.join("file"), &data).unwrap();
            let hashes = Hashes::of_file(Root::open(root).unwrap().file("file".into()).unwrap()).unwrap();
            let apart = Hashes { sha1: Sha1::digest(&data).into(), sha256: Sha256::digest(&data).into() };
            assert_eq!((&hashes, &Hashes::of(&data)), (&apart, &apart));
        }
    }
}
