//! Services put into an app that is there already.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use integration_tests::{Plain, Project, listing, peer};
use serde_json::json;

/// A workspace with two services and an app that has none yet, and that app bundled.
fn app_without_services(args: &[&str]) -> (Project, Utf8PathBuf) {
    let project = Plain::default()
        .services(&["greeter", "counter"])
        .app("entitlements = \"app.entitlements\"\nresources = [\"data/**\"]\n")
        .service("minimum-system-version = \"12.0\"\n")
        .make();
    project.edit("app/Cargo.toml", "services = [\"greeter\", \"counter\"]", "services = []");
    project.edit("app/Cargo.toml", "1.2.3", "4.5.6");
    project.write("app/data/one.txt", "one");
    project.write(
        "app/app.entitlements",
        "<plist version=\"1.0\"><dict><key>com.apple.security.device.camera</key><true/></dict></plist>\n",
    );
    project.xpc(&[&["bundle", "--out", "out"], args].concat()).with_zig().ok();
    let app = project.root().join("out/demo.app");
    (project, app)
}

#[test]
fn everything_else_stays_and_a_second_time_changes_nothing() {
    let (project, app) = app_without_services(&["--universal", "--release"]);
    let before = listing(&app);
    project.xpc(&["embed", "out/demo.app", "greeter", "--release"]).with_zig().ok();
    let after = listing(&app);
    let changed: BTreeSet<&str> = before
        .keys()
        .chain(after.keys())
        .filter(|name| before.get(*name) != after.get(*name))
        .map(String::as_str)
        .filter(|name| !name.starts_with("Contents/XPCServices"))
        .collect();
    assert_eq!(changed, ["Contents/MacOS/demo", "Contents/_CodeSignature/CodeResources"].into());

    let read = peer("bundle.py", &[app.as_str()]);
    assert_eq!(read["wrong"], json!([]));
    let service = "Contents/XPCServices/greeter.xpc/Contents";
    let slices = read["machos"][&format!("{service}/MacOS/greeter")].as_array().unwrap();
    let arches: Vec<_> = slices.iter().map(|slice| slice["arch"].as_str().unwrap()).collect();
    assert_eq!(arches, ["x86_64", "arm64"], "the app's own");
    assert_eq!(slices[0]["identifier"], "com.example.demo.greeter");
    assert_eq!(slices[0]["minos"], "12.0");
    // The app's version, and the app's entitlements where they were and nowhere else.
    assert_eq!(read["plists"][&format!("{service}/Info.plist")]["CFBundleShortVersionString"], "4.5.6");
    assert_eq!(slices[0]["entitlements"], json!({}));
    let app_slice = &read["machos"]["Contents/MacOS/demo"][0];
    assert_eq!(app_slice["entitlements"], json!({ "com.apple.security.device.camera": true }));

    project.xpc(&["embed", "out/demo.app", "greeter", "--release"]).with_zig().ok();
    assert_eq!(listing(&app), after);
    project.xpc(&["verify", "out/demo.app"]).ok();
}

#[test]
fn one_that_was_made_before_and_one_that_is_built() {
    let (project, app) = app_without_services(&["--target", "aarch64-apple-darwin"]);
    project.edit("app/Cargo.toml", "services = []", "services = [\"counter\"]");
    let args = ["bundle", "--services-only", "--target", "aarch64-apple-darwin", "--out", "made"];
    project.xpc(&args).with_zig().ok();
    project.xpc(&["embed", "out/demo.app", "made/counter.xpc/", "greeter"]).with_zig().ok();
    let read = peer("bundle.py", &[app.as_str()]);
    assert_eq!(read["wrong"], json!([]));
    for name in ["counter", "greeter"] {
        let program = format!("Contents/XPCServices/{name}.xpc/Contents/MacOS/{name}");
        let debugging = json!({ "com.apple.security.get-task-allow": true });
        assert_eq!(read["machos"][&program][0]["entitlements"], debugging, "{name}");
    }
}

#[test]
fn a_hardened_app_gets_hardened_services_and_a_void_ticket_goes() {
    const RUNTIME: u64 = 0x10000;
    let (project, app) = app_without_services(&["--target", "x86_64-apple-darwin", "--release"]);
    project.xpc(&["sign", "out/demo.app", "--options", "runtime", "--preserve", "entitlements", "--release"]).ok();
    fs_err::write(app.join("Contents/CodeResources"), "a notarization ticket").unwrap();
    fs_err::write(app.join("Contents/Resources/.DS_Store"), "litter").unwrap();
    let finished = project.xpc(&["embed", "out/demo.app", "greeter", "--release"]).with_zig().ok();
    assert!(finished.stderr.contains("the notarization ticket is void"), "{}", finished.stderr);
    assert!(finished.stderr.contains(".DS_Store` was left out"), "{}", finished.stderr);
    assert!(!app.join("Contents/CodeResources").exists());
    let read = peer("bundle.py", &[app.as_str()]);
    assert_eq!(read["wrong"], json!([]));
    for (program, slices) in read["machos"].as_object().unwrap() {
        assert_eq!(slices[0]["flags"].as_u64().unwrap() & RUNTIME, RUNTIME, "{program}");
    }
}

#[test]
#[cfg(not(target_os = "macos"))]
fn into_an_app_of_this_machine() {
    let project = Plain::default().make();
    project.edit("app/Cargo.toml", "[\"greeter\"]", "[]");
    project.xpc(&["bundle"]).ok();
    let app = project.bundle("demo");
    let finished = project.xpc(&["embed", app.as_str(), "greeter"]).ok();
    assert!(finished.stderr.contains("not signed: its program is not Mach-O"), "{}", finished.stderr);
    let service = app.join("Contents/XPCServices/greeter.xpc/Contents/MacOS/greeter");
    let output = std::process::Command::new(service).output().unwrap();
    assert_eq!(integration_tests::text(&output.stdout), "greeter\n");
}

