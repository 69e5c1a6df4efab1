//! Listeners that are found by name. Where launchd is, it wants to know a name beforehand; elsewhere this program is the
//! agent, too.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};

use conformance_service::{SANDBOXED, SERVICE};
use xpc_runtime::{Connection, Error, Listener, MachService, dispatch_main, xpc_main};

use crate::case::{Case, Outcome};
use crate::client::{Event, Events, FOR_EVER, ask, connect, op};

pub const CASES: &[Case] = &[
    Case::new("21", "an_agent_listens_under_its_name_and_gives_its_main_thread_away", listens).portable(&[]),
    Case::new("21", "an_agent_that_calls_xpc_main_aborts", no_service).portable(&[]),
    Case::new("k", "an_unknown_mach_service_is_invalid_after_activation", unknown),
    Case::new("k", "an_agent_that_dies_interrupts_and_is_reached_again", dies).portable(&[]),
    Case::new("k", "an_agent_that_cancels_a_client_interrupts_it", cancels).portable(&[]),
    Case::new("k", "an_agent_that_is_told_to_end_tells_its_peers", terminates).portable(&[]),
    Case::new("k", "a_name_has_one_listener", taken).portable(&[]),
    Case::new("k", "a_service_reaches_an_agent_unless_it_is_sandboxed", from_services).portable(&[]),
];

const NAME: &str = "com.example.conformance.agent";

fn listener() -> Listener<MachService> {
    Listener::mach_service(NAME)
        .on_invalid(|error| {
            println!("{error}");
            std::process::exit(3);
        })
        .activate(|peer| {
            peer.on_message(|connection, message| -> Result<(), Error> {
                match message.string("op")? {
                    "cancel" => {
                        connection.cancel();
                        Ok(())
                    }
                    "keep" => connection.send(&op("").with("event", "kept")).map(|()| std::mem::forget(message)),
                    _ => message.reply().with("pid", std::process::id()).send(),
                }
            })
            .on_termination_imminent(|connection| {
                // Its client may be gone.
                let _ = connection.send(&op("").with("event", "termination imminent"));
            })
            .activate();
        })
}

/// This program as an agent.
pub fn run(kind: &str) -> ExitCode {
    match kind {
        "agent" => {
            let _listener = listener();
            println!("activated");
            dispatch_main()
        }
        "service" => xpc_main(drop),
        _ => ExitCode::from(2),
    }
}

struct Agent {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Agent {
    fn start() -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut command = Command::new(program);
        let mut process = command
            .args(["--agent", "agent"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started");
        let output = process.stdout.take().expect("it is a pipe");
        let mut agent = Self { process, lines: BufReader::new(output).lines() };
        assert_eq!(agent.line(), "activated");
        agent
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("a line").expect("it can be read")
    }

    fn pid(&self) -> u64 {
        self.process.id().into()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn reach() -> (Connection, Events) {
    let (sender, events) = channel();
    let (messages, interruptions) = (sender.clone(), sender.clone());
    let connection = Connection::mach_service(NAME)
        .on_message(move |_, message| messages.send(Event::Message(message)).unwrap_or_default())
        .on_interrupted(move |_| interruptions.send(Event::Interrupted).unwrap_or_default())
        .on_invalid(move |_, error| sender.send(Event::Invalid(error)).unwrap_or_default())
        .activate();
    (connection, Events::new(events))
}

fn pid(connection: &Connection) -> Result<u64, Error> {
    Ok(ask(connection, &op("who"))?.uint64("pid")?)
}

fn listens() -> Outcome {
    let agent = Agent::start();
    let (first, _events) = reach();
    let (second, _more) = reach();
    assert_eq!(first.name(), Some(NAME));
    assert_eq!(first.pid(), None);
    assert_eq!((pid(&first)?, pid(&second)?), (agent.pid(), agent.pid()));
    assert_eq!(first.pid().map(u64::from), Some(agent.pid()));
    Ok(())
}

fn no_service() -> Outcome {
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new(program).args(["--agent", "service"]).output().expect("this program can be started");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("An XPC Service cannot be run directly."));
    Ok(())
}

fn unknown() -> Outcome {
    let (connection, events) = reach();
    let reason = events.invalid();
    assert!(reason.to_string().contains(NAME), "{reason}");
    events.end();
    assert!(matches!(ask(&connection, &op("who")), Err(Error::Invalid(_))));
    Ok(())
}

fn dies() -> Outcome {
    let mut agent = Agent::start();
    let (connection, events) = reach();
    for _ in 0..3 {
        assert_eq!(pid(&connection)?, agent.pid());
        let pending = connection.send_with_reply(&op("keep"));
        events.message("kept");
        drop(agent);
        events.interrupted();
        assert_eq!(crate::client::block_on(pending).err(), Some(Error::Interrupted));
        agent = Agent::start();
    }
    assert_eq!(pid(&connection)?, agent.pid());
    events.none();
    Ok(())
}

fn cancels() -> Outcome {
    let agent = Agent::start();
    let (connection, events) = reach();
    assert_eq!(ask(&connection, &op("cancel")).err(), Some(Error::Interrupted));
    events.interrupted();
    assert_eq!(pid(&connection)?, agent.pid());
    Ok(())
}

fn terminates() -> Outcome {
    let mut agent = Agent::start();
    let (connection, events) = reach();
    // A request that is never answered is a transaction that never ends.
    let _pending = connection.send_with_reply(&op("keep"));
    events.message("kept");
    let told = Command::new("kill").arg(agent.pid().to_string()).status().expect("kill(1) is there");
    assert!(told.success());
    events.message("termination imminent");
    assert_eq!(pid(&connection)?, agent.pid());
    assert!(agent.process.try_wait().expect("it can be asked for").is_none());
    Ok(())
}

fn taken() -> Outcome {
    let agent = Agent::start();
    let (sender, over): (_, Receiver<Error>) = channel();
    let _second = Listener::mach_service(NAME)
        .on_invalid(move |error| sender.send(error).unwrap_or_default())
        .activate(|_peer| panic!("nobody comes here"));
    let error = over.recv_timeout(FOR_EVER).expect("it is over");
    assert!(error.to_string().contains(&format!("{NAME} is served by process {}", agent.pid())), "{error}");
    assert_eq!(pid(&reach().0)?, agent.pid());
    Ok(())
}

fn from_services() -> Outcome {
    let agent = Agent::start();
    let call = op("call-agent").with("name", NAME);
    assert_eq!(ask(&connect(SERVICE).0, &call)?.uint64("pid")?, agent.pid());
    let sandboxed = ask(&connect(SANDBOXED).0, &call)?;
    assert!(sandboxed.uint64("pid").is_err(), "{sandboxed:?}");
    sandboxed.string("error")?;
    Ok(())
}
