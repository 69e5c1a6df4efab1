//! Runs the scenario that its first argument names, against the services in its bundle; a failed assertion is its exit
//! status.

use std::pin::pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use xpc_runtime::{Array, Connection, Date, Dictionary, Endpoint, Error, Listener, Message, Object, Uuid};
use xpc_runtime_tests::{ABSENT_SERVICE_NAME, BROKEN_SERVICE_NAME, OTHER_SERVICE_NAME, SERVICE_NAME};

/// Nothing here takes a second; whoever waits this long waits for ever.
const FOR_EVER: Duration = Duration::from_secs(60);

#[derive(Debug)]
enum Event {
    Message(Message),
    Interrupted,
    Invalid(Error),
}

fn connect(name: &str) -> (Connection, Receiver<Event>) {
    let (sender, events) = channel();
    let (messages, interruptions) = (sender.clone(), sender.clone());
    let connection = Connection::service(name)
        .on_message(move |_, message| messages.send(Event::Message(message)).unwrap_or_default())
        .on_interrupted(move |_| interruptions.send(Event::Interrupted).unwrap_or_default())
        .on_invalid(move |_, error| sender.send(Event::Invalid(error)).unwrap_or_default())
        .activate();
    (connection, events)
}

fn next(events: &Receiver<Event>) -> Event {
    events.recv_timeout(FOR_EVER).expect("an event")
}

fn op(name: &str) -> Dictionary {
    Dictionary::new().with("op", name)
}

fn ask(connection: &Connection, message: &Dictionary) -> Message {
    connection.send_with_reply_blocking(message).expect("a reply")
}

