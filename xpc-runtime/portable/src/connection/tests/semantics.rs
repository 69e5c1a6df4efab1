//! Suspension, barriers, budgets and contexts.

use std::sync::Arc;
use std::sync::mpsc::{TryRecvError, channel};
use std::task::{Context, Poll, Waker};

use super::*;
use crate::connection::{Budget, Inactive};

/// An accepted connection that may hold so much, and the other end of its socket.
fn with_budget(bytes: usize) -> (Connection, Receiver<Event>, OwnedFd) {
    let (mut inactive, peer) = inactive();
    inactive.set_budget(Budget { bytes, ..Budget::default() });
    let (sender, events) = channel();
    let connection = inactive.activate(Box::new(move |_, event| sender.send(event).unwrap_or_default()));
    (connection, events, peer)
}

fn inactive() -> (Inactive, OwnedFd) {
    let (peer, ours) = socket::connection_pair().unwrap();
    write(&peer, &hello());
    let inactive = Core::accept(ours).expect("a hello");
    assert_eq!(read(&peer, HELLO_BYTES), hello());
    (inactive, peer)
}

fn request(peer: &OwnedFd, number: u64) {
    write(peer, &frame::message(Kind::Request, number, &body(number)).unwrap().bytes);
}

fn reply(peer: &OwnedFd, number: u64) {
    write(peer, &frame::message(Kind::Reply, number, &body(number)).unwrap().bytes);
}

#[test]
fn a_suspended_connection_neither_sends_nor_delivers() {
    let (connection, events, peer) = accepted();
    let before = connection.send_with_reply(&body(0));
    let Frame::Request(number, _) = read_frame(&peer) else { panic!("not a request") };
    let (first, second) = (connection.suspend(), connection.suspend());
    connection.send(&body(1)).unwrap();
    let after = connection.send_with_reply(&body(2));
    reply(&peer, number);
    write(&peer, &frame::message(Kind::Message, 0, &body(3)).unwrap().bytes);
    assert!(sends_nothing(&connection, &peer));
    drop(second);
    assert!(sends_nothing(&connection, &peer), "one suspension is left");
    assert!(before.slot.take().is_none() && events.try_recv().is_err());
    drop(first);
    assert!(matches!(read_frame(&peer), Frame::Message(read) if read.to_dictionary() == body(1)));
    let Frame::Request(number, _) = read_frame(&peer) else { panic!("not a request") };
    reply(&peer, number);
    assert_eq!(message(&events).dictionary(), &body(3));
    assert!(before.slot.wait(None).unwrap().is_ok() && after.slot.wait(None).unwrap().is_ok());
}

#[test]
fn a_handler_can_suspend_its_own_connection_and_replies_wait_too() {
    let (inactive, peer) = inactive();
    let (sender, suspensions) = channel();
    let connection = inactive.activate(Box::new(move |connection, event| {
        if let Event::Message(message) = event {
            sender.send(connection.suspend()).unwrap();
            message.reply().unwrap().send(message.dictionary()).unwrap();
        }
    }));
    request(&peer, 1);
    request(&peer, 2);
    for number in [1, 2] {
        let suspension = suspensions.recv().unwrap();
        assert!(sends_nothing(&connection, &peer));
        assert!(suspensions.try_recv().is_err(), "the next request waits");
        drop(suspension);
        assert!(matches!(read_frame(&peer), Frame::Reply(read, _) if read == number));
    }
    drop(connection);
}

#[test]
fn a_blocking_caller_that_reads_does_not_deliver_to_a_suspended_connection() {
    let (connection, events, peer) = accepted();
    let (sender, results) = channel();
    let caller = thread::spawn({
        let connection = connection.clone();
        move || sender.send(connection.send_with_reply_blocking(&body(1), None)).unwrap()
    });
    let Frame::Request(number, _) = read_frame(&peer) else { panic!("not a request") };
    let suspension = connection.suspend();
    write(&peer, &frame::message(Kind::Message, 0, &body(9)).unwrap().bytes);
    reply(&peer, number);
    assert!(sends_nothing(&connection, &peer));
    assert!(matches!(results.try_recv(), Err(TryRecvError::Empty)) && events.try_recv().is_err());
    drop(suspension);
    assert_eq!(results.recv().unwrap().unwrap().dictionary(), &body(number));
    assert_eq!(message(&events).dictionary(), &body(9));
    caller.join().unwrap();
}

