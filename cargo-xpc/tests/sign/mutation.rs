//! Changes to a signed bundle, and what reading back says of each; `every_change` makes all that can be thought of.

use std::collections::BTreeSet;

use camino::Utf8Path;
use cargo_xpc::sign::{Entitlements, Scope, SignRequest};
use cargo_xpc::verify::{Verdict, What, verify};

use crate::fixture::{App, TOOL_INTEL, link, write};

fn signed() -> App {
    let app = App::full();
    app.sign(&request());
    app
}

fn request() -> SignRequest {
    let mut content = plist::Dictionary::new();
    content.insert("com.apple.security.app-sandbox".to_owned(), true.into());
    let entitlements = Entitlements { source: "test".to_owned(), content };
    SignRequest { entitlements: vec![(Scope::main(), entitlements)], get_task_allow: true, ..SignRequest::default() }
}

fn findings(app: &App) -> Vec<(String, What)> {
    let report = match verify(&app.root) {
        Ok(report) => report,
        Err(_) => return vec![(".".to_owned(), What::Damaged)],
    };
    // Whatever is found, it says what was due and what is there.
    assert!(report.findings.iter().all(|finding| !finding.expected.is_empty() && !finding.found.is_empty()));
    report.errors().map(|finding| (finding.path.to_string(), finding.what)).collect()
}

#[track_caller]
fn finds(app: &App, path: &str, what: What) {
    let findings = findings(app);
    assert!(findings.contains(&(path.to_owned(), what)), "{what:?} in {path}: {findings:?}");
}

#[test]
fn a_signed_bundle_is_valid() {
    let report = verify(&signed().root).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.unchecked, []);
    assert_eq!(report.verdict(), Verdict::Valid);
    let names: Vec<_> = report.code.iter().map(|code| code.identifier.as_str()).collect();
    assert_eq!(
        names,
        [
            "com.example.demo",
            "com.example.answer",
            "com.example.answer",
            "libanswer.1",
            "helper",
            "com.example.demo.counter",
            "com.example.demo.greeter"
        ]
    );
    assert!(report.code.iter().all(|code| code.ad_hoc && code.architectures.len() == 2));
}

