//! apple-codesign's own bundle signer as oracle: on clean layouts the bytes must be equal.

use apple_codesign::{SettingsScope, SigningSettings, UnifiedSigner};
use cargo_xpc::macho::CodeFlags;
use cargo_xpc::sign::{Entitlements, Scope, SignRequest};

use crate::fixture::{App, LIBRARY_ARM, TOOL_ARM, TOOL_INFO, TOOL_INTEL, info, library, old, program, tool, write};

fn same(app: &App, request: &SignRequest, settings: SigningSettings<'_>) {
    let oracle = app.copy();
    UnifiedSigner::new(settings).sign_path_in_place(&oracle.root).unwrap();
    app.sign(request);
    let (ours, theirs) = (app.content(), oracle.content());
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    let different: Vec<_> = ours.iter().filter(|(name, file)| theirs[*name] != **file).map(|(name, _)| name).collect();
    if let Some(seal) = different.iter().find(|name| name.ends_with("CodeResources")) {
        let text = |side: &std::collections::BTreeMap<String, (u32, Vec<u8>)>| {
            String::from_utf8_lossy(&side[*seal].1).into_owned()
        };
        pretty(&text(&ours), &text(&theirs));
    }
    assert!(different.is_empty(), "{different:#?}");
}

fn pretty(ours: &str, theirs: &str) {
    for (ours, theirs) in ours.lines().zip(theirs.lines()).filter(|(ours, theirs)| ours != theirs) {
        eprintln!("ours   {ours}\ntheirs {theirs}");
    }
}

#[test]
fn thin_apps_are_equal() {
    for executable in [TOOL_ARM, TOOL_INTEL] {
        same(&App::bare(executable), &SignRequest::default(), SigningSettings::default());
    }
}

#[test]
fn a_full_app_is_equal() {
    same(&App::full(), &SignRequest::default(), SigningSettings::default());
}

#[test]
fn a_signed_app_that_is_signed_again_is_equal() {
    let app = App::full();
    app.sign(&SignRequest::default());
    same(&app, &SignRequest::default(), SigningSettings::default());
}

#[test]
fn entitlements_flags_and_identifiers_are_equal() {
    let mut content = plist::Dictionary::new();
    content.insert("com.apple.security.app-sandbox".to_owned(), true.into());
    content.insert("com.apple.security.network.client".to_owned(), true.into());
    let entitlements = Entitlements { source: "test".to_owned(), content };
    let mut xml = Vec::new();
    plist::Value::Dictionary(entitlements.content.clone()).to_writer_xml(&mut xml).unwrap();
    let xml = String::from_utf8(xml).unwrap();

    let greeter = "Contents/XPCServices/greeter.xpc";
    let helper = "Contents/MacOS/helper";
    let request = SignRequest {
        entitlements: vec![(Scope::main(), entitlements.clone()), (greeter.parse().unwrap(), entitlements)],
        identifiers: vec![(helper.parse().unwrap(), "com.example.demo.helper".to_owned())],
        flags: vec![(Some(greeter.parse().unwrap()), CodeFlags::RUNTIME)],
        ..SignRequest::default()
    };
    let mut settings = SigningSettings::default();
    settings.set_entitlements_xml(SettingsScope::Main, &xml).unwrap();
    settings.set_entitlements_xml(SettingsScope::Path(greeter.to_owned()), &xml).unwrap();
    settings.set_binary_identifier(SettingsScope::Path(helper.to_owned()), "com.example.demo.helper");
    settings
        .set_code_signature_flags(SettingsScope::Path(greeter.to_owned()), apple_codesign::CodeSignatureFlags::RUNTIME);
    same(&App::full(), &request, settings);
}

