//! Listeners and their clients, in several processes.

use std::thread;

use xpc_runtime::{Connection, Dictionary, Listener};
use xpc_runtime_tests::process::descriptors;
use xpc_runtime_tests::{OTHER_SERVICE_NAME, SERVICE_NAME, op};

use crate::client::{Event, ask, connect, kill, next, service_pid};

/// A listener that says who it is and who asks.
fn listen() -> Listener {
    Listener::anonymous().activate(|peer| {
        let client = peer.pid().unwrap();
        peer.on_message(move |_, message| {
            message.reply().with("pid", std::process::id()).with("client", client).send()
        })
        .activate();
    })
}

pub fn endpoint() {
    let listener = listen();
    let endpoint = listener.endpoint();
    let me = Ok(std::process::id().into());
    let (connection, _events) = connect(SERVICE_NAME);
    let pid = service_pid(&connection);
    let with_endpoint = |name: &str| op(name).with("endpoint", &endpoint);
    let reply = ask(&connection, &with_endpoint("call-endpoint"));
    assert_eq!((reply.uint64("pid"), reply.uint64("client")), (me.clone(), Ok(pid.into())), "{reply:?}");
    let returned = ask(&connection, &with_endpoint("echo"));
    assert_eq!(returned.endpoint("endpoint"), Ok(&endpoint), "the same, once it is back");
    let back = Connection::from_endpoint(returned.endpoint("endpoint").unwrap()).activate();
    assert_eq!(ask(&back, &Dictionary::new()).uint64("client"), me);
    // From one service to the other; whoever handed it on then goes.
    ask(&connection, &with_endpoint("hand-on").with("to", OTHER_SERVICE_NAME));
    let (other, _events) = connect(OTHER_SERVICE_NAME);
    let other_pid = service_pid(&other);
    let (witness, events) = connect(SERVICE_NAME);
    ask(&witness, &op("echo"));
    kill(pid);
    assert!(matches!(next(&events), Event::Interrupted));
    let reply = ask(&other, &op("call-kept"));
    assert_eq!((reply.uint64("pid"), reply.uint64("client")), (me, Ok(other_pid.into())), "{reply:?}");
    listener.cancel();
    let reply = ask(&other, &op("call-kept"));
    assert!(reply.string("error").is_ok_and(|error| error.contains("listener is gone")), "{reply:?}");
}

pub fn endpoint_descriptors() {
    let open = || descriptors().len();
    let (connection, _events) = connect(SERVICE_NAME);
    let open_there = || ask(&connection, &op("who")).array("descriptors").unwrap().len();
    // The service is launched before this process is looked at.
    let (before_there, before) = (open_there(), open());
    let listener = listen();
    for _ in 0..50 {
        let message = op("call-endpoint").with("endpoint", listener.endpoint());
        assert!(ask(&connection, &message).uint64("pid").is_ok());
        ask(&connection, &op("echo").with("endpoint", listener.endpoint()));
    }
    // What is closed there is told here, in its own time.
    while open() > before || open_there() > before_there {
        thread::yield_now();
    }
}
