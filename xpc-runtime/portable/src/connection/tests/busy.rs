//! Connections in lively use, whose sockets the reactor does not watch.

use super::*;
use crate::connection::spin::Account;
use crate::reactor::reactor;
use crate::slot::{self, ReplyFuture};

/// Answers `requests` of them.
fn answer(peer: &OwnedFd, requests: u64) {
    for _ in 0..requests {
        let Frame::Request(number, body) = read_frame(peer) else { panic!("a request") };
        write(peer, &encoded(Kind::Reply, number, &body.to_dictionary()).unwrap());
    }
}

/// Calls until the socket rests.
fn call_until_it_rests(connection: &Connection, peer: &OwnedFd) {
    let start = std::time::Instant::now();
    while lock(&connection.0.core.state).rest.is_none() {
        assert!(start.elapsed() < FOR_EVER, "it never rests");
        thread::scope(|scope| {
            scope.spawn(|| answer(peer, 8));
            for n in 0..8 {
                let reply = connection.send_with_reply_blocking(&body(n), None).unwrap();
                assert_eq!(reply.dictionary(), &body(n));
            }
        });
    }
}

#[test]
fn what_comes_unasked_is_seen_though_the_socket_rests() {
    let (connection, events, peer) = accepted();
    call_until_it_rests(&connection, &peer);
    write(&peer, &encoded(Kind::Message, 0, &body(1)).unwrap());
    assert_eq!(message(&events).dictionary(), &body(1));

    call_until_it_rests(&connection, &peer);
    drop(peer);
    assert!(matches!(next(&events), Event::Invalid(_)));
}

#[test]
fn a_reply_that_nobody_leads_for_is_read_though_the_socket_rested() {
    let (connection, _events, peer) = accepted();
    call_until_it_rests(&connection, &peer);
    let pending = connection.send_with_reply(&body(1));
    answer(&peer, 1);
    assert_eq!(pending.slot.wait(None).unwrap().unwrap().dictionary(), &body(1));
}

/// Asks until a thread waits for this connection alone.
fn ask_until_it_stays(connection: &Connection, events: &Receiver<Event>, peer: &OwnedFd) {
    let start = std::time::Instant::now();
    let mut number = 0;
    loop {
        assert!(start.elapsed() < FOR_EVER, "nobody stays");
        number += 1;
        write(peer, &encoded(Kind::Request, number, &body(number)).unwrap());
        let request = message(events);
        request.reply().unwrap().send(&body(number)).unwrap();
        drop(request);
        assert!(matches!(read_frame(peer), Frame::Reply(..)));
        if reactor().stays() > 0 && lock(&connection.0.core.state).attended {
            return;
        }
    }
}

#[test]
fn a_connection_that_a_thread_waits_for_alone_can_be_cancelled() {
    let (connection, events, peer) = accepted();
    ask_until_it_stays(&connection, &events, &peer);
    connection.cancel();
    assert!(matches!(next(&events), Event::Invalid(_)));
    assert_eq!(read(&peer, 1), [], "its socket is closed");
}

#[test]
fn what_no_socket_announces_is_seen_though_a_thread_stays() {
    let (connection, events, peer) = accepted();
    ask_until_it_stays(&connection, &events, &peer);
    connection.0.core.termination_imminent();
    assert!(matches!(next(&events), Event::TerminationImminent));
}

#[test]
fn more_busy_connections_than_threads_may_stay() {
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                let (connection, events, peer) = accepted();
                for number in 1..200 {
                    write(&peer, &encoded(Kind::Request, number, &body(number)).unwrap());
                    message(&events).reply().unwrap().send(&body(number)).unwrap();
                    assert!(matches!(read_frame(&peer), Frame::Reply(it, _) if it == number));
                }
                drop(connection);
            });
        }
    });
    assert!(reactor().stays() <= 4);
}

/// A request whose reply nobody reads yet: whoever polls its future first is to look for it.
fn ask_until_it_is_lent(connection: &Connection, peer: &OwnedFd) -> (ReplyFuture, u64) {
    let start = std::time::Instant::now();
    loop {
        assert!(start.elapsed() < FOR_EVER, "it is never lent");
        lock(&connection.0.core.reader).spins = Account::open();
        let pending = connection.send_with_reply(&body(1));
        let lent = lock(&connection.0.core.state).lent;
        let Frame::Request(number, _) = read_frame(peer) else { panic!("a request") };
        // The clock may have come between, or this thread have been too late for the account.
        if lent && lock(&connection.0.core.state).lent {
            return (pending, number);
        }
        write(peer, &encoded(Kind::Reply, number, &body(1)).unwrap());
        assert!(pending.slot.wait(None).unwrap().is_ok());
    }
}

#[test]
fn a_reply_comes_though_its_future_is_not_polled_when_the_socket_was_left_to_it() {
    let (connection, _events, peer) = accepted();
    let (pending, number) = ask_until_it_is_lent(&connection, &peer);
    write(&peer, &encoded(Kind::Reply, number, &body(7)).unwrap());
    assert_eq!(pending.slot.wait(None).unwrap().unwrap().dictionary(), &body(7));
}

#[test]
fn a_reply_that_the_first_poll_does_not_find_wakes_whoever_polled() {
    let (connection, _events, peer) = accepted();
    let (pending, number) = ask_until_it_is_lent(&connection, &peer);
    let mut pending = Some(pending);
    let mut answered = false;
    let reply = slot::wait(None, |waker| {
        let mut future = std::pin::Pin::new(pending.as_mut().expect("until it is ready"));
        let polled = future.as_mut().poll(&mut std::task::Context::from_waker(waker));
        if !std::mem::replace(&mut answered, true) {
            assert!(polled.is_pending() && !lock(&connection.0.core.state).lent);
            write(&peer, &encoded(Kind::Reply, number, &body(7)).unwrap());
        }
        polled
    });
    assert_eq!(reply.unwrap().unwrap().dictionary(), &body(7));
}

#[test]
fn what_comes_unasked_is_seen_though_the_socket_was_left_to_a_future() {
    let (connection, events, peer) = accepted();
    let (pending, _) = ask_until_it_is_lent(&connection, &peer);
    drop(pending);
    write(&peer, &encoded(Kind::Message, 0, &body(3)).unwrap());
    assert_eq!(message(&events).dictionary(), &body(3));
    let (pending, _) = ask_until_it_is_lent(&connection, &peer);
    drop(peer);
    assert!(matches!(next(&events), Event::Invalid(_)));
    assert!(matches!(pending.slot.wait(None).unwrap(), Err(Error::Invalid(_))));
}

#[test]
fn a_caller_reads_what_was_left_to_a_future() {
    let (connection, _events, peer) = accepted();
    let (pending, first) = ask_until_it_is_lent(&connection, &peer);
    thread::scope(|scope| {
        scope.spawn(|| {
            let Frame::Request(second, _) = read_frame(&peer) else { panic!("a request") };
            write(&peer, &encoded(Kind::Reply, second, &body(2)).unwrap());
        });
        assert_eq!(connection.send_with_reply_blocking(&body(2), None).unwrap().dictionary(), &body(2));
    });
    assert!(!lock(&connection.0.core.state).lent);
    write(&peer, &encoded(Kind::Reply, first, &body(1)).unwrap());
    assert_eq!(pending.slot.wait(None).unwrap().unwrap().dictionary(), &body(1));
}
