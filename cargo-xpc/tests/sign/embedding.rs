//! `cargo xpc embed` of services that were made before, through the real program: no workspace and no toolchain are needed.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

use camino::Utf8PathBuf;
use cargo_xpc::macho::MachFile;
use cargo_xpc::sign::{Entitlements, Scope, SignRequest};
use cargo_xpc::verify::verify;

use crate::fixture::{App, info, program, tool, write};
use crate::third_party::{SANDBOX, sign_as_third_party};

const CAMERA: &str = "com.apple.security.device.camera";

/// An app that another tool signed with entitlements of its own, and beside it a service.
fn app() -> App {
    let app = App::full();
    let mut content = plist::Dictionary::new();
    content.insert(CAMERA.to_owned(), true.into());
    let entitlements = vec![(Scope::main(), Entitlements { source: "test".to_owned(), content })];
    app.sign(&SignRequest { entitlements, ..SignRequest::default() });
    made(&app, "extra", "Application");
    app
}

fn beside(app: &App, name: &str) -> Utf8PathBuf {
    app.root.parent().unwrap().join(name)
}

fn made(app: &App, name: &str, service_type: &str) {
    let contents = beside(app, &format!("made/{name}.xpc/Contents"));
    let path = contents.join("Info.plist");
    info(&path, name, &format!("com.example.demo.{name}"), "XPC!");
    let mut list = plist::Value::from_file(&path).unwrap().into_dictionary().unwrap();
    let mut xpc = plist::Dictionary::new();
    xpc.insert("ServiceType".to_owned(), service_type.into());
    list.insert("XPCService".to_owned(), xpc.into());
    plist::Value::Dictionary(list).to_file_xml(&path).unwrap();
    program(&contents.join("MacOS").join(name), &tool());
    write(&contents.join("Resources/hello.txt"), name);
}

