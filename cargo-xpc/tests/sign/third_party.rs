//! Code that somebody else signed: what stays of it, and how the seal around it names it.

use std::collections::BTreeMap;

use apple_codesign::cryptography::{PrivateKey, parse_pfx_data};
use apple_codesign::{SigningSettings, UnifiedSigner};
use camino::Utf8Path;
use cargo_xpc::macho::{CodeFlags, MachFile, slot};
use cargo_xpc::sign::{Preserve, Scope, SignError, SignRequest, ThirdParty, plan};
use cargo_xpc::verify::verify;

use crate::fixture::{App, info, library, link, program, tool, write};

/// A certificate that nobody vouches for, made for these tests; its password is `test`.
const IDENTITY: &[u8] = include_bytes!("../fixtures/identity/third-party.p12");
const TEAM: &str = "THIRDPARTY";

const SPARKLE: &str = "Contents/Frameworks/Sparkle.framework";
const VERSION: &str = "Contents/Frameworks/Sparkle.framework/Versions/B";
const PROGRAMS: [&str; 4] = ["XPCServices/Downloader.xpc", "XPCServices/Installer.xpc", "Updater.app", "Autoupdate"];
pub const SANDBOX: &str =
    "<plist version=\"1.0\"><dict><key>com.apple.security.app-sandbox</key><true/></dict></plist>";

/// Signs what is at `path` as its maker would, with apple-codesign.
pub fn sign_as_third_party(path: &Utf8Path) {
    let (certificate, key) = parse_pfx_data(IDENTITY, "test").unwrap();
    let mut settings = SigningSettings::default();
    settings.set_signing_key(key.as_key_info_signer(), certificate);
    settings.set_team_id(TEAM);
    let main = apple_codesign::SettingsScope::Main;
    settings.set_entitlements_xml(main.clone(), SANDBOX).unwrap();
    settings.set_code_signature_flags(main, apple_codesign::CodeSignatureFlags::RUNTIME);
    if path.is_file() {
        // Else each slice keeps the identifier that its linker gave it.
        settings.set_binary_identifier(apple_codesign::SettingsScope::Main, path.file_name().unwrap());
    }
    UnifiedSigner::new(settings).sign_path_in_place(path).unwrap();
}

/// Sparkle as it comes: programs in a framework's version, each signed by its maker, and the framework too.
fn sparkle() -> App {
    let app = App::bare(&tool());
    let framework = app.root.join(SPARKLE);
    let version = app.root.join(VERSION);
    info(&version.join("Resources/Info.plist"), "Sparkle", "org.sparkle-project.Sparkle", "FMWK");
    program(&version.join("Sparkle"), &library());
    write(&version.join("Resources/en.lproj/Sparkle.strings"), "\"a\" = \"b\";");
    write(&version.join("Headers/Sparkle.h"), "// header\n");
    for name in ["Downloader", "Installer"] {
        let service = version.join(format!("XPCServices/{name}.xpc/Contents"));
        info(&service.join("Info.plist"), name, &format!("org.sparkle-project.{name}"), "XPC!");
        program(&service.join("MacOS").join(name), &tool());
        write(&service.join("Resources/note.txt"), name);
    }
    let updater = version.join("Updater.app/Contents");
    info(&updater.join("Info.plist"), "Updater", "org.sparkle-project.Sparkle.Updater", "APPL");
    program(&updater.join("MacOS/Updater"), &tool());
    write(&updater.join("Resources/note.txt"), "updater");
    program(&version.join("Autoupdate"), &tool());
    link(&framework.join("Versions/Current"), "B");
    for name in ["Sparkle", "Resources", "XPCServices", "Updater.app", "Autoupdate", "Headers"] {
        link(&framework.join(name), &format!("Versions/Current/{name}"));
    }
    for name in PROGRAMS {
        sign_as_third_party(&version.join(name));
    }
    app
}

fn below(app: &App, path: &str) -> BTreeMap<String, (u32, Vec<u8>)> {
    app.content().into_iter().filter(|(name, _)| Utf8Path::new(name).starts_with(path)).collect()
}

fn policy(text: &str) -> SignRequest {
    let (scope, policy) = match text.split_once('=') {
        Some((scope, policy)) => (Some(scope.parse().unwrap()), policy),
        None => (None, text),
    };
    SignRequest { third_party: vec![(scope, policy.parse().unwrap())], ..SignRequest::default() }
}

fn team(path: &Utf8Path) -> Option<String> {
    let (data, file) = MachFile::load(path).unwrap();
    let signature = file.slices[0].read_signature(&data).unwrap().unwrap();
    signature.best_directory().team_id.clone()
}

