use std::sync::{Arc, Mutex};

use xpc_object::Dictionary;

use crate::connection::Core;
use crate::frame::{self, Kind};
use crate::transaction::Transaction;
use crate::{Credentials, Error, PeerRequirement, lock};

/// A received message. If its sender awaits a reply and none is ever sent, the sender is told so when the message is
/// dropped.
pub struct Message {
    dictionary: Dictionary,
    reply: Mutex<Option<Reply>>,
    sender: Option<Credentials>,
    /// While a message that awaits no reply is alive, its receiver has work; a request's is over with its reply.
    _transaction: Option<Transaction>,
}

impl Message {
    pub(crate) fn new(dictionary: Dictionary, reply: Option<Reply>, sender: Option<Credentials>) -> Self {
        let transaction = if reply.is_none() { Transaction::of_message() } else { None };
        Self { dictionary, reply: Mutex::new(reply), sender, _transaction: transaction }
    }

    /// What it says.
    pub fn dictionary(&self) -> &Dictionary {
        &self.dictionary
    }

    /// Compares its sender, who need not be there any more, with a requirement.
    ///
    /// # Errors
    /// [`Error::PeerRejected`].
    pub fn require_sender(&self, requirement: &PeerRequirement) -> Result<(), Error> {
        requirement.check(self.sender).map_err(Error::PeerRejected)
    }

    /// The right to reply, if the sender awaits a reply and this has not been called before.
    pub fn reply(&self) -> Option<Reply> {
        lock(&self.reply).take()
    }
}

/// The right to reply to one request. Dropped unused, it interrupts the requester.
pub struct Reply {
    core: Arc<Core>,
    link: u64,
    number: u64,
    _transaction: Option<Transaction>,
}

impl Reply {
    pub(crate) fn new(core: Arc<Core>, link: u64, number: u64) -> Self {
        Self { core, link, number, _transaction: Transaction::of_message() }
    }

    /// Replies. A requester that is gone is no error: nobody is left to be told.
    ///
    /// # Errors
    /// A message that cannot be encoded; the requester is interrupted.
    pub fn send(self, message: &Dictionary) -> Result<(), Error> {
        let frame = frame::message(Kind::Reply, self.number, message)?;
        self.core.push_to_link(self.link, frame);
        // The right is used up: its drop must not interrupt the requester. Only the reference count is left to give
        // back.
        let mut used = self;
        used.number = 0;
        Ok(())
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.number != 0 {
            self.core.push_to_link(self.link, frame::control(Kind::NoReply, self.number, &[]).into());
        }
    }
}
