//! What a user can get wrong: one clear error, its exit code, and nothing written.

use integration_tests::{Plain, Project, listing};

#[test]
fn no_manifest() {
    let project = Project::empty();
    project.xpc(&["bundle"]).fails(2, &["no Cargo.toml in", project.root().as_str(), "cargo xpc new"]);
    project.xpc(&["bundle", "--manifest-path", "x/Cargo.toml"]).fails(2, &["x/Cargo.toml` does not exist"]);
}

#[test]
fn a_manifest_that_cargo_refuses() {
    let project = Plain::default().make();
    project.write("app/Cargo.toml", "[package]\nname = ");
    project.xpc(&["bundle"]).fails(2, &["cargo cannot read the workspace", "app/Cargo.toml"]);
}

#[test]
fn no_app() {
    let project = Plain::default().make();
    project.edit("app/Cargo.toml", "xpc.app.demo", "other");
    project.xpc(&["bundle"]).fails(2, &["no package of this workspace describes an app", "cargo xpc new"]);
}

#[test]
fn two_apps_and_no_bin() {
    let project = Plain::default().make();
    project.write("app/src/bin/other.rs", "fn main() {}\n");
    let manifest = fs_err::read_to_string(project.root().join("app/Cargo.toml")).unwrap();
    project
        .write("app/Cargo.toml", manifest + "\n[package.metadata.xpc.app.other]\nidentifier = \"com.example.other\"\n");
    project.xpc(&["bundle"]).fails(2, &["several apps: demo (package demo), other (package demo)", "--bin"]);
    project.xpc(&["bundle", "--bin", "othr"]).fails(2, &["no app named `othr`", "other (package demo)"]);
    project.xpc(&["bundle", "--bin", "other"]).ok();
    assert!(project.bundle("other").exists());
}

#[test]
fn unknown_key() {
    let project = Plain::default().app("servces = []\n").make();
    let words = ["unknown key `servces`", "app/Cargo.toml", "did you mean `services`?"];
    project.xpc(&["bundle"]).fails(2, &words);
    let project = Plain::default().service("run-loop = \"dispatch_main\"\n").make();
    project.xpc(&["bundle"]).fails(2, &["unknown key `run-loop`", "greeter/Cargo.toml"]);
}

#[test]
fn a_misspelled_key_that_has_to_be_there_is_not_called_missing() {
    for manifest in ["app/Cargo.toml", "greeter/Cargo.toml"] {
        let project = Plain::default().make();
        let text = fs_err::read_to_string(project.root().join(manifest)).unwrap();
        assert!(text.contains("\nidentifier ="), "{text}");
        project.write(manifest, text.replace("\nidentifier =", "\nidentifer ="));
        let words = ["unknown key `identifer`", manifest, "did you mean `identifier`?"];
        project.xpc(&["bundle"]).fails(2, &words);
    }
}

#[test]
fn values_of_the_wrong_kind() {
    for (line, words) in [
        ("service-type = \"Applicaton\"", ["service-type", "did you mean `Application`?"]),
        ("service-type = 1", ["service-type", "must be a string, not a number"]),
        ("run-loop-type = \"NSRunloop\"", ["run-loop-type", "did you mean `NSRunLoop`?"]),
        ("environment = { N = 1 }", ["environment.N", "must be a string, not a number"]),
        ("environment = { \"A=B\" = \"1\" }", ["environment.A=B", "no `=`"]),
        ("minimum-system-version = \"eleven\"", ["minimum-system-version", "write it like \"11.0\""]),
        ("join-existing-session = \"yes\"", ["join-existing-session", "must be true or false, not a string"]),
        ("name = \"a/b\"", ["`name` of", "cannot name a bundle"]),
        ("resources = [\"nothing/*\"]", ["resources", "matches no file below"]),
        ("resources = [\"../app/**\"]", ["resources", "leads out of the package"]),
        ("frameworks = [\"Missing.framework\"]", ["frameworks", "is not there"]),
        ("provisioning-profile = \"x.provisionprofile\"", ["provisioning-profile", "is not there"]),
        ("requirements = \"x.txt\"", ["`requirements` of", "is not there"]),
        ("options = [\"runtme\"]", ["`options` of", "`runtme`"]),
        ("launch-constraints = { slef = \"x\" }", ["greeter.launch-constraints]", "did you mean `self`?"]),
        ("launch-constraints = { parent = \"x\" }", ["`parent` of", "is not there"]),
        ("third-party = { \"F.framework\" = \"leave\" }", ["`third-party.F.framework` of", "keep-entitlements"]),
        ("third-party = { \"/F.framework\" = \"keep\" }", ["`third-party./F.framework` of", "is absolute"]),
    ] {
        let project = Plain::default().service(&format!("{line}\n")).make();
        project.xpc(&["bundle"]).fails(2, &[&words[..], &["greeter/Cargo.toml"]].concat());
    }
    let project = Plain::default().app("build-number = \"1.0-beta\"\n").make();
    project.xpc(&["bundle"]).fails(2, &["build-number", "`1.0-beta` is not a build number"]);
}

