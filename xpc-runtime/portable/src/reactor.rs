//! The threads that read connections and run their handlers.
//!
//! All wait on one epoll. A source is armed for one event at a time (one-shot), so that it is never served by two
//! threads. Handlers run on the thread that got the event. Whenever the last waiting thread gets one, another is
//! started, up to [`MAX_THREADS`]: a handler that blocks holds up its own connection and nobody else's.

mod crew;

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{self, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::{Errno, read, write};

use self::crew::Crew;
use crate::connection::{AbortOnPanic, Core};
use crate::endpoint::Rendezvous;
use crate::error::explain;
use crate::mach::Port;
use crate::service::Acceptor;
use crate::timer::Clock;
use crate::{fork, lock, settings};

/// How many handlers can block at once before other connections have to wait.
const MAX_THREADS: u16 = 64;
/// How many threads may wait for one connection each, and so for no other.
const MAX_STAYING: u16 = 4;
/// How many threads stay when nothing happens: one at work, one ready to take over.
const KEPT_THREADS: u16 = 2;
/// The token of the eventfd that announces jobs.
const WAKE: u64 = 0;
/// The token of the clock.
const CLOCK: u64 = 1;

/// Work that no socket announces.
pub(crate) enum Job {
    /// A connection has something for its handler, or something that was held back.
    Attend(Arc<Core>),
    Run(Box<dyn FnOnce() + Send>),
}

impl Job {
    fn run(self) {
        match self {
            Self::Attend(core) => core.attend(),
            Self::Run(run) => run(),
        }
    }
}

#[derive(Clone)]
pub(crate) enum Source {
    Connection(Arc<Core>),
    Acceptor(Arc<Acceptor>),
    Rendezvous(Arc<Rendezvous>),
    Port(Arc<Port>),
}

pub(crate) struct Reactor {
    epoll: OwnedFd,
    wake: OwnedFd,
    clock: Clock,
    sources: Mutex<HashMap<u64, Source>>,
    next_token: AtomicU64,
    jobs: Mutex<VecDeque<Job>>,
    crew: Crew,
}

/// A thread waits for one connection: see [`Reactor::stay`].
pub(crate) struct Staying(&'static Reactor);

impl Drop for Staying {
    fn drop(&mut self) {
        self.0.crew.end_stay();
    }
}

/// The process's reactor, started at first use.
pub(crate) fn reactor() -> &'static Reactor {
    try_reactor().unwrap_or_else(|error| panic!("cannot begin to serve XPC connections: {}", explain(error)))
}

/// The same, for whoever can say that it failed.
pub(crate) fn try_reactor() -> Result<&'static Reactor, Errno> {
    static REACTOR: OnceLock<Reactor> = OnceLock::new();
    if let Some(reactor) = REACTOR.get() {
        return Ok(reactor);
    }
    // One that another thread was faster than is closed again: no thread waits in it yet.
    let made = Reactor::new()?;
    fork::watch();
    Ok(REACTOR.get_or_init(|| made))
}

