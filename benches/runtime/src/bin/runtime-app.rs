//! xpc-runtime in the race: the app, which reaches the services in its own bundle by their names.

use std::fs;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use runtime_bench::{Case, LARGE, begin_session, repeat, say, serve_batches};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use xpc_runtime::{Connection, Dictionary, SharedMemory, testing};

const ECHO: &str = "com.example.bench.echo";
const QUEUED: &str = "com.example.bench.queued";
const SINK: &str = "com.example.bench.sink";
const MAP: &str = "com.example.bench.map";
const COUNT: &str = "com.example.bench.count";

/// Beside the connection that is measured.
const IDLE_CONNECTIONS: usize = 9_999;

fn main() -> Result<()> {
    begin_session()?;
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (way, case) = args.split_first().context("which way, and which case")?;
    match (way.as_str(), Case::from_args(case)?) {
        ("blocking", Case::RoundTrip(bytes)) => round_trips(ECHO, bytes, false),
        ("async", Case::RoundTrip(bytes)) => round_trips(ECHO, bytes, true),
        ("queued", Case::RoundTrip(bytes)) => round_trips(QUEUED, bytes, false),
        ("beside-idle", Case::RoundTrip(bytes)) => {
            let idle = idle_connections()?;
            round_trips(ECHO, bytes, false)?;
            drop(idle);
            Ok(())
        }
        ("blocking", Case::OneWay(connections)) => one_way(connections),
        ("blocking", Case::Bulk) => requests(SINK, Dictionary::new().with("data", vec![1_u8; LARGE])),
        ("blocking", Case::SharedMemory) => shared_memory(SINK),
        ("mapped", Case::SharedMemory) => shared_memory(MAP),
        ("blocking", Case::Launch) => launch(),
        ("blocking", Case::Memory) => memory(),
        (way, case) => bail!("cannot do {case:?} {way}"),
    }
}

fn requests(service: &str, message: Dictionary) -> Result<()> {
    let connection = Connection::service(service).activate();
    serve_batches(|count| Ok(repeat(count, || connection.send_with_reply_blocking(&message).map(drop))?))
}

/// Mapped and written by this side before; the same memory each time.
fn shared_memory(service: &str) -> Result<()> {
    let memory = SharedMemory::new(LARGE)?;
    let mapping = memory.map()?;
    mapping.write(0, &vec![1; LARGE])?;
    requests(service, Dictionary::new().with("memory", memory))
}

fn round_trips(service: &str, bytes: usize, awaited: bool) -> Result<()> {
    let connection = Connection::service(service).activate();
    let message = if bytes == 0 { Dictionary::new() } else { Dictionary::new().with("data", vec![1_u8; bytes]) };
    ensure!(*connection.send_with_reply_blocking(&message)? == message, "the echo differs");
    let parker = Parker::new();
    serve_batches(|count| {
        Ok(repeat(count, || {
            if awaited {
                parker.block_on(connection.send_with_reply(&message)).map(drop)
            } else {
                connection.send_with_reply_blocking(&message).map(drop)
            }
        })?)
    })
}

/// Connections that have been used once.
fn idle_connections() -> Result<Vec<Connection>> {
    // Each has two descriptors for a moment; whatever else is open is little.
    let wanted = IDLE_CONNECTIONS as u64 + 500;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })
            .with_context(|| format!("{wanted} open files are needed: raise the hard limit (`ulimit -Hn`)"))?;
    }
    (0..IDLE_CONNECTIONS)
        .map(|_| {
            let connection = Connection::service(ECHO).activate();
            connection.send_with_reply_blocking(&Dictionary::new())?;
            Ok(connection)
        })
        .collect()
}

/// What [`IDLE_CONNECTIONS`] take, in this process and in the service's.
fn memory() -> Result<()> {
    let first = Connection::service(ECHO).activate();
    first.send_with_reply_blocking(&Dictionary::new())?;
    let service = first.pid().context("known from the first exchange on")?.to_string();
    // The share of each page that is the process's own.
    let taken = |process: &str| -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("the kernel says it")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    };
    let before = (taken("self")?, taken(&service)?);
    let idle = idle_connections()?;
    let each = |now: u64, before: u64| now.saturating_sub(before) / idle.len() as u64;
    let status = fs::read_to_string(format!("/proc/{service}/status"))?;
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")).context("how many")?.trim();
    say(&format!(
        "  an idle connection takes {} bytes in the app and {} in the service, without the kernel's share; the service has {threads} threads",
        each(taken("self")?, before.0),
        each(taken(&service)?, before.1)
    ))
}

fn one_way(connections: usize) -> Result<()> {
    let connections: Vec<Connection> = (0..connections).map(|_| Connection::service(COUNT).activate()).collect();
    let (empty, ask) = (Dictionary::new(), Dictionary::new().with("ask", true));
    let parker = Parker::new();
    serve_batches(|count| {
        let (took, received) = measure::time(|| -> Result<u64> {
            for (_, connection) in (0..count).zip(connections.iter().cycle()) {
                connection.send_blocking(&empty)?;
            }
            let answers = try_join_all(connections.iter().map(|connection| connection.send_with_reply(&ask)));
            parker.block_on(answers)?.iter().map(|answer| Ok(answer.uint64("received")?)).sum()
        })?;
        ensure!(received == count, "{received} of {count} messages have arrived");
        Ok(took)
    })
}

fn launch() -> Result<()> {
    let (sender, interruptions) = channel();
    let connection = Connection::service(ECHO).on_interrupted(move |_| sender.send(()).unwrap_or_default()).activate();
    connection.send_with_reply_blocking(&Dictionary::new())?;
    serve_batches(|count| (0..count).map(|_| launch_once(&connection, &interruptions)).sum())
}

fn launch_once(connection: &Connection, interruptions: &Receiver<()>) -> Result<Duration> {
    ensure!(testing::kill_service(ECHO)?, "the service ran");
    interruptions.recv()?;
    let (took, _) = measure::time(|| connection.send_with_reply_blocking(&Dictionary::new()))?;
    Ok(took)
}

/// The least that an executor can be.
struct Parker(Waker);

impl Parker {
    fn new() -> Self {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.wake_by_ref();
            }

            fn wake_by_ref(self: &Arc<Self>) {
                self.0.unpark();
            }
        }
        Self(Waker::from(Arc::new(Unpark(thread::current()))))
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&self.0)) {
                return output;
            }
            thread::park();
        }
    }
}
