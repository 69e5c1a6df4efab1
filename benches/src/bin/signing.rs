//! `cargo xpc sign` beside `rcodesign sign`: whole commands, ad hoc, on copies of one app; the results must be equal to the byte.
//!
//! `cargo xpc sign` does more in its time: it works on a copy, reads everything back, and publishes the bundle whole.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use measure::{ROUNDS, machine, median, time};
use xpc_benches::apps::{self, Shape};

struct Case {
    name: &'static str,
    shape: Shape,
    goal: f64,
}

const CASES: [Case; 3] = [
    Case {
        name: "3 services, 5,000 files, 100 MB",
        shape: Shape { services: 3, files: 5_000, size: 20_000 },
        goal: 5.0,
    },
    Case { name: "100 services", shape: Shape { services: 100, files: 0, size: 0 }, goal: 3.0 },
    Case { name: "8 resources of 50 MB", shape: Shape { services: 0, files: 8, size: 50_000_000 }, goal: 8.0 },
];

fn main() -> Result<()> {
    let beside = std::env::current_exe()?;
    let folder = Utf8Path::from_path(beside.parent().context("this program stands in a folder")?);
    let folder = folder.context("this program's folder has a name in UTF-8")?;
    let (ours, theirs) = (folder.join("cargo-xpc"), folder.join("rcodesign"));
    for program in [&ours, &theirs] {
        ensure!(program.exists(), "`{program}` is not there: run `cargo xtask bench signing`, which builds it");
    }
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    println!("{}; {ROUNDS} rounds, interleaved, medians\n", machine());
    println!("{:<34} {:>12} {:>12} {:>8} {:>8}", "", "rcodesign", "cargo xpc", "ratio", "goal");
    for case in CASES.iter().filter(|case| wanted.is_empty() || wanted.iter().any(|word| case.name.contains(word))) {
        let (theirs, ours) = measure(case, &theirs, &ours)?;
        let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
        let seconds = |time: Duration| format!("{:.3} s", time.as_secs_f64());
        println!(
            "{:<34} {:>12} {:>12} {:>7.1}× {:>7}× {}",
            case.name,
            seconds(theirs),
            seconds(ours),
            ratio,
            case.goal,
            if ratio >= case.goal { "" } else { "missed" }
        );
    }
    Ok(())
}

fn measure(case: &Case, theirs: &Utf8Path, ours: &Utf8Path) -> Result<(Duration, Duration)> {
    let place = tempfile::tempdir()?;
    let place = Utf8PathBuf::try_from(place.path().to_owned())?;
    let original = place.join("original/Demo.app");
    case.shape.make(&original)?;
    let (mut times, mut our_times) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let sign = |name: &str, program: &Utf8Path, args: &[&str]| -> Result<_> {
            let app = place.join(name).join("Demo.app");
            fs_err::create_dir_all(app.parent().context("it has a parent")?)?;
            apps::copy(&original, &app)?;
            let mut command = Command::new(program);
            command.args(args).arg(&app).stdin(Stdio::null()).stdout(Stdio::null());
            let (took, output) = time(|| command.output())?;
            ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            Ok((took, app))
        };
        let them = || sign("theirs", theirs, &["sign", "--config-file", "/dev/null"]);
        let us = || sign("ours", ours, &["xpc", "sign", "--release", "--quiet"]);
        // Whoever comes first finds another machine than who comes second.
        let ((them, their_app), (us, our_app)) = if round % 2 == 0 {
            let them = them()?;
            (them, us()?)
        } else {
            let us = us()?;
            (them()?, us)
        };
        if round == 0 {
            let (them, us) = (apps::content(&their_app)?, apps::content(&our_app)?);
            let other: Vec<_> =
                them.keys().chain(us.keys()).filter(|name| them.get(*name) != us.get(*name)).take(4).collect();
            ensure!(other.is_empty(), "{}: the results differ, in {other:?} at least", case.name);
        }
        times.push(them);
        our_times.push(us);
        fs_err::remove_dir_all(place.join("theirs"))?;
        fs_err::remove_dir_all(place.join("ours"))?;
    }
    Ok((median(times), median(our_times)))
}
