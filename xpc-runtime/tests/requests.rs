//! Requests whose replies come to a queue, or in time, between the two ends of an anonymous listener.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use xpc_runtime::{Connection, Dictionary, Error, Listener, Message, Queue};
use xpc_runtime_tests::{FOR_EVER, block_on, op};

type Kept = Arc<Mutex<Vec<Message>>>;

/// Answers what is to be echoed, drops what is to be dropped, keeps the rest.
fn listen() -> (Listener, Kept) {
    let kept = Kept::default();
    let keeps = kept.clone();
    let listener = Listener::anonymous().activate(move |peer| {
        let keeps = keeps.clone();
        peer.on_message(move |connection, message| -> Result<(), Error> {
            match message.string("op")? {
                "echo" => message.reply_with(message.clone()),
                "drop" => Ok(()),
                "tell" => connection.send(&message),
                _ => {
                    keeps.lock().unwrap().push(message);
                    Ok(())
                }
            }
        })
        .activate();
    });
    (listener, kept)
}

#[test]
fn replies_on_a_queue_take_turns_with_its_handlers() {
    let (listener, _kept) = listen();
    let queue = Queue::serial("replies");
    let (sender, seen) = channel();
    let busy = Arc::new(AtomicBool::new(false));
    let alone = move |busy: &AtomicBool, what: u64| {
        assert!(!busy.swap(true, Ordering::SeqCst), "something else runs on the queue");
        thread::yield_now();
        busy.store(false, Ordering::SeqCst);
        sender.send(what).unwrap_or_default();
    };
    let (told, tells) = (busy.clone(), alone.clone());
    let connection = Connection::from_endpoint(&listener.endpoint())
        .target_queue(&queue)
        .on_message(move |_, message| tells(&told, message.uint64("n").unwrap()))
        .activate();
    let other = Connection::from_endpoint(&listener.endpoint()).activate();
    for n in 0..200_u64 {
        let from = if n % 3 == 0 { &other } else { &connection };
        let (busy, alone) = (busy.clone(), alone.clone());
        from.send_with_reply_on(&queue, &op("echo").with("n", n), move |reply| {
            alone(&busy, reply.unwrap().uint64("n").unwrap());
        });
        connection.send(&op("tell").with("n", 1000 + n)).unwrap();
    }
    let mut all: Vec<u64> = (0..400).map(|_| seen.recv_timeout(FOR_EVER).unwrap()).collect();
    all.sort_unstable();
    assert_eq!(all, (0..200).chain(1000..1200).collect::<Vec<_>>());
}

#[test]
fn a_blocking_request_in_a_reply_handler_is_an_error_on_its_queue_alone() {
    let (listener, _kept) = listen();
    let queue = Queue::serial("replies");
    let connection = Connection::from_endpoint(&listener.endpoint()).target_queue(&queue).activate();
    let other = Connection::from_endpoint(&listener.endpoint()).activate();
    let (sender, seen) = channel();
    let asks = connection.clone();
    connection.send_with_reply_on(&queue, &op("echo"), move |_| {
        let own = asks.send_with_reply_blocking(&op("echo")).err();
        let others = other.send_with_reply_blocking(&op("echo")).err();
        sender.send((own, others)).unwrap();
    });
    assert_eq!(seen.recv_timeout(FOR_EVER), Ok((Some(Error::WouldDeadlock), None)));
}

#[test]
fn a_reply_handler_is_told_of_every_failure_and_never_inside_the_call() {
    let (listener, _kept) = listen();
    let queue = Queue::serial("failures");
    let connection = Connection::from_endpoint(&listener.endpoint()).activate();
    let (sender, seen) = channel();
    let not_inside = Arc::new(Mutex::new(()));
    let ask = |message: &Dictionary| {
        let (sender, not_inside) = (sender.clone(), not_inside.clone());
        let guard = not_inside.lock().unwrap();
        let waits = not_inside.clone();
        connection.send_with_reply_on(&queue, message, move |reply| {
            drop(waits.lock().unwrap());
            sender.send(reply.err()).unwrap();
        });
        drop(guard);
        seen.recv_timeout(FOR_EVER).unwrap()
    };
    assert_eq!(ask(&op("drop")), Some(Error::Interrupted));
    assert!(matches!(ask(&op("a NUL: \0")), Some(Error::Encode(_))));
    assert_eq!(ask(&op("echo")), None);
    connection.cancel();
    assert!(matches!(ask(&op("echo")), Some(Error::Invalid(_))));
}

#[test]
fn a_reply_handler_keeps_its_connection_and_fails_with_it() {
    let (listener, kept) = listen();
    let queue = Queue::serial("kept");
    let (sender, seen) = channel();
    let connection = Connection::from_endpoint(&listener.endpoint()).activate();
    for name in ["echo", "keep"] {
        let sender = sender.clone();
        connection.send_with_reply_on(&queue, &op(name), move |reply| sender.send(reply.err()).unwrap());
    }
    drop(connection);
    assert_eq!(seen.recv_timeout(FOR_EVER), Ok(None));
    listener.cancel();
    assert!(matches!(seen.recv_timeout(FOR_EVER), Ok(Some(Error::Invalid(_)))));
    drop(kept);
}

#[test]
fn a_reply_is_awaited_as_long_as_its_timeout_says() {
    let (listener, kept) = listen();
    let connection = Connection::from_endpoint(&listener.endpoint()).activate();
    let started = Instant::now();
    let late = connection.send_with_reply(&op("keep")).with_timeout(Duration::from_millis(20));
    assert_eq!(block_on(late).err(), Some(Error::TimedOut));
    assert!(started.elapsed() >= Duration::from_millis(20));
    for timeout in [FOR_EVER, Duration::MAX] {
        let reply = block_on(connection.send_with_reply(&op("echo")).with_timeout(timeout)).unwrap();
        assert_eq!(reply.string("op"), Ok("echo"));
    }
    assert_eq!(
        block_on(connection.send_with_reply(&op("drop")).with_timeout(FOR_EVER)).err(),
        Some(Error::Interrupted)
    );
    // One that comes too late harms nobody.
    kept.lock().unwrap().drain(..).for_each(|message| message.reply().send().unwrap());
    assert!(connection.send_with_reply_blocking(&op("echo")).is_ok());
    let none = connection.send_with_reply(&op("keep")).with_timeout(Duration::ZERO);
    assert_eq!(block_on(none).err(), Some(Error::TimedOut));
    connection.cancel();
    assert!(matches!(block_on(connection.send_with_reply(&op("echo")).with_timeout(FOR_EVER)), Err(Error::Invalid(_))));
}
