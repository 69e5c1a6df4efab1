//! The folder in which a listener with a name is found.

use std::env;
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, fstat, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use rustix::process::geteuid;

use crate::error::explain;

/// The folder that the session manager makes for the user, and takes away with the user's last session.
pub(super) const VARIABLE: &str = "XDG_RUNTIME_DIR";
/// Ours in it.
const OURS: &str = "xpc-runtime";
/// A listener's socket in its folder.
pub(super) const SOCKET: &str = "socket";
/// As long as the names that launchd takes.
const MAX_NAME_BYTES: usize = 127;

/// A listener's folder, open; only its user may enter it.
pub(super) struct Folder {
    descriptor: OwnedFd,
    path: PathBuf,
}

/// Where the folder of this name is, or would be.
pub(super) fn path(name: &str) -> Option<PathBuf> {
    Some(PathBuf::from(env::var_os(VARIABLE)?).join(OURS).join(name))
}

impl Folder {
    /// The folder of this name; `None` where there is none.
    pub fn find(name: &str) -> Result<Option<Self>, Arc<str>> {
        Self::open(runtime_folder()?, name, false)
    }

    /// The same, which is made if need be.
    pub fn make(name: &str) -> Result<Self, Arc<str>> {
        Self::make_in(runtime_folder()?, name)
    }

    pub fn make_in(runtime: PathBuf, name: &str) -> Result<Self, Arc<str>> {
        Self::open(runtime, name, true).map(|folder| folder.expect("it was made"))
    }

    fn open(runtime: PathBuf, name: &str, make: bool) -> Result<Option<Self>, Arc<str>> {
        check_name(name)?;
        let cannot =
            |path: &Path, error: Errno| -> Arc<str> { format!("{}: {}", path.display(), explain(error)).into() };
        let mut descriptor = open(CWD, runtime.as_os_str()).map_err(|error| match error {
            Errno::NOENT => {
                format!("{}: there is no such folder, though {VARIABLE} names it", runtime.display()).into()
            }
            error => cannot(&runtime, error),
        })?;
        check(&descriptor, &runtime, Mode::WGRP | Mode::WOTH)?;
        let mut path = runtime;
        for step in [OURS, name] {
            path.push(step);
            if make {
                match mkdirat(&descriptor, step, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(cannot(&path, error)),
                }
            }
            descriptor = match open(&descriptor, step.as_ref()) {
                Ok(opened) => opened,
                Err(Errno::NOENT) if !make => return Ok(None),
                Err(error) => return Err(cannot(&path, error)),
            };
            check(&descriptor, &path, Mode::RWXG | Mode::RWXO)?;
        }
        Ok(Some(Self { descriptor, path }))
    }

    /// Makes this process the one that serves the name, until the folder is closed; `false` where another one does.
    pub fn claim(&self) -> Result<bool, Errno> {
        match flock(&self.descriptor, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Another process may serve the name now.
    pub fn give_up(&self) {
        // It cannot fail for a lock that is held, and closing the folder does it too.
        let _ = flock(&self.descriptor, FlockOperation::Unlock);
    }

    /// Takes the socket away, if there is one. Only who has claimed the folder may.
    pub fn remove_socket(&self) -> Result<(), Errno> {
        match unlinkat(&self.descriptor, SOCKET, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub fn path_of_socket(&self) -> PathBuf {
        self.path.join(SOCKET)
    }

    /// The socket's; where its path is longer than an address can be, by way of this process's open folder.
    pub fn address(&self) -> Result<SocketAddrUnix, Errno> {
        SocketAddrUnix::new(self.path_of_socket())
            .or_else(|_| SocketAddrUnix::new(format!("/proc/self/fd/{}/{SOCKET}", self.descriptor.as_raw_fd())))
    }
}

fn runtime_folder() -> Result<PathBuf, Arc<str>> {
    let folder = env::var_os(VARIABLE).map(PathBuf::from).filter(|folder| folder.is_absolute());
    folder.ok_or_else(|| {
        format!(
            "{VARIABLE} is not set: agents and their clients meet in the folder that it names, which has to be yours alone (mode 0700); sessions of a desktop and of ssh set it, and sandboxed services do not get it"
        )
        .into()
    })
}

pub(super) fn check_name(name: &str) -> Result<(), Arc<str>> {
    let problem = match name {
        "" | "." | ".." => "names nothing",
        _ if name.contains(['/', '\0']) => "has a `/` or a NUL in it",
        _ if name.len() > MAX_NAME_BYTES => "is longer than 127 bytes",
        _ => return Ok(()),
    };
    let shown: String = name.chars().take(40).collect();
    Err(format!("`{}` is no name of a Mach service: it {problem}", shown.escape_default()).into())
}

fn open(within: impl std::os::fd::AsFd, path: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // The runtime folder itself may be a link of the system's; below it there are none.
    let flags = if Path::new(path).is_absolute() { flags } else { flags | OFlags::NOFOLLOW };
    openat(within, path, flags, Mode::empty())
}

/// A folder of this user's, in which `forbidden` is granted to nobody.
fn check(folder: &OwnedFd, path: &Path, forbidden: Mode) -> Result<(), Arc<str>> {
    let path = path.display();
    let status = fstat(folder).map_err(|error| -> Arc<str> { format!("{path}: {error}").into() })?;
    if status.st_uid != geteuid().as_raw() {
        return Err(format!(
            "{path}: belongs to another user (id {}): {VARIABLE} has to name a folder of your own",
            status.st_uid
        )
        .into());
    }
    if Mode::from_raw_mode(status.st_mode).intersects(forbidden) {
        return Err(
            format!("{path}: others may enter or change it: make it yours alone with `chmod 700 {path}`").into()
        );
    }
    Ok(())
}
