//! What `verify` makes of certificates, requirements and hostile bundles.

use std::process::Command;

use apple_codesign::cryptography::DigestType;
use apple_codesign::cryptography::{PrivateKey, parse_pfx_data};
use apple_codesign::{SettingsScope, SigningSettings, UnifiedSigner};
use camino::Utf8Path;
use cargo_xpc::macho::{HashKind, MachFile, slot};
use cargo_xpc::sign::SignRequest;
use cargo_xpc::verify::{Anchor, Report, Verdict, What, requirement, verify, verify_against};

use crate::fixture::{App, TOOL_INTEL, info, library, link, program, tool, write};
use crate::third_party::sign_as_third_party;

/// SHA-1 of the third party's certificate, by openssl.
const THIRD_PARTY: &str = "third-party";

fn hash_of_third_party() -> String {
    use sha1::Digest as _;
    let certificate = fs_err::read(format!("{}/tests/fixtures/identity/{THIRD_PARTY}.cer", env!("CARGO_MANIFEST_DIR")));
    sha1::Sha1::digest(certificate.unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn found(report: &Report) -> Vec<(&str, What)> {
    report.findings.iter().map(|finding| (finding.path.as_str(), finding.what)).collect()
}

/// A signed app of somebody else's, with one program.
fn third_party() -> App {
    let app = App::bare(&tool());
    sign_as_third_party(&app.root);
    app
}

fn run(app: &App, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-xpc"));
    let output =
        command.args(["xpc", "verify", "Demo.app"]).args(args).current_dir(app.root.parent().unwrap()).output();
    let output = output.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Changes a file's bytes in place.
fn edit(path: &Utf8Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs_err::read(path).unwrap();
    change(&mut bytes);
    fs_err::write(path, bytes).unwrap();
}

#[test]
fn a_self_signed_certificate_is_named_and_is_no_error() {
    let app = third_party();
    let report = verify(&app.root).unwrap();
    assert_eq!((found(&report), report.unchecked.len(), report.verdict()), (vec![], 0, Verdict::Valid));
    let signer = report.code[0].signer.as_ref().unwrap();
    assert_eq!(signer.anchor, Anchor::SelfSigned);
    assert_eq!(signer.common_name.as_deref(), Some("Third Party (THIRDPARTY)"));
    assert_eq!((signer.team_id.as_deref(), &signer.timestamp), (Some("THIRDPARTY"), &None));
    let (code, stdout, stderr) = run(&app, &[]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(
        stdout.contains(
            "Contents/MacOS/demo: signed by Third Party (THIRDPARTY), team THIRDPARTY; self-signed: nobody vouches for it"
        ),
        "{stdout}"
    );
    assert!(stdout.ends_with("Demo.app: as sealed (1 signature)\n"), "{stdout}");
    let (_, stdout, _) = run(&app, &["--message-format", "json"]);
    let answer: serde_json::Value = serde_json::from_str(stdout.trim()).unwrap();
    assert_eq!(answer["code"][0]["signer"]["anchor"], "self-signed");
    assert_eq!(answer["code"][0]["signer"]["chain"][0]["subject"], "Third Party (THIRDPARTY)");
}

/// Both directories of a signature for old systems are in the CMS attributes; a signature moved to other code is found.
#[test]
fn every_directory_is_covered_by_the_cms_signature() {
    let app = App::bare(TOOL_INTEL);
    let (certificate, key) = parse_pfx_data(include_bytes!("../fixtures/identity/third-party.p12"), "test").unwrap();
    let mut settings = SigningSettings::default();
    settings.set_signing_key(key.as_key_info_signer(), certificate);
    settings.set_digest_type(SettingsScope::Main, DigestType::Sha1);
    settings.add_extra_digest(SettingsScope::Main, DigestType::Sha256);
    UnifiedSigner::new(settings).sign_path_in_place(&app.root).unwrap();
    let path = app.path("MacOS/demo");
    let (data, file) = MachFile::load(&path).unwrap();
    let signature = file.slices[0].read_signature(&data).unwrap().unwrap();
    let kinds: Vec<_> = signature.directories.iter().map(|directory| directory.hash).collect();
    assert_eq!(kinds, [HashKind::Sha1, HashKind::Sha256]);
    assert_eq!(found(&verify(&app.root).unwrap()), []);
    // A field of the second directory that describes nothing in the file: only the attributes cover it.
    let start = file.slices[0].signature.clone().unwrap().start;
    let second = signature.blobs.iter().find(|blob| blob.slot == slot::ALTERNATES).unwrap().range.start;
    edit(&path, |bytes| bytes[start + second + 38] ^= 1);
    let report = verify(&app.root).unwrap();
    assert!(found(&report).contains(&("Contents/MacOS/demo", What::CmsDirectories)), "{:?}", found(&report));
}

/// A bit in every seventeenth byte of a CMS signature. A name that changes takes the root from the chain, which is said and is no finding.
#[test]
fn a_changed_cms_signature_is_found() {
    let app = App::bare(TOOL_INTEL);
    sign_as_third_party(&app.root);
    let path = app.path("MacOS/demo");
    let original = fs_err::read(&path).unwrap();
    let file = MachFile::parse(&original).unwrap();
    let signature = file.slices[0].read_signature(&original).unwrap().unwrap();
    let start = file.slices[0].signature.clone().unwrap().start;
    let cms = signature.blobs.iter().find(|blob| blob.slot == slot::CMS).unwrap().range.clone();
    let mut passed = Vec::new();
    for at in cms.clone().step_by(17) {
        let mut changed = original.clone();
        changed[start + at] ^= 1 << (at % 7);
        fs_err::write(&path, &changed).unwrap();
        let report = verify(&app.root).unwrap();
        if report.findings.is_empty() && report.unchecked.is_empty() {
            passed.push(at - cms.start);
        }
    }
    assert!(cms.len() > 1500, "{}", cms.len());
    assert_eq!(passed, [] as [usize; 0]);
    // The signature of another file does not fit.
    let other = App::bare(TOOL_INTEL);
    edit(&other.path("Info.plist"), |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap().replace("1.2.3", "3.2.1");
        *bytes = text.into_bytes();
    });
    sign_as_third_party(&other.root);
    let moved = fs_err::read(other.path("MacOS/demo")).unwrap();
    let mut changed = original.clone();
    changed[start + cms.start..start + cms.end].copy_from_slice(&moved[start + cms.start..start + cms.end]);
    fs_err::write(&path, &changed).unwrap();
    let report = verify(&app.root).unwrap();
    assert!(found(&report).contains(&("Contents/MacOS/demo", What::CmsBroken)), "{:?}", found(&report));
}

#[test]
fn a_requirement_is_asked_of_the_main_code() {
    let app = third_party();
    let hash = hash_of_third_party();
    let ask = |text: &str| verify_against(&app.root, Some(&requirement(text).unwrap())).unwrap();
    for text in [
        "=identifier \"com.example.demo\"",
        &format!("certificate root = H\"{hash}\" and certificate leaf = H\"{hash}\""),
        "certificate leaf[subject.CN] = \"Third Party\"* and certificate leaf[subject.OU] = THIRDPARTY",
        "info[CFBundleVersion] = \"7\" and info[CFBundleShortVersionString] > \"1.2\"",
        "entitlement[\"com.apple.security.app-sandbox\"] and entitlement[\"com.apple.security.network.client\"] absent",
        "! anchor apple generic and ! (identifier other or never)",
    ] {
        assert_eq!(ask(text).verdict(), Verdict::Valid, "{text}: {:?}", ask(text).findings);
    }
    for text in ["anchor apple generic", "identifier other", "info[CFBundleVersion] = \"8\"", "notarized", "never"] {
        let report = ask(text);
        let finding = &report.findings[0];
        assert_eq!((finding.what, finding.expected.as_str()), (What::RequirementFailed, text.trim_start_matches('=')));
        assert!(finding.found.contains("identifier \"com.example.demo\", cdhash "), "{}", finding.found);
        // Each architecture is asked.
        assert_eq!(report.findings.len(), 2);
    }
    assert_eq!(found(&ask("anchor trusted")), [(".", What::RequirementUndecided)]);
    let (data, file) = MachFile::load(&app.path("MacOS/demo")).unwrap();
    let cdhash = |slice: usize| file.slices[slice].read_signature(&data).unwrap().unwrap().best_directory().cdhash;
    assert_eq!(ask(&format!("cdhash H\"{}\"", cdhash(0))).findings.len(), 1);
    assert_eq!(ask(&format!("cdhash H\"{}\" or cdhash H\"{}\"", cdhash(0), cdhash(1))).findings, []);
}

#[test]
fn the_program_takes_requirements_as_codesign_does() {
    let app = third_party();
    assert_eq!(run(&app, &["-R", "=identifier com.example.demo"]).0, 0);
    assert_eq!(run(&app, &["-R", "identifier \"com.example.demo\""]).0, 0);
    let (code, stdout, stderr) = run(&app, &["-R", "=anchor apple generic"]);
    assert_eq!((code, stderr.as_str()), (1, ""));
    assert!(
        stdout.contains(
            "the bundle itself: does not satisfy a requirement: expected anchor apple generic, found identifier"
        ),
        "{stdout}"
    );
    assert!(stdout.contains("Demo.app: not as sealed or as required (2 findings)"), "{stdout}");
    let (code, _, stderr) = run(&app, &["-R", "=identifier"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("error: the requirement `=identifier` cannot be read at character"), "{stderr}");

    // From files, as text and as the blob that the signature carries.
    let folder = app.root.parent().unwrap();
    write(&folder.join("text.req"), "# ours\nidentifier \"com.example.demo\"\n");
    assert_eq!(run(&app, &["-R", "text.req"]).0, 0);
    let (data, file) = MachFile::load(&app.path("MacOS/demo")).unwrap();
    let signature = file.slices[0].read_signature(&data).unwrap().unwrap();
    let set = signature.blob(slot::REQUIREMENTS).unwrap();
    write(&folder.join("binary.req"), &set[20..]);
    assert_eq!(run(&app, &["-R", "binary.req"]).0, 0);
    write(&folder.join("binary.req"), &set[20..set.len() - 4]);
    let (code, _, stderr) = run(&app, &["-R", "binary.req"]);
    assert!(code == 2 && stderr.contains("`binary.req` is no sound requirement"), "{stderr}");
}

#[test]
fn a_program_by_itself_is_verified() {
    let app = App::bare(&tool());
    let path = app.root.with_file_name("helper");
    program(&path, &tool());
    sign_as_third_party(&path);
    let report = verify_against(&path, Some(&requirement("identifier helper").unwrap())).unwrap();
    assert_eq!((found(&report), report.code.len()), (vec![], 1));
    assert_eq!(report.code[0].signer.as_ref().unwrap().anchor, Anchor::SelfSigned);
    edit(&path, |bytes| bytes[0x5000] ^= 1);
    let report = verify_against(&path, Some(&requirement("identifier other").unwrap())).unwrap();
    assert_eq!(found(&report)[0], ("helper", What::PageChanged));
    assert!(found(&report).contains(&(".", What::RequirementFailed)));
    write(&path, "no program");
    assert!(verify(&path).unwrap_err().to_string().contains("is not a bundle"));
}

/// It was called a program whose property list and seal had gone.
#[test]
fn the_main_executable_of_a_bundle_stands_for_the_bundle() {
    let app = App::full();
    app.sign(&SignRequest::default());
    let report = verify(&app.path("MacOS/demo")).unwrap();
    assert_eq!((found(&report), &report.bundle), (vec![], &app.root.canonicalize_utf8().unwrap()));
    assert!(report.code.len() > 1, "{:?}", report.code);
    write(&app.path("Resources/data.bin"), "changed");
    let name = verify(&app.path("MacOS/demo")).unwrap();
    assert_eq!(found(&name), found(&verify(&app.root).unwrap()));
    // Another program beside it is what it is.
    assert_eq!(verify(&app.path("MacOS/helper")).unwrap().code.len(), 1);
}

#[test]
fn what_cannot_be_verified_is_called_by_what_it_is() {
    let app = App::full();
    let said = |path: &Utf8Path| verify(path).unwrap_err().to_string();
    let missing = app.root.with_file_name("Missing.app");
    assert_eq!(said(&missing), format!("there is no `{missing}`"));
    let file = app.path("Info.plist");
    assert_eq!(said(&file), format!("`{file}` is not a bundle: it is a file"));
    assert!(said(app.root.parent().unwrap()).contains("is not a bundle: it has no Info.plist"));
    assert!(cargo_xpc::inspect::inspect(&missing).unwrap_err().to_string().contains("there is no"));
}

/// A service whose maker's certificate the seal asks for, exchanged for one that has the same name and is sound by itself.
#[test]
fn nested_code_is_judged_by_the_requirement_in_the_seal() {
    let app = App::bare(&tool());
    app.service("greeter");
    let service = app.path("XPCServices/greeter.xpc");
    sign_as_third_party(&service);
    app.sign(&SignRequest::default());
    let seal = fs_err::read_to_string(app.path("_CodeSignature/CodeResources")).unwrap();
    assert!(seal.contains("certificate root = H"), "{seal}");
    let report = verify(&app.root).unwrap();
    assert_eq!((found(&report), report.unchecked.len()), (vec![], 0));

    let (_, stdout, _) = run(&app, &[]);
    assert!(stdout.starts_with("Contents/MacOS/demo: signed ad hoc\nContents/XPCServices/greeter.xpc/"), "{stdout}");
    assert!(stdout.contains("greeter: signed by Third Party (THIRDPARTY), team THIRDPARTY; "), "{stdout}");

    let other = App::bare(&tool());
    other.service("greeter");
    other.sign(&SignRequest::default());
    fs_err::remove_dir_all(&service).unwrap();
    cargo_xpc::bundle::tree::copy(&other.path("XPCServices/greeter.xpc"), &service).unwrap();
    let report = verify(&app.root).unwrap();
    let differs: Vec<_> = report.findings.iter().filter(|finding| finding.what == What::NestedDiffers).collect();
    assert!(differs.iter().any(|finding| finding.expected.contains("certificate root = H")), "{differs:?}");
    assert!(differs.iter().all(|finding| finding.found.contains("ad hoc")), "{differs:?}");
}

/// The requirement is compared, and not the hash alone: in the seal it may be changed by itself.
#[test]
fn a_requirement_that_cannot_be_read_or_decided_is_told() {
    let app = App::bare(&tool());
    app.service("greeter");
    sign_as_third_party(&app.path("XPCServices/greeter.xpc"));
    app.sign(&SignRequest::default());
    let seal = app.path("_CodeSignature/CodeResources");
    let text = fs_err::read_to_string(&seal).unwrap();
    let key = text.find("<key>requirement</key>").unwrap();
    let start = key + text[key..].find("<string>").unwrap() + "<string>".len();
    let end = start + text[start..].find("</string>").unwrap();
    let with = |requirement: &str| {
        fs_err::write(&seal, format!("{}{requirement}{}", &text[..start], &text[end..])).unwrap();
        verify(&app.root).unwrap()
    };
    let service = "Contents/XPCServices/greeter.xpc";
    assert!(found(&with("identifier")).contains(&(service, What::RequirementDamaged)));
    assert!(found(&with("identifier other")).contains(&(service, What::NestedDiffers)));
    let report = with("anchor trusted");
    assert!(!found(&report).contains(&(service, What::NestedDiffers)));
    assert!(
        report.unchecked.len() == 1 && report.unchecked[0].what.contains("trust settings"),
        "{:?}",
        report.unchecked
    );
}

/// A private authority's code whose own requirement names the signer's certificate as the root: known of apple-codesign.
#[test]
fn code_that_fails_its_own_requirement_is_found() {
    let app = App::bare(TOOL_INTEL);
    let (certificate, key) = parse_pfx_data(include_bytes!("../fixtures/identity/third-party.p12"), "test").unwrap();
    let mut settings = SigningSettings::default();
    settings.set_signing_key(key.as_key_info_signer(), certificate);
    settings
        .set_designated_requirement_expression(
            SettingsScope::Main,
            &apple_codesign::CodeRequirementExpression::Identifier("com.example.other".into()),
        )
        .unwrap();
    UnifiedSigner::new(settings).sign_path_in_place(&app.root).unwrap();
    let report = verify(&app.root).unwrap();
    assert_eq!(found(&report), [("Contents/MacOS/demo", What::RequirementFailed)]);
    assert_eq!(report.findings[0].expected, "its own, identifier \"com.example.other\"");
    assert_eq!(report.code[0].requirement.as_deref(), Some("identifier \"com.example.other\""));
}

/// A program that was replaced differs everywhere, and the list stays one that can be read.
#[test]
fn changed_pages_are_counted_where_there_are_many() {
    let app = App::bare(TOOL_INTEL);
    let path = app.path("MacOS/demo");
    // Code enough for a few hundred pages, in the last segment.
    edit(&path, |bytes| {
        let linkedit = bytes.windows(11).position(|window| window == b"__LINKEDIT\0").unwrap();
        let grown = 0x10_0000_u64;
        for at in [linkedit + 24, linkedit + 40] {
            let size = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            bytes[at..at + 8].copy_from_slice(&(size + grown).to_le_bytes());
        }
        bytes.resize(bytes.len() + grown as usize, 7);
    });
    app.sign(&SignRequest::default());
    assert_eq!(found(&verify(&app.root).unwrap()), []);
    edit(&path, |bytes| {
        let file = MachFile::parse(bytes).unwrap();
        let code = file.slices[0].signature.clone().unwrap().start;
        bytes[code - 0x10_0000..code].fill(8);
    });
    let report = verify(&app.root).unwrap();
    assert_eq!(report.findings.len(), 33);
    let last = report.findings.last().unwrap().to_string();
    assert!(last.contains("(x86_64, more pages): a page of code was changed") && last.contains(" more of "), "{last}");
}

/// A folder of the bundle that is a symlink: what stands behind it is not read.
#[test]
fn nothing_is_read_behind_a_symlink() {
    let app = App::bare(&tool());
    app.sign(&SignRequest::default());
    let outside = tempfile::tempdir().unwrap();
    let outside = Utf8Path::from_path(outside.path()).unwrap();
    fs_err::rename(app.path("MacOS"), outside.join("MacOS")).unwrap();
    link(&app.path("MacOS"), outside.join("MacOS").as_str());
    let report = verify(&app.root).unwrap();
    assert!(found(&report).contains(&("Contents/MacOS/demo", What::ExecutableMissing)), "{:?}", found(&report));
    assert!(found(&report).contains(&("Contents/MacOS", What::SymlinkOutside)), "{:?}", found(&report));
    assert_eq!(report.code, []);
}

#[test]
fn symlinks_in_a_circle_end() {
    let app = App::full();
    app.sign(&SignRequest::default());
    link(&app.path("Resources/circle"), ".");
    link(&app.path("Resources/self"), "self");
    link(&app.path("XPCServices/circle.xpc"), "../XPCServices");
    let report = verify(&app.root).unwrap();
    for name in ["Resources/circle", "Resources/self", "XPCServices/circle.xpc"] {
        assert!(found(&report).contains(&(&*format!("Contents/{name}"), What::FileAdded)), "{:?}", found(&report));
    }
}

#[test]
fn what_is_no_file_is_not_opened() {
    let app = App::full();
    app.sign(&SignRequest::default());
    fs_err::remove_file(app.path("MacOS/demo")).unwrap();
    let pipes = [app.path("Resources/pipe"), app.path("MacOS/demo")];
    assert!(Command::new("mkfifo").args(pipes).status().unwrap().success());
    let report = verify(&app.root).unwrap();
    assert!(found(&report).contains(&("Contents/Resources/pipe", What::KindChanged)));
    assert!(found(&report).contains(&("Contents/MacOS/demo", What::ExecutableMissing)));
}

/// Ten thousand beside each other are read; too many in each other are refused, whether bundles or folders.
#[test]
fn many_bundles_and_deep_folders() {
    let app = App::bare(TOOL_INTEL);
    app.sign(&SignRequest::default());
    for number in 0..10_000 {
        info(&app.path(&format!("XPCServices/s{number}.xpc/Contents/Info.plist")), "s", "com.example.s", "XPC!");
    }
    let report = verify(&app.root).unwrap();
    let missing = report.findings.iter().filter(|finding| finding.what == What::ExecutableMissing).count();
    assert_eq!(missing, 10_000);

    let app = App::bare(&library());
    app.sign(&SignRequest::default());
    let mut deep = app.path("Resources");
    deep.extend(std::iter::repeat_n("d", 300));
    fs_err::create_dir_all(&deep).unwrap();
    assert!(verify(&app.root).unwrap_err().to_string().contains("folders are nested deeper than 256"));
    fs_err::remove_dir_all(app.path("Resources")).unwrap();
    let seal = fs_err::read(app.path("_CodeSignature/CodeResources")).unwrap();
    let mut inner = app.root.clone();
    // Paths have 1024 bytes on macOS.
    for _ in 0..34 {
        inner = inner.join("Contents/PlugIns/s.x");
        info(&inner.join("Contents/Info.plist"), "s", "com.example.s", "XPC!");
        write(&inner.join("Contents/_CodeSignature/CodeResources"), &seal);
        program(&inner.join("Contents/MacOS/s"), b"no program");
    }
    assert!(verify(&app.root).unwrap_err().to_string().contains("nested deeper than 32 bundles"));
}

#[test]
fn a_seal_that_would_take_all_memory_is_damaged() {
    let app = App::bare(TOOL_INTEL);
    app.sign(&SignRequest::default());
    let seal = app.path("_CodeSignature/CodeResources");
    let rules = "<key>^.{0,1000}{0,1000}$</key><true/>";
    let deep = format!("<key>deep</key>{}{}", "<array>".repeat(10_000), "</array>".repeat(10_000));
    for hostile in [rules, &deep] {
        let text = format!(
            "<plist version=\"1.0\"><dict><key>files2</key><dict/><key>rules2</key><dict>{hostile}</dict></dict></plist>"
        );
        fs_err::write(&seal, text).unwrap();
        let report = verify(&app.root).unwrap();
        let path = "Contents/_CodeSignature/CodeResources";
        assert!(found(&report).contains(&(path, What::SealDamaged)), "{:?}", found(&report));
    }
}
