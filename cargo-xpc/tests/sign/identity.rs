//! Who signs: every form of identity, what each is refused for, and what its signatures are.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_xpc::macho::{CodeFlags, MachFile, Signature};

use crate::fixture::{App, old, tool, write};
use crate::limit;

pub const PASSWORD: &str = "swordfish-7";

/// A file among the fixtures.
pub fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/identity/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub fn command(app: &App, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-xpc"));
    command.arg("xpc").args(args).current_dir(app.root.parent().unwrap()).stdin(Stdio::null());
    command.env("CARGO_XPC_IDENTITIES", app.root.with_file_name("identities"));
    command.env("CARGO_XPC_APPLE_ROOT", fixture("apple-root.cer")).env("PASSWORD_OF_TEST", PASSWORD);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    command
}

pub fn run(app: &App, args: &[&str]) -> (i32, String, String) {
    let output = limit::output(&mut command(app, args));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Signs and demands that it works.
pub fn sign(app: &App, args: &[&str]) -> (String, String) {
    let (code, stdout, stderr) = run(app, &[&["sign", "Demo.app"], args].concat());
    assert_eq!(code, 0, "{args:?}: {stderr}");
    verifies(app);
    (stdout, stderr)
}

/// Through the program, which can be told of the root that stands in for Apple's.
pub fn verifies(app: &App) {
    let (code, stdout, stderr) = run(app, &["verify", "Demo.app"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
}

/// The signatures of a file, one for each architecture.
pub fn signatures(path: &Utf8Path) -> Vec<Signature> {
    let (data, file) = MachFile::load(path).unwrap();
    file.slices.iter().map(|slice| slice.read_signature(&data).unwrap().unwrap()).collect()
}

fn openssl(args: &[&str]) -> String {
    let output = Command::new("openssl").args(args).output();
    let output = output.expect("openssl, the peer that reads signatures, is not there: `apt-get install openssl`");
    assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// OpenSSL has to find the CMS signature of each architecture good for its code directory, with a way to `anchor`.
pub fn openssl_verifies(path: &Utf8Path, anchor: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for signature in signatures(path) {
        std::fs::write(at("cms"), signature.cms().unwrap()).unwrap();
        std::fs::write(at("directory"), signature.blob(0).unwrap()).unwrap();
        openssl(&[
            "cms",
            "-verify",
            "-binary",
            "-inform",
            "DER",
            "-in",
            &at("cms"),
            "-content",
            &at("directory"),
            "-CAfile",
            anchor,
            "-purpose",
            "any",
            "-certsout",
            &at("certificates"),
            "-signer",
            &at("signer"),
            "-out",
            &at("out"),
        ]);
    }
    openssl(&["x509", "-in", &at("signer"), "-noout", "-subject"])
}

#[test]
fn every_form_of_identity_signs() {
    let app = App::full();
    let file = app.root.with_file_name("password");
    write(&file, format!("{PASSWORD}\n"));
    let file = file.as_str();
    let key = |name: &str| fixture(name);
    let with_file = ["--password-file", file];
    let with_env = ["--password-env", "PASSWORD_OF_TEST"];
    for (identity, more) in [
        ("plain.pem", vec![]),
        ("plain.crt", vec!["--key".to_owned(), key("plain-key.pem")]),
        ("plain.cer", vec!["--key".to_owned(), key("plain-key-pkcs1.pem")]),
        (
            "plain.cer",
            [vec!["--key".to_owned(), key("plain-key-encrypted.pem")], with_env.map(String::from).to_vec()].concat(),
        ),
        ("modern.p12", with_file.map(String::from).to_vec()),
        ("modern.p12", with_env.map(String::from).to_vec()),
        ("open.p12", vec![]),
    ] {
        let identity = fixture(identity);
        let mut args = vec!["--identity", &identity];
        args.extend(more.iter().map(String::as_str));
        let (_, stderr) = sign(&app, &args);
        assert!(stderr.contains("(by CN=Plain Signer, O=Example, 7 signatures)"), "{stderr}");
        for code in ["MacOS/demo", "XPCServices/greeter.xpc/Contents/MacOS/greeter", "Frameworks/libanswer.1.2.dylib"] {
            let subject = openssl_verifies(&app.path(code), &fixture("plain.crt"));
            assert!(subject.contains("Plain Signer"), "{subject}");
        }
    }
    // The old form, which apple-codesign itself writes.
    let old_form = fixture("third-party.p12");
    write(&app.root.with_file_name("password"), "test");
    let (_, stderr) = sign(&app, &["--identity", &old_form, "--password-file", file, "--third-party", "anew"]);
    assert!(stderr.contains("CN=Third Party"), "{stderr}");
}

#[test]
fn a_private_certificate_signs_as_itself_and_for_development() {
    let app = App::full();
    let identity = fixture("plain.pem");
    let (stdout, _) = sign(&app, &["--identity", &identity, "--message-format", "json"]);
    let answer: serde_json::Value = serde_json::from_str(stdout.trim()).unwrap();
    let der = fs_err::read(fixture("plain.cer")).unwrap();
    let digest = |kind: cargo_xpc::macho::HashKind| {
        kind.digest(&der).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let sha1 = digest(cargo_xpc::macho::HashKind::Sha1);
    let certificate = &answer["identity"]["certificate"];
    assert_eq!(certificate["sha1"], sha1);
    assert_eq!(certificate["sha256"], digest(cargo_xpc::macho::HashKind::Sha256));
    assert_eq!(certificate["team"], serde_json::Value::Null);
    // What the outer seal asks of the service is what the service's signature says, and the certificate is in it.
    let seal = plist::Value::from_file(app.path("_CodeSignature/CodeResources")).unwrap();
    let files = seal.as_dictionary().unwrap()["files2"].as_dictionary().unwrap();
    let greeter = files["XPCServices/greeter.xpc"].as_dictionary().unwrap();
    let requirement = greeter["requirement"].as_string().unwrap();
    assert!(requirement.contains("identifier \"com.example.demo.greeter\""), "{requirement}");
    assert!(requirement.contains(&format!("certificate leaf = H\"{sha1}\"")), "{requirement}");
    for code in ["MacOS/demo", "XPCServices/greeter.xpc/Contents/MacOS/greeter"] {
        for signature in signatures(&app.path(code)) {
            let directory = signature.best_directory();
            assert_eq!((directory.flags, &directory.team_id), (CodeFlags(0), &None));
            let entitlements = signature.entitlements().unwrap().unwrap();
            assert_eq!(entitlements["com.apple.security.get-task-allow"], true.into());
            assert!(signature.blob(7).is_some(), "no entitlements in DER");
        }
    }
    sign(&app, &["--identity", &identity, "--release"]);
    assert_eq!(signatures(&app.path("MacOS/demo"))[0].entitlements().unwrap(), None);
}

#[test]
fn a_private_authority_is_embedded_and_gives_no_team() {
    let app = App::bare(&tool());
    sign(&app, &["--identity", &fixture("chain.p12"), "--password-env", "PASSWORD_OF_TEST"]);
    // Only the root is given to the peer: the certificate between comes from the signature.
    let subject = openssl_verifies(&app.path("MacOS/demo"), &fixture("root.crt"));
    assert!(subject.contains("Chained Signer"), "{subject}");
    assert_eq!(signatures(&app.path("MacOS/demo"))[0].best_directory().team_id, None);
}

#[test]
fn old_systems_get_both_hashes_with_a_certificate_too() {
    let app = App::bare(&old());
    sign(&app, &["--identity", &fixture("plain.pem")]);
    let signature = &signatures(&app.path("MacOS/demo"))[0];
    assert_eq!(signature.directories.len(), 2);
    openssl_verifies(&app.path("MacOS/demo"), &fixture("plain.crt"));
}

#[test]
fn a_team_gets_the_hardened_runtime_and_no_debugger() {
    for (identity, requires) in [
        ("developer-id.p12", "certificate 1[field.1.2.840.113635.100.6.2.6]"),
        ("apple-development.p12", "certificate leaf[subject.CN] = \"Apple Development: Jane Doe (USER123456)\""),
    ] {
        let app = App::full();
        let identity = fixture(identity);
        let args = ["--identity", &identity, "--password-env", "PASSWORD_OF_TEST"];
        let (code, plan, stderr) = run(&app, &[&["sign", "Demo.app", "--dry-run"], &args[..]].concat());
        assert_eq!(code, 0, "{stderr}");
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
        assert_eq!(plan["identity"]["certificate"]["team"], "TEAM123456");
        sign(&app, &args);
        for planned in plan["signatures"].as_array().unwrap() {
            let path = planned["executable"].as_str().unwrap();
            let program = !path.contains("Frameworks");
            for signature in signatures(&app.root.join(path)) {
                let directory = signature.best_directory();
                assert_eq!(directory.team_id.as_deref(), Some("TEAM123456"));
                assert_eq!(directory.flags.contains(CodeFlags::RUNTIME), program, "{path}");
                assert_eq!(signature.entitlements().unwrap(), None, "{path}");
            }
            let requirement = planned["requirement"].as_str().unwrap();
            assert!(requirement.contains("anchor apple generic") && requirement.contains(requires), "{requirement}");
        }
        // What is said of one program wins, and what is said of all is added.
        sign(&app, &[&args[..], &["--options", "library", "--options", "greeter.xpc=kill"]].concat());
        let flags = |code: &str| signatures(&app.path(code))[0].best_directory().flags;
        assert_eq!(flags("MacOS/demo"), CodeFlags::RUNTIME.with(CodeFlags::LIBRARY));
        assert_eq!(flags("XPCServices/greeter.xpc/Contents/MacOS/greeter"), CodeFlags::KILL);
    }
}

#[test]
fn what_this_identity_signed_is_signed_anew_and_what_another_signed_is_kept() {
    let app = App::full();
    let (plain, other) = (fixture("plain.pem"), fixture("chain.p12"));
    sign(&app, &["--identity", &plain]);
    let before = app.content();
    let (_, stderr) = sign(&app, &["--identity", &plain, "--release"]);
    assert!(!stderr.contains("Kept"), "{stderr}");
    let service = "Contents/XPCServices/greeter.xpc/Contents/MacOS/greeter";
    assert!(app.content()[service] != before[service]);
    let before = app.content();
    let (_, stderr) = sign(&app, &["--identity", &other, "--password-env", "PASSWORD_OF_TEST"]);
    assert!(stderr.contains("Kept Contents/XPCServices/greeter.xpc as it is signed"), "{stderr}");
    assert!(app.content()[service] == before[service]);
    // Another certificate of the same team is no stranger.
    let password = ["--password-env", "PASSWORD_OF_TEST", "--third-party", "anew"];
    sign(&app, &[&["--identity", fixture("apple-development.p12").as_str()], &password[..]].concat());
    let (_, stderr) = sign(&app, &[&["--identity", fixture("developer-id.p12").as_str()], &password[..2]].concat());
    assert!(!stderr.contains("Kept"), "{stderr}");
}

/// An app that was tried with a development identity was published with its services signed by that still: "somebody else's".
#[test]
fn services_of_a_development_build_do_not_stay_as_they_are_when_the_app_is_signed_for_others() {
    let app = App::full();
    assert_eq!(run(&app, &["identity", "create"]).0, 0);
    let plain = fixture("plain.pem");
    for identity in [&[] as &[&str], &["--identity", &plain]] {
        sign(&app, &["--identity", "development"]);
        let (_, stderr) = sign(&app, identity);
        assert!(stderr.contains("7 signatures") && !stderr.contains("Kept"), "{stderr}");
    }
    // Unless that is what is wanted.
    sign(&app, &["--identity", "development", "--third-party", "anew"]);
    let (_, stderr) = sign(&app, &["--third-party", "greeter.xpc=keep"]);
    assert!(stderr.contains("Kept Contents/XPCServices/greeter.xpc as it is signed"), "{stderr}");
}

#[test]
fn what_cannot_sign_is_refused_and_the_bundle_left_alone() {
    let app = App::full();
    let before = app.content();
    let path = |name: &str| app.root.with_file_name(name).into_string();
    write(Utf8Path::new(&path("wrong")), "not it");
    write(Utf8Path::new(&path("lines")), "a\nb\n");
    write(Utf8Path::new(&path("text.pem")), "no certificate");
    write(Utf8Path::new(&path("text.p12")), "no certificate");
    let (key, wrong, lines) = ("--key", path("wrong"), path("lines"));
    let from_env = ["--password-env", "PASSWORD_OF_TEST"];
    let cases: &[(&str, &[&str], &str)] = &[
        ("modern.p12", &["--password-file", &wrong], "the password of"),
        ("plain.cer", &[key, &fixture("plain-key-encrypted.pem"), "--password-file", &wrong], "is wrong"),
        ("modern.p12", &[], "has a password: give it with --password-file or --password-env"),
        ("modern.p12", &["--password-file", &lines], "has more than one line"),
        ("modern.p12", &["--password-file", "nowhere"], "nowhere"),
        ("modern.p12", &["--password-env", "NOT_SET_ANYWHERE"], "`NOT_SET_ANYWHERE` is not set"),
        ("keyless.p12", &from_env, "has a certificate and no private key"),
        ("plain.crt", &[], "name the file of the key with --key"),
        ("plain.crt", &[key, &fixture("other-key.pem")], "belongs to none of the certificates"),
        ("plain.crt", &[key, &fixture("root.crt")], "there is no private key in it"),
        ("plain.pem", &[key, &fixture("plain-key.pem")], "leave --key out"),
        ("plain-key.pem", &[], "has no certificate"),
        ("several.pem", &[], "has several identities:\n  CN=Plain Signer, O=Example\n  CN=Other Signer"),
        ("ec.pem", &[], "only RSA can sign for now"),
        ("ec-chain.p12", &from_env, "`CN=Signer below an EC Root, O=Example` in"),
        ("small.pem", &[], "2048"),
        ("server.pem", &[], "is not for signing code: its extended key usage is another"),
        ("expired.pem", &[], "expired on 2021-01-01T00:00:00Z"),
        ("developer-id-alone.p12", &from_env, "the intermediate certificate that issued it is not there"),
        ("nothing.p12", &[], "is not there"),
    ];
    let refused = |id: &str, args: &[&str], says: &str| {
        let (code, stdout, stderr) = run(&app, &[&["sign", "Demo.app", "--identity", id], args].concat());
        assert!(code == 2 || code == 74 && says == "nowhere", "{id}: {code}: {stderr}");
        assert!(stderr.contains(says), "{id}: no `{says}` in: {stderr}");
        assert!(stdout.is_empty() && !stderr.contains("panicked") && !stderr.contains(PASSWORD), "{stdout}{stderr}");
        assert!(app.content() == before);
    };
    for (file, args, says) in cases {
        refused(&fixture(file), args, says);
    }
    refused(&path("text.pem"), &[], "neither a certificate nor a private key");
    refused(&path("text.p12"), &from_env, "no PKCS#12 file, or it is damaged");
    refused("nobody", &[], "no identity is called `nobody`");
    refused("keychain:Somebody", &[], "there is a keychain on macOS only");
    refused("adhoc", &from_env, "a password has no meaning for the identity `adhoc`");
    let (code, _, stderr) = run(&app, &[&["sign", "Demo.app"], &from_env[..]].concat());
    assert_eq!((code, stderr.contains("name it with --identity")), (2, true), "{stderr}");
}

#[test]
fn passwords_are_never_shown() {
    let app = App::bare(&tool());
    let file = app.root.with_file_name("secret");
    write(&file, format!("{PASSWORD}\r\n"));
    let (modern, plain, encrypted) = (fixture("modern.p12"), fixture("plain.cer"), fixture("plain-key-encrypted.pem"));
    let from_file = ["--password-file", file.as_str()];
    let from_env = ["--password-env", "PASSWORD_OF_TEST"];
    let key = ["--key", encrypted.as_str()];
    for identity in [
        [&["--identity", &modern], &from_file[..]].concat(),
        [&["--identity", &modern], &from_env[..]].concat(),
        [&["--identity", &plain], &key[..], &from_env[..]].concat(),
    ] {
        for more in [
            vec!["-v"],
            vec!["-vv"],
            vec!["-vvv", "--message-format", "json"],
            vec!["--dry-run"],
            vec!["-v", "--dry-run", "--message-format=json"],
        ] {
            let args = [&["sign", "Demo.app"], identity.as_slice(), more.as_slice()].concat();
            let output = limit::output(command(&app, &args).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1"));
            assert!(output.status.success(), "{args:?}");
            for stream in [output.stdout, output.stderr] {
                let text = String::from_utf8(stream).unwrap();
                assert!(!text.contains(PASSWORD) && !text.contains("PRIVATE KEY"), "{args:?}: {text}");
            }
        }
    }
    // Nor where it is the wrong one, or there is nothing to be opened with it.
    let other = app.root.with_file_name("other");
    write(&other, "another-password-8");
    for (identity, password) in [(&modern, other.as_str()), (&fixture("plain.pem"), file.as_str())] {
        let args = ["sign", "Demo.app", "-vv", "--identity", identity, "--password-file", password];
        let output = limit::output(command(&app, &args).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full"));
        for stream in [output.stdout, output.stderr] {
            let text = String::from_utf8(stream).unwrap();
            assert!(!text.contains(PASSWORD) && !text.contains("another-password-8"), "{args:?}: {text}");
        }
    }
    // There is no way to give one among the arguments.
    for subcommand in
        [&["sign"][..], &["embed"], &["bundle"], &["run"], &["test"], &["identity", "show"], &["identity", "create"]]
    {
        let (code, help, _) = run(&app, &[subcommand, &["--help"]].concat());
        assert_eq!(code, 0, "{subcommand:?}");
        let words = help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).filter(|it| it.starts_with("--"));
        for option in words.filter(|it| ["pass", "pin", "secret"].iter().any(|word| it.contains(word))) {
            assert!(["--password-file", "--password-env"].contains(&option), "{subcommand:?}: {option}");
        }
    }
    let (code, _, _) = run(&app, &["sign", "Demo.app", "--identity", &modern, "--password", PASSWORD]);
    assert_eq!(code, 2);
    let shown = format!("{:?}", cargo_xpc::sign::identity::Password::new(PASSWORD.to_owned()));
    assert!(!shown.contains(PASSWORD), "{shown}");
}

#[test]
fn a_development_identity_is_made_once_and_kept_private() {
    let app = App::bare(&tool());
    let folder = app.root.with_file_name("identities");
    let (code, stdout, stderr) = run(&app, &["identity", "create", "--message-format", "json"]);
    assert_eq!(code, 0, "{stderr}");
    let made: serde_json::Value = serde_json::from_str(stdout.trim()).unwrap();
    assert_eq!((&made["reason"], &made["name"]), (&"identity-created".into(), &"development".into()));
    let own = folder.join("development");
    let mode = |path: &Utf8Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&own), mode(&own.join("key.pem"))), (0o700, 0o600));
    let certificate = own.join("certificate.pem").into_string();
    let text = openssl(&["x509", "-in", &certificate, "-noout", "-text", "-fingerprint", "-sha1"]);
    for expected in ["RSA Public-Key: (2048 bit)", "Digital Signature", "Code Signing", "CA:FALSE"] {
        let alternative = expected.replace("RSA Public-Key", "Public-Key");
        assert!(text.contains(expected) || text.contains(&alternative), "no `{expected}` in {text}");
    }
    let sha1 = made["sha1"].as_str().unwrap().to_uppercase();
    assert!(text.replace(':', "").contains(&sha1), "{sha1}: {text}");

    let before = fs_err::read(own.join("key.pem")).unwrap();
    let (code, _, stderr) = run(&app, &["identity", "create"]);
    assert_eq!((code, stderr.contains("none is ever overwritten")), (2, true), "{stderr}");
    assert!(fs_err::read(own.join("key.pem")).unwrap() == before);
    for (name, says) in
        [("a/b", "letters, digits"), (".x", "begin with"), ("adhoc", "another meaning"), ("x.pem", "a file's")]
    {
        let (code, _, stderr) = run(&app, &["identity", "create", name]);
        assert_eq!((code, stderr.contains(says)), (2, true), "{name}: {stderr}");
    }

    let (code, stdout, _) = run(&app, &["identity", "list"]);
    assert_eq!((code, stdout.lines().count(), stdout.starts_with("development  ")), (0, 1, true), "{stdout}");
    let (code, stdout, _) = run(&app, &["identity", "show"]);
    assert!(code == 0 && stdout.contains("SHA-256") && stdout.contains(own.as_str()), "{stdout}");
    let (code, stdout, _) =
        run(&app, &["identity", "show", &fixture("developer-id.p12"), "--password-env", "PASSWORD_OF_TEST"]);
    assert!(code == 0 && stdout.contains("Team         TEAM123456"), "{stdout}");

    let (_, stderr) = sign(&app, &["--identity", "development"]);
    assert!(stderr.contains("Signed Demo.app (by CN=cargo-xpc development (development), 1 signature)"), "{stderr}");
    openssl_verifies(&app.path("MacOS/demo"), &certificate);
    fs_err::set_permissions(own.join("key.pem"), std::fs::Permissions::from_mode(0o640)).unwrap();
    let (code, _, stderr) = run(&app, &["sign", "Demo.app", "--identity", "development"]);
    assert_eq!((code, stderr.contains("chmod 600")), (2, true), "{stderr}");
    let (code, _, stderr) = run(&app, &["sign", "Demo.app", "--identity", "developmen"]);
    assert_eq!((code, stderr.contains("there is: development")), (2, true), "{stderr}");
}

#[test]
fn services_are_embedded_with_the_identity_that_is_named() {
    let (app, other) = (App::full(), App::bare(&tool()));
    other.service("extra");
    let made = other.path("XPCServices/extra.xpc").into_string();
    let team = ["--sign", &fixture("developer-id.p12"), "--password-env", "PASSWORD_OF_TEST"];
    let (code, _, stderr) = run(&app, &[&["embed", "Demo.app", &made], &team[..]].concat());
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("(signed by CN=Developer ID Application: Example (TEAM123456)"), "{stderr}");
    verifies(&app);
    for code in ["MacOS/demo", "XPCServices/extra.xpc/Contents/MacOS/extra"] {
        let signature = &signatures(&app.path(code))[0];
        assert_eq!(signature.best_directory().team_id.as_deref(), Some("TEAM123456"));
        assert!(signature.best_directory().flags.contains(CodeFlags::RUNTIME));
        assert_eq!(signature.entitlements().unwrap(), None);
    }
}

/// A person at a terminal is asked, and what is typed does not appear.
#[test]
fn a_password_is_asked_for_at_a_terminal_and_not_echoed() {
    use std::io::{Read as _, Write as _};
    let app = App::bare(&tool());
    let controller = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
    rustix::pty::grantpt(&controller).unwrap();
    rustix::pty::unlockpt(&controller).unwrap();
    let name = rustix::pty::ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
    let terminal = fs_err::OpenOptions::new().read(true).write(true).open(Utf8PathBuf::from(name)).unwrap();
    let terminal = terminal.into_parts().0;
    let mut child = command(&app, &["sign", "Demo.app", "--identity", &fixture("modern.p12")])
        .stdin(terminal.try_clone().unwrap())
        .stderr(terminal)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut controller = std::fs::File::from(controller);
    let mut seen = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&seen).contains("Password of") || seen.last() != Some(&b' ') {
        controller.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    // What is typed before the echo is off would be thrown away; that it is off is seen by looking.
    while rustix::termios::tcgetattr(&controller).unwrap().local_modes.contains(rustix::termios::LocalModes::ECHO) {
        std::thread::yield_now();
    }
    controller.write_all(format!("{PASSWORD}\n").as_bytes()).unwrap();
    // The read fails once the program, the last to have the terminal open, is gone.
    while controller.read_exact(&mut byte).is_ok() {
        seen.push(byte[0]);
    }
    let seen = String::from_utf8_lossy(&seen).into_owned();
    assert!(child.wait().unwrap().success(), "{seen}");
    assert!(seen.contains("CN=Plain Signer") && !seen.contains(PASSWORD), "{seen}");
}
