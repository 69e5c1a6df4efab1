//! Real bundles, for Apple's targets and for this machine, read by tools that are not ours.

use camino::Utf8Path;
use integration_tests::{Project, host, listing, peer};
use serde_json::{Value, json};

const SIGNED_AD_HOC: u64 = 0x2;

/// The scaffold's own app, in a target directory that such projects share.
fn bundle(project: &Project, args: &[&str]) -> Value {
    let target = Project::shared_target();
    let args: Vec<&str> = ["bundle", "--message-format", "json"].iter().chain(args).copied().collect();
    let finished = project.xpc(&args).env("CARGO_TARGET_DIR", target.as_str()).with_zig().ok();
    let mut lines = finished.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.rfind(|line| line["reason"] == "bundle-finished").expect("a bundle was finished")
}

fn entitlements(project: &Project) {
    let file = |key: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\"><dict><key>{key}</key><true/></dict></plist>\n"
        )
    };
    project.write("app/app.entitlements", file("com.apple.security.automation.apple-events"));
    project.write("service/service.entitlements", file("com.apple.security.network.client"));
    let add = |path: &str, table: &str, line: &str| {
        let manifest = fs_err::read_to_string(project.root().join(path)).unwrap();
        let at = manifest.find(table).unwrap() + table.len();
        project.write(path, format!("{}\n{line}{}", &manifest[..at], &manifest[at..]));
    };
    let name = project.root().file_name().unwrap();
    add("app/Cargo.toml", &format!("[package.metadata.xpc.app.{name}]"), "entitlements = \"app.entitlements\"");
    add(
        "service/Cargo.toml",
        &format!("[package.metadata.xpc.service.{name}-service]"),
        "entitlements = \"service.entitlements\"\nminimum-system-version = \"12.3\"",
    );
}

