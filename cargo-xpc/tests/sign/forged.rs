//! Bundles that are wrong in themselves: whoever made them signed them after the change, so that every hash fits. macOS refuses them, or
//! reads something else in them than a careless reader.
//!
//! Each test is one hole that `verify` had. What was tried besides, and found already, is in the table of `docs/signing.md`.

use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8Path;
use cargo_xpc::macho::{CodeFlags, HashKind, MachFile, slot};
use cargo_xpc::sign::SignRequest;
use cargo_xpc::verify::{Severity, What, verify};
use plist::{Dictionary, Value};

use crate::fixture::{App, TOOL_ARM, TOOL_INTEL, info, link, old, program, write};
use crate::identity::{fixture, sign};
use crate::stamping::{Answer, Server};

/// The parts of a signature by their slots, in the order of the table.
type Blobs = Vec<(u32, Vec<u8>)>;

fn number(blob: &[u8], at: usize) -> usize {
    u32::from_be_bytes(blob[at..at + 4].try_into().unwrap()) as usize
}

fn is_directory(slot: u32) -> bool {
    slot == slot::CODE_DIRECTORY || (slot::ALTERNATES..slot::ALTERNATES_END).contains(&slot)
}

/// Enters the hash of what a special slot is for, by the hash that the directory says.
fn enter(directory: &mut [u8], slot: u32, content: &[u8]) {
    let kind = if directory[37] == 1 { HashKind::Sha1 } else { HashKind::Sha256 };
    let hash = kind.digest(content);
    assert!(number(directory, 24) >= slot as usize, "there is no room for slot {slot}");
    let at = number(directory, 16) - slot as usize * hash.len();
    directory[at..at + hash.len()].copy_from_slice(&hash);
}

fn edit(blobs: &mut Blobs, slot: u32) -> &mut Vec<u8> {
    &mut blobs.iter_mut().find(|(number, _)| *number == slot).unwrap().1
}

/// An app whose signature can be made anew after any change to it: ad hoc, with room in it.
fn forgeable(executable: &[u8]) -> App {
    let app = App::bare(executable);
    app.service("greeter");
    write(&app.path("Resources/data.bin"), "data");
    write(&app.root.with_file_name("entitlements"), ENTITLEMENTS);
    let (identity, entitlements) = (fixture("chain.p12"), app.root.with_file_name("entitlements"));
    let args = ["--identity", &identity, "--password-env", "PASSWORD_OF_TEST", "--entitlements", entitlements.as_str()];
    sign(&app, &[&args[..], &["--requirements", "=identifier com.example.demo"]].concat());
    forge(&app, |blobs| {
        blobs.retain(|(slot, _)| *slot != slot::CMS);
        for (_, directory) in blobs.iter_mut().filter(|(slot, _)| is_directory(*slot)) {
            directory[12..16].copy_from_slice(&CodeFlags::ADHOC.0.to_be_bytes());
        }
    });
    assert_eq!(verify(&app.root).unwrap().findings, []);
    app
}

const ENTITLEMENTS: &str =
    "<plist version=\"1.0\"><dict><key>com.apple.security.app-sandbox</key><true/></dict></plist>";

/// Changes the signature of the app's program and makes every hash in it fit again.
fn forge(app: &App, change: impl FnOnce(&mut Blobs)) {
    let path = app.path("MacOS/demo");
    let (mut bytes, file) = MachFile::load(&path).unwrap();
    let signature = file.slices[0].read_signature(&bytes).unwrap().unwrap();
    let blob = |slot: u32| (slot, signature.blob(slot).unwrap().to_vec());
    let mut blobs: Blobs = signature.blobs.iter().map(|it| blob(it.slot)).collect();
    change(&mut blobs);
    let mut sealed: Blobs =
        blobs.iter().filter(|(slot, _)| *slot < slot::SPECIAL_LIMIT && *slot > 0).cloned().collect();
    sealed.push((slot::INFO, fs_err::read(app.path("Info.plist")).unwrap()));
    sealed.push((slot::RESOURCES, fs_err::read(app.path("_CodeSignature/CodeResources")).unwrap()));
    for (_, directory) in blobs.iter_mut().filter(|(slot, _)| is_directory(*slot)) {
        for (slot, content) in &sealed {
            enter(directory, *slot, content);
        }
    }
    let mut at = 12 + 8 * blobs.len();
    let mut table = [0xfade_0cc0_u32, 0, blobs.len() as u32].map(u32::to_be_bytes).concat();
    for (slot, blob) in &blobs {
        table.extend([*slot, at as u32].map(u32::to_be_bytes).concat());
        at += blob.len();
    }
    table[4..8].copy_from_slice(&(at as u32).to_be_bytes());
    table.extend(blobs.iter().flat_map(|(_, blob)| blob));
    let place = file.slices[0].signature.clone().unwrap();
    assert!(table.len() <= place.len(), "{} bytes do not fit", table.len());
    table.resize(place.len(), 0);
    bytes[place].copy_from_slice(&table);
    fs_err::write(&path, bytes).unwrap();
}

