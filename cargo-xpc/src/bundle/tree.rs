//! Copying and removing folders.

use std::io;
use std::os::fd::OwnedFd;

use camino::{Utf8Path, Utf8PathBuf};
use rayon::prelude::*;
use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags};
use rustix::process::Uid;

pub use super::removal::remove;
use super::staging::StagingError;
use crate::beneath::{Root, unnamed};

/// Names that Finder and `tar` leave behind; they break a seal and never belong into a bundle.
pub fn is_litter(name: &str) -> bool {
    name == ".DS_Store" || name.starts_with("._")
}

/// Copies a folder: symlinks stay symlinks, modes are kept, extended attributes and litter are not. A file is copied by itself.
///
/// Returns the litter that was left out.
///
/// # Errors
/// Where something cannot be read or written, is not UTF-8, or is neither file, folder nor symlink.
pub fn copy(from: &Utf8Path, to: &Utf8Path) -> Result<Vec<Utf8PathBuf>, StagingError> {
    populate(from, to, copy_beneath)
}

/// As [`copy`], for a folder that the new one is going to replace: what can be shared is linked, not copied.
///
/// Nothing may write to a file in the new folder: a file that changes has to become another under the old name. Then
/// the old folder stays as it was, and its removal takes nothing away from the new one.
///
/// # Errors
/// As for [`copy`].
pub fn succeed(from: &Utf8Path, to: &Utf8Path) -> Result<Vec<Utf8PathBuf>, StagingError> {
    populate(from, to, link_beneath)
}

/// A file that is going to have a likeness at `to`.
struct Source<'a> {
    root: &'a Root,
    /// The folder that it stands in, opened.
    folder: &'a OwnedFd,
    path: &'a Utf8Path,
    /// The folder that the likeness is going to stand in, opened.
    into: &'a OwnedFd,
    /// Who makes it.
    user: Uid,
}

fn open_folder(path: &Utf8Path) -> Result<OwnedFd, StagingError> {
    let shown = if path.as_str().is_empty() { Utf8Path::new(".") } else { path };
    // Names are looked up in it; it need not be readable for that.
    #[cfg(target_os = "linux")]
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(shown.as_std_path(), flags, Mode::empty())
        .map_err(|e| StagingError::io("write to", path, e.into()))
}

/// So many files of a folder are put one after the other, and the folder is opened once for them.
const TOGETHER: usize = 64;

fn populate(
    from: &Utf8Path,
    to: &Utf8Path,
    put: fn(&Source<'_>, &Utf8Path) -> Result<(), StagingError>,
) -> Result<Vec<Utf8PathBuf>, StagingError> {
    let root = match Root::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return copy_file(from, to).map(|()| Vec::new()),
        root => root.map_err(|e| unread(from, e))?,
    };
    let (mut litter, mut files) = (Vec::new(), Vec::new());
    let mut folders = vec![Utf8PathBuf::new()];
    // A level at a time: no folder waits for those beside it.
    while !folders.is_empty() {
        let made: Vec<_> = folders.par_iter().map(|folder| make_likeness(&root, folder, to)).collect();
        folders.clear();
        for made in made {
            let made = made?;
            folders.extend(made.folders);
            files.extend(made.files);
            litter.extend(made.litter);
        }
    }
    files.sort();
    litter.sort();
    // No file waits for another; the error is that of the first in order, as if one came after the other.
    let same_folder = |a: &Utf8PathBuf, b: &Utf8PathBuf| a.parent() == b.parent();
    let shares: Vec<_> = files.chunk_by(same_folder).flat_map(|files| files.chunks(TOGETHER)).collect();
    let put_share = |files: &&[Utf8PathBuf]| {
        let path = files.first().and_then(|file| file.parent()).unwrap_or(Utf8Path::new(""));
        let folder = root.folder(path).map_err(|e| unread(root.shown(path), e))?;
        let into = open_folder(&target(to, path))?;
        let user = rustix::process::geteuid();
        files
            .iter()
            .try_for_each(|path| put(&Source { root: &root, folder: &folder, path, into: &into, user }, &to.join(path)))
    };
    let done: Vec<_> = shares.par_iter().map(put_share).collect();
    done.into_iter().collect::<Result<(), _>>()?;
    Ok(litter)
}

