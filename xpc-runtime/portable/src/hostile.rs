//! Peers that say half of something, too much, nonsense, or nothing, on bare sockets: they harm themselves alone.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::net::RecvFlags;
use xpc_object::{Dictionary, limits};

use crate::connection::{Connection, Core, Event};
use crate::frame::{self, HEADER_BYTES, HELLO, HELLO_BYTES, Kind};
use crate::socket;

/// Nothing here takes a second; whoever waits this long waits for ever.
const FOR_EVER: Duration = Duration::from_secs(60);

struct Peer {
    connection: Connection,
    events: Receiver<Event>,
    socket: OwnedFd,
}

impl Peer {
    fn new() -> Self {
        let (socket, ours) = socket::connection_pair().unwrap();
        let hello = frame::control(Kind::Hello, 0, &HELLO);
        write(&socket, &hello);
        let (sender, events) = channel();
        let accepted = Core::accept(ours).expect("a hello");
        let connection = accepted.activate(Box::new(move |_, event| sender.send(event).unwrap_or_default()));
        assert_eq!(read(&socket, HELLO_BYTES), hello);
        Self { connection, events, socket }
    }

    /// A message from it, and one to it.
    fn expect_life(&self, n: u64) {
        let body = Dictionary::new().with("n", n);
        let frame = message(&body);
        write(&self.socket, &frame);
        let event = self.events.recv_timeout(FOR_EVER).expect("an event");
        assert!(matches!(event, Event::Message(message) if *message.dictionary() == body));
        self.connection.send(&body).unwrap();
        assert_eq!(read(&self.socket, frame.len()), frame);
    }

    /// Its one event is the last, and its stream ends.
    fn expect_cut_off(self) {
        assert!(matches!(self.events.recv_timeout(FOR_EVER), Ok(Event::Invalid(_))));
        assert!(self.events.recv().is_err(), "silence after the last event");
        assert!(self.connection.send(&Dictionary::new()).is_err());
        assert!(read(&self.socket, 1).is_empty());
    }
}

fn write(socket: &OwnedFd, bytes: &[u8]) {
    assert_eq!(rustix::io::write(socket, bytes), Ok(bytes.len()));
}

fn read(socket: &OwnedFd, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length && matches!(socket::receive_more(socket, &mut bytes, RecvFlags::empty()), Ok(1..)) {}
    bytes
}

fn message(body: &Dictionary) -> Vec<u8> {
    frame::message(Kind::Message, 0, body).unwrap().bytes
}

fn header(length: usize, kind: Kind) -> Vec<u8> {
    let mut header = frame::control(kind, 0, &[]);
    header[..4].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
    header
}

#[test]
fn half_a_message_is_waited_for_and_never_delivered() {
    let bystander = Peer::new();
    let whole = message(&Dictionary::new().with("data", vec![1_u8; 1000]));
    for cut in [1, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 1, whole.len() / 2, whole.len() - 1] {
        let peer = Peer::new();
        write(&peer.socket, &whole[..cut]);
        bystander.expect_life(cut as u64);
        assert!(peer.events.try_recv().is_err(), "the rest may come");
        rustix::net::shutdown(&peer.socket, rustix::net::Shutdown::Write).unwrap();
        peer.expect_cut_off();
    }
    bystander.expect_life(0);
}

#[test]
fn a_message_over_the_limit_is_refused_by_its_header() {
    let bystander = Peer::new();
    let peer = Peer::new();
    write(&peer.socket, &header(limits::MAX_MESSAGE_BYTES + 1, Kind::Message));
    peer.expect_cut_off();
    // Announced, within the limit and never sent, as often as there are peers: nobody gets memory for it.
    let peers: Vec<_> = (0..64)
        .map(|_| {
            let peer = Peer::new();
            write(&peer.socket, &header(limits::MAX_MESSAGE_BYTES, Kind::Message));
            peer
        })
        .collect();
    bystander.expect_life(1);
    for peer in peers {
        assert!(peer.events.try_recv().is_err());
        rustix::net::shutdown(&peer.socket, rustix::net::Shutdown::Write).unwrap();
        peer.expect_cut_off();
    }
}

#[test]
fn garbage_of_any_length_cuts_its_sender_off_alone() {
    let bystander = Peer::new();
    // A fixed sequence, for want of meaning (SplitMix64).
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    };
    for round in 0..200 {
        let peer = Peer::new();
        let length = HEADER_BYTES + (random() % 3000) as usize;
        let mut garbage: Vec<u8> = (0..length).map(|_| random() as u8).collect();
        if round % 2 == 0 {
            // A header that holds, and a body that does not.
            garbage.splice(..HEADER_BYTES, header(length - HEADER_BYTES, Kind::Request));
        }
        write(&peer.socket, &garbage);
        // What looks like the beginning of something long is over when nothing more comes.
        rustix::net::shutdown(&peer.socket, rustix::net::Shutdown::Write).unwrap();
        peer.expect_cut_off();
    }
    bystander.expect_life(1);
}

#[test]
fn whoever_never_reads_is_cut_off_by_its_end_alone() {
    let bystander = Peer::new();
    let peer = Peer::new();
    let large = Dictionary::new().with("data", vec![0_u8; 1 << 20]);
    // Into a full socket; whether a budget stops it is not what this is about.
    while peer.connection.send(&large).is_ok() && rustix::io::ioctl_fionread(&peer.socket).unwrap() == 0 {}
    for n in 0..10 {
        let _ = peer.connection.send(&large);
        bystander.expect_life(n);
    }
    drop(peer.socket);
    assert!(matches!(peer.events.recv_timeout(FOR_EVER), Ok(Event::Invalid(_))));
    bystander.expect_life(10);
}

#[test]
fn nonsense_on_a_bootstrap_socket_is_dropped() {
    let (ours, theirs) = socket::packet_pair().unwrap();
    let (_kept, passed) = socket::connection_pair().unwrap();
    let mut sent = 0;
    for bytes in [&b"\xff"[..], b"\x02", b"\x02\xff\xfe", &[2; 5000], b"name"] {
        for descriptor in [None, Some(passed.as_fd())] {
            socket::send_packet(&theirs, bytes, descriptor).unwrap();
            sent += 1;
        }
    }
    let mut understood = 0;
    for _ in 0..sent {
        let Ok(socket::Packet::Received(bytes, descriptor)) = socket::receive_packet(&ours) else { panic!("a packet") };
        let request = descriptor.and_then(|socket| crate::launcher::Request::from_packet(&bytes, socket));
        understood += usize::from(request.is_some());
    }
    // The empty name, which is nobody's.
    assert_eq!(understood, 1);
}
