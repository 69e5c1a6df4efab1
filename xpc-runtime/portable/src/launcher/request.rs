//! What a launcher is asked for.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::bootstrap::{CONNECT, KILL, TERMINATE};
use crate::socket;

/// Something to be done with the service of a name.
pub(crate) struct Request {
    pub(super) name: Arc<str>,
    pub(super) what: What,
    /// One end of a connection, on its way to the service; or where the answer goes.
    pub(super) socket: OwnedFd,
    /// How often it was sent to an instance.
    pub(super) attempts: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Connect,
    Kill,
    Terminate,
}

impl Request {
    /// `word` is the first byte of the packet.
    pub(crate) fn read(word: &[u8], name: Arc<str>, socket: OwnedFd) -> Option<Self> {
        let what = match word {
            CONNECT => What::Connect,
            KILL => What::Kill,
            TERMINATE => What::Terminate,
            _ => return None,
        };
        Some(Self { name, what, socket, attempts: 0 })
    }

    pub(crate) fn from_packet(packet: &[u8], socket: OwnedFd) -> Option<Self> {
        let (word, name) = packet.split_at_checked(1)?;
        Self::read(word, str::from_utf8(name).ok()?.into(), socket)
    }

    /// Answers [`What::Kill`] and [`What::Terminate`].
    pub(super) fn answer(self, ran: bool) {
        // Who asked may be gone.
        let _ = socket::send(&self.socket, &[u8::from(ran)]);
    }
}
