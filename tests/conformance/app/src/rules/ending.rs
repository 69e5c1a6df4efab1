//! How services, connections and requests end.

use std::sync::mpsc::channel;
use std::thread;

use conformance_service::{BROKEN, SERVICE};
use xpc_runtime::{Connection, Error};

use crate::case::{Case, Outcome};
use crate::client::{FOR_EVER, ask, block_on, connect, op, service_pid};

pub const CASES: &[Case] = &[
    Case::new("6", "a_service_that_dies_interrupts_and_is_launched_again", dies),
    Case::new("6", "a_service_that_ends_at_its_start_interrupts", broken),
    Case::new("6", "each_death_is_one_interruption", many_deaths),
    Case::new("7", "a_service_that_cancels_interrupts_its_client", cancelled_by_service),
    Case::new("7", "a_client_that_cancels_makes_the_services_peer_invalid", cancelled_by_client),
    Case::new("7", "ones_own_cancel_is_invalid_once_and_then_silent", cancel),
    Case::new("9", "a_dropped_request_interrupts_its_sender_alone", dropped_request).unverified(),
    Case::new("10", "there_is_one_reply", one_reply),
    Case::new("c", "a_request_can_time_out", timeout),
    Case::new("c", "a_dropped_future_discards_its_reply_alone", dropped_future),
    Case::new("c", "a_thousand_requests_from_several_threads", concurrent),
    Case::new("e", "what_was_sent_before_the_drop_arrives", dropped_connection),
    Case::new("e", "a_connection_may_be_dropped_in_its_own_handler", dropped_in_handler),
    Case::new("i", "a_connection_that_is_over_says_why", reasons),
    Case::new("i", "what_was_interrupted_may_be_tried_again", retry),
];

fn dies() -> Outcome {
    let (connection, events) = connect(SERVICE);
    let pid = service_pid(&connection)?;
    connection.send(&op("append").with("value", 1_u64))?;
    let pending = connection.send_with_reply(&op("keep"));
    events.message("kept");
    let blocked = thread::spawn({
        let connection = connection.clone();
        move || connection.send_with_reply_blocking(&op("keep")).err()
    });
    events.message("kept");
    connection.send(&op("exit"))?;
    assert_eq!(block_on(pending).err(), Some(Error::Interrupted));
    assert_eq!(blocked.join().expect("it does not panic"), Some(Error::Interrupted));
    events.interrupted();
    assert_ne!(service_pid(&connection)?, pid, "the next message launches it again");
    assert!(ask(&connection, &op("list"))?.array("values")?.is_empty(), "nothing is delivered twice");
    events.none();
    Ok(())
}

fn broken() -> Outcome {
    let (connection, events) = connect(BROKEN);
    assert_eq!(ask(&connection, &op("echo")).err(), Some(Error::Interrupted));
    events.interrupted();
    Ok(())
}

fn many_deaths() -> Outcome {
    let (connection, events) = connect(SERVICE);
    let mut last = 0;
    for _ in 0..20 {
        let pid = service_pid(&connection)?;
        assert_ne!(pid, last);
        last = pid;
        assert_eq!(ask(&connection, &op("exit")).err(), Some(Error::Interrupted));
        events.interrupted();
    }
    events.none();
    Ok(())
}

fn cancelled_by_service() -> Outcome {
    let (connection, events) = connect(SERVICE);
    let pid = service_pid(&connection)?;
    assert_eq!(ask(&connection, &op("cancel")).err(), Some(Error::Interrupted));
    events.interrupted();
    assert_eq!(service_pid(&connection)?, pid, "the service lives on and takes the client again");
    events.none();
    Ok(())
}

fn cancelled_by_client() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    let number = ask(&connection, &op("who"))?.uint64("peer")?;
    let (other, _more) = connect(SERVICE);
    connection.cancel();
    let seen = ask(&other, &op("wait-until-seen").with("peer", number).with("event", "invalid"))?;
    assert_eq!(seen.array("seen")?.len(), 1, "accepted connections are never interrupted");
    Ok(())
}

fn cancel() -> Outcome {
    let (connection, events) = connect(SERVICE);
    let pending = connection.send_with_reply(&op("keep"));
    events.message("kept");
    let blocked = thread::spawn({
        let connection = connection.clone();
        move || connection.send_with_reply_blocking(&op("keep")).err()
    });
    events.message("kept");
    connection.cancel();
    connection.cancel();
    assert!(matches!(block_on(pending).err(), Some(Error::Invalid(_))));
    assert!(matches!(blocked.join().expect("it does not panic"), Some(Error::Invalid(_))));
    events.invalid();
    events.end();
    assert!(matches!(connection.send(&op("echo")), Err(Error::Invalid(_))));
    Ok(())
}

