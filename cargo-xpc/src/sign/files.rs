//! Every file of a bundle, read once.
//!
//! What signing asks of a file (is it code? what are its hashes? what are its bytes?) it asks here. The first question opens the file, reads
//! it to its end and answers those that follow; later ones are answered from memory, as long as the file has the same [`Stamp`].

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::Mode;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use super::seen::{self, Seen};
use crate::anatomy::{Anatomy, AnatomyError};
use crate::beneath::{Opened, Root, Stamp};
use crate::macho::Content;

/// So many bytes of code are kept in memory from the plan to the signature; what is beyond is read a second time.
const MAX_KEPT: u64 = 128 << 20;

/// The hashes that a seal holds of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digests {
    pub sha1: [u8; 20],
    pub sha256: [u8; 32],
}

impl Digests {
    pub(super) fn of(data: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(data);
        hasher.finish()
    }

    fn of_file(file: Opened) -> io::Result<Self> {
        let mut hasher = Hasher::default();
        file.pieces(|piece| hasher.update(piece))?;
        Ok(hasher.finish())
    }
}

#[derive(Default)]
struct Hasher {
    sha1: Sha1,
    sha256: Sha256,
}

impl Hasher {
    /// In turns as small as a block: neither hash waits for the other, and a processor can do both at once.
    fn update(&mut self, data: &[u8]) {
        for block in data.chunks(64) {
            self.sha1.update(block);
            self.sha256.update(block);
        }
    }

    fn finish(self) -> Digests {
        Digests { sha1: self.sha1.finalize().into(), sha256: self.sha256.finalize().into() }
    }
}

/// What is remembered of a file that was read.
#[derive(Clone)]
struct Known {
    stamp: Stamp,
    mode: Mode,
    content: Content,
    digests: Option<Digests>,
    bytes: Option<Arc<Vec<u8>>>,
    /// Whether the stamp alone will tell that the file is the same.
    tells: bool,
}

/// What is remembered of a bundle's files, by their paths. A plan carries it to the signing: there, each file's stamp says whether what is
/// remembered still holds. In a copy of the bundle, where every file is another, nothing does.
#[derive(Clone, Default)]
pub(super) struct Remembered(HashMap<Utf8PathBuf, Known>);

impl Remembered {
    /// What whoever reads the bundle back may rely on.
    pub(super) fn seen(&self) -> Seen {
        let seen = self.0.values().filter(|known| known.tells);
        seen.filter_map(|known| known.digests.map(|digests| (known.stamp, (digests.sha1, digests.sha256)))).collect()
    }
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files", self.0.len())
    }
}

/// How much of a file the one reading is to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Whether it is code, and its bytes if it is: enough to decide, and not enough to sign.
    Look,
    /// Its hashes, too.
    Whole,
}

/// The files of a bundle while it is planned.
pub(super) struct Files<'a> {
    root: &'a Root,
    reading: Reading,
    known: Mutex<HashMap<Utf8PathBuf, Known>>,
    bundles: Mutex<BTreeMap<Utf8PathBuf, Arc<Anatomy>>>,
    kept: AtomicU64,
}

impl<'a> Files<'a> {
    pub(super) fn new(root: &'a Root, reading: Reading) -> Self {
        Self { root, reading, known: Mutex::default(), bundles: Mutex::default(), kept: AtomicU64::new(0) }
    }

