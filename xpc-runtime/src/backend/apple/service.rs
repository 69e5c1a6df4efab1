use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Mutex, OnceLock};

use super::bundle;
use super::connection::Inactive;
use super::entry::Entry;
use super::lock;
use super::log;
use super::object::Retained;
use super::raw::{xpc_connection_t, xpc_main};
use crate::logging::Level;

type Accept = Box<dyn FnMut(Inactive) + Send>;

/// `xpc_main` takes a plain function, so that the closure has to be found from one. Nothing takes it back: `xpc_main`
/// does not return.
static ACCEPT: OnceLock<Mutex<Accept>> = OnceLock::new();

pub(crate) fn run_service(accept: impl FnMut(Inactive) + Send + 'static) -> ! {
    let set = ACCEPT.set(Mutex::new(Box::new(accept)));
    assert!(set.is_ok(), "xpc_main was called twice");
    log::become_service();
    assert_main_thread("xpc_main");
    if bundle::may_want_run_loop() {
        load_foundation();
    }
    // SAFETY: a function with the signature of a connection handler; it does not unwind.
    unsafe { xpc_main(take_over) }
}

/// With `RunLoopType` = `NSRunLoop`, `xpc_main` gives the main thread to Foundation's run loop, which has to be there
/// by then. The program does not link it, so that it needs no SDK.
fn load_foundation() {
    unsafe extern "C" {
        /// dlopen(3).
        fn dlopen(path: *const c_char, mode: c_int) -> *mut c_void;
        /// dlerror(3).
        fn dlerror() -> *const c_char;
    }
    /// `RTLD_NOW` and `RTLD_GLOBAL` of `dlfcn.h`.
    const NOW_AND_FOR_ALL: c_int = if cfg!(target_vendor = "apple") { 0x2 | 0x8 } else { 0x2 | 0x100 };
    const FOUNDATION: &CStr = c"/System/Library/Frameworks/Foundation.framework/Foundation";

    // SAFETY: a C string; what is loaded stays for as long as the process lives.
    if unsafe { dlopen(FOUNDATION.as_ptr(), NOW_AND_FOR_ALL) }.is_null() {
        // SAFETY: the text of the error that has just happened on this thread, or null.
        let reason = unsafe { dlerror().as_ref().map(|text| CStr::from_ptr(text).to_string_lossy().into_owned()) };
        let text = format!("cannot load Foundation for RunLoopType NSRunLoop: {}", reason.unwrap_or_default());
        log::write(Level::Error, "run loop", &text);
    }
}

/// Elsewhere neither libdispatch nor a run loop would serve the main queue.
fn assert_main_thread(function: &str) {
    #[cfg(target_vendor = "apple")]
    {
        unsafe extern "C" {
            /// pthread_main_np(3).
            safe fn pthread_main_np() -> c_int;
        }
        assert!(pthread_main_np() != 0, "{function} has to be called on the main thread");
    }
    let _ = function;
}

pub(crate) fn dispatch_main() -> ! {
    log::become_service();
    assert_main_thread("dispatch_main");
    // SAFETY: takes nothing and does not return; this is the main thread.
    unsafe { xpc_runtime_sys::dispatch::dispatch_main() }
}

unsafe extern "C" fn take_over(connection: xpc_connection_t) {
    let entry = Entry::new();
    // SAFETY: libxpc passes a live connection, which it lends.
    let connection = unsafe { Retained::borrowed(connection) };
    if let (Some(connection), Some(accept)) = (connection, ACCEPT.get()) {
        lock(accept)(Inactive::accepted(connection));
    }
    entry.leave();
}
