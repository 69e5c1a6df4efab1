//! The services of the benchmark's app. Which one it is, it takes from its name, so that nothing has to be asked for each
//! message.

use anyhow::Result;
use xpc_runtime::{Error, Queue, xpc_main};

fn main() -> Result<()> {
    let name = std::env::var("XPC_SERVICE_NAME")?;
    match name.rsplit('.').next() {
        Some("echo") => xpc_main(|peer| {
            peer.on_message(|_, message| message.reply_with(message.clone())).activate();
        }),
        Some("queued") => {
            let queue = Queue::serial("bench");
            xpc_main(move |peer| {
                peer.target_queue(&queue).on_message(|_, message| message.reply_with(message.clone())).activate();
            })
        }
        Some("sink") => xpc_main(|peer| {
            peer.on_message(|_, message| message.reply().send()).activate();
        }),
        Some("map") => xpc_main(|peer| {
            peer.on_message(|_, message| -> Result<()> {
                let mapping = message.shared_memory("memory")?.map()?;
                message.reply().send()?;
                drop(mapping);
                Ok(())
            })
            .activate();
        }),
        Some("count") => xpc_main(|peer| {
            let mut received = 0_u64;
            peer.on_message(move |_, message| -> Result<(), Error> {
                if message.is_empty() {
                    received += 1;
                    return Ok(());
                }
                message.reply().with("received", std::mem::take(&mut received)).send()
            })
            .activate();
        }),
        _ => anyhow::bail!("there is no service {name}"),
    }
}