    pub(super) fn root(&self) -> &'a Root {
        self.root
    }

    /// What the file at `path` is. The bytes of code are read to be had from [`Self::bytes`], everything else is hashed.
    pub(super) fn look(&self, path: &Utf8Path) -> io::Result<Content> {
        self.learn(path, false, |content| *content == Content::MachO)
    }

    /// As [`Self::look`], for a file that is sealed by its hashes, whether it is code or not.
    pub(super) fn look_as_data(&self, path: &Utf8Path) -> io::Result<Content> {
        self.learn(path, true, |_| false)
    }

    /// All bytes of the file at `path`.
    pub(super) fn bytes(&self, path: &Utf8Path) -> io::Result<Arc<Vec<u8>>> {
        if let Some(bytes) = lock(&self.known).get(path).and_then(|known| known.bytes.clone()) {
            return Ok(bytes);
        }
        self.read(path, self.root.file(path)?)
    }

    /// The bundle at `path`, if there is one; its property list is read once.
    pub(super) fn bundle(&self, path: &Utf8Path) -> Result<Option<Arc<Anatomy>>, AnatomyError> {
        if let Some(bundle) = lock(&self.bundles).get(path) {
            return Ok(Some(bundle.clone()));
        }
        let found = Anatomy::find_by(self.root, path, |path| Ok(self.bytes(path)?.to_vec()))?.map(Arc::new);
        if let Some(bundle) = &found {
            lock(&self.bundles).insert(path.to_owned(), bundle.clone());
        }
        Ok(found)
    }

    /// What was found out, for the signing.
    pub(super) fn remembered(self) -> Remembered {
        match self.reading {
            Reading::Look => Remembered::default(),
            Reading::Whole => Remembered(self.known.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn learn(&self, path: &Utf8Path, as_data: bool, wants_bytes: impl Fn(&Content) -> bool) -> io::Result<Content> {
        if let Some(known) = lock(&self.known).get(path) {
            return Ok(known.content.clone());
        }
        let (file, tells) = match self.reading {
            Reading::Look => (self.root.file(path)?, false),
            Reading::Whole => seen::open(self.root, path)?,
        };
        let content = file.sniff();
        if wants_bytes(&content) {
            self.read(path, file)?;
        } else if self.reading == Reading::Whole && (as_data || content != Content::MachO) {
            let (stamp, mode) = (file.stamp(), file.mode());
            let digests = Some(Digests::of_file(file)?);
            let known = Known { stamp, mode, content: content.clone(), digests, bytes: None, tells };
            lock(&self.known).insert(path.to_owned(), known);
        }
        Ok(content)
    }

    /// Reads a file to its end, and keeps what it holds if there is room.
    fn read(&self, path: &Utf8Path, file: Opened) -> io::Result<Arc<Vec<u8>>> {
        let (stamp, mode, content) = (file.stamp(), file.mode(), file.sniff());
        let bytes = Arc::new(file.read()?);
        let length = bytes.len() as u64;
        let fits = self.kept.fetch_add(length, Ordering::Relaxed) + length <= MAX_KEPT;
        // Of code, the hashes are those of the signed file.
        let hashes = self.reading == Reading::Whole && content != Content::MachO;
        let digests = hashes.then(|| Digests::of(&bytes));
        let known = Known { stamp, mode, content, digests, bytes: fits.then(|| bytes.clone()), tells: false };
        if !fits {
            self.kept.fetch_sub(length, Ordering::Relaxed);
        }
        lock(&self.known).insert(path.to_owned(), known);
        Ok(bytes)
    }
}

/// The files of a bundle while it is signed, some of which were read before.
pub(super) struct SealedFiles<'a> {
    root: &'a Root,
    before: &'a Remembered,
    /// Files that signing wrote and seals hold.
    written: Mutex<HashMap<Utf8PathBuf, Digests>>,
}

impl<'a> SealedFiles<'a> {
    pub(super) fn new(root: &'a Root, before: &'a Remembered) -> Self {
        Self { root, before, written: Mutex::default() }
    }

    /// What is remembered of `path`, if that is still so.
    fn known(&self, path: &Utf8Path) -> io::Result<Option<&'a Known>> {
        match self.before.0.get(path) {
            Some(known) if self.root.stamp(path)? == Some(known.stamp) => Ok(Some(known)),
            _ => Ok(None),
        }
    }

    /// As [`Self::known`], for a file in a folder that is open.
    fn known_in(&self, folder: &OwnedFd, path: &Utf8Path) -> Option<&'a Known> {
        let known = self.before.0.get(path)?;
        (Stamp::find(folder, path.file_name()?)? == known.stamp).then_some(known)
    }

    /// All bytes of the file at `path`, and its permissions.
    pub(super) fn bytes(&self, path: &Utf8Path) -> io::Result<(Arc<Vec<u8>>, Mode)> {
        if let Some(Known { bytes: Some(bytes), mode, .. }) = self.known(path)? {
            return Ok((bytes.clone(), *mode));
        }
        let file = self.root.file(path)?;
        let mode = file.mode();
        Ok((Arc::new(file.read()?), mode))
    }

    /// A folder, for [`Self::digests`] of the files in it; `None` where it cannot be opened, which those files will say.
    pub(super) fn folder(&self, path: &Utf8Path) -> Option<OwnedFd> {
        self.root.folder(path).ok()
    }

    /// The hashes of the file at `path` as it is now; `folder` is the one that it stands in.
    pub(super) fn digests(&self, folder: Option<&OwnedFd>, path: &Utf8Path) -> io::Result<Digests> {
        if let Some(written) = lock(&self.written).get(path) {
            return Ok(*written);
        }
        match folder.and_then(|folder| self.known_in(folder, path)) {
            Some(Known { digests: Some(digests), .. }) => Ok(*digests),
            Some(Known { bytes: Some(bytes), .. }) => Ok(Digests::of(bytes)),
            _ => Digests::of_file(self.root.file(path)?),
        }
    }

    /// The file at `path` was written anew.
    pub(super) fn wrote(&self, path: &Utf8Path, data: &[u8]) {
        let digests = Digests::of(data);
        lock(&self.written).insert(path.to_owned(), digests);
    }
}