/// Changes the seal, and has the signature say so.
fn reseal(app: &App, change: impl FnOnce(&mut Dictionary)) {
    let path = app.path("_CodeSignature/CodeResources");
    let mut seal = Value::from_file(&path).unwrap().into_dictionary().unwrap();
    change(&mut seal);
    Value::Dictionary(seal).to_file_xml(&path).unwrap();
    forge(app, |_| {});
}

fn part<'a>(seal: &'a mut Dictionary, key: &str) -> &'a mut Dictionary {
    seal.get_mut(key).unwrap().as_dictionary_mut().unwrap()
}

/// Of everything that is found, one thing is this.
#[track_caller]
fn finds(app: &App, path: &str, what: What, severity: Severity, text: &str) {
    let findings = verify(&app.root).unwrap().findings;
    let found = findings.iter().any(|it| {
        let said = format!("{} | {}", it.expected, it.found);
        it.path == path && it.what == what && it.severity == severity && said.contains(text)
    });
    assert!(found, "no {what:?} of {path} with `{text}`: {findings:#?}");
}

#[track_caller]
fn refuses(app: &App, path: &str, what: What, text: &str) {
    finds(app, path, what, Severity::Error, text);
}

const DEMO: &str = "Contents/MacOS/demo";
const SEAL: &str = "Contents/_CodeSignature/CodeResources";

#[test]
fn a_part_of_another_kind_than_its_slot_was_taken() {
    // The kernel finds no entitlements then, and macOS none of the others.
    for slot in [slot::REQUIREMENTS, slot::ENTITLEMENTS, slot::ENTITLEMENTS_DER] {
        let app = forgeable(TOOL_INTEL);
        forge(&app, |blobs| edit(blobs, slot)[..4].copy_from_slice(&0xfade_0b01_u32.to_be_bytes()));
        refuses(&app, DEMO, What::Damaged, &format!("slot {slot:#x} holds a part of kind 0xfade0b01"));
    }
}

#[test]
fn two_directories_with_one_hash_were_taken() {
    let app = forgeable(TOOL_INTEL);
    forge(&app, |blobs| {
        let mut other = edit(blobs, slot::CODE_DIRECTORY).clone();
        // Another version that says the same.
        other[8..12].copy_from_slice(&0x2_0500_u32.to_be_bytes());
        blobs.push((slot::ALTERNATES, other));
    });
    refuses(&app, DEMO, What::Damaged, "two code directories with the same hash");
}

/// `codesign` looks no further than to the first one that is missing, the kernel at all.
#[test]
fn a_gap_before_an_alternate_directory_was_taken() {
    let app = forgeable(&old());
    forge(&app, |blobs| blobs.iter_mut().find(|(slot, _)| *slot == slot::ALTERNATES).unwrap().0 += 1);
    refuses(&app, DEMO, What::Damaged, "alternate code directories have a gap");
}

/// The code directory with pages of another size, as one that somebody made would be.
fn paged(code: &[u8], directory: &[u8], bits: u8) -> Vec<u8> {
    let (first, count) = (number(directory, 16), number(directory, 28));
    let pages: Vec<u8> = code.chunks(1 << bits).flat_map(|page| HashKind::Sha256.digest(page)).collect();
    let mut made = directory[..first].to_vec();
    assert_eq!(directory.len(), first + 32 * count, "the hashes are the last");
    made[28..32].copy_from_slice(&((pages.len() / 32) as u32).to_be_bytes());
    made[39] = bits;
    made.extend(pages);
    let length = made.len() as u32;
    made[4..8].copy_from_slice(&length.to_be_bytes());
    made
}

