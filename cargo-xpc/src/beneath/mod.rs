//! Looking into a folder that somebody may be changing, and into nothing else.
//!
//! What a name stands for is decided by what was opened under it: nothing is looked at first and opened by its path later. Every way
//! begins at the descriptor of one folder, leads through no symlink and waits for no pipe; what grows for ever is not read for ever.
//! The rooms that read bundles, signing and reading back among them, share this and no more.

mod opened;
mod stamp;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

pub use opened::Opened;
pub use stamp::{Moment, Stamp};

/// A folder, opened once; it alone may be reached through symlinks. All paths are relative to it; its own is empty.
#[derive(Clone, Debug)]
pub struct Root {
    path: Utf8PathBuf,
    folder: Arc<OwnedFd>,
}

impl Root {
    /// Opens the folder at `path`.
    ///
    /// # Errors
    /// Where there is none, or it may not be read.
    pub fn open(path: &Utf8Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
        let shown = if path.as_str().is_empty() { Utf8Path::new(".") } else { path };
        let folder = rustix::fs::open(shown.as_std_path(), flags, Mode::empty());
        Ok(Self { path: path.to_owned(), folder: Arc::new(folder.map_err(|error| named(path, error))?) })
    }

    /// As it was opened: what errors call it.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// How errors call what stands at `relative`.
    pub fn shown(&self, relative: &Utf8Path) -> Utf8PathBuf {
        if relative.as_str().is_empty() { self.path.clone() } else { self.path.join(relative) }
    }

    /// Opens the plain file at `relative`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn file(&self, relative: &Utf8Path) -> io::Result<Opened> {
        let path = self.shown(relative);
        let file = open_beneath(self.folder.as_fd(), relative, OFlags::NONBLOCK);
        Opened::start(File::from(file.map_err(|error| named(&path, error))?), path)
    }

    /// All of the plain file at `relative`.
    ///
    /// # Errors
    /// Where there is none, or it changes meanwhile.
    pub fn read(&self, relative: &Utf8Path) -> io::Result<Vec<u8>> {
        self.file(relative)?.read()
    }

    /// Opens the folder at `relative`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn folder(&self, relative: &Utf8Path) -> io::Result<OwnedFd> {
        self.open_folder(relative).map_err(|error| named(&self.shown(relative), error))
    }

    fn open_folder(&self, relative: &Utf8Path) -> rustix::io::Result<OwnedFd> {
        open_beneath(self.folder.as_fd(), relative, OFlags::DIRECTORY)
    }

    /// What stands in the folder at `relative`, in the order of the names.
    ///
    /// # Errors
    /// Where there is no folder.
    pub fn list(&self, relative: &Utf8Path) -> io::Result<Vec<(OsString, FileType)>> {
        self.list_folder(relative).map_err(|error| named(&self.shown(relative), error))
    }

    fn list_folder(&self, relative: &Utf8Path) -> rustix::io::Result<Vec<(OsString, FileType)>> {
        let mut entries = Vec::new();
        let mut folder = Dir::new(self.open_folder(relative)?)?;
        while let Some(entry) = folder.read() {
            let entry = entry?;
            let name = entry.file_name();
            if [b".".as_slice(), b".."].contains(&name.to_bytes()) {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems do not say.
                FileType::Unknown => {
                    let stat = rustix::fs::statat(folder.fd()?, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(stat.st_mode)
                }
                kind => kind,
            };
            entries.push((OsStr::from_bytes(name.to_bytes()).to_owned(), kind));
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }

    /// Where the symlink at `relative` points, word for word.
    ///
    /// # Errors
    /// Where there is none.
    pub fn read_link(&self, relative: &Utf8Path) -> io::Result<PathBuf> {
        let target = self.beside(relative, |folder, name| rustix::fs::readlinkat(folder, name, Vec::new()));
        let target = target.map_err(|error| named(&self.shown(relative), error))?;
        Ok(PathBuf::from(OsStr::from_bytes(target.to_bytes())))
    }

    /// What is known of what stands at `relative`; of a symlink, of itself. `None`: nothing stands there, or only behind a symlink.
    ///
    /// # Errors
    /// Where it may not be looked at.
    pub fn stat(&self, relative: &Utf8Path) -> io::Result<Option<Stat>> {
        let stat = if relative.as_str().is_empty() {
            rustix::fs::fstat(&self.folder)
        } else {
            self.beside(relative, |folder, name| rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW))
        };
        match stat {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(named(&self.shown(relative), error)),
        }
    }

    /// The stamp of what stands at `relative`; `None` where that is nothing. One look, without a way made of folders: what stands behind a
    /// symlink is another file, and has another stamp.
    ///
    /// # Errors
    /// Where it may not be looked at.
    pub fn stamp(&self, relative: &Utf8Path) -> io::Result<Option<Stamp>> {
        match rustix::fs::statat(&self.folder, relative.as_std_path(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Stamp::of(&stat))),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(named(&self.shown(relative), error)),
        }
    }

    /// Whether a folder, and no symlink to one, stands at `relative`.
    ///
    /// # Errors
    /// As for [`Self::stat`].
    pub fn is_folder(&self, relative: &Utf8Path) -> io::Result<bool> {
        Ok(self.kind(relative)? == Some(FileType::Directory))
    }

    /// Whether a plain file, and no symlink to one, stands at `relative`.
    ///
    /// # Errors
    /// As for [`Self::stat`].
    pub fn is_file(&self, relative: &Utf8Path) -> io::Result<bool> {
        Ok(self.kind(relative)? == Some(FileType::RegularFile))
    }

    fn kind(&self, relative: &Utf8Path) -> io::Result<Option<FileType>> {
        Ok(self.stat(relative)?.map(|stat| FileType::from_raw_mode(stat.st_mode)))
    }

    /// Does something in the folder of `relative`, under its name.
    pub(crate) fn beside<R>(
        &self,
        relative: &Utf8Path,
        work: impl FnOnce(&OwnedFd, &str) -> rustix::io::Result<R>,
    ) -> rustix::io::Result<R> {
        let name = relative.file_name().ok_or(Errno::INVAL)?;
        match relative.parent().filter(|parent| !parent.as_str().is_empty()) {
            None => work(&self.folder, name),
            Some(parent) => work(&self.open_folder(parent)?, name),
        }
    }
}