impl Reactor {
    fn new() -> Result<Self, Errno> {
        let reactor = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            clock: Clock::new()?,
            sources: Mutex::default(),
            next_token: AtomicU64::new(CLOCK + 1),
            jobs: Mutex::default(),
            crew: Crew::new(MAX_THREADS, MAX_STAYING),
        };
        let edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&reactor.epoll, &reactor.wake, epoll::EventData::new_u64(WAKE), edges)?;
        epoll::add(&reactor.epoll, reactor.clock.descriptor(), epoll::EventData::new_u64(CLOCK), edges)?;
        Ok(reactor)
    }

    /// Makes sure that somebody waits for events.
    pub(crate) fn start(&'static self) {
        // A copy's threads would take the original's events.
        if !fork::is_copy()
            && self.crew.counts().threads == 0
            && let Some(before) = self.crew.join()
        {
            self.spawn(before);
        }
    }

    pub(crate) fn new_token(&self) -> u64 {
        self.next_token.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds a source, armed for `events`.
    pub(crate) fn add(
        &self,
        token: u64,
        socket: impl AsFd,
        source: Source,
        events: epoll::EventFlags,
    ) -> Result<(), Errno> {
        if fork::is_copy() {
            return Err(Errno::PERM);
        }
        lock(&self.sources).insert(token, source);
        epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token), events | epoll::EventFlags::ONESHOT)
            .inspect_err(|_| {
                lock(&self.sources).remove(&token);
            })
    }

    /// Arms a source again.
    pub(crate) fn arm(&self, token: u64, socket: impl AsFd, events: epoll::EventFlags) {
        if fork::is_copy() {
            return;
        }
        epoll::modify(&self.epoll, socket, epoll::EventData::new_u64(token), events | epoll::EventFlags::ONESHOT)
            .expect("the socket is open and in the epoll until `remove`");
    }

    /// Takes a source out, before its socket is closed. The caller must hold no lock that dropping the source would
    /// take.
    pub(crate) fn remove(&self, token: u64, socket: impl AsFd) -> Option<Source> {
        if fork::is_copy() {
            return None;
        }
        // It is there from `add` to here; a failure would say that it is gone already.
        let _ = epoll::delete(&self.epoll, socket);
        lock(&self.sources).remove(&token)
    }

    /// The connections that are in the epoll now.
    pub(crate) fn connections(&self) -> Vec<Arc<Core>> {
        let sources = lock(&self.sources);
        let connections = sources.values().filter_map(|source| match source {
            Source::Connection(core) => Some(core.clone()),
            Source::Acceptor(_) | Source::Rendezvous(_) | Source::Port(_) => None,
        });
        connections.collect()
    }

    /// Nothing is at work here, and, where `received` says so, nothing has arrived either.
    pub(crate) fn is_quiet(&self, received: bool) -> bool {
        let sources: Vec<_> = lock(&self.sources).values().cloned().collect();
        sources.iter().all(|source| match source {
            Source::Connection(core) => core.is_quiet(received),
            Source::Rendezvous(rendezvous) => rendezvous.is_quiet(received),
            Source::Acceptor(_) | Source::Port(_) => true,
        })
    }

    /// What is to be done later.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Has a thread do this.
    pub(crate) fn submit(&'static self, job: Job) {
        lock(&self.jobs).push_back(job);
        self.announce_job();
        self.start();
    }

    /// Lets the calling thread wait for one connection alone, as long as what is returned lives; `None` where nobody else
    /// would wait for the others, or enough threads do so already.
    pub(crate) fn stay(&'static self) -> Option<Staying> {
        self.crew.stay().then(|| Staying(self))
    }

    /// How many threads wait for one connection alone.
    #[cfg(test)]
    pub(crate) fn stays(&self) -> u16 {
        self.crew.counts().staying
    }

    fn announce_job(&self) {
        // The only failure is a full counter, and then a wake-up is under way.
        let _ = write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Starts a thread that has joined the crew, which had so many `before`.
    fn spawn(&'static self, before: u16) {
        let spawned = thread::Builder::new().name("xpc-io".into()).spawn(move || self.serve(before >= KEPT_THREADS));
        if let Err(error) = spawned {
            self.crew.leave();
            assert!(before > 0, "cannot start the thread that serves XPC connections: {error}");
        }
    }

    /// Serves on the calling thread, for good.
    pub(crate) fn serve_forever(&'static self) -> ! {
        assert!(!fork::is_copy(), "{}", fork::REASON);
        // Were there as many already, others would serve.
        let _ = self.crew.join();
        self.serve(false);
        unreachable!("only a thread that may retire stops serving")
    }

    fn serve(&'static self, may_retire: bool) {
        // Users' code runs on this thread: handlers, wakers, destructors. If it panics, half-done work must not be left
        // behind.
        let guard = AbortOnPanic;
        let patience = may_retire.then(|| Timespec::try_from(settings::IDLE_THREAD.get()).ok()).flatten();
        let mut events = Vec::with_capacity(1);
        loop {
            events.clear();
            self.crew.begin_waiting();
            let waited = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), patience.as_ref());
            match (waited, events.first()) {
                (Ok(_), Some(event)) => {
                    if let Some(before) = self.crew.got_event() {
                        self.spawn(before);
                    }
                    self.handle(event.data.u64(), event.flags);
                }
                (Ok(_), None) if may_retire => {
                    if self.crew.retire() {
                        std::mem::forget(guard);
                        return;
                    }
                }
                (Ok(_) | Err(Errno::INTR), _) => self.crew.stop_waiting(),
                (Err(error), _) => panic!("waiting for XPC messages failed: {error}"),
            }
        }
    }

    fn handle(&'static self, token: u64, flags: epoll::EventFlags) {
        if token == WAKE {
            let _ = read(&self.wake, &mut [0_u8; 8]);
            let (job, more) = {
                let mut jobs = lock(&self.jobs);
                (jobs.pop_front(), !jobs.is_empty())
            };
            if more {
                self.announce_job();
            }
            if let Some(job) = job {
                job.run();
            }
            return;
        }
        if token == CLOCK {
            let mut due = self.clock.due().into_iter();
            let first = due.next();
            for later in due {
                self.submit(Job::Run(later));
            }
            if let Some(first) = first {
                first();
            }
            return;
        }
        let source = lock(&self.sources).get(&token).cloned();
        match source {
            Some(Source::Connection(core)) => {
                core.ready(token, flags.contains(epoll::EventFlags::OUT), flags.intersects(!epoll::EventFlags::OUT));
            }
            Some(Source::Acceptor(acceptor)) => acceptor.ready(token),
            Some(Source::Rendezvous(rendezvous)) => rendezvous.ready(),
            Some(Source::Port(port)) => port.ready(),
            // Removed since the event was taken.
            None => {}
        }
    }
}
