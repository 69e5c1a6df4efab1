use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use xpc_object::{Dictionary, DictionaryView};

use super::object::{self, Retained};
use super::raw::{
    xpc_connection_send_message, xpc_dictionary_create_reply, xpc_dictionary_get_remote_connection, xpc_object_t,
};
use super::session;
use crate::Error;

/// A received dictionary: the object, since the way to reply is in it, and its contents once somebody asks for them.
pub(crate) struct Message {
    object: Retained,
    contents: OnceLock<Dictionary>,
    /// The session that it came over, if it was one: libxpc does not tell.
    session: Option<Retained>,
    replied: AtomicBool,
}

impl Message {
    /// `object` is a dictionary.
    pub(super) fn new(object: Retained) -> Self {
        Self { object, contents: OnceLock::new(), session: None, replied: AtomicBool::new(false) }
    }

    /// The same, which came over a session.
    pub(super) fn of_session(object: Retained, session: Retained) -> Self {
        Self { session: Some(session), ..Self::new(object) }
    }

    pub(super) fn as_ptr(&self) -> xpc_object_t {
        self.object.as_ptr()
    }

    /// The object is libxpc's: nothing of it can be borrowed.
    #[expect(clippy::unused_self, reason = "the other backend has something to show")]
    pub(crate) fn view(&self) -> Option<DictionaryView<'_>> {
        None
    }

    /// libxpc does not show its encoding.
    #[cfg(feature = "serde")]
    #[expect(clippy::unused_self, reason = "the other backend has something to show")]
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        None
    }

    pub(crate) fn dictionary(&self) -> &Dictionary {
        self.contents.get_or_init(|| object::contents(&self.object))
    }

    pub(crate) fn reply(&self) -> Option<Reply> {
        if self.replied.swap(true, Ordering::AcqRel) {
            return None;
        }
        // SAFETY: a live dictionary, asked once: a second reply object would be misuse. The result is owned, or null
        // where none is awaited.
        let reply = unsafe { Retained::owned(xpc_dictionary_create_reply(self.object.as_ptr())) }?;
        if let Some(session) = &self.session {
            return Some(Reply { reply, to: Way::Session(session.clone()) });
        }
        // SAFETY: a live dictionary; what it returns is borrowed from it, or null.
        let connection = unsafe { Retained::borrowed(xpc_dictionary_get_remote_connection(self.object.as_ptr())) }?;
        Some(Reply { reply, to: Way::Connection(connection) })
    }
}

/// The reply object and where it goes. Releasing it unsent is what interrupts the requester.
pub(crate) struct Reply {
    reply: Retained,
    to: Way,
}

enum Way {
    Connection(Retained),
    Session(Retained),
}

impl Reply {
    pub(crate) fn send(self, contents: &Dictionary) -> Result<(), Error> {
        object::fill(&self.reply, contents, 1)?;
        let connection = match &self.to {
            Way::Connection(connection) => connection,
            Way::Session(session) => return session::send(session, &self.reply),
        };
        // SAFETY: a connection that received a message is active; the reply was made for it and is sent once, since
        // `self` is consumed.
        unsafe { xpc_connection_send_message(connection.as_ptr(), self.reply.as_ptr()) };
        Ok(())
    }
}
