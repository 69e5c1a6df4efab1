//! What waits to be sent, and how much of it there may be.

use std::collections::VecDeque;
use std::task::Waker;

use super::inbox::{WINDOW, push};
use crate::frame::{self, Outgoing, Size};

/// How much may wait in one connection to be sent.
///
/// Past it [`Connection::send`](super::Connection::send) refuses. The message that goes past it is still taken, so that
/// one of any size can be sent. Replies are taken always, but a peer that leaves as much of them as this untaken gets no
/// further requests handled, and an accepted one that takes less than
/// [`STALL_BYTES`](crate::settings::STALL_BYTES) in [`STALL_TIMEOUT`](crate::settings::STALL_TIMEOUT) while the budget is
/// used up is cut off. What waits to be handled needs no budget: a peer sends about a mebibyte or 64 descriptors ahead of
/// what has been handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of encoded messages.
    pub bytes: usize,
    /// Descriptors in them; shared memory and an endpoint are one each.
    pub descriptors: usize,
}

impl Default for Budget {
    /// 64 MiB and 256 descriptors, a quarter of what a process may have open by default.
    fn default() -> Self {
        Self { bytes: 64 << 20, descriptors: 256 }
    }
}

impl Budget {
    fn is_used_up(self, used: Size) -> bool {
        (used.bytes > 0 && used.bytes >= self.bytes) || (used.descriptors > 0 && used.descriptors >= self.descriptors)
    }
}

pub(super) type Barrier = Box<dyn FnOnce() + Send>;

pub(super) enum Item {
    Frame(Outgoing),
    /// Runs when all before it has left.
    Barrier(Barrier),
}

/// Two queues, whose items leave in the order in which they came, whichever they are in, unless the peer gives no credit
/// for messages: then replies pass them.
pub(super) struct Outbox {
    /// A frame that has left in part, or for which the socket had no room.
    current: Option<Outgoing>,
    /// Messages, requests and barriers, each with its number in the order of all.
    messages: VecDeque<(u64, Item)>,
    /// What needs no credit.
    replies: VecDeque<(u64, Outgoing)>,
    next: u64,
    /// How much of the current frame has left.
    pub sent: usize,
    /// Of all frames that have not left as a whole.
    used: Size,
    /// Of those of them that are replies.
    reply_used: Size,
    /// How much may be sent ahead of what the peer has handled; the last message may go past it.
    credit: Credit,
    /// How much has left since the beginning, in bytes.
    pub taken: u64,
    pub budget: Budget,
    /// Who waits for room.
    waiters: Vec<Waker>,
}

/// A descriptor is worth as many bytes as there are to one in the window.
fn weight(size: Size) -> u64 {
    (size.bytes + size.descriptors * (WINDOW.bytes / WINDOW.descriptors)) as u64
}

struct Credit {
    bytes: i64,
    descriptors: i64,
}

impl Default for Credit {
    fn default() -> Self {
        Self { bytes: signed(WINDOW.bytes), descriptors: signed(WINDOW.descriptors) }
    }
}

impl Credit {
    fn allows(&self, size: Size) -> bool {
        self.bytes > 0 && (size.descriptors == 0 || self.descriptors > 0)
    }

    fn add(&mut self, size: Size) {
        self.bytes = self.bytes.saturating_add(signed(size.bytes));
        self.descriptors = self.descriptors.saturating_add(signed(size.descriptors));
    }

