//! Messages: dictionaries that came over a connection, and replies to them.

use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use xpc_portable::{Error, Message, PeerRequirement, Reply};

use crate::convert;
use crate::dictionary::{Dictionary, dictionary};
use crate::lock;
use crate::object::{Lent, Object, Ref};
use crate::value::Value;

/// Where a dictionary comes from.
#[derive(Default)]
pub enum Origin {
    /// The program made it.
    #[default]
    Own,
    /// It was received.
    Received {
        message: Message,
        /// A connection or a session.
        connection: Ref,
        /// A reply was made.
        answered: AtomicBool,
    },
    /// It replies, once; to whom, the connection says.
    Reply { right: Mutex<Option<Reply>>, connection: Ref },
}

/// The object for a message that has arrived.
pub fn received(message: Message, connection: Ref) -> Ref {
    let mut contents = convert::dictionary(message.dictionary());
    contents.origin = Origin::Received { message, connection, answered: AtomicBool::new(false) };
    Ref::new(Value::Dictionary(contents))
}

/// `xpc_object_t xpc_dictionary_create_reply(xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_dictionary_create_reply(object: Lent) -> *mut Object {
    let Origin::Received { message, connection, answered } = &dictionary(object, "xpc_dictionary_create_reply").origin
    else {
        return ptr::null_mut();
    };
    if answered.load(Ordering::Acquire) {
        misuse!("a second reply is made to one message");
    }
    let Some(right) = message.reply() else { return ptr::null_mut() };
    answered.store(true, Ordering::Release);
    let origin = Origin::Reply { right: Mutex::new(Some(right)), connection: connection.clone() };
    Ref::new(Value::Dictionary(Dictionary { origin, ..Dictionary::default() })).into_owned()
}

/// `xpc_connection_t xpc_dictionary_get_remote_connection(xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_dictionary_get_remote_connection(object: Lent) -> *mut Object {
    match &dictionary(object, "xpc_dictionary_get_remote_connection").origin {
        Origin::Own => ptr::null_mut(),
        Origin::Received { connection, .. } | Origin::Reply { connection, .. } => match connection.value() {
            Value::Connection(_) => connection.lend(),
            // The header speaks of messages that a connection's handler was given.
            _ => ptr::null_mut(),
        },
    }
}

/// Whether the sender of a message meets the requirement.
pub fn require_sender(object: Lent, requirement: &PeerRequirement) -> Result<(), Error> {
    match &dictionary(object, "xpc_peer_requirement_match_received_message").origin {
        Origin::Received { message, .. } => message.require_sender(requirement),
        _ => misuse!("the sender is asked for of a dictionary that was not received"),
    }
}

impl Dictionary {
    /// The right to reply by sending this over the connection; `None` where it is no reply.
    pub fn reply_over(&self, over: &Object) -> Option<Reply> {
        let Origin::Reply { right, connection } = &self.origin else { return None };
        if !connection.same(over) {
            misuse!("a reply is sent over another connection than its request came by");
        }
        let right = lock(right).take();
        Some(right.unwrap_or_else(|| misuse!("one reply is sent twice")))
    }
}
