//! Anonymous listeners and the ways to them.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, channel};

use conformance_service::{OTHER, SERVICE};
use xpc_runtime::{Connection, Dictionary, Endpoint, Error, Listener, array, dictionary};

use crate::case::{Case, Outcome};
use crate::client::{FOR_EVER, ask, connect, op, service_pid};

pub const CASES: &[Case] = &[
    Case::new("8", "a_cancelled_listener_makes_its_clients_invalid", cancelled),
    Case::new("8", "a_listener_that_dies_makes_its_clients_invalid", dies),
    Case::new("8", "a_client_that_its_listener_rejects_is_invalid", rejected),
    Case::new("20", "an_endpoint_leads_to_its_listener", in_one_process),
    Case::new("20", "an_endpoint_may_be_sent_and_sent_on", sent_on),
    Case::new("20", "an_endpoint_arrives_from_deep_inside_a_message", nested),
    Case::new("20", "an_endpoint_that_comes_back_is_the_same", comes_back),
];

/// A listener that says who it is and who asks.
fn listen() -> Listener {
    Listener::anonymous().activate(|peer| {
        let client = peer.pid().unwrap_or_default();
        peer.on_message(move |_, message| {
            message.reply().with("pid", std::process::id()).with("client", client).send()
        })
        .activate();
    })
}

fn reach(endpoint: &Endpoint) -> (Connection, Receiver<Error>) {
    let (sender, invalid) = channel();
    let connection = Connection::from_endpoint(endpoint)
        .on_invalid(move |_, error| sender.send(error).unwrap_or_default())
        .activate();
    (connection, invalid)
}

fn is_over(connection: &Connection, invalid: &Receiver<Error>) {
    assert!(matches!(invalid.recv_timeout(FOR_EVER), Ok(Error::Invalid(_))));
    assert!(matches!(ask(connection, &Dictionary::new()), Err(Error::Invalid(_))));
}

fn cancelled() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    let reply = ask(&connection, &op("listen"))?;
    let endpoint = reply.endpoint("endpoint")?;
    let (client, invalid) = reach(endpoint);
    assert_eq!(ask(&client, &Dictionary::new())?.uint64("pid")?, service_pid(&connection)?);
    ask(&connection, &op("stop-listening"))?;
    is_over(&client, &invalid);
    let (late, invalid) = reach(endpoint);
    is_over(&late, &invalid);
    Ok(())
}

fn dies() -> Outcome {
    let (connection, events) = connect(SERVICE);
    let reply = ask(&connection, &op("listen"))?;
    let endpoint = reply.endpoint("endpoint")?;
    let (client, invalid) = reach(endpoint);
    ask(&client, &Dictionary::new())?;
    connection.send(&op("exit"))?;
    events.interrupted();
    is_over(&client, &invalid);
    let (late, invalid) = reach(endpoint);
    is_over(&late, &invalid);
    Ok(())
}

fn rejected() -> Outcome {
    let listener = Listener::anonymous().activate(drop);
    let (client, invalid) = reach(&listener.endpoint());
    is_over(&client, &invalid);
    Ok(())
}

fn in_one_process() -> Outcome {
    let listener = listen();
    let (client, _invalid) = reach(&listener.endpoint());
    let reply = ask(&client, &Dictionary::new())?;
    let me = u64::from(std::process::id());
    assert_eq!((reply.uint64("pid")?, reply.uint64("client")?), (me, me));
    Ok(())
}

fn sent_on() -> Outcome {
    let listener = listen();
    let (connection, events) = connect(SERVICE);
    let with_endpoint = |name: &str| op(name).with("endpoint", listener.endpoint());
    let reply = ask(&connection, &with_endpoint("call-endpoint"))?;
    let me = u64::from(std::process::id());
    assert_eq!((reply.uint64("pid")?, reply.uint64("client")?), (me, service_pid(&connection)?));
    // From one service to the other; the one that handed it on goes.
    let kept = with_endpoint("keep-endpoint");
    ask(&connection, &op("forward").with("to", OTHER).with("message", kept))?;
    connection.send(&op("exit"))?;
    events.interrupted();
    let (other, _events) = connect(OTHER);
    let reply = ask(&other, &op("call-kept"))?;
    assert_eq!((reply.uint64("pid")?, reply.uint64("client")?), (me, service_pid(&other)?));
    Ok(())
}

fn comes_back() -> Outcome {
    let (listener, another) = (listen(), listen());
    let (connection, _events) = connect(SERVICE);
    let reply = ask(&connection, &op("echo").with("endpoint", listener.endpoint()))?;
    assert_eq!(reply.endpoint("endpoint")?, &listener.endpoint());
    assert_ne!(reply.endpoint("endpoint")?, &another.endpoint());
    Ok(())
}

fn nested() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    let listener = listen();
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    let inner = dictionary! { "endpoint" => listener.endpoint(), "to" => array![(), OwnedFd::from(writer)] };
    let message = op("echo").with("list", array![1_i64, array![dictionary! { "inner" => inner }]]);
    let reply = ask(&connection, &message)?;
    drop(message);
    let inner = reply.array("list")?.array(1)?.dictionary(0)?.dictionary("inner")?;
    assert_eq!(*inner.endpoint("endpoint")?, listener.endpoint());
    let (reached, _invalid) = reach(inner.endpoint("endpoint")?);
    assert_eq!(ask(&reached, &Dictionary::new())?.uint64("pid")?, std::process::id().into());
    let mut to = File::from(inner.array("to")?.fd(1)?.try_clone_to_owned().expect("it can be duplicated"));
    to.write_all(b"deep").expect("it is open for writing");
    drop((to, reply));
    let mut received = String::new();
    File::from(OwnedFd::from(reader)).read_to_string(&mut received).expect("all that write have closed it");
    assert_eq!(received, "deep");
    Ok(())
}
