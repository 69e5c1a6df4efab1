//! The app: reads expressions, has its service work them out, and lives on when the service does not.

use std::io::{self, BufRead as _};
use std::process::ExitCode;

use evaluator_interface::{SERVICE_NAME, keys};
use xpc_runtime::{Connection, Dictionary, Error};

fn main() -> ExitCode {
    let service = Connection::service(SERVICE_NAME).activate();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut lines: Box<dyn Iterator<Item = io::Result<String>>> = if arguments.is_empty() {
        Box::new(io::stdin().lock().lines())
    } else {
        Box::new(arguments.into_iter().map(Ok))
    };
    match lines.try_for_each(|line| answer(&service, &line?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(service: &Connection, expression: &str) -> Result<(), Box<dyn std::error::Error>> {
    let request = Dictionary::new().with(keys::EXPRESSION, expression);
    let shown: String = expression.chars().take(40).collect();
    match service.send_with_reply_blocking(&request) {
        Ok(reply) => match reply.double(keys::VALUE) {
            Ok(value) => println!("{shown} = {value}"),
            Err(_) => println!("{shown}: {}", reply.string(keys::PROBLEM)?),
        },
        // This line was too much for the service. The connection is as good as before: the next line starts another one.
        Err(Error::Interrupted) => println!("{shown}…: the service did not survive that"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
