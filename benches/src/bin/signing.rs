//! `cargo xpc sign` beside `rcodesign sign`: whole commands on copies of one app; what is signed ad hoc must be equal to the byte.
//!
//! `cargo xpc sign` does more in its time: it works on a copy, reads everything back, publishes the bundle whole, and removes the old one.
//! What it takes without reading back and removing is measured too.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use measure::{ROUNDS, machine, median, time};
use xpc_benches::apps::{self, Shape};
use xpc_benches::stamping::{Answer, Server};

struct Case {
    name: &'static str,
    shape: Shape,
    /// By a certificate and with time stamps, so many of them.
    stamps: Option<usize>,
    goal: f64,
}

const CASES: [Case; 4] = [
    Case {
        name: "3 services, 5,000 files, 100 MB",
        shape: Shape { services: 3, files: 5_000, size: 20_000 },
        stamps: None,
        goal: 5.0,
    },
    Case { name: "100 services", shape: Shape { services: 100, files: 0, size: 0 }, stamps: None, goal: 3.0 },
    Case {
        name: "8 resources of 50 MB",
        shape: Shape { services: 0, files: 8, size: 50_000_000 },
        stamps: None,
        goal: 8.0,
    },
    // Each program has two architectures, and each of those a signature.
    Case { name: "46 time stamps", shape: Shape { services: 22, files: 0, size: 0 }, stamps: Some(46), goal: 5.0 },
];

/// How long the server of time stamps takes for an answer.
const LATENCY: Duration = Duration::from_millis(100);
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cargo-xpc/tests/fixtures/identity");

fn main() -> Result<()> {
    let beside = std::env::current_exe()?;
    let folder = Utf8Path::from_path(beside.parent().context("this program stands in a folder")?);
    let folder = folder.context("this program's folder has a name in UTF-8")?;
    let programs = Contender::ALL.map(|contender| folder.join(contender.program()));
    for program in &programs {
        ensure!(program.exists(), "`{program}` is not there: run `cargo xtask bench signing`, which builds it");
    }
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    println!("{}; {ROUNDS} rounds, interleaved, medians", machine());
    println!("`alone`: cargo xpc without reading back what it signed, and without removing the old bundle\n");
    println!(
        "{:<34} {:>11} {:>11} {:>7} {:>6} {:>11} {:>7}",
        "", "rcodesign", "cargo xpc", "ratio", "goal", "alone", "ratio"
    );
    for case in CASES.iter().filter(|case| wanted.is_empty() || wanted.iter().any(|word| case.name.contains(word))) {
        let [theirs, ours, alone] = measure(case, &programs)?.map(|time| time.as_secs_f64());
        let ratio = theirs / ours;
        println!(
            "{:<34} {:>9.3} s {:>9.3} s {:>6.1}× {:>5}× {:>9.3} s {:>6.1}× {}",
            case.name,
            theirs,
            ours,
            ratio,
            case.goal,
            alone,
            theirs / alone,
            if ratio >= case.goal { "" } else { "missed" }
        );
    }
    println!("\nload at the end {}", measure::load());
    Ok(())
}

#[derive(Clone, Copy)]
enum Contender {
    Theirs,
    Ours,
    Alone,
}

impl Contender {
    const ALL: [Self; 3] = [Self::Theirs, Self::Ours, Self::Alone];

    fn program(self) -> &'static str {
        match self {
            Self::Theirs => "rcodesign",
            Self::Ours => "cargo-xpc",
            Self::Alone => "signing-alone",
        }
    }

    fn arguments(self, app: &Utf8Path, server: Option<&Server>) -> Vec<String> {
        let identity = format!("{FIXTURES}/plain.pem");
        let words: Vec<&str> = match (self, server) {
            (Self::Theirs, None) => vec!["sign", "--config-file", "/dev/null", app.as_str()],
            (Self::Theirs, Some(Server { url, .. })) => {
                let options = ["--pem-file", &identity, "--timestamp-url", url];
                ["sign", "--config-file", "/dev/null"].into_iter().chain(options).chain([app.as_str()]).collect()
            }
            (Self::Ours, None) => vec!["xpc", "sign", "--release", "--quiet", app.as_str()],
            (Self::Ours, Some(Server { url, .. })) => {
                let options = ["--identity", &identity, "--timestamp", url];
                ["xpc", "sign", "--release", "--quiet"].into_iter().chain(options).chain([app.as_str()]).collect()
            }
            (Self::Alone, None) => vec![app.as_str()],
            (Self::Alone, Some(Server { url, .. })) => vec![app.as_str(), &identity, url],
        };
        words.into_iter().map(str::to_owned).collect()
    }
}

fn measure(case: &Case, programs: &[Utf8PathBuf; 3]) -> Result<[Duration; 3]> {
    let place = tempfile::tempdir()?;
    let place = Utf8PathBuf::try_from(place.path().to_owned())?;
    let original = place.join("original/Demo.app");
    case.shape.make(&original)?;
    let mut times: [Vec<Duration>; 3] = Default::default();
    for round in 0..ROUNDS {
        let mut apps = Vec::new();
        // Whoever comes first finds another machine than who comes second.
        for turn in 0..3 {
            let number = (turn + round) % 3;
            let contender = Contender::ALL[number];
            let app = place.join(contender.program()).join("Demo.app");
            fs_err::create_dir_all(app.parent().context("it has a parent")?)?;
            apps::copy(&original, &app)?;
            let signer = || format!("{FIXTURES}/stamp.pem");
            let server = case.stamps.map(|_| Server::start(signer(), Answer::Stamp, LATENCY));
            let mut command = Command::new(&programs[number]);
            command.args(contender.arguments(&app, server.as_ref())).stdin(Stdio::null()).stdout(Stdio::null());
            let (took, output) = time(|| command.output())?;
            let program = contender.program();
            ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            if let (Some(expected), Some(server)) = (case.stamps, &server) {
                ensure!(server.requests() == expected, "{program} asked for {} time stamps", server.requests());
            }
            times[number].push(took);
            apps.push(app);
        }
        // What a certificate signed has the time in it.
        if round == 0 && case.stamps.is_none() {
            let contents = apps.iter().map(|app| apps::content(app)).collect::<Result<Vec<_>>>()?;
            let [theirs, rest @ ..] = contents.as_slice() else { continue };
            for ours in rest {
                let names = theirs.keys().chain(ours.keys());
                let other: Vec<_> = names.filter(|name| theirs.get(*name) != ours.get(*name)).take(4).collect();
                ensure!(other.is_empty(), "{}: the results differ, in {other:?} at least", case.name);
            }
        }
        for app in apps {
            fs_err::remove_dir_all(app.parent().context("it has a parent")?)?;
        }
    }
    Ok(times.map(median))
}
