//! Reading files of a bundle that somebody may be changing: no symlink is followed on any part of the way, no pipe is waited for, and
//! nothing grows for ever.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use crate::macho::{Content, sniff};

/// How much is read at a time: what is hashed should still be in the processor's own memory.
const BUFFER: usize = 64 * 1024;
/// What the start of a file says of it is in so many bytes.
const START: usize = 20;

/// The folder of a bundle, opened once; it alone may be reached through symlinks.
pub(super) struct Root {
    path: Utf8PathBuf,
    folder: OwnedFd,
}

/// A plain file, opened once, and its first bytes.
pub(super) struct Opened {
    path: Utf8PathBuf,
    file: File,
    buffer: Vec<u8>,
    filled: usize,
    size: u64,
}

/// The hashes that seals hold of files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hashes {
    pub sha1: Vec<u8>,
    pub sha256: Vec<u8>,
}

fn named(path: &Utf8Path, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("cannot read `{path}`: {error}"))
}

impl Root {
    pub(super) fn open(path: &Utf8Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
        let folder = rustix::fs::open(path.as_std_path(), flags, Mode::empty());
        Ok(Self { path: path.to_owned(), folder: folder.map_err(|error| named(path, error))? })
    }

    /// The file at `relative`.
    pub(super) fn file(&self, relative: &Utf8Path) -> io::Result<Opened> {
        let path = self.path.join(relative);
        let file = open_below(&self.folder, relative).map_err(|error| named(&path, error))?;
        Opened::start(path, File::from(file))
    }

    /// All of a plain file.
    pub(super) fn read(&self, relative: &Utf8Path) -> io::Result<Vec<u8>> {
        self.file(relative)?.read()
    }
}

/// Opens a file for reading, through no symlink: in one step where the kernel can, else folder by folder.
fn open_below(folder: &OwnedFd, relative: &Utf8Path) -> rustix::io::Result<OwnedFd> {
    let name = relative.file_name().ok_or(Errno::ISDIR)?;
    let inner = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::ResolveFlags;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let path = relative.as_std_path();
        match rustix::fs::openat2(folder, path, inner | OFlags::NONBLOCK, Mode::empty(), resolve) {
            // A kernel before 5.6, and a sandbox that knows no such call.
            Err(Errno::NOSYS | Errno::PERM) => {}
            done => return done,
        }
    }
    step_below(folder, relative.parent(), name)
}

fn step_below(folder: &OwnedFd, way: Option<&Utf8Path>, name: &str) -> rustix::io::Result<OwnedFd> {
    let inner = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut reached: Option<OwnedFd> = None;
    for part in way.into_iter().flat_map(Utf8Path::components) {
        let from = reached.as_ref().unwrap_or(folder);
        reached = Some(rustix::fs::openat(from, part.as_str(), inner | OFlags::DIRECTORY, Mode::empty())?);
    }
    rustix::fs::openat(reached.as_ref().unwrap_or(folder), name, inner | OFlags::NONBLOCK, Mode::empty())
}

impl Opened {
    fn start(path: Utf8PathBuf, mut file: File) -> io::Result<Self> {
        let metadata = file.metadata().map_err(|error| named(&path, error))?;
        if !metadata.is_file() {
            return Err(named(&path, io::Error::other("it is no plain file any more")));
        }
        let size = metadata.len();
        // One byte more than a small file has: a read that leaves it free has met the end.
        let room = usize::try_from(size.saturating_add(1)).map_or(BUFFER, |room| room.min(BUFFER));
        let mut buffer = vec![0; room];
        let mut filled = 0;
        while filled < START.min(room) {
            match file.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(named(&path, error)),
            }
        }
        Ok(Self { path, file, buffer, filled, size })
    }

    /// What its first bytes promise.
    pub(super) fn sniff(&self) -> Content {
        sniff(&self.buffer[..self.filled.min(START)])
    }

    /// All of it.
    pub(super) fn read(self) -> io::Result<Vec<u8>> {
        let Self { path, file, buffer: mut data, filled, size } = self;
        let is_whole = filled < data.len() && filled as u64 == size;
        data.truncate(filled);
        if !is_whole {
            let rest = size.saturating_add(1).saturating_sub(filled as u64);
            data.reserve_exact(usize::try_from(rest).unwrap_or(0));
            file.take(rest).read_to_end(&mut data).map_err(|error| named(&path, error))?;
        }
        if data.len() as u64 == size { Ok(data) } else { Err(changed(&path)) }
    }

    /// Both hashes, made while it is read once.
    pub(super) fn hashes(self) -> io::Result<Hashes> {
        let Self { path, mut file, mut buffer, mut filled, size } = self;
        let mut hasher = Hasher::default();
        let mut count = 0;
        loop {
            hasher.update(&buffer[..filled]);
            count += filled as u64;
            if filled == 0 || count > size || (count == size && filled < buffer.len()) {
                break;
            }
            filled = loop {
                match file.read(&mut buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read.map_err(|error| named(&path, error))?,
                }
            };
        }
        if count == size { Ok(hasher.finish()) } else { Err(changed(&path)) }
    }
}

