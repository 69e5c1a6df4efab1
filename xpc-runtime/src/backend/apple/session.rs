//! Sessions, over what macOS 13 has for them.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use xpc_object::Dictionary;
use xpc_runtime_sys::session::*;
use xpc_runtime_sys::types::*;

use super::block::Block;
use super::connection;
use super::entry::Entry;
use super::flow::{Budget, SendReady};
use super::inbox::{Inbox, Told};
use super::lock;
use super::log;
use super::message::Message;
use super::object::{self, Retained};
use super::queue::Queue;
use super::reply::{ReplyFuture, Slot};
use super::requirement::PeerRequirement;
use super::rich_error::RichError;
use crate::Error;

pub(crate) enum SessionEvent {
    Message(Message),
    Cancelled(Arc<str>),
}

#[derive(Default)]
pub(crate) struct SessionSettings {
    pub is_mach_service: bool,
    /// libxpc's queue has no limit.
    pub budget: Budget,
    pub queue: Option<Queue>,
    pub requirement: Option<PeerRequirement>,
}

type Handler = Box<dyn FnMut(&Session, SessionEvent) + Send>;

#[derive(Clone)]
pub(crate) struct Session(Arc<Handle>);

/// What all clones share; its end is the end of the session.
struct Handle {
    object: Retained,
    name: Arc<str>,
    /// With whose handlers this one's take turns.
    queue: Option<Queue>,
    /// Why the session is over, once it is.
    invalid: OnceLock<Arc<str>>,
    /// libxpc was told to cancel it.
    cancelled: AtomicBool,
    /// What its handlers own, as long as libxpc has them.
    events: OnceLock<Weak<Events>>,
}

impl Handle {
    fn cancel(&self) {
        if !self.cancelled.swap(true, Ordering::AcqRel)
            && let Some(cancel) = xpc_session_cancel()
        {
            // SAFETY: a session that was activated.
            unsafe { cancel(self.object.as_ptr()) };
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // libxpc forbids to release a session that was not cancelled.
        self.cancel();
    }
}

/// Finds a function of macOS 13's, or says that it is missing.
macro_rules! find {
    ($name:ident) => {
        $name().ok_or(Error::Unsupported("sessions need macOS 13: use a `Connection` before that"))
    };
}

impl Session {
    pub(crate) fn activate(name: &str, settings: SessionSettings, handler: Handler) -> Result<Self, Error> {
        let SessionSettings { is_mach_service, budget: _, queue, requirement } = settings;
        // All of them before the first is called: what was created inactive cannot be given up.
        let create = if is_mach_service {
            find!(xpc_session_create_mach_service)
        } else {
            find!(xpc_session_create_xpc_service)
        }?;
        let set_message_handler = find!(xpc_session_set_incoming_message_handler)?;
        let set_cancel_handler = find!(xpc_session_set_cancel_handler)?;
        let activate = find!(xpc_session_activate)?;
        find!(xpc_session_cancel)?;
        let set_requirement = requirement.as_ref().map(PeerRequirement::setter_for_sessions).transpose()?;

        let c_name = connection::c_name(name);
        let mut error = ptr::null_mut();
        let target = queue.as_ref().map_or(ptr::null_mut(), Queue::as_ptr);
        // SAFETY: the name is a C string that is copied; the queue is live, and retained, or null for libdispatch's
        // default one. The result is owned, or null, and then the error is.
        let object =
            unsafe { Retained::owned(create(c_name.as_ptr(), target, XPC_SESSION_CREATE_INACTIVE, &raw mut error)) };
        // SAFETY: an owned error, or still null.
        let object = object.ok_or_else(|| into_error(unsafe { RichError::owned(error) }))?;
        let session = Self(Arc::new(Handle {
            object,
            name: name.into(),
            queue,
            invalid: OnceLock::new(),
            cancelled: AtomicBool::new(false),
            events: OnceLock::new(),
        }));

        let events = Arc::new(Events {
            handle: Arc::downgrade(&session.0),
            handler: Mutex::new(Some(handler)),
            inbox: Mutex::default(),
            keep: Mutex::default(),
        });
        let _ = session.0.events.set(Arc::downgrade(&events));
        let messages = events.clone();
        let on_message = Block::handler(move |object| messages.message(object));
        let on_cancelled = Block::handler(move |error| events.cancelled(error));
        log::catch_panics();
        // SAFETY: an inactive session, and blocks with the signatures of its handlers, which are copied.
        unsafe {
            set_message_handler(session.as_ptr(), on_message.as_ptr());
            set_cancel_handler(session.as_ptr(), on_cancelled.as_ptr());
        }
        let required = set_requirement.map_or(Ok(()), |set| set(&session.0.object));
        let mut error = ptr::null_mut();
        // SAFETY: an inactive session with handlers; where it fails the error is owned.
        if unsafe { activate(session.as_ptr(), &raw mut error) } {
            // Where it failed, the session is cancelled before anything was sent.
            return required.map(|()| session);
        }
        // libxpc cancels a session whose activation fails.
        session.0.cancelled.store(true, Ordering::Release);
        // SAFETY: an owned error, or still null.
        Err(into_error(unsafe { RichError::owned(error) }))
    }