#[test]
fn pages_that_no_kernel_maps_were_taken() {
    for (tool, bits, said) in [
        (TOOL_INTEL, 15, Some("pages of 2^15 bytes")),
        (TOOL_INTEL, 11, Some("pages of 2^11 bytes")),
        (TOOL_INTEL, 14, Some("pages of 16384 bytes")),
        (TOOL_ARM, 14, None),
    ] {
        let app = forgeable(tool);
        let (bytes, file) = MachFile::load(&app.path("MacOS/demo")).unwrap();
        let code = &bytes[..file.slices[0].signature.clone().unwrap().start];
        forge(&app, |blobs| {
            let directory = edit(blobs, slot::CODE_DIRECTORY);
            *directory = paged(code, directory, bits);
        });
        match said {
            Some(said) => refuses(&app, DEMO, What::Damaged, said),
            None => assert_eq!(verify(&app.root).unwrap().findings, []),
        }
    }
}

#[test]
fn two_slices_of_one_architecture_were_taken() {
    let app = forgeable(TOOL_INTEL);
    let slice = fs_err::read(app.path("MacOS/demo")).unwrap();
    let length = slice.len().next_multiple_of(0x4000);
    let arch = |offset: usize| [0x0100_0007, 3, offset as u32, slice.len() as u32, 14].map(u32::to_be_bytes).concat();
    let mut fat = [0xcafe_babe_u32, 2].map(u32::to_be_bytes).concat();
    fat.extend([arch(0x4000), arch(0x4000 + length)].concat());
    for offset in [0x4000, 0x4000 + length] {
        fat.resize(offset, 0);
        fat.extend(&slice);
    }
    program(&app.path("MacOS/demo"), &fat);
    refuses(&app, DEMO, What::Damaged, "two architectures x86_64");
}

/// Neither the kernel nor `codesign` reads one.
#[test]
fn a_universal_header_with_64_bit_offsets_was_taken() {
    let app = forgeable(TOOL_INTEL);
    let slice = fs_err::read(app.path("MacOS/demo")).unwrap();
    let mut fat = [0xcafe_babf_u32, 1, 0x0100_0007, 3, 0, 0x4000, 0].map(u32::to_be_bytes).concat();
    fat.extend([slice.len() as u32, 14, 0].map(u32::to_be_bytes).concat());
    fat.resize(0x4000, 0);
    fat.extend(&slice);
    program(&app.path("MacOS/demo"), &fat);
    refuses(&app, DEMO, What::Damaged, "one with 64-bit offsets");
}

/// Today's systems look at DER, people and `verify` looked at the list.
#[test]
fn entitlements_in_der_that_are_others_were_taken() {
    let swap = |blob: &mut Vec<u8>, from: &[u8], to: &[u8]| {
        let at = blob.windows(from.len()).position(|it| it == from).unwrap();
        blob[at..at + from.len()].copy_from_slice(to);
    };
    let app = forgeable(TOOL_INTEL);
    forge(&app, |blobs| swap(edit(blobs, slot::ENTITLEMENTS_DER), b"app-sandbox", b"cs.debugger"));
    refuses(&app, DEMO, What::EntitlementsDiffer, "`com.apple.security.app-sandbox`: Boolean(true) | none in DER");
    refuses(&app, DEMO, What::EntitlementsDiffer, "`com.apple.security.cs.debugger`: none | Boolean(true) in DER");
    let app = forgeable(TOOL_INTEL);
    forge(&app, |blobs| swap(edit(blobs, slot::ENTITLEMENTS_DER), &[1, 1, 0xff], &[1, 1, 0]));
    refuses(&app, DEMO, What::EntitlementsDiffer, "Boolean(false) in DER");
    // One that is not the only way to write it.
    let app = forgeable(TOOL_INTEL);
    forge(&app, |blobs| swap(edit(blobs, slot::ENTITLEMENTS_DER), &[1, 1, 0xff], &[1, 1, 1]));
    refuses(&app, DEMO, What::Damaged, "DER with a value of kind 0x1");
    // Nobody sees them in the list.
    let app = forgeable(TOOL_INTEL);
    forge(&app, |blobs| {
        blobs.retain(|(slot, _)| *slot != slot::ENTITLEMENTS);
        let directory = edit(blobs, slot::CODE_DIRECTORY);
        let at = number(directory, 16) - 5 * 32;
        directory[at..at + 32].fill(0);
    });
    refuses(&app, DEMO, What::EntitlementsDiffer, "Boolean(true) in DER");
}

