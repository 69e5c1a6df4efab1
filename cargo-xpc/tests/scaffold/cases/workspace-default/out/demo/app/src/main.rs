//! The app: asks its service for a greeting and prints it.

use std::env;
use std::process::ExitCode;

use xpc_runtime::{Connection, Dictionary, Error};

use demo_interface::{SERVICE_NAME, keys};

fn main() -> ExitCode {
    let name = env::args().nth(1).unwrap_or_else(|| "world".to_owned());
    match ask_for_greeting(&name) {
        Ok(greeting) => {
            println!("{greeting}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: no greeting from {SERVICE_NAME}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ask_for_greeting(name: &str) -> Result<String, Error> {
    // This starts nothing yet: the service is started by the first message to it.
    let service = Connection::service(SERVICE_NAME).activate();
    let request = Dictionary::new().with(keys::NAME, name);

    let reply = match service.send_with_reply_blocking(&request) {
        // Interrupted: the service ended before it answered. The connection is as good as before, and
        // the next message starts the service anew. Whether to send the same request twice is for the
        // app to know; a greeting does no harm when it is made twice.
        Err(Error::Interrupted) => service.send_with_reply_blocking(&request)?,
        // Invalid: this connection will never work, because the app holds no service of that name.
        // Asking again would be no use, so this and all other errors go to the caller.
        answer => answer?,
    };
    Ok(reply.string(keys::GREETING)?.to_owned())
}
