//! xpc-runtime beside bare sockets and beside other crates' ways to talk to another process.
//!
//! Every contender is a process of its own with a server of its own; all of a table are there from its start to its end.
//! In each round each contender works for some milliseconds while the others sleep, in another order each time, so that
//! whatever else the machine does meets all of them. A ratio is taken within each round, and the median of these is
//! printed, between the quarter below which they seldom fall and the one above which they seldom rise.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use measure::{ROUNDS, load, machine, median};
use runtime_bench::{Case, bundle};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A table: who does what, and how often.
struct Race {
    name: &'static str,
    case: Case,
    /// How often a contender does it in one round.
    count: u64,
    rounds: usize,
    /// The first one is what the others are compared with.
    contenders: &'static [Contender],
    shows: Shows,
}

enum Shows {
    Time,
    Rate,
}

struct Contender {
    says: &'static str,
    name: &'static str,
    /// What it does instead of the table's case.
    case: Option<Case>,
    aims: &'static [Aim],
}

enum Aim {
    /// At most so many times as long as the first.
    Within(f64),
    /// Shorter than what each of the table's peers takes.
    AheadOfPeers,
}

const OURS: [&str; 5] = ["blocking", "queued", "async", "beside-idle", "mapped"];
/// What is no race.
const MEMORY: &str = "memory of 9,999 idle connections";
const PEERS: [&str; 3] = ["zbus", "tarpc", "ipc-channel"];

const fn contender(says: &'static str, name: &'static str) -> Contender {
    Contender { says, name, case: None, aims: &[] }
}

const fn ours(says: &'static str, name: &'static str, aims: &'static [Aim]) -> Contender {
    Contender { says, name, case: None, aims }
}

const STREAM: Contender = contender("bare SOCK_STREAM", "stream");
const SEQPACKET: Contender = contender("bare SOCK_SEQPACKET", "seqpacket");
const ZBUS: Contender = contender("zbus, peer to peer", "zbus");
const TARPC: Contender = contender("tarpc, Unix socket", "tarpc");
const IPC_CHANNEL: Contender = contender("ipc-channel", "ipc-channel");

const ROUND_TRIP: &[Contender] = &[
    STREAM,
    SEQPACKET,
    ours("xpc-runtime, blocking", "blocking", &[Aim::Within(1.3), Aim::AheadOfPeers]),
    ours("xpc-runtime, handlers on a queue", "queued", &[]),
    ours("xpc-runtime, async", "async", &[Aim::Within(2.5)]),
    ours("xpc-runtime, beside 9,999 idle", "beside-idle", &[]),
    ZBUS,
    TARPC,
    IPC_CHANNEL,
];

const RACES: [Race; 7] = [
    Race {
        name: "round trip, empty message",
        case: Case::RoundTrip(0),
        count: 200,
        rounds: 101,
        contenders: ROUND_TRIP,
        shows: Shows::Time,
    },
    Race {
        name: "round trip, 1 KiB",
        case: Case::RoundTrip(1024),
        count: 200,
        rounds: 101,
        contenders: ROUND_TRIP,
        shows: Shows::Time,
    },
    Race {
        name: "one way, empty messages, 1 connection",
        case: Case::OneWay(1),
        count: 5_000,
        rounds: 21,
        contenders: &[STREAM, SEQPACKET, ours("xpc-runtime", "blocking", &[]), ZBUS, IPC_CHANNEL],
        shows: Shows::Rate,
    },
    Race {
        name: "one way, empty messages, 64 connections",
        case: Case::OneWay(64),
        count: 6_400,
        rounds: 21,
        contenders: &[
            Contender { says: "bare SOCK_STREAM, a thread for each", ..STREAM },
            ours("xpc-runtime", "blocking", &[]),
        ],
        shows: Shows::Rate,
    },
    Race {
        name: "64 MiB as data",
        case: Case::Bulk,
        count: 1,
        rounds: 11,
        contenders: &[STREAM, ours("xpc-runtime", "blocking", &[]), ZBUS, TARPC, IPC_CHANNEL],
        shows: Shows::Time,
    },
    Race {
        name: "64 MiB as shared memory",
        case: Case::SharedMemory,
        count: 200,
        rounds: 21,
        contenders: &[
            Contender {
                says: "xpc-runtime, empty message",
                name: "blocking",
                case: Some(Case::RoundTrip(0)),
                aims: &[],
            },
            ours("xpc-runtime", "blocking", &[Aim::Within(2.0)]),
            ours("xpc-runtime, mapped by the service", "mapped", &[Aim::Within(2.0)]),
            Contender { says: "ipc-channel, which maps it", ..IPC_CHANNEL },
        ],
        shows: Shows::Time,
    },
    Race {
        name: "cold launch to the first reply",
        case: Case::Launch,
        count: 5,
        rounds: 11,
        contenders: &[contender("fork, exec, first byte", "stream"), ours("xpc-runtime", "blocking", &[])],
        shows: Shows::Time,
    },
];

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let folder = tempfile::tempdir()?;
    let programs = Programs {
        app: bundle::make(folder.path(), &beside("runtime-app")?, &beside("runtime-service")?)?,
        peer: beside("runtime-peer")?,
    };
    let all = sched_getaffinity(None)?;
    let one = first_of(&all)?;
    println!("{}", machine());
    println!(
        "contenders take turns of milliseconds; medians; ratios are taken within each round, [quarter to quarter]"
    );
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word));
    if is_wanted(MEMORY) {
        println!("\n{MEMORY}");
        let status = Command::new(&programs.app).arg("blocking").args(Case::Memory.to_args()).status()?;
        ensure!(status.success(), "{MEMORY}: {status}");
    }
    for (cpus, set) in [("all processes on one CPU", one), ("where the scheduler places them", all)] {
        sched_setaffinity(None, &set)?;
        for race in RACES.iter().filter(|race| is_wanted(race.name)) {
            println!("\n{:<40} {:>12} {:>8}   {cpus}", race.name, "", "ratio");
            race.report(&race.run(&programs)?);
        }
    }
    println!("\nload at the end {}", load());
    Ok(())
}

