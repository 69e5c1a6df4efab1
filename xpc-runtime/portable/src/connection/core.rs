//! The state of one connection, and who may do what with it.
//!
//! Two locks and a role. `state` is held for moments, never across a handler, a decode or a waking. The *role* of the
//! attendant is held by at most one thread, the one that reads the socket: a reactor thread, which also runs the
//! handler, or a blocking caller that waits for its reply (it leads). Whoever gives the role back arms the socket in
//! the reactor again, unless the socket may rest (`busy`) or is lent to a future, whose first poll takes the role.
//! `handler` and `reader` are touched by the attendant only. Here is the state;
//! `sending` is the way out, `attendant` the way in, `suspension` closes both for a while, and `end` ends things.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Instant;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use xpc_object::Endpoint;

use super::busy;
use super::end::Outcome;
use super::inbox::{Inbox, Receipt};
use super::outbox::Outbox;
use super::reader::Reader;
use super::stall::Watch;
use super::suspension::Held;
use super::{Connection, Event, Handler, Inactive, Queue, WeakConnection};
use crate::credentials::{Credentials, receive_message};
use crate::error::{explain, is_transient};
use crate::frame::{self, HELLO, Kind};
use crate::reactor::{Job, Source, reactor, try_reactor};
use crate::slot::Slot;
use crate::testing::Faults;
use crate::{Error, PeerRequirement, bootstrap, bundle, endpoint, fork, lock, mach, socket};

pub(super) const LISTENER_GONE: &str = "the endpoint's listener is gone";

pub(crate) struct Core {
    pub(super) origin: Origin,
    pub(super) state: Mutex<State>,
    pub(super) reader: Mutex<Reader>,
    pub(super) handler: Mutex<Option<Handler>>,
    /// With whose handlers this one's takes turns; set before the activation.
    pub(super) queue: OnceLock<Queue>,
    /// Who the other side has to be, by its listener's requirement and its own; set before the activation.
    pub(super) requirements: OnceLock<[Option<PeerRequirement>; 2]>,
    /// What a test of the user's does to this connection.
    pub(super) faults: OnceLock<Faults>,
}

/// How a connection came to be.
pub(super) enum Origin {
    Named(Named),
    Endpoint(Endpoint),
    Accepted,
}

/// To whom a connection that was made by name leads.
pub(super) struct Named {
    pub name: Arc<str>,
    pub place: Place,
    /// Every disconnection is its end. Otherwise it survives them.
    pub is_session: bool,
}

/// Who knows the name.
pub(super) enum Place {
    /// The bundle of the app.
    Bundle,
    /// Whatever process of the same user serves it; it was reached before.
    User(AtomicBool),
}

pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) link: Option<Arc<Link>>,
    /// A connection made by name has reached its service before.
    was_linked: bool,
    /// A thread reads the socket or runs the handler.
    pub(super) attended: bool,
    /// One is on its way to it.
    pub(super) kicked: bool,
    /// The socket rests though a reply is awaited: the first poll of its future takes the role, and looks for it.
    pub(super) lent: bool,
    /// What the reactor watches the link for; nothing once it has said so (one-shot).
    pub(super) armed: EventFlags,
    /// A handler runs: nothing is sent until it returns.
    pub(super) in_handler: bool,
    /// When a thread last began or ended to attend it: see `busy`.
    pub(super) last_turn: Option<Instant>,
    /// The socket may rest, and somebody will look soon whether it still should: how many calls there were meanwhile.
    pub(super) rest: Option<u64>,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    pub(super) writer: Writer,
    /// Whether the handler may run, where it takes turns with those of other connections.
    pub(super) turn: Turn,
    /// A barrier runs: nothing is sent until it returns.
    pub(super) barred: bool,
    pub(super) watch: Option<Watch>,
    /// Messages wait in the inbox, and what came after them.
    pub(super) messages_held: bool,
    /// How many times the connection was suspended and not yet resumed. Meanwhile nothing is sent, read or handled.
    pub(super) suspended: usize,
    /// What came in for a suspended connection all the same.
    pub(super) held: Vec<Held>,
    pub(super) pending: HashMap<u64, Arc<Slot>>,
    /// Of requests.
    pub(super) last_number: u64,
    pub(super) credentials: Option<Credentials>,
    /// Why the peer of the current link is not heard.
    pub(super) rejected: Option<Arc<str>>,
    pub(super) handle: WeakConnection,
    /// An accepted connection keeps itself alive until it ends.
    pub(super) keep: Option<Connection>,
}

