//! Connections as their users see them; `core` is what the reactor sees.

mod attendant;
mod busy;
mod core;
mod end;
mod inbox;
mod outbox;
mod queue;
mod reader;
mod sending;
mod spin;
mod stall;
mod suspension;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use xpc_object::{Dictionary, Endpoint};

pub(crate) use self::attendant::AbortOnPanic;
pub(crate) use self::core::Core;
use self::core::Place;
use self::end::Outcome;
pub use self::outbox::Budget;
pub use self::queue::Queue;
use self::sending::{Awaiter, Patience};
pub use self::suspension::Suspension;
use crate::frame::{self, Kind};
use crate::slot::{ReplyFuture, Slot};
use crate::testing::Faults;
use crate::{Credentials, Error, Message, PeerRequirement, lock};

/// What a connection's handler is told.
pub enum Event {
    /// The peer sent a message.
    Message(Message),
    /// The service went away; the next message launches it again. Only connections made by name see this.
    Interrupted,
    /// The process was told to end, and does so when its last transaction ends. Only accepted connections see this.
    TerminationImminent,
    /// The other side does not meet the connection's requirement, the text says why: its messages are dropped.
    PeerRejected(Arc<str>),
    /// The connection is over for good, and this was its last event; the text says why.
    Invalid(Arc<str>),
}

/// What runs for each event of a connection, one at a time. A panic in it aborts the process.
pub type Handler = Box<dyn FnMut(&Connection, Event) + Send>;

/// A connection that neither sends nor receives yet. Dropping one that was accepted rejects it.
pub struct Inactive {
    core: Option<Arc<Core>>,
    queue: Option<Queue>,
    /// Its listener's, and its own.
    requirements: [Option<PeerRequirement>; 2],
}

impl Inactive {
    /// A connection to the service of this name in the app's bundle. Always succeeds: an unknown name makes the
    /// connection invalid after [`activate`](Self::activate).
    pub fn service(name: &str) -> Self {
        Self::new(Core::named(name, Place::Bundle, false))
    }

    /// The same, but every disconnection ends it for good: nothing launches the service a second time, and the handler
    /// is never told of an interruption.
    pub fn session(name: &str) -> Self {
        Self::new(Core::named(name, Place::Bundle, true))
    }

    /// A connection to whatever process of the same user [listens](crate::Listener::mach_service) under this name.
    /// Always succeeds: where none does, the connection is invalid after [`activate`](Self::activate). A process that
    /// was reached may go and come back; meanwhile every message is an interruption.
    pub fn mach_service(name: &str) -> Self {
        Self::new(Core::named(name, Place::User(AtomicBool::new(false)), false))
    }

    /// The same, but every disconnection ends it for good.
    pub fn mach_session(name: &str) -> Self {
        Self::new(Core::named(name, Place::User(AtomicBool::new(false)), true))
    }

    /// A connection to the listener of this endpoint. Always succeeds: where the listener is gone, the connection is
    /// invalid after [`activate`](Self::activate); it becomes invalid when the listener goes.
    pub fn from_endpoint(endpoint: &Endpoint) -> Self {
        Self::new(Core::by_endpoint(endpoint.clone()))
    }

