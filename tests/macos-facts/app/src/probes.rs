//! The questions. Each stands for a statement about XPC that is made nowhere, or contradicted somewhere.

use std::time::Instant;

use macos_facts_service::{ENDING, JOINING, PLAIN, REJECTING, RUN_LOOP, SANDBOXED, STRICT, nobody};
use xpc_runtime::{Connection, Error, InactiveSession, Session};

use crate::client::{Events, PATIENCE, connect, events, milliseconds, outcome, wish};

/// What was seen, or why nothing could be.
type Seen = Result<String, Error>;

/// What is asked, and how.
type Probe = (&'static str, fn() -> Seen);

/// All of them.
pub const PROBES: &[Probe] = &[
    ("services that are signed ad hoc are launched", launches),
    ("a request whose reply is dropped interrupts its sender, and the connection stays", dropped_on_a_connection),
    ("a request whose reply is dropped leaves a session alone", dropped_on_a_session),
    ("a service that dies while it works is started again at once", dies_at_work),
    ("a service that ends at its start is held up", ends_at_its_start),
    ("a client that does not meet the service's requirement is told something", rejected_by_a_requirement),
    (
        "a service that does not meet the client's requirement: the request fails with the code-signing error",
        rejects_the_service,
    ),
    ("a service that does not meet the requirement ends a session", rejects_the_service_of_a_session),
    ("a client whose connection is not accepted is interrupted", not_accepted),
    ("under NSRunLoop the main thread serves", run_loop),
];

fn ask(connection: &Connection, what: &str) -> String {
    outcome(|| connection.send_with_reply_timeout(&wish(what), PATIENCE))
}

/// Nothing can be asked of a service that cannot be launched.
fn launched(service: &str) -> Result<(Connection, Events), Error> {
    let (connection, events) = connect(service, None);
    connection.send_with_reply_timeout(&wish("who"), PATIENCE)?;
    Ok((connection, events))
}

fn launches() -> Seen {
    let services =
        [("plain", PLAIN), ("sandboxed", SANDBOXED), ("of the app's session", JOINING), ("NSRunLoop", RUN_LOOP)];
    let seen = services.map(|(what, name)| {
        let (connection, events) = connect(name, None);
        let answer = ask(&connection, "who");
        // Events say more where it was not launched.
        if answer.starts_with("answered") {
            format!("{what}: {answer}")
        } else {
            format!("{what}: {answer}, {}", events.all())
        }
    });
    Ok(seen.join("; "))
}

fn dropped_on_a_connection() -> Seen {
    let (connection, events) = launched(PLAIN)?;
    let before = ask(&connection, "who");
    let dropped = ask(&connection, "drop");
    let all = events.all();
    Ok(format!("{before}; the dropped one: {dropped}, {all}; the next: {}", ask(&connection, "who")))
}

/// A session and its events.
fn session(name: &str, with: impl FnOnce(InactiveSession) -> InactiveSession) -> Result<(Session, Events), Error> {
    let (sender, events) = events();
    let inactive = Session::service(name).on_cancelled(move |_, error| {
        sender.send(format!("cancelled ({error})")).unwrap_or_default();
    });
    Ok((with(inactive).activate()?, events))
}

fn dropped_on_a_session() -> Seen {
    let (session, events) = session(PLAIN, |inactive| inactive)?;
    session.send_with_reply_timeout(&wish("who"), PATIENCE)?;
    let ask = |what| outcome(|| session.send_with_reply_timeout(&wish(what), PATIENCE));
    let dropped = ask("drop");
    let all = events.all();
    Ok(format!("the dropped one: {dropped}, {all}; the next: {}", ask("who")))
}

fn dies_at_work() -> Seen {
    let (connection, _events) = launched(PLAIN)?;
    let mut times = Vec::new();
    for _ in 0..5 {
        connection.send_with_reply_timeout(&wish("end"), PATIENCE).err();
        let begin = Instant::now();
        // The request may be the one that hears of the death.
        while connection.send_with_reply_timeout(&wish("who"), PATIENCE).is_err() && begin.elapsed() < PATIENCE {}
        times.push(milliseconds(begin.elapsed()));
    }
    Ok(format!("after each death a request was answered in {}", times.join(", ")))
}

fn ends_at_its_start() -> Seen {
    launched(PLAIN)?;
    let (connection, events) = connect(ENDING, None);
    let answers: Vec<_> = (0..5).map(|_| ask(&connection, "who")).collect();
    Ok(format!("one after the other {}; {}", answers.join(", "), events.all()))
}

fn rejected_by_a_requirement() -> Seen {
    nobody()?;
    launched(PLAIN)?;
    let (connection, events) = connect(STRICT, None);
    let answer = ask(&connection, "who");
    let all = events.all();
    connection.send(&wish("who"))?;
    Ok(format!("a request: {answer}, {all}; a message: {}; another request: {}", events.all(), ask(&connection, "who")))
}

fn rejects_the_service() -> Seen {
    launched(PLAIN)?;
    let (connection, events) = connect(PLAIN, Some(&nobody()?));
    let answer = ask(&connection, "who");
    let all = events.all();
    Ok(format!("a request: {answer}, {all}; another: {}", ask(&connection, "who")))
}

fn rejects_the_service_of_a_session() -> Seen {
    launched(PLAIN)?;
    let nobody = nobody()?;
    let (session, events) = session(PLAIN, |inactive| inactive.require_peer(&nobody))?;
    let answer = outcome(|| session.send_with_reply_timeout(&wish("who"), PATIENCE));
    Ok(format!("a request: {answer}, {}", events.all()))
}

fn not_accepted() -> Seen {
    launched(PLAIN)?;
    let (connection, events) = connect(REJECTING, None);
    let answer = ask(&connection, "who");
    let all = events.all();
    Ok(format!("a request: {answer}, {all}; another: {}", ask(&connection, "who")))
}

fn run_loop() -> Seen {
    let mut seen = Vec::new();
    for (what, name) in [("NSRunLoop", RUN_LOOP), ("dispatch_main", PLAIN)] {
        let (connection, _events) = connect(name, None);
        let reply = connection.send_with_reply_timeout(&wish("who"), PATIENCE)?;
        let (accepted, handled) = (reply.string("accepted on")?, reply.string("handled on")?);
        seen.push(format!("{what}: accepted on {accepted}, handled on {handled}"));
    }
    Ok(seen.join("; "))
}
