//! Provisioning profiles: embedded, checked, and what is taken from them.

use std::process::Command;

use camino::Utf8PathBuf;
use cargo_xpc::inspect::{inspect, render};
use cargo_xpc::verify::{What, verify};

use crate::fixture::{App, info, program, tool, write};
use crate::identity::{fixture, run, sign, signatures};

const SIGNER: [&str; 2] = ["--password-env", "PASSWORD_OF_TEST"];

fn entitlements(app: &App, name: &str, body: &str) -> Utf8PathBuf {
    let path = app.root.with_file_name(name);
    write(&path, format!("<plist version=\"1.0\"><dict>{body}</dict></plist>"));
    path
}

const GROUPS: &str = "<key>keychain-access-groups</key><array><string>TEAM123456.shared</string></array>";

#[test]
fn a_profile_is_embedded_and_grants_what_is_asked_for() {
    let app = App::bare(&tool());
    app.service("greeter");
    let team = fixture("developer-id.p12");
    let asked = entitlements(&app, "demo.entitlements", GROUPS);
    let (demo, any) = (fixture("demo.provisionprofile"), fixture("any.provisionprofile"));
    let greeter = format!("greeter.xpc={any}");
    let mut args = vec!["--identity", &team];
    args.extend(SIGNER);
    args.extend([
        "--provisioning-profile",
        &demo,
        "--provisioning-profile",
        &greeter,
        "--entitlements",
        asked.as_str(),
    ]);
    let before = app.content();
    let (code, plan, stderr) = run(&app, &[&["sign", "Demo.app", "--dry-run"], args.as_slice()].concat());
    assert_eq!((code, app.content() == before), (0, true), "{stderr}");
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let described = "demo, of team TEAM123456, for the App Store, until 2125-01-01T00:00:00Z";
    assert_eq!(plan["signatures"][1]["provisioning-profile"], format!("{demo}: {described}"));
    sign(&app, &args);
    let embedded =
        [("embedded.provisionprofile", &demo), ("XPCServices/greeter.xpc/Contents/embedded.provisionprofile", &any)];
    for (path, source) in embedded {
        assert!(fs_err::read(app.path(path)).unwrap() == fs_err::read(source).unwrap());
    }
    let of = |code: &str| signatures(&app.path(code))[1].entitlements().unwrap().unwrap();
    let (main, service) = (of("MacOS/demo"), of("XPCServices/greeter.xpc/Contents/MacOS/greeter"));
    assert_eq!(main.len(), 3);
    assert_eq!(main["com.apple.application-identifier"], "TEAM123456.com.example.demo".into());
    assert_eq!(main["com.apple.developer.team-identifier"], "TEAM123456".into());
    assert_eq!(service.len(), 2);
    assert_eq!(service["com.apple.application-identifier"], "TEAM123456.com.example.demo.greeter".into());

    // What stands in the bundle is looked at the next time, too.
    let args = [&["--identity", &team, "--entitlements", asked.as_str()], &SIGNER[..]].concat();
    let content = app.content();
    sign(&app, &args);
    assert_eq!(app.content().keys().collect::<Vec<_>>(), content.keys().collect::<Vec<_>>());
    assert_eq!(of("MacOS/demo"), main);
    // The seal covers it.
    write(&app.path("embedded.provisionprofile"), "another");
    assert!(!verify(&app.root).unwrap().findings.is_empty());
}

