//! What the scenarios share.

use std::sync::mpsc::{Receiver, channel};

use xpc_runtime::{Connection, Dictionary, Error, Message};
use xpc_runtime_tests::{FOR_EVER, op};

#[derive(Debug)]
pub enum Event {
    Message(Message),
    Interrupted,
    Invalid(Error),
}

pub fn connect(name: &str) -> (Connection, Receiver<Event>) {
    let (sender, events) = channel();
    let (messages, interruptions) = (sender.clone(), sender.clone());
    let connection = Connection::service(name)
        .on_message(move |_, message| messages.send(Event::Message(message)).unwrap_or_default())
        .on_interrupted(move |_| interruptions.send(Event::Interrupted).unwrap_or_default())
        .on_invalid(move |_, error| sender.send(Event::Invalid(error)).unwrap_or_default())
        .activate();
    (connection, events)
}

pub fn next(events: &Receiver<Event>) -> Event {
    events.recv_timeout(FOR_EVER).expect("an event")
}

pub fn ask(connection: &Connection, message: &Dictionary) -> Message {
    connection.send_with_reply_blocking(message).expect("a reply")
}

pub fn service_pid(connection: &Connection) -> u32 {
    u32::try_from(ask(connection, &op("who")).uint64("pid").unwrap()).unwrap()
}

pub fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
