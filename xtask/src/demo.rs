//! The main job, in a temporary folder: new → bundle → run.

use crate::env::{self, Outcome, command, root, target};

/// All of it, in `folder`.
fn main_job(folder: &std::path::Path) -> Outcome {
    let runtime = root().join("xpc-runtime");
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    println!("\n1. the tool, from source (a first build takes a few minutes)\n");
    env::run(&mut command("cargo", &["build", "--package", "cargo-xpc"]))?;
    let tool = target().join("debug/cargo-xpc");
    let xpc = |folder: &std::path::Path, args: &[&str]| {
        let mut words = vec!["xpc"];
        words.extend(args);
        let mut call = command(&tool, &words);
        // The demo is built beside our own programs, so that a second demo is quick.
        call.current_dir(folder).env("CARGO_TARGET_DIR", target().join("demo"));
        call
    };
    println!("\n2. an app and its service\n");
    env::run(&mut xpc(folder, &["new", "demo", "--runtime-path", &text(&runtime)]))?;
    let project = folder.join("demo");
    println!("\n3. one bundle\n");
    env::run(&mut xpc(&project, &["bundle"]))?;
    env::run(&mut xpc(&project, &["list"]))?;
    println!("\n4. the app starts, and asks its service; the service is launched out of Contents/XPCServices\n");
    env::run(&mut xpc(&project, &["run", "--quiet"]))
}

/// `cargo xtask demo`.
pub fn run() -> Outcome {
    let folder = std::env::temp_dir().join(format!("cargo-xpc-demo-{}", std::process::id()));
    std::fs::create_dir(&folder).map_err(|e| format!("cannot make `{}`: {e}", folder.display()))?;
    let done = main_job(&folder);
    let removed = std::fs::remove_dir_all(&folder);
    done?;
    removed.map_err(|e| format!("cannot remove `{}`: {e}", folder.display()))?;
    println!("\nThat was all of it. `cargo xpc new`, `bundle` and `run` in a folder of your own do the same.");
    Ok(())
}
