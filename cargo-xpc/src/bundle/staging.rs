//! A place beside the destination where a bundle grows until it is whole.
//!
//! Beside it, since only a rename within one file system can be atomic. One run at a time works on a folder: the
//! lock is on the folder itself, so that no lock file is left behind. Whoever holds it may remove what a killed run left.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::FlockOperation;

use super::tree;
use crate::beneath::{Root, unnamed};
use crate::exit::{Coded, Exit};

/// Why nothing could be staged or published. The destination is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StagingError {
    /// The destination has no name or no folder to stand in.
    #[error("`{0}` is no place for a bundle: its folder does not exist")]
    NoFolder(Utf8PathBuf),
    /// Reading or writing failed.
    #[error("cannot {action} `{path}`{}", remedy(action, source, cfg!(target_os = "macos")))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A path that is not UTF-8.
    #[error("`{0}` is not valid UTF-8; a bundle holds UTF-8 names only: rename it")]
    NotUtf8(String),
    /// Something else stands at the destination, and would be lost.
    #[error("`{0}` is there already and is no bundle; it will not be replaced: remove it, or choose another place")]
    NotABundle(Utf8PathBuf),
    /// A destination that leads nowhere.
    #[error("`{0}` is a symlink that leads nowhere: remove it, or make what it points at")]
    DanglingLink(Utf8PathBuf),
    /// Something that is neither file, folder nor symlink.
    #[error("`{0}` is neither a file, a folder nor a symlink; a bundle cannot hold it: remove it")]
    SpecialFile(Utf8PathBuf),
    /// Something else where a folder should be.
    #[error("`{0}` is a symlink or a file where a bundle has a folder; nothing is put into it: make it a folder")]
    NotAFolder(Utf8PathBuf),
    /// The file system cannot exchange two folders in one step.
    #[error("the file system of `{path}` cannot replace a bundle in one step; `--non-atomic` replaces it in two")]
    NoExchange {
        /// The destination.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What a person can do about an I/O error.
fn remedy(action: &str, error: &io::Error, macos: bool) -> &'static str {
    let reads = ["read", "open", "list"].contains(&action);
    match error.kind() {
        // Not a mode (EACCES): the system guards what other developers signed, whoever the user is. An error that got a path added to
        // its message has lost its number, so that the other messages name the permission too.
        io::ErrorKind::PermissionDenied
            if macos && error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) =>
        {
            ": operation not permitted; allow your terminal to change apps in System Settings > Privacy & Security > App Management, or work on a copy"
        }
        io::ErrorKind::PermissionDenied if reads && macos => {
            ": permission denied; make it readable for you, or, for an installed app, allow your terminal in System Settings > Privacy & Security > App Management"
        }
        io::ErrorKind::PermissionDenied if reads => ": permission denied; make it readable for you",
        io::ErrorKind::PermissionDenied if macos => {
            ": permission denied; choose a folder that you may write to, or, for an installed app, allow your terminal in System Settings > Privacy & Security > App Management"
        }
        io::ErrorKind::PermissionDenied => ": permission denied; choose a folder that you may write to",
        io::ErrorKind::ReadOnlyFilesystem => ": the file system is read-only; choose another folder",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ": no space left; free some and run again (what was published before is untouched)"
        }
        _ => "",
    }
}

