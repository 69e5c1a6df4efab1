//! What the services of Facts.app do.

use std::thread;

use xpc_runtime::{Accepted, Connection, Dictionary, Error, Inactive, Message, PeerRequirement};

/// A service with nothing special.
pub const PLAIN: &str = "com.example.facts.plain";
/// A service that requires of its clients what none of them can be.
pub const STRICT: &str = "com.example.facts.strict";
/// A service that activates no connection.
pub const REJECTING: &str = "com.example.facts.rejecting";
/// A service that ends at its start.
pub const ENDING: &str = "com.example.facts.ending";
/// A service whose main thread is an `NSRunLoop`'s.
pub const RUN_LOOP: &str = "com.example.facts.run-loop";
/// A service with the entitlement `com.apple.security.app-sandbox`.
pub const SANDBOXED: &str = "com.example.facts.sandboxed";
/// A service that joins the app's session.
pub const JOINING: &str = "com.example.facts.joining";

/// What nobody here meets: an identifier that nobody has, or on Linux another program.
///
/// # Errors
/// Where this system knows no such requirement.
pub fn nobody() -> Result<PeerRequirement, Error> {
    PeerRequirement::code_signing("identifier \"com.example.facts.nobody\"")
        .or_else(|error| PeerRequirement::executable("/bin/sh").map_err(|_| error))
}

/// Serves a client.
pub fn serve(peer: Inactive<Accepted>) {
    let accepted_on = this_thread();
    peer.on_message(move |connection, message| answer(connection, message, &accepted_on)).activate();
}

fn answer(_: &Connection, message: Message, accepted_on: &str) -> Result<(), Error> {
    match message.string("wish")? {
        "drop" => Ok(()),
        "end" => std::process::abort(),
        _ => message.reply_with(
            Dictionary::new()
                .with("pid", std::process::id())
                .with("accepted on", accepted_on)
                .with("handled on", this_thread()),
        ),
    }
}

/// The main thread has its name from Rust; libdispatch's have none.
fn this_thread() -> String {
    match thread::current().name() {
        Some("main") => "the main thread".to_owned(),
        Some(name) => format!("thread `{name}`"),
        None => "a thread without a name".to_owned(),
    }
}