#[test]
fn universal_signed_and_read_by_peers() {
    let project = Project::scaffold("universal");
    entitlements(&project);
    let finished = bundle(&project, &["--universal", "--release"]);
    assert_eq!(finished["identity"], "ad-hoc");
    let path = finished["bundle"].as_str().unwrap();
    let read = peer("bundle.py", &[path]);
    assert_eq!(read["wrong"], json!([]));
    let machos = read["machos"].as_object().unwrap();
    let service = "Contents/XPCServices/universal-service.xpc/Contents/MacOS/universal-service";
    assert_eq!(machos.keys().collect::<Vec<_>>(), ["Contents/MacOS/universal", service]);
    for (program, identifier, minimum, key) in [
        ("Contents/MacOS/universal", "com.example.universal", "11.0", "com.apple.security.automation.apple-events"),
        (service, "com.example.universal.service", "12.3", "com.apple.security.network.client"),
    ] {
        let slices = machos[program].as_array().unwrap();
        let arches: Vec<_> = slices.iter().map(|slice| slice["arch"].as_str().unwrap()).collect();
        assert_eq!(arches, ["x86_64", "arm64"]);
        for slice in slices {
            assert_eq!(slice["identifier"], identifier);
            assert_eq!(slice["flags"], SIGNED_AD_HOC);
            assert_eq!(slice["minos"], minimum);
            // Its own, and no get-task-allow in a release.
            assert_eq!(slice["entitlements"], json!({ key: true }));
            assert_eq!(slice["der"], true);
            let libraries = slice["libraries"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
            // Apple's linker keeps iconv, which Rust's standard library names and nobody uses.
            let needed = libraries.filter(|name| !name.starts_with("/usr/lib/libiconv")).collect::<Vec<_>>();
            assert_eq!(needed, ["/usr/lib/libSystem.B.dylib"]);
        }
        let imports = slices[0]["imports"].as_array().unwrap();
        let wanted = if program == service { "_xpc_main" } else { "_xpc_connection_create" };
        assert!(imports.iter().any(|symbol| symbol == wanted), "{program} does not import {wanted}");
    }
    let plists = &read["plists"];
    assert_eq!(
        plists["Contents/XPCServices/universal-service.xpc/Contents/Info.plist"]["LSMinimumSystemVersion"],
        "12.3"
    );
    assert!(plists.get("Contents/_CodeSignature/CodeResources").is_some());
}

#[test]
fn a_certificate_signs_what_is_built() {
    let project = Project::scaffold("certified");
    let identities = integration_tests::checkout().join("cargo-xpc/tests/fixtures/identity");
    // Without a team the profile means nothing, and the user is told.
    project.write("app/demo.provisionprofile", "for a release");
    project.edit(
        "app/Cargo.toml",
        "[package.metadata.xpc.app.certified]",
        "[package.metadata.xpc.app.certified]\nprovisioning-profile = \"demo.provisionprofile\"",
    );
    let certificate = identities.join("plain.pem");
    let finished = bundle(&project, &["--target", "aarch64-apple-darwin", "--sign", certificate.as_str()]);
    assert_eq!((&finished["identity"], &finished["certificate"]["team"]), (&json!("certificate"), &Value::Null));
    let read = peer("bundle.py", &[finished["bundle"].as_str().unwrap()]);
    assert_eq!(read["wrong"], json!([]));
    for slice in read["machos"].as_object().unwrap().values().map(|slices| &slices[0]) {
        assert_eq!(
            (&slice["flags"], &slice["entitlements"]),
            (&json!(0), &json!({ "com.apple.security.get-task-allow": true }))
        );
    }

    let asked =
        project.xpc(&["bundle", "--target", "aarch64-apple-darwin", "--sign", certificate.as_str(), "--dry-run"]);
    let planned = asked.with_zig().ok();
    assert!(
        planned.stderr.contains("demo.provisionprofile` grants nothing to what is signed without a team"),
        "{planned:?}"
    );
    let plan: Value = serde_json::from_str(&planned.stdout).unwrap();
    assert_eq!(plan["signing"]["certificate"]["subject"], "CN=Plain Signer, O=Example");

    let team = identities.join("developer-id.p12");
    let asked = ["bundle", "--target", "aarch64-apple-darwin", "--sign", team.as_str(), "--password-env", "PASSWORD"];
    let asked = project.xpc(&asked).with_zig().env("PASSWORD", "swordfish-7");
    let asked = asked.env("CARGO_XPC_APPLE_ROOT", identities.join("apple-root.cer").as_str());
    asked.fails(2, &["demo.provisionprofile: it is no provisioning profile"]);
}

/// What `[package.metadata.xpc…]` says of signatures, beside the entitlements.
#[test]
fn requirements_constraints_options_and_policies_of_the_configuration() {
    let signed = "\
        requirements = \"requirement.txt\"\n\
        options = [\"library\", \"kill\"]\n\
        launch-constraints = { parent = \"parent.plist\" }\n";
    let kept = "frameworks = [\"Foo.framework\"]\nthird-party = { \"Contents/Frameworks/Foo.framework\" = \"keep\" }\n";
    let project = integration_tests::Plain::default().service(signed).app(kept).make();
    project.write("greeter/requirement.txt", "identifier \"com.example.demo.greeter\" or always");
    let plist = |key: &str, value: &str| {
        format!("<plist version=\"1.0\"><dict><key>{key}</key><string>{value}</string></dict></plist>")
    };
    project.write("greeter/parent.plist", plist("signing-identifier", "com.example.demo"));

    // A framework that its maker signed.
    project.write("foo.c", "int foo(void) { return 1; }");
    project.write("app/Foo.framework/Versions/A/Resources/Info.plist", plist("CFBundleIdentifier", "com.example.foo").replace(
        "</dict>",
        "<key>CFBundleExecutable</key><string>Foo</string><key>CFBundlePackageType</key><string>FMWK</string></dict>",
    ));
    let framework = project.root().join("app/Foo.framework");
    for (target, link) in
        [("A", "Versions/Current"), ("Versions/Current/Foo", "Foo"), ("Versions/Current/Resources", "Resources")]
    {
        std::os::unix::fs::symlink(target, framework.join(link)).unwrap();
    }
    let mut clang = std::process::Command::new(integration_tests::venv().join("python"));
    clang.args([
        "-m",
        "ziglang",
        "cc",
        "-target",
        "aarch64-macos",
        "-shared",
        "-o",
        "app/Foo.framework/Versions/A/Foo",
        "foo.c",
    ]);
    integration_tests::must(clang.current_dir(project.root()));
    let identity = integration_tests::checkout().join("cargo-xpc/tests/fixtures/identity/plain.pem");
    project.xpc(&["sign", "app/Foo.framework", "--identity", identity.as_str()]).ok();

    let finished = project.xpc(&["bundle", "--target", "aarch64-apple-darwin"]).with_zig().ok();
    assert!(finished.stderr.contains("Kept Contents/Frameworks/Foo.framework"), "{finished:?}");
    let app = project.root().join("target/xpc/aarch64-apple-darwin/debug/demo.app");
    assert_eq!(listing(&app.join("Contents/Frameworks/Foo.framework")), listing(&framework));
    let report: Value =
        serde_json::from_str(&project.xpc(&["verify", app.as_str(), "--message-format", "json"]).ok().stdout).unwrap();
    let program = "Contents/XPCServices/greeter.xpc/Contents/MacOS/greeter";
    let code = report["code"].as_array().unwrap().iter().find(|code| code["path"] == program).unwrap();
    assert_eq!(code["flags"], json!(["adhoc", "kill", "library"]));
    assert_eq!(code["requirement"], "identifier \"com.example.demo.greeter\" or always");
    let read = peer("bundle.py", &[app.as_str()]);
    assert_eq!((&read["wrong"], &read["machos"][program][0]["constraints"]), (&json!([]), &json!([9])));

    // A mistake in one of the files is told before anything is built.
    project.write("greeter/requirement.txt", "identifier");
    let asked = project.xpc(&["bundle", "--target", "aarch64-apple-darwin"]).with_zig();
    let refused = asked.fails(2, &["it ends where an identifier should stand"]);
    assert!(!refused.stderr.contains("Building"), "{refused:?}");
}

#[test]
fn verify_finds_a_change_and_says_so() {
    let project = integration_tests::Plain::default().app("resources = [\"data/**\"]\n").make();
    project.write("app/data/one.txt", "one");
    project.xpc(&["bundle", "--target", "aarch64-apple-darwin"]).with_zig().ok();
    let app = project.root().join("target/xpc/aarch64-apple-darwin/debug/demo.app");
    let verify = |args: &[&str]| project.xpc(&[&["verify", app.as_str()], args].concat()).run();
    let finished = verify(&[]);
    assert_eq!((finished.code, finished.stdout.lines().count()), (0, 1), "{finished:?}");
    assert!(finished.stdout.contains("as sealed (2 signatures, ad hoc)"), "{finished:?}");
    fs_err::write(app.join("Contents/Resources/data/one.txt"), "two").unwrap();
    let finished = verify(&[]);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stdout.contains("Contents/Resources/data/one.txt: was changed after signing"), "{finished:?}");
    let answer: Value = serde_json::from_str(&verify(&["--message-format", "json"]).stdout).unwrap();
    assert_eq!((&answer["reason"], &answer["verdict"]), (&json!("verified"), &json!("invalid")));
    project.xpc(&["verify", "nothing.app"]).fails(2, &["there is no `nothing.app`"]);
    // What was made for another system has no seal at all.
    if cfg!(not(target_os = "macos")) {
        project.xpc(&["bundle"]).ok();
        let finished = project.xpc(&["verify", project.bundle("demo").as_str()]).run();
        assert_eq!(finished.code, 1, "{finished:?}");
        assert!(finished.stdout.contains("not signed: its program is ELF"), "{finished:?}");
    }
}

