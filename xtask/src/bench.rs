//! `cargo xtask bench`: the programs in `benches/`, beside optimised builds of what they measure.

use crate::env::{Outcome, command, root, run as execute, target};

type Build = fn() -> Outcome;

/// A benchmark's name, which its program has too, and what builds it.
const ALL: [(&str, Build); 3] = [("signing", signing), ("runtime", runtime), ("codec", codec)];

/// Builds and runs the benchmark named, or all; further words choose among its cases.
pub fn run(words: &[&str]) -> Outcome {
    let (name, cases) = words.split_first().map_or((None, words), |(name, cases)| (Some(*name), cases));
    if let Some(unknown) = name.filter(|name| ALL.iter().all(|(it, _)| it != name)) {
        let names = ALL.map(|(it, _)| it).join(", ");
        return Err(format!("there is no benchmark `{unknown}`; there are: {names}"));
    }
    for (name, build) in ALL.iter().filter(|(it, _)| name.is_none_or(|name| name == *it)) {
        build()?;
        execute(&mut command(target().join("release").join(name), cases))?;
    }
    Ok(())
}

fn signing() -> Outcome {
    build(&["--package", "cargo-xpc"], "Cargo.toml")?;
    build(&[], "benches/Cargo.toml")
}

fn runtime() -> Outcome {
    if !cfg!(target_os = "linux") {
        return Err("the portable backend, which this measures, is Linux's".to_owned());
    }
    build(&[], "benches/runtime/Cargo.toml")
}

fn codec() -> Outcome {
    build(&[], "benches/codec/Cargo.toml")
}

fn build(args: &[&str], manifest: &str) -> Outcome {
    let mut build = command("cargo", &["build", "--locked", "--release", "--manifest-path"]);
    execute(build.arg(root().join(manifest)).args(args).env("CARGO_TARGET_DIR", target()))
}
