//! Other programs, and what they may know of this one: every command is made here.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Variables that hold a secret. One set for the process, as the environment is one: who starts a program need not know who reads secrets.
static SECRET: Mutex<BTreeSet<OsString>> = Mutex::new(BTreeSet::new());

/// From now on no command that is made here inherits this variable.
pub(crate) fn withhold(name: impl Into<OsString>) {
    SECRET.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into());
}

/// The variables that are withheld.
pub(crate) fn secret() -> Vec<OsString> {
    SECRET.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

/// A command that inherits what it may of the environment.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in not_inherited() {
        command.env_remove(name);
    }
    command
}

/// What `cargo metadata` is asked with; likewise.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub(crate) fn metadata_command() -> cargo_metadata::MetadataCommand {
    let mut command = cargo_metadata::MetadataCommand::new();
    for name in not_inherited() {
        command.env_remove(name);
    }
    command
}

/// Secrets, and variables that cargo set for the package it built or ran: they describe *that* package and must not reach a
/// cargo that works for another.
fn not_inherited() -> impl Iterator<Item = OsString> {
    const NAMES: [&str; 6] = [
        "CARGO_BIN_NAME",
        "CARGO_CRATE_NAME",
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_LINKS",
        "CARGO_MANIFEST_PATH",
        "CARGO_PRIMARY_PACKAGE",
    ];
    const PREFIXES: [&str; 4] = ["CARGO_BIN_EXE_", "CARGO_CFG_", "CARGO_FEATURE_", "CARGO_PKG_"];
    let cargos = |name: &str| NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let of_cargo = std::env::vars_os().map(|(name, _)| name).filter(move |name| name.to_str().is_some_and(cargos));
    of_cargo.chain(secret())
}
