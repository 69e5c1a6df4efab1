//! What libxpc tells a connection's handler of, and what waits to be told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};

use super::connection::{Connection, Event, Handle, Handler, PEER_REJECTED, is_error, is_peer_error, running};
use super::entry::Entry;
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
    /// An accepted connection keeps itself alive until it ends.
    keep: Mutex<Option<Connection>>,
    inbox: Mutex<Inbox>,
}

/// What came while messages were held, which libxpc knows nothing of.
#[derive(Default)]
struct Inbox {
    waiting: VecDeque<Retained>,
    held: bool,
    suspensions: usize,
    /// Somebody takes out what waits, or is about to: what comes now comes after it.
    draining: bool,
    /// As long as something waits: libxpc gives up the handler after its last event, which may be what waits.
    kept: Option<Arc<Events>>,
}

impl Inbox {
    fn is_shut(&self) -> bool {
        self.held || self.suspensions > 0
    }
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

    pub fn handle(self: &Arc<Self>, object: xpc_object_t) {
        let entry = Entry::new();
        // SAFETY: libxpc lends the object for the call, and passes no null.
        let object = unsafe { Retained::borrowed(object) };
        // Without a handle nobody is left to be told.
        if let (Some(object), Some(handle)) = (object, self.handle.upgrade()) {
            let mut inbox = lock(&self.inbox);
            if inbox.held || inbox.draining {
                inbox.waiting.push_back(object);
                inbox.kept.get_or_insert_with(|| self.clone());
            } else {
                drop(inbox);
                self.deliver(&Connection(handle), object);
            }
        }
        entry.leave();
    }

    /// Whether messages, and what comes after them, wait for the time being.
    pub fn hold(self: Arc<Self>, hold: bool) {
        lock(&self.inbox).held = hold;
        self.drain_later();
    }

    /// libxpc holds back what it has; this holds back what is here already.
    pub fn suspend(&self) {
        lock(&self.inbox).suspensions += 1;
    }

    pub fn resume(self: Arc<Self>) {
        lock(&self.inbox).suspensions -= 1;
        self.drain_later();
    }

    /// On the connection's queue, or one of its own: never inside the call that asks for it.
    fn drain_later(self: Arc<Self>) {
        let mut inbox = lock(&self.inbox);
        if inbox.is_shut() || inbox.draining || inbox.waiting.is_empty() {
            return;
        }
        inbox.draining = true;
        drop(inbox);
        let queue = self.handle.upgrade().and_then(|handle| Connection(handle).queue());
        let queue = queue.unwrap_or_else(|| Queue::serial("xpc-runtime.messages"));
        queue.submit(move || self.drain());
    }

    fn drain(&self) {
        loop {
            let mut inbox = lock(&self.inbox);
            let next = if inbox.is_shut() { None } else { inbox.waiting.pop_front() };
            inbox.draining = next.is_some();
            let kept = if inbox.waiting.is_empty() { inbox.kept.take() } else { None };
            drop(inbox);
            let Some(object) = next else { return };
            // Without a handle nobody is left to be told.
            if let Some(handle) = self.handle.upgrade() {
                self.deliver(&Connection(handle), object);
            }
            drop(kept);
        }
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
