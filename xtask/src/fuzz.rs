//! `cargo xtask fuzz`: the targets in `fuzz/`, built by plain cargo with the flags that cargo-fuzz would set, so that
//! there is one tool less to install.

use std::path::{Path, PathBuf};

use crate::env::{Outcome, command, host, root, run as execute, run_showing, target};
use crate::stages::nightly;

/// How long the stage of the tests gives each target.
const STAGE_SECONDS: u32 = 10;

/// What cargo-fuzz passes: coverage that libFuzzer reads, comparisons that it learns from, and AddressSanitizer.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address --cfg fuzzing";

/// The stage: every target for a bounded time, from the corpus in the repository, which it does not change. It begins with
/// the same seed each time, so that it says the same of the same tree: to search is the command's part.
pub fn stage() -> Outcome {
    let programs = build(None)?;
    for name in targets()? {
        fuzz(&programs, &name, STAGE_SECONDS, &["-seed=1"])?;
    }
    Ok(())
}

/// `cargo xtask fuzz [TARGET] [SECONDS]`: inputs that reach new code are kept in the repository's corpus.
pub fn run(words: &[&str]) -> Outcome {
    let all = targets()?;
    let (name, seconds) = match words {
        [] => (None, None),
        [word] if word.parse::<u32>().is_ok() => (None, Some(*word)),
        [name] => (Some(*name), None),
        [name, seconds] => (Some(*name), Some(*seconds)),
        _ => return Err("at most a target and a number of seconds can be given".to_owned()),
    };
    let seconds = seconds.map_or(Ok(STAGE_SECONDS), |word| {
        word.parse().map_err(|_| format!("`{word}` is not a number of seconds; give a target first, then seconds"))
    })?;
    if let Some(unknown) = name.filter(|name| !all.iter().any(|it| it == name)) {
        return Err(format!("there is no target `{unknown}`; there is: {}", all.join(", ")));
    }
    let programs = build(name)?;
    for name in all.iter().filter(|it| name.is_none_or(|name| name == **it)) {
        fuzz(&programs, name, seconds, &[])?;
        // Merging takes of the new inputs only those that reach what nothing in the repository reaches.
        let mut merge = command(programs.join(name), &["-set_cover_merge=1", "-max_len=4096"]);
        run_showing(merge.arg(corpus(name)?).arg(found(name)?), |line| line.contains(" new files "))?;
    }
    Ok(())
}

/// The names of the files in `fuzz/fuzz_targets`.
fn targets() -> Outcome<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "rs") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Builds one target or all; the answer is the folder that they are in.
fn build(name: Option<&str>) -> Outcome<PathBuf> {
    nightly(&[])?;
    let (host, place) = (host()?, target().join("fuzz"));
    // With `--target`, build scripts and procedural macros are built without the flags.
    let mut build = command("cargo", &["+nightly", "build", "--locked", "--release", "--target", &host]);
    build.arg("--manifest-path").arg(root().join("fuzz/Cargo.toml"));
    build.args(name.map_or(["--bins", "--quiet"], |name| ["--bin", name]));
    build.env("CARGO_TARGET_DIR", &place).env("RUSTFLAGS", FLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS");
    execute(&mut build)?;
    Ok(place.join(host).join("release"))
}

/// Runs one target. What it finds on its way goes below the target directory, an input that fails there too.
fn fuzz(programs: &Path, name: &str, seconds: u32, further: &[&str]) -> Outcome {
    let failures = target().join("fuzz/failures").join(name);
    make(&failures)?;
    let program = programs.join(name);
    let options = [&format!("-max_total_time={seconds}"), "-timeout=10", "-print_final_stats=1", "-verbosity=0"];
    let mut fuzz = command(&program, &options);
    fuzz.args(further).arg(format!("-artifact_prefix={}/", failures.display())).arg(found(name)?).arg(corpus(name)?);
    run_showing(&mut fuzz, |line| line.starts_with("stat::")).map_err(|error| {
        let (program, failures) = (program.display(), failures.display());
        format!("{error}; the input is in `{failures}`, and `{program} <file>` repeats it")
    })
}

fn corpus(name: &str) -> Outcome<PathBuf> {
    make(&root().join("fuzz/corpus").join(name))
}

fn found(name: &str) -> Outcome<PathBuf> {
    make(&target().join("fuzz/found").join(name))
}

fn make(folder: &Path) -> Outcome<PathBuf> {
    std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder.to_owned())
}
