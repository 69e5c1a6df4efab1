//! Connections: `xpc-portable`'s, behind an object, with what C can do wrong found out.

use std::ffi::{CString, c_char, c_void};
use std::pin::Pin;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use xpc_portable as portable;
use xpc_portable::{Error, Event, ReplyFuture};

use crate::block::{Block, LentBlock};
use crate::convert;
use crate::dictionary::dictionary;
use crate::error::{
    _xpc_error_connection_interrupted, _xpc_error_connection_invalid, _xpc_error_peer_code_signing_requirement,
    _xpc_error_termination_imminent,
};
use crate::lock;
use crate::message;
use crate::object::{Lent, Object, Ref, Weak};
use crate::pool;
use crate::text::{Text, to_be_freed};
use crate::value::Value;

type Finalizer = unsafe extern "C" fn(*mut c_void);

pub struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    /// The object that this is in.
    this: Weak,
    /// `None` for a connection that was not made by name.
    name: Option<CString>,
    accepted: bool,
    state: Mutex<State>,
    handler: Mutex<Option<Block>>,
    context: AtomicPtr<c_void>,
    finalizer: Mutex<Option<Finalizer>>,
    /// Why it is over.
    reason: Mutex<Option<Arc<str>>>,
}

#[derive(Default)]
struct State {
    inactive: Option<portable::Inactive>,
    active: Option<portable::Connection>,
    suspensions: Vec<portable::Suspension>,
    /// What a listener is at; one without a name is anonymous.
    listener: Listening,
    requirement: Option<portable::PeerRequirement>,
}

#[derive(Default)]
enum Listening {
    /// It is a connection.
    #[default]
    Never,
    Inactive,
    Active(portable::Listener, Arc<Block>),
    Cancelled,
}

fn object(name: Option<CString>, inactive: portable::Inactive) -> Ref {
    with_state(name, false, State { inactive: Some(inactive), ..State::default() })
}

fn with_state(name: Option<CString>, accepted: bool, state: State) -> Ref {
    let shared = Arc::new(Shared {
        this: Weak::default(),
        name,
        accepted,
        state: Mutex::new(state),
        handler: Mutex::new(None),
        context: AtomicPtr::default(),
        finalizer: Mutex::new(None),
        reason: Mutex::new(None),
    });
    let object = Ref::new(Value::Connection(Connection { shared: shared.clone() }));
    shared.this.set(&object);
    object
}

/// A client's connection, for the handler of `xpc_main`.
pub fn accepted(peer: portable::Inactive) -> Ref {
    with_state(None, true, State { inactive: Some(peer), ..State::default() })
}

/// The handler has returned.
pub fn handled(object: &Ref) {
    let Value::Connection(connection) = object.value() else { return };
    if lock(&connection.shared.state).inactive.is_some() {
        misuse!("a peer was neither activated nor cancelled");
    }
}

impl Connection {
    pub fn may_go(&self) {
        let state = lock(&self.shared.state);
        if state.inactive.is_some() || matches!(state.listener, Listening::Inactive) {
            misuse!("a connection is released that was never activated");
        }
        if !state.suspensions.is_empty() {
            misuse!("a connection is released while it is suspended");
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.this.clear();
        if let Some(finalizer) = lock(&self.shared.finalizer).take() {
            // SAFETY: C has set both, the one for the other.
            unsafe { finalizer(self.shared.context.load(Ordering::Acquire)) };
        }
        // The transport's connection ends when what was sent has left.
        let state = std::mem::take(&mut *lock(&self.shared.state));
        drop(state);
    }
}

fn shared<'a>(object: Lent, function: &str) -> &'a Arc<Shared> {
    match object.value() {
        Value::Connection(connection) => &connection.shared,
        other => misuse!("{function} is called for a {}", other.name()),
    }
}

fn active(object: Lent, function: &str) -> Option<portable::Connection> {
    let state = lock(&shared(object, function).state);
    if state.inactive.is_some() {
        misuse!("{function} is called before xpc_connection_activate");
    }
    state.active.clone()
}

/// What stands for an error of the transport's.
fn error(error: &Error, connection: &Object) -> &'static Object {
    match error {
        Error::Interrupted => &_xpc_error_connection_interrupted,
        Error::PeerRejected(_) => &_xpc_error_peer_code_signing_requirement,
        Error::Invalid(reason) => {
            if let Value::Connection(connection) = connection.value() {
                lock(&connection.shared.reason).get_or_insert_with(|| reason.clone());
            }
            &_xpc_error_connection_invalid
        }
        Error::WouldDeadlock => {
            misuse!("xpc_connection_send_message_with_reply_sync is called inside the connection's own handler")
        }
        other => misuse!("the message cannot be sent: {other}"),
    }
}