#[test]
fn a_profile_that_does_not_fit_is_refused() {
    let app = App::full();
    let before = app.content();
    let (team, plain) = (fixture("developer-id.p12"), fixture("plain.pem"));
    let groups = entitlements(&app, "groups", GROUPS);
    let foreign = entitlements(&app, "foreign", &GROUPS.replace("TEAM123456", "OTHER12345"));
    let more = entitlements(&app, "more", "<key>com.apple.developer.icloud-services</key><array/>");
    let contrary = "<key>com.apple.application-identifier</key><string>TEAM123456.com.example.other</string>";
    let contrary = entitlements(&app, "contrary", contrary);
    let damaged = app.root.with_file_name("damaged.provisionprofile");
    let mut bytes = fs_err::read(fixture("demo.provisionprofile")).unwrap();
    let at = bytes.windows(10).position(|window| window == b"TEAM123456").unwrap();
    bytes[at] = b'S';
    write(&damaged, bytes);
    let profile = |name: &str| fixture(&format!("{name}.provisionprofile"));
    let demo = profile("demo");
    let cases: Vec<(String, Vec<&str>, &str)> = vec![
        (profile("expired"), vec![], "it expired on 2021-01-01T00:00:00Z"),
        (profile("elsewhere"), vec![], "it is of team OTHER12345, and team TEAM123456 signs"),
        (profile("phone"), vec![], "it is for iOS, not for macOS"),
        (profile("colleague"), vec![], "is not among those who may sign with it"),
        (format!("greeter.xpc={demo}"), vec![], "and the identifier is `com.example.demo.greeter`"),
        (demo.clone(), vec!["--identifier", "com.example.demo.more"], "and the identifier is `com.example.demo.more`"),
        (
            demo.clone(),
            vec!["--entitlements", foreign.as_str()],
            "`keychain-access-groups`, which the provisioning profile demo",
        ),
        (demo.clone(), vec!["--entitlements", more.as_str()], "icloud-services`, which the provisioning profile"),
        (demo.clone(), vec!["--entitlements", contrary.as_str()], "say another `com.apple.application-identifier`"),
        (format!("libanswer.1.2.dylib={demo}"), vec![], "is a library: a provisioning profile belongs to"),
        (format!("helper={demo}"), vec![], "is a tool: a provisioning profile belongs to"),
        (demo.clone(), vec!["--provisioning-profile", &demo], "given twice"),
        (damaged.to_string(), vec![], "it was changed after it was signed"),
        (plain.clone(), vec![], "it is no provisioning profile"),
        ("nowhere".to_owned(), vec![], "there is no such file"),
    ];
    let refused = |args: &[&str], says: &str| {
        let (code, stdout, stderr) = run(&app, &[&["sign", "Demo.app"], args].concat());
        assert_eq!(code, 2, "{args:?}: {stderr}");
        assert!(stderr.contains(says), "no `{says}` in: {stderr}");
        assert!(stdout.is_empty() && app.content() == before);
    };
    let signer = [&["--identity", &team], &SIGNER[..]].concat();
    for (profile, more, says) in &cases {
        refused(&[&signer, &["--provisioning-profile", profile][..], more].concat(), says);
    }
    refused(&[&signer, &["--entitlements", groups.as_str()][..]].concat(), "give its profile, or remove it");
    for identity in [&[][..], &["--identity", &plain]] {
        refused(&[identity, &["--provisioning-profile", &demo]].concat(), "what signs has no team");
        refused(&[identity, &["--entitlements", groups.as_str()]].concat(), "signed without a team");
    }
}

#[test]
fn without_a_team_a_profile_in_the_bundle_means_nothing() {
    let app = App::bare(&tool());
    write(&app.path("embedded.provisionprofile"), "of somebody");
    for args in [&[][..], &["--identity", &fixture("plain.pem")]] {
        sign(&app, &[args, &["--release"]].concat());
        assert_eq!(signatures(&app.path("MacOS/demo"))[0].entitlements().unwrap(), None);
    }
    let team = fixture("developer-id.p12");
    let (code, _, stderr) = run(&app, &[&["sign", "Demo.app", "--identity", &team], &SIGNER[..]].concat());
    assert_eq!(code, 2);
    assert!(stderr.contains("Contents/embedded.provisionprofile: it is no provisioning profile"), "{stderr}");
}

