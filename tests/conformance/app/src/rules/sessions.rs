//! Sessions, which one instance of a service has.

use std::sync::mpsc::channel;
use std::thread;

use conformance_service::SERVICE;
use xpc_runtime::{Error, Session};

use crate::case::{Case, Outcome};
use crate::client::{Event, Events, FOR_EVER, ask, block_on, connect, op, service_pid};

pub const CASES: &[Case] = &[
    Case::new("14", "a_session_sends_asks_and_is_told", asks),
    Case::new("14", "a_session_replies_to_what_its_service_asks", asks_back),
    Case::new("14", "a_service_that_dies_ends_the_session_and_is_not_launched_by_it_again", dies),
    Case::new("14", "a_service_that_cancels_ends_the_session", cancelled_by_service),
    Case::new("14", "ones_own_cancel_ends_the_session_once", cancel),
    Case::new("14", "a_session_with_nobody_is_invalid", unknown_name),
    Case::new("14", "the_last_clone_of_a_session_ends_it", dropped),
    Case::new("14", "a_dropped_request_leaves_the_session_alone", dropped_request).unverified(),
    Case::new("14", "a_blocking_request_inside_the_sessions_own_handler_is_an_error", deadlock),
];

/// A session, and what its handlers are told.
fn open(name: &str) -> Result<(Session, Events), Error> {
    let (sender, events) = channel();
    let messages = sender.clone();
    let session = Session::service(name)
        .on_message(move |_, message| messages.send(Event::Message(message)).unwrap_or_default())
        .on_cancelled(move |_, error| sender.send(Event::Invalid(error)).unwrap_or_default())
        .activate()?;
    Ok((session, Events::new(events)))
}

fn asks() -> Outcome {
    let (session, events) = open(SERVICE)?;
    assert_eq!(session.name(), SERVICE);
    let message = op("echo").with("value", 1_u64);
    assert_eq!(*session.send_with_reply_blocking(&message)?, message);
    assert_eq!(*session.send_with_reply_timeout(&message, FOR_EVER)?, message);
    assert_eq!(*block_on(session.send_with_reply(&message))?, message);
    session.send(&op("tell"))?;
    events.message("told");
    for value in 0..100_u64 {
        session.send(&op("append").with("value", value))?;
    }
    assert_eq!(session.send_with_reply_blocking(&op("list"))?.array("values")?.len(), 100);
    events.none();
    Ok(())
}

fn asks_back() -> Outcome {
    let session = Session::service(SERVICE)
        .on_message(|_, message| -> Result<(), Error> {
            message.reply().with("answer", message.uint64("question")? * 7).send()
        })
        .activate()?;
    assert_eq!(session.send_with_reply_blocking(&op("ask-back"))?.uint64("answer")?, 42);
    Ok(())
}

fn dies() -> Outcome {
    let (session, events) = open(SERVICE)?;
    let pid = session.send_with_reply_blocking(&op("who"))?.uint64("pid")?;
    let pending = session.send_with_reply(&op("keep"));
    events.message("kept");
    let blocked = thread::spawn({
        let session = session.clone();
        move || session.send_with_reply_blocking(&op("keep")).err()
    });
    events.message("kept");
    session.send(&op("exit"))?;
    assert!(matches!(block_on(pending), Err(Error::Invalid(_))));
    assert!(matches!(blocked.join().expect("it does not panic"), Some(Error::Invalid(_))));
    events.invalid();
    events.end();
    assert!(matches!(session.send(&op("echo")), Err(Error::Invalid(_))));
    assert!(matches!(session.send_with_reply_blocking(&op("echo")), Err(Error::Invalid(_))));
    let (connection, _events) = connect(SERVICE);
    let who = ask(&connection, &op("who"))?;
    assert_ne!(who.uint64("pid")?, pid);
    assert_eq!(who.uint64("peer")?, 1, "the session is no peer of the second instance");
    Ok(())
}

fn cancelled_by_service() -> Outcome {
    let (session, events) = open(SERVICE)?;
    let (connection, more) = connect(SERVICE);
    let pid = service_pid(&connection)?;
    assert!(matches!(session.send_with_reply_blocking(&op("cancel")), Err(Error::Invalid(_))));
    events.invalid();
    events.end();
    assert!(matches!(session.send(&op("echo")), Err(Error::Invalid(_))));
    assert_eq!(service_pid(&connection)?, pid, "the service lives on");
    more.none();
    Ok(())
}

fn cancel() -> Outcome {
    let (session, events) = open(SERVICE)?;
    let pending = session.send_with_reply(&op("keep"));
    events.message("kept");
    session.cancel();
    session.clone().cancel();
    assert!(matches!(block_on(pending), Err(Error::Invalid(_))));
    events.invalid();
    events.end();
    assert!(matches!(session.send(&op("echo")), Err(Error::Invalid(_))));
    Ok(())
}

fn unknown_name() -> Outcome {
    drop(Session::service("com.example.conformance.nobody"));
    // Where the system knows at once, it says so at once.
    match open("com.example.conformance.nobody") {
        Ok((session, events)) => {
            events.invalid();
            events.end();
            assert!(matches!(session.send(&op("echo")), Err(Error::Invalid(_))));
        }
        Err(error) => assert!(matches!(error, Error::Invalid(_)), "{error}"),
    }
    Ok(())
}

fn dropped() -> Outcome {
    let (session, events) = open(SERVICE)?;
    let (connection, _more) = connect(SERVICE);
    let peer = session.send_with_reply_blocking(&op("who"))?.uint64("peer")?;
    let clone = session.clone();
    drop(session);
    clone.send_with_reply_blocking(&op("echo"))?;
    drop(clone);
    ask(&connection, &op("wait-until-seen").with("peer", peer).with("event", "invalid"))?;
    events.end();
    Ok(())
}

fn dropped_request() -> Outcome {
    let (session, events) = open(SERVICE)?;
    assert_eq!(session.send_with_reply_blocking(&op("drop")).err(), Some(Error::Interrupted));
    session.send_with_reply_blocking(&op("echo"))?;
    events.none();
    Ok(())
}

fn deadlock() -> Outcome {
    let (sender, results) = channel();
    let session = Session::service(SERVICE)
        .on_message(move |session, _| {
            sender.send(session.send_with_reply_blocking(&op("echo")).err()).unwrap_or_default();
        })
        .activate()?;
    session.send(&op("tell"))?;
    assert_eq!(results.recv_timeout(FOR_EVER), Ok(Some(Error::WouldDeadlock)));
    Ok(())
}
