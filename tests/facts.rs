//! Facts.app (`tests/macos-facts`), which is to ask a Mac: here that it asks, and says so where it cannot.

use std::process::Command;

use camino::Utf8PathBuf;
use integration_tests::{Xpc, checkout, clean, target_dir, text};

fn run(program: &Utf8PathBuf, words: &[&str]) -> (Option<i32>, String) {
    let mut app = Command::new(program);
    // A service that ends over and over is not to hold this up.
    let output = clean(&mut app).args(words).env("XPC_RUNTIME_THROTTLE", "0").output().expect("the app starts");
    (output.status.code(), text(&output.stdout))
}

#[test]
fn every_fact_is_asked() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let folder = Utf8PathBuf::from_path_buf(folder.path().to_owned()).expect("UTF-8");
    let target = target_dir();
    let args =
        ["bundle", "--locked", "--package", "macos-facts", "--target-dir", target.as_str(), "--out", folder.as_str()];
    Xpc::new(checkout(), &args).ok();
    let app = folder.join("Facts.app/Contents/MacOS/macos-facts");
    let (code, said) = run(&app, &[]);
    assert_eq!(code, Some(0), "{said}");
    let (facts, last): (Vec<_>, Vec<_>) = said.lines().partition(|line| line.starts_with("fact: "));
    assert_eq!(last, [format!("{} asked, 0 could not be", facts.len())], "{said}");
    assert!(facts.len() >= 10 && facts.iter().all(|fact| fact.contains("; saw: ")), "{said}");
    // Outside of its bundle there is nobody to ask.
    let alone = folder.join("alone");
    fs_err::copy(&app, &alone).expect("the program can be copied");
    let (code, said) = run(&alone, &["dropped leaves a session"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("; could not ask: ") && said.ends_with("0 asked, 1 could not be\n"), "{said}");
    // A mistyped word is no success.
    assert_eq!(run(&alone, &["nothing like this"]), (Some(1), "0 asked, 0 could not be\n".to_owned()));
}
