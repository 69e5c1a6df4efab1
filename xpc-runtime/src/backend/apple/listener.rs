//! Anonymous listeners and endpoints.

use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use xpc_object::{Endpoint, EndpointHandle};

use super::block::Block;
use super::connection::{Handle, Inactive, c_name};
use super::entry::Entry;
use super::lock;
use super::log;
use super::object::{self, Retained};
use super::raw::*;
use super::requirement::PeerRequirement;

type Accept = Box<dyn FnMut(Inactive) + Send>;

/// An endpoint object.
#[derive(Debug)]
pub(super) struct Boxed(pub(super) Retained);

impl EndpointHandle for Boxed {
    fn id(&self) -> u64 {
        // SAFETY: the reference keeps the object. Equal objects have equal hashes.
        unsafe { xpc_hash(self.0.as_ptr()) as u64 }
    }
}

pub(crate) struct Listener {
    object: Retained,
    peers: Arc<Peers>,
    state: Arc<State>,
}

/// How far a listener is.
#[derive(Default)]
struct State {
    cancelled: AtomicBool,
    /// Nobody is left to be told anything.
    dropped: AtomicBool,
}

type Over = Box<dyn FnOnce(Arc<str>) + Send>;

impl Listener {
    pub(crate) fn requiring(
        requirement: Option<PeerRequirement>,
        accept: impl FnMut(Inactive) + Send + 'static,
    ) -> Self {
        // SAFETY: no name makes an anonymous listener; no queue means libdispatch's default one. The result is owned and
        // not null.
        let object = unsafe { Retained::owned(xpc_connection_create(ptr::null(), ptr::null_mut())) };
        Self::activate(object, requirement, Box::new(accept), Box::new(|_| {}))
    }

    pub(crate) fn mach_service(
        name: &str,
        requirement: Option<PeerRequirement>,
        accept: impl FnMut(Inactive) + Send + 'static,
        over: impl FnOnce(Arc<str>) + Send + 'static,
    ) -> Self {
        let c_name = c_name(name);
        // SAFETY: the name is a C string that is copied; no queue means libdispatch's default one. The result is owned
        // and not null.
        let object = unsafe {
            Retained::owned(xpc_connection_create_mach_service(
                c_name.as_ptr(),
                ptr::null_mut(),
                XPC_CONNECTION_MACH_SERVICE_LISTENER,
            ))
        };
        Self::activate(object, requirement, Box::new(accept), Box::new(over))
    }

    fn activate(object: Option<Retained>, requirement: Option<PeerRequirement>, accept: Accept, over: Over) -> Self {
        let object = object.expect("libxpc aborts where it cannot make an object");
        let (peers, state) = (Arc::<Peers>::default(), Arc::<State>::default());
        let events = Events {
            peers: peers.clone(),
            state: state.clone(),
            accept: Mutex::new(Some(accept)),
            over: Mutex::new(Some(over)),
        };
        let refused = requirement.and_then(|requirement| requirement.set_on_connection(&object).err());
        let block = Block::handler(move |object| events.handle(object));
        log::catch_panics();
        // SAFETY: a listener that was not activated yet, and a block with the signature of an event handler, which is
        // copied; then a listener with an event handler.
        unsafe {
            xpc_connection_set_event_handler(object.as_ptr(), block.as_ptr());
            xpc_connection_activate(object.as_ptr());
        }
        let listener = Self { object, peers, state };
        if refused.is_some() {
            // libxpc has taken the same requirement before. Whoever would be let in now might be anybody.
            listener.cancel();
        }
        listener
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        // SAFETY: an anonymous listener, which is what endpoints are made from. The result is owned and not null.
        let endpoint = unsafe { Retained::owned(xpc_endpoint_create(self.object.as_ptr())) };
        Endpoint::new(Boxed(endpoint.expect("libxpc aborts where it cannot make an object")))
    }

    pub(crate) fn cancel(&self) {
        self.state.cancelled.store(true, Ordering::Release);
        // SAFETY: an active listener; cancelling again does nothing.
        unsafe { xpc_connection_cancel(self.object.as_ptr()) };
        self.peers.end();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if !self.state.cancelled.load(Ordering::Acquire) {
            self.state.dropped.store(true, Ordering::Release);
        }
        self.cancel();
    }
}

/// What a listener accepted: it ends with the listener, which libxpc leaves to its user.
#[derive(Default)]
pub(super) struct Peers(Mutex<PeerList>);

#[derive(Default)]
struct PeerList {
    ended: bool,
    active: Vec<Weak<Handle>>,
    /// How many there may be before those that are gone are forgotten.
    before_sweep: usize,
}

impl Peers {
    /// A peer becomes active. Says whether it may: the listener may be gone.
    pub(super) fn add(&self, peer: &Arc<Handle>) -> bool {
        let mut peers = lock(&self.0);
        if peers.active.len() >= peers.before_sweep {
            peers.active.retain(|peer| peer.strong_count() > 0);
            peers.before_sweep = 16.max(2 * peers.active.len());
        }
        peers.active.push(Arc::downgrade(peer));
        !peers.ended
    }

    fn end(&self) {
        let mut peers = lock(&self.0);
        peers.ended = true;
        let active = std::mem::take(&mut peers.active);
        drop(peers);
        for peer in active.iter().filter_map(Weak::upgrade) {
            peer.end_with_listener();
        }
    }
}

/// What a listener's event handler owns.
struct Events {
    peers: Arc<Peers>,
    state: Arc<State>,
    /// libxpc calls one at a time; the lock costs nothing then.
    accept: Mutex<Option<Accept>>,
    over: Mutex<Option<Over>>,
}

impl Events {
    fn end(&self) {
        let over = lock(&self.over).take();
        let Some(over) = over.filter(|_| !self.state.dropped.load(Ordering::Acquire)) else { return };
        over(if self.state.cancelled.load(Ordering::Acquire) {
            "the listener was cancelled".into()
        } else {
            "launchd does not let this process serve the name: the property list of its job has to list it among its `MachServices`, and one process serves a name".into()
        });
    }

    fn handle(&self, object: xpc_object_t) {
        let entry = Entry::new();
        // SAFETY: libxpc lends the object for the call, and passes no null.
        if let Some(object) = unsafe { Retained::borrowed(object) } {
            let mut accept = lock(&self.accept);
            if object::is_connection(&object) {
                if let Some(accept) = accept.as_mut() {
                    accept(Inactive::accepted_by(object, self.peers.clone()));
                }
            } else {
                // The listener is over, and nothing follows: what the closure holds goes.
                let finished = accept.take();
                drop(accept);
                drop(finished);
                self.end();
            }
        }
        entry.leave();
    }
}