pub(super) enum Phase {
    Inactive,
    Active,
    /// No handle is left; the rest of the outbox leaves first.
    Closing,
    Invalid(Arc<str>),
}

/// In the queue of a connection that has one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    None,
    /// It has not come yet.
    Waiting,
    /// It has: whoever attends runs the handler once and gives the turn up, or gives it up for want of anything to do.
    Here,
}

/// Who empties the outbox.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// Whoever puts something in.
    Idle,
    /// A thread that is at it.
    Busy,
    /// The reactor, once the socket takes more.
    Blocked,
    /// The reactor, some time later: the kernel has no room for what is to be sent, and would not say when it has.
    Later,
}

/// One socket of a connection; one made by name gets a new link after every interruption.
pub(super) struct Link {
    pub(super) socket: OwnedFd,
    pub(super) token: u64,
}

impl Core {
    fn new(origin: Origin, link: Option<Arc<Link>>, reader: Reader, credentials: Option<Credentials>) -> Arc<Self> {
        Arc::new(Self {
            origin,
            state: Mutex::new(State {
                phase: Phase::Inactive,
                link,
                was_linked: false,
                attended: false,
                kicked: false,
                lent: false,
                armed: EventFlags::empty(),
                in_handler: false,
                last_turn: None,
                rest: None,
                inbox: Inbox::default(),
                outbox: Outbox::default(),
                writer: Writer::Idle,
                turn: Turn::None,
                barred: false,
                watch: None,
                messages_held: false,
                suspended: 0,
                held: Vec::new(),
                pending: HashMap::new(),
                last_number: 0,
                credentials,
                rejected: None,
                handle: WeakConnection::default(),
                keep: None,
            }),
            reader: Mutex::new(reader),
            handler: Mutex::new(None),
            queue: OnceLock::new(),
            requirements: OnceLock::new(),
            faults: OnceLock::new(),
        })
    }

    pub(super) fn named(name: &str, place: Place, is_session: bool) -> Arc<Self> {
        let origin = Origin::Named(Named { name: name.into(), place, is_session });
        Self::new(origin, None, Reader::default(), None)
    }

    pub(super) fn by_endpoint(endpoint: Endpoint) -> Arc<Self> {
        Self::new(Origin::Endpoint(endpoint), None, Reader::default(), None)
    }

    /// The accepting side of a fresh socket. `None` if its first bytes are not a hello with credentials: whoever
    /// connects writes them before it hands the socket over, so there is nothing to wait for.
    pub(crate) fn accept(socket: OwnedFd) -> Option<Inactive> {
        let mut hello = [0; frame::HELLO_BYTES];
        let received = receive_message(&socket, &mut hello, RecvFlags::DONTWAIT).ok()?;
        let (read, credentials) = (received.read, received.credentials?);
        if received.cut || !received.descriptors.is_empty() {
            return None;
        }
        if hello[..read] != frame::control(Kind::Hello, 0, &HELLO) {
            return None;
        }
        socket::stop_credentials(&socket);
        busy::limit_waiting(&socket);
        // A peer that is gone already is found out when its socket is read.
        let _ = socket::send(&socket, &frame::control(Kind::Hello, 0, &HELLO));
        let link = Arc::new(Link { socket, token: reactor().new_token() });
        Some(Inactive::new(Self::new(Origin::Accepted, Some(link), Reader::greeted(), Some(credentials))))
    }

    pub(super) fn name(&self) -> Option<&str> {
        match &self.origin {
            Origin::Named(named) => Some(&named.name),
            Origin::Endpoint(_) | Origin::Accepted => None,
        }
    }

