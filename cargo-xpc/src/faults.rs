//! Places where a test can stop the program, to kill it there.
//!
//! In debug builds a process whose environment has `CARGO_XPC_STOP_AT=<point>` stops itself (`SIGSTOP`) the first time it
//! comes by; the test sees that with `waitpid(2)` and decides what happens next. Release builds hold none of this.

/// Names the place that the program has reached.
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    {
        use std::sync::atomic::{AtomicBool, Ordering};
        static STOPPED: AtomicBool = AtomicBool::new(false);
        if std::env::var_os("CARGO_XPC_STOP_AT").is_some_and(|at| at == name) && !STOPPED.swap(true, Ordering::Relaxed)
        {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
