//! Listeners and their clients in one process. Endpoints that came in a message take the way through sockets, as those
//! of other processes do.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{Shutdown, shutdown};
use xpc_object::{Dictionary, Endpoint};

use super::*;
use crate::connection::{Connection, Event, Inactive};
use crate::frame::{self, Frame, Kind};
use crate::{Error, lock};

/// Nothing here takes a second; whoever waits this long waits for ever.
const FOR_EVER: Duration = Duration::from_secs(60);

/// What a peer of a test's listener saw.
#[derive(Debug, PartialEq)]
enum Seen {
    Accepted,
    Invalid,
}

/// A listener whose peers answer with their client's process id.
fn listener() -> (Listener, Receiver<Seen>) {
    let (sender, seen) = channel();
    (Listener::anonymous(move |peer| answer(peer, sender.clone())), seen)
}

fn answer(peer: Inactive, seen: Sender<Seen>) {
    let pid = peer.credentials().unwrap().pid;
    let _ = seen.send(Seen::Accepted);
    peer.activate(Box::new(move |_, event| match event {
        Event::Message(message) => {
            if let Some(reply) = message.reply() {
                reply.send(&message.dictionary().clone().with("client", pid)).unwrap();
            }
        }
        Event::Invalid(_) => seen.send(Seen::Invalid).unwrap_or_default(),
        Event::PeerRejected(_) | Event::Interrupted | Event::TerminationImminent => panic!("not for this peer"),
    }));
}

/// A connection, and why it became invalid.
fn connect(endpoint: &Endpoint) -> (Connection, Receiver<Arc<str>>) {
    let (sender, invalid) = channel();
    let connection = Inactive::from_endpoint(endpoint).activate(Box::new(move |_, event| match event {
        Event::Invalid(reason) => sender.send(reason).unwrap_or_default(),
        Event::Interrupted => panic!("interrupted"),
        Event::PeerRejected(_) | Event::Message(_) | Event::TerminationImminent => {}
    }));
    (connection, invalid)
}

fn ask(connection: &Connection, n: u64) -> Result<u64, Error> {
    let reply = connection.send_with_reply_blocking(&Dictionary::new().with("n", n), Some(FOR_EVER))?;
    assert_eq!(reply.dictionary().uint64("client"), Ok(std::process::id().into()));
    Ok(reply.dictionary().uint64("n").unwrap())
}

fn works(endpoint: &Endpoint) {
    let (connection, _invalid) = connect(endpoint);
    assert_eq!(ask(&connection, 7), Ok(7));
}

/// As the receiver of a message gets it.
fn sent(endpoint: &Endpoint) -> Endpoint {
    let frame = frame::message(Kind::Message, 0, &Dictionary::new().with("endpoint", endpoint)).unwrap();
    let descriptors = frame.descriptors.into_iter().map(|fd| fd.into_owned().unwrap()).collect();
    let Ok(Frame::Message(message)) = frame::decode(frame.bytes.into(), descriptors) else { panic!("a message") };
    message.dictionary().endpoint("endpoint").unwrap().clone()
}

fn rendezvous(endpoint: &Endpoint) -> &OwnedFd {
    &endpoint.handle::<Remote>().expect("an endpoint that was sent").rendezvous
}

#[test]
fn a_listener_answers_whoever_has_its_endpoint() {
    let (listener, seen) = listener();
    let endpoint = listener.endpoint();
    works(&endpoint);
    let received = sent(&endpoint);
    works(&received);
    assert_eq!(received, endpoint);
    assert_eq!(seen.iter().take(4).filter(|seen| *seen == Seen::Accepted).count(), 2);
    let (other, _seen) = self::listener();
    assert_ne!(other.endpoint(), endpoint);
}

#[test]
fn whoever_handed_an_endpoint_on_may_go() {
    let (listener, _seen) = listener();
    let first = sent(&listener.endpoint());
    let second = sent(&first);
    let third = sent(&second);
    drop((first, second));
    works(&third);
    assert_eq!(third, listener.endpoint());
}

#[test]
fn connections_are_invalid_when_their_listener_goes() {
    for cancels in [true, false] {
        let (listener, seen) = listener();
        let endpoint = listener.endpoint();
        let received = sent(&endpoint);
        let clients = [connect(&endpoint), connect(&received)];
        assert_eq!(ask(&clients[0].0, 1), Ok(1));
        assert_eq!(ask(&clients[1].0, 2), Ok(2));
        if cancels {
            listener.cancel();
        } else {
            drop(listener);
        }
        for (connection, invalid) in &clients {
            invalid.recv_timeout(FOR_EVER).unwrap();
            assert!(matches!(ask(connection, 3), Err(Error::Invalid(_))));
        }
        let mut all: Vec<_> = seen.iter().collect();
        all.sort_by_key(|seen| *seen == Seen::Invalid);
        assert_eq!(all, [Seen::Accepted, Seen::Accepted, Seen::Invalid, Seen::Invalid], "the peers are over, too");
        // An endpoint of a listener that is gone can still be sent, and leads nowhere.
        for endpoint in [&endpoint, &received, &sent(&endpoint), &sent(&received)] {
            let (connection, invalid) = connect(endpoint);
            assert_eq!(&*invalid.recv_timeout(FOR_EVER).unwrap(), "the endpoint's listener is gone");
            assert!(matches!(ask(&connection, 3), Err(Error::Invalid(_))));
        }
    }
}

#[test]
fn an_idle_client_sees_its_listener_go() {
    let (listener, seen) = listener();
    let (_connection, invalid) = connect(&sent(&listener.endpoint()));
    assert_eq!(seen.recv_timeout(FOR_EVER), Ok(Seen::Accepted), "before any message");
    drop(listener);
    invalid.recv_timeout(FOR_EVER).unwrap();
}

