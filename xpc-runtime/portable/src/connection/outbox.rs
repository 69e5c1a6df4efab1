//! What waits to be sent, in order, and how much of it there may be.

use std::collections::VecDeque;
use std::task::Waker;

use crate::frame::{self, Outgoing};

/// How much may wait in one connection to be sent.
///
/// Past it [`Connection::send`](super::Connection::send) refuses. The message that goes past it is still taken, so that
/// one of any size can be sent. Replies are taken always, but a peer that leaves as much of them as this untaken gets no
/// further requests read. What waits to be handled needs no budget: no more is read before what one read brought has
/// been handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of encoded messages.
    pub bytes: usize,
}

impl Default for Budget {
    /// 64 MiB.
    fn default() -> Self {
        Self { bytes: 64 << 20 }
    }
}

pub(super) type Barrier = Box<dyn FnOnce() + Send>;

pub(super) enum Item {
    Frame(Outgoing),
    /// Runs when all before it has left.
    Barrier(Barrier),
}

#[derive(Default)]
pub(super) struct Outbox {
    items: VecDeque<Item>,
    /// How much of the first frame has left.
    pub sent: usize,
    /// Of all frames that have not left as a whole.
    bytes: usize,
    /// Of those of them that are replies.
    reply_bytes: usize,
    pub budget: Budget,
    /// Who waits for room.
    waiters: Vec<Waker>,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn has_frame(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Frame(_)))
    }

    /// Whether the budget is used up.
    pub fn is_full(&self) -> bool {
        self.bytes > 0 && self.bytes >= self.budget.bytes
    }

    /// Whether the peer takes its replies so slowly that it should get no further ones.
    pub fn replies_pile_up(&self) -> bool {
        self.reply_bytes > 0 && self.reply_bytes >= self.budget.bytes
    }

    pub fn push(&mut self, item: Item) {
        if let Item::Frame(frame) = &item {
            self.bytes += frame.bytes.len();
            if frame::is_reply(&frame.bytes) {
                self.reply_bytes += frame.bytes.len();
            }
        }
        self.items.push_back(item);
    }

    /// Takes the first item out. A frame goes on counting until [`left`](Self::left), or is [put
    /// back](Self::put_back).
    pub fn pop(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    pub fn put_back(&mut self, frame: Outgoing) {
        self.items.push_front(Item::Frame(frame));
    }

    /// The frame that was taken out last has left as a whole.
    pub fn left(&mut self, frame: &Outgoing) {
        self.sent = 0;
        self.bytes -= frame.bytes.len();
        if frame::is_reply(&frame.bytes) {
            self.reply_bytes -= frame.bytes.len();
        }
    }

    /// Drops all frames. Barriers stay: there is nothing left for them to wait for.
    pub fn discard_frames(&mut self) {
        self.items.retain(|item| matches!(item, Item::Barrier(_)));
        (self.sent, self.bytes, self.reply_bytes) = (0, 0, 0);
    }

    pub fn wait_for_room(&mut self, waker: &Waker) {
        if !self.waiters.iter().any(|waiter| waiter.will_wake(waker)) {
            self.waiters.push(waker.clone());
        }
    }

    /// Who is to be woken now: none while more than half of the budget is in use, so that a sender that waits gets
    /// some way with each waking.
    pub fn take_woken(&mut self) -> Vec<Waker> {
        if self.bytes > self.budget.bytes / 2 { Vec::new() } else { std::mem::take(&mut self.waiters) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Kind, control};

    fn outbox(bytes: usize) -> Outbox {
        Outbox { budget: Budget { bytes }, ..Outbox::default() }
    }

    fn pop(outbox: &mut Outbox) -> Outgoing {
        match outbox.pop() {
            Some(Item::Frame(frame)) => frame,
            _ => panic!("no frame"),
        }
    }

    #[test]
    fn the_message_that_exceeds_the_budget_is_the_last() {
        let mut outbox = outbox(0);
        assert!(!outbox.is_full(), "even with a budget of nothing one message can be sent");
        outbox.budget.bytes = 40;
        for full in [false, false, true] {
            assert!(!outbox.is_full());
            outbox.push(Item::Frame(control(Kind::Message, 0, &[]).into()));
            assert_eq!(outbox.is_full(), full);
        }
        let frame = pop(&mut outbox);
        assert!(outbox.is_full(), "it has not left yet");
        outbox.left(&frame);
        assert!(!outbox.is_full());
    }

    #[test]
    fn waiters_are_woken_once_half_is_free_and_replies_count_apart() {
        let mut outbox = outbox(32);
        outbox.wait_for_room(Waker::noop());
        outbox.push(Item::Frame(control(Kind::Message, 0, &[]).into()));
        outbox.push(Item::Frame(control(Kind::Message, 0, &[]).into()));
        assert!(outbox.is_full() && !outbox.replies_pile_up());
        outbox.push(Item::Frame(control(Kind::NoReply, 7, &[0; 16]).into()));
        assert!(outbox.replies_pile_up());
        for woken in [0, 0, 1] {
            let frame = pop(&mut outbox);
            outbox.left(&frame);
            assert_eq!(outbox.take_woken().len(), woken);
        }
        assert!(!outbox.replies_pile_up());
    }

    #[test]
    fn barriers_outlive_what_is_discarded() {
        let mut outbox = outbox(1);
        outbox.push(Item::Frame(control(Kind::Reply, 1, &[1, 2, 3]).into()));
        outbox.push(Item::Barrier(Box::new(|| {})));
        outbox.discard_frames();
        assert!(!outbox.is_full() && !outbox.has_frame() && !outbox.replies_pile_up());
        assert!(matches!(outbox.pop(), Some(Item::Barrier(_))));
        assert!(outbox.is_empty());
    }
}
