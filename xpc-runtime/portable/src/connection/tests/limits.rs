//! How much waits where, and that nobody waits for ever because of it.

use std::sync::mpsc::Sender;
use std::time::Instant;

use super::*;
use crate::connection::inbox::WINDOW;
use crate::connection::{Budget, Handler, Inactive, Queue};
use crate::slot::{self, Slot};
use crate::{Listener, ReplyFuture};

/// Both ends of one connection, and what comes to the one that accepted it.
struct Pair {
    ours: Connection,
    theirs: Connection,
    their_events: Receiver<Event>,
    _listener: Listener,
}

impl Inactive {
    fn activate_within(mut self, budget: Budget, handler: Handler) -> Connection {
        self.set_budget(budget);
        self.activate(handler)
    }
}

impl Pair {
    fn new(budget: Budget) -> Self {
        let (sender, accepted) = channel();
        let listener = Listener::anonymous(move |peer| sender.send(peer).unwrap());
        let ours = Inactive::from_endpoint(&listener.endpoint()).activate_within(budget, Box::new(|_, _| {}));
        let (sender, their_events) = channel();
        let handler = Box::new(move |_: &Connection, event| sender.send(event).unwrap_or_default());
        let theirs = accepted.recv_timeout(FOR_EVER).unwrap().activate_within(budget, handler);
        Self { ours, theirs, their_events, _listener: listener }
    }
}

/// Sends until the budget is used up; says how much it took.
fn fill(connection: &Connection, message: impl Fn(u64) -> Dictionary) -> u64 {
    let mut sent = 0;
    loop {
        match connection.send(&message(sent)) {
            Ok(()) => {
                sent += 1;
                assert!(sent < 100_000, "nothing stops it");
            }
            Err(error) => {
                assert_eq!(error, Error::Full);
                settle(connection);
                // What has left meanwhile has made room.
                if lock(&connection.0.core.state).outbox.is_full() {
                    return sent;
                }
            }
        }
    }
}

fn used(connection: &Connection) -> Size {
    lock(&connection.0.core.state).outbox.used()
}

/// Requests as soon as there is room; none if the reply is here already, and not an error.
fn ask(connection: &Connection, message: &Dictionary) -> Option<ReplyFuture> {
    loop {
        let future = connection.send_with_reply(message);
        match future.slot.take() {
            None => return Some(future),
            Some(Ok(_)) => return None,
            Some(Err(error)) => assert_eq!(error, Error::Full),
        }
        let deadline = Some(Instant::now() + FOR_EVER);
        slot::wait(deadline, |waker| connection.0.core.poll_room(waker)).expect("room").unwrap();
    }
}

#[test]
fn past_its_budget_of_descriptors_a_connection_takes_no_more_and_loses_nothing() {
    let budget = Budget { descriptors: 8, ..Budget::default() };
    let pair = Pair::new(budget);
    let suspension = pair.theirs.suspend();
    let (mut end, writer) = pipe();
    let message = |n| body(n).with("fd", &writer);
    let sent = fill(&pair.ours, message);
    assert_eq!(used(&pair.ours).descriptors, budget.descriptors);
    assert_eq!(
        sent,
        (WINDOW.descriptors + budget.descriptors) as u64,
        "so many ahead of what is handled, and so many here"
    );
    assert_eq!(pair.ours.send(&body(sent)), Err(Error::Full), "one without descriptors would have to pass them");
    drop(suspension);
    for n in 0..sent {
        let received = super::message(&pair.their_events);
        assert_eq!(received.dictionary().uint64("n"), Ok(n));
        assert!(received.dictionary().fd("fd").is_ok());
    }
    assert_eq!(pair.ours.send(&body(sent)), Ok(()));
    assert_eq!(super::message(&pair.their_events).dictionary(), &body(sent));
    drop((pair, writer));
    assert_eq!(std::io::read_to_string(&mut end).unwrap(), "", "all were closed");
}

