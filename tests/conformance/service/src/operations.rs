//! Each message names in `op` what is to be done with it.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::SystemTime;

use xpc_runtime::{
    Accepted, Array, Connection, Dictionary, Endpoint, Error, Inactive, Listener, Message, Queue, Transaction, array,
    xpc_main,
};

/// Requests that are not answered yet.
static KEPT: Mutex<Vec<Message>> = Mutex::new(Vec::new());
/// Transactions that were begun and not ended.
static TRANSACTIONS: Mutex<Vec<Transaction>> = Mutex::new(Vec::new());
/// What connections have seen, in order: the number of the peer and the event.
static SEEN: Mutex<Vec<(u64, &str)>> = Mutex::new(Vec::new());
static SOMETHING_SEEN: Condvar = Condvar::new();
/// How many handlers are held up by `block`, and whether they may go on.
static GATE: Mutex<Gate> = Mutex::new(Gate { blocked: 0, open: false });
static GATE_MOVED: Condvar = Condvar::new();
static PEERS: AtomicU64 = AtomicU64::new(0);

/// What was received to be used later.
static ENDPOINT: Mutex<Option<Endpoint>> = Mutex::new(None);
static LISTENER: Mutex<Option<Listener>> = Mutex::new(None);

struct Gate {
    blocked: u64,
    open: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no handler panics while it holds a lock")
}

fn see(peer: u64, event: &'static str) {
    lock(&SEEN).push((peer, event));
    SOMETHING_SEEN.notify_all();
}

/// The service's whole life.
pub fn serve() -> ! {
    let started = SystemTime::now();
    xpc_main(move |peer| accept(peer, started))
}

fn accept(peer: Inactive<Accepted>, started: SystemTime) {
    let number = PEERS.fetch_add(1, Ordering::Relaxed) + 1;
    let mut appended = Array::new();
    let before = peer.pid();
    peer.on_message(move |connection, message| -> Result<(), Error> {
        match message.string("op")? {
            "who" => {
                let me = who(connection, number, started).with("peer-pid-at-accept", before.unwrap_or_default());
                message.reply_with(me)
            }
            "append" => {
                appended.push(message.uint64("value")?.into());
                Ok(())
            }
            "list" => message.reply().with("values", std::mem::take(&mut appended)).send(),
            "note" => {
                see(number, "noted");
                Ok(())
            }
            _ => perform(connection, message),
        }
    })
    .on_termination_imminent(move |connection| {
        see(number, "termination imminent");
        // Its client may be gone.
        let _ = connection.send(&Dictionary::new().with("event", "termination imminent"));
    })
    .on_invalid(move |_, _| see(number, "invalid"))
    .activate();
}

