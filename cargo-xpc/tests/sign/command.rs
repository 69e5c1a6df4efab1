//! `cargo xpc sign` and `inspect` through the real program.

use std::process::{Command, Output, Stdio};

use crate::fixture::{App, TOOL_INTEL, tool, write};
use crate::limit::output;
use cargo_xpc::sign::SignRequest;
use cargo_xpc::verify::verify;

pub fn command(app: &App, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-xpc"));
    command.arg("xpc").args(args).current_dir(app.root.parent().unwrap()).stdin(Stdio::null());
    command
}

pub fn run(app: &App, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = output(&mut command(app, args));
    let stderr = String::from_utf8(stderr).unwrap();
    (
        status.code().unwrap_or_else(|| panic!("{args:?}: {status}: {stderr}")),
        String::from_utf8(stdout).unwrap(),
        stderr,
    )
}

/// Nothing but the bundle stands in its folder.
pub fn alone(app: &App) {
    let names: Vec<_> =
        fs_err::read_dir(app.root.parent().unwrap()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["Demo.app"]);
}

#[test]
fn a_bundle_is_signed_in_its_place() {
    let app = App::full();
    let (code, stdout, stderr) = run(&app, &["sign", "Demo.app", "--message-format", "json"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(verify(&app.root).unwrap().findings, []);
    let answer: serde_json::Value = serde_json::from_str(stdout.trim()).unwrap();
    assert_eq!(answer["reason"], "sign-finished");
    assert_eq!(answer["identity"], "ad-hoc");
    let last = answer["code"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["path"], &last["identifier"]), (&".".into(), &"com.example.demo".into()));
    assert!(stderr.contains("Signed") && stderr.contains("Demo.app (ad hoc, 7 signatures)"), "{stderr}");
    alone(&app);
}

#[test]
fn release_signing_lets_no_debugger_in() {
    let app = App::bare(&tool());
    for (arguments, allows) in [(&["sign", "Demo.app"] as &[&str], true), (&["sign", "Demo.app", "--release"], false)] {
        assert_eq!(run(&app, arguments).0, 0);
        let (code, stdout, _) = run(&app, &["inspect", "Demo.app"]);
        assert_eq!((code, stdout.contains("get-task-allow = true")), (0, allows), "{stdout}");
    }
}

#[test]
fn a_failure_leaves_the_bundle_untouched_and_says_why() {
    let app = App::full();
    app.sign(&SignRequest::default());
    let outside = tempfile::tempdir().unwrap();
    let outside = camino::Utf8Path::from_path(outside.path()).unwrap();
    let restricted = outside.join("restricted.entitlements");
    write(&restricted, "<plist version=\"1.0\"><dict><key>keychain-access-groups</key><array/></dict></plist>");
    let broken = outside.join("broken.entitlements");
    write(&broken, "no property list");
    let missing = outside.join("missing.entitlements");
    let before = app.content();
    for (arguments, says) in [
        (vec!["--entitlements", restricted.as_str()], "keychain-access-groups"),
        (vec!["--entitlements", broken.as_str()], "broken.entitlements`: not a property list"),
        (vec!["--entitlements", missing.as_str()], "missing.entitlements`: there is no such file"),
        (vec!["--entitlements", "nobody.xpc=x"], "`x`: there is no such file"),
        (vec!["--identifier", "nobody.xpc=com.example.x"], "`nobody.xpc`; there are:"),
        (vec!["--identifier", "Contents/XPCServices/greeter.xpc/=com.example.x"], "ends in `/`"),
        (vec!["--identifier", "greeter.xpc="], "lacks a value"),
        (vec!["--identifier", "a b"], "`a b` cannot identify"),
        (vec!["--options", "adhoc"], "`adhoc` is no signing flag"),
        (vec!["--preserve", "nothing"], "invalid value"),
    ] {
        let (code, stdout, stderr) = run(&app, &[&["sign", "Demo.app"], arguments.as_slice()].concat());
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        assert!(stderr.contains(says), "no `{says}` in: {stderr}");
        assert!(stdout.is_empty() && !stderr.contains("panicked"), "{stdout}{stderr}");
        assert!(app.content() == before);
        alone(&app);
    }
    write(&app.path("MacOS/data.txt"), "data");
    let before = app.content();
    let (code, _, stderr) = run(&app, &["sign", "Demo.app"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("`Demo.app/Contents/MacOS/data.txt` is not Mach-O"), "{stderr}");
    assert!(app.content() == before);
    alone(&app);
}

#[test]
fn what_is_no_bundle_for_apple_is_a_usage_error() {
    let mut elf = vec![0; 64];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[18] = 62;
    let app = App::bare(&elf);
    let (code, _, stderr) = run(&app, &["sign", "Demo.app"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("bundles for non-Apple targets are not signed"), "{stderr}");
    let (code, _, stderr) = run(&app, &["sign", "Other.app"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("`Other.app` is no bundle"), "{stderr}");
    let (code, _, stderr) = run(&app, &["inspect", "Other.app"]);
    assert_eq!(code, 2, "{stderr}");
}

#[test]
fn a_dry_run_prints_the_plan_and_writes_nothing() {
    let app = App::full();
    let before = app.content();
    let (code, stdout, _) = run(&app, &["sign", "Demo.app", "--dry-run", "--options", "helper=runtime"]);
    let plan: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(code, 0);
    let signatures = plan["signatures"].as_array().unwrap();
    let helper = signatures.iter().find(|signature| signature["path"] == "Contents/MacOS/helper").unwrap();
    assert_eq!(helper["flags"], serde_json::json!(["runtime"]));
    assert!(app.content() == before);
    alone(&app);
}

#[test]
fn a_voided_ticket_is_removed_and_told() {
    let app = App::bare(TOOL_INTEL);
    write(&app.path("CodeResources"), "ticket");
    let (code, _, stderr) = run(&app, &["sign", "Demo.app"]);
    assert_eq!(code, 0);
    assert!(stderr.contains("`Contents/CodeResources` is removed: the notarization ticket is void"), "{stderr}");
    assert!(!app.path("CodeResources").exists());
}
