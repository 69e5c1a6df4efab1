use std::sync::{Arc, Mutex, OnceLock};

use xpc_object::{Dictionary, DictionaryView, MessageView};

use crate::connection::Core;
use crate::frame::{self, Kind};
use crate::transaction::Transaction;
use crate::{Credentials, Error, PeerRequirement, lock};

/// Up to here a key is found sooner by looking at all of them than by sorting them first.
const FEW_KEYS: usize = 16;

/// A received message. If its sender awaits a reply and none is ever sent, the sender is told so when the message is
/// dropped.
pub struct Message {
    view: MessageView,
    /// What it says, once somebody has asked for all of it.
    dictionary: OnceLock<Dictionary>,
    reply: Mutex<Option<Reply>>,
    sender: Option<Credentials>,
    /// While a message that awaits no reply is alive, its receiver has work; a request's is over with its reply.
    _transaction: Option<Transaction>,
}

impl Message {
    pub(crate) fn new(view: MessageView, reply: Option<Reply>, sender: Option<Credentials>) -> Self {
        let transaction = if reply.is_none() { Transaction::of_message() } else { None };
        Self { view, dictionary: OnceLock::new(), reply: Mutex::new(reply), sender, _transaction: transaction }
    }

    /// What it says, where it lies. `None` once plain values were made of it, or where finding each of so many keys would
    /// take longer than making them.
    pub fn view(&self) -> Option<DictionaryView<'_>> {
        let view = self.view.dictionary();
        (self.dictionary.get().is_none() && view.len() <= FEW_KEYS).then_some(view)
    }

    /// Its encoding, if nothing came beside it.
    pub fn bytes(&self) -> Option<&[u8]> {
        (!self.view.has_attachments()).then(|| &**self.view.as_bytes())
    }

    /// What it says, as plain values, which are made when this is called first.
    pub fn dictionary(&self) -> &Dictionary {
        self.dictionary.get_or_init(|| self.view.to_dictionary())
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
