//! libxpc's C functions on Linux, for tests: what the Apple backend calls, over `xpc-portable`.
//!
//! It proves that callers keep C's rules, not how libxpc behaves. It counts references, and whoever breaks a rule is
//! told which one, and aborted. As the library `libxpc_shim.so` it stands behind the same C boundary as the
//! real one, so that programs in C can be linked with it too.
//!
//! What C passes is checked as far as it can be: a pointer to an object that is gone is found out while the object's
//! head is remembered (`object::QUARANTINE`), and by AddressSanitizer after that.

#![cfg(target_os = "linux")]

#[macro_use]
mod misuse;
mod activity;
mod array;
mod block;
mod connection;
mod convert;
mod dictionary;
mod error;
mod launch_event;
mod listener;
mod log;
mod main_loop;
mod memory;
mod message;
mod object;
mod pool;
mod queue;
mod requirement;
mod rich_error;
mod session;
mod system;
mod text;
mod value;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex whose data stays consistent even if a thread panicked while it held it.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
