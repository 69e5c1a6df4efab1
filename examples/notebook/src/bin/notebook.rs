//! The client: adds the notes that its arguments are, and shows all; with `--watch` also those that come later.

use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};

use notebook::{SERVICE_NAME, keys};
use xpc_runtime::{Connection, Dictionary, Error};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let (sender, ends) = channel();
    let agent = connect(sender);
    let mut watch = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--watch" => watch = true,
            note => drop(agent.send_with_reply_blocking(&Dictionary::new().with(keys::ADD, note))?),
        }
    }
    show(&agent, watch)?;
    if !watch {
        return Ok(());
    }
    loop {
        match ends.recv() {
            // The agent went away, and its notes with it: perhaps somebody has started it again.
            Ok(None) => show(&agent, watch)?,
            Ok(Some(error)) => return Err(error),
            Err(_) => return Ok(()),
        }
    }
}

/// A connection that says when the agent goes away, and why if it is for good.
fn connect(ends: Sender<Option<Error>>) -> Connection {
    let interruptions = ends.clone();
    Connection::mach_service(SERVICE_NAME)
        .on_message(|_agent, message| -> Result<(), Error> {
            println!("{}", message.string(keys::NOTE)?);
            Ok(())
        })
        .on_interrupted(move |_agent| interruptions.send(None).unwrap_or_default())
        .on_invalid(move |_agent, error| ends.send(Some(error)).unwrap_or_default())
        .activate()
}

fn show(agent: &Connection, watch: bool) -> Result<(), Error> {
    let reply = agent.send_with_reply_blocking(&Dictionary::new().with(keys::WATCH, watch))?;
    let notes = reply.array(keys::NOTES)?;
    for index in 0..notes.len() {
        println!("{}", notes.string(index)?);
    }
    Ok(())
}
