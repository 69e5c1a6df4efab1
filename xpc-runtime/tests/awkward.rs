//! Sequences of calls that nobody plans, between the two ends of an anonymous listener.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use xpc_runtime::{Array, Connection, Dictionary, Error, Listener, Message, Object, Queue};
use xpc_runtime_tests::{FOR_EVER, block_on, op};

#[derive(Debug, PartialEq)]
enum Seen {
    Message(String),
    Over,
}

/// Echoes; `keep` is kept.
fn listen() -> (Listener, Arc<Mutex<Vec<Message>>>) {
    let kept = Arc::<Mutex<Vec<Message>>>::default();
    let keeps = kept.clone();
    let listener = Listener::anonymous().activate(move |peer| {
        let keeps = keeps.clone();
        peer.on_message(move |connection, message| -> Result<(), Error> {
            match message.string("op")? {
                "keep" => {
                    keeps.lock().unwrap().push(message);
                    connection.send(&op("kept"))
                }
                "tell" => connection.send(&op("told")),
                "cancel" => {
                    connection.cancel();
                    // What follows is silence.
                    connection.cancel();
                    Ok(())
                }
                _ => message.reply_with(message.clone()),
            }
        })
        .activate();
    });
    (listener, kept)
}

fn connect(listener: &Listener) -> (Connection, Receiver<Seen>) {
    let (sender, seen) = channel();
    let over = sender.clone();
    let connection = Connection::from_endpoint(&listener.endpoint())
        .on_message(move |_, message| told(&sender, message.string("op").unwrap()))
        .on_invalid(move |_, _| over.send(Seen::Over).unwrap_or_default())
        .activate();
    (connection, seen)
}

fn ask(connection: &Connection) -> Result<Message, Error> {
    connection.send_with_reply_timeout(&op("echo"), FOR_EVER)
}

fn told(sender: &Sender<Seen>, what: &str) {
    sender.send(Seen::Message(what.into())).unwrap_or_default();
}

#[test]
fn a_connection_that_is_cancelled_in_its_handler_hears_nothing_but_its_end() {
    let (listener, _kept) = listen();
    let (sender, seen) = channel();
    let over = sender.clone();
    let connection = Connection::from_endpoint(&listener.endpoint())
        .on_message(move |connection, _| {
            told(&sender, "handled");
            connection.cancel();
            assert!(matches!(connection.send(&op("echo")), Err(Error::Invalid(_))));
            assert!(matches!(
                connection.send_with_reply_blocking(&op("echo")),
                Err(Error::WouldDeadlock | Error::Invalid(_))
            ));
        })
        .on_invalid(move |connection, _| {
            connection.cancel();
            over.send(Seen::Over).unwrap_or_default();
        })
        .activate();
    let suspension = connection.suspend();
    for _ in 0..5 {
        connection.send(&op("tell")).unwrap();
    }
    drop(suspension);
    assert_eq!(seen.iter().collect::<Vec<_>>(), [Seen::Message("handled".into()), Seen::Over]);
    assert!(ask(&connection).is_err());
}

#[test]
fn suspensions_may_end_on_other_threads_and_in_any_order() {
    let (listener, _kept) = listen();
    let (connection, seen) = connect(&listener);
    let (first, second) = (connection.suspend(), connection.suspend());
    connection.send(&op("tell")).unwrap();
    let pending = connection.send_with_reply(&op("echo"));
    thread::spawn(move || drop(first)).join().unwrap();
    assert!(seen.try_recv().is_err());
    let third = connection.suspend();
    thread::spawn(move || drop(second)).join().unwrap();
    let clone = connection.clone();
    let barrier = channel();
    clone.send_barrier(move || barrier.0.send(()).unwrap());
    assert!(barrier.1.try_recv().is_err());
    thread::spawn(move || drop(third)).join().unwrap();
    assert_eq!(seen.recv_timeout(FOR_EVER), Ok(Seen::Message("told".into())));
    block_on(pending).unwrap();
    barrier.1.recv_timeout(FOR_EVER).unwrap();
}

