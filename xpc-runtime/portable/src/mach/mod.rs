//! Listeners that are found by name: the agents and daemons of a user.
//!
//! What launchd's table of Mach services is on macOS, a folder is here: `$XDG_RUNTIME_DIR/xpc-runtime/<name>`, which only
//! its user may enter. In it stands the `socket` of whoever serves the name; who holds the lock on the folder is that
//! one; the socket may be systemd's, which starts it with the first client. What connects to the socket is a rendezvous,
//! through which connections are handed over as through those of endpoints. A sandboxed service cannot connect to it: its
//! launcher does so, for the names that its entitlements grant.

mod folder;
mod passed;
mod port;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, connect as connect_to, socket_with};
use rustix::process::geteuid;

use self::folder::Folder;
pub(crate) use self::port::Port;
use crate::error::{explain, is_transient};
use crate::frame::{self, Kind};
use crate::sandbox::Policy;
use crate::{Credentials, bootstrap, credentials, endpoint, settings, socket, timer};

/// Why a listener is not reached.
enum Failure {
    /// Its queue is full at the moment.
    Busy,
    /// Nobody serves the name at the moment, or this process can reach nobody.
    Absent(Arc<str>),
    Other(Arc<str>),
}

/// Whether somebody serves this name; if not, why.
pub(crate) fn find(name: &str) -> Result<(), Arc<str>> {
    if let Some(launcher) = bootstrap::of_sandbox() {
        folder::check_name(name)?;
        let answer = look_up(launcher, name).map_err(|error| format!("cannot look {name} up: {}", explain(error)))?;
        return if answer.is_empty() { Ok(()) } else { Err(String::from_utf8_lossy(&answer).into()) };
    }
    find_here(name)
}

fn find_here(name: &str) -> Result<(), Arc<str>> {
    match reach(name) {
        Ok(_) | Err(Failure::Busy) => Ok(()),
        Err(Failure::Absent(reason) | Failure::Other(reason)) => Err(reason),
    }
}

/// What the launcher says of a name to this sandboxed process: nothing where it leads somewhere.
fn look_up(launcher: &OwnedFd, name: &str) -> Result<Vec<u8>, Errno> {
    let (ours, theirs) = socket::connection_pair()?;
    socket::send_packet(launcher, &[bootstrap::LOOK_UP, name.as_bytes()].concat(), Some(theirs.as_fd()))?;
    drop(theirs);
    let mut answer = Vec::new();
    let mut part = [0; 512];
    loop {
        match socket::receive(&ours, &mut part, RecvFlags::empty())? {
            0 => return Ok(answer),
            read => answer.extend_from_slice(&part[..read]),
        }
    }
}

/// The launcher's part of it: the name is looked up, or connected to, on behalf of a service with this policy.
pub(crate) fn serve_sandboxed(policy: &Policy, packet: &[u8], socket: OwnedFd) {
    let Some((word, name)) = packet.split_at_checked(1) else { return };
    let Ok(name) = str::from_utf8(name) else { return };
    let permission = policy.check_agent(name).map_err(Arc::from);
    match (word, permission) {
        // Who asks may be gone; and what there is to say fits the socket.
        (bootstrap::LOOK_UP, permission) => {
            if let Err(reason) = permission.and_then(|()| find_here(name)) {
                let _ = socket::send(socket, reason.as_bytes());
            }
        }
        (bootstrap::REACH | bootstrap::REACH_AGAIN, Ok(())) => {
            connect(&name.into(), socket, word == bootstrap::REACH_AGAIN);
        }
        (bootstrap::REACH | bootstrap::REACH_AGAIN, Err(reason)) => refuse(&socket, &reason),
        _ => {}
    }
}

fn refuse(connection: &OwnedFd, reason: &str) {
    // The socket is empty in this direction, so that a frame fits.
    let _ = socket::send(connection, &frame::control(Kind::Refused, 0, reason.as_bytes()));
}

