//! The side of a service: it takes over the connections that the launcher hands it.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};
use rustix::thread::gettid;

use crate::bootstrap::{self, ACCEPTED, BUSY, CONNECT, IDLE};
use crate::connection::{Core, Inactive};
use crate::error::explain;
use crate::launcher::DEBUG_VARIABLE;
use crate::lock;
use crate::reactor::{Source, reactor};
use crate::socket::{self, Packet};
use crate::{settings, termination, timer, transaction};

/// How many connections are taken over in one go before the thread looks at others.
const TURNS: usize = 64;

type Accept = Box<dyn FnMut(Inactive) + Send>;

pub(crate) struct Acceptor {
    bootstrap: &'static OwnedFd,
    accept: Mutex<Accept>,
    /// No descriptor was free for the last connection; it is said once.
    starved: AtomicBool,
}

/// Serves the connections that arrive, for good. `accept` is called once for each, one at a time; a connection that it
/// does not activate is rejected. A panic in it aborts the process.
///
/// A process that no launcher started prints `An XPC Service cannot be run directly.` and aborts (SIGABRT), as on
/// macOS. When the app is gone, the process ends. Where [`DEBUG_VARIABLE`] in the app's environment names this service,
/// it says its process id and stops (SIGSTOP) first.
pub fn run_service(accept: impl FnMut(Inactive) + Send + 'static) -> ! {
    let Some(bootstrap) = bootstrap::inherited() else {
        eprintln!("An XPC Service cannot be run directly.");
        std::process::abort();
    };
    wait_for_debugger();
    transaction::become_service();
    termination::watch();
    let acceptor =
        Arc::new(Acceptor { bootstrap, accept: Mutex::new(Box::new(accept)), starved: AtomicBool::new(false) });
    let reactor = reactor();
    reactor
        .add(reactor.new_token(), bootstrap, Source::Acceptor(acceptor), EventFlags::IN)
        .expect("the bootstrap socket can be watched");
    reactor.serve_forever()
}

/// Gives the calling thread, which is the program's main one, to connections and listeners, for good: what an agent's
/// `main` ends with.
///
/// # Panics
/// On another thread.
pub fn dispatch_main() -> ! {
    assert!(gettid() == getpid(), "dispatch_main is called on another thread than the main one");
    reactor().serve_forever()
}

/// Stops the process where the app's environment asks for it: a debugger attaches to a stopped process as to any other.
fn wait_for_debugger() {
    if std::env::var_os(DEBUG_VARIABLE).is_none() {
        return;
    }
    let pid = getpid();
    eprintln!(
        "process {pid} waits for a debugger: attach one (gdb -p {pid}, lldb -p {pid}), or go on with kill -CONT {pid}"
    );
    // Another thread may run on for a moment; this one does not return before the process is continued.
    kill_process(pid, Signal::STOP).expect("a process may stop itself");
}

impl Acceptor {
    /// The reactor's call: the bootstrap socket can be read.
    pub(crate) fn ready(self: &Arc<Self>, token: u64) {
        for _ in 0..TURNS {
            if transaction::is_terminating() {
                // What is not taken over goes to the next instance.
                return;
            }
            match socket::receive_packet(self.bootstrap) {
                Ok(Packet::Received(bytes, Some(socket))) if bytes == CONNECT => self.take_over(socket),
                Ok(Packet::Received(bytes, None)) if bytes.starts_with(IDLE) => self.say_whether_idle(&bytes),
                // The answer to `IDLE`.
                Ok(Packet::Received(bytes, None)) if bytes == BUSY => {}
                Ok(Packet::Received(..)) => return self.refuse_for_want_of_descriptors(token),
                Ok(Packet::End) => exit_with_the_app(),
                Err(_) => break,
            }
        }
        reactor().arm(token, self.bootstrap, EventFlags::IN);
    }

    /// The launcher would end this process if it is idle. If it is, the launcher has the next word, and until then
    /// nothing is begun.
    fn say_whether_idle(&self, question: &[u8]) {
        let idle = bootstrap::time(question).unwrap_or(Duration::MAX);
        let frozen = transaction::freeze(idle).and_then(|frozen| {
            let quiet = reactor().is_quiet(true);
            if quiet { Ok(frozen) } else { Err(idle) }
        });
        match frozen {
            Err(left) => drop(socket::send_packet(self.bootstrap, &bootstrap::with_time(BUSY, left), None)),
            Ok(frozen) => {
                if socket::send_packet(self.bootstrap, IDLE, None).is_ok() {
                    // Readable: the launcher says to go on. It is left to the caller to read that it is gone.
                    while poll(&mut [PollFd::new(self.bootstrap, PollFlags::IN)], None) == Err(Errno::INTR) {}
                }
                drop(frozen);
            }
        }
    }

    /// The launcher lets the connection go, so that its client is interrupted and others go on; not at once, since the
    /// client may come again at once.
    fn refuse_for_want_of_descriptors(self: &Arc<Self>, token: u64) {
        if !self.starved.swap(true, Ordering::Relaxed) {
            eprintln!("a new connection is refused: {}", explain(Errno::MFILE));
        }
        let acceptor = self.clone();
        let later = move || {
            acceptor.confirm();
            reactor().arm(token, acceptor.bootstrap, EventFlags::IN);
        };
        timer::after(settings::RETRY.get(), later).detach();
    }

    /// Tells the launcher that it need not keep the oldest connection that it sent.
    fn confirm(&self) {
        // A launcher that is gone is noticed when the socket is read.
        let _ = socket::send_packet(self.bootstrap, ACCEPTED, None);
    }

    fn take_over(&self, socket: OwnedFd) {
        self.starved.store(false, Ordering::Relaxed);
        let peer = Core::accept(socket);
        // Before the handler runs: if it crashes, this connection has been accepted and is not for the next instance to
        // crash on.
        self.confirm();
        if let Some(peer) = peer {
            lock(&self.accept)(peer);
        }
    }
}

/// Ends the process without running anything of it.
pub(crate) fn exit_now() -> ! {
    // SAFETY: `_exit` takes a number and does not return; it touches no memory of this process.
    unsafe { libc::_exit(0) }
}

/// launchd kills a service whose app is gone; nothing of the service's runs any more.
fn exit_with_the_app() -> ! {
    exit_now()
}
