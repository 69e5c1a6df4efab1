//! What is sent, and where it arrives.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc::channel;
use std::thread;

use xpc_runtime::{Array, Connection, Dictionary, SharedMemory};
use xpc_runtime_tests::process::descriptors;
use xpc_runtime_tests::{FOR_EVER, SERVICE_NAME, block_on, op};

use crate::client::{Event, ask, connect, kill, next, service_pid};

pub fn reply_by_name() {
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

pub fn concurrent_requests() {
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

pub fn dropped_connection() {
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

pub fn output() {
    let (connection, events) = connect(SERVICE_NAME);
    ask(&connection, &op("print"));
    kill(service_pid(&connection));
    assert!(matches!(next(&events), Event::Interrupted));
}

/// There and back: what returns is for the same file and the same memory.
pub fn attachments() {
    let (connection, _events) = connect(SERVICE_NAME);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let memory = SharedMemory::new(3 << 20).unwrap();
    let inner = Dictionary::new().with("fd", OwnedFd::from(writer)).with("memory", &memory);
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

/// So many at a time that they leave in parts, to a service and back.
pub fn many_descriptors() {
    let open = || descriptors().len();
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
