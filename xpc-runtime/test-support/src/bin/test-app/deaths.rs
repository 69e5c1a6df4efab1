//! Services that end, and what comes of it.

use std::sync::mpsc::channel;
use std::thread;

use xpc_runtime::Error;
use xpc_runtime_tests::process::{children, descriptors};
use xpc_runtime_tests::{ABSENT_SERVICE_NAME, BROKEN_SERVICE_NAME, FOR_EVER, SERVICE_NAME, block_on, op};

use crate::client::{Event, ask, connect, kill, next, service_pid};

pub fn kill_while_pending() {
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
    assert_eq!(ask(&connection, &op("kept")).uint64("count"), Ok(0));
    assert_eq!(children(), [successor.to_string()], "no zombie is left");
    assert!(events.try_recv().is_err());
}

pub fn panic_in_the_service() {
    let (connection, events) = connect(SERVICE_NAME);
    let pid = service_pid(&connection);
    assert_eq!(connection.send_with_reply_blocking(&op("panic")).unwrap_err(), Error::Interrupted);
    assert!(matches!(next(&events), Event::Interrupted));
    assert_ne!(service_pid(&connection), pid);
}

pub fn absent_program() {
    let (connection, events) = connect(ABSENT_SERVICE_NAME);
    let error = connection.send_with_reply_blocking(&op("echo")).unwrap_err();
    let Error::Invalid(reason) = &error else { panic!("{error}") };
    assert!(reason.contains("cannot start") && reason.contains("no-such-program"), "{reason}");
    assert!(matches!(next(&events), Event::Invalid(seen) if seen == error));
}

/// In place of the absent one there is something else.
pub fn foreign_program() {
    let (connection, _events) = connect(ABSENT_SERVICE_NAME);
    let error = connection.send_with_reply_blocking(&op("echo")).unwrap_err();
    assert!(matches!(&error, Error::Invalid(reason) if reason.contains("no program for this system")), "{error}");
}

pub fn broken_service() {
    let (connection, events) = connect(BROKEN_SERVICE_NAME);
    assert_eq!(connection.send_with_reply_blocking(&op("echo")).unwrap_err(), Error::Interrupted);
    assert!(matches!(next(&events), Event::Interrupted));
    assert_eq!(children(), Vec::<String>::new());
}

pub fn many_deaths() {
    let (connection, events) = connect(SERVICE_NAME);
    for _ in 0..25 {
        let pid = service_pid(&connection);
        kill(pid);
        assert!(matches!(next(&events), Event::Interrupted));
    }
    assert!(events.try_recv().is_err(), "one interruption for one death");
    let open = descriptors();
    assert!(open.len() < 20, "{open:?}");
}

/// More deaths than are forgiven; each next message starts the service all the same, be it after a while.
pub fn crash_loop() {
    let (connection, events) = connect(SERVICE_NAME);
    for _ in 0..5 {
        kill(service_pid(&connection));
        assert!(matches!(next(&events), Event::Interrupted));
    }
    service_pid(&connection);
}

/// Barriers run once each, in order, whether what was sent before them has left or was lost with the service.
pub fn barrier_across_deaths() {
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