#[test]
fn launch_constraints_that_cannot_be_read_were_taken() {
    let app = App::bare(TOOL_INTEL);
    let constraint = app.root.with_file_name("constraint");
    write(&constraint, "<plist version=\"1.0\"><dict><key>team-identifier</key><string>T</string></dict></plist>");
    sign(&app, &["--release", "--launch-constraint-self", constraint.as_str()]);
    assert_eq!(verify(&app.root).unwrap().findings, []);
    forge(&app, |blobs| edit(blobs, slot::CONSTRAINTS)[8] = 0x30);
    refuses(&app, DEMO, What::Damaged, "launch constraints (slot 8) | DER with 0x30 where 0x70 is due");
}

#[test]
fn a_seal_with_a_name_twice_was_read_by_the_last() {
    let app = forgeable(TOOL_INTEL);
    let path = app.path("_CodeSignature/CodeResources");
    let text = fs_err::read_to_string(&path).unwrap();
    let (head, tail) = text.split_once("<key>files2</key>").unwrap();
    let twice = tail.replacen("<dict>", "<dict><key>Resources/data.bin</key><data>AAAA</data>", 1);
    write(&path, format!("{head}<key>files2</key>{twice}"));
    forge(&app, |_| {});
    refuses(&app, SEAL, What::SealDamaged, "a key twice");
}

#[test]
fn a_seal_in_the_binary_form_is_read_as_any() {
    let app = forgeable(TOOL_INTEL);
    let path = app.path("_CodeSignature/CodeResources");
    Value::from_file(&path).unwrap().to_file_binary(&path).unwrap();
    forge(&app, |_| {});
    assert_eq!(verify(&app.root).unwrap().findings, []);
    write(&app.path("Resources/data.bin"), "atad");
    refuses(&app, "Contents/Resources/data.bin", What::FileChanged, "");
}

/// They would let files be added later, in places where there are none yet.
#[test]
fn rules_that_leave_out_what_is_not_there_were_taken() {
    let rule = |key: &str| Dictionary::from_iter([(key.to_owned(), Value::Boolean(true))]);
    let app = forgeable(TOOL_INTEL);
    reseal(&app, |seal| {
        part(seal, "rules2").insert("^Resources/plugins/".to_owned(), rule("omit").into());
    });
    refuses(&app, SEAL, What::RulesWeak, "rule `^Resources/plugins/`, which omits");
    let app = forgeable(TOOL_INTEL);
    reseal(&app, |seal| {
        part(seal, "rules2").insert("^later$".to_owned(), false.into());
    });
    refuses(&app, SEAL, What::RulesWeak, "rule `^later$`, which omits");
    let app = forgeable(TOOL_INTEL);
    reseal(&app, |seal| {
        part(seal, "rules2").remove("^.*");
    });
    refuses(&app, SEAL, What::RulesWeak, "no rule `^.*`");
}

#[test]
fn a_symlink_that_a_rule_leaves_out_was_taken() {
    let app = forgeable(TOOL_INTEL);
    link(&app.path("Resources/link"), "data.bin");
    reseal(&app, |seal| {
        let omit =
            [("omit", Value::Boolean(true)), ("weight", 9999.into())].map(|(key, value)| (key.to_owned(), value));
        part(seal, "rules2").insert("^Resources/link$".to_owned(), Dictionary::from_iter(omit).into());
    });
    refuses(&app, "Contents/Resources/link", What::FileOmitted, "");
}

/// What is left out is not looked for, so that macOS misses it.
#[test]
fn an_entry_for_what_the_rules_leave_out_was_taken() {
    let app = forgeable(TOOL_INTEL);
    write(&app.path("PkgInfo"), "APPL????");
    reseal(&app, |seal| {
        let hash = Value::Data(HashKind::Sha256.digest(b"APPL????"));
        let entry = Dictionary::from_iter([("hash2".to_owned(), hash)]);
        part(seal, "files2").insert("PkgInfo".to_owned(), entry.into());
    });
    refuses(&app, "Contents/PkgInfo", What::FileMissing, "what the rules of the seal leave out");
}

#[test]
fn nested_code_without_a_requirement_was_taken() {
    let app = forgeable(TOOL_INTEL);
    reseal(&app, |seal| {
        let entry = part(part(seal, "files2"), "XPCServices/greeter.xpc");
        assert!(entry.contains_key("cdhash") && entry.remove("requirement").is_some());
    });
    refuses(&app, "Contents/XPCServices/greeter.xpc", What::NestedUnsealed, "a requirement | none");
}