/// The profile `demo`, changed and signed anew. Whose certificate that is nobody asks.
fn changed_profile(app: &App, from: &str, to: &str) -> String {
    let (list, made) = (app.root.with_file_name("list"), app.root.with_file_name("changed.provisionprofile"));
    let demo = fs_err::read(fixture("demo.provisionprofile")).unwrap();
    let find = |text: &[u8]| demo.windows(text.len()).position(|it| it == text).unwrap();
    let text = std::str::from_utf8(&demo[find(b"<?xml")..find(b"</plist>")]).unwrap();
    assert!(text.contains(from));
    write(&list, text.replace(from, to) + "</plist>");
    let args = ["cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-in", list.as_str(), "-out", made.as_str()];
    assert!(Command::new("openssl").args(args).args(["-signer", &fixture("plain.pem")]).status().unwrap().success());
    made.to_string()
}

/// For other machines than the App Store's.
fn profile_for(app: &App, machines: &str) -> String {
    changed_profile(app, "<key>Name</key>", &format!("{machines}<key>Name</key>"))
}

const NO_MAC: &str = "<key>ProvisionedDevices</key><array/>";
const TWO_MACS: &str =
    "<key>ProvisionedDevices</key><array><string>00008103-1</string><string>00008103-2</string></array>";

/// What the program says of an app whose every seal holds. It knows the stand-in for Apple.
fn sound(app: &App) -> serde_json::Value {
    let (code, stdout, stderr) = run(app, &["verify", "Demo.app", "--message-format", "json"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).next().unwrap()
}

#[test]
fn the_machines_of_a_profile_are_told_and_none_is_an_error() {
    let team = fixture("developer-id.p12");
    let signer = [&["--identity", &team], &SIGNER[..]].concat();
    for (machines, told, left) in [
        ("<key>ProvisionsAllDevices</key><true/>", "for every Mac (Developer ID)", None),
        (TWO_MACS, "for development on 2 listed Macs", Some("whether a Mac is one of them is not known here")),
        ("", "for the App Store", Some("runs only as the App Store signs it")),
    ] {
        let app = App::bare(&tool());
        let profile = profile_for(&app, machines);
        let args = [&["sign", "Demo.app", "--provisioning-profile", &profile], &signer[..]].concat();
        let (code, _, stderr) = run(&app, &args);
        assert_eq!(code, 0, "{stderr}");
        assert!(
            stderr.contains(&format!("Granted . by {profile}: demo, of team TEAM123456, {told}, until 2125")),
            "{stderr}"
        );
        let unchecked = sound(&app)["unchecked"].as_array().unwrap().clone();
        let said: Vec<_> = unchecked.iter().filter(|it| it["path"] == "Contents/embedded.provisionprofile").collect();
        assert_eq!(said.len(), usize::from(left.is_some()), "{unchecked:?}");
        for it in said.iter().map(|it| it["what"].as_str().unwrap()) {
            assert!(it.contains(left.unwrap()) && it.contains(told), "{it}");
        }
        let item = inspect(&app.root).unwrap();
        assert!(
            render(&item).contains(&format!("profile       demo, of team TEAM123456, {told}")),
            "{}",
            render(&item)
        );
        let json = serde_json::to_value(&item).unwrap();
        assert_eq!(json["provisioning-profile"]["read"]["expires"], "2125-01-01T00:00:00Z");
    }
    let app = App::bare(&tool());
    let nobody = profile_for(&app, NO_MAC);
    let args = [&["sign", "Demo.app", "--provisioning-profile", &nobody], &signer[..]].concat();
    let (code, _, stderr) = run(&app, &args);
    assert_eq!(code, 2);
    assert!(stderr.contains("its list of devices is empty"), "{stderr}");
}

/// What macOS kills at its launch, though no seal is broken: `codesign --verify` does not look either.
#[test]
fn a_profile_that_does_not_fit_the_program_was_not_found() {
    let app = App::bare(&tool());
    let (team, any) = (fixture("developer-id.p12"), fixture("any.provisionprofile"));
    let asked = entitlements(&app, "demo.entitlements", GROUPS);
    let args = ["--identity", &team, "--provisioning-profile", &any, "--entitlements", asked.as_str()];
    sign(&app, &[&args[..], &SIGNER].concat());
    let kept = |name: &str| fs_err::read(fixture(&format!("{name}.provisionprofile"))).unwrap();
    let made = |from: &str, to: &str| fs_err::read(changed_profile(&app, from, to)).unwrap();
    for (profile, found) in [
        (kept("expired"), "it expired on 2021-01-01T00:00:00Z"),
        (kept("elsewhere"), "it is of team OTHER12345, and team TEAM123456 signs"),
        (kept("phone"), "it is for iOS, not for macOS"),
        (kept("colleague"), "is not among those who may sign with it"),
        (made("<key>Name</key>", &format!("{NO_MAC}<key>Name</key>")), "its list of devices is empty"),
        (made("keychain-access-groups", "another"), "it does not grant `keychain-access-groups`"),
        (kept("any")[..2000].to_vec(), ""),
    ] {
        write(&app.path("embedded.provisionprofile"), profile);
        let findings = verify(&app.root).unwrap().findings;
        let unfit: Vec<_> = findings.iter().filter(|it| it.what == What::ProfileUnfit).collect();
        assert!(unfit.iter().any(|it| it.found.contains(found)), "{found}: {findings:?}");
        assert!(unfit.iter().all(|it| it.path == "Contents/embedded.provisionprofile"), "{unfit:?}");
    }
    // A program that asks for nothing of the kind runs whatever stands there.
    sign(&app, &["--release"]);
    assert_eq!(verify(&app.root).unwrap().findings, []);
}

/// Apps in apps look for their own.
#[test]
fn nested_apps_have_profiles_of_their_own() {
    let app = App::bare(&tool());
    for place in ["Resources/One.app", "Helpers/Two.app", "Library/LoginItems/Three.app"] {
        let root = app.path(place).join("Contents");
        let name = root.parent().unwrap().file_stem().unwrap().to_lowercase();
        info(&root.join("Info.plist"), &name, &format!("com.example.demo.{name}"), "APPL");
        program(&root.join("MacOS").join(&name), &tool());
    }
    let (team, any) = (fixture("developer-id.p12"), fixture("any.provisionprofile"));
    let scoped: Vec<_> = ["One", "Two", "Three"].map(|name| format!("{name}.app={any}")).to_vec();
    let mut args = [&["--identity", &team], &SIGNER[..]].concat();
    for one in &scoped {
        args.extend(["--provisioning-profile", one]);
    }
    sign(&app, &args);
    sound(&app);
    let check = |place: &str, name: &str| {
        let root = app.path(place).join("Contents");
        assert!(
            fs_err::read(root.join("embedded.provisionprofile")).unwrap() == fs_err::read(&any).unwrap(),
            "{place}"
        );
        let entitlements = signatures(&root.join("MacOS").join(name))[1].entitlements().unwrap().unwrap();
        let identifier = format!("TEAM123456.com.example.demo.{name}");
        assert_eq!(entitlements["com.apple.application-identifier"], identifier.into(), "{place}");
    };
    let all = || {
        check("Resources/One.app", "one");
        check("Helpers/Two.app", "two");
        check("Library/LoginItems/Three.app", "three");
    };
    all();
    assert!(!app.path("embedded.provisionprofile").exists());
    // Those that stand there are looked at the next time, each for its own program.
    sign(&app, &[&["--identity", &team], &SIGNER[..]].concat());
    all();
    for place in ["Resources/One.app", "Helpers/Two.app", "Library/LoginItems/Three.app"] {
        let file = app.path(place).join("Contents/embedded.provisionprofile");
        fs_err::copy(fixture("demo.provisionprofile"), &file).unwrap();
        let found = verify(&app.root).unwrap().findings;
        let path = format!("Contents/{place}/Contents/embedded.provisionprofile");
        assert!(found.iter().any(|it| it.what == What::ProfileUnfit && it.path == path), "{place}: {found:?}");
        let (code, _, stderr) = run(&app, &[&["sign", "Demo.app", "--identity", &team], &SIGNER[..]].concat());
        assert_eq!(code, 2, "{place}");
        assert!(stderr.contains("it is for `TEAM123456.com.example.demo`"), "{place}: {stderr}");
        fs_err::copy(&any, &file).unwrap();
    }
}
