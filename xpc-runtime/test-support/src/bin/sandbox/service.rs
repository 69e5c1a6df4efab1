//! Tries what it is told to, on its handler's thread or on one that was there before `main`.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use xpc_runtime::{Array, Connection, Dictionary, Error, xpc_main};

use crate::attempts::errno;

type Job = (String, String, Sender<i64>);

/// A connection to an agent.
static KEPT: Mutex<Option<Connection>> = Mutex::new(None);

/// To the thread that was started before `main`.
static EARLY: Mutex<Option<Sender<Job>>> = Mutex::new(None);

extern "C" fn start_early() {
    let (sender, jobs): (_, Receiver<Job>) = channel();
    *EARLY.lock().unwrap() = Some(sender);
    std::thread::spawn(move || {
        for (what, argument, result) in jobs {
            result.send(errno(&what, &argument)).unwrap();
        }
    });
}

// SAFETY: the loader calls what stands in this section before `main`; on Linux the standard library works there.
#[unsafe(link_section = ".init_array")]
#[used]
static START_EARLY: extern "C" fn() = start_early;

pub fn serve() -> ! {
    xpc_main(|peer| {
        peer.on_message(|_, message| -> Result<(), Error> {
            let text = |key| message.string(key).map(str::to_owned);
            match message.string("op")? {
                "try" => {
                    let errno = errno(&text("what")?, &text("argument")?);
                    message.reply().with("errno", errno).send()
                }
                "try-early" => {
                    let (sender, result) = channel();
                    let early = EARLY.lock().unwrap().clone().expect("started before main");
                    early.send((text("what")?, text("argument")?, sender)).unwrap();
                    message.reply().with("errno", result.recv().unwrap()).send()
                }
                "echo" => message.reply_with(message.clone()),
                "print" => {
                    println!("printed in the sandbox");
                    message.reply().send()
                }
                "self" => message.reply_with(describe()),
                "forward" => {
                    let other = Connection::service(message.string("to")?).activate();
                    let reply = other.send_with_reply_blocking(&Dictionary::new().with("op", "self")).unwrap();
                    message.reply_with(reply.clone())
                }
                "call-agent" => {
                    let agent = Connection::mach_service(message.string("name")?).activate();
                    let at_once = agent.invalidation_reason().is_some();
                    message.reply_with(call(&agent).with("at once", at_once))
                }
                "keep-agent" => {
                    let agent = Connection::mach_service(message.string("name")?).activate();
                    let reply = call(&agent);
                    *KEPT.lock().unwrap() = Some(agent);
                    message.reply_with(reply)
                }
                "call-kept" => message.reply_with(call(KEPT.lock().unwrap().as_ref().unwrap())),
                "kill-service" => {
                    let killed = xpc_runtime::testing::kill_service(message.string("name")?);
                    message.reply().with("killed", killed == Ok(true)).send()
                }
                op => panic!("unknown op {op}"),
            }
        })
        .activate();
    })
}

/// What an agent says, or why it does not.
fn call(agent: &Connection) -> Dictionary {
    match agent.send_with_reply_blocking(&Dictionary::new()) {
        Ok(reply) => reply.clone(),
        Err(error) => Dictionary::new().with("error", error.to_string()),
    }
}

fn describe() -> Dictionary {
    let environment: Dictionary = std::env::vars().collect();
    let descriptors: Array = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| Some(std::fs::read_link(entry.unwrap().path()).ok()?.display().to_string()))
        .collect();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapPrm:")).unwrap();
    Dictionary::new()
        .with("environment", environment)
        .with("directory", std::env::current_dir().unwrap().to_str().unwrap())
        .with("descriptors", descriptors)
        .with("capabilities", u64::from_str_radix(capabilities.trim(), 16).unwrap())
        .with("pid", std::process::id())
}
