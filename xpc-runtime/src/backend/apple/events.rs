//! What libxpc tells a connection's handler of.

use std::sync::{Arc, Mutex, Weak};

use super::connection::{Connection, Event, Handle, Handler, PEER_REJECTED, is_error, is_peer_error, running};
use super::entry::Entry;
use super::inbox::{Inbox, Told};
use super::lock;
use super::message::Message;
use super::object::{self, Retained};
use super::queue::Queue;
use super::raw::*;

/// What a connection's event handler owns. It must not keep the connection alive, which keeps it alive.
pub(super) struct Events {
    handle: Weak<Handle>,
    /// libxpc calls one at a time; the lock costs nothing then.
    handler: Mutex<Option<Handler>>,
    /// An accepted connection keeps itself alive until it ends; another one from its cancellation on.
    keep: Mutex<Option<Connection>>,
    inbox: Mutex<Inbox<Self>>,
}

impl Events {
    pub fn new(connection: &Connection, handler: Handler, is_accepted: bool) -> Self {
        Self {
            handle: Arc::downgrade(&connection.0),
            handler: Mutex::new(Some(handler)),
            keep: Mutex::new(is_accepted.then(|| connection.clone())),
            inbox: Mutex::default(),
        }
    }

    /// Has the connection live until its last event.
    pub fn keep(&self, connection: &Connection) {
        lock(&self.keep).get_or_insert_with(|| connection.clone());
    }

    pub fn handle(self: &Arc<Self>, object: xpc_object_t) {
        let entry = Entry::new();
        // SAFETY: libxpc lends the object for the call, and passes no null.
        let object = unsafe { Retained::borrowed(object) };
        if let Some(object) = object {
            self.arrive(object);
        }
        entry.leave();
    }

    fn deliver(&self, connection: &Connection, object: Retained) {
        let event = if object::is_dictionary(&object) {
            Event::Message(Message::new(object))
        } else if is_error(&object, &raw const _xpc_error_connection_interrupted) {
            if connection.0.by_endpoint {
                // There is nothing to launch again: what follows is the last event.
                return connection.0.end_with_listener();
            }
            Event::Interrupted
        } else if is_error(&object, &raw const _xpc_error_connection_invalid) {
            Event::Invalid(connection.0.invalid_reason())
        } else if is_error(&object, &raw const _xpc_error_termination_imminent) {
            // The process may go on until its transactions end, which libxpc sees to.
            Event::TerminationImminent
        } else if is_peer_error(&object) {
            Event::PeerRejected(PEER_REJECTED.into())
        } else {
            return;
        };
        let last = matches!(event, Event::Invalid(_));
        let mut handler = lock(&self.handler);
        if let Some(handle) = handler.as_mut() {
            running(connection.as_ptr(), connection.queue_address(), || handle(connection, event));
        }
        if last {
            // Nothing follows: what the handler holds goes.
            let finished = (handler.take(), lock(&self.keep).take());
            drop(handler);
            drop(finished);
        }
    }
}

impl Told for Events {
    type Event = Retained;

    fn inbox(&self) -> &Mutex<Inbox<Self>> {
        &self.inbox
    }

    fn queue(&self) -> Option<Queue> {
        self.handle.upgrade().and_then(|handle| Connection(handle).queue())
    }

    fn tell(&self, object: Retained) {
        // Without a handle nobody is left to be told.
        if let Some(handle) = self.handle.upgrade() {
            self.deliver(&Connection(handle), object);
        }
    }
}
