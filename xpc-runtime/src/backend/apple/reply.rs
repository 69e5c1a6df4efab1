//! Where a reply arrives.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use super::lock;
use super::message::Message;
use crate::Error;

type Outcome = Result<Message, Error>;

/// Filled once, by libxpc's reply handler; emptied once, by the requester.
#[derive(Default)]
pub(super) struct Slot(Mutex<Content>);

#[derive(Default)]
struct Content {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
    /// Who gets the outcome where nobody polls for it.
    call: Option<Box<dyn FnOnce(Outcome) + Send>>,
}

impl Slot {
    /// One that calls somebody when it is filled.
    pub fn calling(call: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Self(Mutex::new(Content { call: Some(Box::new(call)), ..Content::default() }))
    }

    pub fn fill(&self, outcome: Outcome) {
        let mut content = lock(&self.0);
        if let Some(call) = content.call.take() {
            drop(content);
            return call(outcome);
        }
        content.outcome = Some(outcome);
        let waker = content.waker.take();
        drop(content);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, waker: &Waker) -> Poll<Outcome> {
        let mut content = lock(&self.0);
        match content.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                content.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    /// Waits until the deadline.
    pub fn wait(&self, deadline: Instant) -> Outcome {
        let waker = Waker::from(Arc::new(Parked(thread::current())));
        loop {
            if let Poll::Ready(outcome) = self.poll(&waker) {
                return outcome;
            }
            match deadline.saturating_duration_since(Instant::now()) {
                left if left.is_zero() => return Err(Error::TimedOut),
                left => thread::park_timeout(left),
            }
        }
    }
}

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub(crate) struct ReplyFuture {
    pub(super) slot: Arc<Slot>,
    /// A pending reply keeps its connection or session alive.
    pub(super) _owner: Arc<dyn Send + Sync>,
}

impl Future for ReplyFuture {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        self.slot.poll(context.waker())
    }
}