#[test]
fn a_handler_may_suspend_its_own_connection() {
    let (listener, _kept) = listen();
    let (sender, seen) = channel();
    let connection = Connection::from_endpoint(&listener.endpoint())
        .on_message(move |connection, _| sender.send(connection.suspend()).unwrap_or_default())
        .activate();
    let (other, _seen) = connect(&listener);
    for _ in 0..3 {
        connection.send(&op("tell")).unwrap();
    }
    for _ in 0..3 {
        let suspension = seen.recv_timeout(FOR_EVER).unwrap();
        for _ in 0..10 {
            ask(&other).unwrap();
        }
        assert!(seen.try_recv().is_err(), "the next message waits");
        drop(suspension);
    }
    ask(&connection).unwrap();
}

#[test]
fn a_connection_may_be_cancelled_while_suspended_and_in_a_barrier() {
    let (listener, _kept) = listen();
    let (connection, seen) = connect(&listener);
    let suspension = connection.suspend();
    let pending = connection.send_with_reply(&op("echo"));
    connection.cancel();
    let (ran, runs) = channel();
    let after = ran.clone();
    connection.send_barrier(move || after.send(1).unwrap());
    assert!(matches!(ask(&connection), Err(Error::Invalid(_))));
    drop(suspension);
    assert!(matches!(block_on(pending), Err(Error::Invalid(_))));
    assert_eq!(seen.recv_timeout(FOR_EVER), Ok(Seen::Over));
    assert_eq!(runs.recv_timeout(FOR_EVER), Ok(1));

    let (connection, seen) = connect(&listener);
    let (inside, nested) = (connection.clone(), ran.clone());
    connection.send_barrier(move || {
        assert!(matches!(inside.send_with_reply_blocking(&op("echo")), Err(Error::WouldDeadlock)));
        let last = nested.clone();
        inside.send_barrier(move || last.send(3).unwrap());
        inside.cancel();
        nested.send(2).unwrap();
    });
    drop(connection);
    assert_eq!(runs.recv_timeout(FOR_EVER), Ok(2));
    assert_eq!(runs.recv_timeout(FOR_EVER), Ok(3));
    assert_eq!(seen.recv_timeout(FOR_EVER), Ok(Seen::Over));
    assert!(seen.recv_timeout(FOR_EVER).is_err());
}

#[test]
fn whoever_cancels_and_drops_is_told_of_the_end() {
    let (listener, _kept) = listen();
    for _ in 0..100 {
        let (connection, seen) = connect(&listener);
        connection.cancel();
        drop(connection);
        assert_eq!(seen.iter().collect::<Vec<_>>(), [Seen::Over]);
    }
}

#[test]
fn a_connection_may_be_dropped_in_a_barrier_and_in_a_reply() {
    let (listener, _kept) = listen();
    let (ran, runs) = channel();
    let (connection, seen) = connect(&listener);
    let (inside, told) = (connection.clone(), ran.clone());
    connection.send_barrier(move || {
        drop(inside);
        told.send(()).unwrap();
    });
    drop(connection);
    runs.recv_timeout(FOR_EVER).unwrap();
    assert!(seen.recv_timeout(FOR_EVER).is_err(), "no event follows the last drop");

    let (connection, seen) = connect(&listener);
    let inside = connection.clone();
    connection.send_with_reply_on(&Queue::serial("drops"), &op("echo"), move |reply| {
        drop(inside);
        reply.unwrap();
        ran.send(()).unwrap();
    });
    drop(connection);
    runs.recv_timeout(FOR_EVER).unwrap();
    assert!(seen.recv_timeout(FOR_EVER).is_err());
}