#[test]
fn identifiers() {
    let project = Plain::default().make();
    project.edit("greeter/Cargo.toml", "\"com.example.demo.greeter\"", "\"greeter\"");
    let words = ["`identifier` of [package.metadata.xpc.service.greeter]", "greeter/Cargo.toml", "reverse-DNS"];
    project.xpc(&["bundle"]).fails(2, &words);

    let project = Plain::default().make();
    project.edit("greeter/Cargo.toml", "\"com.example.demo.greeter\"", "\"com.example.demo\"");
    let words = ["`com.example.demo` is used twice", "app/Cargo.toml", "greeter/Cargo.toml"];
    project.xpc(&["bundle"]).fails(2, &words);
}

#[test]
fn interfaces() {
    let project = Plain::default().make();
    project.edit("greeter/Cargo.toml", "identifier = \"com.example.demo.greeter\"", "interface = \"nowhere\"");
    project.xpc(&["bundle"]).fails(2, &["`interface` of", "greeter/Cargo.toml", "no package `nowhere`"]);
    project.edit("greeter/Cargo.toml", "interface = \"nowhere\"", "");
    project.xpc(&["bundle"]).fails(2, &["greeter/Cargo.toml needs `interface`"]);
}

#[test]
fn a_service_that_nobody_describes() {
    let project = Plain::default().make();
    project.edit("app/Cargo.toml", "[\"greeter\"]", "[\"greter\"]");
    project.xpc(&["bundle"]).fails(2, &["lists `greter`", "app/Cargo.toml", "did you mean `greeter`?"]);
}

#[test]
fn a_service_without_a_binary() {
    let project = Plain::default().make();
    project.edit("greeter/Cargo.toml", "xpc.service.greeter", "xpc.service.greter");
    let words = ["greeter/Cargo.toml describes a program named `greter`", "did you mean `greeter`?"];
    project.xpc(&["bundle"]).fails(2, &words);
}

#[test]
fn a_build_error_is_cargos_own() {
    let project = Plain::default().make();
    project.write("greeter/src/main.rs", "fn main() { undefined(); }\n");
    let finished =
        project.xpc(&["bundle"]).fails(101, &["cannot find function `undefined`", "could not build `greeter`"]);
    assert!(!project.bundle("demo").exists(), "{}", finished.stderr);
}

#[test]
fn entitlements() {
    let project = Plain::default().service("entitlements = \"my.entitlements\"\n").make();
    let words = ["`entitlements` of [package.metadata.xpc.service.greeter]", "greeter/my.entitlements` does not exist"];
    project.xpc(&["bundle"]).fails(2, &words);
    project.write("greeter/my.entitlements", "com.apple.security.app-sandbox: true\n");
    project.xpc(&["bundle"]).fails(2, &["greeter/my.entitlements` is not a property list"]);
    project.write("greeter/my.entitlements", "<plist version=\"1.0\"><array/></plist>\n");
    project.xpc(&["bundle"]).fails(2, &["greeter/my.entitlements` is not a property list that holds a dictionary"]);
}

#[test]
fn extra_plists_may_not_contradict() {
    let plist = |body: &str| format!("<plist version=\"1.0\"><dict>{body}</dict></plist>\n");
    let project = Plain::default().service("info-plist = \"extra.plist\"\n").make();
    for (body, word) in [
        (
            "<key>CFBundleIdentifier</key><string>com.example.x</string>",
            "`CFBundleIdentifier` is \"com.example.x\" there",
        ),
        ("<key>_Private</key><true/>", "`_Private` is private to Apple"),
        (
            "<key>XPCService</key><dict><key>_ProcessType</key><string>App</string></dict>",
            "`XPCService._ProcessType` is private",
        ),
        (
            "<key>XPCService</key><dict><key>EnvironmentVariables</key><dict><key>N</key><integer>1</integer></dict></dict>",
            "launchd takes strings only",
        ),
    ] {
        project.write("greeter/extra.plist", plist(body));
        project.xpc(&["plist", "greeter"]).fails(2, &["`info-plist` of", "greeter/Cargo.toml", word]);
    }
    project.write("greeter/extra.plist", plist("<key>NSHumanReadableCopyright</key><string>Me</string>"));
    let finished = project.xpc(&["plist", "greeter"]).ok();
    assert!(finished.stdout.contains("NSHumanReadableCopyright"), "{}", finished.stdout);
}