/// What is behind it is whole at any moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(Utf8Path::from_path(dir.path()).unwrap()).unwrap();
        (dir, root)
    }

    fn write(root: &Root, name: &str, data: &[u8]) {
        fs_err::write(root.path().join(name), data).unwrap();
    }

    #[test]
    fn hashes_are_the_same_either_way() {
        let (_dir, root) = folder();
        for size in [0, 1, 63, 64, 65, 1_000_003] {
            let data: Vec<u8> = (0..size).map(|at| at as u8).collect();
            write(&root, "file", &data);
            let files = Files::new(&root, Reading::Whole);
            files.look("file".into()).unwrap();
            let remembered = files.remembered();
            let apart = Digests { sha1: Sha1::digest(&data).into(), sha256: Sha256::digest(&data).into() };
            assert_eq!(remembered.0[Utf8Path::new("file")].digests, Some(apart));
            assert_eq!(
                SealedFiles::new(&root, &remembered)
                    .digests(root.folder("".into()).ok().as_ref(), "file".into())
                    .unwrap(),
                apart
            );
            assert_eq!(
                SealedFiles::new(&root, &Remembered::default())
                    .digests(root.folder("".into()).ok().as_ref(), "file".into())
                    .unwrap(),
                apart
            );
        }
    }

    #[test]
    fn code_that_memory_has_no_room_for_is_read_again() {
        let (_dir, root) = folder();
        const CODE: &[u8] = b"\xcf\xfa\xed\xfe and more";
        write(&root, "code", CODE);
        let files = Files::new(&root, Reading::Whole);
        files.kept.store(MAX_KEPT - CODE.len() as u64 + 1, Ordering::Relaxed);
        assert_eq!(files.look("code".into()).unwrap(), Content::MachO);
        let remembered = files.remembered();
        assert_eq!(remembered.0[Utf8Path::new("code")].bytes, None);
        let signing = SealedFiles::new(&root, &remembered);
        assert_eq!(*signing.bytes("code".into()).unwrap().0, CODE);
        assert_eq!(signing.digests(root.folder("".into()).ok().as_ref(), "code".into()).unwrap(), Digests::of(CODE));
    }

    #[test]
    fn what_changed_since_is_read_again_and_what_was_written_is_not() {
        let (_dir, root) = folder();
        const CODE: &[u8] = b"\xcf\xfa\xed\xfe and more";
        write(&root, "data", b"before");
        write(&root, "code", CODE);
        let files = Files::new(&root, Reading::Whole);
        assert_eq!(files.look("code".into()).unwrap(), Content::MachO);
        assert_eq!(files.look("data".into()).unwrap(), Content::Other);
        let remembered = files.remembered();
        let digests = |name: &str| {
            let signing = SealedFiles::new(&root, &remembered);
            signing.digests(signing.folder("".into()).as_ref(), name.into()).unwrap()
        };
        assert_eq!((digests("data"), digests("code")), (Digests::of(b"before"), Digests::of(CODE)));
        // Others under the old names, as long as they were.
        for name in ["data", "code"] {
            fs_err::remove_file(root.path().join(name)).unwrap();
            write(&root, name, if name == "data" { b"behind" } else { &CODE[..9] });
        }
        assert_eq!((digests("data"), digests("code")), (Digests::of(b"behind"), Digests::of(&CODE[..9])));
        let (bytes, _) = SealedFiles::new(&root, &remembered).bytes("code".into()).unwrap();
        assert_eq!(*bytes, CODE[..9]);
        let signing = SealedFiles::new(&root, &remembered);
        signing.wrote("code".into(), b"signed");
        assert_eq!(
            signing.digests(root.folder("".into()).ok().as_ref(), "code".into()).unwrap(),
            Digests::of(b"signed")
        );
    }
}
