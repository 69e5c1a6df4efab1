//! Suspension, barriers, contexts; and budgets, which libxpc does not have.

use std::pin::Pin;
use std::ptr;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};

use xpc_object::Dictionary;

use super::block::Block;
use super::connection::{self, Connection, Inactive};
use super::entry::Entry;
use super::events::Events;
use super::inbox::Told;
use super::lock;
use super::queue::Queue;
use super::raw::{xpc_connection_resume, xpc_connection_send_barrier, xpc_connection_suspend};
use super::session::Session;
use crate::Error;

/// How much may wait in one connection. libxpc keeps the queue and sets no limit: this does nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of encoded messages.
    pub bytes: usize,
    /// Descriptors in them.
    pub descriptors: usize,
}

impl Default for Budget {
    /// 64 MiB and 256 descriptors, as on other systems.
    fn default() -> Self {
        Self { bytes: 64 << 20, descriptors: 256 }
    }
}

impl Inactive {
    /// libxpc's queue has no limit.
    pub(crate) fn set_budget(&mut self, _budget: Budget) {}
}

impl Connection {
    /// Never waits: there is always room.
    pub(crate) fn send_blocking(&self, message: &Dictionary) -> Result<(), Error> {
        self.send(message)
    }

    pub(crate) fn send_ready(&self) -> SendReady {
        SendReady::Connection(self.clone())
    }

    pub(crate) fn send_barrier(&self, barrier: impl FnOnce() + Send + 'static) {
        if self.check().is_err() {
            // Nothing says that libxpc calls it where nothing is sent any more.
            let connection = self.object();
            let call = move || connection::running(connection.as_ptr(), ptr::null(), barrier);
            return Queue::serial("xpc-runtime.barriers").submit(call);
        }
        // Not a clone of the connection, which may end meanwhile.
        let (object, queue) = (self.object(), self.queue());
        let barrier = Mutex::new(Some(barrier));
        let block = Block::plain(move || {
            let entry = Entry::new();
            let barrier = lock(&barrier).take();
            if let Some(barrier) = barrier {
                let queue = queue.as_ref().map_or(ptr::null(), Queue::address);
                connection::running(object.as_ptr(), queue, barrier);
            }
            entry.leave();
        });
        // SAFETY: an active connection, and a block with the signature of a barrier, which is copied.
        unsafe { xpc_connection_send_barrier(self.as_ptr(), block.as_ptr()) };
    }

    pub(crate) fn suspend(&self) -> Suspension {
        // SAFETY: an active connection. The guard resumes it once, and keeps it alive until then.
        unsafe { xpc_connection_suspend(self.as_ptr()) };
        if let Some(events) = self.events() {
            events.suspend();
        }
        Suspension(self.clone())
    }

    /// Has messages and what comes after them wait, or no longer wait, for the handler. libxpc reads on.
    pub(crate) fn hold_messages(&self, hold: bool) {
        if let Some(events) = self.events() {
            events.hold(hold);
        }
    }

    /// What the event handler owns, as long as libxpc has it.
    pub(super) fn events(&self) -> Option<Arc<Events>> {
        self.0.events.get().and_then(Weak::upgrade)
    }

    pub(crate) fn set_context(&self, context: connection::Context) {
        let previous = lock(&self.0.context).replace(context);
        drop(previous);
    }

    pub(crate) fn context(&self) -> Option<connection::Context> {
        lock(&self.0.context).clone()
    }
}

pub(crate) struct Suspension(Connection);

impl Drop for Suspension {
    fn drop(&mut self) {
        if let Some(events) = self.0.events() {
            events.resume();
        }
        // SAFETY: balances the one call of `suspend` that this guard stands for; the connection is released after it.
        unsafe { xpc_connection_resume(self.0.as_ptr()) };
    }
}

/// libxpc has no limit: there is room until the end.
pub(crate) enum SendReady {
    Connection(Connection),
    Session(Session),
}

impl Future for SendReady {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match &*self {
            Self::Connection(connection) => connection.check(),
            Self::Session(session) => session.check(),
        })
    }
}