#[test]
fn what_contradicts_itself_on_the_command_line() {
    let project = Plain::default().make();
    if cfg!(not(target_os = "macos")) {
        project.xpc(&["bundle", "--sign", "adhoc"]).fails(2, &["not Mach-O and cannot be signed"]);
    }
    let both = ["bundle", "--universal", "--target", "x86_64-apple-darwin"];
    project.xpc(&both).fails(2, &["'--universal' cannot be used with '--target <TRIPLE>'"]);
    let both = ["bundle", "--target", "x86_64-apple-darwin", "--target", "x86_64-unknown-linux-gnu"];
    project.xpc(&both).fails(2, &["only Apple targets can be merged"]);
    project.xpc(&["bundle", "--sign", "Developer"]).fails(2, &["no identity is called `Developer`", "identity create"]);
    project.xpc(&["bundle", "--password-env", "HOME"]).fails(2, &["name it with --sign"]);
    project.xpc(&["bundle", "--timestamp", "http://127.0.0.1/"]).fails(2, &["an ad-hoc signature cannot be stamped"]);
    if cfg!(not(target_os = "macos")) {
        let certificate = integration_tests::checkout().join("cargo-xpc/tests/fixtures/identity/plain.pem");
        project.xpc(&["bundle", "--sign", certificate.as_str()]).fails(2, &["not Mach-O and cannot be signed"]);
    }
    let elliptic = integration_tests::checkout().join("cargo-xpc/tests/fixtures/identity/ec.pem");
    let args = ["bundle", "--target", "aarch64-apple-darwin", "--sign", elliptic.as_str()];
    project.xpc(&args).fails(2, &["ec.pem` has a key for elliptic curves", "only RSA can sign", "use an RSA identity"]);
    assert!(!project.root().join("target").exists(), "before anything is built");
    assert_eq!(project.xpc(&["bundel"]).run().code, 2);
}

#[test]
fn cargo_zigbuild_missing() {
    let project = Plain::default().make();
    // Only what rustc and cargo need.
    let path = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .filter(|folder| !folder.join("cargo-zigbuild").exists())
        .map(|folder| folder.to_str().unwrap().to_owned())
        .collect::<Vec<_>>()
        .join(":");
    let finished = project.xpc(&["bundle", "--target", "aarch64-apple-darwin"]).env("PATH", &path);
    if cfg!(target_os = "macos") {
        finished.ok();
    } else {
        finished.fails(69, &["cargo-zigbuild", "pip install cargo-zigbuild"]);
    }
}

#[test]
#[cfg(not(target_os = "macos"))]
fn zig_missing() {
    let project = Plain::default().make();
    fs_err::create_dir(project.root().join("bin")).unwrap();
    let zigbuild = project.root().join("bin/cargo-zigbuild");
    fs_err::copy(integration_tests::venv().join("cargo-zigbuild"), &zigbuild).unwrap();
    // No Python that might have zig, but what rustc, cargo and their linker for this machine need.
    for program in ["cargo", "rustc", "cc", "ld", "as"] {
        let which =
            integration_tests::must(std::process::Command::new("sh").args(["-c", &format!("command -v {program}")]));
        let path = integration_tests::text(&which.stdout);
        fs_err::os::unix::fs::symlink(path.trim(), project.root().join("bin").join(program)).unwrap();
    }
    project
        .xpc(&["bundle", "--target", "aarch64-apple-darwin"])
        .env("PATH", project.root().join("bin").as_str())
        .fails(69, &["cargo-zigbuild finds no zig", "pip install ziglang"]);
}

#[test]
fn a_targets_std_missing() {
    use std::os::unix::fs::PermissionsExt as _;
    let project = Plain::default().make();
    project.write("no-sysroot/.keep", "");
    let script = format!(
        "#!/bin/sh\nif [ \"$*\" = '--print sysroot' ]; then echo '{}/no-sysroot'; else exec rustc \"$@\"; fi\n",
        project.root()
    );
    project.write("rustc.sh", script);
    let rustc = project.root().join("rustc.sh");
    fs_err::set_permissions(&rustc, std::fs::Permissions::from_mode(0o755)).unwrap();
    project
        .xpc(&["bundle", "--target", "aarch64-apple-darwin"])
        .env("RUSTC", rustc.as_str())
        .fails(69, &["standard library for `aarch64-apple-darwin`", "rustup target add aarch64-apple-darwin"]);
}

