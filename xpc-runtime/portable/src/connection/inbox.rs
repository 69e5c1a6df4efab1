//! What waits for the handler, in order, and how much of it the peer may still send.
//!
//! Nobody stops reading a connection because too much came in: among what is not read could be the reply that somebody
//! waits for, on both sides. Instead a peer may send [`WINDOW`] of messages and requests and then, as they are handled,
//! as much again. Replies and what else ends something need no credit: this side asked for them.

use std::collections::VecDeque;

use super::Event;
use crate::frame::{Malformed, Size};

/// How much may wait at the receiver's. The message that goes past it may still be sent, so that one of any size can.
pub(super) const WINDOW: Size = Size { bytes: 1 << 20, descriptors: 64 };

#[derive(Default)]
pub(super) struct Inbox {
    items: VecDeque<Item>,
    /// What has come over the current link and has not been given credit for.
    uncredited: Size,
    /// What of that has been handled.
    handled: Size,
}

struct Item {
    event: Event,
    receipt: Receipt,
}

/// What is to be returned when an event has been handled.
#[derive(Default)]
pub(super) struct Receipt {
    size: Size,
    /// The link it came over.
    link: u64,
}

impl Inbox {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn front(&self) -> Option<&Event> {
        self.items.front().map(|item| &item.event)
    }

    /// Something that did not come from the peer.
    pub fn push(&mut self, event: Event) {
        self.push_admitted(event, Receipt::default());
    }

    /// A message or a request of the peer's is here.
    ///
    /// # Errors
    /// It had no credit left.
    pub fn admit(&mut self, size: Size, link: u64) -> Result<Receipt, Malformed> {
        let used_up = self.uncredited.bytes >= WINDOW.bytes
            || (size.descriptors > 0 && self.uncredited.descriptors >= WINDOW.descriptors);
        if used_up {
            return Err(Malformed);
        }
        self.uncredited += size;
        Ok(Receipt { size, link })
    }

    pub fn push_admitted(&mut self, event: Event, receipt: Receipt) {
        push(&mut self.items, Item { event, receipt });
    }

    pub fn pop(&mut self) -> Option<(Event, Receipt)> {
        self.items.pop_front().map(|item| (item.event, item.receipt))
    }

    /// Something has been handled that came over `link`, the current one; says how much credit the peer is to be given
    /// now.
    pub fn handled(&mut self, receipt: &Receipt, link: u64) -> Option<Size> {
        if receipt.link != link {
            return None;
        }
        self.handled += receipt.size;
        let due = 2 * self.handled.bytes >= WINDOW.bytes || 2 * self.handled.descriptors >= WINDOW.descriptors;
        due.then(|| {
            let credit = std::mem::take(&mut self.handled);
            self.uncredited -= credit;
            credit
        })
    }

    #[cfg(test)]
    pub fn uncredited(&self) -> Size {
        self.uncredited
    }

    /// The link is over: the next one begins with a full window. What has come stays.
    pub fn unlink(&mut self) {
        (self.uncredited, self.handled) = Default::default();
    }

    /// Takes out all that waits.
    pub fn take(&mut self) -> Vec<Event> {
        self.items.drain(..).map(|item| item.event).collect()
    }
}

/// Most connections have one thing at a time; the room for the four that a queue begins with is most of what an idle one
/// would take.
pub(super) fn push<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.capacity() == 0 {
        queue.reserve_exact(1);
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_gets_credit_for_what_was_handled_and_none_for_another_link() {
        let mut inbox = Inbox::default();
        let half = Size { bytes: WINDOW.bytes / 2, descriptors: 1 };
        let receipts = [inbox.admit(half, 1).unwrap(), inbox.admit(half, 1).unwrap()];
        assert!(inbox.admit(Size { bytes: 1, descriptors: 0 }, 1).is_err(), "the window is full");
        assert_eq!(inbox.handled(&receipts[0], 1), Some(half));
        let small = inbox.admit(Size { bytes: 1, descriptors: 0 }, 1).unwrap();
        assert_eq!(inbox.handled(&small, 1), None, "not worth a frame");
        inbox.unlink();
        assert_eq!(inbox.handled(&receipts[1], 2), None);
        let huge = Size { bytes: 10 * WINDOW.bytes, descriptors: 0 };
        let huge = inbox.admit(huge, 2).expect("a message of any size can be sent");
        assert_eq!(inbox.handled(&huge, 2), Some(Size { bytes: 10 * WINDOW.bytes, descriptors: 0 }));
    }

    #[test]
    fn descriptors_have_a_window_of_their_own() {
        let mut inbox = Inbox::default();
        let receipt = inbox.admit(Size { bytes: 100, descriptors: WINDOW.descriptors }, 1).unwrap();
        assert!(inbox.admit(Size { bytes: 100, descriptors: 1 }, 1).is_err());
        inbox.admit(Size { bytes: 100, descriptors: 0 }, 1).unwrap();
        assert_eq!(inbox.handled(&receipt, 1), Some(Size { bytes: 100, descriptors: WINDOW.descriptors }));
    }
}