fn embed(app: &App, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-xpc"));
    // Nobody asks rustc anything where nothing is built.
    command.env("RUSTC", "/nonexistent/rustc").args(["xpc", "embed", "Demo.app"]).args(args);
    let command = command.current_dir(app.root.parent().unwrap()).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn entitlements(app: &App, path: &str) -> Vec<String> {
    let (data, file) = MachFile::load(&app.path(path)).unwrap();
    let found = file.slices[0].read_signature(&data).unwrap().unwrap().entitlements().unwrap();
    found.into_iter().flatten().map(|(key, _)| key).collect()
}

#[test]
fn everything_else_keeps_its_bytes_and_a_second_time_changes_nothing() {
    let app = app();
    let before = app.content();
    let (code, _, stderr) = embed(&app, &["made/extra.xpc"]);
    assert_eq!(code, 0, "{stderr}");
    let after = app.content();
    let home = "Contents/XPCServices/extra.xpc";
    let changed: BTreeSet<&str> = before
        .keys()
        .chain(after.keys())
        .filter(|name| before.get(*name) != after.get(*name) && !name.starts_with(home))
        .map(String::as_str)
        .collect();
    assert_eq!(changed, ["Contents/MacOS/demo", "Contents/_CodeSignature/CodeResources"].into());
    assert_eq!(entitlements(&app, "MacOS/demo"), [CAMERA]);
    assert_eq!(entitlements(&app, "XPCServices/extra.xpc/Contents/MacOS/extra"), [""; 0]);
    assert_eq!(verify(&app.root).unwrap().findings, []);

    assert_eq!(embed(&app, &["made/extra.xpc"]).0, 0);
    assert!(app.content() == after);
}

#[test]
fn the_app_gets_other_entitlements_where_asked() {
    let app = app();
    write(&beside(&app, "app.entitlements"), SANDBOX);
    let (code, _, stderr) = embed(&app, &["made/extra.xpc", "--entitlements", "app.entitlements"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(entitlements(&app, "MacOS/demo"), ["com.apple.security.app-sandbox"]);
    assert_eq!(entitlements(&app, "XPCServices/extra.xpc/Contents/MacOS/extra"), [""; 0]);

    let before = app.content();
    write(&beside(&app, "app.entitlements"), "no list");
    for (args, says) in [
        (["--entitlements", "app.entitlements"], "app.entitlements`: not a property list"),
        (["--entitlements", "nothing"], "nothing`: there is no such file"),
        (["--third-party", "nobody=keep"], "called `nobody`; there are:"),
        (["--third-party", "most"], "`most` is no policy"),
        (["--third-party", "helper="], "lacks a value"),
    ] {
        let (code, _, stderr) = embed(&app, &[&["made/extra.xpc"], args.as_slice()].concat());
        assert_eq!(code, 2, "{args:?}: {stderr}");
        assert!(stderr.contains(says), "no `{says}` in: {stderr}");
        assert!(app.content() == before, "{args:?}");
    }
}

/// What Finder, a browser and `tar` leave behind enters neither the app nor the service in it.
#[test]
fn litter_and_attributes_never_enter_and_a_ticket_goes() {
    let app = app();
    write(&app.path("CodeResources"), "a notarization ticket");
    let service = beside(&app, "made/extra.xpc");
    let litter = ["Contents/Resources/.DS_Store", "Contents/._Info.plist", "Contents/MacOS/._x"];
    for root in [&app.root, &service] {
        for name in litter {
            write(&root.join(name), "litter");
        }
    }
    // On Linux a name has to begin with a namespace; the copy knows no names and takes none over.
    let prefix = if cfg!(target_os = "macos") { "" } else { "user." };
    let attributes = ["com.apple.quarantine", "com.apple.FinderInfo", "com.apple.ResourceFork"];
    let marked = [app.path("MacOS/demo"), app.path("Resources/data.bin"), service.join("Contents/Info.plist")];
    for path in &marked {
        for name in attributes {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(path.as_std_path(), format!("{prefix}{name}"), &[1; 32], flags).unwrap();
        }
    }
    let (code, _, stderr) = embed(&app, &["made/extra.xpc"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("`Contents/CodeResources` is removed: the notarization ticket is void"), "{stderr}");
    assert!(!app.path("CodeResources").exists());
    for name in litter {
        assert!(stderr.contains(&format!("{name}` was left out")), "{name}: {stderr}");
    }
    for entry in walkdir::WalkDir::new(&app.root) {
        let entry = entry.unwrap();
        let name = entry.file_name().to_str().unwrap();
        assert!(name != ".DS_Store" && !name.starts_with("._"), "{}", entry.path().display());
        let mut names = [0; 4096];
        let length = rustix::fs::llistxattr(entry.path(), &mut names[..]).unwrap();
        let names = String::from_utf8_lossy(&names[..length]).into_owned();
        assert!(!names.contains("com.apple."), "{}: {names}", entry.path().display());
    }
    assert_eq!(verify(&app.root).unwrap().findings, []);
}

#[test]
fn types_that_are_apples_own_are_warned_of() {
    let app = app();
    for service_type in ["User", "System"] {
        made(&app, "theirs", service_type);
        let (code, _, stderr) = embed(&app, &["made/theirs.xpc", "--dry-run"]);
        assert_eq!(code, 0, "{stderr}");
        assert!(stderr.contains(&format!("`theirs.xpc` is of type `{service_type}`")), "{stderr}");
    }
    let (_, _, stderr) = embed(&app, &["made/extra.xpc", "--dry-run"]);
    assert!(!stderr.contains("is of type") && !stderr.contains("does not begin"), "{stderr}");
    let contents = beside(&app, "made/extra.xpc/Contents/Info.plist");
    info(&contents, "extra", "com.example.demonstration.extra", "XPC!");
    let (_, _, stderr) = embed(&app, &["made/extra.xpc", "--dry-run"]);
    assert!(stderr.contains("does not begin with the app's, `com.example.demo.`"), "{stderr}");
}

/// A service that somebody else made and signed goes in as it is, unless the command line says otherwise.
#[test]
fn a_signed_service_goes_in_with_its_signature() {
    for (args, kept) in [(&[] as &[&str], true), (&["--third-party", "extra.xpc=anew"], false)] {
        let app = app();
        let service = beside(&app, "made/extra.xpc");
        sign_as_third_party(&service);
        let (code, _, stderr) = embed(&app, &[&["made/extra.xpc"], args].concat());
        assert_eq!(code, 0, "{stderr}");
        let says = "Kept Contents/XPCServices/extra.xpc as it is signed: a program that team THIRDPARTY signed";
        assert_eq!(stderr.contains(says), kept, "{stderr}");
        let name = "Contents/MacOS/extra";
        let same = fs_err::read(service.join(name)).unwrap()
            == fs_err::read(app.path("XPCServices/extra.xpc").join(name)).unwrap();
        assert_eq!(same, kept);
        assert_eq!(verify(&app.root).unwrap().findings, []);
    }
}

#[test]
fn a_dry_run_says_what_becomes_of_the_code_that_is_there() {
    let app = app();
    sign_as_third_party(&app.path("XPCServices/greeter.xpc"));
    let before = app.content();
    let (code, stdout, stderr) = embed(&app, &["made/extra.xpc", "--dry-run", "--third-party", "extra.xpc=anew"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(app.content() == before);
    let plan: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let kept = &plan["signing"]["kept"][0];
    assert_eq!(kept["path"], "Contents/XPCServices/greeter.xpc");
    assert_eq!((&kept["policy"], &kept["team"]), (&"keep".into(), &"THIRDPARTY".into()));
    assert_eq!(kept["policy-because"], "a program that team THIRDPARTY signed");
    for signature in plan["signing"]["signatures"].as_array().unwrap() {
        assert_eq!(signature["policy"], "anew");
        assert!(!signature["policy-because"].as_str().unwrap().is_empty());
    }
}

#[test]
fn sign_says_what_it_kept() {
    let app = app();
    sign_as_third_party(&app.path("XPCServices/greeter.xpc"));
    let sign = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-xpc"));
        let command = command.args(["xpc", "sign", "Demo.app", "--message-format", "json"]).args(args);
        let output = command.current_dir(app.root.parent().unwrap()).stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        (serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap(), stderr)
    };
    let (answer, stderr) = sign(&[]);
    assert!(stderr.contains("Kept Contents/XPCServices/greeter.xpc as it is signed"), "{stderr}");
    assert_eq!(answer["kept"][0]["path"], "Contents/XPCServices/greeter.xpc");
    let (answer, stderr) = sign(&["--third-party", "anew"]);
    assert!(!stderr.contains("Kept") && answer["kept"] == serde_json::json!([]), "{stderr}{answer}");
}

/// What is kept is read back too: a program that was changed after its maker signed it is not published, and the app stays as it was.
#[test]
fn a_kept_program_that_was_changed_is_not_published() {
    let app = app();
    let service = app.path("XPCServices/greeter.xpc");
    sign_as_third_party(&service);
    write(&service.join("Contents/Resources/hello.txt"), "changed");
    let before = app.content();
    let (code, _, stderr) = embed(&app, &["made/extra.xpc"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("--third-party Contents/XPCServices/greeter.xpc=anew`; nothing is published"), "{stderr}");
    assert!(stderr.contains("greeter.xpc/Contents/Resources/hello.txt"), "{stderr}");
    assert!(app.content() == before);
    let (code, _, stderr) = embed(&app, &["made/extra.xpc", "--third-party", "greeter.xpc=anew"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(verify(&app.root).unwrap().findings, []);
}