/// What a folder has that comes after it.
#[derive(Default)]
struct Inside {
    folders: Vec<Utf8PathBuf>,
    files: Vec<Utf8PathBuf>,
    litter: Vec<Utf8PathBuf>,
}

/// A folder, and the symlinks in it.
fn make_likeness(root: &Root, folder: &Utf8Path, to: &Utf8Path) -> Result<Inside, StagingError> {
    make_folder(&target(to, folder))?;
    let mut inside = Inside::default();
    for (name, kind) in root.list(folder).map_err(|e| unread(root.shown(folder), e))? {
        let name = name
            .into_string()
            .map_err(|name| StagingError::NotUtf8(root.shown(folder).join(&*name.to_string_lossy()).into_string()))?;
        let path = folder.join(&name);
        if is_litter(&name) {
            inside.litter.push(root.shown(&path));
        } else if kind.is_dir() {
            inside.folders.push(path);
        } else if kind.is_symlink() {
            let points_at = root.read_link(&path).map_err(|e| unread(root.shown(&path), e))?;
            make_symlink(&points_at, &target(to, &path))?;
        } else if kind.is_file() {
            inside.files.push(path);
        } else {
            return Err(StagingError::SpecialFile(root.shown(&path)));
        }
    }
    Ok(inside)
}

fn target(to: &Utf8Path, path: &Utf8Path) -> Utf8PathBuf {
    if path.as_str().is_empty() { to.to_owned() } else { to.join(path) }
}

fn unread(path: impl Into<Utf8PathBuf>, error: io::Error) -> StagingError {
    StagingError::io("read", path, unnamed(error))
}

/// Makes a folder and those above it.
///
/// # Errors
/// Where the system refuses.
pub fn make_folder(path: &Utf8Path) -> Result<(), StagingError> {
    fs_err::create_dir_all(path).map_err(|e| StagingError::io("make the folder", path, e))
}

/// Refuses a way into `bundle` on which something else than a folder stands: what is put there would land elsewhere.
///
/// # Errors
/// Where that is so, or it cannot be looked at.
pub fn check_way(bundle: &Utf8Path, path: &Utf8Path) -> Result<(), StagingError> {
    let root = Root::open(bundle).map_err(|e| unread(bundle, e))?;
    for folder in path.ancestors() {
        let shown = root.shown(folder);
        let stat = root.stat(folder).map_err(|e| unread(&shown, e))?;
        if stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::Directory) {
            let name = bundle.file_name().unwrap_or_default();
            return Err(StagingError::NotAFolder(Utf8Path::new(name).join(folder)));
        }
    }
    Ok(())
}

/// Makes `to` a symlink to where `from` points, word for word.
///
/// # Errors
/// Where the system refuses, or the target is not UTF-8.
pub fn copy_symlink(from: &Utf8Path, to: &Utf8Path) -> Result<(), StagingError> {
    make_symlink(&fs_err::read_link(from).map_err(|e| StagingError::io("read", from, e))?, to)
}

fn make_symlink(target: &std::path::Path, to: &Utf8Path) -> Result<(), StagingError> {
    fs_err::os::unix::fs::symlink(target, to).map_err(|e| StagingError::io("make the symlink", to, e))
}

