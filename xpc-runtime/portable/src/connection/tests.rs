//! Connections in one process: this side is the crate's, the other a bare socket that may say anything.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::net::RecvFlags;
use xpc_object::Dictionary;

use super::{Connection, Core, Event};
use crate::frame::{self, Frame, HELLO, HELLO_BYTES, Kind};
use crate::{Credentials, Error, Message, socket};

mod semantics;

/// Nothing here takes a second; whoever waits this long waits for ever.
const FOR_EVER: Duration = Duration::from_secs(60);

fn hello() -> Vec<u8> {
    frame::control(Kind::Hello, 0, &HELLO)
}

/// An accepted connection, its events, and the other end of its socket, on which the hellos have been exchanged.
fn accepted() -> (Connection, Receiver<Event>, OwnedFd) {
    let (peer, ours) = socket::connection_pair().unwrap();
    write(&peer, &hello());
    let (sender, events) = channel();
    let inactive = Core::accept(ours).expect("a hello");
    assert_eq!(
        inactive.credentials(),
        Some(Credentials {
            pid: std::process::id(),
            euid: rustix::process::geteuid().as_raw(),
            egid: rustix::process::getegid().as_raw()
        })
    );
    let connection = inactive.activate(Box::new(move |_, event| sender.send(event).unwrap_or_default()));
    assert_eq!(read(&peer, HELLO_BYTES), hello());
    (connection, events, peer)
}

fn write(socket: &OwnedFd, bytes: &[u8]) {
    assert_eq!(rustix::io::write(socket, bytes), Ok(bytes.len()));
}

fn read(socket: &OwnedFd, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length && socket::receive_more(socket, &mut bytes, RecvFlags::empty()) != Ok(0) {}
    bytes
}

fn read_frame(socket: &OwnedFd) -> Frame {
    let mut bytes = read(socket, frame::HEADER_BYTES);
    let total = frame::total_length(&bytes).unwrap().expect("a header");
    bytes.extend(read(socket, total - bytes.len()));
    frame::decode(&bytes.into()).unwrap()
}

fn next(events: &Receiver<Event>) -> Event {
    events.recv_timeout(FOR_EVER).expect("an event")
}

fn message(events: &Receiver<Event>) -> Message {
    match next(events) {
        Event::Message(message) => message,
        Event::Interrupted => panic!("interrupted"),
        Event::TerminationImminent => panic!("termination imminent"),
        Event::Invalid(reason) => panic!("{reason}"),
    }
}

fn body(n: u64) -> Dictionary {
    Dictionary::new().with("n", n)
}

#[test]
fn messages_arrive_in_any_fragments() {
    let (_connection, events, peer) = accepted();
    let mut stream = Vec::new();
    for n in 0..50 {
        stream.extend(frame::message(Kind::Message, 0, &body(n).with("data", vec![0_u8; 100 * n as usize])).unwrap());
    }
    for (index, chunk) in stream.chunks(777).enumerate() {
        write(&peer, chunk);
        if index == 3 {
            // Not because of a boundary: so that some reads end in the middle.
            assert_eq!(message(&events).dictionary().uint64("n"), Ok(0));
        }
    }
    for n in 1..50 {
        assert_eq!(message(&events).dictionary().uint64("n"), Ok(n));
    }
}

#[test]
fn requests_are_answered_by_number_in_any_order() {
    let (connection, events, peer) = accepted();
    for n in [7, u64::MAX] {
        write(&peer, &frame::message(Kind::Request, n, &body(n)).unwrap());
    }
    let (first, second) = (message(&events), message(&events));
    second.reply().unwrap().send(&body(2)).unwrap();
    assert!(second.reply().is_none(), "a reply is given once");
    drop(second);
    assert!(matches!(read_frame(&peer), Frame::Reply(u64::MAX, reply) if reply == body(2)));
    drop(first);
    assert!(matches!(read_frame(&peer), Frame::NoReply(7)));
    // The other way round.
    let futures = [connection.send_with_reply(&body(1)), connection.send_with_reply(&body(2))];
    let numbers = [(); 2].map(|()| match read_frame(&peer) {
        Frame::Request(number, _) => number,
        other => panic!("{other:?}"),
    });
    write(&peer, &frame::message(Kind::Reply, numbers[1], &body(20)).unwrap());
    write(&peer, &frame::control(Kind::NoReply, numbers[0], &[]));
    let [first, second] = futures.map(|future| future.slot.wait(None).unwrap());
    assert_eq!(first.err(), Some(Error::Interrupted));
    assert_eq!(second.unwrap().dictionary(), &body(20));
}

#[test]
fn replies_that_nobody_awaits_are_ignored() {
    let (connection, events, peer) = accepted();
    drop(connection.send_with_reply(&body(1)));
    let Frame::Request(number, _) = read_frame(&peer) else { panic!("not a request") };
    for number in [number, 99] {
        write(&peer, &frame::message(Kind::Reply, number, &body(1)).unwrap());
        write(&peer, &frame::control(Kind::NoReply, number, &[]));
    }
    write(&peer, &frame::message(Kind::Message, 0, &body(5)).unwrap());
    assert_eq!(message(&events).dictionary(), &body(5));
}

