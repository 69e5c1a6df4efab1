//! Processes that were forked and execute no other program.
//!
//! Such a copy has the descriptors of the original and none of its threads. The sockets, the epoll and the clock are one
//! and the same in both: whatever the copy did to them, be it by dropping a connection on its way out, would happen to
//! the original. So in the copy every connection is over, and nothing touches what is shared.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static COPY: AtomicBool = AtomicBool::new(false);

pub(crate) const REASON: &str = "this process was forked from one that uses XPC, and executed no program since: connect before the fork from the process that goes on, or execute a program after it";

/// From now on copies of this process are told apart.
pub(crate) fn watch() {
    extern "C" fn in_the_copy() {
        COPY.store(true, Ordering::Relaxed);
    }
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        // SAFETY: a function for the whole life of the program that does not unwind, and stores one flag. It can fail for want of memory: then copies are
        // not told apart.
        unsafe { libc::pthread_atfork(None, None, Some(in_the_copy)) };
    });
}

/// Whether this process is such a copy.
pub(crate) fn is_copy() -> bool {
    COPY.load(Ordering::Relaxed)
}
