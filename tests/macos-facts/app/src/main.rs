//! Facts.app: asks the system what no document of Apple's says of XPC, and prints what it saw, a line each.
//!
//! ```console
//! $ cargo xpc run -p macos-facts            # all of them
//! $ cargo xpc run -p macos-facts -- reply   # those whose facts contain a word
//! ```
//! No answer is a wrong one: the program fails only where it could not ask.

mod client;
mod probes;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (mut asked, mut failed) = (0, 0);
    for (fact, probe) in probes::PROBES {
        if !words.is_empty() && !words.iter().any(|word| fact.contains(word.as_str())) {
            continue;
        }
        match probe() {
            Ok(saw) => {
                asked += 1;
                println!("fact: {fact}; saw: {saw}");
            }
            Err(problem) => {
                failed += 1;
                println!("fact: {fact}; could not ask: {problem}");
            }
        }
    }
    println!("{asked} asked, {failed} could not be");
    if failed == 0 && asked > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