    /// Nothing is being read, handled or sent, and, where `received` says so, nothing has arrived either.
    pub(crate) fn is_quiet(&self, received: bool) -> bool {
        let state = lock(&self.state);
        let arrived = || {
            let Some(link) = &state.link else { return false };
            // A peer that is gone makes a socket readable too; it is no work.
            rustix::io::ioctl_fionread(&link.socket).is_ok_and(|bytes| bytes > 0) || lock(&self.reader).has_part()
        };
        let idle = !state.attended && !state.barred && state.writer != Writer::Busy;
        if state.suspended > 0 && !received {
            // What waits there may wait for ever; the end of the process does not.
            return idle;
        }
        idle && state.nothing_came_in()
            && state.outbox.is_empty()
            && state.writer == Writer::Idle
            && !(received && arrived())
    }

    /// Tells an accepted connection that its process is about to end.
    pub(crate) fn termination_imminent(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        if matches!((&self.origin, &state.phase), (Origin::Accepted, Phase::Active)) {
            state.inbox.push(Event::TerminationImminent);
            self.kick(&mut state);
        }
    }

    pub(super) fn credentials(&self) -> Option<Credentials> {
        lock(&self.state).credentials
    }

    /// Whether a peer may be heard; if not, why.
    pub(super) fn check_peer(&self, peer: Option<Credentials>) -> Result<(), Arc<str>> {
        let requirements = self.requirements.get().map_or(&[][..], |requirements| requirements);
        requirements.iter().flatten().try_for_each(|requirement| requirement.check(peer))
    }

