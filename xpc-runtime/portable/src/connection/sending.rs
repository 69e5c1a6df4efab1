//! The way out: what is sent waits in the outbox until the socket takes it.

use std::sync::{Arc, MutexGuard};
use std::task::{Poll, Waker};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};

use super::core::{Core, Phase, State, Writer};
use super::outbox::{Barrier, Item};
use crate::error::is_transient;
use crate::frame::{self, Outgoing, Size};
use crate::reactor::{Job, reactor};
use crate::slot::{self, Slot};
use crate::{Error, fork, lock, settings, socket, timer};

impl Core {
    /// Queues a frame that awaits no reply.
    pub(super) fn push(self: &Arc<Self>, frame: Outgoing, patience: Patience) -> Result<(), Error> {
        let state = self.lock_for_sending(patience)?;
        self.enqueue(state, frame);
        Ok(())
    }

    /// Queues a reply, which belongs to the link that its request came over and to no later one.
    pub(crate) fn push_to_link(self: &Arc<Self>, token: u64, frame: Outgoing) {
        if fork::is_copy() {
            return;
        }
        let state = lock(&self.state);
        if state.link.as_ref().is_some_and(|link| link.token == token) {
            self.enqueue(state, frame);
        }
    }

    /// Queues a request; says its number, and whether the caller has got the attendant's role and must
    /// [`lead`](Self::lead).
    pub(super) fn push_request(
        self: &Arc<Self>,
        mut frame: Outgoing,
        slot: Arc<Slot>,
        awaiter: Awaiter,
        patience: Patience,
    ) -> Result<(u64, bool), Error> {
        let mut state = self.lock_for_sending(patience)?;
        let may_lead = !state.attended && state.suspended == 0 && state.nothing_came_in();
        let leads = may_lead && matches!(awaiter, Awaiter::Caller);
        match awaiter {
            Awaiter::Caller if leads => state.take_role(),
            Awaiter::Future => self.lend(&mut state),
            Awaiter::Caller | Awaiter::Handler => {}
        }
        // Before anything is sent: the reply is for this thread to read, or else for the reactor.
        self.arm(&mut state);
        state.last_number += 1;
        let number = state.last_number;
        state.pending.insert(number, slot);
        frame::set_number(&mut frame.bytes, number);
        self.enqueue(state, frame);
        Ok((number, leads))
    }

    pub(super) fn forget_request(&self, number: u64) {
        let forgotten = lock(&self.state).pending.remove(&number);
        drop(forgotten);
    }

    /// Queues something that runs once all that was queued before has left. It runs in any case.
    pub(super) fn push_barrier(self: &Arc<Self>, barrier: Barrier) {
        if fork::is_copy() {
            // Nothing that it would wait for is this process's.
            return barrier();
        }
        let mut state = lock(&self.state);
        state.outbox.push(Item::Barrier(barrier));
        drop(self.flush(state));
    }

    /// Whether a message could be queued now; if not, the waker is for when one can.
    pub(super) fn poll_room(self: &Arc<Self>, waker: &Waker) -> Poll<Result<(), Error>> {
        if fork::is_copy() {
            return Poll::Ready(Err(Error::Invalid(fork::REASON.into())));
        }
        let mut state = lock(&self.state);
        match &state.phase {
            Phase::Invalid(reason) => Poll::Ready(Err(Error::Invalid(reason.clone()))),
            _ if !state.outbox.is_full() => Poll::Ready(Ok(())),
            _ => {
                state.outbox.wait_for_room(waker);
                self.watch_for_stall(&mut state);
                Poll::Pending
            }
        }
    }