#[test]
fn a_peer_that_breaks_the_protocol_is_cut_off_and_nobody_else() {
    let (bystander, bystander_events, bystander_peer) = accepted();
    let mut wrong_version = frame::message(Kind::Message, 0, &body(1)).unwrap();
    wrong_version[frame::HEADER_BYTES + 4] = 6;
    for garbage in [
        vec![0xff; 64],
        hello(),
        frame::control(Kind::Refused, 0, b"no"),
        frame::control(Kind::Message, 0, b"garbage!"),
        wrong_version,
    ] {
        let (connection, events, peer) = accepted();
        let pending = connection.send_with_reply(&body(1));
        write(&peer, &garbage);
        assert!(matches!(next(&events), Event::Invalid(_)));
        assert!(events.recv().is_err(), "silence after the last event");
        assert!(matches!(pending.slot.wait(None).unwrap().err(), Some(Error::Invalid(_))));
        assert!(matches!(connection.send(&body(1)), Err(Error::Invalid(_))));
        // What was sent before is still there to read; then the stream ends.
        assert!(matches!(read_frame(&peer), Frame::Request(..)));
        assert!(read(&peer, 1).is_empty());
    }
    write(&bystander_peer, &frame::message(Kind::Message, 0, &body(3)).unwrap());
    assert_eq!(message(&bystander_events).dictionary(), &body(3));
    bystander.send(&body(4)).unwrap();
    assert!(matches!(read_frame(&bystander_peer), Frame::Message(read) if read == body(4)));
}

#[test]
fn whoever_does_not_say_hello_is_not_accepted() {
    for first in [&hello()[..5], &[0; HELLO_BYTES], &frame::control(Kind::Hello, 0, &[2, 0, 0, 0])] {
        let (peer, ours) = socket::connection_pair().unwrap();
        write(&peer, first);
        assert!(Core::accept(ours).is_none());
        assert!(read(&peer, 1).is_empty());
    }
    let (_silent, ours) = socket::connection_pair().unwrap();
    assert!(Core::accept(ours).is_none());
    // Without credentials nobody knows who it is.
    let (peer, ours) = socket::connection_pair().unwrap();
    socket::stop_credentials(&peer);
    socket::stop_credentials(&ours);
    write(&peer, &hello());
    assert!(Core::accept(ours).is_none());
}

#[test]
fn a_peer_that_never_reads_blocks_nobody() {
    let (connection, _events, peer) = accepted();
    // Far more than the socket holds.
    for n in 0..64 {
        connection.send(&body(n).with("data", vec![0_u8; 1 << 16])).unwrap();
    }
    let (other, events, other_peer) = accepted();
    let pending = other.send_with_reply(&body(1));
    let Frame::Request(number, _) = read_frame(&other_peer) else { panic!("not a request") };
    write(&other_peer, &frame::message(Kind::Reply, number, &body(2)).unwrap());
    assert!(pending.slot.wait(None).unwrap().is_ok());
    assert!(events.try_recv().is_err());
    // Nothing was lost, and the order is kept.
    for n in 0..64 {
        assert!(matches!(read_frame(&peer), Frame::Message(read) if read.uint64("n") == Ok(n)));
    }
}

#[test]
fn what_arrived_before_the_end_is_delivered() {
    let (_connection, events, peer) = accepted();
    for n in 0..100 {
        write(&peer, &frame::message(Kind::Message, 0, &body(n)).unwrap());
    }
    drop(peer);
    for n in 0..100 {
        assert_eq!(message(&events).dictionary(), &body(n));
    }
    assert!(matches!(next(&events), Event::Invalid(_)));
}

#[test]
fn an_accepted_connection_needs_no_handle() {
    let (connection, events, peer) = accepted();
    drop(connection);
    write(&peer, &frame::message(Kind::Message, 0, &body(1)).unwrap());
    assert_eq!(message(&events).dictionary(), &body(1));
}

#[test]
fn an_accepted_connection_that_is_dropped_inactive_is_rejected() {
    let (peer, ours) = socket::connection_pair().unwrap();
    write(&peer, &hello());
    drop(Core::accept(ours).unwrap());
    assert_eq!(read(&peer, HELLO_BYTES), hello());
    assert!(read(&peer, 1).is_empty());
}

#[test]
fn descriptors_that_nobody_asked_for_are_closed() {
    let (_connection, events, peer) = accepted();
    let (watched, sent) = socket::connection_pair().unwrap();
    socket::send_packet(
        &peer,
        &frame::message(Kind::Message, 0, &body(1)).unwrap(),
        Some(std::os::fd::AsFd::as_fd(&sent)),
    )
    .unwrap();
    drop(sent);
    assert_eq!(message(&events).dictionary(), &body(1));
    assert!(read(&watched, 1).is_empty(), "the last copy of the other end is closed");
}
