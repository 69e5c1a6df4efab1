//! Conformance.app, and the table that it prints of itself.

use std::path::PathBuf;
use std::process::Command;

use crate::env::{Outcome, command, root, run, target};

const HEAD: &str = "\
# The rules of XPC, and the tests that prove them

Conformance.app (`tests/conformance`) asks its services whether these rules hold, through the public interface of `xpc-runtime`
alone, from inside its bundle. `cargo xtask test conformance` bundles and runs it; `cargo xtask docs` writes this table.

[P]: needs settable times, caused faults, forwarded output, or agents that are not announced, which the portable backend has and launchd has not.
[U]: a rule that Apple's documentation does not state; only a Mac can tell whether it holds there.

";

/// The command that bundles the app and runs it with these arguments.
pub fn app(args: &[&str]) -> Outcome<Command> {
    run(&mut command("cargo", &["build", "--quiet", "--locked", "--package", "cargo-xpc"]))?;
    let tool = target().join("debug/cargo-xpc");
    let mut app = command(tool, &["xpc", "run", "--quiet", "--package", "conformance", "--"]);
    app.args(args);
    Ok(app)
}

fn path() -> PathBuf {
    root().join("docs/conformance.md")
}

fn made() -> Outcome<String> {
    let output = app(&["--table"])?.output().map_err(|e| format!("cannot run Conformance.app: {e}"))?;
    if !output.status.success() {
        return Err(format!("Conformance.app: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    Ok(format!("{HEAD}{}", String::from_utf8_lossy(&output.stdout)))
}

/// Whether the table in the documentation is the one that the app prints.
pub fn compare() -> Outcome {
    let there = std::fs::read_to_string(path()).unwrap_or_default();
    if there == made()? { Ok(()) } else { Err(format!("{} is out of date: run `cargo xtask docs`", path().display())) }
}

/// Writes the table.
pub fn write() -> Outcome {
    std::fs::write(path(), made()?).map_err(|e| format!("{}: {e}", path().display()))
}