/// `xpc_connection_t xpc_connection_create(const char *, dispatch_queue_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_create(name: Text, queue: *mut c_void) -> *mut Object {
    if !queue.is_null() {
        misuse!("the shim has no target queues yet");
    }
    let Some(name) = name.get() else {
        return with_state(None, false, State { listener: Listening::Inactive, ..State::default() }).into_owned();
    };
    object(Some(name.to_owned()), portable::Inactive::service(&name.to_string_lossy())).into_owned()
}

/// `xpc_connection_t xpc_connection_create_mach_service(const char *, dispatch_queue_t, uint64_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_create_mach_service(name: Text, queue: *mut c_void, flags: u64) -> *mut Object {
    const LISTENER: u64 = 1;
    if !queue.is_null() {
        misuse!("the shim has no target queues yet");
    }
    let Some(name) = name.get() else { misuse!("xpc_connection_create_mach_service is called without a name") };
    match flags {
        0 => object(Some(name.to_owned()), portable::Inactive::mach_service(&name.to_string_lossy())).into_owned(),
        LISTENER => {
            let state = State { listener: Listening::Inactive, ..State::default() };
            with_state(Some(name.to_owned()), false, state).into_owned()
        }
        _ => misuse!("the shim has no domain of the system's"),
    }
}

/// `xpc_endpoint_t xpc_endpoint_create(xpc_connection_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_endpoint_create(object: Lent) -> *mut Object {
    let shared = shared(object, "xpc_endpoint_create");
    match &lock(&shared.state).listener {
        Listening::Active(listener, _) if shared.name.is_none() => {
            Ref::new(Value::Endpoint(listener.endpoint())).into_owned()
        }
        _ => misuse!("an endpoint is made from what is no active anonymous listener"),
    }
}

/// `xpc_connection_t xpc_connection_create_from_endpoint(xpc_endpoint_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_create_from_endpoint(endpoint: Lent) -> *mut Object {
    match endpoint.value() {
        Value::Endpoint(endpoint) => object(None, portable::Inactive::from_endpoint(endpoint)).into_owned(),
        other => misuse!("xpc_connection_create_from_endpoint is called for a {}", other.name()),
    }
}

/// `void xpc_connection_set_event_handler(xpc_connection_t, xpc_handler_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_set_event_handler(object: Lent, handler: LentBlock) {
    let shared = shared(object, "xpc_connection_set_event_handler");
    let before = lock(&shared.handler).replace(handler.copy());
    if before.is_some() {
        misuse!("a connection is given a second event handler");
    }
}

/// `void xpc_connection_set_target_queue(xpc_connection_t, dispatch_queue_t)`
///
/// # Safety
/// The queue is null, or one of `dispatch_queue_create` that was not released yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpc_connection_set_target_queue(object: Lent, queue: *const portable::Queue) {
    // SAFETY: by this function's contract.
    let Some(queue) = (unsafe { queue.as_ref() }) else { misuse!("the shim has no default queue") };
    match &mut lock(&shared(object, "xpc_connection_set_target_queue").state).inactive {
        Some(inactive) => inactive.set_target_queue(queue),
        None => misuse!("xpc_connection_set_target_queue is called after xpc_connection_activate"),
    }
}