fn service_pid(connection: &Connection) -> u32 {
    u32::try_from(ask(connection, &op("who")).uint64("pid").unwrap()).unwrap()
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn block_on<F: Future>(future: F) -> F::Output {
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

fn children() -> Vec<String> {
    // A child belongs to the thread that made it. A thread may end while one looks; only the launcher's makes children,
    // and that one stays.
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let lists = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn main() {
    let scenario = std::env::args().nth(1).expect("a scenario");
    match scenario.as_str() {
        "reply-by-name" => reply_by_name(),
        "every-type" => every_type(),
        "attachments" => attachments(),
        "endpoint" => endpoint(),
        "listener-ends" => listener_ends(),
        "endpoint-descriptors" => endpoint_descriptors(),
        "many-descriptors" => many_descriptors(),
        "barrier-across-deaths" => barrier_across_deaths(),
        "launch-on-message" => launch_on_message(),
        "order" => order(),
        "kill-while-pending" => kill_while_pending(),
        "panic" => panic_in_the_service(),
        "unknown-name" => unknown_name(),
        "absent-program" => absent_program(),
        "broken-service" => broken_service(),
        "cancel" => cancel(),
        "cancelled-by-service" => cancelled_by_service(),
        "dropped-reply" => dropped_reply(),
        "one-reply" => one_reply(),
        "blocking-in-handler" => blocking_in_handler(),
        "handler-holds-messages-back" => handler_holds_messages_back(),
        "service-asks-back" => service_asks_back(),
        "concurrent-requests" => concurrent_requests(),
        "dropped-connection" => dropped_connection(),
        "timeout" => timeout(),
        "large" => large(),
        "one-instance" => one_instance(),
        "service-of-a-service" => service_of_a_service(),
        "helper-processes" => helper_processes(),
        "helper" => println!("{}", service_pid(&connect(SERVICE_NAME).0)),
        "environment" => environment(),
        "output" => output(),
        "unencodable" => unencodable(),
        "many-deaths" => many_deaths(),
        "crash-loop" => crash_loop(),
        "no-descriptors" => no_descriptors(),
        "hold" => hold(),
        other => panic!("unknown scenario {other}"),
    }
    println!("{scenario} passed");
}

fn reply_by_name() {
    let (connection, _events) = connect(SERVICE_NAME);
    assert_eq!(connection.name(), Some(SERVICE_NAME));
    assert_eq!(connection.pid(), None, "unknown before the first exchange");
    let blocking = ask(&connection, &op("echo").with("n", 1_u64));
    let awaited = block_on(connection.send_with_reply(&op("echo").with("n", 2_u64))).unwrap();
    assert_eq!((blocking.uint64("n"), awaited.uint64("n")), (Ok(1), Ok(2)));
    let who = ask(&connection, &op("who"));
    assert_eq!(connection.pid().map(u64::from), who.uint64("pid").ok());
    for key in ["peer", "peer-later"] {
        assert_eq!(who.uint64(key), Ok(std::process::id().into()));
    }
    assert_eq!(who.uint64("euid"), Ok(rustix::process::geteuid().as_raw().into()));
    assert_eq!(who.uint64("egid"), Ok(rustix::process::getegid().as_raw().into()));
    assert_eq!(
        (connection.euid(), connection.egid()),
        (Some(rustix::process::geteuid().as_raw()), Some(rustix::process::getegid().as_raw()))
    );
}

fn every_type() {
    let (connection, _events) = connect(SERVICE_NAME);
    let inner = Dictionary::new().with("deep", Array::from([Object::Null, true.into()]));
    let message = op("echo")
        .with("null", ())
        .with("bool", false)
        .with("int64", i64::MIN)
        .with("uint64", u64::MAX)
        .with("double", f64::MIN_POSITIVE)
        .with("date", Date::from_nanoseconds(-1))
        .with("data", vec![0_u8, 255])
        .with("empty", Vec::<u8>::new())
        .with("string", "h\u{e9}llo \u{1f980}")
        .with("uuid", Uuid::from_bytes([7; 16]))
        .with("array", Array::from([Object::from(1_i64), inner.clone().into()]))
        .with("dictionary", inner);
    assert_eq!(*ask(&connection, &message), message);
    assert_eq!(*block_on(connection.send_with_reply(&message)).unwrap(), message);
}

/// There and back: what returns is for the same file and the same memory.
fn attachments() {
    use std::io::{Read, Write};
    let (connection, _events) = connect(SERVICE_NAME);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let memory = xpc_runtime::SharedMemory::new(3 << 20).unwrap();
    let inner = Dictionary::new().with("fd", std::os::fd::OwnedFd::from(writer)).with("memory", &memory);
    let reply = ask(&connection, &op("echo").with("list", Array::from([inner])));
    let inner = reply.array("list").unwrap().dictionary(0).unwrap();
    inner.shared_memory("memory").unwrap().map().unwrap().write((3 << 20) - 5, b"hello").unwrap();
    assert_eq!(memory.map().unwrap().copy((3 << 20) - 5, 5).unwrap(), b"hello");
    let mut file = std::fs::File::from(inner.fd("fd").unwrap().try_clone_to_owned().unwrap());
    file.write_all(b"through").unwrap();
    drop((reply, file));
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through", "no process keeps a copy open");
}

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

fn connect_to(endpoint: &Endpoint) -> (Connection, Receiver<Event>) {
    let (sender, events) = channel();
    let connection = Connection::from_endpoint(endpoint)
        .on_invalid(move |_, error| sender.send(Event::Invalid(error)).unwrap_or_default())
        .activate();
    (connection, events)
}

fn endpoint() {
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
    let (back, _events) = connect_to(returned.endpoint("endpoint").unwrap());
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

fn listener_ends() {
    let (connection, _events) = connect(SERVICE_NAME);
    for killed in [false, true] {
        let pid = service_pid(&connection);
        let reply = ask(&connection, &op("listen"));
        let endpoint = reply.endpoint("endpoint").unwrap();
        let (used, used_events) = connect_to(endpoint);
        assert_eq!(ask(&used, &Dictionary::new()).uint64("pid"), Ok(pid.into()));
        let (_unused, unused_events) = connect_to(endpoint);
        if killed {
            kill(pid);
        } else {
            ask(&connection, &op("stop-listening"));
        }
        for events in [used_events, unused_events] {
            assert!(matches!(next(&events), Event::Invalid(_)));
        }
        assert!(matches!(used.send(&Dictionary::new()), Err(Error::Invalid(_))));
        let (_late, events) = connect_to(endpoint);
        assert!(matches!(next(&events), Event::Invalid(_)));
    }
}

/// So many at a time that they leave in parts, to a service and back.
fn many_descriptors() {
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (connection, _events) = connect(SERVICE_NAME);
    let open_there = || ask(&connection, &op("who")).array("descriptors").unwrap().len();
    let (before_there, before) = (open_there(), open());
    for count in [300, 300, 300, 100_usize] {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let copies: Array = (0..count).map(|_| OwnedFd::from(writer.try_clone().unwrap())).collect();
        drop(writer);
        let reply = ask(&connection, &op("echo").with("to", copies));
        let to = reply.array("to").unwrap();
        assert_eq!(to.len(), count);
        for index in 0..count {
            let mut file = std::fs::File::from(to.fd(index).unwrap().try_clone_to_owned().unwrap());
            file.write_all(b"x").unwrap();
        }
        drop(reply);
        let mut received = Vec::new();
        // Its end: no process has kept one.
        reader.read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), count);
    }
    while open() > before || open_there() > before_there {
        thread::yield_now();
    }
    // Those that nobody replies to, nor looks at.
    for _ in 0..10 {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let copies: Array = (0..100).map(|_| OwnedFd::from(writer.try_clone().unwrap())).collect();
        drop(writer);
        connection.send(&op("drop").with("to", copies)).unwrap();
        assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap(), 0);
    }
    while open() > before || open_there() > before_there {
        thread::yield_now();
    }
}

/// Barriers run once each, in order, whether what was sent before them has left or was lost with the service.
fn barrier_across_deaths() {
    let (connection, events) = connect(SERVICE_NAME);
    let (sender, ran) = channel();
    let mut pid = service_pid(&connection);
    for round in 0..20_u32 {
        let suspension = connection.suspend();
        let lost = connection.send_with_reply(&op("who"));
        let first = sender.clone();
        connection.send_barrier(move || first.send((round, "after what was lost")).unwrap());
        kill(pid);
        // Its socket is closed before the launcher clears it away.
        while std::path::Path::new(&format!("/proc/{pid}")).exists() {
            thread::yield_now();
        }
        drop(suspension);
        assert!(matches!(next(&events), Event::Interrupted));
        assert_eq!(block_on(lost).unwrap_err(), Error::Interrupted);
        assert_eq!(ran.recv_timeout(FOR_EVER), Ok((round, "after what was lost")));

        // One that runs while the service dies, and holds up what launches the next one.
        pid = service_pid(&connection);
        let (go_on, may_go_on) = channel::<()>();
        let second = sender.clone();
        connection.send_barrier(move || {
            second.send((round, "begun")).unwrap();
            may_go_on.recv().unwrap();
            second.send((round, "done")).unwrap();
        });
        assert_eq!(ran.recv_timeout(FOR_EVER), Ok((round, "begun")));
        kill(pid);
        assert!(matches!(next(&events), Event::Interrupted));
        let next_one = connection.send_with_reply(&op("who"));
        let third = sender.clone();
        connection.send_barrier(move || third.send((round, "after the next one")).unwrap());
        assert!(ran.try_recv().is_err());
        go_on.send(()).unwrap();
        assert_eq!(ran.recv_timeout(FOR_EVER), Ok((round, "done")));
        assert_eq!(ran.recv_timeout(FOR_EVER), Ok((round, "after the next one")));
        let successor = u32::try_from(block_on(next_one).unwrap().uint64("pid").unwrap()).unwrap();
        assert_ne!(std::mem::replace(&mut pid, successor), successor);
    }
    assert!(ran.try_recv().is_err());
    assert!(events.try_recv().is_err());
}

fn endpoint_descriptors() {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
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

fn launch_on_message() {
    let (connection, _events) = connect(SERVICE_NAME);
    let (_other, _more) = connect(OTHER_SERVICE_NAME);
    assert_eq!(children(), Vec::<String>::new(), "a connection launches nothing");
    let pid = service_pid(&connection);
    assert_eq!(children(), [pid.to_string()]);
}

fn order() {
    let (connection, _events) = connect(SERVICE_NAME);
    for value in 0..5000_u64 {
        connection.send(&op("append").with("value", value)).unwrap();
    }
    let list = ask(&connection, &op("list"));
    assert_eq!(*list.array("values").unwrap(), (0..5000_u64).collect::<Array>());
}

fn kill_while_pending() {
    let (connection, events) = connect(SERVICE_NAME);
    let pid = service_pid(&connection);
    let pending = connection.send_with_reply(&op("keep"));
    let blocked = thread::spawn({
        let connection = connection.clone();
        move || connection.send_with_reply_blocking(&op("keep"))
    });
    for _ in 0..2 {
        assert!(matches!(next(&events), Event::Message(message) if message.bool("kept") == Ok(true)));
    }
    kill(pid);
    assert_eq!(block_on(pending).unwrap_err(), Error::Interrupted);
    assert_eq!(blocked.join().unwrap().unwrap_err(), Error::Interrupted);
    assert!(matches!(next(&events), Event::Interrupted));
    // The next message launches it again; nothing is delivered twice.
    let successor = service_pid(&connection);
    assert_ne!(successor, pid);
    assert_eq!(*ask(&connection, &op("list")).array("values").unwrap(), Array::new());
    assert_eq!(children(), [successor.to_string()], "no zombie is left");
    assert!(events.try_recv().is_err());
}

fn panic_in_the_service() {
    let (connection, events) = connect(SERVICE_NAME);
    let pid = service_pid(&connection);
    assert_eq!(connection.send_with_reply_blocking(&op("panic")).unwrap_err(), Error::Interrupted);
    assert!(matches!(next(&events), Event::Interrupted));
    assert_ne!(service_pid(&connection), pid);
}

fn unknown_name() {
    let (connection, events) = connect("com.example.nobody");
    let Event::Invalid(Error::Invalid(reason)) = next(&events) else { panic!("not invalid") };
    assert!(reason.contains("com.example.nobody") && reason.contains(SERVICE_NAME), "{reason}");
    for error in [
        connection.send(&op("echo")).unwrap_err(),
        connection.send_with_reply_blocking(&op("echo")).unwrap_err(),
        block_on(connection.send_with_reply(&op("echo"))).unwrap_err(),
    ] {
        assert_eq!(error, Error::Invalid(reason.clone()));
    }
    assert!(events.recv().is_err(), "the handlers are dropped after the last event");
}

fn absent_program() {
    let (connection, events) = connect(ABSENT_SERVICE_NAME);
    let error = connection.send_with_reply_blocking(&op("echo")).unwrap_err();
    let Error::Invalid(reason) = &error else { panic!("{error}") };
    assert!(reason.contains("cannot start") && reason.contains("no-such-program"), "{reason}");
    assert!(matches!(next(&events), Event::Invalid(seen) if seen == error));
}

fn broken_service() {
    let (connection, events) = connect(BROKEN_SERVICE_NAME);
    assert_eq!(connection.send_with_reply_blocking(&op("echo")).unwrap_err(), Error::Interrupted);
    assert!(matches!(next(&events), Event::Interrupted));
    assert_eq!(children(), Vec::<String>::new());
}

fn cancel() {
    let (connection, events) = connect(SERVICE_NAME);
    let pending = connection.send_with_reply(&op("keep"));
    assert!(matches!(next(&events), Event::Message(_)));
    let blocked = thread::spawn({
        let connection = connection.clone();
        move || connection.send_with_reply_blocking(&op("keep"))
    });
    assert!(matches!(next(&events), Event::Message(_)));
    connection.cancel();
    connection.cancel();
    assert!(matches!(block_on(pending).unwrap_err(), Error::Invalid(_)));
    assert!(matches!(blocked.join().unwrap().unwrap_err(), Error::Invalid(_)));
    assert!(matches!(next(&events), Event::Invalid(_)));
    assert!(events.recv().is_err(), "silence after the last event");
    assert!(matches!(connection.send(&op("echo")).unwrap_err(), Error::Invalid(_)));
}

fn cancelled_by_service() {
    let (connection, events) = connect(SERVICE_NAME);
    let pid = service_pid(&connection);
    assert_eq!(connection.send_with_reply_blocking(&op("cancel")).unwrap_err(), Error::Interrupted);
    assert!(matches!(next(&events), Event::Interrupted));
    assert_eq!(service_pid(&connection), pid, "the service lives on and takes the client again");
}

fn dropped_reply() {
    let (connection, events) = connect(SERVICE_NAME);
    assert_eq!(connection.send_with_reply_blocking(&op("drop")).unwrap_err(), Error::Interrupted);
    assert_eq!(block_on(connection.send_with_reply(&op("drop"))).unwrap_err(), Error::Interrupted);
    // A handler's error drops the message too.
    assert_eq!(connection.send_with_reply_blocking(&Dictionary::new()).unwrap_err(), Error::Interrupted);
    ask(&connection, &op("echo"));
    assert!(events.try_recv().is_err(), "the connection itself was not interrupted");
}

fn one_reply() {
    let (connection, events) = connect(SERVICE_NAME);
    assert_eq!(ask(&connection, &op("reply-twice")).bool("first"), Ok(true));
    let Event::Message(message) = next(&events) else { panic!("not a message") };
    assert_eq!(message.string("second"), Ok(format!("Err({})", Error::NotARequest).as_str()));
    connection.send(&op("reply-twice")).unwrap();
    ask(&connection, &op("echo"));
}

fn blocking_in_handler() {
    let (connection, _events) = connect(SERVICE_NAME);
    assert_eq!(ask(&connection, &op("ask-blocking")).string("error").unwrap(), Error::WouldDeadlock.to_string());
    // On the client's side, and on another connection it is allowed.
    let (sender, results) = channel();
    let other = connect(SERVICE_NAME).0;
    let connection = Connection::service(SERVICE_NAME)
        .on_message(move |connection, _| {
            sender
                .send((
                    connection.send_with_reply_blocking(&op("echo")).unwrap_err(),
                    other.send_with_reply_blocking(&op("echo")).is_ok(),
                ))
                .unwrap();
        })
        .activate();
    let pending = connection.send_with_reply(&op("keep"));
    assert_eq!(results.recv_timeout(FOR_EVER).unwrap(), (Error::WouldDeadlock, true));
    drop(pending);
}

fn handler_holds_messages_back() {
    let (connection, events) = connect(SERVICE_NAME);
    // While its handler runs, the service's connection sends nothing: message and reply arrive together, after it has
    // returned.
    assert_eq!(ask(&connection, &op("send-then-wait")).bool("waited"), Ok(true));
    assert!(matches!(next(&events), Event::Message(message) if message.bool("sent") == Ok(true)));
}

fn service_asks_back() {
    let connection = Connection::service(SERVICE_NAME)
        .on_message(|_, message| -> Result<(), Error> {
            message.reply().with("answer", message.uint64("question")? * 7).send()
        })
        .activate();
    assert_eq!(ask(&connection, &op("ask-back")).uint64("answer"), Ok(42));
    assert_eq!(block_on(connection.send_with_reply(&op("ask-back"))).unwrap().uint64("answer"), Ok(42));
}

fn concurrent_requests() {
    let (connection, events) = connect(SERVICE_NAME);
    thread::scope(|scope| {
        for thread in 0..8_u64 {
            let connection = &connection;
            scope.spawn(move || {
                for n in 0..125_u64 {
                    let message = op("echo").with("thread", thread).with("n", n);
                    let reply = if n % 2 == 0 {
                        ask(connection, &message)
                    } else {
                        block_on(connection.send_with_reply(&message)).unwrap()
                    };
                    assert_eq!(*reply, message);
                }
            });
        }
    });
    let all: Vec<_> = (0..1000_u64).map(|n| connection.send_with_reply(&op("echo").with("n", n))).collect();
    for (n, reply) in (0..).zip(all) {
        assert_eq!(block_on(reply).unwrap().uint64("n"), Ok(n));
    }
    assert!(events.try_recv().is_err());
}

fn dropped_connection() {
    // What was sent before the drop still arrives: a large message cannot have left at once.
    let (first, events) = connect(SERVICE_NAME);
    let pid = service_pid(&first);
    let pending = first.send_with_reply(&op("keep").with("data", vec![1_u8; 8 << 20]));
    drop(first);
    assert!(matches!(next(&events), Event::Message(_)), "a reply future keeps its connection alive");
    drop(pending);
    assert!(events.recv().is_err(), "no event after the last drop");
    let (second, _events) = connect(SERVICE_NAME);
    assert_eq!(service_pid(&second), pid);
    // Inside its own handler.
    let (sender, dropped) = channel();
    let mut own = None::<Connection>;
    let (hand_over, handed_over) = channel();
    let connection = Connection::service(SERVICE_NAME)
        .on_message(move |_, _| {
            own = own.take().or_else(|| handed_over.recv().ok());
            own = None;
            sender.send(()).unwrap();
        })
        .activate();
    connection.send(&op("keep")).unwrap();
    hand_over.send(connection).unwrap();
    dropped.recv_timeout(FOR_EVER).unwrap();
    assert!(dropped.recv().is_err(), "the handler goes with its connection");
}

fn timeout() {
    let (connection, events) = connect(SERVICE_NAME);
    let message = op("keep");
    assert_eq!(connection.send_with_reply_timeout(&message, Duration::from_millis(20)).unwrap_err(), Error::TimedOut);
    assert!(matches!(next(&events), Event::Message(_)));
    let reply = connection.send_with_reply_timeout(&op("echo"), FOR_EVER);
    assert!(reply.is_ok());
}

fn large() {
    let (connection, _events) = connect(SERVICE_NAME);
    let data: Vec<u8> = (0..32_u32 << 20).map(|n| (n % 251) as u8).collect();
    let message = op("echo").with("data", data);
    assert!(*ask(&connection, &message) == message);
    assert!(*block_on(connection.send_with_reply(&message)).unwrap() == message);
}

fn one_instance() {
    let connections: Vec<_> = (0..20).map(|_| connect(SERVICE_NAME).0).collect();
    let pending: Vec<_> = connections.iter().map(|connection| connection.send_with_reply(&op("who"))).collect();
    let pids: Vec<_> = pending.into_iter().map(|reply| block_on(reply).unwrap().uint64("pid").unwrap()).collect();
    assert!(pids.iter().all(|pid| *pid == pids[0]));
    assert_eq!(children().len(), 1);
}

fn service_of_a_service() {
    let (connection, _events) = connect(SERVICE_NAME);
    let own = u64::from(service_pid(&connection));
    let reply = ask(&connection, &op("forward").with("to", OTHER_SERVICE_NAME));
    assert_eq!(reply.uint64("peer"), Ok(own), "the other service sees the service, not the app");
    let (other, _events) = connect(OTHER_SERVICE_NAME);
    assert_eq!(reply.uint64("pid"), Ok(service_pid(&other).into()), "one instance for the whole app");
    assert_eq!(children().len(), 2, "the app launched both");
    let reply = ask(&connection, &op("forward").with("to", "com.example.nobody"));
    assert!(reply.string("error").unwrap().contains("com.example.nobody"));
}

fn helper_processes() {
    let (connection, _events) = connect(SERVICE_NAME);
    let pid = service_pid(&connection);
    // A helper, and one that a shell started: the same instance for both, launched by this process.
    let app = std::env::current_exe().unwrap();
    for mut command in [Command::new(&app), Command::new("sh")] {
        if command.get_program() == "sh" {
            command.args(["-c", "\"$0\" \"$1\"; exit $?"]).arg(&app);
        }
        let output = command.arg("helper").stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{pid}\nhelper passed\n"));
    }
    assert_eq!(service_pid(&connection), pid);
}

fn environment() {
    let leaked = std::fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let (connection, _events) = connect(SERVICE_NAME);
    let who = ask(&connection, &op("who"));
    let environment = who.dictionary("environment").unwrap();
    assert_eq!(environment.string("GREETING"), Ok("hello"));
    assert_eq!(environment.string("XPC_SERVICE_NAME"), Ok(SERVICE_NAME));
    assert_eq!(environment.string("LC_TIME"), Ok("C"));
    assert!(environment.contains_key("PATH"));
    assert!(!environment.contains_key("SECRET_OF_THE_APP") && !environment.contains_key("RUST_LOG"));
    assert_eq!(who.string("directory"), Ok("/"));
    assert_eq!(who.uint64("session"), who.uint64("pid"), "a session of its own");
    let descriptors = format!("{:?}", who.array("descriptors").unwrap());
    let expected = ["0: /dev/null", "1: pipe", "2: pipe", "socket", "eventpoll", "eventfd"];
    assert!(expected.iter().all(|expected| descriptors.contains(expected)), "{descriptors}");
    assert_eq!(
        descriptors.matches("/dev/null").count(),
        1,
        "the app's own descriptors stay with the app: {descriptors}"
    );
    let other = ask(&connect(OTHER_SERVICE_NAME).0, &op("who"));
    assert_eq!(other.uint64("session"), Ok(xpc_runtime_tests::session()), "JoinExistingSession");
}

fn output() {
    let (connection, events) = connect(SERVICE_NAME);
    ask(&connection, &op("print"));
    kill(service_pid(&connection));
    assert!(matches!(next(&events), Event::Interrupted));
}

fn unencodable() {
    let (connection, _events) = connect(SERVICE_NAME);
    let message = op("echo").with("text", "a\0b");
    for error in [
        connection.send(&message).unwrap_err(),
        connection.send_with_reply_blocking(&message).unwrap_err(),
        block_on(connection.send_with_reply(&message)).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Encode(_)), "{error}");
    }
    ask(&connection, &op("echo"));
}