#[test]
fn one_apple_target_in_development_can_be_debugged() {
    let project = Project::scaffold("debuggable");
    let finished = bundle(&project, &["--target", "x86_64-apple-darwin"]);
    let read = peer("bundle.py", &[finished["bundle"].as_str().unwrap()]);
    assert_eq!(read["wrong"], json!([]));
    for (program, slices) in read["machos"].as_object().unwrap() {
        assert_eq!(slices.as_array().unwrap().len(), 1, "{program}");
        assert_eq!(slices[0]["arch"], "x86_64");
        assert_eq!(slices[0]["entitlements"], json!({ "com.apple.security.get-task-allow": true }), "{program}");
    }
}

#[test]
fn this_machine_and_the_service_answers() {
    let project = Project::scaffold("answers");
    let target = Project::shared_target();
    let run = |args: &[&str]| project.xpc(args).env("CARGO_TARGET_DIR", target.as_str()).ok();
    assert_eq!(run(&["run", "--quiet"]).stdout, "Hello, world!\n");
    assert_eq!(run(&["run", "--quiet", "--", "Ada Lovelace"]).stdout, "Hello, Ada Lovelace!\n");
    let app = target.join("xpc").join(host()).join("debug/answers.app");
    let files = listing(&app);
    assert!(files.contains_key("Contents/XPCServices/answers-service.xpc/Contents/MacOS/answers-service"));
    // Without its service the app says so, and `run` hands its status on.
    fs_err::rename(app.join("Contents/XPCServices"), app.join("Contents/Elsewhere")).unwrap();
    let alone = std::process::Command::new(app.join("Contents/MacOS/answers")).output().unwrap();
    assert_eq!(alone.status.code(), Some(1), "{alone:?}");
    assert!(integration_tests::text(&alone.stderr).contains("com.example.answers.service"), "{alone:?}");
}

