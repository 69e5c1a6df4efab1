//! What the programs of this benchmark have in common.
//!
//! `runtime` starts each contender as a process of its own, and that one its server. A contender says that it is ready;
//! then it is told, line by line, how often to do what it does, and answers how many nanoseconds that took. Between the
//! lines it sleeps, so that contenders can take turns of a few milliseconds each.

pub mod bundle;

use std::io::{self, BufRead as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// What stands for an empty message where there are only bytes: about as many as XPC needs for an empty dictionary, its
/// header and the frame.
pub const SMALL: usize = 64;

/// What large payloads have.
pub const LARGE: usize = 64 << 20;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// There and back with a payload of so many bytes both ways.
    RoundTrip(usize),
    /// One way, over so many connections in turn; at the end each is asked how many have arrived.
    OneWay(usize),
    /// [`LARGE`] bytes there, next to nothing back.
    Bulk,
    /// [`LARGE`] bytes of shared memory there, next to nothing back.
    SharedMemory,
    /// From nothing to the first reply.
    Launch,
    /// What connections take that do nothing; said in words.
    Memory,
}

impl Case {
    /// As arguments of a contender.
    pub fn to_args(self) -> Vec<String> {
        match self {
            Self::RoundTrip(bytes) => vec!["round-trip".into(), bytes.to_string()],
            Self::OneWay(connections) => vec!["one-way".into(), connections.to_string()],
            Self::Bulk => vec!["bulk".into()],
            Self::SharedMemory => vec!["shared-memory".into()],
            Self::Launch => vec!["launch".into()],
            Self::Memory => vec!["memory".into()],
        }
    }

    /// Back from arguments.
    pub fn from_args(args: &[String]) -> Result<Self> {
        let words: Vec<&str> = args.iter().map(String::as_str).collect();
        Ok(match words.as_slice() {
            ["round-trip", bytes] => Self::RoundTrip(bytes.parse()?),
            ["one-way", connections] => Self::OneWay(connections.parse()?),
            ["bulk"] => Self::Bulk,
            ["shared-memory"] => Self::SharedMemory,
            ["launch"] => Self::Launch,
            ["memory"] => Self::Memory,
            other => bail!("unknown case {other:?}"),
        })
    }
}

/// Has this contender be scheduled by itself: Linux shares a CPU first between sessions (autogroup), and that of whoever
/// measures may be busy with other things.
pub fn begin_session() -> Result<()> {
    rustix::process::setsid().context("a session of its own")?;
    Ok(())
}

/// A contender's life: says that it is ready, and runs batches until nobody asks for one.
pub fn serve_batches(mut batch: impl FnMut(u64) -> Result<Duration>) -> Result<()> {
    // The first calls meet cold caches, unmapped pages and threads that are not there yet.
    batch(10)?;
    say("ready")?;
    for line in io::stdin().lock().lines() {
        let count = line?.parse().context("how many")?;
        say(&batch(count)?.as_nanos().to_string())?;
    }
    Ok(())
}

/// A line on standard output, at once.
pub fn say(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Runs `call` so many times, and says how long that took.
pub fn repeat<E>(count: u64, mut call: impl FnMut() -> Result<(), E>) -> Result<Duration, E> {
    let (took, ()) = measure::time(|| (0..count).try_for_each(|_| call()))?;
    Ok(took)
}
