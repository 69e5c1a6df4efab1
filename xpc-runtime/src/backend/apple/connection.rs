use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CString, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use xpc_object::{Dictionary, Endpoint};

use super::block::Block;
use super::entry::Entry;
use super::events::Events;
use super::listener::{Boxed, Peers};
use super::lock;
use super::log;
use super::message::Message;
use super::object::{self, Retained};
use super::queue::Queue;
use super::raw::*;
use super::reply::{ReplyFuture, Slot};
use super::requirement::PeerRequirement;
use super::rich_error::take_text;
use crate::Error;

pub(crate) enum Event {
    Message(Message),
    Interrupted,
    TerminationImminent,
    PeerRejected(Arc<str>),
    Invalid(Arc<str>),
}

const LISTENER_GONE: &str = "the endpoint's listener is gone";
pub(super) const PEER_REJECTED: &str = "the peer does not meet the connection's requirement";

pub(super) type Handler = Box<dyn FnMut(&Connection, Event) + Send>;

pub(crate) struct Credentials {
    pub pid: u32,
    pub euid: u32,
    pub egid: u32,
    asid: i32,
}

impl Credentials {
    /// Negative numbers stand for none.
    pub(crate) fn asid(&self) -> Option<u32> {
        u32::try_from(self.asid).ok()
    }
}

/// A connection that was not activated. libxpc forbids to release one that `xpc_connection_create` made.
pub(crate) struct Inactive {
    pub(super) connection: Option<Retained>,
    origin: Origin,
    pub(super) queue: Option<Queue>,
    requirement: Option<PeerRequirement>,
}

/// How a connection came to be.
enum Origin {
    Named(Arc<str>),
    MachService(Arc<str>),
    Endpoint,
    /// By what listener, if it is one of this backend's.
    Accepted(Option<Arc<Peers>>),
}

impl Inactive {
    fn new(connection: Option<Retained>, origin: Origin) -> Self {
        Self { connection, origin, queue: None, requirement: None }
    }

    pub(crate) fn service(name: &str) -> Self {
        let c_name = c_name(name);
        // SAFETY: the name is a C string that is copied; no queue means libdispatch's default one. The result is owned
        // and not null.
        let connection = unsafe { Retained::owned(xpc_connection_create(c_name.as_ptr(), ptr::null_mut())) };
        Self::new(connection, Origin::Named(name.into()))
    }

    pub(crate) fn mach_service(name: &str) -> Self {
        let c_name = c_name(name);
        // SAFETY: as in `service`; without flags the caller is a client.
        let connection =
            unsafe { Retained::owned(xpc_connection_create_mach_service(c_name.as_ptr(), ptr::null_mut(), 0)) };
        Self::new(connection, Origin::MachService(name.into()))
    }

    pub(crate) fn from_endpoint(endpoint: &Endpoint) -> Self {
        let boxed = endpoint.handle::<Boxed>().expect("this backend makes and receives no other endpoints");
        // SAFETY: an endpoint object. The result is owned and not null.
        let connection = unsafe { Retained::owned(xpc_connection_create_from_endpoint(boxed.0.as_ptr())) };
        Self::new(connection, Origin::Endpoint)
    }

    pub(super) fn accepted(connection: Retained) -> Self {
        Self::new(Some(connection), Origin::Accepted(None))
    }

    /// By a listener that its peers are to end with.
    pub(super) fn accepted_by(connection: Retained, peers: Arc<Peers>) -> Self {
        Self::new(Some(connection), Origin::Accepted(Some(peers)))
    }

    pub(crate) fn credentials(&self) -> Option<Credentials> {
        self.connection.as_ref().and_then(credentials)
    }

    /// Set when it is activated: libxpc takes one only.
    pub(crate) fn require_peer(&mut self, requirement: &PeerRequirement) {
        self.requirement = Some(requirement.clone());
    }