#[test]
fn what_is_sent_to_a_suspended_connection_stays_with_its_sender() {
    let budget = Budget { bytes: 1 << 20, descriptors: 16 };
    let pair = Pair::new(budget);
    let suspension = pair.theirs.suspend();
    let (_end, writer) = pipe();
    let message = |n: u64| match n % 1000 {
        0 => body(n).with("fd", &writer),
        _ => body(n).with("data", vec![0_u8; 4000]),
    };
    let sent = fill(&pair.ours, message);
    settle(&pair.theirs);
    {
        let state = lock(&pair.theirs.0.core.state);
        assert!(state.inbox.is_empty() && state.held.len() <= 1, "one read may have been under way");
    }
    let used = used(&pair.ours);
    assert!(used.bytes <= budget.bytes + 5000 && used.descriptors <= budget.descriptors + 1, "{used:?}");
    assert!(sent < 1000, "{sent}");
    drop(suspension);
    for n in 0..sent {
        assert_eq!(super::message(&pair.their_events).dictionary().uint64("n"), Ok(n));
    }
}

#[test]
fn whoever_sends_to_a_suspended_connection_without_regard_fills_its_own_socket() {
    let (connection, _events, peer) = accepted();
    let suspension = connection.suspend();
    let frame = encoded(Kind::Message, 0, &body(1).with("data", vec![0_u8; 1000])).unwrap();
    // Twice: what was read under way makes room once.
    for _ in 0..2 {
        while socket::send(&peer, &frame) == Ok(frame.len()) {}
        settle(&connection);
    }
    assert_eq!(socket::send(&peer, &frame), Err(Errno::AGAIN));
    let state = lock(&connection.0.core.state);
    assert!(state.inbox.is_empty() && state.held.len() <= 1);
    drop(state);
    drop((connection, peer, suspension));
}

#[test]
fn peers_that_flood_each_other_while_both_await_replies_get_them_all() {
    const REQUESTS: u64 = 1000;
    // Smaller than what is requested of either: both have far more to reply than they may hold.
    let budget = Budget { bytes: 64 << 10, ..Budget::default() };
    let handler = || -> Handler {
        let reply = Dictionary::new().with("data", vec![7_u8; 16 << 10]);
        Box::new(move |_, event| {
            if let Event::Message(message) = event {
                message.reply().expect("a request").send(&reply).unwrap();
            }
        })
    };
    let (sender, accepted) = channel();
    let listener = Listener::anonymous(move |peer| sender.send(peer).unwrap());
    let ends = [Inactive::from_endpoint(&listener.endpoint()).activate_within(budget, handler()), {
        accepted.recv_timeout(FOR_EVER).unwrap().activate_within(budget, handler())
    }];
    let floods = ends.map(|connection| {
        thread::spawn(move || {
            let message = |n| body(n).with("data", vec![1_u8; 2000]);
            let asked: Vec<_> = (0..REQUESTS).map(|n| ask(&connection, &message(n))).collect();
            let deadline = Some(Instant::now() + FOR_EVER);
            for future in asked.into_iter().flatten() {
                future.slot.wait(deadline).expect("in time").expect("a reply");
            }
            // And one that reads by itself, while the other side may still be at it.
            connection.send_with_reply_blocking(&body(0), Some(FOR_EVER)).unwrap();
            connection
        })
    });
    drop(floods.map(|flood| flood.join().unwrap()));
}

