//! One launcher for all processes of an app.
//!
//! The first process that needs a service owns the domain, and listens for its own descendants on an abstract socket
//! whose name follows from its process id and the bundle. A process that needs a service looks for an ancestor that
//! listens. Both sides check with the kernel who the other is, so that nobody else's claim to the name matters, and no
//! other program reaches the app's services.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, socket_with,
};
use rustix::process::{Pid, geteuid, getpid, getppid};

use super::request::Request;
use crate::credentials;
use crate::socket::{self, Packet};

/// How far up a process looks for the owner, and the owner for itself: a cycle is impossible, but pids are reused while
/// one looks.
const MAX_GENERATIONS: usize = 64;
/// How many helpers may be waiting to be let in.
const BACKLOG: i32 = 16;

/// The listening side, in the owner.
pub(super) struct Domain {
    /// `None` where the socket cannot be made: then helper processes have domains of their own.
    listener: Option<OwnedFd>,
    helpers: Vec<OwnedFd>,
    /// No descriptor was free for a helper; polling would not wait.
    starved: bool,
}

impl Domain {
    pub fn open(bundle: Option<&Path>) -> Self {
        Self {
            listener: bundle.and_then(|bundle| listen_as(getpid(), bundle).ok()),
            helpers: Vec::new(),
            starved: false,
        }
    }

    /// What to wait for.
    pub fn sources(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.listener
            .iter()
            .filter(|_| !self.starved)
            .chain(&self.helpers)
            .map(|socket| PollFd::new(socket, PollFlags::IN))
    }

    /// Whether it has to be looked at again soon, since nothing will announce it.
    pub fn is_starved(&self) -> bool {
        self.starved
    }

    /// Lets helpers in and takes their requests.
    pub fn read_requests(&mut self) -> Vec<Request> {
        self.starved = false;
        while let Some(listener) = &self.listener {
            match accept_with(listener, SocketFlags::CLOEXEC) {
                Ok(helper) => self.helpers.extend(Some(helper).filter(is_descendant)),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => {
                    self.starved = error != Errno::AGAIN;
                    break;
                }
            }
        }
        let mut requests = Vec::new();
        self.helpers.retain(|helper| {
            loop {
                match socket::receive_packet(helper) {
                    Ok(Packet::Received(bytes, Some(socket))) => requests.extend(Request::from_packet(&bytes, socket)),
                    Ok(Packet::Received(_, None)) => {}
                    Err(Errno::AGAIN) => return true,
                    Ok(Packet::End) | Err(_) => return false,
                }
            }
        });
        requests
    }
}

/// The socket to the ancestor of this process that owns the domain, if there is one.
///
/// # Errors
/// It cannot be asked: there may be one all the same.
pub(crate) fn find_owner(bundle: &Path) -> Result<Option<OwnedFd>, Errno> {
    // The ancestors are read from files.
    let (spare, mut socket) = (new_socket(SocketFlags::CLOEXEC)?, new_socket(SocketFlags::CLOEXEC)?);
    drop(spare);
    for ancestor in std::iter::successors(getppid(), |pid| parent(*pid)).take(MAX_GENERATIONS) {
        let Some(address) = address(ancestor, bundle) else { continue };
        if connect(&socket, &address).is_err() {
            continue;
        }
        let owner = credentials::maker(&socket);
        if owner.is_some_and(|owner| owner.pid == number(ancestor) && owner.euid == geteuid().as_raw()) {
            return Ok(Some(socket));
        }
        socket = new_socket(SocketFlags::CLOEXEC)?;
    }
    Ok(None)
}

fn listen_as(pid: Pid, bundle: &Path) -> Result<OwnedFd, Errno> {
    // The launcher's own: nobody else has this description, so that its mode is nobody else's concern.
    let socket = new_socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    bind(&socket, &address(pid, bundle).ok_or(Errno::INVAL)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn new_socket(flags: SocketFlags) -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

/// Abstract: it goes with the socket, and needs no folder to write to.
fn address(pid: Pid, bundle: &Path) -> Option<SocketAddrUnix> {
    let bundle = fs::metadata(bundle).ok()?;
    SocketAddrUnix::new_abstract_name(format!("xpc-runtime/{pid}/{}.{}", bundle.dev(), bundle.ino()).as_bytes()).ok()
}

/// Whether the connected process has the same user and this process among its ancestors.
fn is_descendant(socket: &OwnedFd) -> bool {
    let Some(peer) = credentials::maker(socket) else { return false };
    let mut ancestors =
        std::iter::successors(Pid::from_raw(peer.pid.cast_signed()).and_then(parent), |pid| parent(*pid))
            .take(MAX_GENERATIONS);
    peer.euid == geteuid().as_raw() && ancestors.any(|ancestor| ancestor == getpid())
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().cast_unsigned()
}

/// The parent, from `/proc/<pid>/stat`: `pid (name) state parent …`, where the name may hold anything.
fn parent(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    Pid::from_raw(after_name.split(' ').nth(1)?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use rustix::event::poll;

    use super::*;

    #[test]
    fn the_parent_is_found_whatever_a_process_is_called() {
        assert_eq!(parent(getpid()), getppid());
        assert_eq!(parent(Pid::INIT), None);
    }

    #[test]
    fn nobody_but_a_descendant_is_let_in() {
        let bundle = tempfile::tempdir().unwrap();
        let mut domain = Domain::open(Some(bundle.path()));
        let stranger = new_socket(SocketFlags::CLOEXEC).unwrap();
        // This process is not its own descendant.
        connect(&stranger, &address(getpid(), bundle.path()).unwrap()).unwrap();
        assert!(domain.read_requests().is_empty());
        assert!(domain.helpers.is_empty());
        // Another test's child may hold a copy of the other end for the moment between its fork and its exec.
        poll(&mut [PollFd::new(&stranger, PollFlags::IN)], None).unwrap();
        assert!(matches!(socket::receive_packet(&stranger), Ok(Packet::End)));
        assert!(find_owner(bundle.path()).unwrap().is_none());
    }
}