    pub(crate) fn activate(mut self, handler: Handler) -> Connection {
        let object = self.connection.take().expect("only `activate` takes it, and consumes self");
        let queue = self.queue.take();
        let refused = self.requirement.take().and_then(|requirement| requirement.set_on_connection(&object).err());
        let name = match &self.origin {
            Origin::Named(name) | Origin::MachService(name) => Some(name.clone()),
            Origin::Endpoint | Origin::Accepted(_) => None,
        };
        let accepted = matches!(self.origin, Origin::Accepted(_));
        let connection = Connection(Arc::new(Handle {
            object,
            name,
            by_endpoint: matches!(self.origin, Origin::Endpoint),
            is_mach_service: matches!(self.origin, Origin::MachService(_)),
            queue,
            invalid: OnceLock::new(),
            events: OnceLock::new(),
            context: Mutex::default(),
        }));
        let events = Arc::new(Events::new(&connection, handler, accepted));
        let _ = connection.0.events.set(Arc::downgrade(&events));
        let block = Block::handler(move |object| events.handle(object));
        log::catch_panics();
        // SAFETY: a connection that was not activated yet, and a block with the signature of an event handler, which is
        // copied.
        unsafe { xpc_connection_set_event_handler(connection.as_ptr(), block.as_ptr()) };
        // SAFETY: a connection with an event handler.
        unsafe { xpc_connection_activate(connection.as_ptr()) };
        if let Origin::Accepted(Some(peers)) = &self.origin
            && !peers.add(&connection.0)
        {
            connection.0.end_with_listener();
        }
        if let Some(error) = refused {
            // libxpc has taken the same requirement before. Whoever would be heard now might be anybody.
            connection.0.end(&error.to_string());
        }
        connection
    }
}

impl Drop for Inactive {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if !matches!(self.origin, Origin::Accepted(_)) {
            let block = Block::handler(|_| {});
            // SAFETY: as in `activate`. A connection must be active when it is released; cancelled right after, it does
            // nothing else: launching needs a message.
            unsafe {
                xpc_connection_set_event_handler(connection.as_ptr(), block.as_ptr());
                xpc_connection_activate(connection.as_ptr());
            }
        }
        // SAFETY: a live connection. For an accepted one this is how it is rejected.
        unsafe { xpc_connection_cancel(connection.as_ptr()) };
    }
}

#[derive(Clone)]
pub(crate) struct Connection(pub(super) Arc<Handle>);

/// What all clones share; its end is the end of the connection.
pub(super) struct Handle {
    object: Retained,
    name: Option<Arc<str>>,
    /// With whose handlers this one's takes turns.
    queue: Option<Queue>,
    pub(super) by_endpoint: bool,
    /// The name is one that launchd knows, not one of the bundle's.
    is_mach_service: bool,
    /// Why the connection is over, once it is.
    invalid: OnceLock<Arc<str>>,
    /// What the event handler owns, set at the activation.
    pub(super) events: OnceLock<Weak<Events>>,
    pub(super) context: Mutex<Option<Context>>,
}

/// What a user attached. Kept here: the C function would want a finalizer for nothing.
pub(super) type Context = Arc<dyn Any + Send + Sync>;

impl Drop for Handle {
    fn drop(&mut self) {
        if self.invalid.get().is_some() {
            return;
        }
        let object = self.object.clone();
        let cancel = Block::plain(move || {
            // SAFETY: the closure keeps the connection alive. Cancelling one that is cancelled does nothing.
            unsafe { xpc_connection_cancel(object.as_ptr()) };
        });
        // SAFETY: an active connection, and a block with the signature of a barrier, which is copied. It runs after
        // what was sent before has left.
        unsafe { xpc_connection_send_barrier(self.object.as_ptr(), cancel.as_ptr()) };
    }
}

impl Connection {
    pub(super) fn as_ptr(&self) -> xpc_connection_t {
        self.0.object.as_ptr()
    }

    pub(super) fn object(&self) -> Retained {
        self.0.object.clone()
    }

    pub(super) fn queue(&self) -> Option<Queue> {
        self.0.queue.clone()
    }

    /// Null where its handlers take turns with nobody else's.
    pub(super) fn queue_address(&self) -> *const c_void {
        self.0.queue.as_ref().map_or(ptr::null(), Queue::address)
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        self.0.invalid.get().map_or(Ok(()), |reason| Err(Error::Invalid(reason.clone())))
    }

    fn error(&self, object: &Retained) -> Error {
        if is_error(object, &raw const _xpc_error_connection_interrupted) {
            Error::Interrupted
        } else if is_peer_error(object) {
            Error::PeerRejected(PEER_REJECTED.into())
        } else {
            Error::Invalid(self.0.invalid_reason())
        }
    }

