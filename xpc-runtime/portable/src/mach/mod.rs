//! Listeners that are found by name: the agents and daemons of a user.
//!
//! What launchd's table of Mach services is on macOS, a folder is here: `$XDG_RUNTIME_DIR/xpc-runtime/<name>`, which only
//! its user may enter. In it stands the `socket` of whoever serves the name; who holds the lock on the folder is that
//! one; the socket may be systemd's, which starts it with the first client. What connects to the socket is a rendezvous, through which connections are handed over as through those of
//! endpoints.

mod folder;
mod passed;
mod port;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect as connect_to, socket_with};
use rustix::process::geteuid;

use self::folder::Folder;
pub(crate) use self::port::Port;
use crate::error::{explain, is_transient};
use crate::frame::{self, Kind};
use crate::{Credentials, credentials, endpoint, settings, socket, timer};

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
    match reach(name) {
        Ok(_) | Err(Failure::Busy) => Ok(()),
        Err(Failure::Absent(reason) | Failure::Other(reason)) => Err(reason),
    }
}

/// Hands one end of a connection on to whoever serves the name. Never blocks. What goes wrong is said over the
/// connection; where nobody serves a name that was `reached` before, it ends as it does with a listener that dies.
pub(crate) fn connect(name: &Arc<str>, connection: OwnedFd, reached: bool) {
    let handed_over = reach(name).and_then(|rendezvous| {
        socket::send_packet(rendezvous, endpoint::CONNECT, Some(connection.as_fd())).map_err(|error| match error {
            // So many descriptors are on their way that the kernel takes no more.
            Errno::TOOMANYREFS | Errno::AGAIN => Failure::Busy,
            Errno::PIPE | Errno::CONNRESET => Failure::Absent(is_absent(name)),
            error => Failure::Other(format!("cannot connect to {name}: {}", explain(error)).into()),
        })
    });
    match handed_over {
        Ok(()) => {}
        Err(Failure::Busy) if is_wanted(&connection) => {
            let name = name.clone();
            timer::after(settings::RETRY.get(), move || connect(&name, connection, reached)).detach();
        }
        Err(Failure::Absent(_)) if reached => {}
        Err(Failure::Absent(reason) | Failure::Other(reason)) => {
            // The socket is empty in this direction, so that a frame fits.
            let _ = socket::send(connection, &frame::control(Kind::Refused, 0, reason.as_bytes()));
        }
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