/// Gives an inactive connection or listener its requirement.
pub fn require_peer(object: Lent, requirement: portable::PeerRequirement, function: &str) {
    let mut state = lock(&shared(object, function).state);
    if state.inactive.is_none() && !matches!(state.listener, Listening::Inactive) {
        misuse!("{function} is called after xpc_connection_activate");
    }
    if state.requirement.replace(requirement).is_some() {
        misuse!("a connection is given a second requirement");
    }
}

/// `void xpc_connection_activate(xpc_connection_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_activate(object: Lent) {
    let shared = shared(object, "xpc_connection_activate");
    let mut state = lock(&shared.state);
    if matches!(state.listener, Listening::Inactive) {
        let Some(handler) = lock(&shared.handler).take() else { misuse!("a listener is activated without a handler") };
        let handler = Arc::new(handler);
        let accept = handler.clone();
        let accept = move |peer| {
            let connection = accepted(peer);
            accept.call(connection.lend());
            handled(&connection);
        };
        let requirement = state.requirement.take();
        let listener = match &shared.name {
            None => portable::Listener::requiring(requirement, accept),
            Some(name) => {
                let (told, events) = (handler.clone(), Arc::downgrade(shared));
                portable::Listener::mach_service(&name.to_string_lossy(), requirement, accept, move |reason| {
                    let Some(shared) = events.upgrade() else { return };
                    *lock(&shared.reason) = Some(reason);
                    let over = std::mem::replace(&mut lock(&shared.state).listener, Listening::Cancelled);
                    told.call(Ref::constant(&_xpc_error_connection_invalid).lend());
                    drop(over);
                })
            }
        };
        state.listener = Listening::Active(listener, handler);
        return;
    }
    let Some(mut inactive) = state.inactive.take() else { return };
    if let Some(requirement) = &state.requirement {
        inactive.require_peer(requirement);
    }
    let Some(handler) = lock(&shared.handler).take() else { misuse!("a connection is activated without a handler") };
    // The runtime keeps a peer until it ends; another connection is its makers'.
    let keep = shared.accepted.then(|| object.retained());
    let events = Arc::downgrade(shared);
    state.active = Some(inactive.activate(Box::new(move |_, event| {
        let _kept = &keep;
        // Whose last reference is gone hears nothing.
        let Some(shared) = events.upgrade() else { return };
        let Some(connection) = shared.this.upgrade() else { return };
        let event = match event {
            Event::Message(message) => message::received(message, connection),
            Event::Interrupted => Ref::constant(&_xpc_error_connection_interrupted),
            Event::PeerRejected(_) => Ref::constant(&_xpc_error_peer_code_signing_requirement),
            Event::TerminationImminent => Ref::constant(&_xpc_error_termination_imminent),
            Event::Invalid(reason) => {
                *lock(&shared.reason) = Some(reason);
                Ref::constant(&_xpc_error_connection_invalid)
            }
        };
        handler.call(event.lend());
    })));
}

/// `void xpc_connection_send_message(xpc_connection_t, xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_send_message(object: Lent, message: Lent) {
    let active = active(object, "xpc_connection_send_message");
    let message = dictionary(message, "xpc_connection_send_message");
    let contents = convert::contents(message).unwrap_or_else(|error| misuse!("{error}"));
    let sent = match (message.reply_over(object.get()), active) {
        (Some(right), _) => right.send(&contents),
        (None, Some(active)) => active.send(&contents),
        (None, None) => Ok(()),
    };
    if let Err(failed) = sent {
        // That the connection is over is told to its handler; anything else is misuse.
        error(&failed, object.get());
    }
}

