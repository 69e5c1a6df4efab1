//! What a request asks for, and what becomes of it.

use cargo_xpc::macho::{CodeFlags, MachFile, Signature};
use cargo_xpc::sign::{Entitlements, Preserve, Scope, SignError, SignRequest, plan};

use crate::fixture::{App, TOOL_ARM, TOOL_INTEL};

fn entitlements(keys: &[&str]) -> Entitlements {
    let content = keys.iter().map(|key| ((*key).to_owned(), plist::Value::Boolean(true))).collect();
    Entitlements { source: "test".to_owned(), content }
}

fn with(scope: &str, keys: &[&str]) -> SignRequest {
    SignRequest { entitlements: vec![(scope.parse().unwrap(), entitlements(keys))], ..SignRequest::default() }
}

fn signatures(app: &App, path: &str) -> Vec<Signature> {
    let (data, file) = MachFile::load(&app.path(path)).unwrap();
    file.slices.iter().map(|slice| slice.read_signature(&data).unwrap().unwrap()).collect()
}

fn keys(app: &App, path: &str) -> Vec<String> {
    let mut all: Vec<Vec<String>> = signatures(app, path)
        .iter()
        .map(|signature| signature.entitlements().unwrap().unwrap_or_default().keys().cloned().collect())
        .collect();
    all.dedup();
    assert_eq!(all.len(), 1, "architectures differ");
    all.remove(0)
}

const GREETER: &str = "XPCServices/greeter.xpc/Contents/MacOS/greeter";
const SANDBOX: &str = "com.apple.security.app-sandbox";
const DEBUG: &str = "com.apple.security.get-task-allow";

fn error(app: &App, request: &SignRequest) -> SignError {
    plan(&app.root, request).unwrap_err()
}

#[test]
fn each_program_gets_its_own_entitlements_and_nothing_else_any() {
    let app = App::full();
    app.sign(&SignRequest { get_task_allow: true, ..with("greeter.xpc", &[SANDBOX]) });
    assert_eq!(keys(&app, "MacOS/demo"), [DEBUG]);
    assert_eq!(keys(&app, GREETER), [SANDBOX, DEBUG]);
    assert_eq!(keys(&app, "XPCServices/counter.xpc/Contents/MacOS/counter"), [DEBUG]);
    for path in ["MacOS/helper", "Frameworks/libanswer.1.2.dylib", "Frameworks/Answer.framework/Versions/B/Answer"] {
        assert_eq!(keys(&app, path), [""; 0], "{path}");
        assert!(signatures(&app, path).iter().all(|it| it.contents(cargo_xpc::macho::slot::ENTITLEMENTS).is_none()));
    }
    assert!(signatures(&app, GREETER).iter().all(|it| it.contents(cargo_xpc::macho::slot::ENTITLEMENTS_DER).is_some()));
}

#[test]
fn a_second_signing_drops_what_the_first_said() {
    let app = App::full();
    let first = SignRequest {
        flags: vec![(None, CodeFlags::RUNTIME)],
        identifiers: vec![("helper".parse().unwrap(), "com.example.demo.helper".to_owned())],
        get_task_allow: true,
        ..with(GREETER_BUNDLE, &[SANDBOX])
    };
    app.sign(&first);
    let preserved = app.copy();
    app.sign(&SignRequest::default());
    assert_eq!(keys(&app, GREETER), [""; 0]);
    assert_eq!(keys(&app, "MacOS/demo"), [""; 0]);
    assert_eq!(signatures(&app, GREETER)[0].best_directory().flags, CodeFlags::ADHOC);
    assert_eq!(signatures(&app, "MacOS/helper")[0].best_directory().identifier, "helper");

    let before = preserved.content();
    let preserve = Preserve { entitlements: true, flags: true, identifier: true };
    preserved.sign(&SignRequest { preserve, ..SignRequest::default() });
    assert_eq!(keys(&preserved, GREETER), [SANDBOX, DEBUG]);
    assert_eq!(signatures(&preserved, GREETER)[0].best_directory().flags, CodeFlags::ADHOC.with(CodeFlags::RUNTIME));
    assert!(signatures(&preserved, GREETER)[0].best_directory().runtime.is_some());
    assert_eq!(signatures(&preserved, "MacOS/helper")[0].best_directory().identifier, "com.example.demo.helper");
    assert!(preserved.content() == before);
}

const GREETER_BUNDLE: &str = "Contents/XPCServices/greeter.xpc";

/// The linker signs arm64 programs itself; what it writes is nobody's wish.
#[test]
fn the_linkers_signature_is_not_preserved() {
    let app = App::bare(TOOL_ARM);
    let preserve = Preserve { entitlements: true, flags: true, identifier: true };
    app.sign(&SignRequest { preserve, ..SignRequest::default() });
    let signature = &signatures(&app, "MacOS/demo")[0];
    assert_eq!(signature.best_directory().identifier, "com.example.demo");
    assert_eq!(signature.best_directory().flags, CodeFlags::ADHOC);
}

#[test]
fn signing_twice_gives_the_same_bytes() {
    let app = App::full();
    let request = SignRequest { get_task_allow: true, ..with(".", &[SANDBOX]) };
    app.sign(&request);
    let once = app.content();
    app.sign(&request);
    assert!(app.content() == once);
}

