//! An app and its service in one program: how services end, and what tests of users' own can do to them. Runs the
//! scenario that its first argument names.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use xpc_runtime::{Connection, Error, Listener, Message, Transaction, testing, xpc_main};
use xpc_runtime_tests::{FOR_EVER, OTHER_SERVICE_NAME, SERVICE_NAME, op};

/// What keeps the service from ending.
static KEPT: Mutex<Option<Message>> = Mutex::new(None);
static LISTENER: Mutex<Option<Listener>> = Mutex::new(None);
static TRANSACTION: Mutex<Option<Transaction>> = Mutex::new(None);

fn main() {
    if std::env::var("XPC_SERVICE_NAME").is_ok() {
        serve();
    }
    let scenario = std::env::args().nth(1).expect("a scenario");
    match scenario.as_str() {
        "idle-exit" => idle_exit(),
        "idle-exit-of-a-listener" => idle_exit_of_a_listener(),
        "terminate" => terminate(),
        "terminate-idle" => terminate_idle(),
        "terminate-busy" => terminate_busy(),
        "faults" => faults(),
        other => panic!("unknown scenario {other}"),
    }
}

fn serve() -> ! {
    xpc_main(|peer| {
        peer.on_message(|_, message| -> Result<(), Error> {
            match message.string("op")? {
                "pid" => message.reply().with("pid", std::process::id()).send(),
                "begin" => {
                    *TRANSACTION.lock().unwrap() = Some(Transaction::begin());
                    message.reply().send()
                }
                "end" => {
                    *TRANSACTION.lock().unwrap() = None;
                    message.reply().send()
                }
                "listen" => {
                    let listener = Listener::anonymous().activate(|peer| {
                        peer.on_message(|_, message| message.reply().with("pid", std::process::id()).send()).activate();
                    });
                    let endpoint = listener.endpoint();
                    *LISTENER.lock().unwrap() = Some(listener);
                    message.reply().with("endpoint", endpoint).send()
                }
                "keep" => {
                    *KEPT.lock().unwrap() = Some(message);
                    Ok(())
                }
                "answer" => {
                    KEPT.lock().unwrap().take().unwrap().reply().with("late", true).send()?;
                    message.reply().send()
                }
                op => panic!("unknown op {op}"),
            }
        })
        .on_termination_imminent(|connection| connection.send(&op("imminent")).unwrap())
        .activate();
    })
}

#[derive(Debug, PartialEq)]
enum Event {
    Imminent,
    Interrupted,
}

fn connect() -> (Connection, Receiver<Event>) {
    connect_to(SERVICE_NAME)
}

fn connect_to(service: &str) -> (Connection, Receiver<Event>) {
    let (sender, events) = channel();
    let interruptions = sender.clone();
    let connection = Connection::service(service)
        .on_message(move |_, message| {
            assert_eq!(message.string("op"), Ok("imminent"));
            sender.send(Event::Imminent).unwrap_or_default();
        })
        .on_interrupted(move |_| interruptions.send(Event::Interrupted).unwrap_or_default())
        .activate();
    (connection, events)
}

fn next(events: &Receiver<Event>) -> Event {
    events.recv_timeout(FOR_EVER).expect("an event")
}

fn ask(connection: &Connection, name: &str) -> Message {
    connection.send_with_reply_timeout(&op(name), FOR_EVER).expect("a reply")
}

fn pid(connection: &Connection) -> u64 {
    ask(connection, "pid").uint64("pid").unwrap()
}

/// The app's environment says that a service may be idle for a tenth of a second.
fn idle_exit() {
    let (connection, events) = connect();
    let (idle, idle_events) = connect_to(OTHER_SERVICE_NAME);
    let first = pid(&connection);
    // A request that was not replied to yet, and a transaction of the service's own, keep it.
    for (begin, end) in [("keep", "answer"), ("begin", "end")] {
        let pending = (begin == "keep").then(|| connection.send_with_reply(&op(begin)));
        if pending.is_none() {
            ask(&connection, begin);
        }
        // While it works, another service with nothing to do is ended again and again.
        for _ in 0..3 {
            pid(&idle);
            assert_eq!(next(&idle_events), Event::Interrupted);
        }
        assert_eq!(events.try_recv(), Err(TryRecvError::Empty), "ended during {begin}");
        ask(&connection, end);
        drop(pending);
    }
    assert_eq!(next(&events), Event::Interrupted);
    assert_ne!(pid(&connection), first);
    // Often enough that a crash would be held up.
    for _ in 0..5 {
        assert_eq!(next(&events), Event::Interrupted);
        pid(&connection);
    }
}

