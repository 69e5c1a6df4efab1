use std::sync::{Mutex, OnceLock};

use super::connection::Inactive;
use super::object::Retained;
use super::raw::{xpc_connection_t, xpc_main};
use super::{AbortOnPanic, lock};

type Accept = Box<dyn FnMut(Inactive) + Send>;

/// `xpc_main` takes a plain function, so that the closure has to be found from one. Nothing takes it back: `xpc_main`
/// does not return.
static ACCEPT: OnceLock<Mutex<Accept>> = OnceLock::new();

pub(crate) fn run_service(accept: impl FnMut(Inactive) + Send + 'static) -> ! {
    let set = ACCEPT.set(Mutex::new(Box::new(accept)));
    assert!(set.is_ok(), "xpc_main was called twice");
    // SAFETY: a function with the signature of a connection handler; it does not unwind.
    unsafe { xpc_main(take_over) }
}

pub(crate) fn dispatch_main() -> ! {
    // SAFETY: takes nothing and does not return; libdispatch itself ends the process on another thread than the main
    // one.
    unsafe { xpc_runtime_sys::dispatch::dispatch_main() }
}

unsafe extern "C" fn take_over(connection: xpc_connection_t) {
    let guard = AbortOnPanic;
    // SAFETY: libxpc passes a live connection, which it lends.
    let connection = unsafe { Retained::borrowed(connection) };
    if let (Some(connection), Some(accept)) = (connection, ACCEPT.get()) {
        lock(accept)(Inactive::accepted(connection));
    }
    std::mem::forget(guard);
}
