//! The service: what it is given may be anything, so it works in a process of its own.

mod expression;

use evaluator_interface::keys;
use xpc_runtime::{Error, xpc_main};

fn main() -> ! {
    xpc_main(|peer| {
        peer.on_message(|_connection, message| -> Result<(), Error> {
            let expression = message.string(keys::EXPRESSION)?;
            let reply = match expression::evaluate(expression) {
                Ok(value) => message.reply().with(keys::VALUE, value),
                Err(problem) => message.reply().with(keys::PROBLEM, problem),
            };
            reply.send()
        })
        .activate();
    })
}
