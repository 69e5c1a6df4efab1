//! What a developer or CI runs.

mod apple;
mod bench;
mod conformance;
mod demo;
mod env;
mod fuzz;
mod sanitizer;
mod stages;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask demo           make an app with a service in a temporary folder, bundle it, run it
cargo xtask test [STAGE…]  set up what the tests need and run all of them, or the stages named
cargo xtask bench [NAME…]  measure against peers, in an optimised build
cargo xtask docs           write the parts of the documentation that follow from the code
cargo xtask fuzz [TARGET] [SECONDS]
                           search for inputs that break a parser, 10 seconds a target if not told otherwise
cargo xtask setup          only set up what the tests need, in target/xtask

Stages: ";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["demo"] => demo::run(),
        ["setup"] => test::setup(),
        ["docs"] => conformance::write(),
        ["bench", words @ ..] => bench::run(words),
        ["fuzz", words @ ..] => fuzz::run(words),
        ["test", stages @ ..] => test::run(stages),
        _ => {
            eprintln!("{USAGE}{}", test::names().join(", "));
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
