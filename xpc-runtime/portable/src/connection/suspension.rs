//! Holding a connection up for a while.

use std::sync::Arc;

use super::Connection;
use super::core::{Core, Link};
use super::reader::Batch;
use crate::slot::Slot;
use crate::{Error, fork, lock};

/// As long as it lives, its connection sends nothing, reads nothing and calls no handler; replies, too, stay where they
/// are. Suspensions add up: the connection goes on when the last one is dropped. It counts as a clone of the connection,
/// which therefore cannot end by being dropped.
///
/// A handler that runs already is not interrupted. What else arrives, or is sent, waits. So does the outcome of a
/// cancellation.
#[must_use = "the connection goes on as soon as this is dropped"]
pub struct Suspension(Connection);

impl Suspension {
    pub(super) fn new(connection: Connection) -> Self {
        let mut state = lock(&connection.0.core.state);
        state.suspended += 1;
        state.holds_itself_up();
        drop(state);
        Self(connection)
    }
}

impl Drop for Suspension {
    fn drop(&mut self) {
        self.0.0.core.resume();
    }
}

/// What comes in while the connection is suspended, for the reading thread cannot be called back.
pub(super) enum Held {
    Batch(Arc<Link>, Batch),
    Failed(Arc<Slot>, Error),
}

impl Core {
    fn resume(self: &Arc<Self>) {
        if fork::is_copy() {
            return;
        }
        let mut state = lock(&self.state);
        state.suspended -= 1;
        if state.suspended > 0 {
            return;
        }
        state.may_go_on();
        if state.outbox.has_frame() {
            // Where that fails, the connection is over, and its handler has been told.
            let Ok(connected) = self.connect(state) else { return };
            state = connected;
        }
        let mut state = self.flush(state);
        self.kick(&mut state);
        self.arm(&mut state);
    }
}