/// What needs nothing of the peer but its connection.
fn perform(connection: &Connection, message: Message) -> Result<(), Error> {
    match message.string("op")? {
        "echo" => message.reply_with(message.clone()),
        "keep" => {
            lock(&KEPT).push(message);
            connection.send(&Dictionary::new().with("event", "kept"))
        }
        "answer" => {
            for kept in std::mem::take(&mut *lock(&KEPT)) {
                kept.reply().with("answered", true).send()?;
            }
            message.reply().send()
        }
        "tell" => {
            connection.send(&Dictionary::new().with("event", "told"))?;
            // Where it is a request.
            message.reply().send().or_else(|error| if error == Error::NotARequest { Ok(()) } else { Err(error) })
        }
        "drop" => Ok(()),
        "reply-twice" => {
            message.reply().with("first", true).send()?;
            let second = message.reply().send().err().map(|error| error.to_string());
            connection.send(&Dictionary::new().with("event", "second").with("error", second.unwrap_or_default()))
        }
        "send-then-reply" => {
            connection.send(&Dictionary::new().with("event", "sent first"))?;
            message.reply().with("replied", true).send()
        }
        "cancel" => {
            connection.cancel();
            Ok(())
        }
        "exit" => std::process::exit(0),
        "block" => {
            let mut gate = lock(&GATE);
            gate.blocked += 1;
            GATE_MOVED.notify_all();
            while !gate.open {
                gate = GATE_MOVED.wait(gate).expect("not poisoned");
            }
            Ok(())
        }
        "wait-until-blocked" => {
            let mut gate = lock(&GATE);
            while gate.blocked == 0 {
                gate = GATE_MOVED.wait(gate).expect("not poisoned");
            }
            message.reply().send()
        }
        "open" => {
            lock(&GATE).open = true;
            GATE_MOVED.notify_all();
            message.reply().send()
        }
        "ask-blocking" => {
            let error = connection.send_with_reply_blocking(&Dictionary::new()).err();
            message.reply().with("error", error.map(|error| error.to_string()).unwrap_or_default()).send()
        }
        "ask-back" => {
            // The reply comes outside of this handler, which would hold it up.
            let connection = connection.clone();
            std::thread::spawn(move || -> Result<(), Error> {
                let question = Dictionary::new().with("question", 6_u64);
                let answer = connection.send_with_reply_blocking(&question)?.uint64("answer")?;
                message.reply().with("answer", answer).send()
            });
            Ok(())
        }
        "forward" => {
            let other = Connection::service(message.string("to")?).activate();
            match other.send_with_reply_blocking(message.dictionary("message")?) {
                Ok(reply) => message.reply_with(reply.clone()),
                Err(error) => message.reply().with("error", error.to_string()).send(),
            }
        }
        "wait-until-seen" => {
            let (number, event) = (message.uint64("peer")?, message.string("event")?);
            let mut seen = lock(&SEEN);
            while !seen.iter().any(|(peer, what)| *peer == number && *what == event) {
                seen = SOMETHING_SEEN.wait(seen).expect("not poisoned");
            }
            let all = seen.iter().filter(|(peer, _)| *peer == number).map(|(_, what)| *what);
            message.reply().with("seen", all.collect::<Array>()).send()
        }
        "seen" => {
            let number = message.uint64("peer")?;
            let seen: Array = lock(&SEEN).iter().filter(|(peer, _)| *peer == number).map(|(_, what)| *what).collect();
            message.reply().with("seen", seen).send()
        }
        "write" => {
            let to = message.array("to")?.array(1)?.fd(0)?;
            let mut file = File::from(to.try_clone_to_owned().expect("it can be duplicated"));
            file.write_all(message.string("text")?.as_bytes()).expect("it is open for writing");
            message.reply().with("from", array![to.clone()]).send()
        }
        "share" => {
            let inner = message.array("list")?.dictionary(0)?;
            let (memory, at) = (inner.shared_memory("memory")?, inner.uint64("at")?);
            let at = usize::try_from(at).expect("an offset");
            let mapping = memory.map().expect("it can be mapped");
            let read = mapping.copy(at, 8).expect("it is long enough");
            mapping.write(at, b"answered").expect("it is long enough");
            message.reply().with("read", read).with("length", memory.len() as u64).send()
        }
        "begin" => {
            lock(&TRANSACTIONS).push(Transaction::begin());
            message.reply().send()
        }
        "end" => {
            let ended = lock(&TRANSACTIONS).pop();
            message.reply().send()?;
            drop(ended);
            Ok(())
        }
        "call-endpoint" => call(message.endpoint("endpoint")?, &message),
        "call-agent" => {
            let agent = Connection::mach_service(message.string("name")?).activate();
            match agent.send_with_reply_blocking(&Dictionary::new().with("op", "who")) {
                Ok(reply) => message.reply_with(reply.clone()),
                Err(error) => message.reply().with("error", error.to_string()).send(),
            }
        }
        "keep-endpoint" => {
            *lock(&ENDPOINT) = Some(message.endpoint("endpoint")?.clone());
            message.reply().send()
        }
        "call-kept" => {
            let kept = lock(&ENDPOINT).clone();
            match kept {
                Some(endpoint) => call(&endpoint, &message),
                None => message.reply().with("error", "no endpoint was kept").send(),
            }
        }
        "listen" => {
            let listener = Listener::anonymous().activate(|peer| {
                peer.on_message(|_, message| message.reply().with("pid", std::process::id()).send()).activate();
            });
            let endpoint = listener.endpoint();
            *lock(&LISTENER) = Some(listener);
            message.reply().with("endpoint", endpoint).send()
        }
        "listen-on-the-main-queue" => {
            let listener = Listener::anonymous().activate(|peer| {
                peer.target_queue(&Queue::main())
                    .on_message(|_, message| {
                        let thread = std::thread::current();
                        message.reply().with("thread", thread.name().unwrap_or_default()).send()
                    })
                    .activate();
            });
            let endpoint = listener.endpoint();
            *lock(&LISTENER) = Some(listener);
            message.reply().with("endpoint", endpoint).send()
        }
        "stop-listening" => {
            if let Some(listener) = lock(&LISTENER).take() {
                listener.cancel();
            }
            message.reply().send()
        }
        "print" => {
            println!("on standard output");
            eprintln!("on standard error");
            message.reply().send()
        }
        "read" => match std::fs::read(message.string("path")?) {
            Ok(content) => message.reply().with("content", content).send(),
            Err(error) => message.reply_with(failed(&error)),
        },
        "connect" => match std::net::TcpStream::connect(message.string("address")?) {
            Ok(_) => message.reply().with("connected", true).send(),
            Err(error) => message.reply_with(failed(&error)),
        },
        "panic" => panic!("told to panic"),
        other => message.reply().with("error", format!("no operation {other}")).send(),
    }
}

/// Replies with what the endpoint's listener answers.
fn call(endpoint: &Endpoint, message: &Message) -> Result<(), Error> {
    let connection = Connection::from_endpoint(endpoint).activate();
    match connection.send_with_reply_blocking(&Dictionary::new()) {
        Ok(reply) => message.reply_with(reply.clone()),
        Err(error) => message.reply().with("error", error.to_string()).send(),
    }
}

fn failed(error: &std::io::Error) -> Dictionary {
    let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
    Dictionary::new().with("denied", denied).with("error", error.to_string())
}

fn who(connection: &Connection, number: u64, started: SystemTime) -> Dictionary {
    let environment: Dictionary = std::env::vars().collect();
    Dictionary::new()
        .with("pid", std::process::id())
        .with("peer", number)
        .with("started", started)
        .with("environment", environment)
        .with("arguments", std::env::args().skip(1).collect::<Array>())
        .with(
            "credentials",
            array![
                connection.pid().unwrap_or_default(),
                connection.euid().unwrap_or(u32::MAX),
                connection.egid().unwrap_or(u32::MAX)
            ],
        )
}