fn dropped_request() -> Outcome {
    let (connection, events) = connect(SERVICE);
    assert_eq!(ask(&connection, &op("drop")).err(), Some(Error::Interrupted));
    assert_eq!(block_on(connection.send_with_reply(&op("drop"))).err(), Some(Error::Interrupted));
    ask(&connection, &op("echo"))?;
    events.none();
    Ok(())
}

fn one_reply() -> Outcome {
    let (connection, events) = connect(SERVICE);
    assert!(ask(&connection, &op("reply-twice"))?.bool("first")?);
    assert_eq!(events.message("second").string("error")?, Error::NotARequest.to_string());
    Ok(())
}

fn timeout() -> Outcome {
    let (connection, events) = connect(SERVICE);
    let moment = std::time::Duration::from_millis(20);
    assert_eq!(connection.send_with_reply_timeout(&op("keep"), moment).err(), Some(Error::TimedOut));
    events.message("kept");
    // The late reply goes nowhere.
    ask(&connection, &op("answer"))?;
    ask(&connection, &op("echo"))?;
    events.none();
    Ok(())
}

fn dropped_future() -> Outcome {
    let (connection, events) = connect(SERVICE);
    let dropped = connection.send_with_reply(&op("keep"));
    let kept = connection.send_with_reply(&op("keep"));
    events.message("kept");
    events.message("kept");
    drop(dropped);
    ask(&connection, &op("answer"))?;
    assert!(block_on(kept)?.bool("answered")?);
    events.none();
    Ok(())
}

fn concurrent() -> Outcome {
    let (connection, events) = connect(SERVICE);
    thread::scope(|scope| {
        for thread in 0..8_u64 {
            let connection = &connection;
            scope.spawn(move || {
                for n in 0..125_u64 {
                    let message = op("echo").with("thread", thread).with("n", n);
                    let reply = if n % 2 == 0 {
                        ask(connection, &message)
                    } else {
                        block_on(connection.send_with_reply(&message))
                    };
                    assert_eq!(*reply.expect("a reply"), message);
                }
            });
        }
    });
    let all: Vec<_> = (0..1000_u64).map(|n| connection.send_with_reply(&op("echo").with("n", n))).collect();
    for (n, reply) in (0..).zip(all) {
        assert_eq!(block_on(reply)?.uint64("n")?, n);
    }
    events.none();
    Ok(())
}

fn dropped_connection() -> Outcome {
    let (first, events) = connect(SERVICE);
    let pending = first.send_with_reply(&op("keep").with("data", vec![1_u8; 8 << 20]));
    drop(first);
    // A reply future keeps its connection.
    events.message("kept");
    let (second, _more) = connect(SERVICE);
    ask(&second, &op("answer"))?;
    assert!(block_on(pending)?.bool("answered")?);
    events.end();
    Ok(())
}

fn dropped_in_handler() -> Outcome {
    let (sender, dropped) = channel();
    let (hand_over, handed_over) = channel::<Connection>();
    let connection = Connection::service(SERVICE)
        .on_message(move |_, _| {
            drop(handed_over.recv());
            sender.send(()).unwrap_or_default();
        })
        .activate();
    connection.send(&op("keep"))?;
    hand_over.send(connection).expect("the handler waits");
    dropped.recv_timeout(FOR_EVER).expect("the handler goes on");
    assert!(dropped.recv_timeout(FOR_EVER).is_err(), "the handler goes with its connection");
    Ok(())
}

fn reasons() -> Outcome {
    let (connection, events) = connect(SERVICE);
    ask(&connection, &op("echo"))?;
    assert_eq!(connection.invalidation_reason(), None);
    connection.cancel();
    let Error::Invalid(told) = events.invalid() else { panic!("the error of the last event is `Invalid`") };
    assert_eq!(connection.invalidation_reason(), Some(told));
    let (connection, events) = connect("com.example.conformance.nobody");
    let error = events.invalid();
    let reason = connection.invalidation_reason();
    assert_eq!(reason.as_deref(), Some(&*error.to_string()));
    assert!(reason.is_some_and(|reason| !reason.is_empty()));
    Ok(())
}

fn retry() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    let error = ask(&connection, &op("exit")).err();
    assert!(error.as_ref().is_some_and(Error::can_retry), "{error:?}");
    ask(&connection, &op("echo"))?;
    connection.cancel();
    let error = ask(&connection, &op("echo")).err();
    assert!(error.as_ref().is_some_and(|error| !error.can_retry()), "{error:?}");
    Ok(())
}