/// Hands one end of a connection on to whoever serves the name. Never blocks. What goes wrong is said over the
/// connection; where nobody serves a name that was `reached` before, it ends as it does with a listener that dies.
pub(crate) fn connect(name: &Arc<str>, connection: OwnedFd, reached: bool) {
    let failure = |error| match error {
        // So many descriptors are on their way that the kernel takes no more; or packets.
        Errno::TOOMANYREFS | Errno::AGAIN => Failure::Busy,
        Errno::PIPE | Errno::CONNRESET => Failure::Absent(is_absent(name)),
        error => Failure::Other(format!("cannot connect to {name}: {}", explain(error)).into()),
    };
    let handed_over = if let Some(launcher) = bootstrap::of_sandbox() {
        let word = if reached { bootstrap::REACH_AGAIN } else { bootstrap::REACH };
        socket::send_packet(launcher, &[word, name.as_bytes()].concat(), Some(connection.as_fd())).map_err(failure)
    } else {
        reach(name).and_then(|rendezvous| {
            socket::send_packet(rendezvous, endpoint::CONNECT, Some(connection.as_fd())).map_err(failure)
        })
    };
    match handed_over {
        Ok(()) => {}
        Err(Failure::Busy) if is_wanted(&connection) => {
            let name = name.clone();
            timer::after(settings::RETRY.get(), move || connect(&name, connection, reached)).detach();
        }
        Err(Failure::Absent(_)) if reached => {}
        Err(Failure::Absent(reason) | Failure::Other(reason)) => refuse(&connection, &reason),
        Err(Failure::Busy) => {}
    }
}

/// A fresh rendezvous with whoever serves the name.
fn reach(name: &str) -> Result<OwnedFd, Failure> {
    let folder = match Folder::find(name) {
        Ok(Some(folder)) => folder,
        Ok(None) => return Err(Failure::Absent(is_absent(name))),
        Err(reason) => return Err(Failure::Other(reason)),
    };
    let cannot = |error: Errno| {
        let path = folder.path_of_socket();
        Failure::Other(format!("cannot connect to {name}: {}: {}", path.display(), explain(error)).into())
    };
    let socket = dial(&folder).map_err(|error| match error {
        Errno::AGAIN => Failure::Busy,
        Errno::NOENT | Errno::CONNREFUSED => Failure::Absent(is_absent(name)),
        error if is_transient(error) => Failure::Absent(format!("cannot connect to {name}: {}", explain(error)).into()),
        error => cannot(error),
    })?;
    match credentials::maker(&socket) {
        Some(server) if is_this_user(&server) => Ok(socket),
        _ => Err(Failure::Other(
            format!("{}: is served by another user's process", folder.path_of_socket().display()).into(),
        )),
    }
}

fn dial(folder: &Folder) -> Result<OwnedFd, Errno> {
    let socket = new_socket()?;
    connect_to(&socket, &folder.address()?)?;
    Ok(socket)
}

/// Nobody else has this description, so that its mode is nobody else's concern.
fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

/// The process that serves the name of this folder.
fn server(folder: &Folder) -> Option<u32> {
    credentials::maker(dial(folder).ok()?).map(|server| server.pid)
}

fn is_absent(name: &str) -> Arc<str> {
    let path = folder::path(name).map_or_else(|| "…".into(), |path| path.join(folder::SOCKET).display().to_string());
    format!(
        "no process serves {name}: start the agent that does, by hand or as a unit of `systemctl --user`, and connect again; its socket will be {path}"
    )
    .into()
}

/// Whether the other end of the connection is still there.
fn is_wanted(connection: &OwnedFd) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut sources = [PollFd::new(connection, PollFlags::empty())];
    poll(&mut sources, Some(&at_once)) == Ok(0)
}

pub(crate) fn is_this_user(peer: &Credentials) -> bool {
    peer.euid == geteuid().as_raw()
}
