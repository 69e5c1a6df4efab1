//! Asynchronous handlers: who runs them, and how many at a time.

use std::fmt;
use std::panic;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use crate::connection::{Connection, Inactive, Role};
use crate::executor::Executor;
use crate::{HandlerOutcome, InactiveSession, Message, Session};

/// What a [`Spawner`] runs: one call of an asynchronous handler.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An executor, as far as handlers need one.
///
/// It is there for every function and closure that takes a [`Task`], and with the feature `tokio` for
/// `tokio::runtime::Handle`.
pub trait Spawn: Send + Sync + 'static {
    /// Has the task run, soon and to its end. A task that is dropped before interrupts whoever awaits its reply.
    fn spawn(&self, task: Task);
}

impl<F: Fn(Task) + Send + Sync + 'static> Spawn for F {
    fn spawn(&self, task: Task) {
        self(task);
    }
}

#[cfg(feature = "tokio")]
impl Spawn for tokio::runtime::Handle {
    fn spawn(&self, task: Task) {
        // The task reports for itself; nobody joins it.
        drop(tokio::runtime::Handle::spawn(self, task));
    }
}

/// Where [asynchronous handlers](Inactive::on_message_async) run, and how many of one connection at a time. Clones are
/// the same.
///
/// ```
/// use xpc_runtime::{Error, Listener, Spawner};
///
/// let spawner = Spawner::bundled().max_in_flight(8);
/// let listener = Listener::anonymous().activate(move |peer| {
///     peer.on_message_async(&spawner, |_connection, message| async move {
///         message.reply().with("greeting", "Hello").send()
///     })
///     .activate();
/// });
/// # drop(listener);
/// ```
#[derive(Clone)]
pub struct Spawner {
    spawn: Arc<dyn Spawn>,
    max_in_flight: usize,
}

impl Spawner {
    /// As many of one connection's messages as are handled at a time by default.
    pub const MAX_IN_FLIGHT: usize = 64;

    /// The runtime's own: a few threads that all such spawners of the process share. It has no timers and no input or
    /// output of its own, besides [`ReplyFuture::with_timeout`](crate::ReplyFuture::with_timeout).
    pub fn bundled() -> Self {
        Self::new(Executor::shared().clone())
    }

    /// Another executor's; a closure of one argument, which is the task, is one, too.
    ///
    /// With the feature `tokio`:
    ///
    /// ```
    /// # #[cfg(feature = "tokio")]
    /// # {
    /// use xpc_runtime::Spawner;
    ///
    /// let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    /// let spawner = Spawner::new(runtime.handle().clone());
    /// # drop(spawner);
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(spawn: impl Spawn) -> Self {
        Self { spawn: Arc::new(spawn), max_in_flight: Self::MAX_IN_FLIGHT }
    }

    /// The same with so many messages of a connection at a time, at least one: with one, each is handled to its end
    /// before the next begins.
    pub fn max_in_flight(mut self, count: usize) -> Self {
        self.max_in_flight = count.max(1);
        self
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner").field("max_in_flight", &self.max_in_flight).finish_non_exhaustive()
    }
}

impl<R: Role> Inactive<R> {
    /// Sets what runs for each message that the other side sends, as [`on_message`](Self::on_message) does, to its end on
    /// the spawner's executor.
    ///
    /// The handler is called, and what it returns is spawned, in the order in which the messages arrived; from then on
    /// they go on beside each other. While as many as [`Spawner::max_in_flight`] says are not done, the next ones wait,
    /// and so does whatever the connection is told of after them. Replies do not wait, and sending goes on: an
    /// asynchronous handler may await a request on its own connection.
    ///
    /// What was begun goes on when the connection ends, and keeps it alive. A panic in it ends the process.
    pub fn on_message_async<F>(
        self,
        spawner: &Spawner,
        handler: impl FnMut(&Connection, Message) -> F + Send + 'static,
    ) -> Self
    where
        F: Future + Send + 'static,
        F::Output: HandlerOutcome,
    {
        self.on_message(Lane::handler(spawner, handler))
    }
}

impl InactiveSession {
    /// Sets what runs for each message that the service sends, as [`on_message`](Self::on_message) does, to its end on the
    /// spawner's executor: as [`Inactive::on_message_async`] does for a connection.
    pub fn on_message_async<F>(
        self,
        spawner: &Spawner,
        handler: impl FnMut(&Session, Message) -> F + Send + 'static,
    ) -> Self
    where
        F: Future + Send + 'static,
        F::Output: HandlerOutcome,
    {
        self.on_message(Lane::handler(spawner, handler))
    }
}

/// Whoever gets messages, and can let them wait.
trait Receiver: Clone + Send + Sync + Unpin + 'static {
    fn hold_messages(&self, hold: bool);
}

impl Receiver for Connection {
    fn hold_messages(&self, hold: bool) {
        self.0.hold_messages(hold);
    }
}

impl Receiver for Session {
    fn hold_messages(&self, hold: bool) {
        self.0.hold_messages(hold);
    }
}

/// What is being handled of one connection or session.
struct Lane {
    spawner: Spawner,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    in_flight: usize,
    held: bool,
}

impl Lane {
    /// The handler that has what `handler` returns run.
    fn handler<R, F>(
        spawner: &Spawner,
        mut handler: impl FnMut(&R, Message) -> F + Send + 'static,
    ) -> impl FnMut(&R, Message) + Send + 'static
    where
        R: Receiver,
        F: Future<Output: HandlerOutcome> + Send + 'static,
    {
        let lane = Arc::new(Self { spawner: spawner.clone(), state: Mutex::default() });
        move |receiver, message| {
            let future = Box::pin(handler(receiver, message));
            let place = lane.clone().enter(receiver);
            lane.spawner.spawn.spawn(Box::pin(InFlight { future, _place: place }));
        }
    }

    /// Inside the handler: where the lane is full now, the handler is not called again before somebody has left it.
    fn enter<R: Receiver>(self: Arc<Self>, receiver: &R) -> Place<R> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.in_flight += 1;
        if state.in_flight >= self.spawner.max_in_flight {
            state.held = true;
            receiver.hold_messages(true);
        }
        drop(state);
        Place { lane: self, receiver: receiver.clone() }
    }
}

/// A message's place in its lane.
struct Place<R: Receiver> {
    lane: Arc<Lane>,
    receiver: R,
}

impl<R: Receiver> Drop for Place<R> {
    fn drop(&mut self) {
        let mut state = self.lane.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.in_flight -= 1;
        if std::mem::take(&mut state.held) {
            self.receiver.hold_messages(false);
        }
    }
}

struct InFlight<F, R: Receiver> {
    /// Goes first: its message, unanswered, interrupts the requester.
    future: Pin<Box<F>>,
    _place: Place<R>,
}

impl<F: Future<Output: HandlerOutcome>, R: Receiver> Future for InFlight<F, R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let future = self.future.as_mut();
        // Executors catch panics; a handler's ends the process.
        let polled = panic::catch_unwind(panic::AssertUnwindSafe(|| future.poll(context)));
        match polled {
            Ok(polled) => polled.map(HandlerOutcome::report),
            Err(_) => std::process::abort(),
        }
    }
}