    pub(super) fn invalidation_reason(&self) -> Option<Arc<str>> {
        match &lock(&self.state).phase {
            Phase::Invalid(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    pub(super) fn activate(self: &Arc<Self>, connection: &Connection, handler: Handler) {
        if fork::is_copy() {
            // No thread is here that could call the handler.
            lock(&self.state).phase = Phase::Invalid(fork::REASON.into());
            return;
        }
        *lock(&self.handler) = Some(handler);
        let rejected = if matches!(self.origin, Origin::Accepted) {
            self.check_peer(self.credentials()).err()
        } else {
            // Nobody is there yet.
            None
        };
        let mut state = lock(&self.state);
        state.handle = connection.downgrade();
        let inactive = matches!(state.phase, Phase::Inactive);
        state.phase = Phase::Active;
        if !inactive {
            // Its listener went before it: nothing but this is left to say.
            state.keep = Some(connection.clone());
            return self.end_locked(state, Outcome::Refused(LISTENER_GONE.into()));
        }
        match &self.origin {
            Origin::Named(named) => {
                let found = match named.place {
                    Place::Bundle => bundle::find(&named.name).map(|_| ()),
                    Place::User(_) => mach::find(&named.name),
                };
                if let Err(reason) = found {
                    self.end_locked(state, Outcome::Refused(reason));
                }
            }
            Origin::Endpoint(endpoint) => match self.dial(|theirs| endpoint::connect(endpoint, theirs)) {
                Ok(link) => (state.link, state.armed) = (Some(link), EventFlags::IN),
                Err(error) => {
                    let reason = match error {
                        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => LISTENER_GONE.into(),
                        error => format!("cannot connect to the endpoint's listener: {}", explain(error)).into(),
                    };
                    self.end_locked(state, Outcome::Refused(reason));
                }
            },
            Origin::Accepted => {
                state.keep = Some(connection.clone());
                if let Some(reason) = rejected {
                    state.rejected = Some(reason.clone());
                    state.inbox.push(Event::PeerRejected(reason));
                }
                let link = state.link.clone().expect("accepted with a socket");
                state.armed = EventFlags::IN;
                if reactor().add(link.token, &link.socket, Source::Connection(self.clone()), EventFlags::IN).is_err() {
                    self.end_locked(state, Outcome::Disconnected);
                } else {
                    self.kick(&mut state);
                }
                reactor().start();
            }
        }
    }

    /// Makes sure that an active connection has a link.
    pub(super) fn connect<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>, Error> {
        if let (Phase::Active, Origin::Named(Named { name, place, .. }), None) =
            (&state.phase, &self.origin, &state.link)
        {
            let dialled = self.dial(|theirs| match place {
                Place::Bundle => bootstrap::connect(name, theirs),
                Place::User(reached) => {
                    mach::connect(name, theirs, reached.load(Ordering::Relaxed));
                    Ok(())
                }
            });
            match dialled {
                Ok(link) => {
                    (state.link, state.armed) = (Some(link), EventFlags::IN);
                    state.was_linked = true;
                }
                // It has worked before and may again.
                Err(error) if state.was_linked && is_transient(error) => {
                    self.end_locked(state, Outcome::Disconnected);
                    return Err(Error::Interrupted);
                }
                Err(error) => {
                    // To the user this is final: what is true now must stay true.
                    let reason: Arc<str> = format!("cannot connect to {name}: {}", explain(error)).into();
                    self.end_locked(state, Outcome::Refused(reason.clone()));
                    return Err(Error::Invalid(reason));
                }
            }
        }
        Ok(state)
    }

    /// A fresh socket pair, one end of it on its way to the other side.
    fn dial(self: &Arc<Self>, hand_over: impl FnOnce(OwnedFd) -> Result<(), Errno>) -> Result<Arc<Link>, Errno> {
        let reactor = try_reactor()?;
        let (ours, theirs) = socket::connection_pair()?;
        socket::send(&ours, &frame::control(Kind::Hello, 0, &HELLO))?;
        let link = Arc::new(Link { socket: ours, token: reactor.new_token() });
        reactor.add(link.token, &link.socket, Source::Connection(self.clone()), EventFlags::IN)?;
        reactor.start();
        if let Err(error) = hand_over(theirs) {
            reactor.remove(link.token, &link.socket);
            return Err(error);
        }
        Ok(link)
    }

    /// Whether messages wait for the time being; replies do not, and sending goes on.
    pub(super) fn hold_messages(self: &Arc<Self>, hold: bool) {
        if fork::is_copy() {
            return;
        }
        let mut state = lock(&self.state);
        state.messages_held = hold;
        self.kick(&mut state);
    }

    /// Has a thread come where there is something to do that no socket will announce.
    pub(super) fn kick(self: &Arc<Self>, state: &mut State) {
        if !state.attended && !state.kicked && state.is_wanted() {
            state.kicked = true;
            reactor().submit(Job::Attend(self.clone()));
        }
    }

    /// Has the reactor watch for what the connection waits for now.
    pub(super) fn arm(&self, state: &mut State) {
        let Some(link) = &state.link else { return };
        let mut events = EventFlags::empty();
        events.set(EventFlags::IN, !state.attended && !state.lent && state.may_read());
        events.set(EventFlags::OUT, state.writer == Writer::Blocked && state.may_send());
        if events != state.armed {
            reactor().arm(link.token, &link.socket, events);
            state.armed = events;
        }
    }
}

impl State {
    /// The calling thread gets the attendant's role, which nobody has.
    pub(super) fn take_role(&mut self) {
        (self.attended, self.lent) = (true, false);
    }

    pub(super) fn may_send(&self) -> bool {
        !self.in_handler && !self.barred && self.suspended == 0
    }

    /// Whether more may be read. What came in is no reason to stop: see `inbox`. A connection without handles reads on
    /// for the credit that what is left needs.
    pub(super) fn may_read(&self) -> bool {
        self.suspended == 0 && !(matches!(self.phase, Phase::Closing) && self.outbox.is_empty())
    }

    /// Whether the handler may be called for the first event in the inbox. A peer that takes no replies gets no further
    /// requests handled.
    pub(super) fn is_deliverable(&self) -> bool {
        match self.inbox.front() {
            None => false,
            Some(Event::Message(_)) => !self.messages_held && !self.outbox.replies_pile_up(),
            Some(_) => true,
        }
    }

    /// Whether a thread has something to do that no socket will announce.
    pub(super) fn is_wanted(&self) -> bool {
        let may_handle = self.turn != Turn::Waiting && self.is_deliverable();
        self.suspended == 0 && (may_handle || !self.held.is_empty())
    }

    /// The handler is done with what came with this receipt: the peer gets credit for it.
    pub(super) fn was_handled(&mut self, receipt: &Receipt) {
        let Some(link) = &self.link else { return };
        if let Some(credit) = self.inbox.handled(receipt, link.token) {
            self.outbox.push_credit(credit);
        }
    }

    /// Whether a caller that waits for a reply may be the one who reads.
    pub(super) fn nothing_came_in(&self) -> bool {
        self.inbox.is_empty() && self.held.is_empty()
    }
}
