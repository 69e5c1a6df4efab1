//! Holding connections up, and what waits in them.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;

use conformance_service::{OTHER, RUN_LOOP, SERVICE};
use xpc_runtime::{Array, Budget, Connection, Error, Fd, Queue};

use crate::case::{Case, Outcome};
use crate::client::{FOR_EVER, ask, block_on, connect, op};

pub const CASES: &[Case] = &[
    Case::new("11", "a_suspended_connection_sends_nothing_and_suspensions_add_up", suspended_sends_nothing),
    Case::new("11", "a_suspended_connection_delivers_nothing", suspended_delivers_nothing),
    Case::new("11", "a_connection_dropped_while_suspended_ends_when_it_goes_on", suspended_and_dropped),
    Case::new("11", "a_connection_cancelled_while_suspended_is_told_when_it_goes_on", suspended_and_cancelled),
    Case::new("11", "a_connection_may_be_dropped_before_its_activation", never_activated),
    Case::new("12", "a_barrier_runs_after_what_was_sent_before", barrier_waits),
    Case::new("12", "nothing_is_sent_while_a_barrier_runs", barrier_bars),
    Case::new("12", "a_barrier_runs_even_where_the_connection_is_over", barrier_at_the_end),
    Case::new("f", "past_the_budget_senders_are_refused_or_wait", budget).portable(&[]),
    Case::new("f", "descriptors_have_a_budget_too", budget_of_descriptors).portable(&[]),
    Case::new("f", "waiting_for_room_inside_the_own_handler_is_an_error", budget_in_handler).portable(&[]),
    Case::new("g", "a_context_goes_with_the_last_clone_or_when_it_is_replaced", context),
    Case::new("h", "handlers_of_one_queue_run_one_at_a_time", queue),
    Case::new("h", "a_connection_that_waits_for_its_queue_can_be_cancelled_or_dropped", queue_and_end).portable(&[]),
    Case::new("h", "the_main_threads_queue_is_served_in_xpc_main", main_queue),
    Case::new("n", "a_service_with_the_run_loop_of_foundation_serves", run_loop),
    Case::new("h", "a_blocking_request_on_a_connection_of_the_same_queue_is_an_error", queue_deadlock),
];

/// The number that the service gave this connection.
fn peer(connection: &Connection) -> Result<u64, Error> {
    Ok(ask(connection, &op("who"))?.uint64("peer")?)
}

/// What a peer of the service has seen so far, as another connection is told.
fn seen(other: &Connection, peer: u64) -> Result<usize, Error> {
    Ok(ask(other, &op("seen").with("peer", peer))?.array("seen")?.len())
}

fn wait_until_seen(other: &Connection, peer: u64, event: &str) -> Result<Array, Error> {
    let reply = ask(other, &op("wait-until-seen").with("peer", peer).with("event", event))?;
    Ok(reply.array("seen")?.clone())
}

/// Whether a future is still to be waited for.
fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    matches!(std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
}

fn suspended_sends_nothing() -> Outcome {
    let (connection, events) = connect(SERVICE);
    let (other, _more) = connect(SERVICE);
    let number = peer(&connection)?;
    let (first, second) = (connection.suspend(), connection.clone().suspend());
    connection.send(&op("note"))?;
    let mut reply = connection.send_with_reply(&op("echo"));
    assert_eq!(seen(&other, number)?, 0);
    drop(first);
    assert_eq!(seen(&other, number)?, 0, "one suspension is left");
    assert!(is_pending(&mut reply));
    drop(second);
    assert_eq!(wait_until_seen(&other, number, "noted")?.len(), 1);
    block_on(reply)?;
    events.none();
    Ok(())
}

fn suspended_delivers_nothing() -> Outcome {
    let (connection, events) = connect(SERVICE);
    let (other, _more) = connect(SERVICE);
    let number = peer(&connection)?;
    // All that leaves before the suspension; it is answered after it.
    connection.send(&op("block"))?;
    connection.send(&op("tell"))?;
    let mut reply = connection.send_with_reply(&op("echo"));
    connection.send(&op("note"))?;
    let (sender, left) = channel();
    connection.send_barrier(move || sender.send(()).unwrap_or_default());
    left.recv_timeout(FOR_EVER).expect("all has left");
    ask(&other, &op("wait-until-blocked"))?;
    let suspension = connection.suspend();
    ask(&other, &op("open"))?;
    wait_until_seen(&other, number, "noted")?;
    events.none();
    assert!(is_pending(&mut reply), "replies wait, too");
    drop(suspension);
    events.message("told");
    block_on(reply)?;
    Ok(())
}