    fn subtract(&mut self, size: Size) {
        self.bytes = self.bytes.saturating_sub(signed(size.bytes));
        self.descriptors = self.descriptors.saturating_sub(signed(size.descriptors));
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            current: None,
            messages: VecDeque::new(),
            replies: VecDeque::new(),
            // Before it there is room for what goes first.
            next: 1,
            sent: 0,
            used: Size::default(),
            reply_used: Size::default(),
            credit: Credit::default(),
            taken: 0,
            budget: Budget::default(),
            waiters: Vec::new(),
        }
    }
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.current.is_none() && self.messages.is_empty() && self.replies.is_empty()
    }

    pub fn has_frame(&self) -> bool {
        self.used != Size::default()
    }

    #[cfg(test)]
    pub fn used(&self) -> Size {
        self.used
    }

    /// Whether the budget is used up.
    pub fn is_full(&self) -> bool {
        self.budget.is_used_up(self.used)
    }

    /// Whether the peer takes its replies so slowly that it should get no further ones.
    pub fn replies_pile_up(&self) -> bool {
        self.budget.is_used_up(self.reply_used)
    }

    /// Whether the peer holds somebody up: whoever waits for room does so until half of the budget is free.
    pub fn is_pressed(&self) -> bool {
        self.is_full() || !self.waiters.is_empty()
    }

    /// So much has left now.
    pub fn took(&mut self, size: Size) {
        self.taken += weight(size);
    }

    /// How much has not left, in the same measure.
    pub fn untaken(&self) -> u64 {
        weight(self.used).saturating_sub(self.sent as u64)
    }

    pub fn push(&mut self, item: Item) {
        let order = self.next;
        self.next += 1;
        match item {
            Item::Frame(frame) if !frame::needs_credit(&frame.bytes) => {
                self.count(&frame);
                push(&mut self.replies, (order, frame));
            }
            Item::Frame(frame) => {
                self.count(&frame);
                push(&mut self.messages, (order, Item::Frame(frame)));
            }
            Item::Barrier(barrier) => push(&mut self.messages, (order, Item::Barrier(barrier))),
        }
    }

    /// What the peer waits for while it may send nothing: before everything else.
    pub fn push_credit(&mut self, size: Size) {
        let frame = Outgoing::from(frame::credit(size));
        self.count(&frame);
        self.replies.push_front((0, frame));
    }

    fn count(&mut self, frame: &Outgoing) {
        let size = Size::of(&frame.bytes);
        self.used += size;
        if frame::is_reply(&frame.bytes) {
            self.reply_used += size;
        }
    }

    /// The peer has handled so much.
    pub fn give_credit(&mut self, size: Size) {
        self.credit.add(size);
    }

    /// Takes the next item out; none while what is left needs credit. A frame goes on counting until
    /// [`left`](Self::left), or is [put back](Self::put_back).
    pub fn pop(&mut self) -> Option<Item> {
        if let Some(frame) = self.current.take() {
            return Some(Item::Frame(frame));
        }
        let reply = self.replies.front().map(|(order, _)| *order);
        let message = self.messages.front().filter(|(_, item)| match item {
            Item::Frame(frame) => self.credit.allows(Size::of(&frame.bytes)),
            Item::Barrier(_) => true,
        });
        if message.is_none_or(|(order, _)| reply.is_some_and(|reply| reply < *order)) {
            return self.replies.pop_front().map(|(_, frame)| Item::Frame(frame));
        }
        let (_, item) = self.messages.pop_front()?;
        if let Item::Frame(frame) = &item {
            self.credit.subtract(Size::of(&frame.bytes));
        }
        Some(item)
    }

    pub fn put_back(&mut self, frame: Outgoing) {
        self.current = Some(frame);
    }

    /// The frame that was taken out last has left as a whole.
    pub fn left(&mut self, frame: &Outgoing) {
        self.sent = 0;
        let size = Size::of(&frame.bytes);
        self.used -= size;
        if frame::is_reply(&frame.bytes) {
            self.reply_used -= size;
        }
    }

    /// Drops all frames; the next link begins with a full window. Barriers stay: there is nothing left for them to wait
    /// for.
    pub fn discard_frames(&mut self) {
        self.current = None;
        self.replies.clear();
        self.messages.retain(|(_, item)| matches!(item, Item::Barrier(_)));
        (self.sent, self.used, self.reply_used) = Default::default();
        self.credit = Credit::default();
    }

    pub fn wait_for_room(&mut self, waker: &Waker) {
        if !self.waiters.iter().any(|waiter| waiter.will_wake(waker)) {
            self.waiters.push(waker.clone());
        }
    }

    /// Who is to be woken now: none while more than half of the budget is in use, so that a sender that waits gets
    /// some way with each waking.
    pub fn take_woken(&mut self) -> Vec<Waker> {
        let Budget { bytes, descriptors } = self.budget;
        if self.used.bytes > bytes / 2 || self.used.descriptors > descriptors / 2 {
            return Vec::new();
        }
        std::mem::take(&mut self.waiters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Kind, control};

    fn outbox(bytes: usize) -> Outbox {
        Outbox { budget: Budget { bytes, ..Budget::default() }, ..Outbox::default() }
    }

    fn push(outbox: &mut Outbox, kind: Kind, number: u64) {
        outbox.push(Item::Frame(control(kind, number, &[]).into()));
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
            push(&mut outbox, Kind::Message, 0);
            assert_eq!(outbox.is_full(), full);
        }
        let frame = pop(&mut outbox);
        assert!(outbox.is_full(), "it has not left yet");
        outbox.left(&frame);
        assert!(!outbox.is_full());
    }

    #[test]
    fn descriptors_have_a_budget_too() {
        let mut outbox = outbox(1 << 20);
        outbox.budget.descriptors = 2;
        let mut frame = control(Kind::Message, 0, &[]);
        frame[6] = 2;
        outbox.push(Item::Frame(frame.into()));
        assert!(outbox.is_full());
        outbox.wait_for_room(Waker::noop());
        assert!(outbox.take_woken().is_empty());
        let frame = pop(&mut outbox);
        outbox.left(&frame);
        assert_eq!((outbox.is_full(), outbox.take_woken().len()), (false, 1));
    }

    #[test]
    fn waiters_are_woken_once_half_is_free_and_replies_count_apart() {
        let mut outbox = outbox(32);
        outbox.wait_for_room(Waker::noop());
        push(&mut outbox, Kind::Message, 0);
        push(&mut outbox, Kind::Message, 0);
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
    fn replies_pass_messages_only_where_those_wait_for_credit() {
        let mut outbox = outbox(1 << 30);
        push(&mut outbox, Kind::Message, 0);
        push(&mut outbox, Kind::NoReply, 1);
        outbox.push(Item::Frame(control(Kind::Request, 2, &vec![0; WINDOW.bytes]).into()));
        push(&mut outbox, Kind::Message, 3);
        push(&mut outbox, Kind::NoReply, 4);
        let numbers = |outbox: &mut Outbox| {
            std::iter::from_fn(|| outbox.pop())
                .map(|item| match item {
                    Item::Frame(frame) => frame.bytes[8],
                    Item::Barrier(_) => panic!("no barrier"),
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(numbers(&mut outbox), [0, 1, 2, 4]);
        outbox.push(Item::Barrier(Box::new(|| {})));
        assert!(outbox.pop().is_none(), "a barrier waits for what is before it");
        outbox.give_credit(Size { bytes: WINDOW.bytes, descriptors: 0 });
        outbox.push_credit(Size::default());
        assert!(!frame::needs_credit(&pop(&mut outbox).bytes), "credit goes first");
        assert_eq!(pop(&mut outbox).bytes[8], 3);
        assert!(matches!(outbox.pop(), Some(Item::Barrier(_))));
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