/// `xpc_object_t xpc_connection_send_message_with_reply_sync(xpc_connection_t, xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_send_message_with_reply_sync(object: Lent, message: Lent) -> *mut Object {
    let contents = convert::contents(dictionary(message, "xpc_connection_send_message_with_reply_sync"));
    let contents = contents.unwrap_or_else(|error| misuse!("{error}"));
    let Some(active) = active(object, "xpc_connection_send_message_with_reply_sync") else {
        return Ref::constant(&_xpc_error_connection_invalid).into_owned();
    };
    answer(active.send_with_reply_blocking(&contents, None), &object.retained()).into_owned()
}

fn answer(result: Result<portable::Message, Error>, connection: &Ref) -> Ref {
    match result {
        Ok(reply) => message::received(reply, connection.clone()),
        Err(failed) => Ref::constant(error(&failed, connection)),
    }
}

/// `void xpc_connection_send_message_with_reply(xpc_connection_t, xpc_object_t, dispatch_queue_t, xpc_handler_t)`
///
/// # Safety
/// The queue is null, or one of `dispatch_queue_create` that was not released yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpc_connection_send_message_with_reply(
    object: Lent,
    message: Lent,
    queue: *const portable::Queue,
    handler: LentBlock,
) {
    // SAFETY: by this function's contract.
    let queue = unsafe { queue.as_ref() }.cloned();
    let contents = convert::contents(dictionary(message, "xpc_connection_send_message_with_reply"));
    let contents = contents.unwrap_or_else(|error| misuse!("{error}"));
    let (connection, handler) = (object.retained(), handler.copy());
    match active(object, "xpc_connection_send_message_with_reply") {
        Some(active) => {
            let future = active.send_with_reply(&contents);
            Arc::new(Waiting(Mutex::new(Some(Pending { future, queue, handler, connection })))).poll();
        }
        None => call_on(queue, move || handler.call(Ref::constant(&_xpc_error_connection_invalid).lend())),
    }
}

/// Calls on this queue, or on libdispatch's default one.
fn call_on(queue: Option<portable::Queue>, call: impl FnOnce() + Send + 'static) {
    match queue {
        Some(queue) => queue.submit(call),
        None => pool::submit(call),
    }
}

/// A reply that has not come yet, what is to be called with it and where, and the connection, which lives until then.
struct Waiting(Mutex<Option<Pending>>);

struct Pending {
    future: ReplyFuture,
    queue: Option<portable::Queue>,
    handler: Block,
    connection: Ref,
}

impl Waiting {
    fn poll(self: Arc<Self>) {
        let waker = Waker::from(self.clone());
        let mut waiting = lock(&self.0);
        let Some(Pending { future, .. }) = waiting.as_mut() else { return };
        if let Poll::Ready(result) = Pin::new(future).poll(&mut Context::from_waker(&waker)) {
            let done = waiting.take();
            drop(waiting);
            let Some(Pending { future, queue, handler, connection }) = done else { return };
            // Never inside the call that sends.
            call_on(queue, move || {
                handler.call(answer(result, &connection).lend());
                drop((future, handler, connection));
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

/// `void xpc_connection_send_barrier(xpc_connection_t, dispatch_block_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_send_barrier(object: Lent, barrier: LentBlock) {
    let (active, barrier) = (active(object, "xpc_connection_send_barrier"), barrier.copy());
    match active {
        Some(active) => active.send_barrier(move || barrier.call_plain()),
        None => pool::submit(move || barrier.call_plain()),
    }
}

/// `void xpc_connection_suspend(xpc_connection_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_suspend(object: Lent) {
    let Some(active) = active(object, "xpc_connection_suspend") else { return };
    let suspension = active.suspend();
    lock(&shared(object, "xpc_connection_suspend").state).suspensions.push(suspension);
}

/// `void xpc_connection_resume(xpc_connection_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_resume(object: Lent) {
    let shared = shared(object, "xpc_connection_resume");
    let mut state = lock(&shared.state);
    if state.inactive.is_some() {
        drop(state);
        return xpc_connection_activate(object);
    }
    let Some(suspension) = state.suspensions.pop() else { misuse!("a connection is resumed that is not suspended") };
    drop(state);
    drop(suspension);
}

/// `void xpc_connection_cancel(xpc_connection_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_cancel(object: Lent) {
    let shared = shared(object, "xpc_connection_cancel");
    let mut state = lock(&shared.state);
    match std::mem::take(&mut state.listener) {
        Listening::Never => {}
        Listening::Inactive => misuse!("a listener is cancelled before it is activated"),
        Listening::Cancelled => return state.listener = Listening::Cancelled,
        Listening::Active(listener, handler) => {
            state.listener = Listening::Cancelled;
            drop(state);
            drop(listener);
            let kept = object.retained();
            return pool::submit(move || {
                handler.call(Ref::constant(&_xpc_error_connection_invalid).lend());
                drop((handler, kept));
            });
        }
    }
    match (&state.active, shared.accepted) {
        (Some(active), _) => {
            let active = active.clone();
            drop(state);
            active.cancel();
        }
        // Rejects the client.
        (None, true) => {
            let rejected = state.inactive.take();
            drop(state);
            drop(rejected);
        }
        (None, false) => misuse!("a connection is cancelled before it is activated"),
    }
}

/// `const char *xpc_connection_get_name(xpc_connection_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_get_name(object: Lent) -> *const c_char {
    shared(object, "xpc_connection_get_name").name.as_ref().map_or(ptr::null(), |name| name.as_ptr())
}

