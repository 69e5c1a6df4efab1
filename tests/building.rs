//! The right program, built as asked, from where it was asked.

use std::process::Command;

use camino::Utf8Path;
use integration_tests::{Plain, Project, host, listing, must, text};

fn said_by(program: &Utf8Path) -> String {
    text(&must(&mut Command::new(program)).stdout)
}

/// Another package with a binary of this name, listed as a service.
fn add_package(project: &Project, package: &str, bin: &str) {
    let manifest = format!(
        "[package]\nname = \"{package}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[[bin]]\nname = \"{bin}\"\npath = \"main.rs\"\n\n\
         [package.metadata.xpc.service.{bin}]\nidentifier = \"com.example.demo.{package}\"\nname = \"{package}\"\n"
    );
    project.write(&format!("{package}/Cargo.toml"), manifest);
    project.write(&format!("{package}/main.rs"), format!("fn main() {{\n    println!(\"I am {package}\");\n}}\n"));
}

#[test]
fn programs_of_one_name_are_told_apart() {
    let project = Plain::default().make();
    for (package, bin) in [("one", "greeter"), ("two", "greeter"), ("three", "demo")] {
        add_package(&project, package, bin);
    }
    project.edit("Cargo.toml", "\"greeter\"", "\"greeter\", \"one\", \"two\", \"three\"");
    project.edit("app/Cargo.toml", "[\"greeter\"]", "[\"one/greeter\", \"two/greeter\", \"three/demo\"]");
    project.xpc(&["bundle"]).ok();
    let app = project.bundle("demo");
    assert_eq!(said_by(&app.join("Contents/MacOS/demo")), "demo\n");
    for (package, bin) in [("one", "greeter"), ("two", "greeter"), ("three", "demo")] {
        let program = app.join(format!("Contents/XPCServices/{package}.xpc/Contents/MacOS/{bin}"));
        assert_eq!(said_by(&program), format!("I am {package}\n"));
    }
    project.xpc(&["bundle", "--services-only", "--out", "alone"]).ok();
    for package in ["one", "two"] {
        let program = project.root().join(format!("alone/{package}.xpc/Contents/MacOS/greeter"));
        assert_eq!(said_by(&program), format!("I am {package}\n"));
    }
}

#[test]
fn what_others_build_meanwhile_is_not_bundled() {
    let project = Plain::default().services(&[]).make();
    let manifest = fs_err::read_to_string(project.root().join("app/Cargo.toml")).unwrap();
    project.write("app/Cargo.toml", manifest + "\n[features]\nloud = []\n");
    project.write("app/src/main.rs", "fn main() {\n    println!(\"{}\", cfg!(feature = \"loud\"));\n}\n");
    let first = project.xpc(&["bundle", "--features", "loud", "--out", "loud"]).stop_at("built");
    must(integration_tests::clean(&mut Command::new("cargo")).arg("build").current_dir(project.root()));
    assert_eq!(first.finish(), 0);
    assert_eq!(said_by(&project.root().join("loud/demo.app/Contents/MacOS/demo")), "true\n");
    // Nothing of the way there stays.
    let left = listing(&project.root().join("target/xpc"));
    assert!(left.keys().all(|name| name == ".build"), "{left:?}");
}

#[test]
fn the_manifest_that_was_named_says_which_app() {
    let project = Plain::default().make();
    let second = |name: &str, folder: &str| {
        let manifest = fs_err::read_to_string(project.root().join("app/Cargo.toml")).unwrap();
        let manifest = manifest.replace("name = \"demo\"", &format!("name = \"{name}\""));
        let manifest = manifest.replace("app.demo", &format!("app.{name}")).replace("example.demo", "example.other");
        project.write(&format!("{folder}/Cargo.toml"), manifest);
        project.write(&format!("{folder}/src/main.rs"), "fn main() {}\n");
    };
    second("other", "other");
    project.edit("Cargo.toml", "\"greeter\"", "\"greeter\", \"other\"");
    let planned = |folder: &str, args: &[&str]| {
        let call =
            integration_tests::Xpc::new(&project.root().join(folder), &[&["bundle", "--dry-run"], args].concat());
        let finished = call.run();
        let plan: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap_or_default();
        (finished.code, plan["main"]["bin"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(planned("app", &[]), (0, "demo".to_owned()));
    assert_eq!(planned("app/src", &["--manifest-path", "../../other/Cargo.toml"]), (0, "other".to_owned()));
    assert_eq!(planned(".", &[]), (2, String::new()));
    project.edit("Cargo.toml", "resolver", "default-members = [\"other\"]\nresolver");
    assert_eq!(planned(".", &[]), (0, "other".to_owned()));
}

#[test]
fn a_release_holds_no_path_of_a_build_directory() {
    let project = Plain::default().services(&[]).make_in(Project::named("workspace"));
    project.write("app/build.rs", "fn main() {\n    let out = std::env::var(\"OUT_DIR\").unwrap();\n    std::fs::write(out + \"/generated.rs\", \"fn file() -> &'static str { file!() }\").unwrap();\n}\n");
    let source =
        "include!(concat!(env!(\"OUT_DIR\"), \"/generated.rs\"));\nfn main() {\n    println!(\"{}\", file());\n}\n";
    project.write("app/src/main.rs", source);
    let above = project.root().parent().unwrap().as_str();
    for args in [&["--target-dir", "../elsewhere"][..], &[]] {
        let finished = project
            .xpc(&[&["bundle", "--release", "--out", "out"], args].concat())
            .env("CARGO_BUILD_BUILD_DIR", "../build-directory");
        // The second time the build directory is the target directory's own.
        let finished = if args.is_empty() { finished } else { finished.env("CARGO_BUILD_BUILD_DIR", "target") };
        finished.ok();
        let said = said_by(&project.root().join("out/demo.app/Contents/MacOS/demo"));
        assert!(!said.contains(above) && !said.contains(".."), "{said}");
    }
}

#[test]
fn a_profile_that_inherits_development_is_for_development() {
    let project = Plain::default().make();
    let manifest = fs_err::read_to_string(project.root().join("Cargo.toml")).unwrap();
    let profiles = "[profile.quick]\ninherits = \"dev\"\n[profile.quicker]\ninherits = \"quick\"\n[profile.shipped]\ninherits = \"release\"\n";
    project.write("Cargo.toml", manifest + profiles);
    for (profile, debugging) in [("quicker", true), ("shipped", false), ("dev", true)] {
        let args = ["bundle", "--dry-run", "--target", "x86_64-apple-darwin", "--profile", profile];
        let plan: serde_json::Value = serde_json::from_str(&project.xpc(&args).with_zig().ok().stdout).unwrap();
        assert_eq!(plan["signing"]["get-task-allow"], debugging, "{profile}");
    }
}

#[test]
fn targets_that_cannot_be() {
    let project = Plain::default().make();
    for (target, word) in [
        ("nonsense", "`nonsense` is no target that rustc knows"),
        ("aarch64-apple-ios", "only macOS has XPC services"),
        ("x86_64-pc-windows-msvc", "apps with services run on macOS, and on Linux"),
        ("", "names nothing"),
        ("my.json", "a target of your own"),
    ] {
        project.xpc(&["bundle", "--target", target]).fails(2, &[word]);
    }
    project.xpc(&["bundle", "--target", "host-tuple"]).ok();
    assert!(project.bundle("demo").exists(), "for {}", host());
}