#[test]
fn a_rejected_client_is_invalid() {
    let listener = Listener::anonymous(drop);
    let (connection, invalid) = connect(&listener.endpoint());
    invalid.recv_timeout(FOR_EVER).unwrap();
    assert!(matches!(ask(&connection, 1), Err(Error::Invalid(_))));
}

#[test]
fn a_peer_that_its_listener_did_not_outlive_is_invalid_once_active() {
    let (sender, peers) = channel();
    let listener = Listener::anonymous(move |peer| sender.send(peer).unwrap());
    let (_connection, invalid) = connect(&listener.endpoint());
    let peer = peers.recv_timeout(FOR_EVER).unwrap();
    drop(listener);
    invalid.recv_timeout(FOR_EVER).unwrap();
    let (sender, events) = channel();
    peer.activate(Box::new(move |_, event| sender.send(matches!(event, Event::Invalid(_))).unwrap()));
    assert_eq!(events.recv_timeout(FOR_EVER), Ok(true));
}

#[test]
fn a_listener_may_be_cancelled_by_its_own_handler() {
    let (sender, listeners) = channel::<Listener>();
    let (ended, end) = channel::<()>();
    let listener = Listener::anonymous(move |_peer| {
        let _until_dropped = &ended;
        listeners.recv_timeout(FOR_EVER).unwrap().cancel();
    });
    let (_connection, invalid) = connect(&listener.endpoint());
    sender.send(listener).unwrap();
    invalid.recv_timeout(FOR_EVER).unwrap();
    assert!(end.recv_timeout(FOR_EVER).is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_hostile_holder_harms_only_itself() {
    let (listener, _seen) = listener();
    let [hostile, honest] = [sent(&listener.endpoint()), sent(&listener.endpoint())];
    let (file, _) = socket::packet_pair().unwrap();
    let (stream, peer) = socket::connection_pair().unwrap();
    let way = rendezvous(&hostile);
    for (bytes, descriptor) in [
        (CONNECT, None),
        (HAND_OVER, None),
        (b"nonsense".as_slice(), Some(&stream)),
        // Neither a hello nor the right kind of socket.
        (CONNECT, Some(&stream)),
        (CONNECT, Some(&file)),
        (HAND_OVER, Some(&stream)),
        (&[0; 4000], Some(&file)),
    ] {
        socket::send_packet(way, bytes, descriptor.map(AsFd::as_fd)).unwrap();
    }
    drop(stream);
    works(&hostile);
    // All that came was closed again: nobody but the listener could hold it now.
    assert_eq!(poll(&mut [PollFd::new(&peer, PollFlags::IN)], None), Ok(1));
    shutdown(way, Shutdown::Both).unwrap();
    let (_connection, invalid) = connect(&hostile);
    invalid.recv_timeout(FOR_EVER).unwrap();
    works(&honest);
    works(&sent(&honest));
}

#[test]
fn a_flood_holds_nobody_up() {
    let (listener, _seen) = listener();
    let [hostile, honest] = [sent(&listener.endpoint()), sent(&listener.endpoint())];
    let (stop, stopped) = channel::<()>();
    let flood = std::thread::spawn(move || {
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            let _ = socket::send_packet(rendezvous(&hostile), b"nonsense", None);
        }
    });
    for _ in 0..100 {
        works(&honest);
    }
    drop(stop);
    flood.join().unwrap();
}

#[test]
fn one_holder_cannot_take_all_descriptors() {
    let (listener, _seen) = listener();
    let [hostile, honest] = [sent(&listener.endpoint()), sent(&listener.endpoint())];
    let mut ways = Vec::new();
    for _ in 0..2 * listener::MAX_HAND_OVERS {
        ways.push(loop {
            match hand_over(&hostile) {
                Ok(way) => break way,
                // The listener is behind.
                Err(_) => works(&hostile),
            }
        });
    }
    works(&hostile);
    let watched = lock(&listener.0.state).rendezvous.len();
    assert_eq!(watched, listener::MAX_HAND_OVERS + 1, "the honest one's, and as many as one may have");
    works(&sent(&honest));
}

#[test]
fn what_is_no_rendezvous_is_no_endpoint() {
    let (stream, _peer) = socket::connection_pair().unwrap();
    assert!(received(stream, 1).is_none());
    assert!(received(std::fs::File::open("/dev/null").unwrap().into(), 1).is_none());
    let (listener, _seen) = listener();
    let frame = frame::message(Kind::Message, 0, &Dictionary::new().with("endpoint", listener.endpoint())).unwrap();
    assert!(frame::decode(frame.bytes.into(), Vec::new()).is_err());
}

#[test]
fn a_listener_leaves_no_descriptor() {
    let (listener, seen) = listener();
    let first = sent(&listener.endpoint());
    let second = sent(&first);
    let (connection, _invalid) = connect(&second);
    ask(&connection, 1).unwrap();
    drop((connection, second));
    assert_eq!((seen.recv_timeout(FOR_EVER), seen.recv_timeout(FOR_EVER)), (Ok(Seen::Accepted), Ok(Seen::Invalid)));
    // The end of a way arrives as packets do: before what is asked later.
    works(&first);
    works(&first);
    let watched = || lock(&listener.0.state).rendezvous.len();
    while watched() > 1 {
        std::thread::yield_now();
    }
    listener.cancel();
    assert_eq!(watched(), 0);
    assert_eq!(poll(&mut [PollFd::new(rendezvous(&first), PollFlags::IN)], None), Ok(1), "its end is closed");
}