impl Hashes {
    pub(super) fn of(data: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(data);
        hasher.finish()
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
        Hashes { sha1: self.sha1.finalize().to_vec(), sha256: self.sha256.finalize().to_vec() }
    }
}

fn changed(path: &Utf8Path) -> io::Error {
    io::Error::other(format!("`{path}` changed while it was read; verify it again when nothing writes to it"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().to_owned();
        (dir, path)
    }

    fn read(root: &Utf8Path, relative: &Utf8Path) -> io::Result<Vec<u8>> {
        Root::open(root)?.read(relative)
    }

    #[test]
    fn hashes_are_the_same_either_way() {
        let (_dir, root) = folder();
        for size in [0, 1, 19, 20, 21, 63, 64, 65, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER, 1_000_003] {
            let data: Vec<u8> = (0..size).map(|at| at as u8).collect();
            let path = root.join("file");
            fs_err::write(&path, &data).unwrap();
            assert_eq!(read(&root, "file".into()).unwrap(), data);
            let hashes = Root::open(&root).unwrap().file("file".into()).unwrap().hashes().unwrap();
            let apart = Hashes { sha1: Sha1::digest(&data).to_vec(), sha256: Sha256::digest(&data).to_vec() };
            assert_eq!((&hashes, &Hashes::of(&data)), (&apart, &apart));
        }
    }

    #[test]
    fn only_plain_files_are_read() {
        let (_dir, root) = folder();
        fs_err::write(root.join("file"), "text").unwrap();
        fs_err::os::unix::fs::symlink("file", root.join("link")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(root.join("pipe")).status().unwrap();
        assert!(made.success());
        fs_err::create_dir_all(root.join("a/b")).unwrap();
        fs_err::write(root.join("a/b/file"), "text").unwrap();
        fs_err::os::unix::fs::symlink("a", root.join("folder")).unwrap();
        assert_eq!(read(&root, "a/b/file".into()).unwrap(), b"text");
        assert_eq!(read(&root.join("folder"), "b/file".into()).unwrap(), b"text");
        for (name, says) in [
            ("link", "link"),
            ("folder/b/file", "folder"),
            ("pipe", "no plain file"),
            ("a", "no plain file"),
            ("", "directory"),
            ("none", "No such"),
        ] {
            let error = read(&root, name.into()).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains(name), "{error}");
        }
    }

    /// Kernels that cannot do it in one step are not at hand.
    #[test]
    fn step_by_step_no_symlink_is_followed_either() {
        let (_dir, root) = folder();
        fs_err::create_dir_all(root.join("a/b")).unwrap();
        fs_err::write(root.join("a/b/file"), "text").unwrap();
        fs_err::os::unix::fs::symlink("a", root.join("folder")).unwrap();
        fs_err::os::unix::fs::symlink("file", root.join("a/b/link")).unwrap();
        let opened = Root::open(&root).unwrap();
        let step = |path: &str| {
            let path = Utf8Path::new(path);
            step_below(&opened.folder, path.parent(), path.file_name().unwrap()).err()
        };
        assert_eq!(step("a/b/file"), None);
        for path in ["folder/b/file", "a/b/link", "folder"] {
            assert!(matches!(step(path), Some(Errno::LOOP | Errno::NOTDIR)), "{path}: {:?}", step(path));
        }
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_an_error() {
        let (_dir, root) = folder();
        let path = root.join("file");
        for grow in [true, false] {
            for hash in [true, false] {
                // More than is read when it is opened.
                fs_err::write(&path, vec![7; 3 * BUFFER]).unwrap();
                let opened = Root::open(&root).unwrap().file("file".into()).unwrap();
                let mut file = fs_err::OpenOptions::new().append(true).open(&path).unwrap();
                if grow {
                    file.write_all(&[8; 100]).unwrap()
                } else {
                    file.set_len(2 * BUFFER as u64).unwrap()
                }
                let error = if hash { opened.hashes().err() } else { opened.read().err() };
                assert!(error.unwrap().to_string().contains("changed while it was read"));
            }
        }
    }
}