#[test]
fn the_example_lives_on_when_its_service_does_not() {
    let deep = "(".repeat(1_000_000);
    let target = Project::shared_target();
    let input = ["1 + 2 * 3", &deep, "(4 - 5", "6 / 3", ""].join("\n");
    let call = integration_tests::Xpc::new(integration_tests::checkout(), &["run", "--quiet", "--bin", "evaluator"]);
    let finished = call.env("CARGO_TARGET_DIR", target.as_str()).input(input).ok();
    let lines: Vec<&str> = finished.stdout.lines().collect();
    let crashed = format!("{}…: the service did not survive that", "(".repeat(40));
    assert_eq!(lines, ["1 + 2 * 3 = 7", &crashed, "(4 - 5: a `)` is missing at the end", "6 / 3 = 2"]);
    // What the service said as it died stands in the app's log, with its name.
    assert!(finished.stderr.contains("[com.example.evaluator.service]"), "{}", finished.stderr);
    assert!(finished.stderr.contains("overflowed its stack"), "{}", finished.stderr);
}

#[test]
fn run_returns_the_apps_own_status() {
    let project = integration_tests::Plain::default().make();
    project.write("app/src/main.rs", "fn main() {\n    std::process::exit(42);\n}\n");
    assert_eq!(project.xpc(&["run"]).run().code, 42);
    project.write("app/src/main.rs", "fn main() {\n    std::process::abort();\n}\n");
    let finished = project.xpc(&["run"]).run();
    assert_eq!(finished.code, 128 + 6, "{}", finished.stderr);
}

#[test]
fn services_alone_for_a_tool_that_makes_the_app() {
    let project = integration_tests::Plain::default().services(&["greeter", "counter"]).make();
    let manifest = fs_err::read_to_string(project.root().join("app/Cargo.toml")).unwrap();
    project.write("app/Cargo.toml", manifest.replace("identifier = \"com.example.demo\"\n", ""));
    // Asked nothing twice: the identifier is in Tauri's file.
    project.write(
        "app/tauri.conf.json",
        "{ // a comment\n \"productName\": \"Demo\", \"identifier\": \"com.example.demo\",\n \
         \"bundle\": { \"macOS\": { \"minimumSystemVersion\": \"12.0\" } } }\n",
    );
    project.xpc(&["bundle"]).fails(2, &["is a Tauri app", "tauri.conf.json", "--services-only"]);
    let args = ["bundle", "--services-only", "--target", "aarch64-apple-darwin", "--out", "out"];
    project.xpc(&args).with_zig().ok();
    let out = project.root().join("out");
    let names: Vec<String> = listing(&out).into_keys().filter(|name| !name.contains('/')).collect();
    assert_eq!(names, ["counter.xpc", "greeter.xpc"]);
    for name in names {
        let service = out.join(name);
        project.xpc(&["verify", service.as_str()]).ok();
        let read = peer("bundle.py", &[service.as_str()]);
        assert_eq!(read["wrong"], json!([]));
        assert_eq!(read["plists"]["Contents/Info.plist"]["CFBundlePackageType"], "XPC!");
        assert_eq!(read["plists"]["Contents/Info.plist"]["LSMinimumSystemVersion"], "12.0");
    }
}

