//! What the signing library gets wrong by itself, one test a gap: signed so that every seal holds, or refused.
//!
//! | gap | what apple-codesign 0.29 does | what is done here |
//! |---|---|---|
//! | 1 | leaves a script or data among the programs unsealed | refused |
//! | 2 | breaks bundles in places that are not for code | signed |
//! | 3 | passes over a service without its executable | refused |
//! | 4 | gives code of a private authority a requirement that it fails | another requirement |
//! | 5 | writes certificates of elliptic keys anew, and wrongly | refused |
//! | 6 | writes into the file that is there | a new file |
//! | 7 | lists in `files` what the rules omit | left out of both lists |
//! | 8 | fails at a plain folder with a dot in its name | refused among frameworks, sealed among resources |
//! | 9 | names no remedy where the header has no room | refused with the linker's argument |
//! | 10 | loses empty folders | kept |
//! | 11 | keeps what lies beside the old seal | removed |
//! | 12 | writes PKCS#12 with RC2-40 | read, and never written |

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use cargo_xpc::verify::{Anchor, Requirement, verify, verify_against};

use crate::fixture::{App, TOOL_INTEL, info, library, program, tool, write};
use crate::identity::{fixture, run, sign};
use crate::judge::{refused, sealed};

#[test]
fn gap_01_a_script_among_the_programs() {
    for place in ["MacOS/start.sh", "Helpers/start.sh"] {
        let app = App::bare(&tool());
        program(&app.path(place), b"#!/bin/sh\n");
        refused(&app, &["Demo.app/Contents/", place, "is a script", "move it to Resources"]);
    }
}

#[test]
fn gap_01_data_among_the_programs() {
    for place in ["MacOS/data.txt", "Helpers/data.txt", "Frameworks/data.txt", "notes.txt"] {
        let app = App::bare(&tool());
        write(&app.path(place), "data");
        refused(&app, &[place, "is not Mach-O", "move it to Resources"]);
    }
}

#[test]
fn gap_02_bundles_in_places_that_are_not_for_code() {
    let app = App::bare(&tool());
    let places = ["Resources/Plug.bundle", "Library/QuickLook/Plug.qlgenerator", "SharedSupport/Plug.app"];
    for place in places {
        info(&app.path(place).join("Contents/Info.plist"), "plug", "com.example.plug", "BNDL");
        program(&app.path(place).join("Contents/MacOS/plug"), &library());
        write(&app.path(place).join("Contents/_CodeSignature/stale"), "stale");
    }
    sealed(&app);
    for place in places {
        assert!(app.path(place).join("Contents/_CodeSignature/CodeResources").exists(), "{place}");
        assert!(!app.path(place).join("Contents/_CodeSignature/stale").exists(), "{place}");
        // Each holds by itself too, not as files of the app alone.
        assert_eq!(verify(&app.path(place)).unwrap().findings, []);
    }
}

#[test]
fn gap_03_a_service_without_its_executable() {
    let app = App::full();
    fs_err::remove_file(app.path("XPCServices/greeter.xpc/Contents/MacOS/greeter")).unwrap();
    refused(&app, &["Demo.app/Contents/XPCServices/greeter.xpc", "has no", "MacOS/greeter"]);

    let app = App::full();
    info(&app.path("XPCServices/greeter.xpc/Contents/Info.plist"), "", "com.example.demo.greeter", "XPC!");
    refused(&app, &["Demo.app/Contents/XPCServices/greeter.xpc", "names no CFBundleExecutable"]);

    // A service among the resources is still meant to be one.
    let app = App::bare(&tool());
    info(&app.path("Resources/greeter.xpc/Contents/Info.plist"), "greeter", "com.example.demo.greeter", "XPC!");
    refused(&app, &["Resources/greeter.xpc", "has no", "MacOS/greeter"]);
}

