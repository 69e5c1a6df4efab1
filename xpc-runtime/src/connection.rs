use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use xpc_object::{Dictionary, Endpoint};

use crate::error::neutral;
use crate::{Error, HandlerOutcome, Message, Queue, ReplyFuture, backend};

/// How a connection came to be: [`Named`], [`ByEndpoint`] or [`Accepted`].
pub trait Role: sealed::Sealed {}

/// A connection that a client made by name. It survives interruptions.
pub enum Named {}

/// A connection that a listener accepted. It is over when its client goes.
pub enum Accepted {}

/// A connection that a client made from an [`Endpoint`]. It is over when its listener goes.
pub enum ByEndpoint {}

impl Role for Named {}
impl Role for ByEndpoint {}
impl Role for Accepted {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Named {}
    impl Sealed for super::ByEndpoint {}
    impl Sealed for super::Accepted {}
}

/// A connection that neither sends nor receives yet: the time to set its handlers.
///
/// Dropping one that was accepted rejects the client, which is interrupted.
#[must_use = "a connection does nothing until `activate`"]
pub struct Inactive<R: Role> {
    pub(crate) connection: backend::Inactive,
    on_message: Option<MessageHandler>,
    on_interrupted: Option<InterruptedHandler>,
    on_invalid: Option<InvalidHandler>,
    on_termination: Option<InterruptedHandler>,
    on_rejected: Option<InvalidHandler>,
    role: PhantomData<R>,
}

type MessageHandler = Box<dyn FnMut(&Connection, Message) + Send>;
type InterruptedHandler = Box<dyn FnMut(&Connection) + Send>;
type InvalidHandler = Box<dyn FnMut(&Connection, Error) + Send>;

impl<R: Role> Inactive<R> {
    pub(crate) fn new(connection: backend::Inactive) -> Self {
        Self {
            connection,
            on_message: None,
            on_interrupted: None,
            on_invalid: None,
            on_termination: None,
            on_rejected: None,
            role: PhantomData,
        }
    }

    /// Sets what runs for each message that the other side sends, other than replies. Without it they are dropped.
    ///
    /// The handler may return `()` or a `Result`: see [`HandlerOutcome`]. Handlers of one connection run one at a time,
    /// on a thread of the runtime's; a panic in one ends the process.
    #[doc(alias = "xpc_connection_set_event_handler")]
    #[doc(alias = "xpc_dictionary_get_remote_connection")]
    pub fn on_message<O: HandlerOutcome>(
        mut self,
        mut handler: impl FnMut(&Connection, Message) -> O + Send + 'static,
    ) -> Self {
        self.on_message = Some(Box::new(move |connection, message| handler(connection, message).report()));
        self
    }

    /// Sets what runs once when the connection is over for good; the error is [`Error::Invalid`]. It is the
    /// connection's last event: all its handlers are dropped after it.
    #[doc(alias = "XPC_ERROR_CONNECTION_INVALID")]
    pub fn on_invalid(mut self, handler: impl FnMut(&Connection, Error) + Send + 'static) -> Self {
        self.on_invalid = Some(Box::new(handler));
        self
    }

    /// Sets what runs when the other side does not meet [`require_peer`](Self::require_peer); the error is
    /// [`Error::PeerRejected`]. The connection goes on, but nothing is heard of this peer. A service that takes its place
    /// may be the right one.
    #[doc(alias = "XPC_ERROR_PEER_CODE_SIGNING_REQUIREMENT")]
    pub fn on_peer_rejected(mut self, handler: impl FnMut(&Connection, Error) + Send + 'static) -> Self {
        self.on_rejected = Some(Box::new(handler));
        self
    }

    /// Starts the connection.
    ///
    /// An accepted connection lives until either side ends it, whether or not the returned value is kept; another one
    /// lives as long as a clone of it.
    #[doc(alias = "xpc_connection_activate")]
    #[doc(alias = "xpc_connection_resume")]
    pub fn activate(self) -> Connection {
        let Self {
            connection,
            mut on_message,
            mut on_interrupted,
            mut on_invalid,
            mut on_termination,
            mut on_rejected,
            role: PhantomData,
        } = self;
        Connection(connection.activate(Box::new(move |connection, event| {
            let connection = Connection(connection.clone());
            match event {
                backend::Event::Message(message) => {
                    let message = Message::new(message);
                    if let Some(handler) = &mut on_message {
                        handler(&connection, message);
                    }
                }
                backend::Event::Interrupted => {
                    if let Some(handler) = &mut on_interrupted {
                        handler(&connection);
                    }
                }
                backend::Event::TerminationImminent => {
                    if let Some(handler) = &mut on_termination {
                        handler(&connection);
                    }
                }
                backend::Event::PeerRejected(reason) => {
                    if let Some(handler) = &mut on_rejected {
                        handler(&connection, Error::PeerRejected(reason));
                    }
                }
                backend::Event::Invalid(reason) => {
                    if let Some(handler) = &mut on_invalid {
                        handler(&connection, Error::Invalid(reason));
                    }
                }
            }
        })))
    }
}