/// A connection whose peer has not taken more replies than it may leave, and so gets no further requests handled.
fn with_untaken_replies() -> (Connection, Receiver<u64>, OwnedFd) {
    let (peer, ours) = socket::connection_pair().unwrap();
    write(&peer, &hello());
    let mut inactive = Core::accept(ours).expect("a hello");
    inactive.set_budget(Budget { bytes: 1, ..Budget::default() });
    let (sender, handled) = channel();
    let connection = inactive.activate(Box::new(move |_, event| match event {
        Event::Message(message) => {
            sender.send(message.dictionary().uint64("n").unwrap()).unwrap_or_default();
            if let Some(reply) = message.reply() {
                reply.send(&body(0).with("data", vec![0_u8; 4 << 20])).unwrap();
            }
        }
        // Where the test is over, nobody listens.
        _ => sender.send(u64::MAX).unwrap_or_default(),
    }));
    assert_eq!(read(&peer, HELLO_BYTES), hello());
    write(&peer, &encoded(Kind::Request, 1, &body(1)).unwrap());
    assert_eq!(handled.recv_timeout(FOR_EVER), Ok(1));
    settle(&connection);
    (connection, handled, peer)
}

#[test]
fn replies_are_read_while_others_are_not_taken() {
    let (connection, handled, peer) = with_untaken_replies();
    write(&peer, &encoded(Kind::Message, 0, &body(2)).unwrap());
    // As if it had been requested before the budget was used up.
    let slot = Slot::new();
    lock(&connection.0.core.state).pending.insert(77, slot.clone());
    write(&peer, &encoded(Kind::Reply, 77, &body(4)).unwrap());
    let reply = slot.wait(Some(Instant::now() + FOR_EVER)).expect("in time").unwrap();
    assert_eq!(reply.dictionary(), &body(4));
    assert!(handled.try_recv().is_err(), "the message waits");
    assert!(matches!(read_frame(&peer), Frame::Reply(1, _)));
    assert_eq!(handled.recv_timeout(FOR_EVER), Ok(2));
}

#[test]
fn replies_that_another_thread_sends_hold_up_no_further_requests() {
    let (peer, ours) = socket::connection_pair().unwrap();
    write(&peer, &hello());
    let mut inactive = Core::accept(ours).expect("a hello");
    inactive.set_budget(Budget { bytes: 1, ..Budget::default() });
    let (sender, handled) = channel();
    let connection = inactive.activate(Box::new(move |_, event| {
        if let Event::Message(message) = event {
            sender.send(message.dictionary().uint64("n").unwrap()).unwrap_or_default();
            message.reply().expect("a request").send(&body(0)).unwrap();
        }
    }));
    assert_eq!(read(&peer, HELLO_BYTES), hello());
    // As if a thread were at it, which has not sent the reply that waits behind its own message yet.
    lock(&connection.0.core.state).writer = Writer::Busy;
    for n in [1, 2] {
        write(&peer, &encoded(Kind::Request, n, &body(n)).unwrap());
    }
    assert_eq!(handled.recv_timeout(FOR_EVER), Ok(1));
    settle_but_for_its_writer(&connection);
    let mut state = lock(&connection.0.core.state);
    state.writer = Writer::Idle;
    drop(connection.0.core.flush(state));
    assert!(matches!(read_frame(&peer), Frame::Reply(1, _)));
    assert_eq!(handled.recv_timeout(FOR_EVER), Ok(2), "nothing else comes that would have it handled");
}

#[test]
fn a_peer_that_sends_without_credit_is_cut_off() {
    let (_connection, handled, peer) = with_untaken_replies();
    let frame = encoded(Kind::Message, 0, &body(5).with("data", vec![0_u8; 60 << 10])).unwrap();
    let mut sent = 0;
    while rustix::io::write(&peer, &frame) == Ok(frame.len()) {
        sent += frame.len();
        assert!(sent < 4 * WINDOW.bytes, "nothing stops it");
    }
    assert!(sent >= WINDOW.bytes, "so much is admitted");
    assert_eq!(handled.iter().last(), Some(u64::MAX), "its end comes after what it may send");
}

/// A queue whose turn somebody else has, until what is returned beside it is dropped.
fn taken_queue() -> (Queue, Sender<()>) {
    let queue = Queue::serial("taken");
    let ((release, released), (begin, begun)) = (channel::<()>(), channel());
    queue.submit(move || {
        begin.send(()).unwrap();
        assert!(released.recv().is_err());
    });
    begun.recv_timeout(FOR_EVER).unwrap();
    (queue, release)
}