/// By it, macOS takes the file for code.
#[test]
fn a_requirement_of_a_data_file_was_overlooked() {
    let app = forgeable(TOOL_INTEL);
    reseal(&app, |seal| {
        part(part(seal, "files2"), "Resources/data.bin").insert("requirement".to_owned(), "identifier x".into());
    });
    refuses(&app, "Contents/Resources/data.bin", What::KindChanged, "");
}

/// macOS looks for the hash that the code directory is made with.
#[test]
fn a_file_with_an_old_hash_alone_was_taken() {
    let app = forgeable(TOOL_INTEL);
    reseal(&app, |seal| {
        let entry = part(part(seal, "files2"), "Resources/data.bin");
        entry.insert("hash".to_owned(), Value::Data(HashKind::Sha1.digest(b"data")));
        entry.remove("hash2").unwrap();
    });
    refuses(&app, "Contents/Resources/data.bin", What::KindChanged, "one of SHA-1 alone");
}

/// macOS takes all parts of a signature from the program, or all from files.
#[test]
fn parts_of_a_signature_beside_the_seal_were_taken() {
    for name in ["CodeDirectory", "CodeRequirements", "CodeEntitlements", "CodeTopDirectory", "CodeSignature"] {
        let app = forgeable(TOOL_INTEL);
        write(&app.path("_CodeSignature").join(name), "hidden");
        refuses(&app, &format!("Contents/_CodeSignature/{name}"), What::StrayFile, "");
    }
    let app = forgeable(TOOL_INTEL);
    write(&app.path("_CodeSignature/CodeSignature"), "");
    assert_eq!(verify(&app.root).unwrap().findings, []);
}

#[test]
fn a_folder_of_finders_name_hid_a_program() {
    let app = forgeable(TOOL_INTEL);
    program(&app.root.join(".DS_Store/evil"), TOOL_INTEL);
    refuses(&app, ".DS_Store", What::UnsealedRoot, "a folder");
    let app = forgeable(TOOL_INTEL);
    program(&app.root.join(".DS_Store"), TOOL_INTEL);
    refuses(&app, ".DS_Store", What::UnsealedRoot, "");
    // These are let be, as long as nobody can run them.
    let app = forgeable(TOOL_INTEL);
    for name in [".DS_Store", ".LSOverride", "Icon\r"] {
        write(&app.root.join(name), "data");
    }
    assert_eq!(verify(&app.root).unwrap().findings, []);
    let app = App::full();
    app.sign(&SignRequest::default());
    let framework = "Contents/Frameworks/Answer.framework";
    for folder in ["", "Versions/"] {
        program(&app.root.join(framework).join(folder).join(".DS_Store"), TOOL_INTEL);
    }
    refuses(&app, &format!("{framework}/.DS_Store"), What::UnsealedRoot, "");
    refuses(&app, &format!("{framework}/Versions/.DS_Store"), What::Framework, "");
}

/// CoreFoundation reads it instead of Info.plist, and does not mind the case of either.
#[test]
fn another_property_list_that_macos_prefers_was_taken() {
    for name in ["Info-macos.plist", "INFO-MacOS.plist", "info.plist"] {
        let app = forgeable(TOOL_INTEL);
        info(&app.path(name), "evil", "com.example.evil", "APPL");
        let hash = HashKind::Sha256.digest(&fs_err::read(app.path(name)).unwrap());
        reseal(&app, |seal| {
            let weight = Dictionary::from_iter([("weight".to_owned(), Value::from(20))]);
            part(seal, "rules2").insert(format!("^{name}$"), weight.into());
            let entry = Dictionary::from_iter([("hash2".to_owned(), Value::Data(hash))]);
            part(seal, "files2").insert(name.to_owned(), entry.into());
        });
        assert_eq!(verify(&app.root).unwrap().errors().count(), 1, "nothing else is wrong with it");
        refuses(&app, &format!("Contents/{name}"), What::InfoPlistChanged, "which macOS reads instead");
    }
}

#[test]
fn a_widget_was_taken_for_its_program() {
    let app = App::bare(TOOL_INTEL);
    let path = app.path("Info.plist");
    let mut list = Value::from_file(&path).unwrap().into_dictionary().unwrap();
    list.insert("MainHTML".to_owned(), "index.html".into());
    Value::Dictionary(list).to_file_xml(&path).unwrap();
    app.sign(&SignRequest::default());
    refuses(&app, "Contents/Info.plist", What::ExecutableMissing, "takes the bundle for a widget");
}

