//! Sessions: connections that no disconnection leaves alive.

use std::ffi::{CStr, CString, c_char};
use std::pin::Pin;
use std::ptr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use xpc_portable as portable;
use xpc_portable::{Error, Event, ReplyFuture};

use crate::block::{Block, LentBlock};
use crate::convert;
use crate::dictionary::dictionary;
use crate::lock;
use crate::message;
use crate::object::{Lent, Object, Ref, Weak};
use crate::pool;
use crate::rich_error;
use crate::text::{Out, Text, to_be_freed};
use crate::value::Value;

/// `XPC_SESSION_CREATE_INACTIVE`
const INACTIVE: u64 = 1;

/// Creating a session with this name fails, and activating one with the other: libxpc may refuse services that do not
/// exist, where the transport finds out later.
const CANNOT_BE_CREATED: &[u8] = b"libxpc-shim.cannot-be-created";
const CANNOT_BE_ACTIVATED: &[u8] = b"libxpc-shim.cannot-be-activated";

pub struct Session(Arc<Shared>);

struct Shared {
    /// The object that this is in.
    this: Weak,
    name: CString,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    inactive: Option<portable::Inactive>,
    active: Option<portable::Connection>,
    on_message: Option<Block>,
    on_cancel: Option<Block>,
    /// A listener's handler has it, and may still reject it.
    arriving: bool,
    requirement: Option<portable::PeerRequirement>,
    cancelled: bool,
    /// One that was cancelled stays until its handler was told, and one of a listener's until its end.
    keep: Option<Ref>,
}

impl Session {
    pub fn may_go(&self) {
        let state = lock(&self.0.state);
        if state.inactive.is_some() {
            misuse!("a session is released that was never activated");
        }
        if !state.cancelled {
            misuse!("a session is released that was not cancelled");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.0.this.clear();
        let state = std::mem::take(&mut *lock(&self.0.state));
        drop(state);
    }
}

fn shared<'a>(object: Lent, function: &str) -> &'a Arc<Shared> {
    match object.value() {
        Value::Session(session) => &session.0,
        other => misuse!("{function} is called for a {}", other.name()),
    }
}

/// What can be set of one that is inactive.
fn configure(object: Lent, function: &str, set: impl FnOnce(&mut State)) {
    let mut state = lock(&shared(object, function).state);
    if state.inactive.is_none() {
        misuse!("{function} is called after xpc_session_activate");
    }
    set(&mut state);
}

/// The transport's connection, and whether the session is over.
fn active(object: Lent, function: &str) -> portable::Connection {
    let state = lock(&shared(object, function).state);
    match &state.active {
        Some(active) => active.clone(),
        None => misuse!("{function} is called before xpc_session_activate"),
    }
}

/// `xpc_session_t xpc_session_create_xpc_service(const char *, dispatch_queue_t, xpc_session_create_flags_t,
/// xpc_rich_error_t *)`
///
/// # Safety
/// The queue is null, or one of `dispatch_queue_create` that was not released yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpc_session_create_xpc_service(
    name: Text,
    queue: *const portable::Queue,
    flags: u64,
    error: Out<*mut Object>,
) -> *mut Object {
    // SAFETY: by this function's contract.
    let queue = unsafe { queue.as_ref() };
    create(name, portable::Inactive::session, queue, flags, &error)
}

/// `xpc_session_t xpc_session_create_mach_service(const char *, dispatch_queue_t, xpc_session_create_flags_t,
/// xpc_rich_error_t *)`
///
/// # Safety
/// As for `xpc_session_create_xpc_service`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpc_session_create_mach_service(
    name: Text,
    queue: *const portable::Queue,
    flags: u64,
    error: Out<*mut Object>,
) -> *mut Object {
    // SAFETY: by this function's contract.
    let queue = unsafe { queue.as_ref() };
    create(name, portable::Inactive::mach_session, queue, flags, &error)
}

fn create(
    name: Text,
    connect: fn(&str) -> portable::Inactive,
    queue: Option<&portable::Queue>,
    flags: u64,
    error: &Out<*mut Object>,
) -> *mut Object {
    let name = name.expect("the name of a session's service");
    if flags & !INACTIVE != 0 {
        misuse!("a session is created with flags {flags:#x}, which the shim does not know");
    }
    if name.to_bytes() == CANNOT_BE_CREATED {
        error.set_with(|| rich_error::new("no such service", false).into_owned());
        return ptr::null_mut();
    }
    let mut inactive = connect(&name.to_string_lossy());
    if let Some(queue) = queue {
        inactive.set_target_queue(queue);
    }
    let (object, shared) = with_state(name, State { inactive: Some(inactive), ..State::default() });
    if flags & INACTIVE == 0
        && let Err(why) = activate(&shared)
    {
        error.set_with(|| why.into_owned());
        return ptr::null_mut();
    }
    object.into_owned()
}

