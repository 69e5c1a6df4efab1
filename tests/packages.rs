//! What would be published, installed from the packages, and used.

use std::process::Command;

use camino::Utf8Path;
use integration_tests::{Project, checkout, clean, must, target_dir, text};

/// In the order in which they would be published.
const CRATES: [&str; 7] = [
    "xpc-object",
    "xpc-runtime-macros",
    "xpc-portable",
    "xpc-runtime-sys",
    "xpc-runtime",
    "cargo-xpc-templates",
    "cargo-xpc",
];

/// The workspace's development profile: with it, the dependencies that are built already are used again.
const PROFILE: [&str; 4] = [
    "profile.dev.debug='line-tables-only'",
    "profile.dev.package.'*'.debug=false",
    "profile.dev.package.sha1.opt-level=3",
    "profile.dev.package.sha2.opt-level=3",
];

fn cargo(folder: &Utf8Path, args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    clean(&mut command).args(args).current_dir(folder);
    command
}

#[test]
fn packaged_installed_and_used() {
    let place = Project::empty();
    let folder = place.root();
    // Every publishable crate, and no other.
    let metadata = must(&mut cargo(checkout(), &["metadata", "--no-deps", "--format-version", "1"]));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let mut publishable: Vec<&str> = packages
        .filter(|package| package["publish"].is_null())
        .map(|package| package["name"].as_str().unwrap())
        .collect();
    let mut listed = CRATES.to_vec();
    publishable.sort_unstable();
    listed.sort_unstable();
    assert_eq!(publishable, listed);

    let mut package = cargo(checkout(), &["package", "--no-verify", "--allow-dirty", "--quiet"]);
    package
        .args(CRATES.iter().flat_map(|name| ["--package", name]))
        .args(["--target-dir", folder.join("made").as_str()]);
    let said = text(&must(&mut package).stderr);
    assert!(!said.contains("warning"), "{said}");
    let version = metadata["packages"][0]["version"].as_str().unwrap();
    let mut patches = String::from("[patch.crates-io]\n");
    for name in CRATES {
        let archive = folder.join(format!("made/package/{name}-{version}.crate"));
        must(Command::new("tar").args(["-xzf", archive.as_str()]).current_dir(folder));
        let unpacked = folder.join(format!("{name}-{version}"));
        for paper in ["LICENSE-MIT", "LICENSE-APACHE", "README.md"] {
            assert!(unpacked.join(paper).exists(), "{name} comes without {paper}");
        }
        patches += &format!("{name} = {{ path = {:?} }}\n", unpacked.as_str());
    }
    // As if they were on crates.io.
    place.write(".cargo/config.toml", patches);

    let source = folder.join(format!("cargo-xpc-{version}"));
    let mut install =
        cargo(folder, &["install", "--quiet", "--debug", "--root", "installed", "--path", source.as_str()]);
    install.args(["--target-dir", target_dir().as_str()]);
    install.args(PROFILE.iter().flat_map(|setting| ["--config", setting]));
    must(&mut install);

    let path = format!("{}:{}", folder.join("installed/bin"), std::env::var("PATH").unwrap());
    let xpc = |folder: &Utf8Path, args: &[&str]| {
        let mut call = cargo(folder, args);
        call.env("PATH", &path).env("CARGO_TARGET_DIR", Project::shared_target());
        text(&must(&mut call).stdout)
    };
    assert_eq!(xpc(folder, &["xpc", "--version"]).trim(), format!("cargo-xpc {version}"));
    xpc(folder, &["xpc", "new", "packaged"]);
    let project = folder.join("packaged");
    let manifest = fs_err::read_to_string(project.join("Cargo.toml")).unwrap();
    assert!(manifest.contains(&format!("xpc-runtime = \"{version}\"")), "{manifest}");
    xpc(&project, &["xpc", "bundle"]);
    assert_eq!(xpc(&project, &["xpc", "run", "--quiet"]), "Hello, world!\n");
}
