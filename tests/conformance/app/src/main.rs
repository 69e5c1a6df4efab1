//! Conformance.app: one test for each rule of XPC, through the public interface of `xpc-runtime` alone, so that it says the
//! same of every backend.
//!
//! ```console
//! $ cargo xpc run -p conformance              # all tests
//! $ cargo xpc run -p conformance -- order     # those whose names contain a word
//! $ cargo xpc run -p conformance -- --table   # which test proves which rule, in Markdown
//! ```
//! Each test runs in a process of its own, a copy of this program, so that each has its own instances of the services.

mod case;
mod client;
mod rules;
mod runner;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["--table"] => {
            print!("{}", runner::table());
            ExitCode::SUCCESS
        }
        ["--agent", kind] => rules::run_agent(kind),
        ["--one", name] => runner::run_here(name),
        words => runner::run_all(words),
    }
}
