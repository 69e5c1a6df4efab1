//! Connections whose handlers take turns.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};

use super::core::Core;
use crate::lock;
use crate::reactor::{Job, reactor};

/// Of the connections that share one, one handler runs at a time, in the order in which their events came up; so do
/// calls that were [submitted](Self::submit).
///
/// No thread waits with a connection whose handler waits for its turn: the connection is read on, so that replies are not
/// held up. Clones are the same queue.
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
    waiting: VecDeque<Turn>,
}

enum Turn {
    Connection(Arc<Core>),
    Call(Call),
}

type Call = Box<dyn FnOnce() + Send>;

impl Queue {
    /// A queue of this name, which is for people to read.
    pub fn serial(label: &str) -> Self {
        Self(Arc::new(Shared { label: label.into(), state: Mutex::default() }))
    }

    /// The process's own, which is no different from others.
    pub fn main() -> Self {
        static MAIN: OnceLock<Queue> = OnceLock::new();
        MAIN.get_or_init(|| Self::serial("main")).clone()
    }

    /// The name.
    pub fn label(&self) -> &str {
        &self.0.label
    }

    pub(super) fn address(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }

    /// Whether the handler of `core` may run now; then somebody must [`leave`](Self::leave). Otherwise the connection is
    /// told when its turn has come.
    pub(super) fn enter(&self, core: &Arc<Core>) -> bool {
        let mut state = lock(&self.0.state);
        if !std::mem::replace(&mut state.busy, true) {
            return true;
        }
        state.waiting.push_back(Turn::Connection(core.clone()));
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
            Some(Turn::Connection(core)) => reactor().submit(Job::Run(Box::new(move || core.turn_has_come()))),
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