impl Inactive<Named> {
    /// Sets what runs each time the service goes away. The connection stays usable; pending replies have failed with
    /// [`Error::Interrupted`] by themselves.
    #[doc(alias = "XPC_ERROR_CONNECTION_INTERRUPTED")]
    pub fn on_interrupted(mut self, handler: impl FnMut(&Connection) + Send + 'static) -> Self {
        self.on_interrupted = Some(Box::new(handler));
        self
    }
}

impl Inactive<Accepted> {
    /// Sets what runs when the service is told to end. It may go on until its last [`Transaction`](crate::Transaction)
    /// ends, and that ends it.
    #[doc(alias = "XPC_ERROR_TERMINATION_IMMINENT")]
    pub fn on_termination_imminent(mut self, handler: impl FnMut(&Connection) + Send + 'static) -> Self {
        self.on_termination = Some(Box::new(handler));
        self
    }

    /// The client's process id.
    #[doc(alias = "xpc_connection_get_pid")]
    pub fn pid(&self) -> Option<u32> {
        self.connection.credentials().map(|peer| peer.pid)
    }

    /// The client's effective user id.
    #[doc(alias = "xpc_connection_get_euid")]
    pub fn euid(&self) -> Option<u32> {
        self.connection.credentials().map(|peer| peer.euid)
    }

    /// The client's effective group id.
    #[doc(alias = "xpc_connection_get_egid")]
    pub fn egid(&self) -> Option<u32> {
        self.connection.credentials().map(|peer| peer.egid)
    }

    /// The client's audit session, if it is in one.
    #[doc(alias = "xpc_connection_get_asid")]
    pub fn asid(&self) -> Option<u32> {
        self.connection.credentials().and_then(|peer| peer.asid())
    }
}

/// An active connection. Clones are the same connection; they are cheap.
///
/// When the last clone of a connection that was not accepted is dropped, it ends once its queued messages have left. A reply
/// future counts as a clone. Dropping a connection inside its own handler is fine.
#[doc(alias = "xpc_connection_t")]
#[derive(Clone)]
pub struct Connection(pub(crate) backend::Connection);

impl Connection {
    /// A connection to the service of this name (its `CFBundleIdentifier`) in the app's bundle.
    ///
    /// Always succeeds and launches nothing: the first message does. An unknown name makes the connection invalid after
    /// [`Inactive::activate`].
    #[doc(alias = "xpc_connection_create")]
    pub fn service(name: &str) -> Inactive<Named> {
        Inactive::new(backend::Inactive::service(name))
    }

    /// A connection to the agent or daemon that [serves](crate::Listener::mach_service) this name.
    ///
    /// Always succeeds. An unknown name makes the connection invalid after [`Inactive::activate`]. On Apple platforms a
    /// known one is one that launchd has a job for, which the first message starts. Elsewhere it is one that a running
    /// process of the same user listens under; when that process goes, the connection is interrupted, and so is every
    /// message until it is back. A sandboxed service reaches those that its entitlements list by name
    /// (`com.apple.security.temporary-exception.mach-lookup.global-name`), or whose names begin with a group of apps of its
    /// own (`com.apple.security.application-groups`) and a dot; to all others its connections are invalid.
    #[doc(alias = "xpc_connection_create_mach_service")]
    pub fn mach_service(name: &str) -> Inactive<Named> {
        Inactive::new(backend::Inactive::mach_service(name))
    }

    /// A connection to the anonymous listener that the endpoint leads to.
    ///
    /// Always succeeds. It connects when it is activated, before any message; it is never interrupted, and becomes
    /// invalid when the listener ends, its process included, or rejects it. Where the listener is gone already, that is
    /// after [`Inactive::activate`].
    #[doc(alias = "xpc_connection_create_from_endpoint")]
    pub fn from_endpoint(endpoint: &Endpoint) -> Inactive<ByEndpoint> {
        Inactive::new(backend::Inactive::from_endpoint(endpoint))
    }

    /// Queues a message that awaits no reply. Never blocks.
    ///
    /// # Errors
    /// [`Error::Full`] while the [budget](Inactive::budget) is used up; [`Error::Invalid`] once the connection is known
    /// to be over; [`Error::Encode`] for what cannot be represented. Success does not say that the message arrives.
    #[doc(alias = "xpc_connection_send_message")]
    pub fn send(&self, message: &Dictionary) -> Result<(), Error> {
        neutral(self.0.send(message))
    }

