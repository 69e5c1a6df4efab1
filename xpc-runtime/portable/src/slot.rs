//! Where a reply arrives.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use crate::connection::Connection;
use crate::{Error, Message, lock};

/// Filled once, by whoever reads the connection or ends it; emptied once, by the requester.
pub(crate) struct Slot(Mutex<Content>);

enum Content {
    Waiting(Option<Waker>),
    /// Instead of a requester that empties it.
    Called(Box<dyn FnOnce(Result<Message, Error>) + Send>),
    Filled(Result<Message, Error>),
    Emptied,
}

impl Slot {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Content::Waiting(None))))
    }

    /// A slot whose reply is for this. It is called where the slot is filled, and must not block.
    pub(crate) fn calling(call: impl FnOnce(Result<Message, Error>) + Send + 'static) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Content::Called(Box::new(call)))))
    }

    /// A slot for a request that failed before it left.
    pub(crate) fn failed(error: Error) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Content::Filled(Err(error)))))
    }

    /// Must not be called with a connection's lock held: waking runs an executor's code.
    pub(crate) fn fill(&self, result: Result<Message, Error>) {
        let mut content = lock(&self.0);
        match std::mem::replace(&mut *content, Content::Emptied) {
            Content::Waiting(waker) => {
                *content = Content::Filled(result);
                drop(content);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            Content::Called(call) => {
                drop(content);
                call(result);
            }
            filled @ (Content::Filled(_) | Content::Emptied) => *content = filled,
        }
    }

    /// The result, if it is there.
    pub(crate) fn take(&self) -> Option<Result<Message, Error>> {
        let mut content = lock(&self.0);
        match std::mem::replace(&mut *content, Content::Emptied) {
            Content::Filled(result) => Some(result),
            other => {
                *content = other;
                None
            }
        }
    }

    pub(crate) fn is_filled(&self) -> bool {
        matches!(*lock(&self.0), Content::Filled(_))
    }

    fn poll(&self, waker: &Waker) -> Poll<Result<Message, Error>> {
        let mut content = lock(&self.0);
        match std::mem::replace(&mut *content, Content::Emptied) {
            Content::Filled(result) => Poll::Ready(result),
            Content::Waiting(_) => {
                *content = Content::Waiting(Some(waker.clone()));
                Poll::Pending
            }
            Content::Called(_) | Content::Emptied => panic!("a reply future was polled after it had completed"),
        }
    }

    /// Waits for another thread to fill the slot; `None` once the deadline has passed.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Option<Result<Message, Error>> {
        wait(deadline, |waker| self.poll(waker))
    }
}

/// Blocks until `poll` is ready; `None` once the deadline has passed.
pub(crate) fn wait<T>(deadline: Option<Instant>, mut poll: impl FnMut(&Waker) -> Poll<T>) -> Option<T> {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    loop {
        if let Poll::Ready(result) = poll(&waker) {
            return Some(result);
        }
        match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            None => thread::park(),
            Some(left) if left.is_zero() => return None,
            Some(left) => thread::park_timeout(left),
        }
    }
}

pub(crate) fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The reply to a request, once it arrives. It keeps its connection alive; dropping it discards this reply only.
#[must_use = "a dropped reply future discards the reply: use `send` for a message without one"]
pub struct ReplyFuture {
    pub(crate) slot: Arc<Slot>,
    pub(crate) connection: Connection,
    pub(crate) number: u64,
}

impl Future for ReplyFuture {
    type Output = Result<Message, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.slot.is_filled() {
            self.connection.look_for_reply();
        }
        self.slot.poll(context.waker())
    }
}

impl Drop for ReplyFuture {
    fn drop(&mut self) {
        self.connection.forget_request(self.number);
    }
}