/// The programs keep every byte, the framework around them is signed anew and seals them by the identities that they have.
#[test]
fn sparkles_programs_are_kept_and_its_framework_is_signed_anew() {
    let app = sparkle();
    sign_as_third_party(&app.root.join(VERSION).join("Sparkle"));
    let before: Vec<_> = PROGRAMS.iter().map(|name| below(&app, &format!("{VERSION}/{name}"))).collect();
    app.sign(&SignRequest::default());
    for (name, before) in PROGRAMS.iter().zip(&before) {
        assert!(before.values().any(|(_, bytes)| !bytes.is_empty()), "{name}");
        assert!(below(&app, &format!("{VERSION}/{name}")) == *before, "{name} changed");
        assert_eq!(plan(&app.root, &SignRequest::default()).unwrap().kept.len(), PROGRAMS.len());
    }
    assert_eq!(team(&app.root.join(VERSION).join("Sparkle")), None);
    assert_eq!(verify(&app.root).unwrap().findings, []);

    let seal = plist::Value::from_file(app.root.join(VERSION).join("_CodeSignature/CodeResources")).unwrap();
    let files = seal.as_dictionary().unwrap()["files2"].as_dictionary().unwrap();
    for name in PROGRAMS {
        let entry = files[name].as_dictionary().unwrap();
        let executable = match name {
            "Autoupdate" => app.root.join(VERSION).join(name),
            bundle => {
                let bundle = app.root.join(VERSION).join(bundle);
                bundle.join("Contents/MacOS").join(bundle.file_stem().unwrap())
            }
        };
        let (data, file) = MachFile::load(&executable).unwrap();
        let signature = file.slices[0].read_signature(&data).unwrap().unwrap();
        assert!(signature.cms().is_some() && signature.blob(slot::REQUIREMENTS).is_some());
        assert_eq!(entry["cdhash"].as_data().unwrap(), signature.best_directory().cdhash.0, "{name}");
        // The requirement that the maker's certificate gave it, and not the hash of one build.
        let requirement = entry["requirement"].as_string().unwrap();
        assert!(requirement.contains("certificate root = H"), "{requirement}");
    }
}

/// Once more gives the same bytes: what is kept stays kept.
#[test]
fn signing_again_changes_nothing() {
    let app = sparkle();
    app.sign(&SignRequest::default());
    let first = app.content();
    app.sign(&SignRequest::default());
    assert!(app.content() == first);
}

/// A change in what was kept is found by its own seal, and a program swapped for another by the seal around it.
#[test]
fn what_was_kept_is_sealed() {
    let app = sparkle();
    app.sign(&SignRequest::default());
    let note = app.root.join(VERSION).join("XPCServices/Installer.xpc/Contents/Resources/note.txt");
    write(&note, "changed");
    assert_ne!(verify(&app.root).unwrap().findings, []);
    write(&note, "Installer");
    assert_eq!(verify(&app.root).unwrap().findings, []);
    program(&app.root.join(VERSION).join("Autoupdate"), &tool());
    assert_ne!(verify(&app.root).unwrap().findings, []);
}

#[test]
fn the_plan_says_which_policy_applies_and_why() {
    let app = sparkle();
    sign_as_third_party(&app.root.join(VERSION).join("Sparkle"));
    program(&app.path("MacOS/helper"), &tool());
    let plan = plan(&app.root, &policy("Updater.app=keep-entitlements")).unwrap();
    let kept: Vec<_> =
        plan.kept.iter().map(|kept| (kept.path.as_str(), kept.policy, kept.policy_because.as_str())).collect();
    let because = "a program that team THIRDPARTY signed";
    let paths = ["Autoupdate", "XPCServices/Downloader.xpc", "XPCServices/Installer.xpc"]
        .map(|name| format!("{VERSION}/{name}"));
    assert_eq!(kept, paths.each_ref().map(|path| (path.as_str(), ThirdParty::Keep, because)));
    let signed: Vec<_> =
        plan.signatures.iter().map(|it| (it.path.as_str(), it.policy, it.policy_because.as_str())).collect();
    assert_eq!(
        signed,
        [
            (
                &*format!("{VERSION}/Updater.app"),
                ThirdParty::KeepEntitlements,
                "--third-party Updater.app=keep-entitlements"
            ),
            (VERSION, ThirdParty::Anew, "it is loaded, not launched; team THIRDPARTY signed it"),
            ("Contents/MacOS/helper", ThirdParty::Anew, "it has no signature"),
            (".", ThirdParty::Anew, "it is what is signed"),
        ]
    );
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["kept"][0]["policy"], "keep");
    assert_eq!(json["signatures"][0]["policy-because"], "--third-party Updater.app=keep-entitlements");
}

#[test]
fn entitlements_stay_where_asked_and_nowhere_else() {
    for (text, stay) in [("Updater.app=keep-entitlements", true), ("Updater.app=anew", false), ("anew", false)] {
        for preserve in [Preserve::default(), Preserve { entitlements: true, ..Preserve::default() }] {
            let app = sparkle();
            app.sign(&SignRequest { preserve, ..policy(text) });
            let updater = app.root.join(VERSION).join("Updater.app/Contents/MacOS/Updater");
            assert_eq!(team(&updater), None, "{text}");
            let (data, file) = MachFile::load(&updater).unwrap();
            let entitlements = file.slices[0].read_signature(&data).unwrap().unwrap().entitlements().unwrap();
            assert_eq!(
                entitlements.is_some_and(|it| it.contains_key("com.apple.security.app-sandbox")),
                stay,
                "{text}"
            );
            assert_eq!(verify(&app.root).unwrap().findings, []);
        }
    }
}