impl StagingError {
    pub(crate) fn io(action: &'static str, path: impl Into<Utf8PathBuf>, source: io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }
}

impl Coded for StagingError {
    fn exit_code(&self) -> Exit {
        match self {
            Self::NoFolder(_)
            | Self::NotABundle(_)
            | Self::DanglingLink(_)
            | Self::NotUtf8(_)
            | Self::NotAFolder(_)
            | Self::SpecialFile(_) => Exit::Usage,
            Self::Io { .. } | Self::NoExchange { .. } => Exit::Io,
        }
    }
}

/// A staging folder and the lock that goes with it. Dropped unpublished, it is removed.
#[derive(Debug)]
pub struct Staging {
    destination: Utf8PathBuf,
    folder: Utf8PathBuf,
    /// Keeps the lock: it is released when the descriptor is closed, however the process ends.
    _lock: fs_err::File,
}

/// The old bundle in a staging folder, while it is replaced in two steps.
pub(super) const SET_ASIDE: &str = "replaced";

/// Puts a bundle back that a run had set aside, to replace it in two steps, when it was killed between them. `false` where there is nothing to
/// do, which is nearly always.
///
/// # Errors
/// Where the destination's folder cannot be read or written.
pub fn put_back(destination: &Utf8Path) -> Result<bool, StagingError> {
    if destination.exists() {
        return Ok(false);
    }
    // A symlink leads to the place that is empty.
    let destination = match fs_err::read_link(destination).map(Utf8PathBuf::from_path_buf) {
        Ok(Ok(target)) => destination.parent().unwrap_or(Utf8Path::new("")).join(target),
        _ => destination.to_owned(),
    };
    // Where its folder is not there either, nobody worked in it.
    let Ok(destination) = resolve(&destination) else { return Ok(false) };
    let (parent, name) = split(&destination)?;
    let lock = fs_err::File::open(parent).map_err(|e| StagingError::io("open", parent, e))?;
    // Whoever has the lock may be between the two steps, and not killed.
    lock_folder(&lock, parent, || {})?;
    restore(&destination, parent, &prefix(name))
}

/// As [`put_back`], by who has the lock.
fn restore(destination: &Utf8Path, parent: &Utf8Path, prefix: &str) -> Result<bool, StagingError> {
    if destination.exists() {
        return Ok(false);
    }
    let Some(old) = stale(parent, prefix)?.into_iter().map(|left| left.join(SET_ASIDE)).find(|old| old.exists()) else {
        return Ok(false);
    };
    fs_err::rename(&old, destination).map_err(|e| StagingError::io("put back", destination, e))?;
    Ok(true)
}

/// What the staging folders of a bundle begin with.
fn prefix(name: &str) -> String {
    format!(".{name}.staging-")
}

impl Staging {
    /// Takes the lock for `destination` and makes an empty staging folder; `waiting` is called if another run holds it.
    ///
    /// A destination that is a symlink stands for what it points at.
    ///
    /// # Errors
    /// Where the destination's folder is missing or cannot be written.
    pub fn begin(destination: &Utf8Path, waiting: impl FnOnce()) -> Result<Self, StagingError> {
        let destination = resolve(destination)?;
        let (parent, name) = split(&destination)?;
        check_replaceable(&destination)?;
        let lock = fs_err::File::open(parent).map_err(|e| StagingError::io("open", parent, e))?;
        lock_folder(&lock, parent, waiting)?;
        let prefix = prefix(name);
        restore(&destination, parent, &prefix)?;
        remove_stale(parent, &prefix)?;
        // Under the lock and after the stale ones are gone, the process id is unique enough.
        let folder = parent.join(format!("{prefix}{}", std::process::id()));
        fs_err::create_dir(&folder).map_err(|e| StagingError::io("stage in", parent, e))?;
        Ok(Self { destination, folder, _lock: lock })
    }

    /// Where the bundle is built: it has the destination's name already.
    pub fn bundle(&self) -> Utf8PathBuf {
        self.folder.join(self.destination.file_name().unwrap_or_default())
    }

    /// Room for files that do not go into the bundle.
    pub fn scratch(&self) -> &Utf8Path {
        &self.folder
    }

    /// Where it will stand once published, symlinks resolved.
    pub fn destination(&self) -> &Utf8Path {
        &self.destination
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Failing here loses nothing: the next run removes what is left.
        let _ = tree::remove(&self.folder);
    }
}

fn resolve(destination: &Utf8Path) -> Result<Utf8PathBuf, StagingError> {
    let not_utf8 = |path: std::path::PathBuf| StagingError::NotUtf8(path.to_string_lossy().into_owned());
    if let Ok(real) = fs_err::canonicalize(destination) {
        return Utf8PathBuf::from_path_buf(real).map_err(not_utf8);
    }
    if fs_err::symlink_metadata(destination).is_ok_and(|meta| meta.is_symlink()) {
        return Err(StagingError::DanglingLink(destination.to_owned()));
    }
    let name = destination.file_name().ok_or_else(|| StagingError::NoFolder(destination.to_owned()))?;
    let parent = match destination.parent() {
        Some(parent) if !parent.as_str().is_empty() => parent,
        _ => Utf8Path::new("."),
    };
    match fs_err::canonicalize(parent) {
        Ok(real) => Ok(Utf8PathBuf::from_path_buf(real).map_err(not_utf8)?.join(name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StagingError::NoFolder(destination.to_owned())),
        Err(error) => Err(StagingError::io("open", parent, error)),
    }
}

/// Only a bundle, or an empty folder, gives way to a bundle.
fn check_replaceable(destination: &Utf8Path) -> Result<(), StagingError> {
    let not_a_bundle = || StagingError::NotABundle(destination.to_owned());
    let unread = |error: io::Error| match error.kind() {
        io::ErrorKind::NotADirectory => not_a_bundle(),
        _ => StagingError::io("read", destination, unnamed(error)),
    };
    let entries = match Root::open(destination).and_then(|root| root.list("".into())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(unread)?,
    };
    let parts = ["Contents", "Versions", "Resources", "Info.plist"];
    let is_bundle = entries.is_empty() || entries.iter().any(|(name, _)| parts.iter().any(|part| name == part));
    if is_bundle { Ok(()) } else { Err(not_a_bundle()) }
}

fn split(destination: &Utf8Path) -> Result<(&Utf8Path, &str), StagingError> {
    match (destination.parent(), destination.file_name()) {
        (Some(parent), Some(name)) => Ok((parent, name)),
        _ => Err(StagingError::NoFolder(destination.to_owned())),
    }
}

fn lock_folder(lock: &fs_err::File, parent: &Utf8Path, waiting: impl FnOnce()) -> Result<(), StagingError> {
    match rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            waiting();
            loop {
                match rustix::fs::flock(lock, FlockOperation::LockExclusive) {
                    Err(rustix::io::Errno::INTR) => {}
                    other => return other.map_err(|e| StagingError::io("lock", parent, e.into())),
                }
            }
        }
        Err(error) => Err(StagingError::io("lock", parent, error.into())),
    }
}