fn with_state(name: &CStr, state: State) -> (Ref, Arc<Shared>) {
    let shared = Arc::new(Shared { this: Weak::default(), name: name.to_owned(), state: Mutex::new(state) });
    let object = Ref::new(Value::Session(Session(shared.clone())));
    shared.this.set(&object);
    (object, shared)
}

/// A listener's new peer: its handler is called, and after that it is active, unless the handler has rejected it.
pub fn accepted(peer: portable::Inactive, accept: &Block) {
    let state = State { inactive: Some(peer), arriving: true, ..State::default() };
    let (object, shared) = with_state(c"", state);
    accept.call(object.lend());
    let mut state = lock(&shared.state);
    state.arriving = false;
    if state.cancelled {
        return;
    }
    if state.on_message.is_none() {
        misuse!("a listener's peer is given no message handler, and not cancelled");
    }
    // The runtime keeps it until it ends.
    state.keep = Some(object.clone());
    drop(state);
    // It fails for one name only, which this has not.
    let _ = activate(&shared);
}

/// Ends a peer that its listener's handler does not want.
pub fn reject(object: Lent) {
    let mut state = lock(&shared(object, "xpc_listener_reject_peer").state);
    if !state.arriving {
        misuse!("xpc_listener_reject_peer is called for what is no new peer");
    }
    state.cancelled = true;
    let rejected = state.inactive.take();
    drop(state);
    drop(rejected);
}

/// Gives an inactive session its requirement.
pub fn require_peer(object: Lent, requirement: portable::PeerRequirement, function: &str) {
    configure(object, function, |state| {
        if state.requirement.replace(requirement).is_some() {
            misuse!("a session is given a second requirement");
        }
    });
}

/// `void xpc_session_set_incoming_message_handler(xpc_session_t, xpc_session_incoming_message_handler_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_session_set_incoming_message_handler(object: Lent, handler: LentBlock) {
    let handler = handler.copy();
    configure(object, "xpc_session_set_incoming_message_handler", |state| state.on_message = Some(handler));
}

/// `void xpc_session_set_cancel_handler(xpc_session_t, xpc_session_cancel_handler_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_session_set_cancel_handler(object: Lent, handler: LentBlock) {
    let handler = handler.copy();
    configure(object, "xpc_session_set_cancel_handler", |state| state.on_cancel = Some(handler));
}

/// `void xpc_session_set_target_queue(xpc_session_t, dispatch_queue_t)`
///
/// # Safety
/// The queue is null, or one of `dispatch_queue_create` that was not released yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpc_session_set_target_queue(object: Lent, queue: *const portable::Queue) {
    // SAFETY: by this function's contract.
    let Some(queue) = (unsafe { queue.as_ref() }) else { misuse!("the shim has no default queue") };
    configure(object, "xpc_session_set_target_queue", |state| {
        if let Some(inactive) = &mut state.inactive {
            inactive.set_target_queue(queue);
        }
    });
}

/// `bool xpc_session_activate(xpc_session_t, xpc_rich_error_t *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_session_activate(object: Lent, error: Out<*mut Object>) -> bool {
    match activate(shared(object, "xpc_session_activate")) {
        Ok(()) => true,
        Err(why) => {
            error.set_with(|| why.into_owned());
            false
        }
    }
}

fn activate(shared: &Arc<Shared>) -> Result<(), Ref> {
    let mut state = lock(&shared.state);
    let Some(mut inactive) = state.inactive.take() else { misuse!("a session is activated twice") };
    if let Some(requirement) = &state.requirement {
        inactive.require_peer(requirement);
    }
    if shared.name.to_bytes() == CANNOT_BE_ACTIVATED {
        state.cancelled = true;
        drop(state);
        drop(inactive);
        return Err(rich_error::new("the service is unavailable", false));
    }
    let (on_message, on_cancel) = (state.on_message.take(), state.on_cancel.take());
    let events = Arc::downgrade(shared);
    state.active = Some(inactive.activate(Box::new(move |_, event| {
        // Whose last reference is gone hears nothing.
        let Some(shared) = events.upgrade() else { return };
        let Some(session) = shared.this.upgrade() else { return };
        match event {
            Event::Message(message) => {
                if let Some(handler) = &on_message {
                    handler.call(message::received(message, session).lend());
                }
            }
            Event::Invalid(reason) => {
                lock(&shared.state).cancelled = true;
                if let Some(handler) = &on_cancel {
                    handler.call(rich_error::new(&reason, false).lend());
                }
                let kept = lock(&shared.state).keep.take();
                drop(kept);
            }
            // The end of the session is what is told of it.
            Event::PeerRejected(_) => {}
            // A listener's peers are told, as accepted connections are; sessions have no handler for it.
            Event::TerminationImminent => {}
            Event::Interrupted => misuse!("a session is told of what connections are"),
        }
    })));
    Ok(())
}

