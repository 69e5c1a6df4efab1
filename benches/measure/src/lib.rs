//! Measuring one program beside another: interleaved, in one run, medians.

use std::time::{Duration, Instant};

/// How often each contender runs at least.
pub const ROUNDS: usize = 5;

/// How long `work` takes.
pub fn time<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<(Duration, T), E> {
    let begin = Instant::now();
    let done = work()?;
    Ok((begin.elapsed(), done))
}

/// The one in the middle.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The machine, as far as it says what it is, and how busy it is.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    format!("{cores} cores, {}, load at the start {}", model.unwrap_or("unknown processor"), load())
}

/// How many threads wanted to run in the last minute, on average.
pub fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("unknown").to_owned()
}