    fn outcome(&self, object: Retained) -> Result<Message, Error> {
        if object::is_dictionary(&object) { Ok(Message::new(object)) } else { Err(self.error(&object)) }
    }

    pub(crate) fn send(&self, message: &Dictionary) -> Result<(), Error> {
        let message = object::dictionary(message)?;
        self.check()?;
        // SAFETY: an active connection and a dictionary, which is retained until it has left.
        unsafe { xpc_connection_send_message(self.as_ptr(), message.as_ptr()) };
        Ok(())
    }

    pub(crate) fn send_with_reply(&self, message: &Dictionary) -> ReplyFuture {
        let slot = Arc::new(Slot::default());
        match object::dictionary(message).map_err(Error::from).and_then(|message| self.check().map(|()| message)) {
            Err(error) => slot.fill(Err(error)),
            Ok(message) => {
                // The future keeps the connection, this must not: the reply to a dropped one may never come.
                let (connection, filled) = (Arc::downgrade(&self.0), slot.clone());
                let block = Block::handler(move |object| {
                    let entry = Entry::new();
                    // SAFETY: libxpc lends the object for the call, and passes no null.
                    let object = unsafe { Retained::borrowed(object) };
                    if let (Some(object), Some(handle)) = (object, connection.upgrade()) {
                        filled.fill(Connection(handle).outcome(object));
                    }
                    entry.leave();
                });
                // SAFETY: an active connection, a dictionary, libdispatch's default queue, and a block with the
                // signature of a handler, which is copied.
                unsafe {
                    xpc_connection_send_message_with_reply(
                        self.as_ptr(),
                        message.as_ptr(),
                        ptr::null_mut(),
                        block.as_ptr(),
                    )
                };
            }
        }
        ReplyFuture { slot, _owner: self.0.clone() }
    }

    pub(crate) fn send_with_reply_on(
        &self,
        queue: &Queue,
        message: &Dictionary,
        handler: impl FnOnce(Result<Message, Error>) + Send + 'static,
    ) {
        let message =
            object::dictionary(message).map_err(Error::from).and_then(|message| self.check().map(|()| message));
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                let kept = queue.clone();
                return queue.submit(move || running(ptr::null_mut(), kept.address(), || handler(Err(error))));
            }
        };
        // The reply, or an error in its place, always comes: the connection is kept that long and no longer.
        let waiting = Mutex::new(Some((self.clone(), queue.clone(), handler)));
        let block = Block::handler(move |object| {
            let entry = Entry::new();
            // SAFETY: libxpc lends the object for the call, and passes no null.
            let object = unsafe { Retained::borrowed(object) };
            let waiting = lock(&waiting).take();
            if let (Some(object), Some((connection, queue, handler))) = (object, waiting) {
                let outcome = connection.outcome(object);
                running(ptr::null_mut(), queue.address(), || handler(outcome));
            }
            entry.leave();
        });
        // SAFETY: an active connection, a dictionary, a live queue, which is retained, and a block with the signature of
        // a handler, which is copied.
        unsafe {
            xpc_connection_send_message_with_reply(self.as_ptr(), message.as_ptr(), queue.as_ptr(), block.as_ptr());
        }
    }

    pub(crate) fn send_with_reply_blocking(
        &self,
        message: &Dictionary,
        timeout: Option<Duration>,
    ) -> Result<Message, Error> {
        let queue = self.queue_address();
        if runs(self.as_ptr()) || (!queue.is_null() && runs(queue)) {
            return Err(Error::WouldDeadlock);
        }
        // A deadline beyond what the clock can express is none.
        if let Some(deadline) = timeout.and_then(|timeout| Instant::now().checked_add(timeout)) {
            return self.send_with_reply(message).slot.wait(deadline);
        }
        let message = object::dictionary(message)?;
        self.check()?;
        // SAFETY: an active connection, whose handler does not run on this thread, and a dictionary. The result is
        // owned and not null.
        let reply =
            unsafe { Retained::owned(xpc_connection_send_message_with_reply_sync(self.as_ptr(), message.as_ptr())) };
        self.outcome(reply.expect("a reply or an error"))
    }

    pub(crate) fn cancel(&self) {
        if self.0.invalid.set("the connection was cancelled".into()).is_ok()
            && let Some(events) = self.events()
        {
            // Whoever cancels is told when it is done, also where that was the last use of the connection.
            events.keep(self);
        }
        // SAFETY: an active connection; cancelling again does nothing.
        unsafe { xpc_connection_cancel(self.as_ptr()) };
    }

    pub(crate) fn credentials(&self) -> Option<Credentials> {
        credentials(&self.0.object)
    }

    pub(crate) fn invalidation_reason(&self) -> Option<Arc<str>> {
        // The system has none for a connection that goes on.
        self.0.invalid.get().cloned().or_else(|| self.0.system_reason())
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }
}