#[test]
fn what_other_bundlers_know_is_not_asked_again() {
    for (table, minimum) in [
        ("[package.metadata.bundle]\nname = \"Demo App\"\nosx_minimum_system_version = \"12.1\"", "12.1"),
        ("[package.metadata.bundle.bin.demo]\nname = \"Demo App\"", "11.0"),
        (
            "[package.metadata.packager]\nproduct-name = \"Demo App\"\nmacos = { minimum-system-version = \"13.0\" }",
            "13.0",
        ),
    ] {
        let project = integration_tests::Plain::default().make();
        let manifest = fs_err::read_to_string(project.root().join("app/Cargo.toml")).unwrap();
        let line = "identifier = \"com.example.demo\"\n";
        project.write("app/Cargo.toml", manifest.replace(line, "") + &format!("\n{table}\n{line}"));
        let plist = project.xpc(&["plist", "--message-format", "json"]).ok().stdout;
        let plist: Value = serde_json::from_str(&plist).unwrap();
        assert_eq!(plist["plist"]["CFBundleIdentifier"], "com.example.demo", "{table}");
        assert_eq!(plist["plist"]["CFBundleName"], "Demo App", "{table}");
        assert_eq!(plist["plist"]["LSMinimumSystemVersion"], minimum, "{table}");
        // What is said to us stands above it.
        project.edit(
            "app/Cargo.toml",
            "[package.metadata.xpc.app.demo]",
            "[package.metadata.xpc.app.demo]\nname = \"Ours\"",
        );
        assert!(project.xpc(&["plist"]).ok().stdout.contains("<string>Ours</string>"), "{table}");
    }
}

#[test]
fn a_configured_target_is_built_for_and_run_stays_here() {
    let project = integration_tests::Plain::default().make();
    project.write(".cargo/config.toml", "[build]\ntarget = \"x86_64-apple-darwin\"\n");
    project.xpc(&["bundle"]).with_zig().ok();
    assert!(project.root().join("target/xpc/x86_64-apple-darwin/debug/demo.app").exists());
    assert_eq!(project.xpc(&["run"]).ok().stdout, "demo\n");
}

#[test]
fn features_reach_the_package_that_they_name() {
    let project = integration_tests::Plain::default().make();
    for (package, file) in [("app", "demo"), ("greeter", "greeter")] {
        let manifest = format!("{package}/Cargo.toml");
        let before = fs_err::read_to_string(project.root().join(&manifest)).unwrap();
        project.write(&manifest, before + "\n[features]\nloud = []\n");
        let source = format!("fn main() {{\n    println!(\"{file} {{}}\", cfg!(feature = \"loud\"));\n}}\n");
        project.write(&format!("{package}/src/main.rs"), source);
    }
    let said = |features: &str| {
        project.xpc(&["bundle", "--features", features]).ok();
        let bundle = project.bundle("demo");
        let run = |path: &Utf8Path| {
            let output = std::process::Command::new(bundle.join(path)).output().unwrap();
            integration_tests::text(&output.stdout)
        };
        run("Contents/MacOS/demo".into()) + &run("Contents/XPCServices/greeter.xpc/Contents/MacOS/greeter".into())
    };
    assert_eq!(said("loud"), "demo true\ngreeter false\n");
    assert_eq!(said("greeter/loud"), "demo false\ngreeter true\n");
    assert_eq!(said("loud,greeter/loud"), "demo true\ngreeter true\n");
}