/// A client that is on its way to a service's listener, when the launcher asks whether that has nothing to do, is served.
fn idle_exit_of_a_listener() {
    let (connection, events) = connect();
    let (idle, idle_events) = connect_to(OTHER_SERVICE_NAME);
    let served = ask(&connection, "listen");
    let endpoint = served.endpoint("endpoint").unwrap();
    let first = pid(&connection);
    let service = rustix::process::Pid::from_raw(i32::try_from(first).unwrap()).unwrap();
    let signal = |signal| rustix::process::kill_process(service, signal).unwrap();
    for _ in 0..10 {
        signal(rustix::process::Signal::STOP);
        // Another service was idle as long, is asked, and ended: so the stopped one has been asked, too.
        for _ in 0..2 {
            pid(&idle);
            assert_eq!(next(&idle_events), Event::Interrupted);
        }
        let client = Connection::from_endpoint(endpoint).activate();
        let reply = client.send_with_reply(&op("pid"));
        signal(rustix::process::Signal::CONT);
        let reply = block_on(reply.with_timeout(FOR_EVER)).expect("it was on its way");
        assert_eq!(reply.uint64("pid"), Ok(first));
        assert_eq!(pid(&connection), first);
    }
    assert_eq!(next(&events), Event::Interrupted, "then it has nothing to do");
    assert_ne!(pid(&connection), first);
}

fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::task::Waker::from(std::sync::Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => thread::park(),
        }
    }
}

fn terminate() {
    let (connection, events) = connect();
    let first = pid(&connection);
    ask(&connection, "begin");
    assert_eq!(testing::terminate_service(SERVICE_NAME), Ok(true));
    assert_eq!(next(&events), Event::Imminent, "its peers are told");
    assert_eq!(pid(&connection), first, "until its last transaction ends it goes on");
    // A new connection is for its successor.
    let (later, _events) = connect();
    let reply = later.send_with_reply(&op("pid"));
    assert!(ask(&connection, "end").is_empty(), "the reply leaves first");
    assert_eq!(next(&events), Event::Interrupted);
    assert_ne!(pid(&later), first);
    drop(reply);
}

fn terminate_idle() {
    let (connection, events) = connect();
    pid(&connection);
    assert_eq!(testing::terminate_service(SERVICE_NAME), Ok(true));
    // The reply may be here before the thread that sent it has let its connection go: then the service is told.
    let mut last = next(&events);
    if last == Event::Imminent {
        last = next(&events);
    }
    assert_eq!(last, Event::Interrupted, "and ends, with nothing else asked of it");
    // Its sockets are closed a moment before the launcher can know of its end.
    while testing::terminate_service(SERVICE_NAME) == Ok(true) {}
    assert_eq!(testing::terminate_service(SERVICE_NAME), Ok(false));
}

/// Where requests follow one another so closely that the service's thread waits for nothing else.
fn terminate_busy() {
    let (connection, events) = connect();
    let first = pid(&connection);
    let caller = connection.clone();
    let calls = thread::spawn(move || {
        while caller.send_with_reply_timeout(&op("pid"), FOR_EVER).is_ok_and(|reply| reply.uint64("pid") == Ok(first)) {
        }
    });
    while testing::terminate_service(SERVICE_NAME) != Ok(true) {}
    let mut last = next(&events);
    if last == Event::Imminent {
        last = next(&events);
    }
    assert_eq!(last, Event::Interrupted, "requests that go on do not keep it");
    calls.join().unwrap();
    assert_ne!(pid(&connection), first);
}

fn faults() {
    let (connection, events) = connect();
    assert_eq!(testing::kill_service(SERVICE_NAME), Ok(false));
    let first = pid(&connection);
    assert_eq!(testing::kill_service(SERVICE_NAME), Ok(true));
    assert!(!std::path::Path::new(&format!("/proc/{first}")).exists(), "gone, and no zombie");
    assert_eq!(next(&events), Event::Interrupted);
    let second = pid(&connection);
    testing::drop_replies(&connection, 1).unwrap();
    assert_eq!(connection.send_with_reply_blocking(&op("pid")).unwrap_err(), Error::Interrupted);
    assert_eq!(pid(&connection), second, "only the reply was lost");
    let delay = Duration::from_millis(50);
    testing::delay_messages(&connection, delay).unwrap();
    pid(&connection);
    let timeout = connection.send_with_reply_timeout(&op("pid"), Duration::from_millis(1));
    assert_eq!(timeout.map(|_| ()).unwrap_err(), Error::TimedOut);
    testing::delay_messages(&connection, Duration::ZERO).unwrap();
    assert_eq!(pid(&connection), second);
    assert!(events.try_recv().is_err());
}