#[test]
fn a_suspended_connection_can_be_cancelled_and_dropped() {
    let (connection, events, peer) = accepted();
    let pending = connection.send_with_reply(&body(1));
    let suspension = connection.suspend();
    connection.cancel();
    assert!(matches!(connection.send(&body(2)), Err(Error::Invalid(_))));
    assert!(matches!(read_frame(&peer), Frame::Request(..)));
    settle(&connection);
    assert!(pending.slot.take().is_none() && events.try_recv().is_err(), "the outcome waits");
    drop(suspension);
    assert!(matches!(pending.slot.wait(None).unwrap().err(), Some(Error::Invalid(_))));
    assert!(matches!(next(&events), Event::Invalid(_)));
    assert!(events.recv().is_err(), "silence after the last event");
    // The suspension is the last clone.
    let (connection, _events, peer) = accepted();
    let suspension = connection.suspend();
    connection.send(&body(3)).unwrap();
    drop(connection);
    drop(suspension);
    assert!(matches!(read_frame(&peer), Frame::Message(read) if read.to_dictionary() == body(3)));
}

#[test]
fn the_end_of_the_peer_waits_for_a_suspended_connection() {
    let (connection, events, peer) = accepted();
    let suspension = connection.suspend();
    write(&peer, &frame::message(Kind::Message, 0, &body(1)).unwrap().bytes);
    drop(peer);
    settle(&connection);
    assert!(events.try_recv().is_err());
    drop(suspension);
    assert_eq!(message(&events).dictionary(), &body(1));
    assert!(matches!(next(&events), Event::Invalid(_)));
}

#[test]
fn a_barrier_runs_after_what_was_sent_before_and_holds_up_what_comes_after() {
    let (connection, _events, peer) = accepted();
    let large = body(1).with("data", vec![0_u8; 4 << 20]);
    connection.send(&large).unwrap();
    let (sender, ran) = channel();
    let (go_on, may_go_on) = channel::<()>();
    connection.send_barrier({
        let (connection, sender) = (connection.clone(), sender.clone());
        move || {
            sender.send(connection.send_with_reply_blocking(&body(0), None).err()).unwrap();
            may_go_on.recv().unwrap();
        }
    });
    connection.send(&body(2)).unwrap();
    assert!(ran.try_recv().is_err(), "the first message is larger than the socket");
    assert!(matches!(read_frame(&peer), Frame::Message(read) if read.to_dictionary() == large));
    assert_eq!(ran.recv().unwrap(), Some(Error::WouldDeadlock));
    assert!(sends_nothing(&connection, &peer), "nothing is sent while the barrier runs");
    go_on.send(()).unwrap();
    assert!(matches!(read_frame(&peer), Frame::Message(read) if read.to_dictionary() == body(2)));
    // Not before a suspended connection goes on.
    let suspension = connection.suspend();
    connection.send_barrier(move || sender.send(None).unwrap());
    assert!(sends_nothing(&connection, &peer) && ran.try_recv().is_err());
    drop(suspension);
    assert_eq!(ran.recv().unwrap(), None);
}

#[test]
fn a_barrier_does_not_wait_for_the_reply_of_a_blocking_caller() {
    let (connection, _events, peer) = accepted();
    let caller = thread::spawn({
        let connection = connection.clone();
        move || connection.send_with_reply_blocking(&body(1), None).is_ok()
    });
    let Frame::Request(number, _) = read_frame(&peer) else { panic!("not a request") };
    let (sender, ran) = channel();
    connection.send_barrier(move || sender.send(()).unwrap());
    ran.recv_timeout(FOR_EVER).unwrap();
    reply(&peer, number);
    assert!(caller.join().unwrap());
}

#[test]
fn barriers_run_when_their_connection_ends() {
    for peer_goes in [true, false] {
        let (connection, events, peer) = accepted();
        connection.send(&body(1).with("data", vec![0_u8; 4 << 20])).unwrap();
        let (sender, ran) = channel();
        for n in 0..3 {
            let sender = sender.clone();
            connection.send_barrier(move || sender.send(n).unwrap());
            connection.send(&body(2)).unwrap();
        }
        assert!(ran.try_recv().is_err());
        if peer_goes {
            drop(peer)
        } else {
            connection.cancel()
        }
        for n in 0..3 {
            assert_eq!(ran.recv_timeout(FOR_EVER), Ok(n));
        }
        assert!(matches!(next(&events), Event::Invalid(_)));
        connection.send_barrier(move || sender.send(9).unwrap());
        assert_eq!(ran.recv_timeout(FOR_EVER), Ok(9), "on an ended connection it runs at once");
    }
}

#[test]
fn a_barrier_delays_the_end_of_a_dropped_connection() {
    let (connection, _events, peer) = accepted();
    let suspension = connection.suspend();
    let (sender, ran) = channel();
    connection.send_barrier(move || sender.send(()).unwrap());
    connection.send(&body(1)).unwrap();
    drop((connection, suspension));
    ran.recv_timeout(FOR_EVER).unwrap();
    assert!(matches!(read_frame(&peer), Frame::Message(read) if read.to_dictionary() == body(1)));
}

