//! Copying and removing folders.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::os::unix::fs::OpenOptionsExt as _;
use rayon::prelude::*;
use rustix::fs::{Access, AtFlags, CWD, OFlags};
use walkdir::WalkDir;

pub use super::removal::remove;
use super::staging::StagingError;

/// Names that Finder and `tar` leave behind; they break a seal and never belong into a bundle.
pub fn is_litter(name: &str) -> bool {
    name == ".DS_Store" || name.starts_with("._")
}

/// Copies a folder: symlinks stay symlinks, modes are kept, extended attributes and litter are not.
///
/// Returns the litter that was left out.
///
/// # Errors
/// Where something cannot be read or written, is not UTF-8, or is neither file, folder nor symlink.
pub fn copy(from: &Utf8Path, to: &Utf8Path) -> Result<Vec<Utf8PathBuf>, StagingError> {
    populate(from, to, copy_file)
}

/// As [`copy`], for a folder that the new one is going to replace: what can be shared is linked, not copied.
///
/// Nothing may write to a file in the new folder: a file that changes has to become another under the old name. Then
/// the old folder stays as it was, and its removal takes nothing away from the new one.
///
/// # Errors
/// As for [`copy`].
pub fn succeed(from: &Utf8Path, to: &Utf8Path) -> Result<Vec<Utf8PathBuf>, StagingError> {
    populate(from, to, link_file)
}

fn populate(
    from: &Utf8Path,
    to: &Utf8Path,
    put: fn(&Utf8Path, &Utf8Path) -> Result<(), StagingError>,
) -> Result<Vec<Utf8PathBuf>, StagingError> {
    let (mut litter, mut files) = (Vec::new(), Vec::new());
    let mut walk = WalkDir::new(from).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let entry = entry.map_err(|e| {
            let path = e.path().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
            StagingError::io("read", path, e.into())
        })?;
        let path = Utf8Path::from_path(entry.path())
            .ok_or_else(|| StagingError::NotUtf8(entry.path().to_string_lossy().into_owned()))?;
        let Ok(relative) = path.strip_prefix(from) else { continue };
        let target = if relative.as_str().is_empty() { to.to_owned() } else { to.join(relative) };
        let kind = entry.file_type();
        if entry.depth() > 0 && path.file_name().is_some_and(is_litter) {
            litter.push(path.to_owned());
            if kind.is_dir() {
                walk.skip_current_dir();
            }
        } else if kind.is_dir() {
            make_folder(&target)?;
        } else if kind.is_symlink() {
            copy_symlink(path, &target)?;
        } else if kind.is_file() {
            files.push((path.to_owned(), target));
        } else {
            return Err(StagingError::SpecialFile(path.to_owned()));
        }
    }
    // No file waits for another; the error is that of the first in order, as if one came after the other.
    let done: Vec<_> = files.par_iter().map(|(from, to)| put(from, to)).collect();
    done.into_iter().collect::<Result<(), _>>()?;
    Ok(litter)
}

/// Makes a folder and those above it.
///
/// # Errors
/// Where the system refuses.
pub fn make_folder(path: &Utf8Path) -> Result<(), StagingError> {
    fs_err::create_dir_all(path).map_err(|e| StagingError::io("make the folder", path, e))
}

/// Makes `to` a symlink to where `from` points, word for word.
///
/// # Errors
/// Where the system refuses, or the target is not UTF-8.
pub fn copy_symlink(from: &Utf8Path, to: &Utf8Path) -> Result<(), StagingError> {
    let target = fs_err::read_link(from).map_err(|e| StagingError::io("read", from, e))?;
    fs_err::os::unix::fs::symlink(target, to).map_err(|e| StagingError::io("make the symlink", to, e))
}

/// Copies contents and mode of one file, to a name that is not taken.
///
/// Not `fs::copy`: on macOS that clones extended attributes too, and with them the quarantine.
///
/// # Errors
/// Where the system refuses.
pub fn copy_file(from: &Utf8Path, to: &Utf8Path) -> Result<(), StagingError> {
    // Since it was listed it may have become a symlink, or a pipe that one would wait for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = fs_err::OpenOptions::new();
    let source = options.read(true).custom_flags(flags).open(from);
    let mut source = source.map_err(|e| StagingError::io("read", from, e))?;
    let metadata = source.metadata().map_err(|e| StagingError::io("read", from, e))?;
    if !metadata.is_file() {
        return Err(StagingError::SpecialFile(from.to_owned()));
    }
    let mode = metadata.permissions().mode();
    let mut options = fs_err::OpenOptions::new();
    let mut target = options.write(true).create_new(true).open(to).map_err(|e| StagingError::io("write", to, e))?;
    io::copy(source.file_mut(), target.file_mut()).map_err(|e| StagingError::io("write", to, e))?;
    let mode = std::fs::Permissions::from_mode(mode & 0o777);
    target.set_permissions(mode).map_err(|e| StagingError::io("set the mode of", to, e))?;
    crate::faults::point("copying");
    Ok(())
}

/// Gives a file a second name, where that is as good as a copy: link(2).
///
/// Not a file that has other names already, nor one with extended attributes or bits that a copy would not have.
fn link_file(from: &Utf8Path, to: &Utf8Path) -> Result<(), StagingError> {
    let meta = fs_err::symlink_metadata(from).map_err(|e| StagingError::io("read", from, e))?;
    // What cannot be read cannot be sealed either: of the copy that fails, the error names the file, and not the link to it.
    let readable = rustix::fs::accessat(CWD, from.as_std_path(), Access::READ_OK, AtFlags::EACCESS).is_ok();
    let plain = readable && meta.nlink() == 1 && meta.mode() & 0o7000 == 0 && !has_attributes(from);
    // A file of somebody else's, another file system, too many links: a copy serves as well.
    if !plain || fs_err::hard_link(from, to).is_err() {
        return copy_file(from, to);
    }
    crate::faults::point("copying");
    Ok(())
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