/// Nothing seals the outermost code directory of an ad-hoc signature: whoever can write it can sign anew. What it says about the file
/// is checked against the file; these fields say nothing about it.
#[test]
fn only_the_outermost_directory_has_fields_that_nothing_seals() {
    let app = App::bare(TOOL_INTEL);
    app.sign(&SignRequest::default());
    let path = app.path("MacOS/demo");
    let original = fs_err::read(&path).unwrap();
    let file = cargo_xpc::macho::MachFile::parse(&original).unwrap();
    let signature = file.slices[0].read_signature(&original).unwrap().unwrap();
    let start = file.slices[0].signature.clone().unwrap().start + signature.blobs[0].range.start;
    let field = |offset: usize| match offset {
        8..12 => "version",
        12..16 => "flags",
        16..20 => "hash offset",
        20..24 => "identifier offset",
        38 => "platform",
        40..44 => "spare",
        48..52 => "team offset",
        52..56 => "spare 3",
        80..88 => "flags of the executable segment",
        _ => "another",
    };
    let mut unsealed = BTreeSet::new();
    for offset in 0..88 {
        for bit in 0..8 {
            let mut changed = original.clone();
            changed[start + offset] ^= 1 << bit;
            fs_err::write(&path, &changed).unwrap();
            if findings(&app).is_empty() {
                unsealed.insert(field(offset));
            }
        }
    }
    let expected = [
        "flags",
        "flags of the executable segment",
        // The identifier becomes another, which is a warning.
        "identifier offset",
        "platform",
        "spare",
        "spare 3",
        "team offset",
        "version",
    ];
    assert_eq!(unsealed.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn what_is_added_is_found() {
    let app = signed();
    for (name, what) in [
        ("Contents/Resources/new.txt", What::FileAdded),
        ("Contents/Resources/en.lproj/new.strings", What::FileAdded),
        ("Contents/MacOS/new.sh", What::NotCode),
        ("Contents/new.txt", What::NotCode),
        ("Contents/XPCServices/greeter.xpc/Contents/Resources/new.txt", What::FileAdded),
        ("Contents/XPCServices/greeter.xpc/new.txt", What::UnsealedRoot),
        ("Contents/Frameworks/Answer.framework/new.txt", What::UnsealedRoot),
        ("Contents/Frameworks/Answer.framework/Versions/A/Headers/new.h", What::FileAdded),
        ("Contents/_CodeSignature/new.txt", What::StrayFile),
        ("new.txt", What::UnsealedRoot),
    ] {
        write(&app.root.join(name), "new");
        finds(&app, name, what);
        fs_err::remove_file(app.root.join(name)).unwrap();
    }
    let stray = app.path("Frameworks/dotted.folder");
    fs_err::create_dir(&stray).unwrap();
    finds(&app, "Contents/Frameworks/dotted.folder", What::NotCode);
    fs_err::remove_dir(stray).unwrap();
    link(&app.path("Resources/new"), "data.bin");
    finds(&app, "Contents/Resources/new", What::FileAdded);
}

#[test]
fn symlinks_are_sealed() {
    let app = signed();
    let relink = |path: &Utf8Path, target: &str| {
        fs_err::remove_file(path).unwrap();
        link(path, target);
    };
    let path = app.path("Resources/link");
    relink(&path, "Base.lproj/Main.txt");
    finds(&app, "Contents/Resources/link", What::SymlinkChanged);
    relink(&path, "../../../../etc/passwd");
    finds(&app, "Contents/Resources/link", What::SymlinkOutside);
    fs_err::remove_file(&path).unwrap();
    write(&path, vec![7; 10_000]);
    finds(&app, "Contents/Resources/link", What::KindChanged);
    fs_err::remove_file(&path).unwrap();
    link(&path, "data.bin");
    fs_err::remove_file(app.path("Resources/data.bin")).unwrap();
    link(&app.path("Resources/data.bin"), "Base.lproj/Main.txt");
    finds(&app, "Contents/Resources/data.bin", What::KindChanged);
}

#[test]
fn a_framework_switched_to_another_version_is_found() {
    let app = App::full();
    write(&app.path("Frameworks/Answer.framework/Versions/A/Resources/other.txt"), "other");
    app.sign(&SignRequest::default());
    let current = app.path("Frameworks/Answer.framework/Versions/Current");
    fs_err::remove_file(&current).unwrap();
    link(&current, "A");
    finds(&app, "Contents/Frameworks/Answer.framework", What::NestedDiffers);
}

#[test]
fn a_service_swapped_for_another_signed_one_is_found() {
    let app = signed();
    let other = App::full();
    write(&other.path("XPCServices/greeter.xpc/Contents/Resources/hello.txt"), "another");
    other.sign(&SignRequest::default());
    let place = app.path("XPCServices/greeter.xpc");
    fs_err::remove_dir_all(&place).unwrap();
    cargo_xpc::bundle::tree::copy(&other.path("XPCServices/greeter.xpc"), &place).unwrap();
    assert_eq!(verify(&place).unwrap().findings, []);
    finds(&app, "Contents/XPCServices/greeter.xpc", What::NestedDiffers);
}

#[test]
fn a_seal_that_leaves_files_out_is_not_believed() {
    let app = App::full();
    app.sign(&SignRequest::default());
    let seal = app.path("_CodeSignature/CodeResources");
    let text = fs_err::read_to_string(&seal).unwrap();
    let rules2 = text.find("<key>rules2</key>").unwrap();
    let (head, tail) = text.split_at(rules2);
    let tail = tail.replacen(
        "<dict>",
        "<dict><key>data.bin</key><dict><key>omit</key><true/><key>weight</key><real>9999</real></dict>",
        1,
    );
    fs_err::write(&seal, format!("{head}{tail}")).unwrap();
    finds(&app, "Contents/Resources/data.bin", What::FileOmitted);
    finds(&app, "Contents/MacOS/demo", What::SealChanged);
}

#[test]
fn an_unsigned_bundle_is_said_to_be_unsigned() {
    let app = App::bare(TOOL_INTEL);
    finds(&app, "Contents/MacOS/demo", What::Unsigned);
    finds(&app, ".", What::SealMissing);
}

#[test]
fn an_elf_bundle_is_not_signed_and_not_invalid() {
    let app = App::bare(&fs_err::read(std::env::current_exe().unwrap()).unwrap());
    let report = verify(&app.root).unwrap();
    if cfg!(target_os = "linux") {
        assert_eq!(report.verdict(), Verdict::NotSigned);
        assert_eq!(report.elf.as_deref(), Some(std::env::consts::ARCH));
    }
}

/// `cdhash` and `requirement` say the same of ad-hoc code; a seal in which they do not is wrong whichever macOS looks at.
#[test]
fn both_statements_about_nested_code_are_compared() {
    let app = App::full();
    app.sign(&SignRequest::default());
    let seal = app.path("_CodeSignature/CodeResources");
    let text = fs_err::read_to_string(&seal).unwrap();
    let greeter = text.find("XPCServices/greeter.xpc").unwrap();
    for (statement, offset) in [("<data>", 10), ("cdhash H\"", 12)] {
        let mut bytes = text.clone().into_bytes();
        let at = greeter + text[greeter..].find(statement).unwrap() + offset;
        let at = at + text[at..].find(|c: char| c.is_ascii_digit()).unwrap();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        fs_err::write(&seal, bytes).unwrap();
        finds(&app, "Contents/XPCServices/greeter.xpc", What::NestedDiffers);
    }
}
