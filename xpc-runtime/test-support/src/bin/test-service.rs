//! Does what the message's `op` says.

use std::sync::Mutex;

use xpc_runtime::{Array, Connection, Dictionary, Endpoint, Error, Message, xpc_main};

/// Requests that are never answered: they must be alive when the service is killed.
static KEPT: Mutex<Vec<Message>> = Mutex::new(Vec::new());

/// What was received and is used later.
static ENDPOINT: Mutex<Option<Endpoint>> = Mutex::new(None);

fn main() -> ! {
    if std::env::var("XPC_SERVICE_NAME").is_ok_and(|name| name == xpc_runtime_tests::BROKEN_SERVICE_NAME) {
        std::process::exit(3);
    }
    xpc_main(|peer| {
        let pid = peer.pid();
        peer.on_message(move |connection, message| -> Result<(), Error> {
            match message.string("op")? {
                "echo" => message.reply_with(message.clone()),
                "who" => message.reply_with(who(connection, pid)),
                "kept" => message.reply().with("count", KEPT.lock().unwrap().len() as u64).send(),
                "keep" => {
                    KEPT.lock().unwrap().push(message);
                    connection.send(&Dictionary::new().with("kept", true))
                }
                "drop" => Ok(()),
                "panic" => panic!("told to panic"),
                "print" => {
                    println!("on standard output");
                    eprint!("on standard error, without a line's end");
                    message.reply().send()
                }
                "forward" => {
                    let other = Connection::service(message.string("to")?).activate();
                    let result = other.send_with_reply_blocking(&Dictionary::new().with("op", "who"));
                    message.reply_with(match result {
                        Ok(reply) => reply.clone(),
                        Err(error) => Dictionary::new().with("error", error.to_string()),
                    })
                }
                "call-endpoint" => message.reply_with(call(message.endpoint("endpoint")?)),
                "keep-endpoint" => {
                    *ENDPOINT.lock().unwrap() = Some(message.endpoint("endpoint")?.clone());
                    message.reply().send()
                }
                "call-kept" => {
                    let endpoint = ENDPOINT.lock().unwrap().clone().unwrap();
                    message.reply_with(call(&endpoint))
                }
                "hand-on" => {
                    let other = Connection::service(message.string("to")?).activate();
                    let kept =
                        Dictionary::new().with("op", "keep-endpoint").with("endpoint", message.endpoint("endpoint")?);
                    other.send_with_reply_blocking(&kept)?;
                    message.reply().send()
                }
                op => panic!("unknown op {op}"),
            }
        })
        .activate();
    })
}

/// What the endpoint's listener answers.
fn call(endpoint: &Endpoint) -> Dictionary {
    let connection = Connection::from_endpoint(endpoint).activate();
    match connection.send_with_reply_blocking(&Dictionary::new()) {
        Ok(reply) => reply.clone(),
        Err(error) => Dictionary::new().with("error", error.to_string()),
    }
}

fn who(connection: &Connection, peer: Option<u32>) -> Dictionary {
    let environment: Dictionary = std::env::vars().collect();
    let folder = std::env::current_dir().unwrap();
    let mut who = Dictionary::new()
        .with("pid", std::process::id())
        .with("environment", environment)
        .with("directory", folder.to_str().unwrap())
        .with("peer", peer.unwrap())
        .with("peer-later", connection.pid().unwrap())
        .with("euid", connection.euid().unwrap())
        .with("egid", connection.egid().unwrap());
    #[cfg(target_os = "linux")]
    {
        who.insert("session", xpc_runtime_tests::process::session());
        let descriptors: Array =
            std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap()).map(describe).collect();
        who.insert("descriptors", descriptors);
        who.insert("threads", std::fs::read_dir("/proc/self/task").unwrap().count() as u64);
    }
    who
}

#[cfg(target_os = "linux")]
fn describe(entry: std::fs::DirEntry) -> String {
    let target =
        std::fs::read_link(entry.path()).map_or_else(|error| error.to_string(), |path| path.display().to_string());
    format!("{}: {target}", entry.file_name().display())
}
