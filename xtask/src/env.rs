//! Places and commands.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What went wrong, in words.
pub type Outcome<T = ()> = Result<T, String>;

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Where what the tests need is installed.
pub fn tools() -> PathBuf {
    target().join("xtask")
}

/// The programs of the virtual environment.
pub fn venv_bin() -> PathBuf {
    tools().join("venv/bin")
}

/// A command in the checkout, without what the cargo that runs us left in the environment.
pub fn command(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let package = name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if package || name == "CARGO_XPC_RUNTIME_PATH" {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command that has to work, saying which it is.
pub fn run(command: &mut Command) -> Outcome {
    let words = announce(command);
    let status = command.status().map_err(|e| format!("cannot run `{words}`: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{words}` failed: {status}")) }
}

/// As [`run`], for a program that says too much: of its standard error these lines are shown, or all where it fails.
pub fn run_showing(command: &mut Command, shown: impl Fn(&str) -> bool) -> Outcome {
    let words = announce(command);
    let output = command.output().map_err(|e| format!("cannot run `{words}`: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines().filter(|line| !output.status.success() || shown(line)).for_each(|line| println!("{line}"));
    if output.status.success() { Ok(()) } else { Err(format!("`{words}` failed: {}", output.status)) }
}

/// Prints a command, and returns it as one line.
fn announce(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    println!("$ {words}");
    words
}

/// What a command prints, or nothing where it fails or is not there.
pub fn ask(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Option<String> {
    let output = command(program, args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The triple of this machine.
pub fn host() -> Outcome<String> {
    let about = ask("rustc", &["-vV"]).unwrap_or_default();
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc does not name its host".to_owned())
}
