//! Putting the staged bundle in its place, whole or not at all.

use std::io;

use camino::Utf8PathBuf;
use rustix::fs::{CWD, RenameFlags};

use super::staging::{SET_ASIDE, Staging, StagingError};

/// How an existing bundle may be replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replace {
    /// In one step, or not at all.
    #[default]
    Atomic,
    /// In two renames, for file systems that cannot exchange: between them the destination is missing.
    NonAtomic,
}

impl Replace {
    /// What `--non-atomic` asks for.
    pub fn asked(non_atomic: bool) -> Self {
        if non_atomic { Self::NonAtomic } else { Self::Atomic }
    }
}

/// Moves the staged bundle to its destination. The old one, if there was one, then stands in the staging folder, and goes with it.
///
/// `renameat2(2)` with `RENAME_NOREPLACE`, then `RENAME_EXCHANGE`; on macOS `renamex_np(2)` with `RENAME_EXCL` and
/// `RENAME_SWAP`.
///
/// # Errors
/// Where the file system refuses; the destination is as it was.
pub fn publish(staging: &Staging, replace: Replace) -> Result<Utf8PathBuf, StagingError> {
    let (from, to) = (staging.bundle(), staging.destination().to_owned());
    let rename = |flags| rustix::fs::renameat_with(CWD, from.as_std_path(), CWD, to.as_std_path(), flags);
    match rename(RenameFlags::NOREPLACE).map_err(io::Error::from) {
        Ok(()) => return Ok(to),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        // No such flag on this file system: a plain rename refuses a folder that is not empty, which is all we need.
        Err(error) if is_unsupported(&error) && fs_err::symlink_metadata(&to).is_err() => {
            return fs_err::rename(&from, &to).map(|()| to.clone()).map_err(|e| StagingError::io("publish", &to, e));
        }
        Err(error) if is_unsupported(&error) => {}
        Err(error) => return Err(StagingError::io("publish", to, error)),
    }
    let exchanged = if crate::faults::cannot_exchange() {
        Err(rustix::io::Errno::NOTSUP.into())
    } else {
        rename(RenameFlags::EXCHANGE).map_err(io::Error::from)
    };
    match exchanged {
        Ok(()) => {
            crate::faults::point("exchanged");
            Ok(to)
        }
        Err(error) if is_unsupported(&error) => match replace {
            Replace::Atomic => Err(StagingError::NoExchange { path: to, source: error }),
            Replace::NonAtomic => {
                let old = staging.scratch().join(SET_ASIDE);
                fs_err::rename(&to, &old).map_err(|e| StagingError::io("replace", &to, e))?;
                // Who is killed here leaves no bundle; the next run puts it back.
                crate::faults::point("set-aside");
                if let Err(error) = fs_err::rename(&from, &to) {
                    let _ = fs_err::rename(&old, &to);
                    return Err(StagingError::io("publish", to, error));
                }
                Ok(to)
            }
        },
        Err(error) => Err(StagingError::io("replace", to, error)),
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error();
    [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP].iter().any(|e| errno == Some(e.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;
    use crate::bundle::tree;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        (dir, path)
    }

    fn stage(destination: &Utf8Path, content: &str) -> Staging {
        let staging = Staging::begin(destination, || panic!("nobody else holds the lock")).unwrap();
        tree::make_folder(&staging.bundle().join("Contents")).unwrap();
        fs_err::write(staging.bundle().join("file"), content).unwrap();
        staging
    }

    fn names(folder: &Utf8Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs_err::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_first_and_the_second_bundle_are_published_and_nothing_else_stays() {
        let (_dir, parent) = folder();
        let to = parent.join("Ä b.app");
        for content in ["one", "two"] {
            assert_eq!(publish(&stage(&to, content), Replace::Atomic).unwrap(), to);
            assert_eq!(fs_err::read_to_string(to.join("file")).unwrap(), content);
            assert_eq!(names(&parent), ["Ä b.app"]);
        }
    }

    #[test]
    fn a_staging_that_is_dropped_leaves_the_old_bundle() {
        let (_dir, parent) = folder();
        let to = parent.join("x.app");
        publish(&stage(&to, "one"), Replace::Atomic).unwrap();
        drop(stage(&to, "two"));
        assert_eq!(fs_err::read_to_string(to.join("file")).unwrap(), "one");
        assert_eq!(names(&parent), ["x.app"]);
    }

    #[test]
    fn what_a_killed_run_left_is_removed() {
        let (_dir, parent) = folder();
        fs_err::create_dir_all(parent.join(".x.app.staging-1/x.app/deep")).unwrap();
        fs_err::create_dir_all(parent.join(".y.app.staging-1")).unwrap();
        publish(&stage(&parent.join("x.app"), "one"), Replace::Atomic).unwrap();
        assert_eq!(names(&parent), [".y.app.staging-1", "x.app"]);
    }

    #[test]
    fn a_symlink_as_destination_stays_one() {
        let (_dir, parent) = folder();
        fs_err::create_dir_all(parent.join("real.app/Contents")).unwrap();
        fs_err::os::unix::fs::symlink("real.app", parent.join("link.app")).unwrap();
        publish(&stage(&parent.join("link.app"), "new"), Replace::Atomic).unwrap();
        assert_eq!(names(&parent), ["link.app", "real.app"]);
        assert!(fs_err::symlink_metadata(parent.join("link.app")).unwrap().is_symlink());
        assert_eq!(fs_err::read_to_string(parent.join("real.app/file")).unwrap(), "new");
    }

    #[test]
    fn copies_keep_symlinks_and_modes_and_leave_litter() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_dir, parent) = folder();
        let from = parent.join("from");
        fs_err::create_dir_all(from.join("a/empty")).unwrap();
        fs_err::write(from.join("a/tool"), "x").unwrap();
        fs_err::set_permissions(from.join("a/tool"), std::fs::Permissions::from_mode(0o555)).unwrap();
        fs_err::os::unix::fs::symlink("a/tool", from.join("link")).unwrap();
        fs_err::write(from.join("a/._tool"), "x").unwrap();
        fs_err::write(from.join(".DS_Store"), "x").unwrap();
        let to = parent.join("to");
        assert_eq!(tree::copy(&from, &to).unwrap(), [from.join(".DS_Store"), from.join("a/._tool")]);
        assert_eq!(fs_err::symlink_metadata(to.join("a/tool")).unwrap().permissions().mode() & 0o777, 0o555);
        assert_eq!(fs_err::read_link(to.join("link")).unwrap().to_str(), Some("a/tool"));
        assert_eq!(names(&to.join("a")), ["empty", "tool"]);
    }

    #[test]
    fn a_successor_shares_what_nothing_writes_to_and_outlives_what_it_replaces() {
        use std::os::unix::fs::MetadataExt as _;
        let (_dir, parent) = folder();
        let from = parent.join("from");
        fs_err::create_dir_all(from.join("a")).unwrap();
        for name in ["plain", "twice", "labelled"] {
            fs_err::write(from.join("a").join(name), name).unwrap();
        }
        fs_err::hard_link(from.join("a/twice"), parent.join("other")).unwrap();
        let flags = rustix::fs::XattrFlags::CREATE;
        rustix::fs::setxattr(from.join("a/labelled").as_std_path(), "user.label", b"x", flags).unwrap();
        let to = parent.join("to");
        assert_eq!(tree::succeed(&from, &to).unwrap(), [""; 0]);
        let inode = |path: &Utf8Path| fs_err::metadata(path).unwrap().ino();
        let shared = |name: &str| inode(&from.join("a").join(name)) == inode(&to.join("a").join(name));
        assert_eq!(["plain", "twice", "labelled"].map(shared), [true, false, false]);
        tree::remove(&from).unwrap();
        assert_eq!(fs_err::read_to_string(to.join("a/plain")).unwrap(), "plain");
    }
}
