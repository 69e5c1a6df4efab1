//! Who is not the right peer is not heard.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use conformance_service::SERVICE;
use xpc_runtime::{Connection, Error, Inactive, Listener, PeerRequirement, Role, Session};

use crate::case::{Case, Outcome};
use crate::client::{Event, Events, FOR_EVER, ask, connect, op};

pub const CASES: &[Case] = &[
    Case::new("19", "a_reply_of_another_peer_is_an_error", reply_of_another),
    Case::new("19", "messages_of_another_peer_are_dropped", message_of_another),
    Case::new("19", "a_client_that_is_not_the_right_one_is_never_heard", client_is_another),
    Case::new("19", "clients_of_a_listener_meet_its_requirement", listener_requires),
    Case::new("19", "a_session_with_another_peer_ends", session_with_another),
    Case::new("19", "the_sender_of_one_message_can_be_compared", sender),
    Case::new("19", "a_requirement_that_cannot_be_compared_with_is_none", refused),
];

/// What the app and its services meet.
fn right() -> Result<PeerRequirement, Error> {
    if cfg!(any(target_vendor = "apple", xpc_runtime_force_apple)) {
        let ours = ["com.example.conformance", SERVICE].map(|name| format!("identifier \"{name}\""));
        PeerRequirement::code_signing(&ours.join(" or "))
    } else {
        PeerRequirement::same_bundle()
    }
}

/// What nobody here does.
fn wrong() -> Result<PeerRequirement, Error> {
    if cfg!(any(target_vendor = "apple", xpc_runtime_force_apple)) {
        PeerRequirement::code_signing("identifier \"com.example.conformance.nobody\"")
    } else {
        PeerRequirement::executable("/bin/sh")
    }
}

/// A connection to the service with a requirement, and what its handlers are told.
fn require(requirement: &PeerRequirement) -> (Connection, Events, Receiver<Error>) {
    let ((messages, events), (rejected, rejections)) = (channel(), channel());
    let connection = Connection::service(SERVICE)
        .require_peer(requirement)
        .on_message(move |_, message| messages.send(Event::Message(message)).unwrap_or_default())
        .on_peer_rejected(move |_, error| rejected.send(error).unwrap_or_default())
        .activate();
    (connection, Events::new(events), rejections)
}

fn reply_of_another() -> Outcome {
    let (connection, _events, rejections) = require(&wrong()?);
    for _ in 0..2 {
        let result = ask(&connection, &op("echo"));
        assert!(matches!(result, Err(Error::PeerRejected(_))), "{:?}", result.err());
    }
    if cfg!(not(target_vendor = "apple")) {
        assert!(matches!(rejections.recv_timeout(FOR_EVER), Ok(Error::PeerRejected(_))));
    }
    let (connection, _events, rejections) = require(&right()?);
    ask(&connection, &op("echo"))?;
    assert!(rejections.try_recv().is_err());
    Ok(())
}

fn message_of_another() -> Outcome {
    let (connection, events, _rejections) = require(&wrong()?);
    // Its messages are here before its reply.
    assert!(ask(&connection, &op("tell")).is_err());
    events.none();
    let (connection, events, _rejections) = require(&right()?);
    ask(&connection, &op("tell"))?;
    events.message("told");
    Ok(())
}

/// What a handler of this process's own hears of a client.
fn serve<R: Role>(peer: Inactive<R>, heard: std::sync::mpsc::Sender<u64>) {
    peer.on_message(move |_, message| -> Result<(), Error> {
        heard.send(message.uint64("n")?).unwrap_or_default();
        message.reply().send()
    })
    .activate();
}

/// Sends a message and a request to a listener, and says what became of the request.
fn knock(listener: &Listener) -> Outcome {
    let connection = Connection::from_endpoint(&listener.endpoint()).activate();
    connection.send(&op("knock").with("n", 1_u64))?;
    // Apple does not say whether a client that is not heard is told so.
    let patience = if cfg!(target_vendor = "apple") { Duration::from_secs(2) } else { FOR_EVER };
    connection.send_with_reply_timeout(&op("knock").with("n", 2_u64), patience).map(drop)
}

fn client_is_another() -> Outcome {
    for (requirement, is_heard) in [(wrong()?, false), (right()?, true)] {
        let (sender, heard) = channel();
        let listener =
            Listener::anonymous().activate(move |peer| serve(peer.require_peer(&requirement), sender.clone()));
        assert_eq!(knock(&listener).is_ok(), is_heard);
        assert_eq!(heard.try_iter().count() > 0, is_heard);
    }
    Ok(())
}

fn listener_requires() -> Outcome {
    for (requirement, is_heard) in [(wrong()?, false), (right()?, true)] {
        let (sender, heard) = channel();
        let listener =
            Listener::anonymous().require_peer(&requirement).activate(move |peer| serve(peer, sender.clone()));
        assert_eq!(knock(&listener).is_ok(), is_heard);
        assert_eq!(heard.try_iter().count() > 0, is_heard);
    }
    Ok(())
}

fn session_with_another() -> Outcome {
    let (sender, events) = channel();
    let open = |requirement: &PeerRequirement, sender: std::sync::mpsc::Sender<Event>| {
        Session::service(SERVICE)
            .require_peer(requirement)
            .on_cancelled(move |_, error| sender.send(Event::Invalid(error)).unwrap_or_default())
            .activate()
    };
    let session = open(&wrong()?, sender)?;
    let events = Events::new(events);
    let result = session.send_with_reply_timeout(&op("echo"), FOR_EVER);
    assert!(matches!(result, Err(Error::PeerRejected(_) | Error::Invalid(_))), "{:?}", result.err());
    events.invalid();
    events.end();
    let (sender, _events) = channel();
    open(&right()?, sender)?.send_with_reply_timeout(&op("echo"), FOR_EVER)?;
    Ok(())
}

fn sender() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    let reply = ask(&connection, &op("echo"))?;
    match (reply.require_sender(&right()?), reply.require_sender(&wrong()?)) {
        // libxpc compares with objects only, and before macOS 26 with none.
        (Err(Error::Unsupported(_)), Err(Error::Unsupported(_)))
            if cfg!(any(target_vendor = "apple", xpc_runtime_force_apple)) => {}
        (Ok(()), Err(Error::PeerRejected(_))) => {}
        other => panic!("{other:?}"),
    }
    Ok(())
}

fn refused() -> Outcome {
    let (none, not_here) = if cfg!(any(target_vendor = "apple", xpc_runtime_force_apple)) {
        (PeerRequirement::code_signing("anchor ("), PeerRequirement::same_bundle())
    } else {
        (PeerRequirement::executable("/no/such/program"), PeerRequirement::team_identity(None))
    };
    assert!(matches!(none, Err(Error::InvalidRequirement(_))), "{none:?}");
    assert!(matches!(not_here, Err(Error::Unsupported(_))), "{not_here:?}");
    Ok(())
}