#[test]
fn mistakes_leave_the_app_as_it_was() {
    let (project, app) = app_without_services(&["--target", "aarch64-apple-darwin"]);
    let before = listing(&app);
    let fails = |args: &[&str], code: i32, words: &[&str]| {
        project.xpc(&[&["embed"], args].concat()).with_zig().fails(code, words);
        assert_eq!(listing(&app), before, "{args:?}");
    };
    fails(&["nothing.app"], 2, &["`nothing.app` is no app"]);
    fails(&["out"], 2, &["is no .app"]);
    fails(&["out/demo.app"], 2, &["lists no `services`"]);
    fails(&["out/demo.app", "greter"], 2, &["names `greter`", "did you mean `greeter`?"]);
    fails(&["out/demo.app", "made/none.xpc"], 2, &["`made/none.xpc` is no .xpc bundle"]);
    project.write("counter/src/main.rs", "fn main() { undefined() }\n");
    fails(&["out/demo.app", "counter"], 101, &["could not build `counter`"]);
    let plan = project.xpc(&["embed", "out/demo.app", "greeter", "--dry-run"]).with_zig().ok().stdout;
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["services"][0]["path"], "Contents/XPCServices/greeter.xpc");
    assert_eq!(listing(&app), before);
}

/// What another tool was told of the app is not asked again, wherever it is kept.
#[test]
#[cfg(not(target_os = "macos"))]
fn apps_that_other_tools_describe() {
    let project = Plain::default().make();
    project.edit("app/Cargo.toml", "[\"greeter\"]", "[]");
    project.xpc(&["bundle"]).ok();
    let app = project.bundle("demo");
    let manifest = fs_err::read_to_string(project.root().join("app/Cargo.toml")).unwrap();
    let line = manifest.lines().find(|line| line.starts_with("identifier = ")).unwrap();
    let without = manifest.replacen(&format!("{line}\n"), "", 1);
    let identifier = line.split('"').nth(1).unwrap();
    let embed = || project.xpc(&["embed", app.as_str(), "greeter", "--dry-run"]);
    project.write("app/Cargo.toml", &without);
    embed().fails(2, &["identifier"]);
    for metadata in ["bundle", "packager"] {
        let more = format!("{without}\n[package.metadata.{metadata}]\nidentifier = \"{identifier}\"\n");
        project.write("app/Cargo.toml", more);
        embed().ok();
    }
    // Tauri's package stands in `src-tauri`, and its file beside the manifest.
    project.write("app/Cargo.toml", &without);
    fs_err::rename(project.root().join("app"), project.root().join("src-tauri")).unwrap();
    project.edit("Cargo.toml", "\"app\"", "\"src-tauri\"");
    for (name, content) in [
        ("tauri.conf.json", format!("{{ \"identifier\": \"{identifier}\" }}")),
        ("tauri.conf.json5", format!("{{ identifier: '{identifier}', }} // Tauri's")),
        ("Tauri.toml", format!("identifier = \"{identifier}\"\n")),
    ] {
        embed().fails(2, &["identifier"]);
        project.write(&format!("src-tauri/{name}"), content);
        embed().ok();
        fs_err::remove_file(project.root().join("src-tauri").join(name)).unwrap();
    }
}

/// The machine is asked once where something is built, and not at all where nothing is.
#[test]
#[cfg(not(target_os = "macos"))]
fn rustc_is_asked_once() {
    use std::os::unix::fs::PermissionsExt as _;

    let project = Plain::default().service("service-type = \"User\"\n").make();
    project.edit("app/Cargo.toml", "[\"greeter\"]", "[]");
    project.xpc(&["bundle"]).ok();
    project.xpc(&["bundle", "--services-only", "--out", "made"]).fails(2, &["lists no `services`"]);
    let app = project.bundle("demo");
    let root = project.root();
    project.write("rustc", format!("#!/bin/sh\necho \"$*\" >> '{root}/asked'\nexec rustc \"$@\"\n"));
    fs_err::set_permissions(root.join("rustc"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let rustc = root.join("rustc");
    let asked = || fs_err::read_to_string(root.join("asked")).unwrap_or_default();
    let plan = project.xpc(&["embed", app.as_str(), "greeter", "--dry-run"]).env("RUSTC", rustc.as_str()).ok();
    assert!(plan.stderr.contains("is of type `User`"), "{}", plan.stderr);
    assert_eq!(asked().lines().filter(|line| *line == "--print sysroot").count(), 1, "{}", asked());

    project.xpc(&["embed", app.as_str(), "greeter"]).ok();
    let made = root.join("greeter.xpc");
    fs_err::rename(app.join("Contents/XPCServices/greeter.xpc"), &made).unwrap();
    fs_err::remove_file(root.join("asked")).unwrap();
    project.xpc(&["embed", app.as_str(), "greeter.xpc"]).env("RUSTC", rustc.as_str()).ok();
    assert_eq!(asked(), "");
    assert!(app.join("Contents/XPCServices/greeter.xpc/Contents/MacOS/greeter").is_file());
    for option in [["--entitlements", "x"], ["--third-party", "anew"]] {
        let args = [&["embed", app.as_str(), "greeter.xpc"], option.as_slice()].concat();
        project.xpc(&args).fails(2, &["this app's program is not Mach-O"]);
    }
}
