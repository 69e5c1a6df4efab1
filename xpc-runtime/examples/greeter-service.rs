//! The service that `greeter-app` talks to. It runs from inside an app's bundle: `cargo xpc` makes one.

use xpc_runtime::{Error, xpc_main};

fn main() -> ! {
    xpc_main(|peer| {
        peer.on_message(|_connection, message| -> Result<(), Error> {
            let name = message.string("name")?;
            message.reply().with("greeting", format!("Hello, {name}!")).send()
        })
        .activate();
    })
}