#[test]
fn a_dry_run_writes_nothing() {
    let project = Plain::default().make();
    project.xpc(&["list"]).ok();
    let before = listing(project.root());
    let finished = project.xpc(&["bundle", "--dry-run"]).ok();
    let plan: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(plan["services"][0]["path"], "Contents/XPCServices/greeter.xpc");
    assert_eq!(plan["services"][0]["identifier"], "com.example.demo.greeter");
    assert_eq!(plan["destination"], project.bundle("demo").as_str());
    assert_eq!(listing(project.root()), before);
}

#[test]
fn entitlements_that_cannot_be_signed_are_found_before_the_build() {
    let project = Plain::default().service("entitlements = \"my.entitlements\"\n").make();
    for (body, word) in [
        ("<key>com.apple.security.inherit</key><true/>", "com.apple.security.inherit"),
        ("<key>com.apple.developer.team-identifier</key><string>X</string>", "com.apple.developer.team-identifier"),
        ("<key>a</key><real>1.5</real>", "`a` is a real number"),
        ("<key>a</key><array><date>2020-01-01T00:00:00Z</date></array>", "`a` is a date"),
    ] {
        project.write("greeter/my.entitlements", format!("<plist version=\"1.0\"><dict>{body}</dict></plist>\n"));
        let args = ["bundle", "--target", "aarch64-apple-darwin", "--dry-run"];
        project.xpc(&args).with_zig().fails(2, &["my.entitlements", word]);
    }
}

#[test]
fn what_is_no_bundle_is_not_replaced() {
    let project = Plain::default().make();
    project.write("out/demo.app/precious/file", "x");
    project.xpc(&["bundle", "--out", "out"]).fails(2, &["out/demo.app` is there already and is no bundle"]);
    assert!(project.root().join("out/demo.app/precious/file").exists());
    project.write("file/demo.app", "x");
    project.xpc(&["bundle", "--out", "file"]).fails(2, &["is no bundle"]);
    fs_err::create_dir(project.root().join("link")).unwrap();
    fs_err::os::unix::fs::symlink("nowhere", project.root().join("link/demo.app")).unwrap();
    project.xpc(&["bundle", "--out", "link"]).fails(2, &["is a symlink that leads nowhere"]);
}

#[test]
#[cfg(target_os = "linux")]
fn an_answer_that_cannot_be_written_is_an_error() {
    let project = Plain::default().make();
    for args in [&["list"][..], &["plist", "--message-format", "json"]] {
        let finished = project.xpc(args).stdout("/dev/full").run();
        assert_eq!(finished.code, 74, "{}", finished.stderr);
        assert!(finished.stderr.contains("cannot write the answer"), "{}", finished.stderr);
    }
}

#[test]
fn json_is_all_that_is_on_stdout() {
    let project = Plain::default().make();
    let json = ["--message-format", "json"];
    for args in [
        &["bundle"][..],
        &["bundle", "--dry-run"],
        &["list"],
        &["plist"],
        &["bundle", "--nope"],
        &["bundle", "--bin", "x"],
    ] {
        let finished = project.xpc(&[args, &json].concat()).run();
        assert!(!finished.stdout.is_empty(), "{args:?}: {}", finished.stderr);
        for line in finished.stdout.lines() {
            let line: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{args:?}: {e}: {line}"));
            assert!(line["reason"].is_string(), "{args:?}: {line}");
        }
    }
    // What `run` starts has the stream for itself.
    assert_eq!(project.xpc(&[&["run"], &json[..]].concat()).ok().stdout, "demo\n");
}

/// What to do stood nowhere, and what was missing in the middle of the linker's words.
#[cfg(target_os = "linux")]
#[test]
fn a_framework_that_only_an_sdk_has_is_said_to_need_one() {
    let project = Plain::default().make();
    let main = "#[link(name = \"AppKit\", kind = \"framework\")]\nunsafe extern \"C\" { fn NSApplicationLoad() -> bool; }\n\
                fn main() { println!(\"{}\", unsafe { NSApplicationLoad() }); }\n";
    project.write("app/src/main.rs", main);
    let args = ["bundle", "--target", "aarch64-apple-darwin"];
    project.xpc(&args).with_zig().fails(101, &["AppKit", "set SDKROOT to the folder of a macOS SDK"]);
}
