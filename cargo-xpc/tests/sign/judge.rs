//! The two ends that signing may come to, through the real program.

use cargo_xpc::verify::{Verdict, verify};

use crate::command::{alone, run};
use crate::fixture::App;

/// `cargo xpc sign` makes a bundle whose every seal holds, and says so.
#[track_caller]
pub fn sealed(app: &App) {
    let (code, _, stderr) = run(app, &["sign", "Demo.app"]);
    assert_eq!(code, 0, "{stderr}");
    let report = verify(&app.root).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.verdict(), Verdict::Valid);
    assert_eq!(run(app, &["verify", "Demo.app"]).0, 0);
    alone(app);
}

/// `cargo xpc sign` ends with an error that holds all of `expected`, and neither the bundle nor its folder is changed.
#[track_caller]
pub fn refused(app: &App, expected: &[&str]) {
    let before = app.content();
    let (code, stdout, stderr) = run(app, &["sign", "Demo.app"]);
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    for part in expected {
        assert!(stderr.contains(part), "no `{part}` in: {stderr}");
    }
    assert!(app.content() == before, "the bundle was changed");
    alone(app);
}