/// Copies contents and mode of one file, to a name that is not taken.
///
/// # Errors
/// Where the system refuses.
pub fn copy_file(from: &Utf8Path, to: &Utf8Path) -> Result<(), StagingError> {
    let parent = from.parent().unwrap_or(Utf8Path::new(""));
    let root = Root::open(parent).map_err(|e| unread(from, e))?;
    let folder = root.folder("".into()).map_err(|e| unread(from, e))?;
    let path = Utf8Path::new(from.file_name().unwrap_or_default());
    let into = open_folder(to.parent().unwrap_or(Utf8Path::new("")))?;
    copy_beneath(&Source { root: &root, folder: &folder, path, into: &into, user: rustix::process::geteuid() }, to)
}

/// Not `fs::copy`: on macOS that clones extended attributes too, and with them the quarantine.
fn copy_beneath(from: &Source<'_>, to: &Utf8Path) -> Result<(), StagingError> {
    let Source { root, path, .. } = *from;
    let shown = root.shown(path);
    let source = root.file(path).map_err(|error| match root.stat(path).map(|stat| stat.map(|it| it.st_mode)) {
        // Since it was listed it may have become a symlink, or a pipe that one would wait for.
        Ok(Some(mode)) if !matches!(FileType::from_raw_mode(mode), FileType::RegularFile | FileType::Symlink) => {
            StagingError::SpecialFile(shown.clone())
        }
        _ => unread(&shown, error),
    })?;
    let mode = source.mode() & (Mode::RWXU | Mode::RWXG | Mode::RWXO);
    let mut options = fs_err::OpenOptions::new();
    let mut target = options.write(true).create_new(true).open(to).map_err(|e| StagingError::io("write", to, e))?;
    let mut source = source.into_file().map_err(|e| unread(&shown, e))?;
    io::copy(&mut source, target.file_mut()).map_err(|e| StagingError::io("write", to, e))?;
    rustix::fs::fchmod(target.file(), mode).map_err(|e| StagingError::io("set the mode of", to, e.into()))?;
    crate::faults::point("copying");
    Ok(())
}

/// Gives a file a second name, where that is as good as a copy: link(2).
///
/// Not a file that has other names already, nor one with extended attributes or bits that a copy would not have. That is looked at
/// under the new name, which nobody else can make stand for something else.
fn link_beneath(from: &Source<'_>, to: &Utf8Path) -> Result<(), StagingError> {
    let (into, name) = (from.into, from.path.file_name().unwrap_or_default());
    // A file of somebody else's, another file system, too many links: a copy serves as well.
    if rustix::fs::linkat(from.folder, name, into, name, AtFlags::empty()).is_err() {
        return copy_beneath(from, to);
    }
    let stat = rustix::fs::statat(into, name, AtFlags::SYMLINK_NOFOLLOW);
    let stat = stat.map_err(|e| StagingError::io("read", to, e.into()))?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    let plain = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 2;
    let special = mode.intersects(Mode::SUID | Mode::SGID | Mode::SVTX);
    // What cannot be read cannot be sealed either: of the copy that fails, the error names the file, and not the link to it.
    let own = stat.st_uid == from.user.as_raw() && mode.contains(Mode::RUSR);
    let readable = || own || rustix::fs::accessat(into, name, Access::READ_OK, AtFlags::EACCESS).is_ok();
    if plain && !special && readable() && !has_attributes(to) {
        crate::faults::point("copying");
        return Ok(());
    }
    fs_err::remove_file(to).map_err(|e| StagingError::io("write", to, e))?;
    copy_beneath(from, to)
}

/// Whether a file has extended attributes: quarantine, FinderInfo and the like. Off macOS only a user's own count:
/// the others are the system's labels.
fn has_attributes(path: &Utf8Path) -> bool {
    let mut names = [0; 4096];
    match rustix::fs::llistxattr(path.as_std_path(), &mut names) {
        Ok(length) => {
            let names = names.get(..length).unwrap_or_default();
            names
                .split(|byte| *byte == 0)
                .any(|name| !name.is_empty() && (cfg!(target_os = "macos") || name.starts_with(b"user.")))
        }
        // Of a file system without them, there are none.
        Err(error) => error != rustix::io::Errno::NOTSUP,
    }
}