fn suspended_and_dropped() -> Outcome {
    let (connection, events) = connect(SERVICE);
    let (other, _more) = connect(SERVICE);
    let number = peer(&connection)?;
    let suspension = connection.suspend();
    connection.send(&op("note"))?;
    drop(connection);
    assert_eq!(seen(&other, number)?, 0, "neither sent nor ended");
    drop(suspension);
    let all: Array = ["noted", "invalid"].into_iter().collect();
    assert_eq!(wait_until_seen(&other, number, "invalid")?, all);
    events.end();
    Ok(())
}

fn suspended_and_cancelled() -> Outcome {
    let (connection, events) = connect(SERVICE);
    ask(&connection, &op("echo"))?;
    let suspension = connection.suspend();
    let mut reply = connection.send_with_reply(&op("echo"));
    connection.cancel();
    let (other, _more) = connect(SERVICE);
    ask(&other, &op("echo"))?;
    events.none();
    assert!(is_pending(&mut reply));
    drop(suspension);
    assert!(matches!(block_on(reply), Err(Error::Invalid(_))));
    events.invalid();
    events.end();
    Ok(())
}

fn never_activated() -> Outcome {
    let (sender, events) = channel::<()>();
    let inactive = Connection::service(SERVICE).on_message(move |_, _| sender.send(()).unwrap_or_default());
    drop(inactive);
    assert_eq!(events.try_recv(), Err(TryRecvError::Disconnected), "its handlers go with it");
    drop(Connection::service("com.example.conformance.nobody"));
    let (connection, _events) = connect(SERVICE);
    assert_eq!(peer(&connection)?, 1, "the service never heard of the other");
    Ok(())
}

/// What a barrier of this connection tells when it has run.
fn barrier(connection: &Connection) -> Receiver<()> {
    let (sender, ran) = channel();
    connection.send_barrier(move || sender.send(()).unwrap_or_default());
    ran
}

fn barrier_waits() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    let (other, _more) = connect(SERVICE);
    let number = peer(&connection)?;
    let suspension = connection.suspend();
    connection.send(&op("note").with("data", vec![0_u8; 1 << 20]))?;
    let ran = barrier(&connection);
    ask(&other, &op("echo"))?;
    assert_eq!(ran.try_recv(), Err(TryRecvError::Empty), "what was sent before has not left");
    drop(suspension);
    ran.recv_timeout(FOR_EVER).expect("the barrier runs");
    wait_until_seen(&other, number, "noted")?;
    Ok(())
}

fn barrier_bars() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    let (other, _more) = connect(SERVICE);
    let number = peer(&connection)?;
    let (running, runs) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let barred = connection.clone();
    connection.send_barrier(move || {
        running.send(barred.send_with_reply_blocking(&op("echo")).err()).unwrap_or_default();
        may_go_on.recv().unwrap_or_default();
    });
    assert_eq!(runs.recv_timeout(FOR_EVER), Ok(Some(Error::WouldDeadlock)));
    connection.send(&op("note"))?;
    let second = barrier(&connection);
    assert_eq!(seen(&other, number)?, 0);
    assert_eq!(second.try_recv(), Err(TryRecvError::Empty), "barriers keep their order");
    go_on.send(()).expect("the barrier waits");
    wait_until_seen(&other, number, "noted")?;
    second.recv_timeout(FOR_EVER).expect("the second barrier runs");
    Ok(())
}

fn barrier_at_the_end() -> Outcome {
    let (connection, events) = connect(OTHER);
    connection.cancel();
    events.invalid();
    barrier(&connection).recv_timeout(FOR_EVER).expect("the barrier runs");
    Ok(())
}

/// As many bytes as ten of the messages below have, at most.
const SMALL: Budget = Budget { bytes: 10_000, descriptors: 3 };

fn filled() -> (Connection, xpc_runtime::Suspension, u64) {
    let connection = Connection::service(SERVICE).budget(SMALL).activate();
    let suspension = connection.suspend();
    let mut taken = 0;
    while connection.send(&numbered(taken)).is_ok() {
        taken += 1;
    }
    (connection, suspension, taken)
}

fn numbered(value: u64) -> xpc_runtime::Dictionary {
    op("append").with("value", value).with("data", vec![0_u8; 1000])
}