fn accepted_on(queue: &Queue) -> (Connection, Receiver<Event>, OwnedFd) {
    let (peer, ours) = socket::connection_pair().unwrap();
    write(&peer, &hello());
    let mut inactive = Core::accept(ours).expect("a hello");
    inactive.set_target_queue(queue);
    let (sender, events) = channel();
    let connection = inactive.activate(Box::new(move |_, event| sender.send(event).unwrap_or_default()));
    assert_eq!(read(&peer, HELLO_BYTES), hello());
    (connection, events, peer)
}

#[test]
fn replies_come_in_while_a_handler_waits_for_its_turn() {
    let (queue, release) = taken_queue();
    let (connection, events, peer) = accepted_on(&queue);
    write(&peer, &encoded(Kind::Message, 0, &body(1)).unwrap());
    settle(&connection);
    assert!(!lock(&connection.0.core.state).inbox.is_empty());
    let asking = thread::spawn({
        let connection = connection.clone();
        move || connection.send_with_reply_blocking(&body(2), Some(FOR_EVER))
    });
    let Frame::Request(number, _) = read_frame(&peer) else { panic!("not a request") };
    write(&peer, &encoded(Kind::Reply, number, &body(3)).unwrap());
    assert_eq!(asking.join().unwrap().unwrap().dictionary(), &body(3));
    assert!(events.try_recv().is_err(), "its turn has not come");
    drop(release);
    assert_eq!(message(&events).dictionary(), &body(1));
}

#[test]
fn a_connection_that_is_suspended_when_its_turn_comes_leaves_it_to_others() {
    let (queue, release) = taken_queue();
    let ((first, first_events, first_peer), (_second, second_events, second_peer)) =
        (accepted_on(&queue), accepted_on(&queue));
    write(&first_peer, &encoded(Kind::Message, 0, &body(1)).unwrap());
    settle(&first);
    let suspension = first.suspend();
    write(&second_peer, &encoded(Kind::Message, 0, &body(2)).unwrap());
    drop(release);
    assert_eq!(message(&second_events).dictionary(), &body(2));
    assert!(first_events.try_recv().is_err());
    drop(suspension);
    assert_eq!(message(&first_events).dictionary(), &body(1));
}

#[test]
fn what_waits_for_a_turn_stays_in_its_window() {
    let (queue, release) = taken_queue();
    let (sender, accepted) = channel();
    let listener = Listener::anonymous(move |peer| sender.send(peer).unwrap());
    let budget = Budget { bytes: 1 << 20, ..Budget::default() };
    let ours = Inactive::from_endpoint(&listener.endpoint()).activate_within(budget, Box::new(|_, _| {}));
    let mut inactive = accepted.recv_timeout(FOR_EVER).unwrap();
    inactive.set_target_queue(&queue);
    let (sender, events) = channel();
    let theirs = inactive.activate(Box::new(move |_, event| sender.send(event).unwrap_or_default()));
    let came_in = || {
        settle(&theirs);
        lock(&theirs.0.core.state).inbox.uncredited().bytes
    };
    let (start, mut sent) = (Instant::now(), 0);
    // What leaves makes room for more, as long as the window is open.
    while came_in() < WINDOW.bytes {
        assert!(start.elapsed() < FOR_EVER, "{sent}");
        sent += fill(&ours, |n| body(sent + n).with("data", vec![0_u8; 4000]));
    }
    settle(&ours);
    let came_in = came_in();
    assert!((WINDOW.bytes..WINDOW.bytes + 5000).contains(&came_in), "{came_in}");
    drop(release);
    for n in 0..sent {
        assert_eq!(message(&events).dictionary().uint64("n"), Ok(n));
    }
}
