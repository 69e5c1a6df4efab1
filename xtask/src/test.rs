//! `cargo xtask test`: stage after stage, and how long each took.

use std::time::{Duration, Instant};

use crate::env::Outcome;
use crate::stages;

type Stage = (&'static str, fn() -> Outcome);

const SETUP: [Stage; 3] =
    [("rust", stages::rust), ("python", stages::python), ("apple-bundles", stages::apple_bundles)];
const TESTS: [Stage; 14] = [
    ("fmt", stages::fmt),
    ("clippy", stages::clippy),
    ("doc", stages::doc),
    ("unit", stages::unit),
    ("peers", stages::peers),
    ("whole-way", stages::whole_way),
    ("demo", stages::demo),
    ("conformance", stages::conformance),
    ("apple", crate::apple::stage),
    ("sanitize", stages::sanitize),
    ("fuzz", crate::fuzz::stage),
    ("miri", stages::miri),
    ("msrv", stages::msrv),
    ("deny", stages::deny),
];

/// What can be named.
pub fn names() -> Vec<&'static str> {
    TESTS.iter().map(|(name, _)| *name).collect()
}

/// What the tests need, and nothing else.
pub fn setup() -> Outcome {
    all(&SETUP)
}

/// The setup, and the stages named or all of them.
pub fn run(wanted: &[&str]) -> Outcome {
    if let Some(unknown) = wanted.iter().find(|name| !names().contains(name)) {
        return Err(format!("there is no stage `{unknown}`; there is: {}", names().join(", ")));
    }
    let chosen = TESTS.iter().filter(|(name, _)| wanted.is_empty() || wanted.contains(name));
    let stages: Vec<Stage> = SETUP.iter().chain(chosen).copied().collect();
    all(&stages)
}

/// Runs every stage, also after one that failed: one run should tell all that is wrong.
fn all(stages: &[Stage]) -> Outcome {
    let begin = Instant::now();
    let mut report = Vec::new();
    for &(name, stage) in stages {
        println!("\n== {name}");
        let begin = Instant::now();
        let outcome = stage();
        report.push((name, begin.elapsed(), outcome));
    }
    println!("\n== time");
    for (name, took, outcome) in &report {
        println!("{name:>12} {} {}", seconds(*took), if outcome.is_ok() { "ok" } else { "FAILED" });
    }
    println!("{:>12} {}", "together", seconds(begin.elapsed()));
    let failed: Vec<String> = report
        .into_iter()
        .filter_map(|(name, _, outcome)| outcome.err().map(|error| format!("stage {name}: {error}")))
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\nxtask: ")) }
}

fn seconds(took: Duration) -> String {
    format!("{:>4} min {:>2} s", took.as_secs() / 60, took.as_secs() % 60)
}
