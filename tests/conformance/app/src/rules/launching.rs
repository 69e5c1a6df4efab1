//! Names, launching, who the peer is.

use std::time::SystemTime;

use conformance_service::{OTHER, SERVICE};
use xpc_runtime::{Connection, Error};

use crate::case::{Case, Outcome};
use crate::client::{ask, block_on, connect, op};

pub const CASES: &[Case] = &[
    Case::new("1", "a_service_is_reached_by_its_identifier", by_name),
    Case::new("1", "services_of_other_apps_are_unknown", of_another_app),
    Case::new("2", "an_unknown_name_is_invalid_after_activation", unknown_name),
    Case::new("3", "a_message_launches_and_a_connection_does_not", launch_on_message),
    Case::new("3", "each_connection_is_a_peer_of_its_own", peers),
    Case::new("13", "credentials_are_known_after_the_first_exchange", credentials),
    Case::new("b", "a_service_has_an_environment_of_its_own", environment),
];

fn by_name() -> Outcome {
    let (connection, events) = connect(SERVICE);
    assert_eq!(connection.name(), Some(SERVICE));
    let (other, _events) = connect(OTHER);
    assert_ne!(ask(&connection, &op("who"))?.uint64("pid")?, ask(&other, &op("who"))?.uint64("pid")?);
    events.none();
    Ok(())
}

fn of_another_app() -> Outcome {
    // A launchd service of macOS's that is no XPC service of this app.
    let (connection, events) = connect("com.example.evaluator.service");
    assert!(matches!(ask(&connection, &op("who")), Err(Error::Invalid(_))));
    events.invalid();
    Ok(())
}

fn unknown_name() -> Outcome {
    let inactive = Connection::service("com.example.conformance.nobody");
    drop(inactive);
    let (connection, events) = connect("com.example.conformance.nobody");
    assert!(matches!(ask(&connection, &op("who")), Err(Error::Invalid(_))));
    assert!(matches!(block_on(connection.send_with_reply(&op("who"))), Err(Error::Invalid(_))));
    assert!(matches!(events.invalid(), Error::Invalid(_)));
    assert!(matches!(connection.send(&op("who")), Err(Error::Invalid(_))));
    events.end();
    Ok(())
}

fn launch_on_message() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    let (other, _more) = connect(OTHER);
    // The other one's whole life lies between: this one had its time to be launched.
    ask(&other, &op("who"))?;
    let before = SystemTime::now();
    let started = SystemTime::from(ask(&connection, &op("who"))?.date("started")?);
    assert!(started >= before, "it was launched before the message was sent");
    Ok(())
}

fn peers() -> Outcome {
    let connections: Vec<_> = (0..5).map(|_| connect(SERVICE)).collect();
    let mut numbers = Vec::new();
    let mut processes = Vec::new();
    for (connection, _) in &connections {
        let who = ask(connection, &op("who"))?;
        numbers.push(who.uint64("peer")?);
        processes.push(who.uint64("pid")?);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert!(processes.iter().all(|pid| *pid == processes[0]), "one instance serves the whole app");
    Ok(())
}

fn credentials() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    assert_eq!((connection.pid(), connection.euid(), connection.egid()), (None, None, None));
    let who = ask(&connection, &op("who"))?;
    assert_eq!(connection.pid().map(u64::from), Some(who.uint64("pid")?));
    assert_eq!(who.uint64("peer-pid-at-accept")?, std::process::id().into());
    let seen = who.array("credentials")?;
    assert_eq!(seen.uint64(0)?, std::process::id().into());
    // Both are processes of one user.
    assert_eq!(connection.euid().map(u64::from), Some(seen.uint64(1)?));
    assert_eq!(connection.egid().map(u64::from), Some(seen.uint64(2)?));
    Ok(())
}

fn environment() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    let who = ask(&connection, &op("who"))?;
    let environment = who.dictionary("environment")?;
    assert_eq!(environment.string("GREETING")?, "hello");
    assert_eq!(environment.string("XPC_SERVICE_NAME")?, SERVICE);
    assert!(!environment.contains_key("XPC_RUNTIME_THROTTLE"), "the app's variables stay with the app");
    assert!(who.array("arguments")?.is_empty(), "so do its arguments");
    Ok(())
}
