//! What a test can do to the program from outside: stop it at a place, to kill it there, and have it take a certificate for Apple's.
//!
//! In debug builds a process whose environment has `CARGO_XPC_STOP_AT=<point>` stops itself (`SIGSTOP`) the first time it
//! comes by; the test sees that with `waitpid(2)` and decides what happens next. `CARGO_XPC_POINTS=<file>` has the process write down
//! which points it comes by, so that a test can kill at each of them, and none is forgotten. Release builds hold none of this.

/// Names the place that the program has reached.
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    {
        use std::sync::atomic::{AtomicBool, Ordering};
        static STOPPED: AtomicBool = AtomicBool::new(false);
        if let Some(path) = std::env::var_os("CARGO_XPC_POINTS") {
            let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
            let _ = file.and_then(|mut file| std::io::Write::write_all(&mut file, format!("{name}\n").as_bytes()));
        }
        if std::env::var_os("CARGO_XPC_STOP_AT").is_some_and(|at| at == name) && !STOPPED.swap(true, Ordering::Relaxed)
        {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}

/// Whether the file system is to be taken for one that cannot exchange two folders: in debug builds where `CARGO_XPC_NO_EXCHANGE` is set.
/// Those that cannot are of other systems, or need a server.
pub fn cannot_exchange() -> bool {
    cfg!(debug_assertions) && std::env::var_os("CARGO_XPC_NO_EXCHANGE").is_some()
}

/// Whether a certificate stands for Apple's root. Nobody outside of Apple has the key of such a one, so that what follows from it can
/// only be tested with a stand-in: in debug builds the DER file that `CARGO_XPC_APPLE_ROOT` names.
pub fn is_apple_root(der: &[u8]) -> bool {
    #[cfg(debug_assertions)]
    {
        let stand_in = std::env::var_os("CARGO_XPC_APPLE_ROOT");
        stand_in.is_some_and(|path| std::fs::read(path).is_ok_and(|content| content == der))
    }
    #[cfg(not(debug_assertions))]
    {
        let _ = der;
        false
    }
}