fn remove_stale(parent: &Utf8Path, prefix: &str) -> Result<(), StagingError> {
    for path in stale(parent, prefix)? {
        tree::remove(&path).map_err(|e| StagingError::io("remove what a stopped run left at", path, e))?;
    }
    Ok(())
}

/// What killed runs left.
fn stale(parent: &Utf8Path, prefix: &str) -> Result<Vec<Utf8PathBuf>, StagingError> {
    let list = |e| StagingError::io("list", parent, e);
    let mut found = Vec::new();
    for entry in fs_err::read_dir(parent).map_err(list)? {
        let name = entry.map_err(list)?.file_name();
        found.extend(name.to_str().filter(|name| name.starts_with(prefix)).map(|name| parent.join(name)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_macos_forbids_names_the_permission() {
        let says = |action, errno: Errno, macos| remedy(action, &errno.into(), macos).to_owned();
        for action in ["read", "replace", "publish", "stage in", "write"] {
            assert!(says(action, Errno::PERM, true).contains("Privacy & Security > App Management"), "{action}");
            assert!(!says(action, Errno::PERM, false).contains("App Management"), "{action}");
        }
        // The mode of a folder is one reason, and an installed app another.
        assert!(says("publish", Errno::ACCESS, true).contains("App Management"));
        assert!(says("publish", Errno::ACCESS, true).contains("a folder that you may write to"));
        assert!(says("read", Errno::ACCESS, true).contains("make it readable for you, or"));
        // Where only the kind of the error is known.
        for action in ["read", "replace"] {
            let error = io::Error::new(io::ErrorKind::PermissionDenied, "failed to open file `Demo.app`");
            assert!(remedy(action, &error, true).contains("Privacy & Security > App Management"), "{action}");
            assert!(!remedy(action, &error, false).contains("App Management"), "{action}");
        }
    }

    #[test]
    fn what_was_set_aside_is_put_back_before_leftovers_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let parent = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        let aside = |number: u32| parent.join(format!(".x.app.staging-{number}")).join(SET_ASIDE);
        let to = parent.join("x.app");
        assert!(!put_back(&to).unwrap());
        fs_err::create_dir_all(aside(1).join("Contents")).unwrap();
        fs_err::create_dir_all(parent.join(".x.app.staging-2/x.app")).unwrap();
        fs_err::os::unix::fs::symlink("x.app", parent.join("link.app")).unwrap();
        assert!(put_back(&parent.join("link.app")).unwrap());
        assert!(to.join("Contents").is_dir() && !aside(1).exists());
        // Where there is a bundle, it is not replaced.
        fs_err::create_dir_all(aside(3).join("Other")).unwrap();
        assert!(!put_back(&to).unwrap());
        fs_err::remove_dir_all(&to).unwrap();
        drop(Staging::begin(&to, || {}).unwrap());
        assert!(to.join("Other").is_dir());
        assert_eq!(fs_err::read_dir(&parent).unwrap().count(), 2);
        assert!(!put_back(&parent.join("nowhere/x.app")).unwrap());
    }

    #[test]
    fn the_message_names_what_was_tried_and_where() {
        let error = StagingError::io("replace", "Demo.app", Errno::PERM.into()).to_string();
        assert!(error.starts_with("cannot replace `Demo.app`: "), "{error}");
        assert_eq!(error.contains("App Management"), cfg!(target_os = "macos"));
    }
}
