//! The state of one connection, and who may do what with it.
//!
//! Two locks and a role. `state` is held for moments, never across a handler, a decode or a waking. The *role* of the
//! attendant is held by at most one thread, the one that reads the socket: a reactor thread, which also runs the
//! handler, or a blocking caller that waits for its reply (it leads). Whoever gives the role back arms the socket in
//! the reactor again. `handler` and `reader` are touched by the attendant only. Here are the state and the way out;
//! `attendant` is the way in, and `end` ends things.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, shutdown};

use super::end::{Outcome, invalid};
use super::reader::Reader;
use super::{Connection, Event, Handler, Inactive, WeakConnection};
use crate::credentials::{Credentials, receive_message};
use crate::frame::{self, HELLO, Kind, Outgoing};
use crate::reactor::{Source, reactor};
use crate::slot::Slot;
use crate::testing::Faults;
use crate::{Error, bootstrap, bundle, lock, socket};

pub(crate) struct Core {
    /// The service's name; `None` for an accepted connection.
    pub(super) name: Option<Arc<str>>,
    pub(super) state: Mutex<State>,
    pub(super) reader: Mutex<Reader>,
    pub(super) handler: Mutex<Option<Handler>>,
    /// What a test of the user's does to this connection.
    pub(super) faults: OnceLock<Faults>,
}

pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) link: Option<Arc<Link>>,
    /// A thread reads the socket or runs the handler.
    pub(super) attended: bool,
    /// A handler runs: nothing is sent until it returns.
    pub(super) in_handler: bool,
    pub(super) inbox: VecDeque<Event>,
    pub(super) outbox: VecDeque<Outgoing>,
    /// How much of the outbox's first frame has left.
    pub(super) sent: usize,
    pub(super) writer: Writer,
    pub(super) pending: HashMap<u64, Arc<Slot>>,
    last_number: u64,
    pub(super) credentials: Option<Credentials>,
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

/// Who empties the outbox.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// Whoever puts something in.
    Idle,
    /// A thread that is at it.
    Busy,
    /// The reactor, once the socket takes more.
    Blocked,
}

/// One socket of a connection; one made by name gets a new link after every interruption.
pub(super) struct Link {
    pub(super) socket: OwnedFd,
    pub(super) token: u64,
}

