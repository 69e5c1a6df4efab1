//! What the tests share.

use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use xpc_runtime::{Connection, Dictionary, Error, Message};

/// Nothing here takes a second; whoever waits this long waits for ever.
pub const FOR_EVER: Duration = Duration::from_secs(30);

/// What a connection's handlers are told.
#[derive(Debug)]
pub enum Event {
    Message(Message),
    Interrupted,
    Invalid(Error),
}

/// The events of a connection, in order.
pub struct Events(Receiver<Event>);

impl Events {
    pub fn new(events: Receiver<Event>) -> Self {
        Self(events)
    }

    /// Waits for the next.
    #[track_caller]
    pub fn next(&self) -> Event {
        self.0.recv_timeout(FOR_EVER).expect("an event")
    }

    /// The next, which is a message, named by its `event`.
    #[track_caller]
    pub fn message(&self, event: &str) -> Message {
        match self.next() {
            Event::Message(message) if message.string("event") == Ok(event) => message,
            other => panic!("{event} was due, not {other:?}"),
        }
    }

    #[track_caller]
    pub fn interrupted(&self) {
        let event = self.next();
        assert!(matches!(event, Event::Interrupted), "an interruption was due, not {event:?}");
    }

    #[track_caller]
    pub fn invalid(&self) -> Error {
        match self.next() {
            Event::Invalid(error) => error,
            other => panic!("invalid was due, not {other:?}"),
        }
    }

    /// Nothing more has come so far.
    #[track_caller]
    pub fn none(&self) {
        if let Ok(event) = self.0.try_recv() {
            panic!("nothing was due, not {event:?}");
        }
    }

    /// Nothing more will come: the handlers are gone.
    #[track_caller]
    pub fn end(&self) {
        match self.0.recv_timeout(FOR_EVER) {
            Err(RecvTimeoutError::Disconnected) => {}
            other => panic!("the end was due, not {other:?}"),
        }
    }
}

/// A connection to a service, and what its handlers are told.
pub fn connect(name: &str) -> (Connection, Events) {
    let (sender, events) = channel();
    let (messages, interruptions) = (sender.clone(), sender.clone());
    let connection = Connection::service(name)
        .on_message(move |_, message| messages.send(Event::Message(message)).unwrap_or_default())
        .on_interrupted(move |_| interruptions.send(Event::Interrupted).unwrap_or_default())
        .on_invalid(move |_, error| sender.send(Event::Invalid(error)).unwrap_or_default())
        .activate();
    (connection, Events(events))
}

/// A message with this operation.
pub fn op(name: &str) -> Dictionary {
    Dictionary::new().with("op", name)
}

/// Sends a request and waits.
pub fn ask(connection: &Connection, message: &Dictionary) -> Result<Message, Error> {
    connection.send_with_reply_timeout(message, FOR_EVER)
}

/// The process id of the service.
pub fn service_pid(connection: &Connection) -> Result<u64, Error> {
    Ok(ask(connection, &op("who"))?.uint64("pid")?)
}

/// Waits for a future on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park_timeout(FOR_EVER);
    }
}
