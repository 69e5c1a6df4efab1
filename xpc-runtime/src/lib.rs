//! Write XPC services in Rust: over libxpc on Apple platforms, over a backend that keeps XPC's rules on Linux.
//!
//! An app is split into processes: the app itself, and services that it reaches by name. A service is launched when the
//! first message is sent to it, runs with rights of its own, and can crash without taking the app along. `cargo xpc`
//! builds, bundles and starts both; this crate is what they are written with.
//!
//! The service:
//!
//! ```no_run
//! use xpc_runtime::{Error, xpc_main};
//!
//! fn main() -> ! {
//!     // Called once for every connection that the app opens.
//!     xpc_main(|peer| {
//!         peer.on_message(|_connection, message| -> Result<(), Error> {
//!             let name = message.string("name")?;
//!             message.reply().with("greeting", format!("Hello, {name}!")).send()
//!         })
//!         .activate();
//!     })
//! }
//! ```
//!
//! The app:
//!
//! ```no_run
//! use xpc_runtime::{Connection, Dictionary, Error};
//!
//! fn main() -> Result<(), Error> {
//!     let connection = Connection::service("com.example.demo.greeter").activate();
//!     let reply = connection.send_with_reply_blocking(&Dictionary::new().with("name", "Rust"))?;
//!     println!("{}", reply.string("greeting")?);
//!     Ok(())
//! }
//! ```
//!
//! `cargo xpc new` makes a workspace with both, `cargo xpc run` starts the app, and `cargo xpc test` has tests reach the
//! services.
//!
//! # What XPC promises
//! * A connection can be made whether or not its service runs or even exists; only a **message** launches the service,
//!   and an unknown name shows as *invalid* in [`Inactive::on_invalid`] and in every send.
//! * Messages of one connection arrive in order. [`Connection::send`] never blocks. Replies are outside of that order.
//! * Handlers of one connection run one at a time; while one runs, its connection neither sends nor receives. A
//!   blocking request on the same connection inside it can therefore never be answered: it fails with
//!   [`Error::WouldDeadlock`].
//! * [`Error::Interrupted`]: the service went away, or dropped the request. The connection stays usable and the next
//!   message launches the service again; nothing is sent twice. [`Error::Invalid`]: the connection is over for good.
//! * A panic in a handler ends the process, after its message was printed. For the other side that is an interruption.
//!
//! # Names
//! Items are called what libxpc calls them, without the prefix; searching this documentation for a C name finds the
//! item that covers it.
//!
//! # Where services are found
//! In the bundle that contains the running program. On Linux a program outside any bundle, started by `cargo run` or
//! `cargo test`, can name one in the environment variable `XPC_RUNTIME_BUNDLE`. A service there gets a clean
//! environment: PATH, HOME, USER, LOGNAME, SHELL, TMPDIR, LANG, LANGUAGE, LC_\*, TZ and XDG_RUNTIME_DIR of the app,
//! what its Info.plist lists, and XPC_SERVICE_NAME; what it prints appears on the app's standard error, line by line,
//! after its name.
//!
//! A service that ends within ten seconds of its start more than three times in a row is started again after a delay
//! only: a quarter of a second at first, then twice as long each time, up to those ten seconds. `XPC_RUNTIME_THROTTLE`
//! sets them, in seconds; 0 turns this off. `XPC_RUNTIME_WAIT_FOR_DEBUGGER=<service>` in the app's environment makes
//! a service say its process id and stop at its start, until a debugger or `kill -CONT` lets it go on. Both are the
//! portable backend's: on macOS launchd has its own ways.
//!
//! A service without an open [`Transaction`] is ended after a minute, and launched again by the next message; its
//! clients are interrupted meanwhile.
//!
//! | variable, in seconds | by default | sets |
//! |---|---|---|
//! | `XPC_RUNTIME_IDLE_EXIT` | 60 | how long an idle service is left running; 0: for ever |
//! | `XPC_RUNTIME_EXIT_TIMEOUT` | 20 | how long a service that was told to end may take |
//! | `XPC_RUNTIME_THROTTLE` | 10 | the longest delay between starts, and what life is too short; 0: no throttling |
//! | `XPC_RUNTIME_THROTTLE_FIRST` | 0.25 | the first delay |
//! | `XPC_RUNTIME_STALL_TIMEOUT` | 60 | in what time a client has to take 64 KiB of what waits for it, with the budget used up; 0: for ever |
//! | `XPC_RUNTIME_IDLE_THREAD` | 10 | how long a thread that is not needed waits for work |
//! | `XPC_RUNTIME_ACTIVITY_SECOND` | 1 | how long a second of an [`Activity`]'s [`Criteria`] is, in services too |
//! | `XPC_RUNTIME_RETRY` | 0.01 | how soon something is tried again that the kernel has no room for |
//! | `XPC_RUNTIME_SPIN` | 0.00003 | how long a thread that expects a reply, or the next request, looks for it before it sleeps, in services too; 0: it sleeps at once |
//!
//! # Agents and daemons
//! A program in no bundle serves a name with [`Listener::mach_service`], is reached by [`Connection::mach_service`], and
//! ends its `main` with [`dispatch_main`] instead of `xpc_main`.
//!
//! # Futures
//! Requests can be awaited by any executor ([`Connection::send_with_reply`]), for some time only where need be
//! ([`ReplyFuture::with_timeout`]). [`Inactive::on_message_async`] has handlers run on one: a small one that is bundled,
//! tokio with the feature `tokio`, or another ([`Spawn`]). No runtime comes in by default.
//!
//! # Files, memory, endpoints
//! A message holds more than data: open files, memory that both processes see, and ways to listeners. Whoever receives a
//! file may use it, whether or not its own sandbox would let it be opened.
//!
//! ```
//! use std::fs::File;
//! use std::io::Read as _;
//!
//! use xpc_runtime::{Connection, Dictionary, Fd, Listener, SharedMemory, dictionary};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In the service. An error of any type that can be printed may be passed on.
//! let second = Listener::anonymous().activate(|peer| {
//!     peer.on_message(|_, message| message.reply().with("from", "the second listener").send()).activate();
//! });
//! let endpoint = second.endpoint();
//! let listener = Listener::anonymous().activate(move |peer| {
//!     let endpoint = endpoint.clone();
//!     peer.on_message(move |_, message| -> Result<(), Box<dyn std::error::Error>> {
//!         let mut text = Vec::new();
//!         File::from(message.fd("file")?.try_clone_to_owned()?).read_to_end(&mut text)?;
//!         message.shared_memory("memory")?.map()?.write(0, &text)?;
//!         message.reply().with("written", text.len() as u64).with("more", &endpoint).send()?;
//!         Ok(())
//!     })
//!     .activate();
//! });
//!
//! // In the app.
//! # let connection = Connection::from_endpoint(&listener.endpoint()).activate();
//! let memory = SharedMemory::new(1 << 20)?;
//! let request = dictionary! { "file" => Fd::from(File::open("Cargo.toml")?), "memory" => &memory };
//! let reply = connection.send_with_reply_blocking(&request)?;
//! let text = memory.map()?.copy(0, usize::try_from(reply.uint64("written")?)?)?;
//! assert!(text.starts_with(b"[package]"));
//! // A connection of its own, to whomever the endpoint leads to.
//! let other = Connection::from_endpoint(reply.endpoint("more")?).activate();
//! assert_eq!(other.send_with_reply_blocking(&Dictionary::new())?.string("from")?, "the second listener");
//! # Ok(())
//! # }
//! ```
//!
//! # Types
//! With the feature `serde`, `to_dictionary` makes a message of any type that implements serde's `Serialize`, and
//! `Message::decode` (or `from_dictionary`) reads one. What becomes of what is said at `to_dictionary`.
//!
//! # Logs
//! [`logging`] writes to where people look for it: the unified log on Apple platforms, standard error elsewhere; panics go
//! there by themselves. The features `log` and `tracing` are for the crates of these names.
//!
//! # Backends
//! On Apple platforms the crate needs libSystem alone and macOS 11. `--cfg xpc_runtime_force_portable` in `RUSTFLAGS`
//! chooses the portable backend where it supports the system.