/// By default what is loaded gets the app's signature; asked for, a framework or library stays whole.
#[test]
fn a_framework_is_kept_where_asked() {
    for text in ["Sparkle.framework=keep", "keep", &format!("{SPARKLE}=keep")] {
        let app = sparkle();
        sign_as_third_party(&app.root.join(SPARKLE));
        let before = below(&app, SPARKLE);
        app.sign(&policy(text));
        assert!(below(&app, SPARKLE) == before, "{text}");
        assert_eq!(verify(&app.root).unwrap().findings, []);
    }
}

/// A program among the resources keeps its signature, and the seal around it lists its files.
#[test]
fn a_program_among_the_resources_is_kept() {
    let app = App::bare(&tool());
    let helper = app.path("Resources/Helper.app");
    info(&helper.join("Contents/Info.plist"), "helper", "org.other.helper", "APPL");
    program(&helper.join("Contents/MacOS/helper"), &tool());
    write(&helper.join("Contents/CodeResources"), "a ticket of its own");
    program(&app.path("Resources/tool"), &tool());
    sign_as_third_party(&helper);
    sign_as_third_party(&app.path("Resources/tool"));
    let before = below(&app, "Contents/Resources");
    app.sign(&SignRequest::default());
    assert!(below(&app, "Contents/Resources") == before);
    assert_eq!(verify(&app.root).unwrap().findings, []);
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let app = sparkle();
    program(&app.path("MacOS/helper"), &tool());
    let error = |text: &str| plan(&app.root, &policy(text)).unwrap_err().to_string();
    assert!(error("nobody.xpc=keep").contains("called `nobody.xpc`; there are:"));
    assert!(
        error("Contents/MacOS/helper=keep")
            .contains("it has no signature; use `--third-party Contents/MacOS/helper=anew`")
    );
    assert!(error("Sparkle.framework=keep").contains("it has no signature"));
    assert!(error(".=keep").contains("it is what is signed"));
    let service = format!("{VERSION}/XPCServices/Installer.xpc");
    let names = SignRequest {
        flags: vec![(Some("Installer.xpc".parse().unwrap()), CodeFlags::RUNTIME)],
        ..SignRequest::default()
    };
    assert!(matches!(plan(&app.root, &names), Err(SignError::NamesKept { path, what: "flags" }) if path == service));
    let twice = SignRequest {
        third_party: vec![
            (Some("Installer.xpc".parse::<Scope>().unwrap()), ThirdParty::Keep),
            (Some(service.parse().unwrap()), ThirdParty::Anew),
        ],
        ..SignRequest::default()
    };
    assert!(matches!(plan(&app.root, &twice), Err(SignError::Twice { what: "policies", .. })));

    // A signature without the seal beside it, or with one that is no property list.
    let seal = app.root.join(&service).join("Contents/_CodeSignature/CodeResources");
    for (content, says) in [(Some("no list"), "CodeResources: "), (None, "it has no _CodeSignature/CodeResources")] {
        match content {
            Some(content) => write(&seal, content),
            None => fs_err::remove_file(&seal).unwrap(),
        }
        let text = error("Installer.xpc=keep");
        assert!(text.contains(says), "{text}");
        let default = plan(&app.root, &SignRequest::default()).unwrap();
        let signed = default.signatures.iter().find(|it| it.path == service).unwrap();
        assert_eq!(signed.policy_because, "its seal is missing or damaged, and cannot be kept");
    }
}

/// The kernel starts an extension by itself, as it does a service; the linker's own signature is nobody's.
#[test]
fn extensions_are_programs_and_the_linkers_signature_is_nobodys() {
    let app = App::bare(&tool());
    let extension = app.path("PlugIns/Share.appex");
    info(&extension.join("Contents/Info.plist"), "share", "com.example.demo.share", "XPC!");
    program(&extension.join("Contents/MacOS/share"), &tool());
    sign_as_third_party(&extension);
    program(&app.path("MacOS/linked"), crate::fixture::TOOL_ARM);
    let kept = plan(&app.root, &SignRequest::default()).unwrap().kept;
    assert_eq!(kept.iter().map(|kept| kept.path.as_str()).collect::<Vec<_>>(), ["Contents/PlugIns/Share.appex"]);
    let error = plan(&app.root, &policy("linked=keep")).unwrap_err().to_string();
    assert!(error.contains("it has no signature"), "{error}");
    app.sign(&SignRequest::default());
    assert_eq!(verify(&app.root).unwrap().findings, []);
}
