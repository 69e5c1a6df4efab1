//! Asynchronous handlers, between the two ends of an anonymous listener.

use std::future::poll_fn;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;

use xpc_runtime::{Connection, Dictionary, Error, Listener, Message, ReplyFuture, Spawner, Task};
use xpc_runtime_tests::{FOR_EVER, block_on};

/// Shut until it is opened, for as many as ask.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    fn open(&self) {
        let wakers = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            std::mem::take(&mut state.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    async fn pass(&self) {
        poll_fn(|context| {
            let mut state = self.0.lock().unwrap();
            if state.0 {
                return Poll::Ready(());
            }
            state.1.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

fn number(n: u64) -> Dictionary {
    Dictionary::new().with("n", n)
}

/// A listener that says which message's handler was called, and answers when the gate is open.
fn gated(spawner: Spawner) -> (Listener, Receiver<u64>, Gate) {
    let (sender, called) = channel();
    let gate = Gate::default();
    let opened = gate.clone();
    let listener = Listener::anonymous().activate(move |peer| {
        let (sender, gate): (Sender<u64>, _) = (sender.clone(), opened.clone());
        peer.on_message_async(&spawner, move |_, message| {
            sender.send(message.uint64("n").unwrap()).unwrap_or_default();
            let gate = gate.clone();
            async move {
                gate.pass().await;
                message.reply_with(message.clone())
            }
        })
        .activate();
    });
    (listener, called, gate)
}

fn ask(connection: &Connection, numbers: std::ops::Range<u64>) -> Vec<ReplyFuture> {
    numbers.map(|n| connection.send_with_reply(&number(n))).collect()
}

#[test]
fn as_many_as_may_are_handled_at_a_time_and_begin_in_order() {
    let (listener, called, gate) = gated(Spawner::bundled().max_in_flight(3));
    let connection = Connection::from_endpoint(&listener.endpoint()).activate();
    let other = Connection::from_endpoint(&listener.endpoint()).activate();
    let replies = ask(&connection, 0..50);
    assert_eq!((0..3).map(|_| called.recv_timeout(FOR_EVER).unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    // Another connection has a lane of its own, and had more than enough time to come after what must not come.
    let others = ask(&other, 1000..1003);
    for n in 1000..1003 {
        assert_eq!(called.recv_timeout(FOR_EVER), Ok(n));
    }
    assert!(called.try_recv().is_err());
    gate.open();
    for (n, reply) in (0..).zip(replies) {
        assert_eq!(block_on(reply).unwrap().uint64("n"), Ok(n));
    }
    assert!(called.try_iter().eq(3..50), "each once, and in order");
    others.into_iter().for_each(|reply| assert!(block_on(reply).is_ok()));
}

#[test]
fn one_at_a_time_each_is_handled_to_its_end_before_the_next() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let logged = log.clone();
    let listener = Listener::anonymous().activate(move |peer| {
        let log = logged.clone();
        peer.on_message_async(&Spawner::bundled().max_in_flight(0), move |_, message: Message| {
            let log = log.clone();
            async move {
                let n = message.uint64("n").unwrap();
                log.lock().unwrap().push(n);
                let mut again = n % 4;
                poll_fn(|context| {
                    context.waker().wake_by_ref();
                    again = again.saturating_sub(1);
                    if again == 0 { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                log.lock().unwrap().push(n);
                message.reply().send()
            }
        })
        .activate();
    });
    let connection = Connection::from_endpoint(&listener.endpoint()).activate();
    for reply in ask(&connection, 0..200) {
        block_on(reply).unwrap();
    }
    assert!(log.lock().unwrap().iter().copied().eq((0..200).flat_map(|n| [n, n])));
}

#[test]
fn a_full_lane_still_sends_and_receives_replies() {
    let listener = Listener::anonymous().activate(|peer| {
        peer.on_message_async(&Spawner::bundled().max_in_flight(1), |connection, message| {
            // On the connection that it came over, while nothing else is handled there.
            let answer = connection.send_with_reply(&message);
            async move { message.reply().with("n", answer.await?.uint64("n")?).send() }
        })
        .activate();
    });
    let connection = Connection::from_endpoint(&listener.endpoint())
        .on_message(|_, message| message.reply().with("n", 2 * message.uint64("n").unwrap()).send())
        .activate();
    for (n, reply) in (0..).zip(ask(&connection, 0..100)) {
        assert_eq!(block_on(reply).unwrap().uint64("n"), Ok(2 * n));
    }
}

#[test]
fn what_arrived_before_the_end_is_told_before_it() {
    let (sender, seen) = channel();
    let gate = Gate::default();
    let (opened, called) = (gate.clone(), sender.clone());
    let listener = Listener::anonymous().activate(move |peer| {
        let (gate, called, over) = (opened.clone(), called.clone(), sender.clone());
        peer.on_message_async(&Spawner::bundled().max_in_flight(1), move |_, message| {
            called.send(message.uint64("n").ok()).unwrap();
            let gate = gate.clone();
            async move { gate.pass().await }
        })
        .on_invalid(move |_, _| over.send(None).unwrap())
        .activate();
    });
    let connection = Connection::from_endpoint(&listener.endpoint()).activate();
    for n in 0..3 {
        connection.send(&number(n)).unwrap();
    }
    assert_eq!(seen.recv_timeout(FOR_EVER), Ok(Some(0)));
    drop(connection);
    gate.open();
    for expected in [Some(1), Some(2), None] {
        assert_eq!(seen.recv_timeout(FOR_EVER), Ok(expected));
    }
}

#[test]
fn an_executor_that_drops_its_tasks_interrupts_requesters_and_holds_nothing_up() {
    let drops = |task: Task| drop(task);
    let (listener, called, _gate) = gated(Spawner::new(drops).max_in_flight(1));
    let connection = Connection::from_endpoint(&listener.endpoint()).activate();
    for (n, reply) in (0..).zip(ask(&connection, 0..20)) {
        assert_eq!(block_on(reply).err(), Some(Error::Interrupted));
        assert_eq!(called.recv_timeout(FOR_EVER), Ok(n));
    }
}

#[test]
fn handlers_run_on_tokio() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let spawner = Spawner::new(runtime.handle().clone());
    let listener = Listener::anonymous().activate(move |peer| {
        peer.on_message_async(&spawner, |_, message| async move {
            tokio::task::yield_now().await;
            let on_tokio = tokio::runtime::Handle::try_current().is_ok();
            message.reply().with("n", message.uint64("n")?).with("on tokio", on_tokio).send()
        })
        .activate();
    });
    let connection = Connection::from_endpoint(&listener.endpoint()).activate();
    runtime.block_on(async {
        for (n, reply) in (0..).zip(ask(&connection, 0..100)) {
            let reply = reply.with_timeout(FOR_EVER).await.unwrap();
            assert_eq!((reply.uint64("n"), reply.bool("on tokio")), (Ok(n), Ok(true)));
        }
    });
}

/// This test in a process of its own, which it ends.
#[test]
fn a_panic_in_an_asynchronous_handler_ends_the_process() {
    const CHILD: &str = "XPC_RUNTIME_TEST_PANICS";
    if std::env::var_os(CHILD).is_none() {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_panic_in_an_asynchronous_handler_ends_the_process", "--nocapture"]);
        let output = command.env(CHILD, "1").output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("told to panic") && !said.contains("survived"), "{said}");
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let spawner = Spawner::new(runtime.handle().clone());
    let listener = Listener::anonymous().activate(move |peer| {
        let panics = |_: &Connection, message: Message| async move {
            assert!(message.is_empty(), "told to panic");
        };
        peer.on_message_async(&spawner, panics).activate();
    });
    let connection = Connection::from_endpoint(&listener.endpoint()).activate();
    // The message goes while the panic unwinds, a moment before the process does.
    let _ = connection.send_with_reply_timeout(&number(1), FOR_EVER);
    thread::park_timeout(FOR_EVER);
    eprintln!("survived");
}
