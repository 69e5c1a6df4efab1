//! Whole trees: what a template makes, and what becomes of the user's manifests.

use super::{Place, Tree, case_folder, tree};

/// Compares `place` with `cases/<case>/out`.
#[track_caller]
fn assert_golden(case: &str, place: &Place) {
    let out = case_folder(case).join("out");
    let made = place.tree();
    if std::env::var_os("SNAPSHOTS").is_some_and(|what| what == "overwrite") {
        if out.exists() {
            fs_err::remove_dir_all(&out).unwrap();
        }
        for (path, content) in &made {
            let path = out.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, content).unwrap();
        }
        return;
    }
    let expected = if out.exists() { tree(&out) } else { Tree::new() };
    let names = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&made), names(&expected), "files of {case}; SNAPSHOTS=overwrite accepts them");
    for (path, content) in &made {
        snapbox::assert_data_eq!(content.as_str(), snapbox::Data::text(expected[path].as_str()).raw());
    }
}

#[test]
fn a_workspace() {
    let place = Place::empty();
    let answer = place.new_(&["demo"]).ok();
    assert_eq!(answer.stdout, "Next: cd demo && cargo xpc run\n");
    assert_eq!(
        answer.stderr,
        "     Created app `demo` with service `demo-service` and interface `demo-interface` in `demo`\n"
    );
    assert_golden("workspace-default", &place);
}

#[test]
fn the_current_folder_was_shown_as_nothing() {
    let place = Place::empty();
    fs_err::create_dir(place.root.join("demo")).unwrap();
    let answer = place.new_in("demo", &["."]).ok();
    assert_eq!(answer.stdout, "Next: cargo xpc run\n");
    assert!(answer.stderr.ends_with(" in `.`\n"), "{}", answer.stderr);
}

#[test]
fn a_workspace_with_a_name_an_identifier_and_a_runtime_of_its_own() {
    let place = Place::empty();
    place.write("runtime's \"own\"/Cargo.toml", "[package]\nname = \"xpc-runtime\"\n");
    let args = ["my folder/Dämo", "--name", "my_app", "--identifier", "org.example.Mine", "--runtime-path"];
    let answer = place.new_(&[args.as_slice(), &["runtime's \"own\""]].concat()).ok();
    assert_eq!(answer.stdout, "Next: cd 'my folder/Dämo' && cargo xpc run\n");
    let made = place.tree();
    let root: toml_edit::DocumentMut = made["my folder/Dämo/Cargo.toml"].parse().unwrap();
    let runtime = root["workspace"]["dependencies"]["xpc-runtime"]["path"].as_str();
    assert_eq!(runtime.map(std::path::Path::new), Some(place.root.join("runtime's \"own\"").as_path()));
    let app: toml_edit::DocumentMut = made["my folder/Dämo/app/Cargo.toml"].parse().unwrap();
    assert_eq!(app["package"]["name"].as_str(), Some("my_app"));
    assert_eq!(app["package"]["metadata"]["xpc"]["app"]["my_app"]["identifier"].as_str(), Some("org.example.Mine"));
    let interface: toml_edit::DocumentMut = made["my folder/Dämo/interface/Cargo.toml"].parse().unwrap();
    assert_eq!(
        interface["package"]["metadata"]["xpc"]["interface"]["identifier"].as_str(),
        Some("org.example.Mine.service")
    );
}

#[test]
fn a_service_in_the_workspace_that_was_made() {
    let place = Place::empty();
    place.new_(&["demo"]).ok();
    let answer = place.new_in("demo", &["greeter"]).ok();
    assert_eq!(
        answer.stdout,
        "Next: connect to it in `demo` with `Connection::service(greeter_interface::SERVICE_NAME)`, then cargo xpc run\n"
    );
    place.new_in("demo/app/src", &["../../alone", "--template", "standalone"]).ok();
    assert_golden("services", &place);
}

#[test]
fn comments_and_formatting_are_kept() {
    let place = Place::of_case("comments");
    place.new_(&["services/greeter", "--identifier", "com.example.Other"]).ok();
    assert_golden("comments", &place);
}

#[test]
fn a_root_package_that_is_the_workspace() {
    let place = Place::of_case("root-package");
    place.new_(&["greeter"]).ok();
    assert_golden("root-package", &place);
}

