//! `cargo xtask bench`: the programs in `benches/`, beside optimised builds of what they measure.

use crate::env::{Outcome, command, root, run as execute, target};

/// Builds everything and runs the benchmarks named, or all; further words choose among a benchmark's cases.
pub fn run(words: &[&str]) -> Outcome {
    const ALL: [&str; 1] = ["signing"];
    let (name, cases) = words.split_first().map_or((None, words), |(name, cases)| (Some(*name), cases));
    if let Some(unknown) = name.filter(|name| !ALL.contains(name)) {
        return Err(format!("there is no benchmark `{unknown}`; there is: {}", ALL.join(", ")));
    }
    let build = |command: &mut std::process::Command| execute(command.env("CARGO_TARGET_DIR", target()));
    build(&mut command("cargo", &["build", "--locked", "--release", "--package", "cargo-xpc"]))?;
    let manifest = root().join("benches/Cargo.toml");
    build(command("cargo", &["build", "--locked", "--release", "--manifest-path"]).arg(&manifest))?;
    for name in ALL.iter().filter(|it| name.is_none_or(|name| name == **it)) {
        execute(&mut command(target().join("release").join(name), cases))?;
    }
    Ok(())
}
