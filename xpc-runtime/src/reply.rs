use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::error::neutral;
use crate::{Error, Message, backend};

/// The reply to a request, once it arrives. It keeps its connection or session alive; dropping it discards this reply
/// only.
#[must_use = "a dropped future discards the reply: use `send` for a message that needs none"]
pub struct ReplyFuture(backend::ReplyFuture);

impl ReplyFuture {
    pub(crate) fn new(future: backend::ReplyFuture) -> Self {
        Self(future)
    }

    /// The same for at most so long from now on: then the future is ready with [`Error::TimedOut`], and the reply, if it
    /// ever comes, is discarded. It needs no executor's timer.
    ///
    /// ```
    /// use std::time::Duration;
    /// use xpc_runtime::{Connection, Dictionary, Error};
    ///
    /// async fn greeting(greeter: &Connection) -> Result<String, Error> {
    ///     let request = Dictionary::new().with("name", "Rust");
    ///     let reply = greeter.send_with_reply(&request).with_timeout(Duration::from_secs(5)).await?;
    ///     Ok(reply.string("greeting")?.to_owned())
    /// }
    /// ```
    pub fn with_timeout(self, timeout: Duration) -> TimedReply {
        let clock = Arc::<Clock>::default();
        let rings = clock.clone();
        TimedReply { reply: self, clock, _timer: backend::after(timeout, move || rings.ring()) }
    }
}

impl Future for ReplyFuture {
    type Output = Result<Message, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|result| neutral(result).map(Message::new))
    }
}

/// A reply that is awaited for some time only; see [`ReplyFuture::with_timeout`].
#[must_use = "a dropped future discards the reply: use `send` for a message that needs none"]
pub struct TimedReply {
    reply: ReplyFuture,
    clock: Arc<Clock>,
    _timer: backend::Timer,
}

impl Future for TimedReply {
    type Output = Result<Message, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // What is there when the time is over is not late.
        if let Poll::Ready(reply) = Pin::new(&mut self.reply).poll(context) {
            return Poll::Ready(reply);
        }
        self.clock.poll(context.waker()).map(|()| Err(Error::TimedOut))
    }
}

#[derive(Default)]
struct Clock(Mutex<State>);

#[derive(Default)]
struct State {
    has_rung: bool,
    waker: Option<Waker>,
}

impl Clock {
    fn ring(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.has_rung = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, waker: &Waker) -> Poll<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.has_rung {
            return Poll::Ready(());
        }
        state.waker = Some(waker.clone());
        Poll::Pending
    }
}
