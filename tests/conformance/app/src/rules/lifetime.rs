//! When services start, and why they end.

use std::process::Command;

use conformance_service::{BROKEN, OTHER, SERVICE};
use xpc_runtime::{Error, testing};

use crate::case::{Case, Outcome};
use crate::client::{ask, connect, op, service_pid};

const SOON_IDLE: &[(&str, &str)] = &[("XPC_RUNTIME_IDLE_EXIT", "0.1")];
const THROTTLED: &[(&str, &str)] = &[("XPC_RUNTIME_THROTTLE", "0.4"), ("XPC_RUNTIME_THROTTLE_FIRST", "0.05")];

/// Set in the process whose log is read.
const LOGGED: &str = "CONFORMANCE_LOGGED";

pub const CASES: &[Case] = &[
    Case::new("15", "an_idle_service_is_ended_and_one_with_a_transaction_is_not", idle_exit).portable(SOON_IDLE),
    Case::new("16", "who_is_to_end_ends_with_its_last_transaction", terminate).portable(&[]),
    Case::new("17", "a_service_that_is_run_by_hand_aborts", by_hand),
    Case::new("18", "a_crash_loop_is_held_up_and_loses_no_request", crash_loop).portable(THROTTLED),
    Case::new("23", "what_a_service_prints_is_seen", output).portable(&[]),
];

fn idle_exit() -> Outcome {
    let (connection, events) = connect(SERVICE);
    let (idle, idle_events) = connect(OTHER);
    let first = service_pid(&connection)?;
    ask(&connection, &op("begin"))?;
    // Meanwhile one that has nothing to do is ended again and again.
    for _ in 0..3 {
        service_pid(&idle)?;
        idle_events.interrupted();
    }
    events.none();
    assert_eq!(service_pid(&connection)?, first);
    ask(&connection, &op("end"))?;
    events.interrupted();
    assert_ne!(service_pid(&connection)?, first);
    Ok(())
}

fn terminate() -> Outcome {
    let (connection, events) = connect(SERVICE);
    let first = service_pid(&connection)?;
    ask(&connection, &op("begin"))?;
    assert!(testing::terminate_service(SERVICE)?);
    events.message("termination imminent");
    assert_eq!(service_pid(&connection)?, first, "it goes on until its last transaction ends");
    ask(&connection, &op("end"))?;
    events.interrupted();
    assert_ne!(service_pid(&connection)?, first);
    Ok(())
}

fn by_hand() -> Outcome {
    let app = std::env::current_exe().expect("this program has a path");
    let contents = app.ancestors().nth(2).expect("this program stands in Contents/MacOS");
    let services = std::fs::read_dir(contents.join("XPCServices")).expect("the app has services");
    let mut tried = 0;
    for service in services {
        let programs = service.expect("the folder can be read").path().join("Contents/MacOS");
        let program = std::fs::read_dir(programs).expect("a service has a program").next();
        let program = program.expect("a service has a program").expect("the folder can be read").path();
        if program.ends_with("conformance-broken") {
            continue;
        }
        let output = Command::new(program).output().expect("it can be started");
        // SIGABRT has no exit code.
        assert_eq!(output.status.code(), None, "{}", output.status);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("An XPC Service cannot be run directly."), "{said}");
        tried += 1;
    }
    assert!(tried > 0);
    Ok(())
}

fn crash_loop() -> Outcome {
    let Some(log) = log_of("a_crash_loop_is_held_up_and_loses_no_request") else {
        let (connection, events) = connect(BROKEN);
        // What is forgiven, and more.
        for _ in 0..4 {
            assert_eq!(ask(&connection, &op("echo")).err(), Some(Error::Interrupted));
            events.interrupted();
        }
        return Ok(());
    };
    assert!(log.contains("starts again in 50ms") && log.contains("starts again in 100ms"), "{log}");
    Ok(())
}

fn output() -> Outcome {
    let Some(log) = log_of("what_a_service_prints_is_seen") else {
        let (connection, events) = connect(SERVICE);
        ask(&connection, &op("print"))?;
        assert_eq!(ask(&connection, &op("panic")).err(), Some(Error::Interrupted));
        events.interrupted();
        return Ok(());
    };
    for line in ["on standard output", "on standard error", "told to panic"] {
        assert!(log.contains(&format!("[{SERVICE}] {line}\n")), "{log}");
    }
    Ok(())
}

/// Runs the same test in a process of its own, so that its standard error can be read. There, this is nothing.
fn log_of(name: &str) -> Option<String> {
    if std::env::var_os(LOGGED).is_some() {
        return None;
    }
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    let output = command.args(["--one", name]).env(LOGGED, "1").output().expect("it can be started");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{log}");
    Some(log)
}
