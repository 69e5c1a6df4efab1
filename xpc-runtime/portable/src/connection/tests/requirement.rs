//! Who is not the right peer is not heard.

use std::path::Path;

use super::*;
use crate::connection::Inactive;
use crate::endpoint::Listener;

fn other() -> PeerRequirement {
    PeerRequirement::executable(Path::new("/bin/sh")).unwrap()
}

fn own() -> PeerRequirement {
    PeerRequirement::executable(&std::env::current_exe().unwrap()).unwrap()
}

#[test]
fn messages_of_another_peer_are_dropped_and_its_requests_interrupted() {
    let (_connection, events, peer) = accepted_if(Some(&other()));
    assert!(matches!(next(&events), Event::PeerRejected(_)));
    write(&peer, &encoded(Kind::Message, 0, &body(1)).unwrap());
    write(&peer, &encoded(Kind::Request, 7, &body(2)).unwrap());
    assert!(matches!(read_frame(&peer), Frame::NoReply(7)));
    drop(peer);
    assert!(matches!(next(&events), Event::Invalid(_)), "nothing else was heard");
}

#[test]
fn who_meets_the_requirement_is_heard() {
    let (_connection, events, peer) = accepted_if(Some(&own()));
    write(&peer, &encoded(Kind::Request, 7, &body(2)).unwrap());
    let message = message(&events);
    assert_eq!(message.require_sender(&PeerRequirement::same_user()), Ok(()));
    assert!(matches!(message.require_sender(&other()), Err(Error::PeerRejected(_))));
}

/// A listener whose peers count what they hear, and a connection to it.
fn pair(
    listener: Option<PeerRequirement>,
    client: Option<PeerRequirement>,
) -> (Listener, Receiver<u64>, Connection, Receiver<Event>) {
    let (heard, counted) = channel();
    let listener = Listener::requiring(listener, move |peer| {
        let heard = heard.clone();
        peer.activate(Box::new(move |_, event| {
            if let Event::Message(message) = event {
                heard.send(message.dictionary().uint64("n").unwrap()).unwrap_or_default();
                if let Some(reply) = message.reply() {
                    reply.send(&body(0)).unwrap();
                }
            }
        }));
    });
    let (sender, events) = channel();
    let mut inactive = Inactive::from_endpoint(&listener.endpoint());
    if let Some(client) = client {
        inactive.require_peer(&client);
    }
    let connection = inactive.activate(Box::new(move |_, event| sender.send(event).unwrap_or_default()));
    (listener, counted, connection, events)
}

#[test]
fn peers_of_a_listener_inherit_its_requirement() {
    let (_listener, heard, connection, _events) = pair(Some(other()), None);
    assert_eq!(connection.send_with_reply_blocking(&body(1), Some(FOR_EVER)).err(), Some(Error::Interrupted));
    assert!(heard.try_recv().is_err());
    let (_listener, heard, connection, _events) = pair(Some(own()), Some(own()));
    connection.send_with_reply_blocking(&body(1), Some(FOR_EVER)).unwrap();
    assert_eq!(heard.recv(), Ok(1));
}

#[test]
fn a_reply_of_another_peer_is_an_error_and_its_event_comes_once() {
    let (listener, heard, connection, events) = pair(None, Some(other()));
    for n in 1..=2 {
        let result = connection.send_with_reply_blocking(&body(n), Some(FOR_EVER));
        assert!(matches!(result, Err(Error::PeerRejected(_))));
        assert_eq!(heard.recv(), Ok(n), "what is sent is not held back");
    }
    assert!(matches!(next(&events), Event::PeerRejected(_)));
    drop(listener);
    assert!(matches!(next(&events), Event::Invalid(_)));
}
