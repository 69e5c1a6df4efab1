//! Connections in one process: this side is the crate's, the other a bare socket that may say anything.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use xpc_object::{Array, Dictionary, Fd, SharedMemory};

use super::core::{State, Writer};
use super::{Connection, Core, Event};
use crate::frame::{self, Frame, HELLO, HELLO_BYTES, Kind, Size};
use crate::{Credentials, Error, Message, PeerRequirement, lock, socket};

mod busy;
mod limits;
mod requirement;
mod semantics;
mod stall;

/// Nothing here takes a second; whoever waits this long waits for ever.
const FOR_EVER: Duration = Duration::from_secs(60);

/// A frame without descriptors.
fn encoded(kind: Kind, number: u64, message: &Dictionary) -> Result<Vec<u8>, Error> {
    frame::message(kind, number, message).map(|frame| frame.bytes)
}

fn hello() -> Vec<u8> {
    frame::control(Kind::Hello, 0, &HELLO)
}

/// An accepted connection, its events, and the other end of its socket, on which the hellos have been exchanged.
fn accepted() -> (Connection, Receiver<Event>, OwnedFd) {
    accepted_if(None)
}

/// The same, where the peer has to meet a requirement.
fn accepted_if(requirement: Option<&PeerRequirement>) -> (Connection, Receiver<Event>, OwnedFd) {
    let (peer, ours) = socket::connection_pair().unwrap();
    write(&peer, &hello());
    let (sender, events) = channel();
    let mut inactive = Core::accept(ours).expect("a hello");
    if let Some(requirement) = requirement {
        inactive.require_peer(requirement);
    }
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

/// The next frame, handled at once: as a receiver does, it gives credit for what needs some.
fn read_frame(socket: &OwnedFd) -> Frame {
    loop {
        let (frame, size) = read_without_credit(socket);
        if matches!(frame, Frame::Message(_) | Frame::Request(..)) {
            // Where the connection is over, nobody wants it.
            let _ = rustix::io::write(socket, &frame::credit(size));
        }
        if !matches!(frame, Frame::Credit(_)) {
            return frame;
        }
    }
}

fn read_without_credit(socket: &OwnedFd) -> (Frame, Size) {
    let mut bytes = read(socket, frame::HEADER_BYTES);
    let total = frame::total_length(&bytes).unwrap().expect("a header");
    bytes.extend(read(socket, total - bytes.len()));
    let size = Size::of(&bytes);
    (frame::decode(bytes.into(), Vec::new()).unwrap(), size)
}

/// Waits until the connection has done all that it does by itself, and does nothing more until something comes from
/// elsewhere: no thread is at it, none is on its way to it, and nothing has happened that one would come for.
fn settle(connection: &Connection) {
    settle_when(connection, |state| state.writer != Writer::Busy);
}

/// The same, where a test plays the thread that sends.
fn settle_but_for_its_writer(connection: &Connection) {
    settle_when(connection, |_| true);
}

fn settle_when(connection: &Connection, written: impl Fn(&State) -> bool) {
    let start = std::time::Instant::now();
    loop {
        let state = lock(&connection.0.core.state);
        let busy = state.attended || state.rest.is_some() || !written(&state);
        let kicked = state.is_wanted();
        let announced = state.link.as_ref().is_some_and(|link| {
            let mut events = PollFlags::empty();
            events.set(PollFlags::IN, state.armed.contains(EventFlags::IN));
            events.set(PollFlags::OUT, state.armed.contains(EventFlags::OUT));
            !events.is_empty() && poll(&mut [PollFd::new(&link.socket, events)], Some(&Timespec::default())) != Ok(0)
        });
        drop(state);
        if !busy && !kicked && !announced {
            return;
        }
        assert!(start.elapsed() < FOR_EVER, "attended or written {busy}, kicked {kicked}, announced {announced}");
        thread::yield_now();
    }
}

/// Whether the connection has sent nothing that was not read, and does not by itself.
fn sends_nothing(connection: &Connection, peer: &OwnedFd) -> bool {
    settle(connection);
    let mut byte = [0];
    socket::receive(peer, &mut byte, RecvFlags::DONTWAIT | RecvFlags::PEEK) == Err(Errno::AGAIN)
}

fn next(events: &Receiver<Event>) -> Event {
    events.recv_timeout(FOR_EVER).expect("an event")
}

fn message(events: &Receiver<Event>) -> Message {
    match next(events) {
        Event::Message(message) => message,
        Event::Interrupted => panic!("interrupted"),
        Event::TerminationImminent => panic!("termination imminent"),
        Event::PeerRejected(reason) | Event::Invalid(reason) => panic!("{reason}"),
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
        stream.extend(encoded(Kind::Message, 0, &body(n).with("data", vec![0_u8; 100 * n as usize])).unwrap());
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
        write(&peer, &encoded(Kind::Request, n, &body(n)).unwrap());
    }
    let (first, second) = (message(&events), message(&events));
    second.reply().unwrap().send(&body(2)).unwrap();
    assert!(second.reply().is_none(), "a reply is given once");
    drop(second);
    assert!(matches!(read_frame(&peer), Frame::Reply(u64::MAX, reply) if reply.to_dictionary() == body(2)));
    drop(first);
    assert!(matches!(read_frame(&peer), Frame::NoReply(7)));
    // The other way round.
    let futures = [connection.send_with_reply(&body(1)), connection.send_with_reply(&body(2))];
    let numbers = [(); 2].map(|()| match read_frame(&peer) {
        Frame::Request(number, _) => number,
        other => panic!("{other:?}"),
    });
    write(&peer, &encoded(Kind::Reply, numbers[1], &body(20)).unwrap());
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
        write(&peer, &encoded(Kind::Reply, number, &body(1)).unwrap());
        write(&peer, &frame::control(Kind::NoReply, number, &[]));
    }
    write(&peer, &encoded(Kind::Message, 0, &body(5)).unwrap());
    assert_eq!(message(&events).dictionary(), &body(5));
}

