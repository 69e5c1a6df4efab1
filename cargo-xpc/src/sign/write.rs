//! Changing the tree that is signed. As for reading, nothing is reached through a symlink.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;

use camino::Utf8Path;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::SignError;
use crate::beneath::Root;
use crate::bundle::tree;

/// Makes a new file under the old name, whose old file may have other names; with the permissions `mode`, or with those of data.
///
/// Not by a rename over the old one: a file system may take that for a wish to have the bytes on the disk at once, and
/// wait for it, file by file. Nobody else looks at this tree yet.
pub(super) fn replace(root: &Root, path: &Utf8Path, bytes: &[u8], mode: Option<Mode>) -> Result<(), SignError> {
    in_folder_of(root, path, |folder, name| {
        take_away(root, path, folder, name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut file = File::from(rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o666))?);
        file.write_all(bytes)?;
        Ok(rustix::fs::fchmod(&file, mode.unwrap_or(Mode::from_raw_mode(0o644)))?)
    })
}

/// Removes what stands at `path`.
pub(super) fn remove(root: &Root, path: &Utf8Path) -> Result<(), SignError> {
    in_folder_of(root, path, |folder, name| take_away(root, path, folder, name))
}

/// Makes a folder, in place of whatever else stands there.
pub(super) fn folder(root: &Root, path: &Utf8Path) -> Result<(), SignError> {
    if root.is_folder(path)? {
        return Ok(());
    }
    in_folder_of(root, path, |folder, name| {
        take_away(root, path, folder, name)?;
        Ok(rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o777))?)
    })
}

/// Removes what has that name in `folder`; `path` is where that is.
fn take_away(root: &Root, path: &Utf8Path, folder: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => tree::remove(&root.shown(path)),
        Ok(_) => Ok(rustix::fs::unlinkat(folder, name, AtFlags::empty())?),
    }
}

/// Works in the folder of `path`, which its owner may not write to, and leaves its permissions as they were.
fn in_folder_of(
    root: &Root,
    path: &Utf8Path,
    work: impl FnOnce(&OwnedFd, &str) -> io::Result<()>,
) -> Result<(), SignError> {
    let folder = root.folder(path.parent().unwrap_or(Utf8Path::new("")))?;
    let worked = (|| {
        let before = Mode::from_raw_mode(rustix::fs::fstat(&folder)?.st_mode);
        let needed = Mode::WUSR | Mode::XUSR;
        if before.contains(needed) {
            return work(&folder, path.file_name().unwrap_or_default());
        }
        rustix::fs::fchmod(&folder, before | Mode::RWXU)?;
        let worked = work(&folder, path.file_name().unwrap_or_default());
        rustix::fs::fchmod(&folder, before)?;
        worked
    })();
    worked.map_err(|error| {
        let path = root.shown(path);
        SignError::Io(io::Error::new(error.kind(), format!("cannot write `{path}`: {error}")))
    })
}