#[test]
fn members_by_pattern_and_metadata_in_inline_tables() {
    let place = Place::of_case("patterns");
    place.new_in("crates", &["greeter"]).ok();
    assert_golden("patterns", &place);
}

#[test]
fn one_of_several_apps_and_a_plain_binary_that_becomes_one() {
    let place = Place::of_case("several-apps");
    place.refuses(&["greeter"], &["--app", "one, two"]);
    place.refuses(&["greeter", "--app", "tow"], &["`tow`", "apps: one, two;", "tools/plain, tools/two"]);
    place.new_(&["greeter", "--app", "one"]).ok();
    place.new_(&["helper", "--app", "plain"]).ok();
    let other = place.new_(&["x", "--app", "other/two", "--dry-run"]).ok();
    assert!(other.stdout.contains("edit   other/Cargo.toml: add `x` to the services of `two`"), "{}", other.stdout);
    assert_golden("several-apps", &place);
}

#[test]
fn a_workspace_without_an_app() {
    let place = Place::of_case("no-app");
    let answer = place.new_(&["greeter"]).ok();
    assert!(answer.stderr.contains("warning: no package of the workspace has"), "{}", answer.stderr);
    assert!(answer.stderr.contains("`--app tool`"), "{}", answer.stderr);
    assert_golden("no-app", &place);
}

#[test]
fn a_dry_run_shows_everything_and_writes_nothing() {
    let place = Place::of_case("root-package");
    let before = place.tree();
    let answer = place.new_(&["greeter", "--dry-run"]).ok();
    assert_eq!(
        answer.stdout,
        "\
create greeter-interface/Cargo.toml
create greeter-interface/src/lib.rs
create greeter/Cargo.toml
create greeter/src/main.rs
edit   Cargo.toml: add `greeter` to [workspace] members
edit   Cargo.toml: add `greeter-interface` to [workspace] members
edit   Cargo.toml: add `greeter` to the services of `desk`
edit   Cargo.toml: add the dependency `greeter-interface = { path = \"greeter-interface\" }`
edit   Cargo.toml: add the dependency `xpc-runtime = \"0.1.0\"`
"
    );
    assert_eq!(place.tree(), before);

    let planned = place.new_(&["greeter", "--dry-run", "--message-format", "json"]).ok();
    let plan: serde_json::Value = serde_json::from_str(&planned.stdout).unwrap();
    assert_eq!(plan["reason"], "scaffold");
    assert_eq!(plan["written"], false);
    assert_eq!(place.tree(), before);
    let done = place.new_(&["greeter", "--message-format", "json"]).ok();
    let mut said: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(said["written"].take(), true);
    // What was planned is what was done, and what the files hold.
    let after = place.tree();
    for file in plan["files"].as_array().unwrap().iter().chain(plan["edits"].as_array().unwrap()) {
        let path = std::path::Path::new(file["path"].as_str().unwrap()).strip_prefix(&place.root).unwrap();
        let content = file.get("content").or_else(|| file.get("after")).unwrap();
        assert_eq!(content, &after[path.to_str().unwrap()]);
    }
    assert_eq!(said["files"], plan["files"]);
    assert_eq!(said["edits"], plan["edits"]);
}

/// Long names, and names that sort to either side of the runtime's.
#[test]
fn rendered_code_is_formatted_whatever_the_name() {
    for name in ["a", "zz", "a-rather-long-name-that-leaves-room-for-no-more-than-interface"] {
        let name = &name[..name.len().min(54)];
        let place = Place::empty();
        place.new_(&["ws", "--name", name]).ok();
        place.new_in("ws", &["greeter", "--name", &format!("{}x", &name[..name.len().min(53)])]).ok();
        place.new_in("ws", &["alone", "--template", "standalone"]).ok();
        let rust: Vec<_> = place.tree().into_keys().filter(|path| path.ends_with(".rs")).collect();
        assert_eq!(rust.len(), 6);
        let check = std::process::Command::new("rustfmt")
            .args(["--check", "--edition", "2024"])
            .args(&rust)
            .current_dir(&place.root)
            .output()
            .expect("rustfmt, of `rustup component add rustfmt`");
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    }
}