    fn as_ptr(&self) -> xpc_session_t {
        self.0.object.as_ptr()
    }

    /// Null where its handlers take turns with nobody else's.
    fn queue_address(&self) -> *const c_void {
        self.0.queue.as_ref().map_or(ptr::null(), Queue::address)
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        self.0.invalid.get().map_or(Ok(()), |reason| Err(Error::Invalid(reason.clone())))
    }

    pub(crate) fn send(&self, message: &Dictionary) -> Result<(), Error> {
        let message = object::dictionary(message)?;
        self.check()?;
        send(&self.0.object, &message)
    }

    /// libxpc has no limit, so that nobody waits.
    pub(crate) fn send_blocking(&self, message: &Dictionary) -> Result<(), Error> {
        self.send(message)
    }

    pub(crate) fn send_ready(&self) -> SendReady {
        SendReady::Session(self.clone())
    }

    /// Has messages and what comes after them wait, or no longer wait, for the handler. libxpc reads on.
    pub(crate) fn hold_messages(&self, hold: bool) {
        if let Some(events) = self.events() {
            events.hold(hold);
        }
    }

    fn events(&self) -> Option<Arc<Events>> {
        self.0.events.get().and_then(Weak::upgrade)
    }

    pub(crate) fn invalidation_reason(&self) -> Option<Arc<str>> {
        self.0.invalid.get().cloned()
    }

    /// The reply comes on the session's own queue, and goes on to this one.
    pub(crate) fn send_with_reply_on(
        &self,
        queue: &Queue,
        message: &Dictionary,
        handler: impl FnOnce(Result<Message, Error>) + Send + 'static,
    ) {
        let (kept, turn) = (self.clone(), queue.clone());
        let submit = move |outcome| {
            let address = turn.clone();
            turn.submit(move || {
                connection::running(ptr::null_mut(), address.address(), || handler(outcome));
                drop(kept);
            });
        };
        let slot = Arc::new(Slot::calling(submit));
        if let Err(error) = self.request(message, &slot) {
            slot.fill(Err(error));
        }
    }

    pub(crate) fn send_with_reply(&self, message: &Dictionary) -> ReplyFuture {
        let slot = Arc::new(Slot::default());
        if let Err(error) = self.request(message, &slot) {
            slot.fill(Err(error));
        }
        ReplyFuture { slot, _owner: self.0.clone() }
    }

    fn request(&self, message: &Dictionary, slot: &Arc<Slot>) -> Result<(), Error> {
        let message = object::dictionary(message)?;
        self.check()?;
        let send = find!(xpc_session_send_message_with_reply_async)?;
        // The handler goes with the reply, so that this clone is no cycle: it keeps the session until then.
        let (session, filled) = (self.clone(), slot.clone());
        let block = Block::reply(move |reply, error| {
            let entry = Entry::new();
            // SAFETY: libxpc lends both for the call; one of them is null.
            let (reply, error) = unsafe { (Retained::borrowed(reply), RichError::borrowed(error)) };
            filled.fill(session.outcome(reply, error));
            entry.leave();
        });
        // SAFETY: an active session, a dictionary, and a block with the signature of a reply handler, which is copied.
        unsafe { send(self.as_ptr(), message.as_ptr(), block.as_ptr()) };
        Ok(())
    }

