//! The attendant: the one thread that reads a connection's socket and runs its handler.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::core::{Core, Link, Named, Origin, Phase, Place, State, Turn, Writer};
use super::end::Outcome;
use super::reader::Batch;
use super::suspension::Held;
use super::{Connection, Event, Queue};
use crate::frame::{Frame, Malformed};
use crate::message::{Message, Reply};
use crate::slot::Slot;
use crate::testing::Faults;
use crate::transaction::Transaction;
use crate::{Error, lock};

/// How many handler calls and reads one connection gets before the thread looks at others.
const TURNS: usize = 64;

thread_local! {
    /// The connections whose handlers run on this thread, and their queues, by address.
    static RUNNING: RefCell<Vec<(*const Core, *const ())>> = const { RefCell::new(Vec::new()) };
}

impl Core {
    pub(super) fn runs_on_this_thread(&self) -> bool {
        RUNNING.with_borrow(|running| running.iter().any(|(core, _)| std::ptr::eq(*core, self)))
    }

    /// Whether what this connection receives may have to wait for a handler that runs on this thread.
    pub(super) fn waits_for_this_thread(&self) -> bool {
        self.runs_on_this_thread()
            || self.queue.get().is_some_and(|queue| {
                RUNNING.with_borrow(|running| running.iter().any(|(_, other)| *other == queue.address()))
            })
    }

    /// Calls what must not wait for this connection, which waits for its return.
    pub(super) fn running(&self, call: impl FnOnce()) {
        running(self, self.queue.get().map_or(std::ptr::null(), Queue::address), call);
    }

    /// The reactor's call: the socket of `token` can be written or read.
    pub(crate) fn ready(self: &Arc<Self>, token: u64, writable: bool, readable: bool) {
        let mut state = lock(&self.state);
        if state.link.as_ref().is_none_or(|link| link.token != token) {
            return;
        }
        state.armed = EventFlags::empty();
        if writable && state.writer == Writer::Blocked {
            state.writer = Writer::Idle;
            state = self.flush(state);
            if matches!(state.phase, Phase::Closing) {
                return self.close_if_done(state);
            }
        }
        // Where another thread attends, it arms the socket when it is done.
        if !state.attended {
            // Not so where it is suspended or held up, and only the end of the stream made it readable.
            if readable && state.may_read() {
                state.take_role();
                drop(state);
                self.serve();
            } else {
                self.arm(&mut state);
            }
        } else if state.writer == Writer::Blocked {
            self.arm(&mut state);
        }
    }

    /// The reactor's call: the inbox has something that no socket announced.
    pub(crate) fn attend(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.kicked = false;
        if state.attended {
            return;
        }
        if state.suspended > 0 {
            return self.give_up_turn(&mut state);
        }
        state.take_role();
        drop(state);
        self.serve();
    }

    /// The queue's call: the handler may run.
    pub(super) fn turn_has_come(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.turn = Turn::Here;
        // Whoever attends at the moment finds it, or calls another thread when it is done.
        if state.attended && state.is_deliverable() && state.suspended == 0 {
            return;
        }
        if state.attended || !state.is_wanted() {
            return self.give_up_turn(&mut state);
        }
        state.take_role();
        drop(state);
        self.serve();
    }

    /// The next connection's turn.
    fn give_up_turn(&self, state: &mut State) {
        if let (Turn::Here, Some(queue)) = (state.turn, self.queue.get()) {
            state.turn = Turn::None;
            queue.leave();
        }
    }