    pub(crate) fn downgrade(&self) -> Option<Weak<Core>> {
        self.core.as_ref().map(Arc::downgrade)
    }

    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core: Some(core), queue: None, requirements: [None, None] }
    }

    /// The listener's requirement, beside that which the connection may get.
    pub(crate) fn inherit(&mut self, requirement: Option<PeerRequirement>) {
        self.requirements[0] = requirement;
    }

    /// Who is at the other end; known for accepted connections.
    pub fn credentials(&self) -> Option<Credentials> {
        self.core.as_ref().and_then(|core| core.credentials())
    }

    /// Sets how much may wait in the connection.
    pub fn set_budget(&mut self, budget: Budget) {
        if let Some(core) = &self.core {
            lock(&core.state).outbox.budget = budget;
        }
    }

    /// Has the handler take turns with those of other connections.
    pub fn set_target_queue(&mut self, queue: &Queue) {
        self.queue = Some(queue.clone());
    }

    /// Has everything dropped that comes from a peer who does not meet this, in place of the requirement before. A
    /// session ends when such a peer answers.
    pub fn require_peer(&mut self, requirement: &PeerRequirement) {
        self.requirements[1] = Some(requirement.clone());
    }

    /// Starts the connection. An accepted one lives until either side ends it; another one lives as long as its clones.
    pub fn activate(mut self, handler: Handler) -> Connection {
        let core = self.core.take().expect("only `activate` takes it, and consumes self");
        if let Some(queue) = self.queue.take() {
            let _ = core.queue.set(queue);
        }
        if self.requirements.iter().any(Option::is_some) {
            let _ = core.requirements.set(std::mem::take(&mut self.requirements));
        }
        let connection = Connection(Arc::new(Handle { core, context: Mutex::default() }));
        connection.0.core.activate(&connection, handler);
        connection
    }
}

impl Drop for Inactive {
    fn drop(&mut self) {
        if let Some(core) = self.core.take() {
            core.last_handle_dropped();
        }
    }
}

/// An active connection; clones are the same connection. When the last one goes, the connection ends once what was
/// queued has left.
#[derive(Clone)]
pub struct Connection(Arc<Handle>);

struct Handle {
    core: Arc<Core>,
    context: Mutex<Option<AnyContext>>,
}

/// What a user attached to a connection.
type AnyContext = Arc<dyn Any + Send + Sync>;

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.last_handle_dropped();
    }
}

impl Connection {
    /// Queues a message. Never blocks.
    ///
    /// # Errors
    /// [`Error::Full`] while the budget is used up; [`Error::Invalid`] once the connection is over; [`Error::Encode`]
    /// for what cannot be represented.
    pub fn send(&self, message: &Dictionary) -> Result<(), Error> {
        let frame = frame::message(Kind::Message, 0, message)?;
        self.0.core.push(frame, Patience::None)
    }

    /// As [`send`](Self::send), but waits while the budget is used up.
    ///
    /// # Errors
    /// [`Error::WouldDeadlock`] where it would have to wait inside a handler of the same connection; the others of
    /// [`send`](Self::send).
    pub fn send_blocking(&self, message: &Dictionary) -> Result<(), Error> {
        let frame = frame::message(Kind::Message, 0, message)?;
        self.0.core.push(frame, Patience::Until(None))
    }

    /// The future of there being room in the budget; its error is [`Error::Invalid`].
    pub fn send_ready(&self) -> SendReady {
        SendReady(self.clone())
    }

    /// Has this called once what was sent before has left this process, or was discarded; nothing is sent while it
    /// runs. On a connection that is over it runs at once. A panic in it aborts the process.
    pub fn send_barrier(&self, barrier: impl FnOnce() + Send + 'static) {
        self.0.core.push_barrier(Box::new(barrier));
    }

    /// Holds the connection up.
    pub fn suspend(&self) -> Suspension {
        Suspension::new(self.clone())
    }

    /// Has messages and what comes after them wait, or no longer wait, for the handler; replies do not, and sending goes
    /// on. The peer can send no more than its window meanwhile.
    pub fn hold_messages(&self, hold: bool) {
        self.0.core.hold_messages(hold);
    }

    /// Attaches a value, which goes with the last clone, or when it is replaced.
    pub fn set_context(&self, context: Arc<dyn Any + Send + Sync>) {
        let previous = lock(&self.0.context).replace(context);
        drop(previous);
    }

    /// The value that was attached last.
    pub fn context(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        lock(&self.0.context).clone()
    }