#[test]
fn gap_04_code_of_a_private_authority_meets_its_own_requirement() {
    let app = App::full();
    let chain = fixture("chain.p12");
    sign(&app, &["--identity", &chain, "--password-env", "PASSWORD_OF_TEST"]);
    for code in verify(&app.root).unwrap().code {
        let (signer, requirement) = (code.signer.unwrap(), code.requirement.unwrap());
        assert_eq!((signer.anchor, signer.chain.len()), (Anchor::Private, 3), "{}", code.path);
        // Nothing of the root, which the library takes the leaf for.
        assert!(requirement.contains("certificate leaf = H\"") && !requirement.contains("root"), "{requirement}");
    }
    let report = verify(&app.root).unwrap();
    assert_eq!(report.findings, []);
    let main = report.code[0].requirement.clone().unwrap();
    assert_eq!(verify_against(&app.root, Some(&ask(&main))).unwrap().findings, []);
    let root = main.replace("certificate leaf", "certificate root");
    assert!(!verify_against(&app.root, Some(&ask(&root))).unwrap().findings.is_empty(), "{root}");
}

fn ask(requirement: &str) -> Requirement {
    cargo_xpc::verify::requirement(requirement).unwrap()
}

/// By `sign` and by `embed`; by `bundle` too, which the tests of the whole way try.
#[test]
fn gap_05_elliptic_keys_are_refused() {
    let app = App::full();
    let other = App::bare(&tool());
    other.service("extra");
    let made = other.path("XPCServices/extra.xpc").into_string();
    let before = app.content();
    for (identity, says) in [
        ("ec.pem", "ec.pem` has a key for elliptic curves"),
        ("ec-chain.p12", "`CN=Signer below an EC Root, O=Example` in"),
    ] {
        let identity = fixture(identity);
        let password: &[&str] = if identity.ends_with("p12") { &["--password-env", "PASSWORD_OF_TEST"] } else { &[] };
        for args in [
            ["sign", "Demo.app", "--identity", &identity].as_slice(),
            &["embed", "Demo.app", &made, "--sign", &identity],
        ] {
            let (code, stdout, stderr) = run(&app, &[args, password].concat());
            assert_eq!((code, stdout.as_str()), (2, ""), "{args:?}: {stderr}");
            assert_eq!(stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{args:?}: {stderr}");
            assert!(stderr.contains(says) && stderr.contains("RSA"), "{args:?}: {stderr}");
            assert!(app.content() == before, "{args:?}");
        }
    }
}

/// macOS remembers signatures by inode, and kills a program whose file was rewritten in place.
#[test]
fn gap_06_every_binary_is_a_new_file() {
    let app = App::full();
    let names = ["MacOS/demo", "MacOS/helper", "XPCServices/greeter.xpc/Contents/MacOS/greeter"];
    // Open, so that no number is free to be used again.
    let old: Vec<_> = names.iter().map(|name| fs_err::File::open(app.path(name)).unwrap()).collect();
    sealed(&app);
    for (name, old) in names.iter().zip(&old) {
        let new = fs_err::metadata(app.path(name)).unwrap();
        assert_ne!(new.ino(), old.metadata().unwrap().ino(), "{name}");
        assert_eq!(new.permissions().mode() & 0o777, 0o755, "{name}");
    }
}

/// Also where the caller gives no copy to work on.
#[test]
fn gap_06_also_within_one_tree() {
    let app = App::bare(&tool());
    let old = fs_err::File::open(app.path("MacOS/demo")).unwrap();
    app.sign(&cargo_xpc::sign::SignRequest::default());
    assert_ne!(fs_err::metadata(app.path("MacOS/demo")).unwrap().ino(), old.metadata().unwrap().ino());
}

#[test]
fn gap_07_what_the_rules_omit_is_in_neither_list() {
    let app = App::bare(&tool());
    write(&app.path("Resources/de.lproj/locversion.plist"), "<plist version=\"1.0\"><dict/></plist>");
    write(&app.path("Resources/de.lproj/Localizable.strings"), "\"a\" = \"b\";");
    sealed(&app);
    let seal = plist::Value::from_file(app.path("_CodeSignature/CodeResources")).unwrap();
    for list in ["files", "files2"] {
        let files = seal.as_dictionary().unwrap()[list].as_dictionary().unwrap();
        assert!(!files.contains_key("Resources/de.lproj/locversion.plist"), "{list}");
        assert!(files.contains_key("Resources/de.lproj/Localizable.strings"), "{list}");
    }
    write(&app.path("Resources/de.lproj/locversion.plist"), "changed");
    assert_eq!(verify(&app.root).unwrap().findings, []);
}

#[test]
fn gap_08_a_plain_folder_with_a_dot_in_its_name() {
    let app = App::bare(&tool());
    write(&app.path("Frameworks/lib.d/a.txt"), "a");
    refused(&app, &["Demo.app/Contents/Frameworks/lib.d", "dot in its name", "rename it or move it to Resources"]);

    let app = App::bare(&tool());
    write(&app.path("Resources/lib.d/a.txt"), "a");
    sealed(&app);
}

#[test]
fn gap_09_a_header_without_room() {
    let mut crowded = TOOL_INTEL.to_vec();
    // One more load command of unknown type that reaches up to the first section.
    let commands = u32::from_le_bytes(crowded[16..20].try_into().unwrap());
    let end = 32 + u32::from_le_bytes(crowded[20..24].try_into().unwrap()) as usize;
    let file = cargo_xpc::macho::MachFile::parse(&crowded).unwrap();
    let room = file.slices[0].first_section.unwrap() as usize - end;
    let filler = (room / 8 * 8 - 8) as u32;
    crowded[16..20].copy_from_slice(&(commands + 1).to_le_bytes());
    crowded[20..24].copy_from_slice(&((end as u32 - 32) + filler).to_le_bytes());
    crowded[end..end + 4].copy_from_slice(&0x7000_u32.to_le_bytes());
    crowded[end + 4..end + 8].copy_from_slice(&filler.to_le_bytes());
    refused(&App::bare(&crowded), &["Demo.app/Contents/MacOS/demo", "x86_64", "-Wl,-headerpad,0x1000"]);
}

#[test]
fn gap_10_empty_folders_stay() {
    let app = App::full();
    let places = ["Resources/empty", "PlugIns", "XPCServices/greeter.xpc/Contents/Resources/empty/deeper"];
    for place in places {
        fs_err::create_dir_all(app.path(place)).unwrap();
    }
    sealed(&app);
    for place in places {
        assert!(app.path(place).is_dir(), "{place}");
    }
}

#[test]
fn gap_11_what_lies_beside_the_old_seal() {
    let app = App::full();
    let stale = ["_CodeSignature/stale", "XPCServices/greeter.xpc/Contents/_CodeSignature/CodeDirectory"];
    for name in stale {
        write(&app.path(name), "stale");
    }
    write(&app.path("_CodeSignature/folder/deep"), "stale");
    let plan = cargo_xpc::sign::plan(&app.root, &cargo_xpc::sign::SignRequest::default()).unwrap();
    for name in stale {
        assert!(plan.removed.iter().any(|it| *it == format!("Contents/{name}")), "{:?}", plan.removed);
    }
    sealed(&app);
    for name in stale {
        assert!(!app.path(name).exists(), "{name}");
    }
    assert!(!app.path("_CodeSignature/folder").exists());
}

/// Those that the library wrote are read. What this tool keeps is a key that nobody but its owner may read, and no PKCS#12.
#[test]
fn gap_12_old_pkcs12_is_read_and_none_is_written() {
    let app = App::bare(&tool());
    let old = fixture("third-party.p12");
    // pbeWithSHA1And40BitRC2-CBC.
    let rc2 = [0x06, 10, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 1, 6];
    assert!(fs_err::read(&old).unwrap().windows(rc2.len()).any(|it| it == rc2));
    let file = app.root.with_file_name("password");
    write(&file, "test");
    sign(&app, &["--identity", &old, "--password-file", file.as_str()]);
    assert_eq!(run(&app, &["identity", "create"]).0, 0);
    let kept = app.root.with_file_name("identities").join("development");
    let mut names: Vec<_> = fs_err::read_dir(&kept).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["certificate.pem", "key.pem"]);
    assert!(fs_err::read_to_string(kept.join("key.pem")).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(fs_err::metadata(kept.join("key.pem")).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Facts.md counts twelve.
#[test]
fn every_gap_has_a_test_by_its_number() {
    let tests = include_str!("gaps.rs");
    for number in 1..=12 {
        assert!(tests.contains(&format!("\n#[test]\nfn gap_{number:02}_")), "{number}");
        assert!(tests.contains(&format!("\n//! | {number} | ")), "{number} is not in the table");
    }
}
