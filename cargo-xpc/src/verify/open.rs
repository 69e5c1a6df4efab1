//! Reading files of a bundle that somebody may be changing: no symlink is followed on any part of the way, no pipe is waited for, and
//! nothing grows for ever.

use std::fs::File;
use std::io::{self, Read as _};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{Mode, OFlags};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use crate::macho::{Content, sniff};

/// A plain file, opened once.
pub(super) struct Opened {
    path: Utf8PathBuf,
    file: File,
    start: Vec<u8>,
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

impl Opened {
    /// The file at `relative` in the folder `root`, which alone may be reached through symlinks.
    pub(super) fn open(root: &Utf8Path, relative: &Utf8Path) -> io::Result<Self> {
        let path = root.join(relative);
        let step = OFlags::RDONLY | OFlags::CLOEXEC;
        let inner = step | OFlags::NOFOLLOW;
        let opened = || {
            let mut folder = rustix::fs::open(root.as_std_path(), step | OFlags::DIRECTORY, Mode::empty())?;
            for part in relative.parent().into_iter().flat_map(Utf8Path::components) {
                folder = rustix::fs::openat(&folder, part.as_str(), inner | OFlags::DIRECTORY, Mode::empty())?;
            }
            let name = relative.file_name().ok_or(rustix::io::Errno::ISDIR)?;
            rustix::fs::openat(&folder, name, inner | OFlags::NONBLOCK, Mode::empty())
        };
        let file = opened().map_err(|error| named(&path, error))?;
        let mut file = File::from(file);
        let metadata = file.metadata().map_err(|error| named(&path, error))?;
        if !metadata.is_file() {
            return Err(named(&path, io::Error::other("it is no plain file any more")));
        }
        let mut start = Vec::with_capacity(20);
        (&mut file).take(20).read_to_end(&mut start).map_err(|error| named(&path, error))?;
        Ok(Self { path, file, start, size: metadata.len() })
    }

    /// What its first bytes promise.
    pub(super) fn sniff(&self) -> Content {
        sniff(&self.start)
    }

    /// All of it.
    pub(super) fn read(self) -> io::Result<Vec<u8>> {
        let mut data = self.start;
        let rest = self.size.saturating_add(1).saturating_sub(data.len() as u64);
        (&self.file).take(rest).read_to_end(&mut data).map_err(|error| named(&self.path, error))?;
        if data.len() as u64 == self.size { Ok(data) } else { Err(changed(&self.path)) }
    }

    /// Both hashes, made while it is read once.
    pub(super) fn hashes(self) -> io::Result<Hashes> {
        let (mut sha1, mut sha256) = (Sha1::new(), Sha256::new());
        let mut buffer = vec![0; 256 * 1024];
        let mut count = 0;
        let mut chunk = self.start.as_slice();
        while !chunk.is_empty() {
            sha1.update(chunk);
            sha256.update(chunk);
            count += chunk.len() as u64;
            if count > self.size {
                break;
            }
            let read = (&self.file).read(&mut buffer).map_err(|error| named(&self.path, error))?;
            chunk = buffer.get(..read).unwrap_or_default();
        }
        if count != self.size {
            return Err(changed(&self.path));
        }
        Ok(Hashes { sha1: sha1.finalize().to_vec(), sha256: sha256.finalize().to_vec() })
    }
}

impl Hashes {
    pub(super) fn of(data: &[u8]) -> Self {
        Self { sha1: Sha1::digest(data).to_vec(), sha256: Sha256::digest(data).to_vec() }
    }
}

fn changed(path: &Utf8Path) -> io::Error {
    io::Error::other(format!("`{path}` changed while it was read; verify it again when nothing writes to it"))
}

/// All of a plain file.
pub(super) fn read(root: &Utf8Path, relative: &Utf8Path) -> io::Result<Vec<u8>> {
    Opened::open(root, relative)?.read()
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

    #[test]
    fn hashes_are_the_same_either_way() {
        let (_dir, root) = folder();
        for size in [0, 1, 19, 20, 21, 256 * 1024, 256 * 1024 + 20, 1_000_003] {
            let data: Vec<u8> = (0..size).map(|at| at as u8).collect();
            let path = root.join("file");
            fs_err::write(&path, &data).unwrap();
            assert_eq!(read(&root, "file".into()).unwrap(), data);
            assert_eq!(Opened::open(&root, "file".into()).unwrap().hashes().unwrap(), Hashes::of(&data));
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

    #[test]
    fn a_file_that_changes_meanwhile_is_an_error() {
        let (_dir, root) = folder();
        let path = root.join("file");
        for grow in [true, false] {
            for hash in [true, false] {
                fs_err::write(&path, [7; 1000]).unwrap();
                let opened = Opened::open(&root, "file".into()).unwrap();
                let mut file = fs_err::OpenOptions::new().append(true).open(&path).unwrap();
                if grow {
                    file.write_all(&[8; 100]).unwrap()
                } else {
                    file.set_len(500).unwrap()
                }
                let error = if hash { opened.hashes().err() } else { opened.read().err() };
                assert!(error.unwrap().to_string().contains("changed while it was read"));
            }
        }
    }
}