mod activity;
mod backend;
mod connection;
mod error;
mod executor;
mod flow;
mod listener;
pub mod logging;
mod message;
mod outcome;
mod reply;
mod requirement;
mod service;
mod session;
mod spawn;
pub mod testing;
mod transaction;

pub use crate::activity::{Activity, ActivityState, Criteria, Priority};
pub use crate::connection::{Accepted, ByEndpoint, Connection, Inactive, Named, Role};
pub use crate::error::Error;
pub use crate::flow::{Budget, Queue, SendReady, Suspension};
pub use crate::listener::{Anonymous, InactiveListener, Kind, Listener, MachService};
pub use crate::message::{Message, Reply};
pub use crate::outcome::HandlerOutcome;
pub use crate::reply::{ReplyFuture, TimedReply};
pub use crate::requirement::{EntitlementValue, PeerRequirement};
pub use crate::service::{dispatch_main, on_launch_event, xpc_main};
pub use crate::session::{InactiveSession, Session};
pub use crate::spawn::{Spawn, Spawner, Task};
pub use crate::transaction::Transaction;
pub use xpc_object::{
    Array, Bytes, Date, Dictionary, EncodeError, Endpoint, ErrorValue, Fd, Mapping, Object, OutOfBounds, SharedMemory,
    Type, Uuid, ValueError, array, dictionary,
};
#[cfg(feature = "serde")]
pub use xpc_object::{DecodeError, DecodeErrorKind, Misfit, from_dictionary, to_dictionary};
pub use xpc_runtime_macros::service_name;
