//! Greets whoever the arguments name, through the service in the bundle that contains this program.

use xpc_runtime::{Connection, Dictionary, Error};

fn main() -> Result<(), Error> {
    let connection = Connection::service("com.example.greeter")
        .on_interrupted(|_connection| eprintln!("the service went away; the next message launches it again"))
        .activate();
    for name in std::env::args().skip(1) {
        let reply = connection.send_with_reply_blocking(&Dictionary::new().with("name", name))?;
        println!("{}", reply.string("greeting")?);
    }
    Ok(())
}
