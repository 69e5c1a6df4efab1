//! A listener's socket that was there before its process: systemd listens on it and starts the agent with the first
//! client, as launchd does on macOS (`sd_listen_fds(3)`).

use std::env;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, getsockname, sockopt};
use rustix::process::getpid;

use crate::lock;

/// The first descriptor that is passed, by `sd_listen_fds(3)`.
const FIRST: RawFd = 3;
/// More than anybody passes.
const MAX: RawFd = 1024;

/// The socket that was passed for this path, once.
pub(super) fn take(path: &Path) -> Option<OwnedFd> {
    let mut passed = passed();
    let index = passed.iter().position(|socket| is_at(socket, path))?;
    Some(passed.swap_remove(index))
}

/// Whether [`take`] would find one.
pub(super) fn is_there(path: &Path) -> bool {
    passed().iter().any(|socket| is_at(socket, path))
}

fn passed() -> MutexGuard<'static, Vec<OwnedFd>> {
    static PASSED: OnceLock<Mutex<Vec<OwnedFd>>> = OnceLock::new();
    lock(PASSED.get_or_init(|| Mutex::new(collect().unwrap_or_default())))
}

/// Those that listen for packets below a path. Others are not ours, whatever they are.
fn collect() -> Option<Vec<OwnedFd>> {
    let number = |variable| env::var(variable).ok()?.parse::<RawFd>().ok();
    if number("LISTEN_PID")? != getpid().as_raw_nonzero().get() {
        return None;
    }
    let count = number("LISTEN_FDS")?.clamp(0, MAX);
    Some((FIRST..FIRST + count).filter_map(listening).collect())
}

fn listening(descriptor: RawFd) -> Option<OwnedFd> {
    // SAFETY: only asked what it is; where it is closed, or becomes another's, the calls say so and change nothing.
    let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let is_ours = sockopt::socket_domain(socket) == Ok(AddressFamily::UNIX)
        && sockopt::socket_type(socket) == Ok(SocketType::SEQPACKET)
        && sockopt::socket_acceptconn(socket) == Ok(true);
    if !is_ours {
        return None;
    }
    // Its maker accepts nothing while this process lives: the mode of the description is this one's concern.
    fcntl_setfl(socket, fcntl_getfl(socket).ok()? | OFlags::NONBLOCK).ok()?;
    fcntl_setfd(socket, FdFlags::CLOEXEC).ok()?;
    // SAFETY: who started this process passed the descriptor for this purpose, as the process id in the environment says,
    // and this is done once.
    Some(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn is_at(socket: impl AsFd, path: &Path) -> bool {
    let address = getsockname(socket).ok().and_then(|address| SocketAddrUnix::try_from(address).ok());
    let bound = address.as_ref().and_then(SocketAddrUnix::path_bytes);
    bound.is_some_and(|bound| bound == path.as_os_str().as_encoded_bytes())
}
