//! What waits to be told while messages are held, which libxpc knows nothing of.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::lock;
use super::queue::Queue;

pub(super) struct Inbox<T: Told> {
    waiting: VecDeque<T::Event>,
    held: bool,
    suspensions: usize,
    /// Somebody takes out what waits, or is about to: what comes now comes after it.
    draining: bool,
    /// As long as something waits: libxpc gives up the handler after its last event, which may be what waits.
    kept: Option<Arc<T>>,
}

impl<T: Told> Default for Inbox<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), held: false, suspensions: 0, draining: false, kept: None }
    }
}

impl<T: Told> Inbox<T> {
    fn is_shut(&self) -> bool {
        self.held || self.suspensions > 0
    }
}

/// Whoever owns the handlers of a connection or session.
pub(super) trait Told: Sized + Send + Sync + 'static {
    type Event: Send;

    fn inbox(&self) -> &Mutex<Inbox<Self>>;

    /// With whose handlers its own take turns.
    fn queue(&self) -> Option<Queue>;

    /// Calls the handler.
    fn tell(&self, event: Self::Event);

    /// Something has come: it is told now, or waits.
    fn arrive(self: &Arc<Self>, event: Self::Event) {
        let mut inbox = lock(self.inbox());
        if inbox.held || inbox.draining {
            inbox.waiting.push_back(event);
            inbox.kept.get_or_insert_with(|| self.clone());
        } else {
            drop(inbox);
            self.tell(event);
        }
    }

    /// Whether messages, and what comes after them, wait for the time being.
    fn hold(self: Arc<Self>, hold: bool) {
        lock(self.inbox()).held = hold;
        self.drain_later();
    }

    /// libxpc holds back what it has; this holds back what is here already.
    fn suspend(&self) {
        lock(self.inbox()).suspensions += 1;
    }

    fn resume(self: Arc<Self>) {
        lock(self.inbox()).suspensions -= 1;
        self.drain_later();
    }

    /// On the queue of the handlers, or one of its own: never inside the call that asks for it.
    fn drain_later(self: Arc<Self>) {
        let mut inbox = lock(self.inbox());
        if inbox.is_shut() || inbox.draining || inbox.waiting.is_empty() {
            return;
        }
        inbox.draining = true;
        drop(inbox);
        let queue = self.queue().unwrap_or_else(|| Queue::serial("xpc-runtime.messages"));
        queue.submit(move || self.drain());
    }

    fn drain(&self) {
        loop {
            let mut inbox = lock(self.inbox());
            let next = if inbox.is_shut() { None } else { inbox.waiting.pop_front() };
            inbox.draining = next.is_some();
            let kept = if inbox.waiting.is_empty() { inbox.kept.take() } else { None };
            drop(inbox);
            let Some(event) = next else { return };
            self.tell(event);
            drop(kept);
        }
    }
}