/// Opens for reading, through no symlink: in one step where the kernel can, else folder by folder.
fn open_beneath(folder: impl AsFd, relative: &Utf8Path, more: OFlags) -> rustix::io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::ResolveFlags;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let path = if relative.as_str().is_empty() { Utf8Path::new(".") } else { relative };
        // Where nobody notes that something was read, no inode is written. Only its owner may ask for that.
        for flags in [STEP | more | OFlags::NOATIME, STEP | more] {
            match rustix::fs::openat2(folder.as_fd(), path.as_std_path(), flags, Mode::empty(), resolve) {
                // A kernel before 5.6, and a sandbox that knows no such call.
                Err(Errno::NOSYS | Errno::PERM) => {}
                done => return done,
            }
        }
    }
    open_by_steps(folder, relative, more)
}

/// Each part of a way is opened like this.
const STEP: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

fn open_by_steps(folder: impl AsFd, relative: &Utf8Path, more: OFlags) -> rustix::io::Result<OwnedFd> {
    let mut reached = None;
    let mut parts = relative.components().peekable();
    while let Some(part) = parts.next() {
        // `..` would lead out, and so would the root.
        let Utf8Component::Normal(name) = part else { return Err(Errno::XDEV) };
        let flags = STEP | if parts.peek().is_some() { OFlags::DIRECTORY } else { more };
        let from = reached.as_ref().map_or(folder.as_fd(), OwnedFd::as_fd);
        reached = Some(rustix::fs::openat(from, name, flags, Mode::empty())?);
    }
    match reached {
        Some(reached) => Ok(reached),
        None => rustix::fs::openat(folder, ".", STEP | more, Mode::empty()),
    }
}

/// An error of the system's, and what it is about.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{path}`: {}", why(error))]
struct Named {
    path: Utf8PathBuf,
    error: io::Error,
}

fn why(error: &io::Error) -> String {
    if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
        return "a symlink stands there, or on the way; none is followed".to_owned();
    }
    error.to_string()
}

fn named(path: &Utf8Path, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), Named { path: path.to_owned(), error })
}