#[test]
fn past_its_budget_a_connection_takes_no_more_and_loses_nothing() {
    let (connection, _events, peer) = with_budget(1 << 20);
    let large = |n| body(n).with("data", vec![0_u8; 1 << 16]);
    let mut sent = 0;
    let error = loop {
        match connection.send(&large(sent)) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Error::Full);
    assert!(sent >= 16, "{sent}");
    assert_eq!(connection.send_with_reply(&body(0)).slot.take().unwrap().err(), Some(Error::Full));
    let now = Some(Duration::ZERO);
    assert_eq!(connection.send_with_reply_blocking(&body(0), now).err(), Some(Error::TimedOut), "it never left");
    let mut ready = std::pin::pin!(connection.send_ready());
    let mut poll = || ready.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(poll(), Poll::Pending);
    let waiting = thread::spawn({
        let connection = connection.clone();
        move || connection.send_blocking(&body(sent))
    });
    for n in 0..sent {
        assert!(matches!(read_frame(&peer), Frame::Message(read) if read.to_dictionary() == large(n)));
    }
    assert_eq!(waiting.join().unwrap(), Ok(()));
    assert!(matches!(read_frame(&peer), Frame::Message(read) if read.to_dictionary() == body(sent)));
    assert_eq!(poll(), Poll::Ready(Ok(())));
}

#[test]
fn whoever_waits_for_room_hears_of_the_end() {
    let (connection, events, _peer) = with_budget(1);
    while connection.send(&body(0).with("data", vec![0_u8; 1 << 16])).is_ok() {}
    let waiting = thread::spawn({
        let connection = connection.clone();
        move || connection.send_blocking(&body(1))
    });
    // Whether it waits already or not: it must not wait for ever.
    connection.cancel();
    assert!(matches!(waiting.join().unwrap(), Err(Error::Invalid(_))));
    assert!(matches!(next(&events), Event::Invalid(_)));
}

#[test]
fn waiting_for_room_inside_the_own_handler_is_an_error() {
    let (mut inactive, peer) = inactive();
    inactive.set_budget(Budget { bytes: 1, ..Budget::default() });
    let (sender, results) = channel();
    let _connection = inactive.activate(Box::new(move |connection, event| {
        if let Event::Message(_) = event {
            sender.send(connection.send_blocking(&body(1))).unwrap();
            sender.send(connection.send_blocking(&body(2))).unwrap();
        }
    }));
    write(&peer, &frame::message(Kind::Message, 0, &body(0)).unwrap().bytes);
    assert_eq!(results.recv().unwrap(), Ok(()));
    assert_eq!(results.recv().unwrap(), Err(Error::WouldDeadlock));
}

#[test]
fn a_peer_that_takes_no_replies_gets_no_further_requests_handled() {
    let (mut inactive, peer) = inactive();
    inactive.set_budget(Budget { bytes: 1 << 20, ..Budget::default() });
    let (sender, handled) = channel();
    let connection = inactive.activate(Box::new(move |_, event| {
        if let Event::Message(message) = event {
            let n = message.dictionary().uint64("n").unwrap();
            sender.send(n).unwrap();
            if let Some(reply) = message.reply() {
                reply.send(&body(n).with("data", vec![0_u8; 1 << 16])).unwrap();
            }
        }
    }));
    for n in 0..100 {
        request(&peer, n);
    }
    // More than the socket and the budget hold has not been handled, and nobody else is held up.
    let before = handled.iter().take(16).count();
    settle(&connection);
    let before = before + handled.try_iter().count();
    assert!((16..80).contains(&before), "{before}");
    // It goes on as the peer takes its replies, and nothing is lost.
    for n in 0..100 {
        assert!(matches!(read_frame(&peer), Frame::Reply(number, _) if number == n));
    }
    drop(connection);
}

#[test]
fn a_context_goes_with_the_last_clone() {
    let (connection, _events, peer) = accepted();
    assert!(connection.context().is_none());
    let (first, second) = (Arc::new(1_u32), Arc::new("two"));
    connection.set_context(first.clone());
    let clone = connection.clone();
    assert_eq!(clone.context().and_then(|context| context.downcast::<u32>().ok()), Some(first.clone()));
    clone.set_context(second.clone());
    assert_eq!(Arc::strong_count(&first), 1, "it was replaced");
    drop((connection, clone));
    assert_eq!(Arc::strong_count(&second), 2, "an accepted connection keeps itself");
    let (ended, waits) = channel::<()>();
    let (connection, events, other) = accepted();
    connection.set_context(Arc::new(std::sync::Mutex::new(ended)));
    drop((connection, other));
    assert!(matches!(next(&events), Event::Invalid(_)));
    assert!(waits.recv().is_err(), "it went");
    drop(peer);
}