#[test]
fn replies_and_drops_after_the_end_of_the_peer_harm_nobody() {
    let (listener, kept) = listen();
    let (connection, seen) = connect(&listener);
    let pending: Vec<_> = (0..3).map(|_| connection.send_with_reply(&op("keep"))).collect();
    for _ in 0..3 {
        assert_eq!(seen.recv_timeout(FOR_EVER), Ok(Seen::Message("kept".into())));
    }
    connection.cancel();
    for reply in pending {
        assert!(matches!(block_on(reply), Err(Error::Invalid(_))));
    }
    let mut kept: Vec<_> = std::mem::take(&mut *kept.lock().unwrap());
    kept.pop().unwrap().reply().send().unwrap();
    drop(kept.pop());
    let last = kept.pop().unwrap();
    drop(listener);
    assert_eq!(last.reply().send(), Ok(()));
}

#[test]
fn a_peer_that_cancels_in_its_handler_ends_the_client_once() {
    let (listener, _kept) = listen();
    let (connection, seen) = connect(&listener);
    let pending = connection.send_with_reply(&op("cancel"));
    let late = connection.send_with_reply(&op("echo"));
    assert!(matches!(block_on(pending), Err(Error::Invalid(_) | Error::Interrupted)));
    assert!(block_on(late).is_err());
    assert_eq!(seen.iter().collect::<Vec<_>>(), [Seen::Over]);
}

#[test]
fn what_cannot_be_sent_leaves_the_connection_as_it_was() {
    let (listener, _kept) = listen();
    let (connection, _seen) = connect(&listener);
    let mut text = "x".repeat(64 << 20);
    text.replace_range(1000..1001, "\0");
    assert!(matches!(connection.send(&op("echo").with("text", text)), Err(Error::Encode(_))));
    let nested = |depth: usize| (0..depth).fold(Object::Null, |inner, _| Array::from([inner]).into());
    assert!(matches!(connection.send(&op("echo").with("deep", nested(5000))), Err(Error::Encode(_))));
    assert!(matches!(connection.send(&op("echo").with("a\0b", 1_u64)), Err(Error::Encode(_))));
    let mut depth = 1;
    while connection.send_with_reply_timeout(&op("echo").with("deep", nested(depth)), FOR_EVER).is_ok() {
        depth += 1;
    }
    let message = op("echo")
        .with("deep", nested(depth - 1))
        .with("", "the empty key")
        .with("number", f64::NAN)
        .with("zero", -0.0)
        .with("inner", Dictionary::new().with("", ()));
    let reply = connection.send_with_reply_timeout(&message, FOR_EVER).unwrap();
    assert_eq!(reply.string(""), Ok("the empty key"));
    assert!(reply.double("number").unwrap().is_nan());
    assert!(reply.double("zero").unwrap().is_sign_negative());
    assert_eq!(reply.array("deep"), message.array("deep"));
    ask(&connection).unwrap();
}

#[test]
fn a_message_may_be_sent_on_and_replied_to_elsewhere() {
    let (listener, kept) = listen();
    let (connection, seen) = connect(&listener);
    let (other, _seen) = connect(&listener);
    let pending = connection.send_with_reply(&op("keep").with("n", 1_u64));
    assert_eq!(seen.recv_timeout(FOR_EVER), Ok(Seen::Message("kept".into())));
    let message = kept.lock().unwrap().pop().unwrap();
    // Its reply goes to whoever asked, whatever else the message is used for.
    let echoed = other.send_with_reply_timeout(&message.clone().with("op", "echo"), FOR_EVER).unwrap();
    thread::spawn(move || message.reply_with(echoed.clone()).unwrap()).join().unwrap();
    assert_eq!(block_on(pending).unwrap().uint64("n"), Ok(1));
}

#[test]
fn futures_may_be_polled_after_their_connection_was_dropped_and_by_others() {
    let (listener, _kept) = listen();
    let (connection, _seen) = connect(&listener);
    let futures: Vec<_> = (0..10).map(|_| connection.send_with_reply(&op("echo")).with_timeout(FOR_EVER)).collect();
    drop(connection);
    let threads: Vec<_> = futures.into_iter().map(|future| thread::spawn(move || block_on(future).is_ok())).collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
}
