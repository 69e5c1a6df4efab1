//! What the probes share.

use std::fmt::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use xpc_runtime::{Connection, Dictionary, Error, Inactive, Message, Named, PeerRequirement};

/// How long an answer is waited for: launchd holds services up for ten seconds, or so it is said.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long after an answer events are waited for that may follow it.
const AFTERMATH: Duration = Duration::from_secs(2);

/// The events of a connection, in words.
pub struct Events(Receiver<String>);

impl Events {
    /// What has come, and what still comes soon.
    pub fn all(&self) -> String {
        let mut all = String::new();
        let until = Instant::now() + AFTERMATH;
        loop {
            match self.0.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(event) => {
                    let _ = write!(all, "{}{event}", if all.is_empty() { "" } else { ", " });
                }
                Err(RecvTimeoutError::Timeout) if all.is_empty() => return "no event".to_owned(),
                Err(RecvTimeoutError::Disconnected) => return format!("{all}, then the end"),
                Err(RecvTimeoutError::Timeout) => return all,
            }
        }
    }
}

/// A channel for events.
pub fn events() -> (Sender<String>, Events) {
    let (sender, events) = channel();
    (sender, Events(events))
}

/// A connection to a service, and its events.
pub fn connect(service: &str, requirement: Option<&PeerRequirement>) -> (Connection, Events) {
    let (sender, events) = events();
    let tell = |sender: &Sender<String>| {
        let sender = sender.clone();
        move |event: String| sender.send(event).unwrap_or_default()
    };
    let (message, interrupted, rejected, invalid) = (tell(&sender), tell(&sender), tell(&sender), tell(&sender));
    let mut inactive: Inactive<Named> = Connection::service(service)
        .on_message(move |_, _| message("a message".to_owned()))
        .on_interrupted(move |_| interrupted("interrupted".to_owned()))
        .on_peer_rejected(move |_, error| rejected(format!("the peer is rejected ({error})")))
        .on_invalid(move |_, error| invalid(format!("invalid ({error})")));
    if let Some(requirement) = requirement {
        inactive = inactive.require_peer(requirement);
    }
    (inactive.activate(), events)
}

/// A message with a wish.
pub fn wish(wish: &str) -> Dictionary {
    Dictionary::new().with("wish", wish)
}

/// What came of a request, in words, and after how long.
pub fn outcome(ask: impl FnOnce() -> Result<Message, Error>) -> String {
    let begin = Instant::now();
    let answer = match ask() {
        Ok(reply) => format!("answered by process {}", reply.uint64("pid").unwrap_or_default()),
        Err(Error::Interrupted) => "`Interrupted`".to_owned(),
        Err(Error::TimedOut) => "nothing".to_owned(),
        Err(Error::Invalid(reason)) => format!("`Invalid` ({reason})"),
        Err(Error::PeerRejected(reason)) => format!("`PeerRejected` ({reason})"),
        Err(other) => format!("another error ({other})"),
    };
    format!("{answer} after {}", milliseconds(begin.elapsed()))
}

/// A time, in words.
pub fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
