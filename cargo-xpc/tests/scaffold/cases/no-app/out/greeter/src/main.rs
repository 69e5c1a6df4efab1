//! The service: a process of its own, started by the system when the app sends it a message.

use xpc_runtime::{Error, xpc_main};

use greeter_interface::keys;

fn main() -> ! {
    // Called once for every connection that the app opens; `peer` is the app's end of it.
    xpc_main(|peer| {
        peer.on_message(|_connection, message| -> Result<(), Error> {
            // A request without a name ends here: the error goes to the log, and the app is told
            // that there will be no reply.
            let name = message.string(keys::NAME)?;
            let greeting = greeting(name);
            message.reply().with(keys::GREETING, greeting).send()
        })
        .activate();
    })
}

/// What the service is for. It knows nothing of messages, so it can be tested without them.
fn greeting(name: &str) -> String {
    format!("Hello, {name}!")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greets_by_name() {
        assert_eq!(greeting("Ada"), "Hello, Ada!");
    }
}
