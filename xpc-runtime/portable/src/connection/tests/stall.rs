//! Peers that take too little. Each test is the clock itself.

use std::time::Instant;

use super::*;
use crate::connection::Budget;
use crate::settings::{STALL_BYTES, STALL_TIMEOUT};

const BUDGET: usize = 1 << 20;

/// A connection for whose peer as much waits as may, in small messages, of which a socket holds less than what the peer
/// has to take.
fn pressed() -> (Connection, Receiver<Event>, OwnedFd) {
    let (peer, ours) = socket::connection_pair().unwrap();
    write(&peer, &hello());
    let mut inactive = Core::accept(ours).expect("a hello");
    inactive.set_budget(Budget { bytes: BUDGET, ..Budget::default() });
    let (sender, events) = channel();
    let connection = inactive.activate(Box::new(move |_, event| sender.send(event).unwrap_or_default()));
    assert_eq!(read(&peer, HELLO_BYTES), hello());
    while connection.send(&body(1)) == Ok(()) {}
    (connection, events, peer)
}

fn taken(connection: &Connection) -> u64 {
    lock(&connection.0.core.state).outbox.taken
}

/// Looks when the peer's time is over.
fn look(connection: &Connection) {
    connection.0.core.end_if_stalled(Instant::now() + STALL_TIMEOUT.get());
}

fn is_over(connection: &Connection) -> bool {
    connection.invalidation_reason().is_some()
}

/// Takes so much, and has it noticed.
fn take(connection: &Connection, peer: &OwnedFd, bytes: u64) {
    let before = taken(connection);
    while taken(connection) < before + bytes {
        read(peer, 1000);
        settle(connection);
        while connection.send(&body(1)) == Ok(()) {}
    }
}

#[test]
fn a_peer_that_takes_a_little_each_time_is_cut_off() {
    let (connection, events, peer) = pressed();
    take(&connection, &peer, 1);
    look(&connection);
    let reason = connection.invalidation_reason().expect("it is over");
    assert!(reason.contains("took too little"), "{reason}");
    assert!(matches!(events.recv_timeout(FOR_EVER), Ok(Event::Invalid(_))));
}

#[test]
fn a_peer_that_takes_enough_goes_on_however_much_waits() {
    let (connection, _events, peer) = pressed();
    for _ in 0..3 {
        take(&connection, &peer, STALL_BYTES);
        look(&connection);
        assert!(!is_over(&connection));
    }
    look(&connection);
    assert!(is_over(&connection), "from then on it took nothing");
}

#[test]
fn a_peer_that_sends_and_takes_nothing_is_cut_off() {
    let (connection, events, peer) = pressed();
    // Each handler's time is this side's own; not the rest.
    for n in 0..100 {
        write(&peer, &encoded(Kind::Message, 0, &body(n)).unwrap());
        message(&events);
    }
    settle(&connection);
    connection.0.core.end_if_stalled(Instant::now() + 2 * STALL_TIMEOUT.get());
    assert!(is_over(&connection));
}

#[test]
fn what_this_side_holds_up_is_not_the_peers_fault() {
    let (connection, _events, _peer) = pressed();
    let suspension = connection.suspend();
    look(&connection);
    assert!(!is_over(&connection), "it could take nothing");
    drop(suspension);
    // It was over in a moment.
    look(&connection);
    assert!(is_over(&connection));
}
