//! The listener's side of endpoints.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, Weak};

use rustix::event::epoll::EventFlags;
use rustix::io::{Errno, ioctl_fionread};
use rustix::net::SocketType;
use xpc_object::Endpoint;

use super::{CONNECT, HAND_OVER, is_socket, local};
use crate::connection::{Core, Inactive};
use crate::mach::{self, Port};
use crate::reactor::{Job, Source, reactor};
use crate::socket::{self, Packet};
use crate::transaction::Transaction;
use crate::{Credentials, PeerRequirement, fork, lock};

/// How much is done in one go before the thread looks at other things.
const TURNS: usize = 64;
/// How many packets of one rendezvous are taken before others have their turn.
const PACKETS: usize = 8;
/// How many rendezvous there can be at a time that come from one hand-over by this process: each costs a descriptor.
pub(super) const MAX_HAND_OVERS: usize = 128;

pub(crate) type Accept = Box<dyn FnMut(Inactive) + Send>;
pub(crate) type Over = Box<dyn FnOnce(Arc<str>) + Send>;

/// Takes connections from whoever has got its [`endpoint`](Self::endpoint), or knows its name. It ends when it is
/// dropped.
pub struct Listener(pub(super) Arc<Listening>);

impl Listener {
    /// Starts listening. `accept` is called once for each connection, one at a time; a connection that it does not
    /// activate is rejected. A panic in it aborts the process.
    pub fn anonymous(accept: impl FnMut(Inactive) + Send + 'static) -> Self {
        Self::requiring(None, accept)
    }

    /// The same; what comes from peers that do not meet the requirement is dropped.
    pub fn requiring(requirement: Option<PeerRequirement>, accept: impl FnMut(Inactive) + Send + 'static) -> Self {
        Self(Arc::new(Listening::new(requirement, Box::new(accept), None)))
    }

    /// Starts listening under this name, for other processes of the same user, which reach it by
    /// [`Inactive::mach_service`]. `accept` is as in [`requiring`](Self::requiring). `over` is called once when the
    /// listener was cancelled, or could not begin; the text says why.
    ///
    /// From now on SIGTERM ends the process as it does a service, unless the program handles it: its peers are told,
    /// and its last transaction is its end.
    pub fn mach_service(
        name: &str,
        requirement: Option<PeerRequirement>,
        accept: impl FnMut(Inactive) + Send + 'static,
        over: impl FnOnce(Arc<str>) + Send + 'static,
    ) -> Self {
        let listening = Arc::new(Listening::new(requirement, Box::new(accept), Some(Box::new(over))));
        if let Err(reason) = Port::open(name, &listening) {
            listening.end(Some(reason));
        }
        Self(listening)
    }

    /// The way to this listener.
    pub fn endpoint(&self) -> Endpoint {
        local(&self.0)
    }

    /// Ends it, and the connections that it accepted.
    pub fn cancel(&self) {
        self.0.end(Some("the listener was cancelled".into()));
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.end(None);
    }
}

pub(crate) struct Listening {
    id: u64,
    requirement: Option<PeerRequirement>,
    pub(super) state: Mutex<State>,
    /// Used by the thread that attends only.
    accept: Mutex<Option<Accept>>,
}

#[derive(Default)]
pub(super) struct State {
    ended: bool,
    /// A thread takes arrivals. There is one at most: however much arrives, the others serve other things.
    attended: bool,
    arrivals: VecDeque<Arrival>,
    pub(super) rendezvous: HashMap<u64, Arc<Rendezvous>>,
    peers: Vec<Weak<Core>>,
    /// How many peers there may be before those that are gone are forgotten.
    peers_before_sweep: usize,
    /// Where it is found by name.
    port: Option<Arc<Port>>,
    /// Who is to be told of the end of one with a name.
    over: Option<Over>,
}

/// The listener's end of one way to it.
pub(crate) struct Rendezvous {
    token: u64,
    socket: OwnedFd,
    listening: Arc<Listening>,
    way: Way,
}

/// How a rendezvous came to be.
#[derive(Clone)]
pub(crate) enum Way {
    /// By a hand-over of the endpoint; shared by all that come from one hand-over by this process.
    HandedOver(Arc<()>),
    /// Its holder knows the listener's name. Only processes of this user may.
    ByName,
}

