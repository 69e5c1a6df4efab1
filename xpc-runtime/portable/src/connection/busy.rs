//! Connections in lively use, which are attended without asking the reactor each time.
//!
//! Between two messages the reactor costs a service two system calls and a change of threads, and a caller that waits
//! for its replies two system calls: as much again as the messages themselves. So, where the last turn was a moment
//! ago, a service's thread *stays*: it waits for the next request in the read itself. And after a caller's turn the
//! socket *rests*: nobody watches it until the next call, or until a moment has passed without one. What comes unasked
//! meanwhile, the end of the stream too, is seen that much later.

use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::core::{Core, Origin, Phase, State, Writer};
use crate::reactor::{Staying, reactor};
use crate::{lock, timer, transaction};

/// How long after a turn another one is expected.
pub(super) const MOMENT: Duration = Duration::from_millis(1);
/// How long a thread waits for one connection. An accepted socket's reads end by then.
const STAY: Duration = Duration::from_millis(5);

/// An accepted socket, whose attendant may stay.
pub(super) fn limit_waiting(socket: impl AsFd) {
    // It can only fail for a descriptor that is no socket.
    let _ = set_socket_timeout(socket, Timeout::Recv, Some(STAY));
}

impl Core {
    /// Whether the last turn was a moment ago; from now on this one is the last.
    pub(super) fn is_busy(&self) -> bool {
        lock(&self.state).is_busy()
    }

    /// Whether the attendant of a busy connection may wait for it alone.
    pub(super) fn stay(&self) -> Option<Staying> {
        let alone = matches!(self.origin, Origin::Accepted) && self.queue.get().is_none();
        // A service that is to end does so between two requests.
        if alone && !transaction::is_terminating() { reactor().stay() } else { None }
    }

    /// Gives the role back without having the socket watched, if it may rest.
    pub(super) fn rest(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        // Where somebody will look anyway, the clock need not be asked.
        if !((state.rest.is_some() || state.is_busy()) && state.may_rest()) {
            drop(state);
            return self.give_role_back();
        }
        state.attended = false;
        match &mut state.rest {
            Some(calls) => *calls += 1,
            None => {
                state.rest = Some(1);
                drop(state);
                end_later(Arc::downgrade(self));
            }
        }
    }

    /// Leaves the socket to the one who is about to poll the future of a reply, if that is likely to be there soon.
    pub(super) fn lend(self: &Arc<Self>, state: &mut State) {
        let nobody_waits = state.pending.is_empty() || state.lent;
        let may = nobody_waits && !state.attended && state.suspended == 0 && state.nothing_came_in();
        if may && self.may_spin(None) {
            state.lent = true;
            // The future may never be polled: somebody will look.
            if state.rest.is_none() {
                state.rest = Some(1);
                end_later(Arc::downgrade(self));
            }
        }
    }

    /// Has the socket watched again, where no call has come for a moment.
    fn end_rest(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        // Whoever polls the future now finds the reactor at it.
        state.lent = false;
        if state.rest != Some(0) && !state.attended && state.may_rest() {
            state.rest = Some(0);
            drop(state);
            return end_later(Arc::downgrade(self));
        }
        state.rest = None;
        self.arm(&mut state);
    }
}

impl State {
    fn is_busy(&mut self) -> bool {
        let now = Instant::now();
        self.last_turn.replace(now).is_some_and(|last| now.duration_since(last) < MOMENT)
    }

    /// Whether nothing is expected from the peer.
    fn may_rest(&self) -> bool {
        matches!(self.phase, Phase::Active)
            && self.armed.is_empty()
            && self.pending.is_empty()
            && self.outbox.is_empty()
            && self.writer == Writer::Idle
            && self.suspended == 0
            && self.nothing_came_in()
    }
}

fn end_later(core: Weak<Core>) {
    let end = move || {
        if let Some(core) = core.upgrade() {
            core.end_rest();
        }
    };
    timer::after(MOMENT, end).detach();
}
