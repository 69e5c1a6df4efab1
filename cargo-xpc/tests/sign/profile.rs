//! Provisioning profiles: embedded, checked, and what is taken from them.

use camino::Utf8PathBuf;
use cargo_xpc::verify::verify;

use crate::fixture::{App, tool, write};
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
    assert_eq!(plan["signatures"][1]["provisioning-profile"], format!("demo ({demo})"));
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
