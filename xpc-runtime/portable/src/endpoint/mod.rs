//! Endpoints: the ways to an anonymous listener, and how they are handed over.
//!
//! A listener has a *rendezvous* for each hand-over of its endpoint and none that two holders share: any holder can shut
//! its socket down or flood it. Sending an endpoint makes a fresh pair of packet sockets. One end goes to the listener,
//! by the sender's own way; the other goes to the receiver with the message. So a holder can harm only its own way and
//! those it handed over, and one that handed an endpoint on can go.

mod listener;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, sockopt};
use xpc_object::{Endpoint, EndpointHandle, Fd};

use self::listener::Arrival;
pub use self::listener::Listener;
pub(crate) use self::listener::{Listening, Rendezvous, Way};
use crate::socket;

/// Through a rendezvous, with one end of a connection, on which the hello was sent.
pub(crate) const CONNECT: &[u8] = b"\x01";
/// Through a rendezvous, with the listener's end of another one.
const HAND_OVER: &[u8] = b"\x02";

/// The way to a listener of this process. It does not keep the listener.
#[derive(Debug)]
struct Local {
    id: u64,
    listening: Weak<Listening>,
}

/// The way to a listener of any process.
#[derive(Debug)]
struct Remote {
    id: u64,
    rendezvous: OwnedFd,
}

impl EndpointHandle for Local {
    fn id(&self) -> u64 {
        self.id
    }
}

impl EndpointHandle for Remote {
    fn id(&self) -> u64 {
        self.id
    }
}

fn local(listening: &Arc<Listening>) -> Endpoint {
    Endpoint::new(Local { id: listening.id(), listening: Arc::downgrade(listening) })
}

/// What came with a message, if it is what it should be.
pub(crate) fn received(rendezvous: OwnedFd, id: u64) -> Option<Endpoint> {
    is_socket(&rendezvous, SocketType::SEQPACKET).then(|| Endpoint::new(Remote { id, rendezvous }))
}

/// The receiver's end of a fresh rendezvous. Where the listener is gone it leads nowhere, and connecting says so.
pub(crate) fn hand_over(endpoint: &Endpoint) -> Result<Fd, Errno> {
    let (ours, theirs) = socket::packet_pair()?;
    match pass(endpoint, HAND_OVER, ours) {
        Ok(()) | Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => Ok(theirs.into()),
        Err(error) => Err(error),
    }
}

/// Hands one end of a connection to the listener.
pub(crate) fn connect(endpoint: &Endpoint, connection: OwnedFd) -> Result<(), Errno> {
    pass(endpoint, CONNECT, connection)
}

fn pass(endpoint: &Endpoint, what: &[u8], socket: OwnedFd) -> Result<(), Errno> {
    if let Some(Local { listening, .. }) = endpoint.handle() {
        let listening = listening.upgrade().ok_or(Errno::PIPE)?;
        return match what {
            HAND_OVER => listening.add(socket, Way::HandedOver(Arc::default())),
            _ => listening.push(Arrival::connection(socket)),
        };
    }
    // Another backend's endpoint cannot be reached from here.
    let Remote { rendezvous, .. } = endpoint.handle().ok_or(Errno::OPNOTSUPP)?;
    socket::send_packet(rendezvous, what, Some(socket.as_fd()))
}

/// Whether what a peer sent is a Unix socket of this type: others could make the calls that follow wait.
fn is_socket(descriptor: &OwnedFd, kind: SocketType) -> bool {
    sockopt::socket_domain(descriptor) == Ok(AddressFamily::UNIX) && sockopt::socket_type(descriptor) == Ok(kind)
}