impl Core {
    fn new(
        name: Option<Arc<str>>,
        link: Option<Arc<Link>>,
        reader: Reader,
        credentials: Option<Credentials>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            state: Mutex::new(State {
                phase: Phase::Inactive,
                link,
                attended: false,
                in_handler: false,
                inbox: VecDeque::new(),
                outbox: VecDeque::new(),
                sent: 0,
                writer: Writer::Idle,
                pending: HashMap::new(),
                last_number: 0,
                credentials,
                handle: WeakConnection::default(),
                keep: None,
            }),
            reader: Mutex::new(reader),
            handler: Mutex::new(None),
            faults: OnceLock::new(),
        })
    }

    pub(super) fn named(name: Arc<str>) -> Arc<Self> {
        Self::new(Some(name), None, Reader::default(), None)
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
        // A peer that is gone already is found out when its socket is read.
        let _ = socket::send(&socket, &frame::control(Kind::Hello, 0, &HELLO));
        let link = Arc::new(Link { socket, token: reactor().new_token() });
        Some(Inactive::accepted(Self::new(None, Some(link), Reader::greeted(), Some(credentials))))
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Nothing is being read, handled or sent, and, where `received` says so, nothing has arrived either.
    pub(crate) fn is_quiet(&self, received: bool) -> bool {
        let state = lock(&self.state);
        let arrived = || {
            let Some(link) = &state.link else { return false };
            // A peer that is gone makes a socket readable too; it is no work.
            rustix::io::ioctl_fionread(&link.socket).is_ok_and(|bytes| bytes > 0) || lock(&self.reader).has_part()
        };
        !state.attended
            && state.inbox.is_empty()
            && state.outbox.is_empty()
            && state.writer == Writer::Idle
            && !(received && arrived())
    }

    /// Whether nothing waits to be sent, or never will be.
    pub(super) fn has_left(&self) -> bool {
        let state = lock(&self.state);
        matches!(state.phase, Phase::Invalid(_))
            || (state.outbox.is_empty() && state.writer == Writer::Idle && !state.in_handler)
    }

    /// Tells an accepted connection that its process is about to end.
    pub(crate) fn termination_imminent(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        if self.name.is_none() && matches!(state.phase, Phase::Active) {
            state.inbox.push_back(Event::TerminationImminent);
            if !state.attended {
                reactor().submit(self.clone());
            }
        }
    }

    pub(super) fn credentials(&self) -> Option<Credentials> {
        lock(&self.state).credentials
    }

    pub(super) fn activate(self: &Arc<Self>, connection: &Connection, handler: Handler) {
        *lock(&self.handler) = Some(handler);
        let mut state = lock(&self.state);
        state.handle = connection.downgrade();
        state.phase = Phase::Active;
        match &self.name {
            Some(name) => {
                if let Err(reason) = bundle::find(name) {
                    self.end_locked(state, Outcome::Refused(reason));
                }
            }
            None => {
                state.keep = Some(connection.clone());
                let link = state.link.clone().expect("accepted with a socket");
                if reactor().add(link.token, &link.socket, Source::Connection(self.clone()), EventFlags::IN).is_err() {
                    self.end_locked(state, Outcome::Disconnected);
                }
                reactor().start();
            }
        }
    }

    /// Queues a frame that awaits no reply.
    pub(super) fn push(self: &Arc<Self>, frame: Outgoing) -> Result<(), Error> {
        let mut state = lock(&self.state);
        self.connect(&mut state)?;
        self.enqueue(state, frame);
        Ok(())
    }

    /// Queues a reply, which belongs to the link that its request came over and to no later one.
    pub(crate) fn push_to_link(self: &Arc<Self>, token: u64, frame: Outgoing) {
        let state = lock(&self.state);
        if state.link.as_ref().is_some_and(|link| link.token == token) {
            self.enqueue(state, frame);
        }
    }

    /// Queues a request; says its number, and whether the caller has got the attendant's role and must
    /// [`lead`](Self::lead).
    pub(super) fn push_request(
        self: &Arc<Self>,
        mut frame: Outgoing,
        slot: Arc<Slot>,
        may_lead: bool,
    ) -> Result<(u64, bool), Error> {
        let mut state = lock(&self.state);
        self.connect(&mut state)?;
        let leads = may_lead && !state.attended && state.inbox.is_empty();
        if leads {
            state.attended = true;
            // Before anything is sent: the reply is for this thread to read.
            self.arm(&state);
        }
        state.last_number += 1;
        let number = state.last_number;
        state.pending.insert(number, slot);
        frame::set_number(&mut frame.bytes, number);
        self.enqueue(state, frame);
        Ok((number, leads))
    }

    pub(super) fn forget_request(&self, number: u64) {
        let forgotten = lock(&self.state).pending.remove(&number);
        drop(forgotten);
    }

    /// Makes sure that an active connection has a link.
    fn connect(self: &Arc<Self>, state: &mut State) -> Result<(), Error> {
        match (&state.phase, &self.name) {
            (Phase::Invalid(reason), _) => return Err(Error::Invalid(reason.clone())),
            (Phase::Active, Some(name)) if state.link.is_none() => match self.dial(name) {
                Ok(link) => state.link = Some(link),
                Err(error) => {
                    // Nothing is pending without a link. To the user this is final: what is true now must stay true.
                    let (error, event) = invalid(format!("cannot connect to {name}: {error}").into());
                    if let Error::Invalid(reason) = &error {
                        state.phase = Phase::Invalid(reason.clone());
                    }
                    state.inbox.push_back(event);
                    if !state.attended {
                        reactor().submit(self.clone());
                    }
                    return Err(error);
                }
            },
            _ => {}
        }
        Ok(())
    }

    /// A fresh socket pair, one end of it on its way to the service.
    fn dial(self: &Arc<Self>, name: &Arc<str>) -> Result<Arc<Link>, Errno> {
        let (ours, theirs) = socket::connection_pair()?;
        socket::send(&ours, &frame::control(Kind::Hello, 0, &HELLO))?;
        let link = Arc::new(Link { socket: ours, token: reactor().new_token() });
        reactor().add(link.token, &link.socket, Source::Connection(self.clone()), EventFlags::IN)?;
        reactor().start();
        if let Err(error) = bootstrap::connect(name, theirs) {
            reactor().remove(link.token, &link.socket);
            return Err(error);
        }
        Ok(link)
    }

    fn enqueue(self: &Arc<Self>, mut state: MutexGuard<'_, State>, frame: Outgoing) {
        state.outbox.push_back(frame);
        let state = self.flush(state);
        if matches!(state.phase, Phase::Closing) {
            self.close_if_done(state);
        }
    }

    /// Sends what the socket takes. The lock is open while the kernel works: a reply may be read before the call that
    /// sent its request returns, and whoever reads it should not have to wait.
    pub(super) fn flush<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if state.writer != Writer::Idle {
            return state;
        }
        while !state.in_handler
            && let Some(link) = state.link.clone()
            && let Some(mut frame) = state.outbox.pop_front()
        {
            state.writer = Writer::Busy;
            let start = state.sent;
            drop(state);
            let result = socket::send_frame(&link.socket, &frame.bytes[start..], &mut frame.descriptors);
            state = lock(&self.state);
            if state.link.as_ref().is_none_or(|current| current.token != link.token) {
                // The frame's link ended meanwhile; what is in the outbox now is for the next one.
                continue;
            }
            match result {
                Ok(sent) if start + sent == frame.bytes.len() => state.sent = 0,
                Ok(sent) => {
                    state.sent = start + sent;
                    state.outbox.push_front(frame);
                }
                Err(Errno::AGAIN) => {
                    state.outbox.push_front(frame);
                    state.writer = Writer::Blocked;
                    self.arm(&state);
                    return state;
                }
                // The peer is gone, or the kernel takes no more descriptors on their way: whoever reads the socket finds
                // out, and says so.
                Err(_) => {
                    let _ = shutdown(&link.socket, Shutdown::Both);
                    state.outbox.clear();
                    state.sent = 0;
                }
            }
        }
        state.writer = Writer::Idle;
        state
    }

    /// Has the reactor watch for what the connection waits for now.
    pub(super) fn arm(&self, state: &State) {
        let Some(link) = &state.link else { return };
        let mut events = EventFlags::empty();
        events.set(EventFlags::IN, !state.attended && !matches!(state.phase, Phase::Closing));
        events.set(EventFlags::OUT, state.writer == Writer::Blocked && !state.in_handler);
        reactor().arm(link.token, &link.socket, events);
    }
}
