//! The order of messages, and what runs when.

use std::sync::mpsc::channel;

use conformance_service::SERVICE;
use xpc_runtime::{Array, Connection, Error};

use crate::case::{Case, Outcome};
use crate::client::{FOR_EVER, ask, block_on, connect, op};

pub const CASES: &[Case] = &[
    Case::new("4", "messages_keep_their_order", order),
    Case::new("4", "sending_never_blocks", never_blocks),
    Case::new("4", "replies_are_outside_of_the_order", replies_overtake),
    Case::new("5", "while_a_handler_runs_its_connection_receives_nothing", one_at_a_time),
    Case::new("5", "while_a_handler_runs_its_connection_sends_nothing", sends_nothing),
    Case::new("5", "a_blocking_request_inside_the_own_handler_is_an_error", deadlock),
];

fn order() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    for value in 0..2000_u64 {
        connection.send(&op("append").with("value", value))?;
    }
    let list = ask(&connection, &op("list"))?;
    assert_eq!(*list.array("values")?, (0..2000_u64).collect::<Array>());
    Ok(())
}

fn never_blocks() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    let (other, _more) = connect(SERVICE);
    connection.send(&op("block"))?;
    ask(&other, &op("wait-until-blocked"))?;
    // More than any buffer between the processes holds; the service reads none of it.
    for value in 0..500_u64 {
        connection.send(&op("append").with("value", value).with("data", vec![0_u8; 1000]))?;
    }
    ask(&other, &op("open"))?;
    assert_eq!(*ask(&connection, &op("list"))?.array("values")?, (0..500_u64).collect::<Array>());
    Ok(())
}

fn replies_overtake() -> Outcome {
    let (connection, events) = connect(SERVICE);
    let first = connection.send_with_reply(&op("keep"));
    events.message("kept");
    // The second request is answered while the first still waits.
    ask(&connection, &op("echo"))?;
    ask(&connection, &op("answer"))?;
    assert!(block_on(first)?.bool("answered")?);
    Ok(())
}

fn one_at_a_time() -> Outcome {
    let (running, runs) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let mut busy = false;
    let connection = Connection::service(SERVICE)
        .on_message(move |_, _| {
            assert!(!std::mem::replace(&mut busy, true), "the handler was called while it ran");
            running.send(()).unwrap_or_default();
            may_go_on.recv().unwrap_or_default();
            busy = false;
        })
        .activate();
    let _first = connection.send_with_reply(&op("keep"));
    let _second = connection.send_with_reply(&op("keep"));
    runs.recv_timeout(FOR_EVER).expect("the handler runs");
    // Not even replies come while it runs.
    let reply = connection.send_with_reply(&op("echo"));
    let (other, _events) = connect(SERVICE);
    ask(&other, &op("echo"))?;
    assert!(runs.try_recv().is_err());
    go_on.send(()).expect("the handler waits");
    runs.recv_timeout(FOR_EVER).expect("the handler runs again");
    go_on.send(()).expect("the handler waits");
    block_on(reply)?;
    Ok(())
}

fn sends_nothing() -> Outcome {
    let (connection, events) = connect(SERVICE);
    // Both leave when the service's handler returns, in the order in which they were sent.
    assert!(ask(&connection, &op("send-then-reply"))?.bool("replied")?);
    events.message("sent first");
    Ok(())
}

fn deadlock() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    assert_eq!(ask(&connection, &op("ask-blocking"))?.string("error")?, Error::WouldDeadlock.to_string());
    let (other, _more) = connect(SERVICE);
    let (sender, results) = channel();
    let own = Connection::service(SERVICE)
        .on_message(move |connection, _| {
            let own = connection.send_with_reply_blocking(&op("echo")).err();
            sender.send((own, other.send_with_reply_blocking(&op("echo")).is_ok())).unwrap_or_default();
        })
        .activate();
    let _pending = own.send_with_reply(&op("keep"));
    let seen = results.recv_timeout(FOR_EVER).expect("the handler runs");
    assert_eq!(seen, (Some(Error::WouldDeadlock), true), "another connection can be asked");
    Ok(())
}