fn beside(name: &str) -> Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name(name);
    ensure!(program.exists(), "`{}` is not there: run `cargo xtask bench runtime`, which builds it", program.display());
    Ok(program)
}

fn first_of(all: &CpuSet) -> Result<CpuSet> {
    let first = (0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).context("a CPU that may be used")?;
    let mut one = CpuSet::new();
    one.set(first);
    Ok(one)
}

/// What contenders are run from.
struct Programs {
    app: PathBuf,
    peer: PathBuf,
}

impl Race {
    /// How long each contender took for one, in each round.
    fn run(&self, programs: &Programs) -> Result<Vec<Vec<Duration>>> {
        const { assert!(ROUNDS <= 11) };
        let mut running =
            self.contenders.iter().map(|it| Running::start(it, self.case, programs)).collect::<Result<Vec<_>>>()?;
        let mut times = vec![Vec::with_capacity(self.rounds); running.len()];
        let count = u32::try_from(self.count)?;
        for round in 0..self.rounds {
            // Whoever comes first finds another machine than who comes second.
            for turn in 0..running.len() {
                let who = (round + turn) % running.len();
                times[who].push(running[who].batch(self.count)? / count);
            }
        }
        running.into_iter().try_for_each(Running::end)?;
        Ok(times)
    }

    fn report(&self, times: &[Vec<Duration>]) {
        let medians: Vec<Duration> = times.iter().map(|times| median(times.clone())).collect();
        let peers = self.contenders.iter().zip(&medians).filter(|(it, _)| PEERS.contains(&it.name));
        let best_peer = peers.map(|(_, time)| *time).min();
        for ((contender, own), middle) in self.contenders.iter().zip(times).zip(&medians) {
            let ratios =
                Quarters::of(own.iter().zip(&times[0]).map(|(own, first)| own.as_secs_f64() / first.as_secs_f64()));
            let shown = match self.shows {
                Shows::Time => in_words(*middle),
                Shows::Rate => format!("{:.0} /s", 1.0 / middle.as_secs_f64()),
            };
            let verdicts: Vec<String> = contender
                .aims
                .iter()
                .map(|aim| match aim {
                    Aim::Within(most) => format!("goal {most}×{}", missed(ratios.middle > *most)),
                    Aim::AheadOfPeers => {
                        format!("ahead of every peer{}", missed(best_peer.is_some_and(|peer| peer <= *middle)))
                    }
                })
                .collect();
            let line = format!(
                "  {:<38} {shown:>12} {:>7.2}×   [{:.2} to {:.2}]   {}",
                contender.says,
                ratios.middle,
                ratios.low,
                ratios.high,
                verdicts.join(", ")
            );
            println!("{}", line.trim_end());
        }
    }
}

fn missed(it: bool) -> &'static str {
    if it { ": missed" } else { "" }
}

fn in_words(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    if micros < 1_000.0 { format!("{micros:.1} µs") } else { format!("{:.2} ms", micros / 1e3) }
}

struct Quarters {
    low: f64,
    middle: f64,
    high: f64,
}

impl Quarters {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        let at = |quarter: usize| values[quarter * (values.len() - 1) / 4];
        Self { low: at(1), middle: at(2), high: at(3) }
    }
}

/// A contender's process.
struct Running {
    says: &'static str,
    process: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Running {
    fn start(contender: &Contender, case: Case, programs: &Programs) -> Result<Self> {
        let mut command = if OURS.contains(&contender.name) {
            Command::new(&programs.app)
        } else {
            let mut command = Command::new(&programs.peer);
            command.arg("client");
            command
        };
        let mut process = command
            .arg(contender.name)
            .args(contender.case.unwrap_or(case).to_args())
            // A service is killed and launched over and over, and sleeps while others work.
            .envs([("XPC_RUNTIME_THROTTLE", "0"), ("XPC_RUNTIME_IDLE_EXIT", "0")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let asks = process.stdin.take().context("its input")?;
        let answers = BufReader::new(process.stdout.take().context("its output")?);
        let mut running = Self { says: contender.says, process, asks, answers };
        let ready = running.line()?;
        ensure!(ready == "ready", "{} said {ready:?}", running.says);
        Ok(running)
    }

    fn batch(&mut self, count: u64) -> Result<Duration> {
        writeln!(self.asks, "{count}")?;
        Ok(Duration::from_nanos(self.line()?.parse()?))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        ensure!(line.ends_with('\n'), "{} ended: {:?}", self.says, self.process.wait()?);
        line.pop();
        Ok(line)
    }

    fn end(mut self) -> Result<()> {
        drop(self.asks);
        let status = self.process.wait()?;
        ensure!(status.success(), "{} failed: {status}", self.says);
        Ok(())
    }
}
