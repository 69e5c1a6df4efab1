//! The tests, one room a family of rules.

mod activities;
mod agents;
mod ending;
mod endpoints;
mod flow;
mod launching;
mod lifetime;
mod order;
mod replies;
mod requirements;
mod sandbox;
mod sessions;
mod tasks;
mod values;

use crate::case::Case;

/// The rules of XPC, by number, and after them the features, by letter.
pub const RULES: &[(&str, &str)] = &[
    ("1", "a service's name is its bundle's identifier; only the app that contains it sees it"),
    ("2", "making a connection always succeeds; an unknown name is *invalid* after activation"),
    ("3", "a message launches the service, a connection does not; each connection is a peer of its own"),
    ("4", "messages of a connection keep their order, sending never blocks, replies are outside of that order"),
    (
        "5",
        "one handler call at a time; meanwhile its connection neither sends nor receives, and a blocking request in it is an error",
    ),
    (
        "6",
        "a service that dies: *interrupted*, pending replies too; the next message launches it again, nothing is delivered twice",
    ),
    (
        "7",
        "who cancels what: the client is interrupted, the service's peer is invalid, one's own connection is invalid and then silent",
    ),
    ("8", "a connection made from an endpoint is *invalid* when its listener goes"),
    ("9", "a request that is dropped without a reply interrupts its sender, and the connection stays"),
    ("10", "there is one reply to a message; a message is a dictionary"),
    (
        "11",
        "suspension is counted; meanwhile nothing is sent or delivered; a connection may be dropped suspended or before its activation",
    ),
    ("12", "a barrier runs once what was sent before has left; meanwhile nothing is sent"),
    ("13", "the peer's credentials: unknown to a client before the first exchange, known for accepted peers"),
    (
        "14",
        "a session belongs to one instance of a service: every disconnection is its end, and it launches nothing again",
    ),
    ("15", "a service without a transaction is ended when it is idle; its client is interrupted"),
    ("16", "*termination imminent* goes to accepted peers; the end of the last transaction is the end of the process"),
    ("17", "`xpc_main` never returns; a service that is run by hand says so and aborts"),
    ("18", "a service that ends at once over and over is started less and less often"),
    (
        "19",
        "a peer that does not meet the requirement is not heard; a reply of its is an error, and a session with it ends",
    ),
    ("20", "an endpoint, which only an anonymous listener has, leads there from any process that it was sent to"),
    ("21", "an agent listens under its name and calls `dispatch_main`; `xpc_main` is for services in bundles"),
    ("22", "a sandbox applies with the entitlement `com.apple.security.app-sandbox`, and not without it"),
    ("23", "what a service prints, and its panics, can be seen"),
    ("a", "values of every type arrive as they were sent"),
    ("b", "the environment is the service's own: `EnvironmentVariables` and little else"),
    ("c", "requests: awaited, blocking, with a time limit; several at once; dropped ones harm nobody"),
    ("d", "a service may ask its client, and other services of its app"),
    ("e", "a dropped connection ends when what was sent has left"),
    ("f", "a budget bounds what waits to be sent: past it senders are refused, or wait for room"),
    ("g", "a connection may carry a context"),
    ("h", "connections may share a queue: of all their handlers one runs at a time, those of replies too"),
    ("i", "an error says whether the same may be tried again, and a connection why it is over"),
    ("j", "background work runs at its time, once or again and again, goes on past its handler, and pauses"),
    (
        "k",
        "an agent is reached by a name that it serves, as a service is; one that dies interrupts, and is reached when it is back",
    ),
    ("l", "asynchronous handlers begin in the order of arrival, and go on beside each other up to a bound"),
    ("m", "launchd's events have a handler each, on Apple platforms"),
    (
        "n",
        "a service may have the run loop of Foundation, which serves the main thread; where there is none it serves all the same",
    ),
];

pub use agents::run as run_agent;

/// All tests.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    [
        launching::CASES,
        order::CASES,
        agents::CASES,
        replies::CASES,
        tasks::CASES,
        requirements::CASES,
        ending::CASES,
        endpoints::CASES,
        lifetime::CASES,
        sandbox::CASES,
        sessions::CASES,
        values::CASES,
        flow::CASES,
        activities::CASES,
    ]
    .into_iter()
    .flatten()
}
