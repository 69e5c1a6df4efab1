//! Peers that take nothing of what waits for them.
//!
//! What waits for a peer that reads slowly is bounded, by the budget. One that reads nothing at all would keep that much
//! for as long as it lives, and as many connections as it makes: a service ends such a connection. An app's connections
//! to services are its own business: `Error::Full` says how it stands, and it may cancel them.

use std::sync::Arc;

use super::core::{Core, Origin, State};
use super::end::Outcome;
use crate::settings::STALL_TIMEOUT;
use crate::{lock, timer};

impl Core {
    /// Has somebody look, some time later, whether the peer has taken anything, where as much waits for it as may, or
    /// somebody waits for that to become less.
    pub(super) fn watch_for_stall(self: &Arc<Self>, state: &mut State) {
        if state.stall_watched || !matches!(self.origin, Origin::Accepted) || !state.outbox.is_pressed() {
            return;
        }
        let (Some(timeout), Some(link)) = (STALL_TIMEOUT.unless_zero(), &state.link) else { return };
        let (core, token, progress) = (Arc::downgrade(self), link.token, state.outbox.progress);
        state.stall_watched = true;
        let look = move || {
            if let Some(core) = core.upgrade() {
                core.end_if_stalled(token, progress);
            }
        };
        timer::after(timeout, look).detach();
    }

    /// `progress` is how far the peer was some time ago.
    fn end_if_stalled(self: &Arc<Self>, token: u64, progress: u64) {
        let mut state = lock(&self.state);
        state.stall_watched = false;
        let same_link = state.link.as_ref().is_some_and(|link| link.token == token);
        // Where this side holds itself up, it is not the peer's fault.
        if same_link && state.outbox.is_pressed() && state.outbox.progress == progress && state.may_send() {
            return self.end_locked(state, Outcome::Stalled);
        }
        self.watch_for_stall(&mut state);
    }
}
