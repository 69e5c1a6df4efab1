//! What stands in a bundle and cannot be sealed: refused with a clear error before a byte is written. And what looks as bad, and
//! can be sealed.

use cargo_xpc::sign::{SignRequest, plan};
use cargo_xpc::verify::{Verdict, What, verify};

use crate::fixture::{App, TOOL_ARM, TOOL_INTEL, info, library, link, program, tool, write};

/// The error, after which the bundle is as it was.
#[track_caller]
fn refused(app: &App, expected: &[&str]) {
    let before = app.content();
    let error = plan(&app.root, &SignRequest::default()).unwrap_err().to_string();
    for part in expected {
        assert!(error.contains(part), "no `{part}` in: {error}");
    }
    assert!(app.content() == before);
}

#[track_caller]
fn sealed(app: &App) {
    app.sign(&SignRequest::default());
    let report = verify(&app.root).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.verdict(), Verdict::Valid);
}

#[test]
fn an_object_file_is_no_program() {
    let app = App::bare(&tool());
    let mut object = TOOL_INTEL.to_vec();
    object[12..16].copy_from_slice(&1_u32.to_le_bytes());
    program(&app.path("MacOS/part.o"), &object);
    refused(&app, &["MacOS/part.o", "a Mach-O object file"]);
}

#[test]
fn bundles_need_identifiers() {
    let app = App::full();
    info(&app.path("XPCServices/greeter.xpc/Contents/Info.plist"), "greeter", "", "XPC!");
    refused(&app, &["greeter.xpc", "no CFBundleIdentifier"]);
    info(&app.path("XPCServices/greeter.xpc/Contents/Info.plist"), "greeter", "com/example", "XPC!");
    refused(&app, &["`com/example` cannot identify", "greeter.xpc"]);
}

#[test]
fn frameworks_must_keep_their_symlinks() {
    let app = App::full();
    let framework = app.path("Frameworks/Answer.framework");
    fs_err::remove_file(framework.join("Answer")).unwrap();
    program(&framework.join("Answer"), &library());
    refused(&app, &["Answer.framework", "`Answer` is no symlink"]);

    let app = App::full();
    fs_err::remove_file(app.path("Frameworks/Answer.framework/Versions/Current")).unwrap();
    refused(&app, &["Answer.framework", "Versions/Current", "flattened"]);

    let app = App::full();
    fs_err::remove_dir_all(app.path("Frameworks/Answer.framework/Versions/A/Resources")).unwrap();
    refused(&app, &["Answer.framework", "Versions/A` has no Resources/Info.plist"]);
}

#[test]
fn symlinks_that_leave_the_bundle_are_refused() {
    for target in ["/etc/passwd", "../../../secret", "/System/../etc/passwd"] {
        let app = App::bare(&tool());
        link(&app.path("Resources/link"), target);
        refused(&app, &["Demo.app/Contents/Resources/link", target, "outside of the bundle"]);
    }
}

#[test]
fn a_circle_of_symlinks_is_sealed_and_not_followed() {
    let app = App::bare(&tool());
    link(&app.path("Resources/loop"), "../Resources");
    sealed(&app);
    // One that leads nowhere is sealed too; macOS refuses it where it is strict.
    link(&app.path("Resources/self"), "self");
    app.sign(&SignRequest::default());
    let findings = verify(&app.root).unwrap().findings;
    assert!(matches!(&findings[..], [it] if it.what == What::SymlinkDangling), "{findings:?}");
}

#[test]
fn a_socket_is_refused() {
    let app = App::bare(&tool());
    fs_err::create_dir_all(app.path("Resources")).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(app.path("Resources/socket")).unwrap();
    refused(&app, &["Resources/socket", "neither a file"]);
}

#[test]
fn elf_is_not_signed() {
    let mut elf = vec![0; 64];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[18] = 62;
    let app = App::bare(&elf);
    refused(&app, &["Demo.app/Contents/MacOS/demo", "ELF (x86_64)", "non-Apple targets are not signed"]);
}

#[test]
fn a_script_is_no_main_executable() {
    refused(&App::bare(b"#!/bin/sh\n"), &["Demo.app/Contents/MacOS/demo is not Mach-O"]);
}

#[test]
fn data_after_the_image_is_not_cut_off() {
    let mut payload = TOOL_ARM.to_vec();
    payload.extend(b"payload");
    refused(&App::bare(&payload), &["Demo.app/Contents/MacOS/demo", "data follows"]);
}

#[test]
fn what_is_no_bundle_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let root = camino::Utf8Path::from_path(dir.path()).unwrap();
    let error = plan(root, &SignRequest::default()).unwrap_err().to_string();
    assert!(error.contains("is not a bundle"), "{error}");
    write(&root.join("Contents/Info.plist"), "no property list");
    let error = plan(root, &SignRequest::default()).unwrap_err().to_string();
    assert!(error.contains("Contents/Info.plist") && error.contains("not a property list"), "{error}");
}

#[test]
fn bundles_nested_without_end_are_refused() {
    let app = App::bare(TOOL_INTEL);
    let mut root = app.root.clone();
    for _ in 0..40 {
        root = root.join("Contents/PlugIns/a.app");
        info(&root.join("Contents/Info.plist"), "a", "com.example.a", "APPL");
        program(&root.join("Contents/MacOS/a"), TOOL_INTEL);
        let seal = r#"<plist version="1.0"><dict><key>files2</key><dict/><key>rules2</key><dict>
            <key>^.*</key><dict><key>nested</key><true/></dict></dict></dict></plist>"#;
        write(&root.parent().unwrap().parent().unwrap().join("_CodeSignature/CodeResources"), seal);
    }
    refused(&app, &["nested deeper than 32"]);
    let error = verify(&app.root).unwrap_err().to_string();
    assert!(error.contains("nested deeper than 32"), "{error}");
}

#[test]
fn resources_without_code_are_sealed_as_files() {
    let app = App::bare(&tool());
    info(&app.path("Resources/Pictures.bundle/Contents/Info.plist"), "", "com.example.pictures", "BNDL");
    info(&app.path("Resources/Old.bundle/Contents/Info.plist"), "gone", "com.example.old", "BNDL");
    write(&app.path("Resources/Pictures.bundle/Contents/Resources/a.png"), "a");
    info(&app.path("Resources/demo.dSYM/Contents/Info.plist"), "", "com.example.demo.dsym", "dSYM");
    write(&app.path("Resources/Main.class"), [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 61, 1, 2, 3]);
    write(&app.path("Resources/truncated"), &TOOL_ARM[..200]);
    write(&app.path("Resources/run.sh"), "#!/bin/sh\n");
    fs_err::create_dir_all(app.path("Resources/empty")).unwrap();
    sealed(&app);
    assert!(!app.path("Resources/Pictures.bundle/Contents/_CodeSignature").exists());
    assert!(app.path("Resources/empty").is_dir());
}

/// The library that rewrites the file adds the entry point to an address, and overflows.
#[test]
fn an_entry_point_beyond_all_addresses_is_refused() {
    let mut program = TOOL_INTEL.to_vec();
    let main = 0x8000_0028_u32.to_le_bytes();
    let at = program.windows(4).position(|window| window == main).unwrap() + 8;
    program[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    refused(&App::bare(&program), &["Demo.app/Contents/MacOS/demo", "entry point"]);
}