fn credentials(object: Lent, function: &str) -> Option<portable::Credentials> {
    let state = lock(&shared(object, function).state);
    let inactive = state.inactive.as_ref().and_then(portable::Inactive::credentials);
    inactive.or_else(|| state.active.as_ref().and_then(portable::Connection::credentials))
}

/// `pid_t xpc_connection_get_pid(xpc_connection_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_get_pid(object: Lent) -> i32 {
    credentials(object, "xpc_connection_get_pid").map_or(0, |peer| peer.pid.cast_signed())
}

/// `uid_t xpc_connection_get_euid(xpc_connection_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_get_euid(object: Lent) -> u32 {
    credentials(object, "xpc_connection_get_euid").map_or(u32::MAX, |peer| peer.euid)
}

/// `gid_t xpc_connection_get_egid(xpc_connection_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_get_egid(object: Lent) -> u32 {
    credentials(object, "xpc_connection_get_egid").map_or(u32::MAX, |peer| peer.egid)
}

/// `au_asid_t xpc_connection_get_asid(xpc_connection_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_get_asid(object: Lent) -> i32 {
    let peer = credentials(object, "xpc_connection_get_asid");
    peer.and_then(|peer| peer.asid()).map_or(-1, u32::cast_signed)
}

/// `void xpc_connection_set_context(xpc_connection_t, void *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_set_context(object: Lent, context: *mut c_void) {
    shared(object, "xpc_connection_set_context").context.store(context, Ordering::Release);
}

/// `void *xpc_connection_get_context(xpc_connection_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_get_context(object: Lent) -> *mut c_void {
    shared(object, "xpc_connection_get_context").context.load(Ordering::Acquire)
}

/// `void xpc_connection_set_finalizer_f(xpc_connection_t, xpc_finalizer_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_set_finalizer_f(object: Lent, finalizer: Option<Finalizer>) {
    *lock(&shared(object, "xpc_connection_set_finalizer_f").finalizer) = finalizer;
}

/// `char *xpc_connection_copy_invalidation_reason(xpc_connection_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_copy_invalidation_reason(object: Lent) -> *mut c_char {
    let reason = lock(&shared(object, "xpc_connection_copy_invalidation_reason").reason).clone();
    let reason = reason.and_then(|reason| CString::new(&*reason).ok());
    reason.map_or(ptr::null_mut(), |reason| to_be_freed(&reason))
}
