//! Connections whose handlers take turns.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::core::Core;
use crate::lock;
use crate::reactor::{Job, reactor};
use crate::transaction::Transaction;

/// Of the connections that share one, one handler runs at a time, in the order in which their events came up; so do
/// calls that were [submitted](Self::submit).
///
/// A connection whose handler waits for its turn reads nothing further meanwhile. No thread waits with it. Clones are
/// the same queue.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

struct Shared {
    label: Box<str>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Somebody's handler runs, or is about to.
    busy: bool,
    /// Calls, and attendants without a thread: each of these holds its connection's role.
    waiting: VecDeque<Turn>,
}

enum Turn {
    Connection {
        core: Arc<Core>,
        /// What was read must not be lost to an idle exit while it waits.
        transaction: Option<Transaction>,
    },
    Call(Call),
}

type Call = Box<dyn FnOnce() + Send>;

impl Queue {
    /// A queue of this name, which is for people to read.
    pub fn serial(label: &str) -> Self {
        Self(Arc::new(Shared { label: label.into(), state: Mutex::default() }))
    }

    /// The name.
    pub fn label(&self) -> &str {
        &self.0.label
    }

    pub(super) fn address(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }

    /// Whether the attendant of `core` may run its handler now, and must [`leave`](Self::leave) then. Otherwise it goes
    /// away with nothing touched: another thread attends the connection when its turn has come.
    pub(super) fn enter(&self, core: &Arc<Core>, transaction: &mut Option<Transaction>) -> bool {
        let mut state = lock(&self.0.state);
        if !std::mem::replace(&mut state.busy, true) {
            return true;
        }
        state.waiting.push_back(Turn::Connection { core: core.clone(), transaction: transaction.take() });
        false
    }

    /// The next one's turn.
    pub(super) fn leave(&self) {
        let mut state = lock(&self.0.state);
        let next = state.waiting.pop_front();
        state.busy = next.is_some();
        drop(state);
        match next {
            None => {}
            Some(Turn::Connection { core, transaction }) => {
                reactor().submit(Job::Run(Box::new(move || core.serve(transaction, true))));
            }
            Some(Turn::Call(call)) => self.run_later(call),
        }
    }

    /// Has this called when its turn has come; never inside this call. A panic in it aborts the process.
    pub fn submit(&self, call: impl FnOnce() + Send + 'static) {
        let call: Call = Box::new(call);
        let mut state = lock(&self.0.state);
        if std::mem::replace(&mut state.busy, true) {
            return state.waiting.push_back(Turn::Call(call));
        }
        drop(state);
        self.run_later(call);
    }

    /// It has its turn.
    fn run_later(&self, call: Call) {
        let queue = self.clone();
        reactor().submit(Job::Run(Box::new(move || {
            super::attendant::running(std::ptr::null(), queue.address(), call);
            queue.leave();
        })));
    }
}
