//! What `verify --message-format json` says of each kind of finding: a path in the bundle, what was due, and what is there.

use std::collections::{BTreeMap, BTreeSet};

use std::process::Command;
use std::time::Duration;

use camino::Utf8Path;
use cargo_xpc::macho::{MachFile, slot, universal};
use cargo_xpc::sign::SignRequest;
use cargo_xpc::verify::verify;
use serde_json::Value;

use crate::changes::{Change, all};
use crate::fixture::{App, TOOL_INTEL, info, link, old, program, tool, write};
use crate::identity::{fixture, run, sign};
use crate::stamping::{Answer, Server};

/// The kinds, as the sources name them: one that is added there is asked for here.
fn kinds() -> BTreeSet<String> {
    let source = include_str!("../../src/verify/report.rs");
    let (_, rest) = source.split_once("pub enum What {").unwrap();
    let names = rest.split_once('}').unwrap().0.split(',').map(|name| name.trim().to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

fn kebab(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// An answer's findings, each of which has to say what a person or a program needs.
fn answer(app: &App, more: &[&str]) -> Vec<Value> {
    let (code, stdout, stderr) = run(app, &[&["verify", "Demo.app", "--message-format", "json"], more].concat());
    let mut lines = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let answer = lines.find(|line| line["reason"] == "verified").unwrap_or_else(|| panic!("{stdout}{stderr}"));
    let findings = answer["findings"].as_array().unwrap().clone();
    assert!((answer["verdict"] == "invalid") == (code == 1), "{code}: {stdout}");
    for finding in &findings {
        let text = |key: &str| finding[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {finding}"));
        let path = Utf8Path::new(text("path"));
        assert!(path.is_relative() && !path.as_str().is_empty(), "{finding}");
        let (expected, found) = (text("expected"), text("found"));
        assert!(!expected.is_empty() && !found.is_empty() && expected != found, "{finding}");
        // What a kind says of every finding alike is less than can be known of most.
        assert!(expected != "what was signed" && found != "something else", "{finding}");
        assert!(["error", "warning"].contains(&text("severity")), "{finding}");
    }
    findings
}

/// Small, since every change to it is read back: a program with both hashes, a service, a file of each kind.
fn certified() -> App {
    let app = App::bare(&old());
    info(&app.path("XPCServices/greeter.xpc/Contents/Info.plist"), "greeter", "com.example.demo.greeter", "XPC!");
    program(&app.path("XPCServices/greeter.xpc/Contents/MacOS/greeter"), TOOL_INTEL);
    write(&app.path("Resources/data.bin"), vec![7; 100]);
    link(&app.path("Resources/link"), "data.bin");
    sign(&app, &["--identity", &fixture("plain.pem")]);
    app
}

/// The first change that leads to each kind.
fn by_changes(app: &App) -> BTreeMap<String, Change> {
    let mut found = BTreeMap::new();
    for change in all(&app.root, &[]) {
        let undo = change.make(&app.root);
        if let Ok(report) = verify(&app.root) {
            for finding in report.findings {
                found.entry(format!("{:?}", finding.what)).or_insert_with(|| change.clone());
            }
        }
        undo();
    }
    found
}

/// Makes a change to the seal, by its text.
fn reseal(app: &App, change: impl FnOnce(&str) -> String) {
    let seal = app.path("_CodeSignature/CodeResources");
    write(&seal, change(&fs_err::read_to_string(&seal).unwrap()));
}

/// By OpenSSL, on the code directory of an app that somebody else signed before.
fn signed_by(signer: &str, more: &[&str]) -> App {
    let app = crate::pss::app();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| Utf8Path::from_path(folder.path()).unwrap().join(name).into_string();
    write(Utf8Path::new(&at("directory")), crate::pss::directory(&app));
    let args =
        ["cms", "-sign", "-binary", "-outform", "DER", "-in", &at("directory"), "-out", &at("cms"), "-signer", signer];
    assert!(Command::new("openssl").args(args).args(more).status().unwrap().success());
    crate::pss::put_cms(&app, &fs_err::read(at("cms")).unwrap());
    app
}

/// The code directory names another team than the certificate, which stands in for one of Apple's.
fn of_another_team() -> App {
    let app = App::bare(TOOL_INTEL);
    sign(&app, &["--identity", &fixture("developer-id.p12"), "--password-env", "PASSWORD_OF_TEST"]);
    let directory = crate::pss::directory(&app);
    let mut bytes = fs_err::read(app.path("MacOS/demo")).unwrap();
    let position = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).position(|it| it == text).unwrap();
    let at = position(&bytes, &directory) + position(&directory, b"TEAM123456\0");
    bytes[at..at + 4].copy_from_slice(b"MEAT");
    program(&app.path("MacOS/demo"), &bytes);
    app
}

/// With another profile than it was signed with, which expired.
fn with_another_profile() -> App {
    let app = App::bare(TOOL_INTEL);
    let (team, demo) = (fixture("developer-id.p12"), fixture("demo.provisionprofile"));
    sign(&app, &["--identity", &team, "--password-env", "PASSWORD_OF_TEST", "--provisioning-profile", &demo]);
    write(&app.path("embedded.provisionprofile"), fs_err::read(fixture("expired.provisionprofile")).unwrap());
    app
}

/// Each architecture as somebody else signed it.
fn by_two_signers() -> App {
    let (app, other) = (App::bare(&tool()), App::bare(&tool()));
    sign(&app, &["--identity", &fixture("plain.pem")]);
    sign(&other, &["--identity", &fixture("chain.p12"), "--password-env", "PASSWORD_OF_TEST"]);
    let slice = |app: &App, index: usize| {
        let (bytes, file) = MachFile::load(&app.path("MacOS/demo")).unwrap();
        file.slices[index].bytes(&bytes).to_vec()
    };
    let merged = universal::merge(&[&slice(&app, 0), &slice(&other, 1)]).unwrap();
    program(&app.path("MacOS/demo"), &merged);
    app
}

fn with_a_changed_stamp() -> App {
    let app = App::bare(TOOL_INTEL);
    let server = Server::start(fixture("stamp.pem"), Answer::Stamp, Duration::ZERO);
    sign(&app, &["--identity", &fixture("plain.pem"), "--timestamp", &server.url]);
    let (mut bytes, file) = MachFile::load(&app.path("MacOS/demo")).unwrap();
    let signature = file.slices[0].read_signature(&bytes).unwrap().unwrap();
    // The stamp's own signature comes last.
    let cms = signature.blobs.iter().find(|blob| blob.slot == slot::CMS).unwrap();
    bytes[file.slices[0].signature.clone().unwrap().start + cms.range.end - 1] ^= 1;
    program(&app.path("MacOS/demo"), &bytes);
    app
}

/// What no single change leads to.
fn made() -> Vec<(&'static str, App, Vec<&'static str>)> {
    let omitting = || {
        let app = certified();
        reseal(&app, |text| {
            let (head, tail) = text.split_once("<key>rules2</key>").unwrap();
            let omit = "<dict><key>data.bin</key><dict><key>omit</key><true/><key>weight</key><real>9999</real></dict>";
            format!("{head}<key>rules2</key>{}", tail.replacen("<dict>", omit, 1))
        });
        app
    };
    let clashing = certified();
    write(&clashing.path("Resources/DATA.bin"), "data");
    let unidentified = certified();
    reseal(&unidentified, |text| {
        let at = text.rfind("<key>XPCServices/greeter.xpc</key>").unwrap();
        let (start, end) = (at + text[at..].find("<dict>").unwrap(), at + text[at..].find("</dict>").unwrap());
        format!("{}<dict/>{}", &text[..start], &text[end + "</dict>".len()..])
    });
    let flattened = App::full();
    flattened.sign(&SignRequest::default());
    fs_err::remove_file(flattened.path("Frameworks/Answer.framework/Versions/Current")).unwrap();
    let expired = fixture("expired.pem");
    let (plain, server) = (fixture("plain.pem"), fixture("server.pem"));
    vec![
        ("FileOmitted", omitting(), vec![]),
        ("RulesWeak", omitting(), vec![]),
        ("NamesClash", clashing, vec![]),
        ("NestedUnsealed", unidentified, vec![]),
        ("Framework", flattened, vec![]),
        ("RequirementUndecided", certified(), vec!["-R", "=anchor trusted"]),
        ("SignersDiffer", by_two_signers(), vec![]),
        ("TeamDiffers", of_another_team(), vec![]),
        ("CertificateOutOfTime", signed_by(&expired, &[]), vec![]),
        ("CertificateUnused", signed_by(&plain, &["-certfile", &server]), vec![]),
        ("TimestampUnsound", with_a_changed_stamp(), vec![]),
        ("ProfileUnfit", with_another_profile(), vec![]),
    ]
}

#[test]
fn every_kind_says_where_what_was_due_and_what_is_there() {
    let app = certified();
    let mut seen = BTreeSet::new();
    let mut tell = |kind: &str, app: &App, more: &[&str]| {
        let findings = answer(app, more);
        assert!(findings.iter().any(|finding| finding["what"] == kebab(kind).as_str()), "{kind}: {findings:?}");
        seen.insert(kind.to_owned());
    };
    for (kind, change) in &by_changes(&app) {
        let undo = change.make(&app.root);
        tell(kind, &app, &[]);
        undo();
    }
    for (kind, app, more) in made() {
        tell(kind, &app, &more);
    }
    let missing: Vec<_> = kinds().difference(&seen).cloned().collect();
    assert_eq!(missing, [""; 0], "no bundle here leads to them");
}
