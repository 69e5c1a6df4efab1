//! The portable backend of `xpc-runtime`: XPC's rules over Unix sockets, and the part of launchd that an app sees.
//!
//! Programs use `xpc-runtime`, whose API is the same on every system. This crate is what it stands on where there is no
//! libxpc. It is Linux's for now: it needs epoll, pidfds and the parent-death signal.
//!
//! ```no_run
//! use xpc_portable::{Event, Inactive};
//! use xpc_object::Dictionary;
//!
//! let connection = Inactive::service("com.example.demo.greeter").activate(Box::new(|_connection, event| {
//!     if let Event::Invalid(reason) = event {
//!         eprintln!("{reason}");
//!     }
//! }));
//! let reply = connection.send_with_reply_blocking(&Dictionary::new().with("name", "Rust"), None)?;
//! # Ok::<(), xpc_portable::Error>(())
//! ```
//!
//! `ARCHITECTURE.md` in the repository says which thread does what, and what a backend has to provide.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "xpc-portable supports Linux only so far: on Apple platforms build without `--cfg xpc_runtime_force_portable`"
);

#[cfg(target_os = "linux")]
pub mod activity;
#[cfg(target_os = "linux")]
mod bootstrap;
#[cfg(target_os = "linux")]
mod bundle;
#[cfg(target_os = "linux")]
mod connection;
#[cfg(target_os = "linux")]
mod credentials;
#[cfg(target_os = "linux")]
mod endpoint;
#[cfg(target_os = "linux")]
mod error;
#[cfg(target_os = "linux")]
mod fork;
#[cfg(target_os = "linux")]
mod frame;
#[cfg(all(test, target_os = "linux"))]
mod hostile;
#[cfg(target_os = "linux")]
mod launcher;
#[cfg(target_os = "linux")]
mod mach;
#[cfg(target_os = "linux")]
mod message;
#[cfg(target_os = "linux")]
mod reactor;
#[cfg(target_os = "linux")]
mod requirement;
#[cfg(target_os = "linux")]
mod sandbox;
#[cfg(target_os = "linux")]
mod service;
#[cfg(target_os = "linux")]
pub mod settings;
#[cfg(target_os = "linux")]
mod slot;
#[cfg(target_os = "linux")]
mod socket;
#[cfg(target_os = "linux")]
mod termination;
#[cfg(target_os = "linux")]
pub mod testing;
#[cfg(target_os = "linux")]
mod timer;
#[cfg(target_os = "linux")]
mod transaction;

#[cfg(target_os = "linux")]
pub use crate::{
    bundle::BUNDLE_VARIABLE,
    connection::{Budget, Connection, Event, Handler, Inactive, Queue, SendReady, Suspension},
    credentials::Credentials,
    endpoint::Listener,
    error::Error,
    launcher::{DEBUG_VARIABLE, KEPT_VARIABLES},
    message::{Message, Reply},
    requirement::PeerRequirement,
    service::{dispatch_main, run_service},
    slot::ReplyFuture,
    timer::{Timer, after},
    transaction::Transaction,
};

/// Locks a mutex whose data stays consistent even if a thread panicked while it held it (which aborts the process
/// anyway wherever user code runs).
#[cfg(target_os = "linux")]
fn lock<T: ?Sized>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