pub(super) enum Arrival {
    Readable(Arc<Rendezvous>),
    Connection(OwnedFd, Option<Transaction>),
}

impl Arrival {
    pub(super) fn connection(socket: OwnedFd) -> Self {
        Self::Connection(socket, Transaction::of_message())
    }
}

impl Rendezvous {
    /// The reactor's call: the socket can be read.
    pub(crate) fn ready(self: Arc<Self>) {
        let listening = self.listening.clone();
        let mut state = lock(&listening.state);
        state.arrivals.push_back(Arrival::Readable(self));
        if !state.attended {
            state.attended = true;
            drop(state);
            listening.attend();
        }
    }

    /// Nothing waits here, and the listener does nothing.
    pub(crate) fn is_quiet(&self, received: bool) -> bool {
        let state = lock(&self.listening.state);
        let arrived = || ioctl_fionread(&self.socket).is_ok_and(|bytes| bytes > 0);
        !state.attended && state.arrivals.is_empty() && !(received && arrived())
    }
}

impl Listening {
    pub(crate) fn new(requirement: Option<PeerRequirement>, accept: Accept, over: Option<Over>) -> Self {
        Self {
            requirement,
            // By chance, so that listeners of different processes have different ones.
            id: RandomState::new().hash_one(reactor().new_token()),
            state: Mutex::new(State { over, ..State::default() }),
            accept: Mutex::new(Some(accept)),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// From now on it is found by name, until it ends.
    pub(crate) fn found_at(&self, port: Arc<Port>) {
        lock(&self.state).port = Some(port);
    }

    /// Does this unless the listener has ended, and before it can.
    pub(crate) fn unless_ended(&self, act: impl FnOnce()) {
        let state = lock(&self.state);
        if !state.ended {
            act();
        }
    }

    /// Watches one more rendezvous.
    pub(crate) fn add(self: &Arc<Self>, socket: OwnedFd, way: Way) -> Result<(), Errno> {
        let token = reactor().new_token();
        let rendezvous = Arc::new(Rendezvous { token, socket, listening: self.clone(), way });
        let mut state = lock(&self.state);
        if state.ended {
            return Err(Errno::PIPE);
        }
        reactor().add(token, &rendezvous.socket, Source::Rendezvous(rendezvous.clone()), EventFlags::IN)?;
        state.rendezvous.insert(token, rendezvous);
        drop(state);
        reactor().start();
        Ok(())
    }

    /// Something arrived from this process itself. The caller may hold locks: another thread takes it.
    pub(super) fn push(self: &Arc<Self>, arrival: Arrival) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        if state.ended {
            return Err(Errno::PIPE);
        }
        state.arrivals.push_back(arrival);
        if !state.attended {
            state.attended = true;
            self.attend_later();
        }
        Ok(())
    }

    fn attend_later(self: &Arc<Self>) {
        let listening = self.clone();
        reactor().submit(Job::Run(Box::new(move || listening.attend())));
    }

    /// Takes arrivals. Needs the role and gives it back.
    fn attend(self: &Arc<Self>) {
        // From before the first read on: what is read must not be lost to an idle exit.
        let turn = Transaction::of_service();
        for _ in 0..TURNS {
            let arrival = lock(&self.state).arrivals.pop_front();
            match arrival {
                None => break,
                Some(Arrival::Connection(socket, transaction)) => {
                    self.take_over(socket, |_| true);
                    drop(transaction);
                }
                Some(Arrival::Readable(rendezvous)) => self.read(&rendezvous),
            }
        }
        let mut state = lock(&self.state);
        if !state.arrivals.is_empty() && !state.ended {
            self.attend_later();
            return;
        }
        state.attended = false;
        let ended = state.ended;
        let rest = std::mem::take(&mut state.arrivals);
        drop(state);
        if ended {
            self.forget_accept();
        }
        drop((rest, turn));
    }

    fn read(self: &Arc<Self>, rendezvous: &Arc<Rendezvous>) {
        for _ in 0..PACKETS {
            if lock(&self.state).ended {
                return;
            }
            match socket::receive_packet(&rendezvous.socket) {
                Ok(Packet::Received(bytes, Some(socket))) if bytes == CONNECT => {
                    if is_socket(&socket, SocketType::STREAM) {
                        self.take_over(socket, |peer| rendezvous.way.is_open_to(peer));
                    }
                }
                Ok(Packet::Received(bytes, Some(socket))) if bytes == HAND_OVER => {
                    let Way::HandedOver(lineage) = &rendezvous.way else { continue };
                    if Arc::strong_count(lineage) < MAX_HAND_OVERS && is_socket(&socket, SocketType::SEQPACKET) {
                        // Where that fails the socket is closed, and its holder finds the way closed.
                        let _ = self.add(socket, rendezvous.way.clone());
                    }
                }
                // Nonsense, or no descriptor was free for what came: its sender finds it closed.
                Ok(Packet::Received(..)) => {}
                Err(Errno::AGAIN) => break,
                // The holder is gone, or does not keep the protocol.
                Ok(Packet::End) | Err(_) => return self.remove(rendezvous),
            }
        }
        let state = lock(&self.state);
        if state.rendezvous.contains_key(&rendezvous.token) {
            reactor().arm(rendezvous.token, &rendezvous.socket, EventFlags::IN);
        }
    }

    fn remove(&self, rendezvous: &Rendezvous) {
        let mut state = lock(&self.state);
        let removed = state.rendezvous.remove(&rendezvous.token);
        let source = removed.as_ref().and_then(|removed| reactor().remove(removed.token, &removed.socket));
        drop(state);
        drop((removed, source));
    }

    fn take_over(&self, socket: OwnedFd, is_welcome: impl FnOnce(Option<Credentials>) -> bool) {
        let Some(mut peer) = Core::accept(socket) else { return };
        if !is_welcome(peer.credentials()) {
            return;
        }
        peer.inherit(self.requirement.clone());
        let mut state = lock(&self.state);
        if state.ended {
            return drop(state);
        }
        if state.peers.len() >= state.peers_before_sweep {
            state.peers.retain(|peer| peer.strong_count() > 0);
            state.peers_before_sweep = 16.max(2 * state.peers.len());
        }
        state.peers.extend(peer.downgrade());
        drop(state);
        if let Some(accept) = &mut *lock(&self.accept) {
            accept(peer);
        }
    }

    /// Where there is a reason, who waits for the end of one with a name is told.
    pub(crate) fn end(self: &Arc<Self>, reason: Option<Arc<str>>) {
        if fork::is_copy() {
            return;
        }
        let mut state = lock(&self.state);
        state.ended = true;
        let port = state.port.take();
        let over = state.over.take();
        let rendezvous = std::mem::take(&mut state.rendezvous);
        let sources: Vec<_> =
            rendezvous.values().filter_map(|gone| reactor().remove(gone.token, &gone.socket)).collect();
        let arrivals = std::mem::take(&mut state.arrivals);
        let peers = std::mem::take(&mut state.peers);
        drop(state);
        if let Some(port) = port {
            port.close();
        }
        drop((rendezvous, sources, arrivals));
        if let (Some(over), Some(reason)) = (over, reason) {
            // Never inside the call that begins or cancels.
            reactor().submit(Job::Run(Box::new(move || over(reason))));
        }
        for peer in peers.iter().filter_map(Weak::upgrade) {
            peer.end_with_listener();
        }
        self.forget_accept();
    }

    /// What the closure holds goes, unless it runs: then the thread that runs it does this.
    fn forget_accept(&self) {
        let accept = self.accept.try_lock().ok().and_then(|mut accept| accept.take());
        drop(accept);
    }
}

impl Way {
    fn is_open_to(&self, peer: Option<Credentials>) -> bool {
        match self {
            Self::HandedOver(_) => true,
            Self::ByName => peer.is_some_and(|peer| mach::is_this_user(&peer)),
        }
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_rendezvous_that_can_be_read_is_no_idle_one_before_anybody_has_read_it() {
        let listening = Arc::new(Listening::new(None, Box::new(drop), None));
        let (client, socket) = socket::packet_pair().unwrap();
        // Not in the reactor: as if no thread had come to it yet.
        let rendezvous = Rendezvous { token: 0, socket, listening, way: Way::ByName };
        assert!(rendezvous.is_quiet(true));
        let (_ours, theirs) = socket::connection_pair().unwrap();
        socket::send_packet(&client, CONNECT, Some(theirs.as_fd())).unwrap();
        assert!(!rendezvous.is_quiet(true));
        assert!(rendezvous.is_quiet(false), "who only finishes what was begun need not wait for it");
    }
}
