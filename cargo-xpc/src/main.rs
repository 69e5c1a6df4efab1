//! The `cargo-xpc` program, which cargo runs for `cargo xpc`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cargo_xpc::cli::run(std::env::args_os())
}