#[test]
fn flags_without_a_scope_go_to_every_program() {
    let app = App::full();
    app.sign(&SignRequest {
        flags: vec![(None, CodeFlags::RUNTIME), (Some("counter.xpc".parse().unwrap()), CodeFlags::KILL)],
        ..SignRequest::default()
    });
    let flags = |path: &str| signatures(&app, path)[0].best_directory().flags.without(CodeFlags::ADHOC);
    assert_eq!(flags("MacOS/demo"), CodeFlags::RUNTIME);
    assert_eq!(flags("MacOS/helper"), CodeFlags::RUNTIME);
    assert_eq!(flags(GREETER), CodeFlags::RUNTIME);
    assert_eq!(flags("XPCServices/counter.xpc/Contents/MacOS/counter"), CodeFlags::KILL);
    assert_eq!(flags("Frameworks/libanswer.1.2.dylib"), CodeFlags::default());
}

#[test]
fn scopes_that_match_nothing_are_errors() {
    let app = App::full();
    let text = error(&app, &with("Contents/XPCServices/missing.xpc", &[])).to_string();
    assert!(text.contains("`Contents/XPCServices/missing.xpc`"), "{text}");
    assert!(text.contains("Contents/XPCServices/greeter.xpc (com.example.demo.greeter)"), "{text}");
    // A file that is sealed, and not signed.
    assert!(matches!(error(&app, &with("Contents/Resources/data.bin", &[])), SignError::UnknownScope { .. }));
    assert!(matches!(error(&app, &with("com.example.answer", &[])), SignError::AmbiguousScope { .. }));
    assert!("Contents/XPCServices/greeter.xpc/".parse::<Scope>().is_err());
    let twice = SignRequest {
        entitlements: vec![
            ("greeter".parse().unwrap(), entitlements(&[])),
            (GREETER_BUNDLE.parse().unwrap(), entitlements(&[])),
        ],
        ..SignRequest::default()
    };
    assert!(matches!(error(&app, &twice), SignError::Twice { .. }));
}

#[test]
fn entitlements_that_cannot_work_are_errors() {
    let app = App::full();
    for library in ["Contents/Frameworks/libanswer.1.2.dylib", "Contents/Frameworks/Answer.framework/Versions/B"] {
        assert!(matches!(error(&app, &with(library, &[SANDBOX])), SignError::EntitlementsOnLibrary { .. }));
    }
    for key in ["com.apple.developer.team-identifier", "keychain-access-groups", "com.apple.application-identifier"] {
        let text = error(&app, &with("greeter", &[key])).to_string();
        assert!(text.contains(key) && text.contains("greeter.xpc"), "{text}");
    }
    let inherit = "com.apple.security.inherit";
    assert!(matches!(error(&app, &with("greeter", &[SANDBOX, inherit])), SignError::InheritOnService { .. }));
    assert!(plan(&app.root, &with("helper", &[SANDBOX, inherit])).is_ok());
}

/// An old signature's entitlements are checked like new ones.
#[test]
fn restricted_entitlements_are_not_preserved_silently() {
    let app = App::bare(TOOL_INTEL);
    let mut settings = apple_codesign::SigningSettings::default();
    let mut xml = Vec::new();
    plist::Value::Dictionary(entitlements(&["keychain-access-groups"]).content).to_writer_xml(&mut xml).unwrap();
    settings.set_entitlements_xml(apple_codesign::SettingsScope::Main, String::from_utf8(xml).unwrap()).unwrap();
    apple_codesign::UnifiedSigner::new(settings).sign_path_in_place(&app.root).unwrap();
    let preserve = Preserve { entitlements: true, ..Preserve::default() };
    assert!(plan(&app.root, &SignRequest::default()).is_ok());
    assert!(matches!(error(&app, &SignRequest { preserve, ..SignRequest::default() }), SignError::Restricted { .. }));
}

#[test]
fn library_validation_needs_a_team() {
    let linked = crate::fixture::linked();
    let app = App::bare(&linked);
    let request = SignRequest { flags: vec![(None, CodeFlags::RUNTIME)], ..SignRequest::default() };
    let text = error(&app, &request).to_string();
    assert!(text.contains("Demo.app") && text.contains("@rpath/libanswer.dylib"), "{text}");
    let allowed = SignRequest {
        flags: vec![(None, CodeFlags::RUNTIME)],
        ..with(".", &["com.apple.security.cs.disable-library-validation"])
    };
    app.sign(&allowed);
    assert_eq!(cargo_xpc::verify::verify(&app.root).unwrap().findings, []);
}

#[test]
fn a_plan_is_json() {
    let plan = plan(&App::full().root, &with(".", &[SANDBOX])).unwrap();
    let json = serde_json::to_value(&plan).unwrap();
    let last = json["signatures"].as_array().unwrap().last().unwrap();
    assert_eq!(last["path"], ".");
    assert_eq!(last["identifier"], "com.example.demo");
    assert_eq!(last["architectures"], serde_json::json!(["x86_64", "arm64"]));
    assert_eq!(last["entitlements"], serde_json::json!({ SANDBOX: true }));
    assert_eq!(last["requirement"], serde_json::Value::Null);
}