fn budget() -> Outcome {
    let (connection, suspension, taken) = filled();
    assert!((8..=10).contains(&taken), "{taken} messages of a thousand bytes and a bit");
    assert_eq!(connection.send(&numbered(taken)), Err(Error::Full));
    assert_eq!(block_on(connection.send_with_reply(&op("echo"))).err(), Some(Error::Full));
    let mut ready = connection.send_ready();
    assert!(is_pending(&mut ready));
    let blocked = thread::spawn({
        let connection = connection.clone();
        move || connection.send_blocking(&numbered(taken))
    });
    drop(suspension);
    block_on(ready)?;
    blocked.join().expect("it does not panic")?;
    let list = ask(&connection, &op("list"))?;
    assert_eq!(*list.array("values")?, (0..=taken).collect::<Array>(), "nothing is lost, nothing comes twice");
    Ok(())
}

fn budget_of_descriptors() -> Outcome {
    let connection = Connection::service(SERVICE).budget(SMALL).activate();
    let suspension = connection.suspend();
    let file: Fd = OwnedFd::from(std::fs::File::open("/dev/null").expect("there is one")).into();
    let message = |value: u64| op("append").with("value", value).with("fd", &file);
    for value in 0..SMALL.descriptors as u64 {
        connection.send(&message(value))?;
    }
    assert_eq!(connection.send(&message(9)), Err(Error::Full));
    drop(suspension);
    block_on(connection.send_ready())?;
    let list = ask(&connection, &op("list"))?;
    assert_eq!(list.array("values")?.len(), SMALL.descriptors);
    Ok(())
}

fn budget_in_handler() -> Outcome {
    let (sender, results) = channel();
    let connection = Connection::service(SERVICE)
        .budget(SMALL)
        .on_message(move |connection, _| {
            let full = (0..100).find_map(|value| connection.send_blocking(&numbered(value)).err());
            sender.send(full).unwrap_or_default();
        })
        .activate();
    connection.send(&op("tell"))?;
    assert_eq!(results.recv_timeout(FOR_EVER), Ok(Some(Error::WouldDeadlock)));
    Ok(())
}

fn context() -> Outcome {
    let (sender, results) = channel();
    let connection = Connection::service(SERVICE)
        .on_message(move |connection, _| {
            sender.send(connection.context::<Arc<str>>().is_some()).unwrap_or_default();
        })
        .activate();
    assert!(connection.context::<Arc<str>>().is_none());
    let (first, second): (Arc<str>, Arc<str>) = ("first".into(), "second".into());
    connection.set_context(first.clone());
    let clone = connection.clone();
    assert_eq!(clone.context::<Arc<str>>().as_deref(), Some(&first));
    assert!(clone.context::<String>().is_none(), "it is of another type");
    clone.set_context(second.clone());
    assert_eq!(Arc::strong_count(&first), 1, "it goes when it is replaced");
    ask(&connection, &op("tell"))?;
    assert_eq!(results.recv_timeout(FOR_EVER), Ok(true), "handlers find it");
    drop(connection);
    assert_eq!(clone.context::<Arc<str>>().as_deref(), Some(&second));
    clone.cancel();
    assert_eq!(clone.context::<Arc<str>>().as_deref(), Some(&second), "it outlives the end");
    drop(clone);
    // A handler that has just returned may still hold the connection.
    while Arc::strong_count(&second) > 1 {
        thread::yield_now();
    }
    Ok(())
}

/// A connection of this queue, whose handler says which one it is, and waits.
fn queued(queue: &Queue, number: u64, running: &Sender<u64>, may_go_on: &Arc<Mutex<Receiver<()>>>) -> Connection {
    let (running, may_go_on) = (running.clone(), may_go_on.clone());
    Connection::service(SERVICE)
        .target_queue(queue)
        .on_message(move |_, _| {
            running.send(number).unwrap_or_default();
            // Whoever waits here holds the lock: there is nobody else, or this is no queue.
            let may_go_on = may_go_on.try_lock().expect("one handler at a time");
            may_go_on.recv().unwrap_or_default();
        })
        .activate()
}

