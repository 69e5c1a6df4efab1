//! Peers that take too little of what waits for them.
//!
//! What waits for a peer that reads slowly is bounded, by the budget. One that reads nothing at all, or now and then a
//! byte, would keep that much for as long as it lives, and as many connections as it makes: a service ends such a
//! connection. An app's connections to services are its own business: `Error::Full` says how it stands, and it may cancel
//! them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::{Core, Origin, State};
use super::end::Outcome;
use crate::settings::{STALL_BYTES, STALL_TIMEOUT};
use crate::{lock, settings, timer};

/// Somebody will look whether the peer has taken enough.
pub(super) struct Watch {
    /// Of which link.
    token: u64,
    /// How far the peer has to be when its time is over.
    due: u64,
    began: Instant,
    /// How much of the time since then this side has held itself up, which is not the peer's fault.
    held: Duration,
    /// Since when it does so now.
    held_since: Option<Instant>,
}

impl Watch {
    /// How much of its time the peer has had.
    fn passed(&self, now: Instant) -> Duration {
        let held = self.held_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        now.saturating_duration_since(self.began).saturating_sub(self.held + held)
    }
}

impl Core {
    /// Has somebody look, some time later, how much the peer has taken, where as much waits for it as may, or somebody
    /// waits for that to become less.
    pub(super) fn watch_for_stall(self: &Arc<Self>, state: &mut State) {
        if state.watch.is_some() || !matches!(self.origin, Origin::Accepted) || !state.outbox.is_pressed() {
            return;
        }
        let (Some(timeout), Some(link)) = (STALL_TIMEOUT.unless_zero(), &state.link) else { return };
        let due = state.outbox.taken + STALL_BYTES.min(state.outbox.untaken());
        let now = Instant::now();
        let held_since = if state.may_send() { None } else { Some(now) };
        state.watch = Some(Watch { token: link.token, due, began: now, held: Duration::ZERO, held_since });
        self.look_after(timeout);
    }

    fn look_after(self: &Arc<Self>, delay: Duration) {
        let core = Arc::downgrade(self);
        let look = move || {
            if let Some(core) = core.upgrade() {
                core.end_if_stalled(Instant::now());
            }
        };
        timer::after(delay, look).detach();
    }

    pub(super) fn end_if_stalled(self: &Arc<Self>, now: Instant) {
        let mut state = lock(&self.state);
        let (Some(watch), Some(timeout)) = (state.watch.take(), STALL_TIMEOUT.unless_zero()) else { return };
        let same_link = state.link.as_ref().is_some_and(|link| link.token == watch.token);
        if !same_link || !state.outbox.is_pressed() || state.outbox.taken >= watch.due {
            return self.watch_for_stall(&mut state);
        }
        let left = timeout.saturating_sub(watch.passed(now));
        if left.is_zero() {
            return self.end_locked(state, Outcome::Stalled);
        }
        state.watch = Some(watch);
        self.look_after(left.max(settings::RETRY.get()));
    }
}

impl State {
    /// From now on nothing is sent for a while.
    pub(super) fn holds_itself_up(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.held_since.get_or_insert_with(Instant::now);
        }
    }

    /// What held this side up is over, or one of several such things.
    pub(super) fn may_go_on(&mut self) {
        if self.may_send()
            && let Some(watch) = &mut self.watch
            && let Some(since) = watch.held_since.take()
        {
            watch.held += since.elapsed();
        }
    }
}
