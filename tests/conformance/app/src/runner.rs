//! Runs the tests, each in a process of its own, and says what came of them.

use std::fmt::Write as _;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use crate::case::{Case, Needs};
use crate::rules::{RULES, cases};

/// Runs one test in this process. A failed assertion is a panic, and this process's exit status.
pub fn run_here(name: &str) -> ExitCode {
    let Some(case) = cases().find(|case| case.name == name) else {
        eprintln!("there is no test `{name}`");
        return ExitCode::from(2);
    };
    watch();
    match (case.run)() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all tests whose names contain one of the words.
pub fn run_all(words: &[&str]) -> ExitCode {
    let wanted = |case: &&Case| words.is_empty() || words.iter().any(|word| case.name.contains(word));
    let (mut passed, mut failed, mut elsewhere) = (0, 0, 0);
    for case in cases().filter(wanted) {
        let title = format!("{:>5}  {}", case.rule, case.name);
        if !case.needs.are_met() {
            elsewhere += 1;
            println!("{title} ... needs the portable backend's launcher");
            continue;
        }
        match run_apart(case) {
            Ok(()) => {
                passed += 1;
                println!("{title} ... ok");
            }
            Err(problem) => {
                failed += 1;
                println!("{title} ... FAILED\n{problem}");
            }
        }
    }
    if elsewhere > 0 {
        println!("\n{elsewhere} tests are of the portable backend's launcher, which is not here");
    }
    println!("\n{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_apart(case: &Case) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    // Tests end services over and over; those of throttling set it themselves.
    command.args(["--one", case.name]).env("XPC_RUNTIME_THROTTLE", "0");
    command.envs(case.environment.iter().copied()).stdin(Stdio::null());
    // Where agents are found: each test has its own.
    let folder = std::env::temp_dir().join(format!("conformance-{}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&folder).map_err(|error| error.to_string())?;
    let output = command.env("XDG_RUNTIME_DIR", &folder).output();
    std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let mut problem = format!("       {}\n", output.status);
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        let _ = writeln!(problem, "       {line}");
    }
    Err(problem)
}

/// The table of rules and tests, in Markdown.
pub fn table() -> String {
    let mut table = String::from("| rule | says | tests |\n|---|---|---|\n");
    for (number, says) in RULES {
        let tests: Vec<String> = cases()
            .filter(|case| case.rule == *number)
            .map(|case| {
                let portable = if case.needs == Needs::PortableLauncher { " [P]" } else { "" };
                let unverified = if case.unverified { " [U]" } else { "" };
                format!("`{}`{portable}{unverified}", case.name)
            })
            .collect();
        let _ = writeln!(table, "| {number} | {says} | {} |", tests.join(", "));
    }
    table
}

/// Ends this process where a test hangs.
fn watch() {
    thread::spawn(|| {
        thread::sleep(crate::client::FOR_EVER * 2);
        eprintln!("the test hangs");
        std::process::abort();
    });
}