    /// Queues a request, and returns the future of its reply; any executor can run it. The request leaves whether or
    /// not the future is polled. Never blocks.
    ///
    /// # Errors
    /// The future's: [`Error::Interrupted`], [`Error::Invalid`], [`Error::Full`], [`Error::Encode`].
    #[doc(alias = "xpc_connection_send_message_with_reply")]
    pub fn send_with_reply(&self, message: &Dictionary) -> ReplyFuture {
        ReplyFuture::new(self.0.send_with_reply(message))
    }

    /// Queues a request, and has `handler` called with its outcome on this queue: it takes turns with whatever else runs
    /// there, so that it can share state with that without a lock. Never blocks, and never calls `handler` itself.
    ///
    /// The connection is kept until `handler` was called. A blocking request inside it, on a connection of the same
    /// queue, fails with [`Error::WouldDeadlock`]. A panic in it ends the process.
    ///
    /// # Errors
    /// Those of [`send_with_reply`](Self::send_with_reply), to `handler`.
    #[doc(alias = "xpc_connection_send_message_with_reply")]
    pub fn send_with_reply_on(
        &self,
        queue: &Queue,
        message: &Dictionary,
        handler: impl FnOnce(Result<Message, Error>) + Send + 'static,
    ) {
        self.0.send_with_reply_on(&queue.0, message, move |outcome| handler(neutral(outcome).map(Message::new)));
    }

    /// Sends a request, once there is room in the budget, and blocks until its reply arrives.
    ///
    /// # Errors
    /// [`Error::Interrupted`], [`Error::Invalid`], [`Error::Encode`]; [`Error::WouldDeadlock`] inside a handler of this
    /// connection.
    #[doc(alias = "xpc_connection_send_message_with_reply_sync")]
    pub fn send_with_reply_blocking(&self, message: &Dictionary) -> Result<Message, Error> {
        neutral(self.0.send_with_reply_blocking(message, None)).map(Message::new)
    }

    /// As [`send_with_reply_blocking`](Self::send_with_reply_blocking), for at most `timeout`.
    ///
    /// # Errors
    /// The same, and [`Error::TimedOut`]: the service may still handle the request, its reply is discarded.
    pub fn send_with_reply_timeout(&self, message: &Dictionary, timeout: Duration) -> Result<Message, Error> {
        neutral(self.0.send_with_reply_blocking(message, Some(timeout))).map(Message::new)
    }

    /// Ends the connection for good, for all clones. What has not left yet is discarded, pending replies fail with
    /// [`Error::Invalid`], and the last event is *invalid*, also where all clones are dropped before it. A service that cancels a client's connection interrupts the
    /// client, which may send again; a client that cancels makes the service's side invalid. Cancelling again does
    /// nothing.
    #[doc(alias = "xpc_connection_cancel")]
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Why the connection is over, once it is: the text of [`Error::Invalid`]. It is there before the handler of
    /// [`Inactive::on_invalid`] runs.
    #[doc(alias = "xpc_connection_copy_invalidation_reason")]
    pub fn invalidation_reason(&self) -> Option<Arc<str>> {
        self.0.invalidation_reason()
    }

    /// The name that the connection was made with; `None` for accepted ones.
    #[doc(alias = "xpc_connection_get_name")]
    pub fn name(&self) -> Option<&str> {
        self.0.name()
    }

    /// The other side's process id; `None` while it is not known. A client learns it with the first reply or message
    /// from the service.
    #[doc(alias = "xpc_connection_get_pid")]
    pub fn pid(&self) -> Option<u32> {
        self.0.credentials().map(|peer| peer.pid)
    }

    /// The other side's effective user id; `None` while it is not known.
    #[doc(alias = "xpc_connection_get_euid")]
    pub fn euid(&self) -> Option<u32> {
        self.0.credentials().map(|peer| peer.euid)
    }

    /// The other side's effective group id; `None` while it is not known.
    #[doc(alias = "xpc_connection_get_egid")]
    pub fn egid(&self) -> Option<u32> {
        self.0.credentials().map(|peer| peer.egid)
    }

    /// The other side's audit session, if it is in one; `None` while that is not known.
    #[doc(alias = "xpc_connection_get_asid")]
    pub fn asid(&self) -> Option<u32> {
        self.0.credentials().and_then(|peer| peer.asid())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("name", &self.name()).field("pid", &self.pid()).finish_non_exhaustive()
    }
}