    pub(crate) fn send_with_reply_blocking(
        &self,
        message: &Dictionary,
        timeout: Option<Duration>,
    ) -> Result<Message, Error> {
        let queue = self.queue_address();
        if connection::runs(self.as_ptr()) || (!queue.is_null() && connection::runs(queue)) {
            return Err(Error::WouldDeadlock);
        }
        // A deadline beyond what the clock can express is none.
        if let Some(deadline) = timeout.and_then(|timeout| Instant::now().checked_add(timeout)) {
            return self.send_with_reply(message).slot.wait(deadline);
        }
        let message = object::dictionary(message)?;
        self.check()?;
        let send = find!(xpc_session_send_message_with_reply_sync)?;
        let mut error = ptr::null_mut();
        // SAFETY: an active session, whose handlers do not run on this thread, and a dictionary. The reply is owned, or
        // null, and then the error is.
        let (reply, error) = unsafe {
            let reply = Retained::owned(send(self.as_ptr(), message.as_ptr(), &raw mut error));
            (reply, RichError::owned(error))
        };
        self.outcome(reply, error)
    }

    fn outcome(&self, reply: Option<Retained>, error: RichError) -> Result<Message, Error> {
        match reply {
            Some(reply) if object::is_dictionary(&reply) => Ok(Message::new(reply)),
            _ => Err(self.check().err().unwrap_or_else(|| into_error(error))),
        }
    }

    pub(crate) fn cancel(&self) {
        if self.0.invalid.set("the session was cancelled".into()).is_ok()
            && let Some(events) = self.events()
        {
            // Whoever cancels is told when it is done, also where that was the last use of the session.
            lock(&events.keep).get_or_insert_with(|| self.clone());
        }
        self.0.cancel();
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }
}

/// Sends a dictionary, also one that replies, over a session that was activated.
pub(super) fn send(session: &Retained, message: &Retained) -> Result<(), Error> {
    let send = find!(xpc_session_send_message)?;
    // SAFETY: an active session and a dictionary, which is retained until it has left. What is returned is owned.
    let error = unsafe { RichError::owned(send(session.as_ptr(), message.as_ptr())) };
    if error.is_none() { Ok(()) } else { Err(into_error(error)) }
}

/// What a session's handlers own. It must not keep the session alive, which keeps it alive.
struct Events {
    handle: Weak<Handle>,
    /// libxpc calls one at a time; the lock costs nothing then.
    handler: Mutex<Option<Handler>>,
    inbox: Mutex<Inbox<Self>>,
    /// From its cancellation on, a session keeps itself alive until it has been told of it.
    keep: Mutex<Option<Session>>,
}

/// What a session is told of.
enum Arrival {
    Message(Retained),
    Cancelled(Arc<str>),
}

impl Events {
    fn message(self: &Arc<Self>, object: xpc_object_t) {
        let entry = Entry::new();
        // SAFETY: libxpc lends the object for the call.
        if let Some(object) = unsafe { Retained::borrowed(object) }
            && object::is_dictionary(&object)
        {
            self.arrive(Arrival::Message(object));
        }
        entry.leave();
    }

    fn cancelled(self: &Arc<Self>, error: xpc_rich_error_t) {
        let entry = Entry::new();
        // SAFETY: libxpc lends the error for the call.
        let error = unsafe { RichError::borrowed(error) };
        let reason = match self.handle.upgrade() {
            Some(handle) => {
                handle.cancelled.store(true, Ordering::Release);
                handle.invalid.get_or_init(|| error.description(OVER)).clone()
            }
            None => OVER.into(),
        };
        self.arrive(Arrival::Cancelled(reason));
        entry.leave();
    }
}

impl Told for Events {
    type Event = Arrival;

    fn inbox(&self) -> &Mutex<Inbox<Self>> {
        &self.inbox
    }

    fn queue(&self) -> Option<Queue> {
        self.handle.upgrade().and_then(|handle| handle.queue.clone())
    }

    fn tell(&self, event: Arrival) {
        let last = matches!(event, Arrival::Cancelled(_));
        // Without a handle nobody is left to be told.
        if let Some(session) = self.handle.upgrade().map(Session)
            && let Some(handle) = lock(&self.handler).as_mut()
        {
            let event = match event {
                Arrival::Message(object) => {
                    SessionEvent::Message(Message::of_session(object, session.0.object.clone()))
                }
                Arrival::Cancelled(reason) => SessionEvent::Cancelled(reason),
            };
            connection::running(session.as_ptr(), session.queue_address(), || handle(&session, event));
        }
        if last {
            // Nothing follows: what the handler holds goes.
            let finished = (lock(&self.handler).take(), lock(&self.keep).take());
            drop(finished);
        }
    }
}

const OVER: &str = "the session is over";

fn into_error(error: RichError) -> Error {
    if error.can_retry() { Error::Interrupted } else { Error::Invalid(error.description(OVER)) }
}
