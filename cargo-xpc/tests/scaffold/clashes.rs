//! What is refused before the first byte is written: each test compares the whole tree before and after.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::Place;

#[test]
fn names() {
    let place = Place::empty();
    place.refuses(&["2demo"], &["`2demo`", "start with a letter", "--name"]);
    place.refuses(&["my demo"], &["`my demo`", "only letters"]);
    place.refuses(&["demo", "--name", "crate"], &["keyword"]);
    place.refuses(&["demo", "--name", "test"], &["Rust's own"]);
    place.refuses(&["demo", "--name", "xpc_runtime"], &["hide the crate"]);
    let long = "a".repeat(60);
    place.refuses(&["demo", "--name", &long], &["-service` cannot", "64 characters"]);
    place.refuses(&["/"], &["cannot be a package name", "empty"]);
    place.refuses(&[""], &["the path is empty"]);
}

#[test]
fn identifiers() {
    let place = Place::empty();
    place.refuses(&["demo", "--identifier", "demo"], &["reverse-DNS", "single part"]);
    place.refuses(&["demo", "--identifier", "com..demo"], &["empty part"]);
    place.refuses(&["demo", "--identifier", "com.dämo"], &["only letters"]);
    let long = format!("com.{}", "a".repeat(150));
    place.refuses(&["demo", "--identifier", &long], &["longer than 155", "--identifier"]);
}

#[test]
fn folders() {
    let place = Place::empty();
    place.write("file", "");
    symlink("nowhere", place.root.join("dangling")).unwrap();
    place.refuses(&["file"], &["/file` is not a folder"]);
    place.refuses(&["file/demo"], &["/file` is not a folder"]);
    place.refuses(&["dangling"], &["dangling` is a symbolic link"]);
    place.refuses(&["C:\\demo", "--name", "demo"], &["separates folders on Windows", "use `/`"]);
    place.refuses(&["de:mo", "--name", "demo"], &["separates paths"]);
    place.refuses(&["demo*", "--name", "demo"], &["member patterns"]);
}

#[test]
fn files_that_exist() {
    let place = Place::empty();
    place.write("demo/service/src/main.rs", "mine");
    place.write("demo/notes.txt", "mine");
    // A dangling link would be written through.
    symlink("/nowhere", place.root.join("demo/README.md")).unwrap();
    place.refuses(&["demo"], &["demo/README.md`, `", "demo/service/src/main.rs`; move them away"]);
    // What is not in the way stays.
    fs_err::remove_file(place.root.join("demo/README.md")).unwrap();
    fs_err::remove_dir_all(place.root.join("demo/service")).unwrap();
    place.new_(&["demo"]).ok();
    assert_eq!(place.tree()["demo/notes.txt"], "mine");
}

#[test]
fn a_file_where_a_folder_is_needed() {
    let place = Place::empty();
    place.write("demo/service", "mine");
    place.refuses(&["demo"], &["demo/service` is not a folder"]);
}

#[test]
fn the_interface_of_a_service_has_its_own_folder_to_clash_with() {
    let place = Place::of_case("root-package");
    place.write("greeter-interface/src/lib.rs", "mine");
    place.refuses(&["greeter"], &["greeter-interface/src/lib.rs`"]);
}

#[test]
fn packages_and_binaries_of_the_workspace() {
    let place = Place::of_case("several-apps");
    let to_one = |name: &'static str| ["new", "--app", "one", "--name", name];
    place.refuses(&to_one("other"), &["has `other` already", "other/Cargo.toml"]);
    place.refuses(&to_one("plain"), &["has `plain` already", "tools/Cargo.toml"]);
    place.new_(&["greeter", "--app", "one"]).ok();
    // `rustc` writes both names the same way, and macOS's file system reads both the same way.
    place.refuses(&to_one("greeter_interface"), &["has `greeter-interface` already"]);
    place.refuses(&to_one("GREETER"), &["has `greeter` already"]);
}

#[test]
fn an_interface_that_another_package_is_called() {
    let place = Place::of_case("no-app");
    place.write("tool/Cargo.toml", "[package]\nname = \"greeter-interface\"\n");
    place.refuses(&["greeter"], &["has `greeter-interface` already", "tool/Cargo.toml"]);
    place.new_(&["greeter", "--template", "standalone"]).ok();
}

#[test]
fn identifiers_of_the_workspace() {
    let place = Place::empty();
    place.new_(&["demo"]).ok();
    let demo = "demo/app/Cargo.toml";
    for taken in ["com.example.demo", "COM.example.Demo", "com.example.demo.service"] {
        let before = place.tree();
        let answer = place.new_in("demo", &["greeter", "--identifier", taken]);
        assert_eq!(answer.code, Some(2));
        assert!(answer.stderr.contains(&format!("`{taken}` is used already, in ")), "{}", answer.stderr);
        assert!(answer.stderr.contains("--identifier"));
        assert_eq!(place.tree(), before);
    }
    assert!(place.tree()[demo].contains("services = [\"demo-service\"]"));
    // The default is checked too.
    let answer = place.new_in("demo", &["service"]);
    assert!(answer.stderr.contains("`com.example.demo.service` is used already"), "{}", answer.stderr);
}