#[test]
fn bundles_with_code_among_the_resources_are_equal() {
    let app = App::bare(&tool());
    let bundle = app.path("Resources/Plug.bundle/Contents");
    info(&bundle.join("Info.plist"), "plug", "com.example.plug", "BNDL");
    program(&bundle.join("MacOS/plug"), &library());
    write(&bundle.join("Resources/a.txt"), "a");
    program(&app.path("Resources/loose.dylib"), LIBRARY_ARM);
    same(&app, &SignRequest::default(), SigningSettings::default());
}

#[test]
fn a_flat_framework_without_resources_is_equal() {
    let app = App::bare(&tool());
    let framework = app.path("Frameworks/Flat.framework");
    info(&framework.join("Info.plist"), "Flat", "com.example.flat", "FMWK");
    program(&framework.join("Flat"), &library());
    write(&framework.join("notes.txt"), "flat");
    same(&app, &SignRequest::default(), SigningSettings::default());
}

/// Systems before 10.11.4 look at a SHA-1 code directory; newer ones at the SHA-256 one beside it.
#[test]
fn an_app_for_old_systems_is_equal_and_has_both_hashes() {
    let app = App::bare(&old());
    write(&app.path("Resources/data.bin"), "data");
    same(&app, &SignRequest::default(), SigningSettings::default());
    let report = cargo_xpc::verify::verify(&app.root).unwrap();
    assert_eq!(report.findings, []);
    let (data, file) = cargo_xpc::macho::MachFile::load(&app.path("MacOS/demo")).unwrap();
    let signature = file.slices[0].read_signature(&data).unwrap().unwrap();
    let hashes: Vec<_> = signature.directories.iter().map(|directory| directory.hash).collect();
    assert_eq!(hashes, [cargo_xpc::macho::HashKind::Sha1, cargo_xpc::macho::HashKind::Sha256]);
    let seal = fs_err::read_to_string(app.path("_CodeSignature/CodeResources")).unwrap();
    assert!(seal.contains("<key>hash</key>") && seal.contains("<key>hash2</key>"));
}

/// A tool's own property list names it, as with `codesign`; apple-codesign has to be told.
#[test]
fn a_tool_with_a_property_list_inside_is_equal() {
    let app = App::bare(&tool());
    program(&app.path("MacOS/helper"), TOOL_INFO);
    let mut settings = SigningSettings::default();
    settings.set_binary_identifier(SettingsScope::Path("Contents/MacOS/helper".to_owned()), "com.example.tool");
    same(&app, &SignRequest::default(), settings);
    assert_eq!(cargo_xpc::verify::verify(&app.root).unwrap().findings, []);
}

/// Where the oracle is wrong: it lists in the first version what the rules leave out.
#[test]
fn what_a_rule_omits_is_in_neither_list() {
    let app = App::bare(&tool());
    write(&app.path("Resources/en.lproj/locversion.plist"), "version");
    write(&app.path("Resources/en.lproj/a.strings"), "a");
    app.sign(&SignRequest::default());
    let seal = plist::Value::from_file(app.path("_CodeSignature/CodeResources")).unwrap();
    for list in ["files", "files2"] {
        let list = seal.as_dictionary().unwrap()[list].as_dictionary().unwrap();
        assert_eq!(list.keys().collect::<Vec<_>>(), ["Resources/en.lproj/a.strings"]);
    }
    assert_eq!(cargo_xpc::verify::verify(&app.root).unwrap().findings, []);
}

/// A framework can be signed by itself.
#[test]
fn a_framework_alone_is_signed() {
    let app = App::full();
    let framework = app.path("Frameworks/Answer.framework");
    let plan = cargo_xpc::sign::plan(&framework, &SignRequest::default()).unwrap();
    let paths: Vec<_> = plan.signatures.iter().map(|signature| signature.path.as_str()).collect();
    assert_eq!(paths, ["Versions/A", "Versions/B"]);
    cargo_xpc::sign::execute(&plan, &framework, &mut |_| {}).unwrap();
    let report = cargo_xpc::verify::verify(&framework).unwrap();
    assert_eq!((report.findings, report.code.len()), (vec![], 2));
}
