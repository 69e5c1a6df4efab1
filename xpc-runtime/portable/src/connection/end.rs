//! How links and connections end.

use std::sync::{Arc, MutexGuard};

use rustix::event::epoll::EventFlags;
use rustix::net::{Shutdown, shutdown};

use super::Event;
use super::core::{Core, LISTENER_GONE, Origin, Phase, State, Writer};
use super::reader::Reader;
use super::suspension::Held;
use crate::reactor::{Source, reactor};
use crate::{Error, fork, lock};

/// Why a link is over.
pub(crate) enum Outcome {
    /// The peer went away.
    Disconnected,
    /// The launcher has no such service.
    Refused(Arc<str>),
    /// The peer of a session does not meet its requirement.
    Rejected(Arc<str>),
    /// No descriptor was free for what came.
    Starved,
    /// This side cancelled.
    Cancelled,
    /// The peer takes too little of what it asked for.
    Stalled,
}

impl Core {
    pub(super) fn end(self: &Arc<Self>, outcome: Outcome) {
        if fork::is_copy() {
            return;
        }
        self.end_locked(lock(&self.state), outcome);
    }

    /// The listener that accepted this connection ended.
    pub(crate) fn end_with_listener(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        if !matches!(state.phase, Phase::Inactive) {
            return self.end_locked(state, Outcome::Refused(LISTENER_GONE.into()));
        }
        // Whoever activates it learns it then.
        state.phase = Phase::Closing;
        let unlinked = Self::unlink(&mut state);
        drop(state);
        drop(unlinked);
    }

    /// Ends the link: pending replies fail, the handler is told. A connection made by name survives a
    /// disconnection, unless it is a session.
    pub(super) fn end_locked(self: &Arc<Self>, mut state: MutexGuard<'_, State>, outcome: Outcome) {
        if matches!(state.phase, Phase::Invalid(_)) {
            return;
        }
        let closing = matches!(state.phase, Phase::Closing);
        let cancelled = matches!(outcome, Outcome::Cancelled);
        let (error, event) = match outcome {
            Outcome::Disconnected | Outcome::Starved if matches!(&self.origin, Origin::Named(named) if !named.is_session) => {
                (Error::Interrupted, Event::Interrupted)
            }
            Outcome::Starved => {
                invalid("no descriptor was free for what came with a message: raise the limit (ulimit -n)".into())
            }
            Outcome::Disconnected => match &self.origin {
                Origin::Named(_) => invalid("the service ended, or ended the session".into()),
                Origin::Endpoint(_) | Origin::Accepted => invalid("the peer ended the connection".into()),
            },
            Outcome::Refused(reason) => invalid(reason),
            Outcome::Rejected(reason) => (Error::PeerRejected(reason.clone()), Event::Invalid(reason)),
            Outcome::Cancelled => invalid("the connection was cancelled".into()),
            Outcome::Stalled => invalid("the peer took too little of what waited for it, and was cut off".into()),
        };
        if let Error::Invalid(reason) | Error::PeerRejected(reason) = &error {
            state.phase = Phase::Invalid(reason.clone());
        }
        if cancelled && !closing {
            // Whoever cancels is told when it is done, also where that was the last use of the connection.
            state.keep = state.keep.take().or_else(|| state.handle.upgrade());
        }
        // What was received before the end is still delivered, except after this side's own cancel or drop.
        let discards = closing || cancelled;
        let discarded = if discards { state.inbox.take() } else { Vec::new() };
        let mut pending = std::mem::take(&mut state.pending);
        let unlinked = Self::unlink(&mut state);
        if !closing {
            state.inbox.push(event);
        }
        if state.suspended > 0 {
            let failed = pending.drain().map(|(_, slot)| Held::Failed(slot, error.clone()));
            state.held.extend(failed);
        }
        self.kick(&mut state);
        let state = self.flush(state);
        drop(state);
        for slot in pending.into_values() {
            slot.fill(Err(error.clone()));
        }
        // Messages reply when they are dropped, and sources hold this connection: not under the lock.
        drop((discarded, unlinked));
        if matches!(error, Error::Interrupted) {
            // The next link starts with an empty buffer. The attendant is this thread, or there is none.
            *lock(&self.reader) = Reader::default();
        }
    }

    /// Takes the socket out of the reactor and closes it as soon as no thread reads it. What is returned must not be
    /// dropped under the lock.
    fn unlink(state: &mut State) -> Option<(Option<Source>, Vec<Held>)> {
        state.outbox.discard_frames();
        state.inbox.unlink();
        if matches!(state.writer, Writer::Blocked | Writer::Later) {
            state.writer = Writer::Idle;
        }
        state.credentials = None;
        state.rejected = None;
        let link = state.link.take()?;
        (state.armed, state.lent) = (EventFlags::empty(), false);
        let held = state.held.extract_if(.., |held| matches!(held, Held::Batch(..))).collect();
        let source = reactor().remove(link.token, &link.socket);
        // Wakes a caller that waits on it. What was sent before still arrives.
        let _ = shutdown(&link.socket, Shutdown::Both);
        Some((source, held))
    }

    pub(super) fn last_handle_dropped(self: &Arc<Self>) {
        if fork::is_copy() {
            return;
        }
        let mut state = lock(&self.state);
        if matches!(state.phase, Phase::Invalid(_)) {
            return;
        }
        state.phase = Phase::Closing;
        let unread = state.inbox.take();
        self.close_if_done(state);
        drop(unread);
    }

    /// For a connection without handles: ends it once nothing waits to be sent.
    pub(super) fn close_if_done(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.in_handler || state.barred {
            // `serve`, or the barrier's job, comes back here when that returns.
            return;
        }
        let done = state.outbox.is_empty() && state.writer != Writer::Busy;
        let unlinked = if done { Self::unlink(&mut state) } else { None };
        if !done {
            self.arm(&mut state);
        }
        drop(state);
        if done && let Ok(mut handler) = self.handler.try_lock() {
            let handler = handler.take();
            drop(handler);
        }
        drop(unlinked);
    }
}

pub(super) fn invalid(reason: Arc<str>) -> (Error, Event) {
    (Error::Invalid(reason.clone()), Event::Invalid(reason))
}