#[test]
fn an_identifier_that_only_an_interface_has() {
    let place = Place::of_case("no-app");
    place.write(
        "tool/Cargo.toml",
        "[package]\nname = \"tool\"\n[package.metadata.xpc.interface]\nidentifier = \"a.b\"\n",
    );
    place.refuses(&["greeter", "--identifier", "a.b"], &["`a.b` is used already", "tool/Cargo.toml"]);
}

#[test]
fn an_app_without_a_workspace() {
    let place = Place::of_case("root-package");
    let alone = place.tree()["Cargo.toml"].replace("[workspace]\n", "");
    place.write("Cargo.toml", &alone);
    place.refuses(&["greeter"], &["add a line `[workspace]`"]);
}

#[test]
fn a_second_app_appeared_inside_of_a_package_without_a_workspace() {
    let place = Place::empty();
    place.write("Cargo.toml", "[package]\nname = \"tool\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    place.write("src/main.rs", "fn main() {}\n");
    place.refuses(
        &["svc"],
        &["/Cargo.toml` is a package without a workspace", "`[workspace]`", "`exclude = [\"svc\"]`"],
    );
    place.refuses(&["src/svc"], &["`exclude = [\"src/svc\"]`"]);
    // Either of what it says helps.
    let manifest = place.tree()["Cargo.toml"].clone() + "[workspace]\n";
    place.write("Cargo.toml", &manifest);
    let answer = place.new_(&["svc", "--app", "tool"]).ok();
    assert!(answer.stderr.contains("service `svc`"), "{}", answer.stderr);
    let manifest = place.tree()["Cargo.toml"].replace("[workspace]\n", "[workspace]\nexclude = [\"apart\"]\n");
    place.write("Cargo.toml", &manifest);
    let answer = place.new_(&["apart"]).ok();
    assert!(answer.stderr.contains("app `apart`"), "{}", answer.stderr);
    // Both stand: cargo reads either.
    for folder in [".", "apart"] {
        let mut cargo = std::process::Command::new("cargo");
        cargo.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(place.root.join(folder));
        assert!(cargo.output().unwrap().status.success(), "{folder}");
    }
}

#[test]
fn the_app_option_outside_a_workspace() {
    let place = Place::empty();
    place.refuses(&["demo", "--app", "x"], &["--app is for adding a service to a workspace"]);
}

#[test]
fn manifests_that_cannot_be_edited() {
    let place = Place::of_case("root-package");
    let manifest = place.root.join("Cargo.toml");
    fs_err::set_permissions(&manifest, std::fs::Permissions::from_mode(0o444)).unwrap();
    place.refuses(&["greeter"], &["Cargo.toml`: it is read-only"]);
    fs_err::set_permissions(&manifest, std::fs::Permissions::from_mode(0o644)).unwrap();

    place.write("Cargo.toml", "[workspace]\nmembers = \"x\"\n");
    place.refuses(&["greeter"], &["cargo cannot read the workspace", "expected a sequence"]);
    place.write("Cargo.toml", "[workspace\n");
    place.refuses(&["greeter"], &["cannot edit `", "/Cargo.toml`: TOML parse error at line 1"]);
}

#[test]
fn a_mistake_in_the_workspaces_configuration() {
    let place = Place::of_case("root-package");
    let wrong = place.tree()["Cargo.toml"].replace("desk.identifier", "desk.identifer");
    place.write("Cargo.toml", &wrong);
    place.refuses(&["greeter"], &["identifier", "package.metadata.xpc.app.desk"]);
}

#[test]
fn the_runtime_path() {
    let place = Place::empty();
    place.write("other/Cargo.toml", "[package]\nname = \"other\"\n");
    place.write("virtual/Cargo.toml", "[workspace]\n");
    place.write("empty/file", "");
    let with = |path: &'static str| ["demo", "--runtime-path", path];
    place.refuses(&with("nowhere"), &["nowhere` cannot be opened", "`xpc-runtime`"]);
    place.refuses(&with("empty"), &["has no Cargo.toml"]);
    place.refuses(&with("virtual"), &["holds no package"]);
    place.refuses(&with("other"), &["holds the package `other`"]);
}

#[test]
fn a_runtime_that_the_workspace_chose_is_kept_and_said_so() {
    let place = Place::of_case("comments");
    place.write("rt/Cargo.toml", "[package]\nname = \"xpc-runtime\"\n");
    let answer = place.new_(&["greeter", "--runtime-path", "rt"]).ok();
    assert!(answer.stderr.contains("warning: xpc-runtime comes from [workspace.dependencies]"), "{}", answer.stderr);
    assert!(place.tree()["greeter/Cargo.toml"].contains("xpc-runtime = { workspace = true }"));
}

#[test]
fn the_runtime_of_the_app_is_the_services_too() {
    let place = Place::of_case("root-package");
    place.write("rt/Cargo.toml", "[package]\nname = \"xpc-runtime\"\nversion = \"0.1.0\"\n[workspace]\n");
    let manifest = place.tree()["Cargo.toml"].clone() + "[dependencies]\nxpc-runtime = { path = \"rt\" }\n";
    place.write("Cargo.toml", &manifest.replace("[workspace]\n", "[workspace]\nexclude = [\"rt\"]\n"));
    place.new_(&["greeter"]).ok();
    let made = place.tree();
    let service: toml_edit::DocumentMut = made["greeter/Cargo.toml"].parse().unwrap();
    assert_eq!(
        service["dependencies"]["xpc-runtime"]["path"].as_str().map(std::path::Path::new),
        Some(place.root.join("rt").as_path())
    );
}
