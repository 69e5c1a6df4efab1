//! How much waits in a connection, and holding it up.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use xpc_object::Dictionary;

pub use crate::backend::Budget;
use crate::connection::{Connection, Inactive, Role};
use crate::error::neutral;
use crate::{Error, Session, backend};

impl<R: Role> Inactive<R> {
    /// Sets how much may wait in the connection. Past it, senders are refused; and the client of an accepted connection
    /// that takes less than 64 KiB in `XPC_RUNTIME_STALL_TIMEOUT` (a minute) is cut off. On Apple platforms it does
    /// nothing: libxpc sets no limit.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.connection.set_budget(budget);
        self
    }
}

/// Handlers of the connections that share one run one at a time, and in the order in which their events came up; so that
/// they can share what is theirs without a lock of their own. Clones are the same queue.
#[doc(alias = "dispatch_queue_t")]
#[derive(Clone)]
pub struct Queue(pub(crate) backend::Queue);

impl Queue {
    /// A new queue; the label is for people and debuggers.
    #[doc(alias = "dispatch_queue_create")]
    pub fn serial(label: &str) -> Self {
        Self(backend::Queue::serial(label))
    }

    /// The queue of the main thread, for what may be done there alone, as most of AppKit. On Apple platforms the main
    /// thread serves it inside of [`xpc_main`](crate::xpc_main), [`dispatch_main`](crate::dispatch_main) and an app's run
    /// loop; elsewhere on it nothing of it is ever called. On Linux, where no thread is special, it is one queue of the
    /// process, whose handlers run on any thread.
    #[doc(alias = "dispatch_get_main_queue")]
    pub fn main() -> Self {
        Self(backend::Queue::main())
    }

    /// The label.
    #[doc(alias = "dispatch_queue_get_label")]
    pub fn label(&self) -> &str {
        self.0.label()
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("label", &self.label()).finish_non_exhaustive()
    }
}

impl<R: Role> Inactive<R> {
    /// Has the connection's handlers take turns with those of all other connections of this queue. While one waits for
    /// its turn, replies come in all the same. A blocking request on any of them inside a handler of any of them
    /// fails with [`Error::WouldDeadlock`].
    #[doc(alias = "xpc_connection_set_target_queue")]
    pub fn target_queue(mut self, queue: &Queue) -> Self {
        self.connection.set_target_queue(&queue.0);
        self
    }
}

impl Connection {
    /// As [`send`](Self::send), but waits while the budget is used up.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Encode`]; [`Error::WouldDeadlock`] where it would have to wait inside a handler of
    /// this connection, which sends nothing meanwhile.
    pub fn send_blocking(&self, message: &Dictionary) -> Result<(), Error> {
        neutral(self.0.send_blocking(message))
    }

    /// The future of there being room for a message: for whoever got [`Error::Full`]. Another thread may be faster, so
    /// that the next send may fail again.
    ///
    /// # Errors
    /// The future's: [`Error::Invalid`].
    pub fn send_ready(&self) -> SendReady {
        SendReady(self.0.send_ready())
    }

    /// Has `barrier` called once what was sent before has left this process, or was discarded. Nothing is sent while it
    /// runs, so that a blocking request on this connection inside it fails with [`Error::WouldDeadlock`]. It runs on a
    /// thread of the runtime's, and in any case: on a connection that is over at once. A panic in it ends the process.
    #[doc(alias = "xpc_connection_send_barrier")]
    pub fn send_barrier(&self, barrier: impl FnOnce() + Send + 'static) {
        self.0.send_barrier(barrier);
    }

    /// Holds the connection up: as long as the returned value lives, nothing is sent or handled, replies included. A
    /// handler that runs already is not interrupted. Suspensions add up. What is sent meanwhile waits in the budget, and
    /// the outcome of [`cancel`](Self::cancel) waits too.
    #[doc(alias = "xpc_connection_suspend")]
    #[doc(alias = "xpc_connection_resume")]
    pub fn suspend(&self) -> Suspension {
        Suspension { _suspension: self.0.suspend() }
    }

    /// Attaches a value, for all clones, in place of the one before. It is dropped with the last clone; one that holds
    /// the connection keeps it alive.
    #[doc(alias = "xpc_connection_set_context")]
    #[doc(alias = "xpc_connection_set_finalizer_f")]
    pub fn set_context<T: Any + Send + Sync>(&self, context: T) {
        self.0.set_context(Arc::new(context));
    }

    /// The value that was attached, if it is of this type.
    #[doc(alias = "xpc_connection_get_context")]
    pub fn context<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.context().and_then(|context| context.downcast().ok())
    }
}

impl Session {
    /// As [`send`](Self::send), but waits while the budget is used up.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Encode`]; [`Error::WouldDeadlock`] where it would have to wait inside a handler of
    /// this session, which sends nothing meanwhile.
    pub fn send_blocking(&self, message: &Dictionary) -> Result<(), Error> {
        neutral(self.0.send_blocking(message))
    }

    /// The future of there being room for a message: for whoever got [`Error::Full`]. Another thread may be faster, so
    /// that the next send may fail again.
    ///
    /// # Errors
    /// The future's: [`Error::Invalid`].
    pub fn send_ready(&self) -> SendReady {
        SendReady(self.0.send_ready())
    }
}

/// Ready when a connection or session has room for a message.
#[must_use = "a future does nothing unless it is awaited"]
pub struct SendReady(backend::SendReady);

impl Future for SendReady {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(neutral)
    }
}

/// As long as it lives, its connection is held up; see [`Connection::suspend`]. It counts as a clone of the connection,
/// which therefore can neither be released while it is suspended nor resumed too often, which C aborts for.
#[must_use = "the connection goes on as soon as this is dropped"]
pub struct Suspension {
    _suspension: backend::Suspension,
}

impl fmt::Debug for Suspension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suspension").finish_non_exhaustive()
    }
}