    /// Reads the socket and runs the handler until there is nothing left or others should have a turn. Needs the role
    /// and gives it back. Where the handler has to wait for those of other connections, it reads on meanwhile.
    fn serve(self: &Arc<Self>) {
        // From before the first read on: what is read must not be lost to an idle exit.
        let turn = Transaction::of_service();
        let mut drained = false;
        let mut is_busy = self.is_busy();
        let mut turns = 0;
        while turns < TURNS {
            turns += 1;
            let mut state = lock(&self.state);
            if state.suspended > 0 {
                break;
            }
            if !state.held.is_empty() {
                let held = std::mem::take(&mut state.held);
                drop(state);
                self.let_go(held);
                continue;
            }
            if let Some(queue) = self.queue.get()
                && state.turn == Turn::None
                && state.is_deliverable()
            {
                state.turn = if queue.enter(self) { Turn::Here } else { Turn::Waiting };
            }
            if state.turn != Turn::Waiting
                && state.is_deliverable()
                && let Some((event, receipt)) = state.inbox.pop()
            {
                state.in_handler = true;
                state.holds_itself_up();
                let connection = state.handle.upgrade();
                drop(state);
                self.dispatch(connection, event);
                let mut state = lock(&self.state);
                state.in_handler = false;
                state.may_go_on();
                state.was_handled(&receipt);
                self.give_up_turn(&mut state);
                drop(self.flush(state));
                continue;
            }
            let Some(link) = state.link.clone() else { break };
            if !state.may_read() {
                break;
            }
            drop(state);
            let stay = if drained && is_busy { self.stay() } else { None };
            if drained && stay.is_none() {
                break;
            }
            let soon = stay.as_ref().and_then(|_| self.read_soon(&link, None));
            let batch = soon.unwrap_or_else(|| {
                let flags = if stay.is_some() { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
                lock(&self.reader).read(&link.socket, flags)
            });
            drained = batch.drained;
            if stay.is_some() && batch.frames.is_empty() {
                // One more look at what the socket does not announce.
                is_busy = false;
            } else if stay.is_some() {
                // The others have had somebody who waits for them.
                turns = 0;
            }
            drop(stay);
            if !batch.frames.is_empty() {
                self.hold_up(None);
            }
            self.sort(&link, batch);
        }
        self.give_role_back();
        drop(turn);
    }

    /// A blocking caller's turn as the attendant: reads until its own reply is there, or something that a handler has
    /// to see.
    pub(super) fn lead(self: &Arc<Self>, slot: &Slot, deadline: Option<Instant>) {
        let turn = Transaction::of_service();
        loop {
            let state = lock(&self.state);
            let Some(link) = state.link.clone() else { break };
            if state.suspended > 0 || !state.nothing_came_in() || slot.is_filled() {
                break;
            }
            drop(state);
            let batch = match self.read_soon(&link, deadline) {
                Some(batch) => batch,
                // Where there is a deadline, what comes too late is left for the reactor.
                None if !wait_readable(&link.socket, deadline) => break,
                None if deadline.is_some() && !self.hold_up(deadline) => break,
                None => {
                    let flags = if deadline.is_some() { RecvFlags::DONTWAIT } else { RecvFlags::empty() };
                    lock(&self.reader).read(&link.socket, flags)
                }
            };
            if deadline.is_none() && !batch.frames.is_empty() {
                self.hold_up(None);
            }
            self.sort(&link, batch);
        }
        self.rest();
        drop(turn);
    }

    /// A future's first poll, if it has got the role for it: looks for its reply, which may come soon. Where it does not,
    /// the reactor watches for it.
    pub(super) fn look_for_reply(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        if !state.lent {
            return;
        }
        state.take_role();
        let link = state.link.clone();
        drop(state);
        let turn = Transaction::of_service();
        if let Some(link) = link
            && let Some(batch) = self.spin(&link)
        {
            self.sort(&link, batch);
        }
        self.rest();
        drop(turn);
    }

    /// Where a user's test asks for it.
    fn hold_up(&self, deadline: Option<Instant>) -> bool {
        self.faults.get().is_none_or(|faults| faults.delay(deadline))
    }

    pub(super) fn give_role_back(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.attended = false;
        if !(state.is_wanted() && state.is_deliverable()) {
            self.give_up_turn(&mut state);
        }
        self.kick(&mut state);
        if matches!(state.phase, Phase::Closing) {
            return self.close_if_done(state);
        }
        self.arm(&mut state);
    }

    /// What came in during a suspension takes its way, in order.
    fn let_go(self: &Arc<Self>, held: Vec<Held>) {
        for held in held {
            match held {
                Held::Batch(link, batch) => self.sort(&link, batch),
                Held::Failed(slot, error) => slot.fill(Err(error)),
            }
        }
    }

    /// Puts what was read where it belongs.
    fn sort(self: &Arc<Self>, link: &Arc<Link>, batch: Batch) {
        let faults = self.faults.get();
        let (mut filled, mut unwanted) = (Vec::new(), Vec::new());
        let (mut refused, mut ended, mut credited) = (None, batch.ended, false);
        // A connection that was accepted has had its peer compared.
        let greeted = batch.frames.iter().any(|(frame, _)| matches!(frame, Frame::Hello));
        let unfit = if greeted { self.check_peer(batch.credentials).err() } else { None };
        let mut state = lock(&self.state);
        // A link that was cancelled meanwhile has nothing more to say.
        if state.link.as_ref().is_none_or(|current| current.token != link.token) {
            return drop(state);
        }
        if state.suspended > 0 {
            return state.held.push(Held::Batch(link.clone(), batch));
        }
        for (frame, size) in batch.frames {
            let sender = state.credentials;
            let message = match frame {
                Frame::Message(message) => Message::new(message, None, sender),
                Frame::Request(number, message) => {
                    Message::new(message, Some(Reply::new(self.clone(), link.token, number)), sender)
                }
                Frame::Reply(number, _) if faults.is_some_and(Faults::drops_this_reply) => {
                    filled.extend(state.pending.remove(&number).map(|slot| (slot, Err(Error::Interrupted))));
                    continue;
                }
                Frame::Reply(number, message) => {
                    let result = match &state.rejected {
                        Some(reason) => Err(Error::PeerRejected(reason.clone())),
                        None => Ok(Message::new(message, None, sender)),
                    };
                    filled.extend(state.pending.remove(&number).map(|slot| (slot, result)));
                    continue;
                }
                Frame::NoReply(number) => {
                    filled.extend(state.pending.remove(&number).map(|slot| (slot, Err(Error::Interrupted))));
                    continue;
                }
                Frame::Credit(size) => {
                    state.outbox.give_credit(size);
                    credited = true;
                    continue;
                }
                Frame::Hello => {
                    state.credentials = batch.credentials;
                    if let Some(reason) = &unfit {
                        state.rejected = Some(reason.clone());
                        if !matches!(self.origin, Origin::Named(Named { is_session: true, .. })) {
                            state.inbox.push(Event::PeerRejected(reason.clone()));
                        }
                    }
                    if let Origin::Named(Named { place: Place::User(reached), .. }) = &self.origin {
                        reached.store(true, Ordering::Relaxed);
                    }
                    continue;
                }
                Frame::Refused(reason) => {
                    refused = Some(reason);
                    continue;
                }
            };
            match state.inbox.admit(size, link.token) {
                Ok(receipt) if state.rejected.is_some() || matches!(state.phase, Phase::Closing) => {
                    // Nobody is to hear it, or nobody is left.
                    state.was_handled(&receipt);
                    unwanted.push(message);
                }
                Ok(receipt) => state.inbox.push_admitted(Event::Message(message), receipt),
                Err(Malformed) => {
                    unwanted.push(message);
                    ended = true;
                    break;
                }
            }
        }
        let outcome = match (refused, unfit, &self.origin) {
            (Some(reason), ..) => Some(Outcome::Refused(reason)),
            // Another connection goes on: its service may be the right one the next time.
            (None, Some(reason), Origin::Named(Named { is_session: true, .. })) => Some(Outcome::Rejected(reason)),
            (None, ..) if batch.starved => Some(Outcome::Starved),
            (None, ..) => ended.then_some(Outcome::Disconnected),
        };
        match outcome {
            Some(outcome) => self.end_locked(state, outcome),
            None if credited || !unwanted.is_empty() => drop(self.flush(state)),
            None => drop(state),
        }
        // Waking runs an executor's code. If it panicked, this connection would never be attended again.
        let guard = AbortOnPanic;
        for (slot, result) in filled {
            slot.fill(result);
        }
        std::mem::forget(guard);
        // Their senders are told that they were dropped: not under the lock.
        drop(unwanted);
    }

    fn dispatch(self: &Arc<Self>, connection: Option<Connection>, event: Event) {
        // Without a handle nobody is left to be told; a dropped request interrupts its sender.
        let Some(connection) = connection else { return };
        let last = matches!(event, Event::Invalid(_));
        let mut handler = lock(&self.handler);
        if let Some(handle) = handler.as_mut() {
            self.running(|| handle(&connection, event));
        }
        if last {
            // Nothing follows: what the handler holds goes, perhaps this connection's own last handle.
            let handler = handler.take();
            let keep = lock(&self.state).keep.take();
            drop((handler, keep));
        }
    }
}

/// Calls what a connection, if there is one, and a queue wait for.
pub(super) fn running(core: *const Core, queue: *const (), call: impl FnOnce()) {
    RUNNING.with_borrow_mut(|running| running.push((core, queue)));
    call();
    RUNNING.with_borrow_mut(|running| running.pop());
}

/// Whether the socket can be read before the deadline; without one, the read itself waits.
fn wait_readable(socket: &OwnedFd, deadline: Option<Instant>) -> bool {
    let Some(deadline) = deadline else { return true };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(left) = Timespec::try_from(left) else { return true };
        match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&left)) {
            Ok(0) => return false,
            Err(Errno::INTR) => {}
            _ => return true,
        }
    }
}

/// A handler's panic was printed by the panic hook; nothing may run on as if the handler had returned.
pub(crate) struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        std::process::abort();
    }
}
