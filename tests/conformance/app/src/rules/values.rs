//! What can be in a message, and who can be asked.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use conformance_service::{OTHER, SERVICE};
use xpc_runtime::{Connection, Date, Error, SharedMemory, Uuid, array, dictionary};

use crate::case::{Case, Outcome};
use crate::client::{ask, block_on, connect, op};

pub const CASES: &[Case] = &[
    Case::new("a", "every_type_arrives", every_type),
    Case::new("a", "large_messages_arrive", large),
    Case::new("a", "text_that_c_cannot_hold_is_refused", nul),
    Case::new("a", "descriptors_arrive_and_are_closed_with_their_message", descriptors),
    Case::new("a", "memory_is_shared_with_the_receiver", memory),
    Case::new("d", "a_service_asks_its_client", asks_back),
    Case::new("d", "a_service_asks_another_service", forward),
];

fn every_type() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    let inner = dictionary! { "deep" => array![(), true] };
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
        .with("array", array![1_i64, inner.clone()])
        .with("dictionary", inner)
        .with("none", array![]);
    assert_eq!(*ask(&connection, &message)?, message);
    assert_eq!(*block_on(connection.send_with_reply(&message))?, message);
    Ok(())
}

fn large() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    let data: Vec<u8> = (0..16_u32 << 20).map(|n| (n % 251) as u8).collect();
    let message = op("echo").with("data", data);
    assert!(*ask(&connection, &message)? == message);
    Ok(())
}

fn nul() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    assert!(matches!(connection.send(&op("echo").with("text", "a\0b")), Err(Error::Encode(_))));
    assert!(matches!(ask(&connection, &op("echo").with("a\0b", 1_u64)), Err(Error::Encode(_))));
    ask(&connection, &op("echo"))?;
    Ok(())
}

fn descriptors() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    let (mut reader, writer) = std::io::pipe().expect("a pipe can be made");
    let message = op("write").with("text", "by the service").with("to", array![1_i64, array![OwnedFd::from(writer)]]);
    let reply = ask(&connection, &message)?;
    let mut back = File::from(reply.array("from")?.fd(0)?.try_clone_to_owned().expect("it can be duplicated"));
    back.write_all(b", and back").expect("it is open for writing");
    drop((message, reply, back));
    let mut text = String::new();
    // Until every copy of the other end is closed, in both processes.
    reader.read_to_string(&mut text).expect("text");
    assert_eq!(text, "by the service, and back");
    Ok(())
}

fn memory() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    let memory = SharedMemory::new(3 << 20).expect("memory can be had");
    let mapping = memory.map().expect("it can be mapped");
    mapping.write(2 << 20, b"question").expect("it is long enough");
    let inner = dictionary! { "memory" => &memory, "at" => 2_u64 << 20 };
    let reply = ask(&connection, &op("share").with("list", array![inner]))?;
    assert_eq!(reply.data("read")?[..], *b"question");
    assert_eq!(reply.uint64("length")?, 3 << 20);
    assert_eq!(mapping.copy(2 << 20, 8).expect("it is long enough"), b"answered");
    Ok(())
}

fn asks_back() -> Outcome {
    let connection = Connection::service(SERVICE)
        .on_message(|_, message| -> Result<(), Error> {
            message.reply().with("answer", message.uint64("question")? * 7).send()
        })
        .activate();
    assert_eq!(ask(&connection, &op("ask-back"))?.uint64("answer")?, 42);
    assert_eq!(block_on(connection.send_with_reply(&op("ask-back")))?.uint64("answer")?, 42);
    Ok(())
}

fn forward() -> Outcome {
    let (connection, _events) = connect(SERVICE);
    let own = ask(&connection, &op("who"))?.uint64("pid")?;
    let reply = ask(&connection, &op("forward").with("to", OTHER).with("message", op("who")))?;
    assert_eq!(reply.array("credentials")?.uint64(0)?, own, "the other service sees the service, not the app");
    let (other, _events) = connect(OTHER);
    assert_eq!(ask(&other, &op("who"))?.uint64("pid")?, reply.uint64("pid")?, "one instance for the whole app");
    Ok(())
}