    /// The state of a connection that has room for one more message and, unless it is suspended, a link.
    fn lock_for_sending(self: &Arc<Self>, patience: Patience) -> Result<MutexGuard<'_, State>, Error> {
        if fork::is_copy() {
            return Err(Error::Invalid(fork::REASON.into()));
        }
        let mut state = lock(&self.state);
        loop {
            if let Phase::Invalid(reason) = &state.phase {
                return Err(Error::Invalid(reason.clone()));
            }
            if !state.outbox.is_full() {
                break;
            }
            drop(state);
            let Patience::Until(deadline) = patience else { return Err(Error::Full) };
            if self.runs_on_this_thread() {
                return Err(Error::WouldDeadlock);
            }
            slot::wait(deadline, |waker| self.poll_room(waker)).unwrap_or(Err(Error::TimedOut))?;
            state = lock(&self.state);
        }
        if state.suspended == 0 { self.connect(state) } else { Ok(state) }
    }

    fn enqueue(self: &Arc<Self>, mut state: MutexGuard<'_, State>, frame: Outgoing) {
        state.outbox.push(Item::Frame(frame));
        let mut state = self.flush(state);
        if !state.outbox.is_empty() {
            // What lets the rest leave comes over the socket, which may have rested.
            self.arm(&mut state);
        }
        if matches!(state.phase, Phase::Closing) {
            self.close_if_done(state);
        }
    }

    /// Sends what the socket takes. The lock is open while the kernel works: a reply may be read before the call that
    /// sent its request returns, and whoever reads it should not have to wait.
    pub(super) fn flush<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if state.writer != Writer::Idle {
            self.watch_for_stall(&mut state);
            return state;
        }
        while state.may_send() {
            // Frames without a link were queued while the connection was suspended, and there is none yet.
            if state.link.is_none() && state.outbox.has_frame() {
                break;
            }
            let mut frame = match state.outbox.pop() {
                None => break,
                Some(Item::Frame(frame)) => frame,
                Some(Item::Barrier(barrier)) => {
                    state.barred = true;
                    state.holds_itself_up();
                    self.submit_barrier(barrier);
                    break;
                }
            };
            let Some(link) = state.link.clone() else { break };
            state.writer = Writer::Busy;
            let (start, descriptors) = (state.outbox.sent, frame.descriptors.len());
            drop(state);
            let result = socket::send_frame(&link.socket, &frame.bytes[start..], &mut frame.descriptors);
            state = lock(&self.state);
            if state.link.as_ref().is_none_or(|current| current.token != link.token) {
                // The frame's link ended meanwhile; what is in the outbox now is for the next one.
                continue;
            }
            if let Ok(sent) = result {
                state.outbox.took(Size { bytes: sent, descriptors: descriptors - frame.descriptors.len() });
            }
            match result {
                Ok(sent) if start + sent == frame.bytes.len() => state.outbox.left(&frame),
                Ok(sent) => {
                    state.outbox.sent = start + sent;
                    state.outbox.put_back(frame);
                }
                Err(Errno::AGAIN) => {
                    state.outbox.put_back(frame);
                    state.writer = Writer::Blocked;
                    self.arm(&mut state);
                    return self.wake(state);
                }
                // Too many descriptors of this user's are on their way, or memory is short.
                Err(error) if is_transient(error) => {
                    state.outbox.put_back(frame);
                    state.writer = Writer::Later;
                    self.send_later(link.token);
                    return self.wake(state);
                }
                // The peer is gone: whoever reads the socket finds out, and says so.
                Err(_) => {
                    let _ = shutdown(&link.socket, Shutdown::Both);
                    state.outbox.discard_frames();
                }
            }
        }
        state.writer = Writer::Idle;
        self.wake(state)
    }

    fn send_later(self: &Arc<Self>, token: u64) {
        let core = self.clone();
        let send = move || {
            let mut state = lock(&core.state);
            if state.writer != Writer::Later || state.link.as_ref().is_none_or(|link| link.token != token) {
                return;
            }
            state.writer = Writer::Idle;
            let state = core.flush(state);
            if matches!(state.phase, Phase::Closing) {
                core.close_if_done(state);
            }
        };
        timer::after(settings::RETRY.get(), send).detach();
    }

    /// Tells those who wait for what has left: senders for room, and requests for their turn.
    fn wake<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.watch_for_stall(&mut state);
        // Whoever attended may be gone: it found replies piled up, which this thread was about to send.
        self.kick(&mut state);
        let woken = state.outbox.take_woken();
        if woken.is_empty() {
            return state;
        }
        drop(state);
        slot::wake_all(woken);
        lock(&self.state)
    }

    /// On a thread of its own choice: the attendant may be a caller that waits for a reply, which the barrier must not
    /// wait for.
    fn submit_barrier(self: &Arc<Self>, barrier: Barrier) {
        let core = self.clone();
        reactor().submit(Job::Run(Box::new(move || {
            core.running(barrier);
            let mut state = lock(&core.state);
            state.barred = false;
            state.may_go_on();
            let mut state = core.flush(state);
            core.arm(&mut state);
            if matches!(state.phase, Phase::Closing) {
                core.close_if_done(state);
            }
        })));
    }
}

/// Who waits for a reply.
#[derive(Clone, Copy)]
pub(super) enum Awaiter {
    /// The sending thread, which reads the socket itself where nobody else does.
    Caller,
    /// Whoever polls the future.
    Future,
    /// Nobody: it is called.
    Handler,
}

/// What a sender does when the outbox is full.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    None,
    /// Waits; without a deadline as long as it takes.
    Until(Option<Instant>),
}