#[test]
fn a_peer_that_breaks_the_protocol_is_cut_off_and_nobody_else() {
    let (bystander, bystander_events, bystander_peer) = accepted();
    let mut wrong_version = encoded(Kind::Message, 0, &body(1)).unwrap();
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
    write(&bystander_peer, &encoded(Kind::Message, 0, &body(3)).unwrap());
    assert_eq!(message(&bystander_events).dictionary(), &body(3));
    bystander.send(&body(4)).unwrap();
    assert!(matches!(read_frame(&bystander_peer), Frame::Message(read) if read.to_dictionary() == body(4)));
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
    write(&other_peer, &encoded(Kind::Reply, number, &body(2)).unwrap());
    assert!(pending.slot.wait(None).unwrap().is_ok());
    assert!(events.try_recv().is_err());
    // Nothing was lost, and the order is kept.
    for n in 0..64 {
        assert!(matches!(read_frame(&peer), Frame::Message(read) if read.dictionary().uint64("n") == Ok(n)));
    }
}

#[test]
fn what_arrived_before_the_end_is_delivered() {
    let (_connection, events, peer) = accepted();
    for n in 0..100 {
        write(&peer, &encoded(Kind::Message, 0, &body(n)).unwrap());
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
    write(&peer, &encoded(Kind::Message, 0, &body(1)).unwrap());
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

/// A pipe: what stays open is seen at its reading end, which ends with the last copy of the other.
fn pipe() -> (std::io::PipeReader, Fd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader, OwnedFd::from(writer).into())
}

fn send_all(peer: &OwnedFd, mut frame: frame::Outgoing) {
    let mut sent = 0;
    while sent < frame.bytes.len() {
        match socket::send_frame(peer, &frame.bytes[sent..], &mut frame.descriptors) {
            Ok(more) => sent += more,
            Err(Errno::AGAIN) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(frame.descriptors.is_empty());
}

#[test]
fn descriptors_come_with_their_messages() {
    let (_connection, events, peer) = accepted();
    let (mut ends, messages): (Vec<_>, Vec<_>) = (0..700_u64)
        .map(|n| {
            let (reader, writer) = pipe();
            let memory = SharedMemory::new(10).unwrap();
            memory.map().unwrap().write(0, &[n as u8]).unwrap();
            (reader, body(n).with("list", Array::from([Dictionary::new().with("fd", writer).with("memory", memory)])))
        })
        .take(if rustix::process::getrlimit(rustix::process::Resource::Nofile).current.is_some_and(|n| n < 4096) {
            100
        } else {
            700
        })
        .unzip();
    for message in messages {
        send_all(&peer, frame::message(Kind::Message, 0, &message).unwrap());
    }
    for (n, end) in (0..).zip(&mut ends) {
        let received = message(&events);
        let value = received.dictionary().array("list").unwrap().dictionary(0).unwrap();
        assert_eq!(received.dictionary().uint64("n"), Ok(n));
        assert_eq!(value.shared_memory("memory").unwrap().map().unwrap().copy(0, 1).unwrap(), [n as u8]);
        let mut writer = std::fs::File::from(value.fd("fd").unwrap().try_clone_to_owned().unwrap());
        assert!(rustix::io::fcntl_getfd(&writer).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        std::io::Write::write_all(&mut writer, b"x").unwrap();
        drop((received, writer));
        let mut text = String::new();
        std::io::Read::read_to_string(end, &mut text).unwrap();
        assert_eq!(text, "x", "the last copy was closed with the message");
    }
}

#[test]
fn more_descriptors_than_one_call_takes_arrive_with_one_message() {
    let (connection, events, peer) = accepted();
    let (mut end, writer) = pipe();
    let list: Array = (0..600).map(|_| &writer).collect();
    send_all(&peer, frame::message(Kind::Message, 0, &body(1).with("list", list.clone())).unwrap());
    let received = message(&events);
    assert_eq!(received.dictionary().array("list").unwrap().len(), 600);
    // And the other way: refused by nobody, taken by a peer that asks for none, who does not hold it up.
    connection.send(&body(2).with("list", list.clone())).unwrap();
    assert!(read(&peer, 600).len() == 600);
    drop((received, list, writer, connection, peer));
    assert!(matches!(next(&events), Event::Invalid(_)));
    assert_eq!(std::io::read_to_string(&mut end).unwrap(), "");
}

#[test]
fn a_peer_that_sends_descriptors_unasked_or_too_few_is_cut_off_and_they_are_closed() {
    let (_bystander, bystander_events, bystander_peer) = accepted();
    fn plain() -> Vec<u8> {
        encoded(Kind::Message, 0, &body(1)).unwrap()
    }
    let with = |writer: &Fd| frame::message(Kind::Message, 0, &body(1).with("fd", writer)).unwrap();
    type Spoil = dyn Fn(&mut frame::Outgoing, Fd);
    let spoils: [(&str, &Spoil); 5] = [
        ("unasked", &|frame, writer| *frame = frame::Outgoing { bytes: plain(), descriptors: vec![writer] }),
        ("one more", &|frame, writer| frame.descriptors.push(writer)),
        ("none", &|frame, _| frame.descriptors.clear()),
        ("another number", &|frame, writer| {
            frame.bytes[6] = 2;
            frame.descriptors.push(writer);
        }),
        ("beyond the limit", &|frame, _| frame.bytes[7] = 0xff),
    ];
    for (what, spoil) in spoils {
        let (_connection, events, peer) = accepted();
        let (mut end, writer) = pipe();
        let mut frame = with(&writer);
        spoil(&mut frame, writer);
        send_all(&peer, frame);
        // A message that is whole in itself may come before.
        let last = events.iter().last();
        assert!(matches!(last, Some(Event::Invalid(_))), "{what}");
        assert_eq!(std::io::read_to_string(&mut end).unwrap(), "", "{what}");
    }
    write(&bystander_peer, &plain());
    assert_eq!(message(&bystander_events).dictionary(), &body(1));
}

#[test]
fn a_peer_that_could_truncate_shared_memory_is_cut_off() {
    let (_connection, events, peer) = accepted();
    let file = rustix::fs::memfd_create(c"test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&file, 10).unwrap();
    let mut frame = frame::message(Kind::Message, 0, &body(1).with("memory", SharedMemory::new(10).unwrap())).unwrap();
    frame.descriptors = vec![file.into()];
    send_all(&peer, frame);
    assert!(matches!(next(&events), Event::Invalid(_)));
}

#[test]
fn a_message_is_read_where_it_lies_until_all_of_it_is_asked_for() {
    let (_connection, events, peer) = accepted();
    let many: Dictionary = (0..17).map(|n: u64| (format!("key{n}"), n)).collect();
    write(&peer, &encoded(Kind::Message, 0, &body(7)).unwrap());
    write(&peer, &encoded(Kind::Message, 0, &many).unwrap());
    let few = message(&events);
    assert_eq!(few.view().unwrap().uint64("n"), Ok(7));
    assert_eq!(few.dictionary(), &body(7));
    assert!(few.view().is_none(), "values are there already");
    let received = message(&events);
    assert!(received.view().is_none(), "there are too many to look through them for each");
    assert_eq!(received.dictionary(), &many);
}