/// Most Macs keep one of them only.
#[test]
fn names_that_are_one_on_a_mac_were_not_told() {
    for (one, other) in [("Data.BIN", "data.bin"), ("Ärger", "ärger"), ("\u{e9}", "e\u{301}"), ("\u{c9}", "e\u{301}")]
    {
        let app = App::bare(TOOL_INTEL);
        for name in [one, other] {
            write(&app.path("Resources").join(name), name);
        }
        app.sign(&SignRequest::default());
        let report = verify(&app.root).unwrap();
        assert_eq!(report.errors().count(), 0, "{report:?}");
        assert!(matches!(&report.findings[..], [it] if it.what == What::NamesClash), "{one}: {report:?}");
    }
}

/// `codesign --strict` and Gatekeeper refuse it.
#[test]
fn a_symlink_to_nothing_was_not_told() {
    for (target, leads) in [
        ("data.bin", true),
        ("./../Resources//data.bin", true),
        ("folder", true),
        ("folder/../data.bin", true),
        ("through/data.bin", true),
        ("nothing", false),
        ("data.bin/../nothing", false),
        ("through/nothing", false),
        ("link", false),
    ] {
        let app = App::bare(TOOL_INTEL);
        write(&app.path("Resources/data.bin"), "data");
        write(&app.path("Resources/folder/file"), "data");
        link(&app.path("Resources/through"), "../Resources");
        link(&app.path("Resources/link"), target);
        app.sign(&SignRequest::default());
        let findings = verify(&app.root).unwrap().findings;
        let told: Vec<_> = findings.iter().map(|it| (it.what, it.severity)).collect();
        let due = if leads { vec![] } else { vec![(What::SymlinkDangling, Severity::Warning)] };
        assert_eq!(told, due, "{target}: {findings:?}");
    }
}

/// It may be loaded by its path as the current one is.
#[test]
fn a_framework_version_that_is_not_current_could_be_anybodys() {
    let (app, other) = (App::full(), App::full());
    sign(&app, &["--identity", &fixture("plain.pem")]);
    assert_eq!(verify(&app.root).unwrap().findings, []);
    sign(&other, &["--identity", &fixture("chain.p12"), "--password-env", "PASSWORD_OF_TEST"]);
    let version = "Frameworks/Answer.framework/Versions/A";
    fs_err::remove_dir_all(app.path(version)).unwrap();
    cargo_xpc::bundle::tree::copy(&other.path(version), &app.path(version)).unwrap();
    refuses(&app, &format!("Contents/{version}"), What::NestedDiffers, "Chained Signer");
    // Ad hoc none can be what the current one is: that is said, and no more can be.
    let app = App::full();
    write(&app.path(version).join("Headers/more.h"), "int more(void);\n");
    app.sign(&SignRequest::default());
    let report = verify(&app.root).unwrap();
    assert_eq!(report.findings, []);
    let left: Vec<_> =
        report.unchecked.iter().filter(|it| it.path == Utf8Path::new("Contents").join(version)).collect();
    assert!(left.iter().any(|it| it.what.contains("not the current one")), "{:?}", report.unchecked);
}

/// By a program that trusts a stand-in for Apple.
#[test]
fn a_time_stamp_by_anybody_on_a_signature_below_apples_root_was_taken() {
    let app = App::bare(TOOL_INTEL);
    let server = Server::start(fixture("stamp.pem"), Answer::Stamp, std::time::Duration::ZERO);
    let identity = fixture("developer-id.p12");
    let args = ["sign", "Demo.app", "--identity", &identity, "--password-env", "PASSWORD_OF_TEST"];
    let (code, _, stderr) = crate::identity::run(&app, &[&args[..], &["--timestamp", &server.url]].concat());
    assert_eq!(code, 69, "{stderr}");
    assert!(
        stderr.contains("Apple's own is http") && stderr.contains("expected a time stamp below a root of Apple's"),
        "{stderr}"
    );
}

#[test]
fn an_executable_bit_is_in_no_seal() {
    let app = forgeable(TOOL_INTEL);
    fs_err::set_permissions(app.path("MacOS/demo"), std::fs::Permissions::from_mode(0o4777)).unwrap();
    assert_eq!(verify(&app.root).unwrap().findings, []);
}