    /// Queues a request and returns the future of its reply. Never blocks; errors are the future's.
    pub fn send_with_reply(&self, message: &Dictionary) -> ReplyFuture {
        let sent = frame::message(Kind::Request, 0, message).and_then(|frame| {
            let slot = Slot::new();
            self.0
                .core
                .push_request(frame, slot.clone(), Awaiter::Future, Patience::None)
                .map(|(number, _)| (slot, number))
        });
        let (slot, number) = sent.unwrap_or_else(|error| (Slot::failed(error), 0));
        ReplyFuture { slot, connection: self.clone(), number }
    }

    /// Queues a request; its outcome is `handler`'s, when its turn in the queue has come. Never blocks. Until then the
    /// connection is kept. A panic in `handler` aborts the process.
    pub fn send_with_reply_on(
        &self,
        queue: &Queue,
        message: &Dictionary,
        handler: impl FnOnce(Result<Message, Error>) + Send + 'static,
    ) {
        let (queue, kept) = (queue.clone(), self.clone());
        let slot = Slot::calling(move |result| {
            queue.submit(move || {
                handler(result);
                drop(kept);
            });
        });
        let sent = frame::message(Kind::Request, 0, message)
            .and_then(|frame| self.0.core.push_request(frame, slot.clone(), Awaiter::Handler, Patience::None));
        if let Err(error) = sent {
            slot.fill(Err(error));
        }
    }

    /// Sends a request and waits for its reply, at most as long as `timeout` says, and before that for room in the
    /// budget.
    ///
    /// Where nobody else reads the connection, the calling thread does so itself.
    ///
    /// # Errors
    /// Every kind of [`Error`].
    pub fn send_with_reply_blocking(&self, message: &Dictionary, timeout: Option<Duration>) -> Result<Message, Error> {
        let core = &self.0.core;
        if core.waits_for_this_thread() {
            return Err(Error::WouldDeadlock);
        }
        // A deadline beyond what the clock can express is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let frame = frame::message(Kind::Request, 0, message)?;
        let slot = Slot::new();
        let (number, leads) = core.push_request(frame, slot.clone(), Awaiter::Caller, Patience::Until(deadline))?;
        if leads {
            core.lead(&slot, deadline);
        }
        slot.wait(deadline).unwrap_or_else(|| {
            self.forget_request(number);
            // It may have arrived between the deadline and now.
            slot.take().unwrap_or(Err(Error::TimedOut))
        })
    }

    /// Ends the connection for good: what was not sent is discarded, pending replies fail, the handler sees a last
    /// invalid event.
    pub fn cancel(&self) {
        self.0.core.end(Outcome::Cancelled);
    }

    /// Who is at the other end; for a connection made by name, known from the first exchange on.
    pub fn credentials(&self) -> Option<Credentials> {
        self.0.core.credentials()
    }

    /// Why it is over, once it is.
    pub fn invalidation_reason(&self) -> Option<Arc<str>> {
        self.0.core.invalidation_reason()
    }

    /// The name the connection was made with.
    pub fn name(&self) -> Option<&str> {
        self.0.core.name()
    }

    pub(crate) fn faults(&self) -> &Faults {
        self.0.core.faults.get_or_init(Faults::default)
    }

    pub(crate) fn look_for_reply(&self) {
        self.0.core.look_for_reply();
    }

    pub(crate) fn forget_request(&self, number: u64) {
        self.0.core.forget_request(number);
    }

    fn downgrade(&self) -> WeakConnection {
        WeakConnection(Arc::downgrade(&self.0))
    }
}

/// Ready when a message can be queued.
#[must_use = "a future does nothing unless it is awaited"]
pub struct SendReady(Connection);

impl Future for SendReady {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.0.core.poll_room(context.waker())
    }
}

/// How the core reaches the handle that it must not keep alive.
#[derive(Default)]
struct WeakConnection(Weak<Handle>);

impl WeakConnection {
    fn upgrade(&self) -> Option<Connection> {
        self.0.upgrade().map(Connection)
    }
}
