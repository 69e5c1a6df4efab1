//! How links and connections end.

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard};

use rustix::net::{Shutdown, shutdown};

use super::Event;
use super::core::{Core, Phase, State, Writer};
use super::reader::Reader;
use crate::reactor::{Source, reactor};
use crate::{Error, lock};

/// Why a link is over.
pub(crate) enum Outcome {
    /// The peer went away.
    Disconnected,
    /// The launcher has no such service.
    Refused(Arc<str>),
    /// This side cancelled.
    Cancelled,
}

impl Core {
    pub(super) fn end(self: &Arc<Self>, outcome: Outcome) {
        self.end_locked(lock(&self.state), outcome);
    }

    /// Ends the link: pending replies fail, the handler is told. A connection made by name survives a disconnection.
    pub(super) fn end_locked(self: &Arc<Self>, mut state: MutexGuard<'_, State>, outcome: Outcome) {
        if matches!(state.phase, Phase::Invalid(_)) {
            return;
        }
        let closing = matches!(state.phase, Phase::Closing);
        let cancelled = matches!(outcome, Outcome::Cancelled);
        let (error, event) = match outcome {
            Outcome::Disconnected if self.name.is_some() => (Error::Interrupted, Event::Interrupted),
            Outcome::Disconnected => invalid("the peer ended the connection".into()),
            Outcome::Refused(reason) => invalid(reason),
            Outcome::Cancelled => invalid("the connection was cancelled".into()),
        };
        if let Error::Invalid(reason) = &error {
            state.phase = Phase::Invalid(reason.clone());
        }
        // What was received before the end is still delivered, except after this side's own cancel or drop.
        let discards = closing || cancelled;
        let discarded = if discards { std::mem::take(&mut state.inbox) } else { VecDeque::new() };
        let pending = std::mem::take(&mut state.pending);
        let source = Self::unlink(&mut state);
        if !closing {
            state.inbox.push_back(event);
            if !state.attended {
                reactor().submit(self.clone());
            }
        }
        drop(state);
        for slot in pending.into_values() {
            slot.fill(Err(error.clone()));
        }
        // Messages reply when they are dropped, and sources hold this connection: not under the lock.
        drop((discarded, source));
        if !matches!(error, Error::Invalid(_)) {
            // The next link starts with an empty buffer. The attendant is this thread, or there is none.
            *lock(&self.reader) = Reader::default();
        }
    }

    /// Takes the socket out of the reactor and closes it as soon as no thread reads it.
    fn unlink(state: &mut State) -> Option<Source> {
        state.outbox.clear();
        state.sent = 0;
        if state.writer == Writer::Blocked {
            state.writer = Writer::Idle;
        }
        state.credentials = None;
        let link = state.link.take()?;
        let source = reactor().remove(link.token, &link.socket);
        // Wakes a caller that waits on it. What was sent before still arrives.
        let _ = shutdown(&link.socket, Shutdown::Both);
        source
    }

    pub(super) fn last_handle_dropped(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        if matches!(state.phase, Phase::Invalid(_)) {
            return;
        }
        state.phase = Phase::Closing;
        let unread = std::mem::take(&mut state.inbox);
        self.close_if_done(state);
        drop(unread);
    }

    /// For a connection without handles: ends it once nothing waits to be sent.
    pub(super) fn close_if_done(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.in_handler {
            // `serve` comes back here when the handler returns.
            return;
        }
        let done = state.outbox.is_empty() && state.writer != Writer::Busy;
        let source = if done { Self::unlink(&mut state) } else { None };
        if !done {
            self.arm(&state);
        }
        drop(state);
        if done && let Ok(mut handler) = self.handler.try_lock() {
            let handler = handler.take();
            drop(handler);
        }
        drop(source);
    }
}

pub(super) fn invalid(reason: Arc<str>) -> (Error, Event) {
    (Error::Invalid(reason.clone()), Event::Invalid(reason))
}
