//! Where replies go, and how long they are waited for.

use std::sync::mpsc::channel;
use std::time::Duration;

use conformance_service::SERVICE;
use xpc_runtime::{Connection, Dictionary, Error, Queue, Session};

use crate::case::{Case, Outcome};
use crate::client::{FOR_EVER, ask, block_on, connect, op};

pub const CASES: &[Case] = &[
    Case::new("c", "a_future_can_time_out", timeout),
    Case::new("h", "replies_come_to_a_queue_in_turn", on_a_queue),
    Case::new("h", "a_reply_handler_is_told_of_failures", failures),
    Case::new("h", "a_session_shares_a_queue", session),
    Case::new("h", "replies_to_a_session_come_to_a_queue", to_a_session),
];

fn timeout() -> Outcome {
    let (connection, events) = connect(SERVICE);
    let late = connection.send_with_reply(&op("keep")).with_timeout(Duration::from_millis(20));
    assert_eq!(block_on(late).err(), Some(Error::TimedOut));
    events.message("kept");
    block_on(connection.send_with_reply(&op("echo")).with_timeout(FOR_EVER))?;
    // The late reply harms nobody.
    ask(&connection, &op("answer"))?;
    events.none();
    Ok(())
}

fn on_a_queue() -> Outcome {
    let queue = Queue::serial("com.example.conformance.replies");
    let (running, runs) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let handled = running.clone();
    let connection = Connection::service(SERVICE)
        .target_queue(&queue)
        .on_message(move |_, _| handled.send("message").unwrap_or_default())
        .activate();
    let asks = connection.clone();
    let (other, _events) = connect(SERVICE);
    other.send_with_reply_on(&queue, &op("echo"), move |reply| {
        assert!(reply.is_ok());
        assert_eq!(asks.send_with_reply_blocking(&op("echo")).err(), Some(Error::WouldDeadlock));
        running.send("reply").unwrap_or_default();
        may_go_on.recv().unwrap_or_default();
    });
    assert_eq!(runs.recv_timeout(FOR_EVER), Ok("reply"));
    connection.send(&op("tell"))?;
    // Long after the message was told, nothing else runs on the queue.
    for _ in 0..10 {
        ask(&other, &op("echo"))?;
    }
    assert!(runs.try_recv().is_err());
    go_on.send(()).expect("the handler waits");
    assert_eq!(runs.recv_timeout(FOR_EVER), Ok("message"));
    Ok(())
}

fn failures() -> Outcome {
    let queue = Queue::serial("com.example.conformance.failures");
    let (connection, _events) = connect(SERVICE);
    let (sender, outcomes) = channel();
    let ask = |name: &str| {
        let sender = sender.clone();
        connection.send_with_reply_on(&queue, &op(name), move |reply| sender.send(reply.err()).unwrap_or_default());
        outcomes.recv_timeout(FOR_EVER).expect("it is called")
    };
    assert_eq!(ask("echo"), None);
    assert_eq!(ask("exit"), Some(Error::Interrupted));
    assert!(matches!(ask("a\0b"), Some(Error::Encode(_))));
    connection.cancel();
    assert!(matches!(ask("echo"), Some(Error::Invalid(_))));
    Ok(())
}

fn session() -> Outcome {
    let queue = Queue::serial("com.example.conformance.sessions");
    let (running, runs) = channel();
    let connection = Connection::service(SERVICE).target_queue(&queue).activate();
    let session = Session::service(SERVICE)
        .target_queue(&queue)
        .on_message(move |_, _| {
            running.send(connection.send_with_reply_blocking(&op("echo")).err()).unwrap_or_default();
        })
        .activate()?;
    session.send(&op("tell"))?;
    assert_eq!(runs.recv_timeout(FOR_EVER), Ok(Some(Error::WouldDeadlock)));
    Ok(())
}

fn to_a_session() -> Outcome {
    let queue = Queue::serial("com.example.conformance.replies");
    let session = Session::service(SERVICE).activate()?;
    let other = Connection::service(SERVICE).target_queue(&queue).activate();
    let (sender, outcomes) = channel();
    let ask = |message: &Dictionary| {
        let (sender, other) = (sender.clone(), other.clone());
        session.send_with_reply_on(&queue, message, move |reply| {
            let same_queue = other.send_with_reply_blocking(&op("echo")).err();
            sender.send((reply.err(), same_queue)).unwrap_or_default();
        });
        let (outcome, same_queue) = outcomes.recv_timeout(FOR_EVER).expect("it is called");
        assert_eq!(same_queue, Some(Error::WouldDeadlock));
        outcome
    };
    assert_eq!(ask(&op("echo")), None);
    assert!(matches!(ask(&op("a\0b")), Some(Error::Encode(_))));
    session.send_blocking(&op("echo"))?;
    block_on(session.send_ready())?;
    assert_eq!(session.invalidation_reason(), None);
    session.cancel();
    let Some(Error::Invalid(reason)) = ask(&op("echo")) else { panic!("the session is over") };
    assert_eq!(session.invalidation_reason(), Some(reason));
    assert!(matches!(session.send_blocking(&op("echo")), Err(Error::Invalid(_))));
    assert!(matches!(block_on(session.send_ready()), Err(Error::Invalid(_))));
    Ok(())
}
