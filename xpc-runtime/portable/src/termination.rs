//! A service that is told to end (SIGTERM): its peers hear of it, and its last transaction is its end.

use std::os::fd::AsRawFd;
use std::sync::Once;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, read};
use rustix::process::getpid;

use crate::bootstrap::LEAVING;
use crate::reactor::reactor;
use crate::{bootstrap, service, settings, socket, transaction};

/// Where the signal handler writes to; open as long as the process lives.
static TOLD: AtomicI32 = AtomicI32::new(-1);
/// This process: one that was forked from it inherits the handler, too.
static PROCESS: AtomicI32 = AtomicI32::new(-1);

/// From now on SIGTERM ends this process in an orderly way, unless the program handles it in a way of its own.
pub(crate) fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(start);
}

fn start() {
    let told = eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd can be created");
    let started = thread::Builder::new().name("xpc-exit".into()).stack_size(64 << 10);
    PROCESS.store(getpid().as_raw_nonzero().get(), Ordering::Release);
    TOLD.store(told.as_raw_fd(), Ordering::Release);
    let started = started.spawn(move || {
        while read(&told, &mut [0_u8; 8]) == Err(Errno::INTR) {}
        end()
    });
    // Without the thread SIGTERM keeps its default action: the process ends at once.
    if started.is_ok() {
        handle_signal();
    }
}

fn handle_signal() {
    extern "C" fn tell(signal: i32) {
        // SAFETY: these calls, and reading `errno`, are async-signal-safe; the buffer is a local of eight bytes, as an
        // eventfd wants them; the descriptor is open as long as the process lives. `errno` is put back, for whoever was
        // interrupted. A copy of the process has what the signal does by default as soon as this returns.
        unsafe {
            let errno = libc::__errno_location();
            let saved = *errno;
            if libc::getpid() == PROCESS.load(Ordering::Acquire) {
                let one = 1_u64.to_ne_bytes();
                libc::write(TOLD.load(Ordering::Acquire), one.as_ptr().cast(), one.len());
            } else {
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal);
            }
            *errno = saved;
        }
    }
    // SAFETY: all zero is a valid value of this struct of C's: no flags, an empty mask, the default action.
    let mut current: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: asks only; the pointer is to a local.
    let asked = unsafe { libc::sigaction(libc::SIGTERM, std::ptr::null(), &raw mut current) };
    if asked == 0 && current.sa_sigaction == libc::SIG_DFL {
        current.sa_sigaction = tell as extern "C" fn(i32) as usize;
        current.sa_flags = libc::SA_RESTART;
        // SAFETY: a handler with the signature for these flags, which makes async-signal-safe calls only.
        unsafe { libc::sigaction(libc::SIGTERM, &raw const current, std::ptr::null_mut()) };
    }
}

fn end() -> ! {
    transaction::terminate();
    if let Some(bootstrap) = bootstrap::inherited() {
        // A launcher that is gone takes this process along.
        let _ = socket::send_packet(bootstrap, LEAVING, None);
    }
    for connection in reactor().connections() {
        connection.termination_imminent();
    }
    loop {
        transaction::wait_until_none_is_open();
        // Replies that a full socket holds up leave first, and who is to be told of the end has been.
        if reactor().is_quiet(false) {
            service::exit_now()
        }
        thread::sleep(settings::RETRY.get());
    }
}
