//! libxpc. It needs libSystem alone, and nothing newer than macOS 11.
//!
//! `raw` declares C's functions, `block` makes closures into blocks, `object` counts references and converts values;
//! the rest is safe Rust around single calls.

pub(crate) mod activity;
mod block;
mod bundle;
mod connection;
mod entry;
mod events;
mod flow;
mod inbox;
mod launch_event;
mod listener;
pub(crate) mod log;
mod memory;
mod message;
mod object;
mod queue;
mod raw;
mod reply;
pub(crate) mod requirement;
mod rich_error;
mod service;
mod session;
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transaction;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::flow::Budget;
pub(crate) use self::{
    connection::{Connection, Event, Inactive},
    flow::{SendReady, Suspension},
    launch_event::on_launch_event,
    listener::Listener,
    message::{Message, Reply},
    queue::{Queue, Timer, after},
    reply::ReplyFuture,
    requirement::PeerRequirement,
    service::{dispatch_main, run_service},
    session::{Session, SessionEvent, SessionSettings},
    transaction::Transaction,
};

/// Locks a mutex whose data stays consistent even if a thread panicked while it held it.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