impl Handle {
    /// The listener that accepted this connection ended.
    pub(super) fn end_with_listener(&self) {
        self.end(LISTENER_GONE);
    }

    fn end(&self, reason: &str) {
        let _ = self.invalid.set(reason.into());
        // SAFETY: an active connection; cancelling again does nothing.
        unsafe { xpc_connection_cancel(self.object.as_ptr()) };
    }

    /// What the system says of the end, where it is new enough to say anything.
    fn system_reason(&self) -> Option<Arc<str>> {
        let copy = xpc_connection_copy_invalidation_reason()?;
        // SAFETY: a live connection. The result is null, or a C string that is this function's to free.
        unsafe { take_text(copy(self.object.as_ptr())) }
    }

    pub(super) fn invalid_reason(&self) -> Arc<str> {
        let reason = || {
            if let Some(reason) = self.system_reason() {
                return reason;
            }
            match &self.name {
                Some(name) if self.is_mach_service => format!(
                    "no job of launchd's serves {name}: the property list of one that is loaded (`launchctl bootstrap`) has to name it among its `MachServices`"
                )
                .into(),
                Some(name) => format!(
                    "no service named {name} can be reached: services are found in Contents/XPCServices of the app's bundle that contains the running program. Start the app with `cargo xpc run`"
                )
                .into(),
                None if self.by_endpoint => LISTENER_GONE.into(),
                None => "the peer ended the connection".into(),
            }
        };
        self.invalid.get_or_init(reason).clone()
    }
}

/// A name with a NUL in it is nobody's; the part before the NUL might be somebody's.
pub(super) fn c_name(name: &str) -> CString {
    CString::new(name).unwrap_or_else(|_| c"name-with-nul".to_owned())
}

fn credentials(connection: &Retained) -> Option<Credentials> {
    // SAFETY: a live connection.
    let (pid, euid, egid, asid) = unsafe {
        let connection = connection.as_ptr();
        (
            xpc_connection_get_pid(connection),
            xpc_connection_get_euid(connection),
            xpc_connection_get_egid(connection),
            xpc_connection_get_asid(connection),
        )
    };
    // Zero or less before the first exchange.
    let pid = u32::try_from(pid).ok().filter(|pid| *pid != 0)?;
    Some(Credentials { pid, euid, egid, asid })
}

pub(super) fn is_error(object: &Retained, constant: *const xpc_dictionary_s) -> bool {
    ptr::eq(object.as_ptr().cast_const().cast(), constant)
}

/// The constant is macOS 12's.
pub(super) fn is_peer_error(object: &Retained) -> bool {
    _xpc_error_peer_code_signing_requirement().is_some_and(|constant| is_error(object, constant))
}

thread_local! {
    /// The connections and sessions whose handlers run on this thread, and their queues.
    static RUNNING: RefCell<Vec<*const c_void>> = const { RefCell::new(Vec::new()) };
}

/// Whether a handler of this connection, session or queue runs on this thread.
pub(super) fn runs<T>(object: *const T) -> bool {
    RUNNING.with_borrow(|running| running.contains(&object.cast()))
}

/// Calls what must not wait for this connection or session, which waits for its return; nor for its queue, if that is
/// not null.
pub(super) fn running(object: xpc_object_t, queue: *const c_void, call: impl FnOnce()) {
    RUNNING.with_borrow_mut(|running| running.extend([object.cast_const().cast(), queue]));
    call();
    RUNNING.with_borrow_mut(|running| running.truncate(running.len() - 2));
}
