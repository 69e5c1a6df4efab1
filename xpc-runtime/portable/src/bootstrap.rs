//! How this process reaches the launcher: it was launched and inherited a socket, or an ancestor of it owns the domain,
//! or it is the owner itself.

use std::env;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::getppid;

use crate::launcher::Request;
use crate::{bundle, credentials, launcher, socket};

/// Tells a launched service its end of the bootstrap socket: `<descriptor>:<process id of the launcher>`.
pub(crate) const VARIABLE: &str = "XPC_RUNTIME_BOOTSTRAP";
/// Follows that where the service is sandboxed: it reaches others through its launcher only.
pub(crate) const SANDBOXED: &str = ":sandboxed";
/// From a service: it took one connection over.
pub(crate) const ACCEPTED: &[u8] = b"\x01";
/// From a service, before a name, with a socket: connect it to that service. From the launcher, alone, with a socket: a
/// new connection.
pub(crate) const CONNECT: &[u8] = b"\x02";
/// From the launcher, before a number of milliseconds: has there been nothing to do for so long? From the service: yes,
/// and nothing will be done before the launcher's next word.
pub(crate) const IDLE: &[u8] = b"\x03";
/// From the service, before the milliseconds after which to ask again: no. From the launcher: go on.
pub(crate) const BUSY: &[u8] = b"\x04";
/// Before a name, with a socket: end that service at once. The answer is one byte, 1 or 0: whether it ran.
pub(crate) const KILL: &[u8] = b"\x05";
/// The same, as launchd does it: what has open transactions is asked to end.
pub(crate) const TERMINATE: &[u8] = b"\x06";
/// From a service: it ends with its last transaction, and takes no connection any more.
pub(crate) const LEAVING: &[u8] = b"\x07";

/// From a sandboxed service, before a name, with a socket: does anybody serve the Mach service of this name, and may this
/// service reach it? What speaks against it is written to the socket.
pub(crate) const LOOK_UP: &[u8] = b"\x08";
/// The same, with a connection: hand it over.
pub(crate) const REACH: &[u8] = b"\x09";
/// The same, where the name was reached before.
pub(crate) const REACH_AGAIN: &[u8] = b"\x0a";

/// Hands one end of a connection on to the service of this name, which is launched if need be.
pub(crate) fn connect(name: &Arc<str>, socket: OwnedFd) -> Result<(), Errno> {
    ask(CONNECT, name, socket)
}

/// Has the launcher, in this process or another, do something with a service: [`CONNECT`], [`KILL`] or [`TERMINATE`].
pub(crate) fn ask(what: &[u8], name: &Arc<str>, socket: OwnedFd) -> Result<(), Errno> {
    match inherited().map_or_else(owner, |bootstrap| Ok(Some(bootstrap)))? {
        Some(bootstrap) => socket::send_packet(bootstrap, &[what, name.as_bytes()].concat(), Some(socket.as_fd())),
        None => {
            launcher::launcher()?.ask(Request::read(what, name.clone(), socket).ok_or(Errno::INVAL)?);
            Ok(())
        }
    }
}

/// A packet that is a word and a number of milliseconds.
pub(crate) fn with_time(word: &[u8], time: Duration) -> Vec<u8> {
    [word, &u64::try_from(time.as_millis()).unwrap_or(u64::MAX).to_le_bytes()].concat()
}

/// The number after the word.
pub(crate) fn time(packet: &[u8]) -> Option<Duration> {
    let (_, milliseconds) = packet.split_first_chunk::<1>()?;
    Some(Duration::from_millis(u64::from_le_bytes(milliseconds.try_into().ok()?)))
}

/// The socket to another process of the app that launches services. Asked once: a process that has begun to launch goes
/// on.
fn owner() -> Result<Option<&'static OwnedFd>, Errno> {
    static OWNER: OnceLock<Option<OwnedFd>> = OnceLock::new();
    if let Some(owner) = OWNER.get() {
        return Ok(owner.as_ref());
    }
    let found = bundle::path().map_or(Ok(None), launcher::find_owner)?;
    Ok(OWNER.get_or_init(|| found).as_ref())
}

/// The bootstrap socket that a launcher gave this process.
pub(crate) fn inherited() -> Option<&'static OwnedFd> {
    bootstrap().map(|(socket, _)| socket)
}

/// The same, where this process is sandboxed.
pub(crate) fn of_sandbox() -> Option<&'static OwnedFd> {
    bootstrap().filter(|(_, sandboxed)| *sandboxed).map(|(socket, _)| socket)
}

/// With whether this process is sandboxed.
fn bootstrap() -> Option<&'static (OwnedFd, bool)> {
    static BOOTSTRAP: OnceLock<Option<(OwnedFd, bool)>> = OnceLock::new();
    let read = || {
        let variable = env::var(VARIABLE).ok()?;
        let sandboxed = variable.strip_suffix(SANDBOXED);
        Some((take(sandboxed.unwrap_or(&variable))?, sandboxed.is_some()))
    };
    BOOTSTRAP.get_or_init(read).as_ref()
}

/// A process that a service starts inherits the variable, not the socket: the number may mean anything there, so it
/// counts only if it is a socket that this process's own parent made.
fn take(variable: &str) -> Option<OwnedFd> {
    let (descriptor, launcher) = variable.split_once(':')?;
    let descriptor: i32 = descriptor.parse().ok().filter(|descriptor| *descriptor > 2)?;
    let launcher: u32 = launcher.parse().ok()?;
    if getppid()?.as_raw_nonzero().get().cast_unsigned() != launcher {
        return None;
    }
    // SAFETY: a launcher passes exactly this descriptor to this process for this purpose, nothing else owns it, and the
    // caller's `OnceLock` takes it once. If the variable was forged the number may be closed or someone else's: then
    // the next call fails and it is given back unclosed.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let ours = credentials::maker(&socket).is_some_and(|maker| maker.pid == launcher);
    if !ours || fcntl_setfd(&socket, FdFlags::CLOEXEC).is_err() {
        // Not ours: it must not be closed.
        std::mem::forget(socket);
        return None;
    }
    debug_assert_eq!(socket.as_raw_fd(), descriptor);
    Some(socket)
}