/// What the system said, for those who name the path in their own words.
pub(crate) fn unnamed(error: io::Error) -> io::Error {
    match error.downcast::<Named>() {
        Ok(named) => named.error,
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::opened::{BUFFER, START};
    use super::*;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().to_owned();
        (dir, path)
    }

    fn read(root: &Utf8Path, relative: &str) -> io::Result<Vec<u8>> {
        Root::open(root)?.read(relative.into())
    }

    /// `a/b/file`, and symlinks to each of them.
    fn tree(root: &Utf8Path) {
        fs_err::create_dir_all(root.join("a/b")).unwrap();
        fs_err::write(root.join("a/b/file"), "text").unwrap();
        fs_err::os::unix::fs::symlink("a", root.join("folder")).unwrap();
        fs_err::os::unix::fs::symlink("file", root.join("a/b/link")).unwrap();
        let made = crate::child::command("mkfifo").arg(root.join("pipe")).status().unwrap();
        assert!(made.success());
    }

    #[test]
    fn either_way_all_is_read() {
        let (_dir, root) = folder();
        for size in [0, 1, 19, 20, 21, 63, 64, 65, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER, 1_000_003] {
            let data: Vec<u8> = (0..size).map(|at| at as u8).collect();
            fs_err::write(root.join("file"), &data).unwrap();
            assert_eq!(read(&root, "file").unwrap(), data);
            let opened = Root::open(&root).unwrap().file("file".into()).unwrap();
            assert_eq!((opened.size(), opened.first()), (size as u64, &data[..size.min(START)]));
            let mut pieces = Vec::new();
            opened.pieces(|piece| pieces.extend_from_slice(piece)).unwrap();
            assert_eq!(pieces, data);
        }
    }

    #[test]
    fn only_plain_files_are_read() {
        let (_dir, root) = folder();
        tree(&root);
        assert_eq!(read(&root, "a/b/file").unwrap(), b"text");
        assert_eq!(read(&root.join("folder"), "b/file").unwrap(), b"text");
        for (name, says) in [
            ("a/b/link", "symlink"),
            ("folder/b/file", "symlink"),
            ("pipe", "no file that"),
            ("a", "no file that"),
            ("none", "No such"),
            ("../a", "cross-device"),
        ] {
            let error = read(&root, name).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains(name), "{error}");
        }
    }

    #[test]
    fn nothing_behind_a_symlink_is_seen() {
        let (_dir, path) = folder();
        tree(&path);
        let root = Root::open(&path).unwrap();
        let kinds = ["", "a", "a/b/file", "a/b/link", "pipe", "folder", "folder/b", "a/b/file/x", "none"]
            .map(|path| root.kind(path.into()).unwrap());
        use FileType::{Directory, Fifo, RegularFile, Symlink};
        let expected = [Some(Directory), Some(Directory), Some(RegularFile), Some(Symlink), Some(Fifo), Some(Symlink)];
        assert_eq!(kinds[..6], expected);
        assert_eq!(kinds[6..], [None; 3]);
        let names: Vec<_> = root.list("".into()).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "folder", "pipe"]);
        assert_eq!(root.list("a/b".into()).unwrap(), [("file".into(), RegularFile), ("link".into(), Symlink)]);
        assert!(root.list("folder".into()).is_err() && root.list("folder/b".into()).is_err());
        assert_eq!(root.read_link("a/b/link".into()).unwrap(), PathBuf::from("file"));
        assert!(root.read_link("folder/b/link".into()).is_err() && root.read_link("a".into()).is_err());
    }

    /// Kernels that cannot do it in one step are not at hand.
    #[test]
    fn step_by_step_no_symlink_is_followed_either() {
        let (_dir, root) = folder();
        tree(&root);
        let opened = Root::open(&root).unwrap();
        let step = |path: &str| open_by_steps(&*opened.folder, path.into(), OFlags::NONBLOCK).err();
        assert_eq!(["a/b/file", "a", "", "pipe"].map(step), [None; 4]);
        for path in ["folder/b/file", "a/b/link", "folder"] {
            assert!(matches!(step(path), Some(Errno::LOOP | Errno::NOTDIR)), "{path}: {:?}", step(path));
        }
        for path in ["..", "a/../../x", "/"] {
            assert_eq!(step(path), Some(Errno::XDEV), "{path}");
        }
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_an_error() {
        let (_dir, root) = folder();
        let path = root.join("file");
        for change in ["grow", "shrink", "overwrite"] {
            for whole in [true, false] {
                // More than is read when it is opened.
                fs_err::write(&path, vec![7; 3 * BUFFER]).unwrap();
                let long_ago = std::time::SystemTime::UNIX_EPOCH;
                let mut file = fs_err::OpenOptions::new().write(true).open(&path).unwrap();
                file.file().set_modified(long_ago).unwrap();
                let opened = Root::open(&root).unwrap().file("file".into()).unwrap();
                match change {
                    "grow" => file.set_len(3 * BUFFER as u64 + 100).unwrap(),
                    "shrink" => file.set_len(2 * BUFFER as u64).unwrap(),
                    _ => file.write_all(b"other").unwrap(),
                }
                let error = if whole { opened.read().err() } else { opened.pieces(|_| {}).err() };
                assert!(error.unwrap().to_string().contains("changed while it was read"), "{change}");
            }
        }
    }

    #[test]
    fn a_stamp_is_of_one_file_in_one_state() {
        let (_dir, root) = folder();
        fs_err::write(root.join("one"), "text").unwrap();
        fs_err::write(root.join("two"), "text").unwrap();
        let stamp = |name: &str| Root::open(&root).unwrap().file(name.into()).unwrap().stamp();
        let before = stamp("one");
        assert_eq!(before, stamp("one"));
        assert_ne!(before, stamp("two"));
        let file = fs_err::OpenOptions::new().write(true).open(root.join("one")).unwrap();
        file.file().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert_ne!(before, stamp("one"));
    }
}