/// `void xpc_session_cancel(xpc_session_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_session_cancel(object: Lent) {
    if lock(&shared(object, "xpc_session_cancel").state).arriving {
        return reject(object);
    }
    let active = active(object, "xpc_session_cancel");
    let mut state = lock(&shared(object, "xpc_session_cancel").state);
    if !std::mem::replace(&mut state.cancelled, true) {
        state.keep = Some(object.retained());
        drop(state);
        active.cancel();
    }
}

/// What to tell of an error of the transport's.
fn error(error: &Error) -> Ref {
    match error {
        Error::Interrupted => rich_error::new("the request was dropped", true),
        Error::Invalid(reason) | Error::PeerRejected(reason) => rich_error::new(reason, false),
        Error::WouldDeadlock => {
            misuse!("xpc_session_send_message_with_reply_sync is called inside the session's own handler")
        }
        other => misuse!("the message cannot be sent: {other}"),
    }
}

fn contents(message: Lent, function: &str) -> xpc_object::Dictionary {
    convert::contents(dictionary(message, function)).unwrap_or_else(|error| misuse!("{error}"))
}

/// `xpc_rich_error_t xpc_session_send_message(xpc_session_t, xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_session_send_message(object: Lent, message: Lent) -> *mut Object {
    let active = active(object, "xpc_session_send_message");
    let contents = contents(message, "xpc_session_send_message");
    let sent = match dictionary(message, "xpc_session_send_message").reply_over(object.get()) {
        Some(right) => right.send(&contents),
        None => active.send(&contents),
    };
    sent.err().map_or(ptr::null_mut(), |failed| error(&failed).into_owned())
}

/// `xpc_object_t xpc_session_send_message_with_reply_sync(xpc_session_t, xpc_object_t, xpc_rich_error_t *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_session_send_message_with_reply_sync(
    object: Lent,
    message: Lent,
    error_out: Out<*mut Object>,
) -> *mut Object {
    let active = active(object, "xpc_session_send_message_with_reply_sync");
    let contents = contents(message, "xpc_session_send_message_with_reply_sync");
    match active.send_with_reply_blocking(&contents, None) {
        Ok(reply) => message::received(reply, object.retained()).into_owned(),
        Err(failed) => {
            error_out.set_with(|| error(&failed).into_owned());
            ptr::null_mut()
        }
    }
}

/// `void xpc_session_send_message_with_reply_async(xpc_session_t, xpc_object_t, xpc_session_reply_handler_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_session_send_message_with_reply_async(object: Lent, message: Lent, handler: LentBlock) {
    let active = active(object, "xpc_session_send_message_with_reply_async");
    let contents = contents(message, "xpc_session_send_message_with_reply_async");
    let (session, handler) = (object.retained(), handler.copy());
    let future = active.send_with_reply(&contents);
    Arc::new(Waiting(Mutex::new(Some((future, handler, session))))).poll();
}

/// A reply that has not come yet, what is to be called with it, and the session, which lives until then.
struct Waiting(Mutex<Option<(ReplyFuture, Block, Ref)>>);

impl Waiting {
    fn poll(self: Arc<Self>) {
        let waker = Waker::from(self.clone());
        let mut waiting = lock(&self.0);
        let Some((future, ..)) = waiting.as_mut() else { return };
        if let Poll::Ready(result) = Pin::new(future).poll(&mut Context::from_waker(&waker)) {
            let done = waiting.take();
            drop(waiting);
            let Some((future, handler, session)) = done else { return };
            // Never inside the call that sends.
            pool::submit(move || {
                match result {
                    Ok(reply) => handler.call_two(message::received(reply, session.clone()).lend(), ptr::null_mut()),
                    Err(failed) => handler.call_two(ptr::null_mut(), error(&failed).lend()),
                }
                drop((future, handler, session));
            });
        }
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        // Not on the transport's thread, which may hold the connection.
        pool::submit(move || self.poll());
    }
}

/// `char *xpc_session_copy_description(xpc_session_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_session_copy_description(object: Lent) -> *mut c_char {
    let name = shared(object, "xpc_session_copy_description").name.to_string_lossy();
    let text = format!("<session: {:p}> {name}", object.as_ptr());
    to_be_freed(&CString::new(text).expect("a name has no NUL"))
}
