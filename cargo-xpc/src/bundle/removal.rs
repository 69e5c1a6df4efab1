//! Removing folders.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use camino::{Utf8Path, Utf8PathBuf};
use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::beneath::Root;

/// Folders in folders that are removed side by side; each keeps a descriptor open, and takes room on the stack.
const MAX_DEPTH: usize = 64;

/// Removes a file or a folder with all that is in it, also where folders were made read-only.
///
/// # Errors
/// Where the system refuses; what is not there needs no removing.
pub fn remove(path: &Utf8Path) -> io::Result<()> {
    let gone = |e: &io::Error| e.kind() == io::ErrorKind::NotFound;
    let attempt = || match fs_err::symlink_metadata(path) {
        // What this cannot remove, the next will, or say why not.
        Ok(meta) if meta.is_dir() => empty(CWD, path.as_std_path(), 0).or_else(|_| fs_err::remove_dir_all(path)),
        Ok(_) => fs_err::remove_file(path),
        Err(error) => Err(error),
    };
    match attempt() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path);
            attempt().or_else(|e| if gone(&e) { Ok(()) } else { Err(e) })
        }
        Err(error) if gone(&error) => Ok(()),
        other => other,
    }
}

/// Removes the folder `name` in `parent`. Folders beside each other go at the same time: a file system may wait for the disk for each.
///
/// Symlinks are not followed, and no name is looked up twice: whoever swaps a folder for a symlink meanwhile loses the symlink.
fn empty(parent: BorrowedFd<'_>, name: impl rustix::path::Arg + Copy, depth: usize) -> rustix::io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(Errno::NAMETOOLONG);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    let (mut folders, mut others) = (Vec::new(), Vec::new());
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        match (entry.file_name().to_bytes(), entry.file_type()) {
            (b"." | b"..", _) => {}
            (_, FileType::Directory) => folders.push(entry.file_name().to_owned()),
            (..) => others.push(entry.file_name().to_owned()),
        }
    }
    // In the order in which they were made, most likely: then a file system finds each where it begins to look.
    others.sort();
    for name in &others {
        match rustix::fs::unlinkat(&folder, name.as_c_str(), AtFlags::empty()) {
            // Of a file system that does not say what is a folder.
            Err(Errno::ISDIR | Errno::PERM) => empty(folder.as_fd(), name.as_c_str(), depth + 1)?,
            done => done?,
        }
    }
    folders.par_iter().try_for_each(|name| empty(folder.as_fd(), name.as_c_str(), depth + 1))?;
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Lets the owner into a folder and those in it, as far as they can be listed.
fn open_up(path: &Utf8Path) {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
    let Ok(root) = Root::open(parent) else { return };
    let mut folders = vec![Utf8PathBuf::from(name)];
    while let Some(folder) = folders.pop() {
        let Ok(opened) = root.folder(&folder) else { continue };
        let _ = rustix::fs::fchmod(opened, Mode::RWXU);
        let inner = root.list(&folder).unwrap_or_default().into_iter().filter(|(_, kind)| kind.is_dir());
        folders.extend(inner.filter_map(|(name, _)| Some(folder.join(name.to_str()?))));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn trees_of_any_depth_go_and_what_symlinks_point_at_stays() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let kept = root.join("kept/file");
        fs_err::create_dir(root.join("kept")).unwrap();
        fs_err::write(&kept, "").unwrap();
        for depth in [0, 1, MAX_DEPTH, MAX_DEPTH + 1, 300] {
            let tree = root.join("tree");
            let deepest: Utf8PathBuf = std::iter::once(tree.as_str()).chain(std::iter::repeat_n("d", depth)).collect();
            fs_err::create_dir_all(&deepest).unwrap();
            fs_err::write(deepest.join("file"), "").unwrap();
            fs_err::os::unix::fs::symlink(root.join("kept"), deepest.join("link")).unwrap();
            fs_err::set_permissions(&deepest, std::fs::Permissions::from_mode(0o500)).unwrap();
            remove(&tree).unwrap();
            assert!(fs_err::symlink_metadata(&tree).is_err() && kept.exists(), "{depth}");
        }
        remove(&root.join("tree")).unwrap();
        remove(&kept).unwrap();
        assert!(!kept.exists());
    }
}
