//! Who is launched when, with what, and how often.

use std::process::{Command, Stdio};

use xpc_runtime::Error;
use xpc_runtime_tests::process::children;
use xpc_runtime_tests::{OTHER_SERVICE_NAME, SERVICE_NAME, block_on, op};

use crate::client::{Event, ask, connect, next, service_pid};

pub fn launch_on_message() {
    let (connection, _events) = connect(SERVICE_NAME);
    let (_other, _more) = connect(OTHER_SERVICE_NAME);
    assert_eq!(children(), Vec::<String>::new(), "a connection launches nothing");
    let pid = service_pid(&connection);
    assert_eq!(children(), [pid.to_string()]);
}

pub fn one_instance() {
    let connections: Vec<_> = (0..20).map(|_| connect(SERVICE_NAME).0).collect();
    let pending: Vec<_> = connections.iter().map(|connection| connection.send_with_reply(&op("who"))).collect();
    let pids: Vec<_> = pending.into_iter().map(|reply| block_on(reply).unwrap().uint64("pid").unwrap()).collect();
    assert!(pids.iter().all(|pid| *pid == pids[0]));
    assert_eq!(children().len(), 1);
}

pub fn service_of_a_service() {
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

pub fn helper_processes() {
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

/// A process that the app has started: says which service it reaches.
pub fn helper() {
    println!("{}", service_pid(&connect(SERVICE_NAME).0));
}

pub fn environment() {
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
    assert_eq!(other.uint64("session"), Ok(xpc_runtime_tests::process::session()), "JoinExistingSession");
}

/// At the limit of descriptors new connections fail for good, and the others go on.
pub fn no_descriptors() {
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
pub fn hold() {
    let (connection, _events) = connect(SERVICE_NAME);
    println!("{}", service_pid(&connection));
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
}
