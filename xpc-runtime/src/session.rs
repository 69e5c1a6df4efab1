use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use xpc_object::Dictionary;

use crate::error::neutral;
use crate::{Budget, Error, HandlerOutcome, Message, Queue, ReplyFuture, backend};

/// A session that was not activated: the time to set its handlers. Dropping it is fine.
#[must_use = "a session does nothing until `activate`"]
pub struct InactiveSession {
    name: Box<str>,
    pub(crate) settings: backend::SessionSettings,
    on_message: Option<MessageHandler>,
    on_cancelled: Option<CancelHandler>,
}

type MessageHandler = Box<dyn FnMut(&Session, Message) + Send>;
type CancelHandler = Box<dyn FnMut(&Session, Error) + Send>;

impl InactiveSession {
    fn new(name: &str, is_mach_service: bool) -> Self {
        let settings = backend::SessionSettings { is_mach_service, ..Default::default() };
        Self { name: name.into(), settings, on_message: None, on_cancelled: None }
    }

    /// Sets how much may wait in the session.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.settings.budget = budget;
        self
    }

    /// Has the session's handlers take turns with those of all other sessions and connections of this queue, as
    /// [`Inactive::target_queue`](crate::Inactive::target_queue) has a connection's.
    #[doc(alias = "xpc_session_set_target_queue")]
    pub fn target_queue(mut self, queue: &Queue) -> Self {
        self.settings.queue = Some(queue.0.clone());
        self
    }

    /// Sets what runs for each message that the service sends, other than replies. Without it they are dropped.
    ///
    /// The handler may return `()` or a `Result`: see [`HandlerOutcome`]. Handlers of one session run one at a time, on a
    /// thread of the runtime's; a panic in one ends the process.
    #[doc(alias = "xpc_session_set_incoming_message_handler")]
    pub fn on_message<O: HandlerOutcome>(
        mut self,
        mut handler: impl FnMut(&Session, Message) -> O + Send + 'static,
    ) -> Self {
        self.on_message = Some(Box::new(move |session, message| handler(session, message).report()));
        self
    }

    /// Sets what runs once when the session is over, whoever ended it; the error is [`Error::Invalid`]. It is the
    /// session's last event: all its handlers are dropped after it.
    #[doc(alias = "xpc_session_set_cancel_handler")]
    pub fn on_cancelled(mut self, handler: impl FnMut(&Session, Error) + Send + 'static) -> Self {
        self.on_cancelled = Some(Box::new(handler));
        self
    }

    /// Starts the session. This launches nothing: the first message does.
    ///
    /// # Errors
    /// [`Error::Unsupported`] before macOS 13; [`Error::Invalid`] where the system refuses. An unknown name may show
    /// here, or as the end of the session.
    #[doc(alias = "xpc_session_activate")]
    pub fn activate(self) -> Result<Session, Error> {
        let Self { name, settings, mut on_message, mut on_cancelled } = self;
        let session = backend::Session::activate(
            &name,
            settings,
            Box::new(move |session, event| {
                let session = Session(session.clone());
                match event {
                    backend::SessionEvent::Message(message) => {
                        let message = Message::new(message);
                        if let Some(handler) = &mut on_message {
                            handler(&session, message);
                        }
                    }
                    backend::SessionEvent::Cancelled(reason) => {
                        if let Some(handler) = &mut on_cancelled {
                            handler(&session, Error::Invalid(reason));
                        }
                    }
                }
            }),
        );
        neutral(session).map(Session)
    }
}

/// A connection to one instance of a service: when that goes, or lets the session go, the session is over. It is never
/// interrupted, and its messages never reach a second instance that does not know of the first. macOS 13.
///
/// Clones are the same session; a reply future counts as one. With the last, the session ends; what has not left by
/// then may be discarded.
#[doc(alias = "xpc_session_t")]
#[derive(Clone)]
pub struct Session(pub(crate) backend::Session);

impl Session {
    /// A session with the service of this name (its `CFBundleIdentifier`) in the app's bundle.
    #[doc(alias = "xpc_session_create_xpc_service")]
    pub fn service(name: &str) -> InactiveSession {
        InactiveSession::new(name, false)
    }

    /// A session with the agent or daemon that [serves](crate::Listener::mach_service) this name.
    #[doc(alias = "xpc_session_create_mach_service")]
    pub fn mach_service(name: &str) -> InactiveSession {
        InactiveSession::new(name, true)
    }

    /// Queues a message that awaits no reply. Never blocks.
    ///
    /// # Errors
    /// [`Error::Invalid`] once the session is known to be over; [`Error::Encode`] for what cannot be represented;
    /// [`Error::Full`] while its [budget](InactiveSession::budget) is used up.
    #[doc(alias = "xpc_session_send_message")]
    pub fn send(&self, message: &Dictionary) -> Result<(), Error> {
        neutral(self.0.send(message))
    }

    /// Queues a request, and returns the future of its reply, which leaves whether or not that is polled. Never blocks.
    ///
    /// # Errors
    /// The future's: [`Error::Invalid`] if the session ends before the reply arrives; [`Error::Interrupted`] if the
    /// service dropped the request; [`Error::Full`], [`Error::Encode`].
    #[doc(alias = "xpc_session_send_message_with_reply_async")]
    pub fn send_with_reply(&self, message: &Dictionary) -> ReplyFuture {
        ReplyFuture::new(self.0.send_with_reply(message))
    }

    /// Queues a request, and has `handler` called with its outcome on this queue, as
    /// [`Connection::send_with_reply_on`](crate::Connection::send_with_reply_on) does. The session is kept until then.
    ///
    /// # Errors
    /// Those of [`send_with_reply`](Self::send_with_reply), to `handler`.
    pub fn send_with_reply_on(
        &self,
        queue: &Queue,
        message: &Dictionary,
        handler: impl FnOnce(Result<Message, Error>) + Send + 'static,
    ) {
        self.0.send_with_reply_on(&queue.0, message, move |outcome| handler(neutral(outcome).map(Message::new)));
    }

    /// Sends a request and blocks until its reply arrives.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Interrupted`], [`Error::Encode`], as above; [`Error::WouldDeadlock`] inside a handler
    /// of this session.
    #[doc(alias = "xpc_session_send_message_with_reply_sync")]
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

    /// Ends the session, for all clones: what has not left is discarded, pending replies fail with [`Error::Invalid`], and
    /// the last event comes, also where all clones are dropped before it.
    /// Cancelling again does nothing.
    #[doc(alias = "xpc_session_cancel")]
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Why the session is over, once it is: the text of [`Error::Invalid`]. It is there before the handler of
    /// [`InactiveSession::on_cancelled`] runs.
    pub fn invalidation_reason(&self) -> Option<Arc<str>> {
        self.0.invalidation_reason()
    }

    /// The name that the session was made with.
    pub fn name(&self) -> &str {
        self.0.name()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("name", &self.name()).finish_non_exhaustive()
    }
}