#[test]
fn release_bundles_are_equal_wherever_they_are_made() {
    let bundles: Vec<(Project, Utf8PathBufPair)> = ["one", "two/deeper"]
        .iter()
        .map(|folder| {
            let outer = Project::empty();
            let inner = outer.root().join(folder);
            fs_err::create_dir_all(&inner).unwrap();
            let runtime = integration_tests::checkout().join("xpc-runtime");
            integration_tests::Xpc::new(&inner, &["new", "demo", "--runtime-path", runtime.as_str()]).ok();
            let home = outer.root().join("cargo-home");
            let call = integration_tests::Xpc::new(&inner.join("demo"), &["bundle", "--universal", "--release"]);
            call.env("CARGO_HOME", home.as_str()).with_zig().ok();
            let bundle = inner.join("demo/target/xpc/universal-apple-darwin/release/demo.app");
            (outer, (bundle, home))
        })
        .collect();
    let [(one, (first, _)), (two, (second, _))] = &bundles[..] else { unreachable!() };
    assert_eq!(listing(first), listing(second));
    let checkout = integration_tests::checkout();
    for file in listing(first).keys().map(|name| first.join(name)).filter(|path| path.is_file()) {
        let content = fs_err::read(&file).unwrap();
        for path in [one.root(), two.root(), checkout] {
            let found = content.windows(path.as_str().len()).any(|bytes| bytes == path.as_str().as_bytes());
            assert!(!found, "{path} is inside {file}");
        }
    }
}

type Utf8PathBufPair = (camino::Utf8PathBuf, camino::Utf8PathBuf);

/// cargo, rustc, build scripts and what links are told nothing of who signs, neither by arguments nor by the environment.
#[test]
fn passwords_reach_no_other_program() {
    use std::os::unix::fs::PermissionsExt as _;

    const PASSWORD: &str = "swordfish-7";
    let project = integration_tests::Plain::default().make();
    let root = project.root();
    let path = integration_tests::path_with_zig();
    for name in ["cargo", "rustc", "cargo-zigbuild", "zig"] {
        let script = format!(
            "#!/bin/sh\n(printf '%s\\n' \"{name} $*\"; env) >> '{root}/asked'\nPATH='{path}' exec {name} \"$@\"\n"
        );
        project.write(&format!("recorder/{name}"), script);
        fs_err::set_permissions(root.join("recorder").join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    // A condition, for which rustc is asked by the reader of cargo's configuration.
    project.write(".cargo/config.toml", "[target.'cfg(unix)']\nrustflags = []\n");
    let script = format!(
        "fn main() {{\n    let all: Vec<_> = std::env::vars().collect();\n    std::fs::write(\"{root}/told\", format!(\"{{all:?}}\")).unwrap();\n}}\n"
    );
    project.write("app/build.rs", script);
    let identity = integration_tests::checkout().join("cargo-xpc/tests/fixtures/identity/modern.p12");
    project.write("secret", PASSWORD);
    for source in [["--password-env", "PASSWORD_OF_TEST"], ["--password-file", "secret"]] {
        let args = ["bundle", "-vv", "--target", "aarch64-apple-darwin", "--sign", identity.as_str()];
        let mut call = project.xpc(&[&args[..], &source].concat()).env("PATH", &format!("{root}/recorder:{path}"));
        if source[0] == "--password-env" {
            call = call.env("PASSWORD_OF_TEST", PASSWORD);
        }
        let finished = call.env("RUST_LOG", "trace").ok();
        assert!(!finished.stdout.contains(PASSWORD) && !finished.stderr.contains(PASSWORD), "{}", finished.stderr);
    }
    let asked = fs_err::read_to_string(root.join("asked")).unwrap();
    for name in ["cargo ", "rustc ", "rustc --print cfg"] {
        assert!(asked.lines().any(|line| line.starts_with(name)), "{name} was never started:\n{asked}");
    }
    assert!(!asked.contains(PASSWORD) && !asked.contains("p12"), "{asked}");
    let told = fs_err::read_to_string(root.join("told")).unwrap();
    assert!(told.contains("OUT_DIR") && !told.contains(PASSWORD), "{told}");
}
