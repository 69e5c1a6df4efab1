//! Listeners for sessions, of Mach services.

use std::ffi::{CString, c_char, c_int};
use std::sync::{Arc, Mutex};

use xpc_portable as portable;

use crate::block::{Block, LentBlock};
use crate::lock;
use crate::object::{Lent, Object, Ref};
use crate::requirement;
use crate::session;
use crate::text::{Out, Text, to_be_freed};
use crate::value::Value;

/// `XPC_LISTENER_CREATE_…`
const INACTIVE: u64 = 1;
const FORCE_MACH: u64 = 1 << 1;

pub struct Listener {
    name: CString,
    queue: Option<portable::Queue>,
    accept: Arc<Block>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    requirement: Option<portable::PeerRequirement>,
    active: Option<portable::Listener>,
    cancelled: bool,
}

impl Listener {
    pub fn may_go(&self) {
        let state = lock(&self.state);
        if state.active.is_none() && !state.cancelled {
            misuse!("a listener is released that was never activated");
        }
    }

    /// Where the transport cannot have the name, it finds out later, and C has no handler that would be told.
    fn activate(&self) {
        let mut state = lock(&self.state);
        if state.active.is_some() || state.cancelled {
            misuse!("a listener is activated twice");
        }
        let (accept, queue) = (self.accept.clone(), self.queue.clone());
        let accept = move |mut peer: portable::Inactive| {
            if let Some(queue) = &queue {
                peer.set_target_queue(queue);
            }
            session::accepted(peer, &accept);
        };
        let (name, requirement) = (self.name.to_string_lossy(), state.requirement.take());
        state.active = Some(portable::Listener::mach_service(&name, requirement, accept, drop));
    }
}

fn listener<'a>(object: Lent, function: &str) -> &'a Listener {
    match object.value() {
        Value::Listener(listener) => listener,
        other => misuse!("{function} is called for a {}", other.name()),
    }
}

/// `xpc_listener_t xpc_listener_create(const char *, dispatch_queue_t, xpc_listener_create_flags_t,
/// xpc_listener_incoming_session_handler_t, xpc_rich_error_t *)`
///
/// # Safety
/// The queue is null, or one of `dispatch_queue_create` that was not released yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpc_listener_create(
    service: Text,
    queue: *const portable::Queue,
    flags: u64,
    handler: LentBlock,
    _error: Out<*mut Object>,
) -> *mut Object {
    if flags & !(INACTIVE | FORCE_MACH) != 0 {
        misuse!("a listener is created with flags {flags:#x}, which the shim does not know");
    }
    let name = service.expect("the name of a listener's service").to_owned();
    // SAFETY: by this function's contract.
    let queue = unsafe { queue.as_ref() }.cloned();
    let created = Listener { name, queue, accept: Arc::new(handler.copy()), state: Mutex::default() };
    if flags & INACTIVE == 0 {
        created.activate();
    }
    Ref::new(Value::Listener(created)).into_owned()
}

/// `bool xpc_listener_activate(xpc_listener_t, xpc_rich_error_t *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_listener_activate(object: Lent, _error: Out<*mut Object>) -> bool {
    listener(object, "xpc_listener_activate").activate();
    true
}

/// `void xpc_listener_cancel(xpc_listener_t)`. Over this transport its sessions end with it.
#[unsafe(no_mangle)]
pub extern "C" fn xpc_listener_cancel(object: Lent) {
    let mut state = lock(&listener(object, "xpc_listener_cancel").state);
    if state.active.is_none() && !state.cancelled {
        misuse!("a listener is cancelled before it is activated");
    }
    state.cancelled = true;
    let active = state.active.take();
    drop(state);
    drop(active);
}

/// `void xpc_listener_reject_peer(xpc_session_t, const char *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_listener_reject_peer(peer: Lent, reason: Text) {
    reason.expect("the reason");
    session::reject(peer);
}

/// `int xpc_listener_set_peer_code_signing_requirement(xpc_listener_t, const char *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_listener_set_peer_code_signing_requirement(object: Lent, text: Text) -> c_int {
    match requirement::parse(text.expect("a code-signing requirement")) {
        Some(parsed) => require_peer(object, parsed, "xpc_listener_set_peer_code_signing_requirement"),
        None => return libc::EINVAL,
    }
    0
}

/// `void xpc_listener_set_peer_requirement(xpc_listener_t, xpc_peer_requirement_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_listener_set_peer_requirement(object: Lent, peer_requirement: Lent) {
    let requirement = requirement::requirement(peer_requirement, "xpc_listener_set_peer_requirement");
    require_peer(object, requirement, "xpc_listener_set_peer_requirement");
}

fn require_peer(object: Lent, requirement: portable::PeerRequirement, function: &str) {
    let mut state = lock(&listener(object, function).state);
    if state.active.is_some() {
        misuse!("{function} is called after xpc_listener_activate");
    }
    if state.requirement.replace(requirement).is_some() {
        misuse!("a listener is given a second requirement");
    }
}

/// `char *xpc_listener_copy_description(xpc_listener_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_listener_copy_description(object: Lent) -> *mut c_char {
    let name = listener(object, "xpc_listener_copy_description").name.to_string_lossy();
    let text = format!("<listener: {:p}> {name}", object.as_ptr());
    to_be_freed(&CString::new(text).expect("a name has no NUL"))
}