fn many_deaths() {
    let (connection, events) = connect(SERVICE_NAME);
    for _ in 0..25 {
        let pid = service_pid(&connection);
        kill(pid);
        assert!(matches!(next(&events), Event::Interrupted));
    }
    assert!(events.try_recv().is_err(), "one interruption for one death");
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(descriptors < 20, "{descriptors} descriptors are open");
}

/// More deaths than are forgiven; each next message starts the service all the same, be it after a while.
fn crash_loop() {
    let (connection, events) = connect(SERVICE_NAME);
    for _ in 0..5 {
        kill(service_pid(&connection));
        assert!(matches!(next(&events), Event::Interrupted));
    }
    service_pid(&connection);
}

/// At the limit of descriptors new connections fail for good, and the others go on.
fn no_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let (first, events) = connect(SERVICE_NAME);
    service_pid(&first);
    let limit = Rlimit { current: Some(40), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut others = Vec::new();
    let error = loop {
        let (connection, events) = connect(SERVICE_NAME);
        let result = connection.send_with_reply_blocking(&op("echo"));
        others.push((connection, events));
        match result {
            Ok(_) => assert!(others.len() < 40),
            Err(error) => break error,
        }
    };
    let (last, last_events) = others.pop().unwrap();
    assert!(matches!(&error, Error::Invalid(reason) if reason.contains("cannot connect")), "{error}");
    assert!(matches!(next(&last_events), Event::Invalid(seen) if seen == error));
    assert_eq!(last.send(&op("echo")).unwrap_err(), error);
    for (connection, _) in others.iter().chain([&(first, events)]) {
        ask(connection, &op("echo"));
    }
}

/// Prints the service's process id, and ends when its standard input does.
fn hold() {
    let (connection, _events) = connect(SERVICE_NAME);
    println!("{}", service_pid(&connection));
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
}