fn queue() -> Outcome {
    const CONNECTIONS: u64 = 4;
    let queue = Queue::serial("com.example.conformance.queue");
    assert_eq!(queue.label(), "com.example.conformance.queue");
    let (running, runs) = channel();
    let (go_on, may_go_on) = channel();
    let may_go_on = Arc::new(Mutex::new(may_go_on));
    let connections: Vec<_> = (0..CONNECTIONS).map(|number| queued(&queue, number, &running, &may_go_on)).collect();
    let (other, _events) = connect(SERVICE);
    for connection in &connections {
        peer(connection)?;
    }
    for connection in &connections {
        for _ in 0..3 {
            connection.send(&op("tell"))?;
        }
    }
    let mut calls = [0; CONNECTIONS as usize];
    for _ in 0..3 * CONNECTIONS {
        let number = runs.recv_timeout(FOR_EVER).expect("a handler runs");
        ask(&other, &op("echo"))?;
        assert_eq!(runs.try_recv(), Err(TryRecvError::Empty), "the next one waits");
        calls[usize::try_from(number).expect("a small number")] += 1;
        go_on.send(()).expect("the handler waits");
    }
    assert_eq!(calls, [3; CONNECTIONS as usize], "all have their turns");
    Ok(())
}

/// Whether a connection sends while its queue is busy is libxpc's affair; here it does.
fn queue_and_end() -> Outcome {
    let queue = Queue::serial("ends");
    let (running, runs) = channel();
    let (go_on, may_go_on) = channel();
    let may_go_on = Arc::new(Mutex::new(may_go_on));
    let first = queued(&queue, 1, &running, &may_go_on);
    let (other, _events) = connect(SERVICE);
    peer(&first)?;
    first.send(&op("tell"))?;
    assert_eq!(runs.recv_timeout(FOR_EVER), Ok(1));
    let (sender, invalid) = channel();
    let cancelled = Connection::service(SERVICE)
        .target_queue(&queue)
        .on_message(|_, _| {})
        .on_invalid(move |_, _| sender.send(()).unwrap_or_default())
        .activate();
    let dropped = queued(&queue, 2, &running, &may_go_on);
    let (cancelled_peer, dropped_peer) = (peer(&cancelled)?, peer(&dropped)?);
    for (connection, peer) in [(&cancelled, cancelled_peer), (&dropped, dropped_peer)] {
        connection.send(&op("tell"))?;
        connection.send(&op("note"))?;
        wait_until_seen(&other, peer, "noted")?;
    }
    cancelled.cancel();
    drop(dropped);
    wait_until_seen(&other, cancelled_peer, "invalid")?;
    wait_until_seen(&other, dropped_peer, "invalid")?;
    assert_eq!(invalid.try_recv(), Err(TryRecvError::Empty), "the last event has to wait, too");
    go_on.send(()).expect("the handler waits");
    invalid.recv_timeout(FOR_EVER).expect("the last event");
    // Who was dropped took its turn with it.
    first.send(&op("tell"))?;
    assert_eq!(runs.recv_timeout(FOR_EVER), Ok(1));
    go_on.send(()).expect("the handler waits");
    Ok(())
}

fn queue_deadlock() -> Outcome {
    let queue = Queue::serial("deadlock");
    let other = Connection::service(SERVICE).target_queue(&queue).activate();
    let outside = Connection::service(SERVICE).target_queue(&Queue::serial("outside")).activate();
    let (sender, results) = channel();
    let asked = other.clone();
    let connection = Connection::service(SERVICE)
        .target_queue(&queue)
        .on_message(move |_, _| {
            let same = asked.send_with_reply_blocking(&op("echo")).err();
            sender.send((same, outside.send_with_reply_blocking(&op("echo")).is_ok())).unwrap_or_default();
        })
        .activate();
    connection.send(&op("tell"))?;
    assert_eq!(results.recv_timeout(FOR_EVER), Ok((Some(Error::WouldDeadlock), true)));
    // Outside of handlers it is none.
    ask(&other, &op("echo"))?;
    Ok(())
}

fn main_queue() -> Outcome {
    assert_eq!(Queue::main().label(), Queue::main().label());
    main_queue_of(SERVICE)
}

/// Its run loop serves the queue of its main thread too.
fn run_loop() -> Outcome {
    main_queue_of(RUN_LOOP)
}

fn main_queue_of(service: &str) -> Outcome {
    let (connection, _events) = connect(service);
    let endpoint = ask(&connection, &op("listen-on-the-main-queue"))?;
    let direct = Connection::from_endpoint(endpoint.endpoint("endpoint")?).activate();
    let answer = ask(&direct, &op("where"))?;
    if cfg!(target_vendor = "apple") {
        assert_eq!(answer.string("thread")?, "main");
    }
    Ok(())
}
