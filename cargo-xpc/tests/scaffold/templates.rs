//! Templates of the user's own, and the mistakes they may hold.

use super::Place;

const MANIFEST: &str = "name = \"mine\"\nkind = \"workspace\"\ndescription = \"my own\"\n";

/// A folder `t` with one workspace template, to be spoilt by a test.
fn own() -> Place {
    let place = Place::empty();
    place.write("t/template.toml", MANIFEST);
    place.write("t/Cargo.toml.hbs", "[workspace]\nmembers = []\n");
    place
}

#[test]
fn a_template_of_ones_own() {
    let place = own();
    place
        .write("t/{{name}}/{{service_crate}}.md.hbs", "{{#if app_identifier}}<{{app_identifier}}> & {{name}}{{/if}}\n");
    place.write("t/as-is.txt", "{{not rendered}}\n");
    place.write("t/.git/HEAD", "left out");
    for args in [&["demo", "--template-dir", "t"][..], &["demo2", "--template-dir", "t", "--template", "mine"]] {
        place.new_(args).ok();
    }
    let made = place.tree();
    // The output is text, not HTML.
    assert_eq!(made["demo/demo/demo_service.md"], "<com.example.demo> & demo\n");
    assert_eq!(made["demo/as-is.txt"], "{{not rendered}}\n");
    let names: Vec<_> = made.keys().filter(|path| path.starts_with("demo/")).collect();
    assert_eq!(names, ["demo/Cargo.toml", "demo/as-is.txt", "demo/demo/demo_service.md"]);
}

#[test]
fn files_that_are_not_text_are_copied() {
    let place = own();
    let icon = [0x89, b'P', b'N', b'G', 0xff, 0x00];
    fs_err::write(place.root.join("t/icon.png"), icon).unwrap();
    place.new_(&["demo", "--template-dir", "t"]).ok();
    assert_eq!(fs_err::read(place.root.join("demo/icon.png")).unwrap(), icon);
    let answer = place.new_(&["demo2", "--template-dir", "t", "--dry-run", "--message-format", "json"]).ok();
    assert!(answer.stdout.contains(r#""content":{"bytes":6}"#), "{}", answer.stdout);
}

#[test]
fn the_list_of_templates() {
    let place = own();
    let human = place.new_(&["--list-templates", "--template-dir", "t"]).ok().stdout;
    let expected = "\
workspace  mine        my own  ([ROOT]/t)
workspace  default     an app, a service, and the interface they share
service    default     a service, and the interface it shares with the app
service    standalone  a service in one package, for an app that is not written in Rust
";
    assert_eq!(human.replace(place.root.to_str().unwrap(), "[ROOT]"), expected);
    let json = place.new_(&["--list-templates", "--message-format", "json"]).ok().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let names: Vec<_> = json["templates"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!((json["reason"].as_str(), names), (Some("templates"), vec!["default", "default", "standalone"]));
}

#[test]
fn a_copy_of_the_built_in_templates_makes_the_same() {
    let place = Place::empty();
    let templates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates");
    let templates = templates.to_str().unwrap();
    place.new_(&["built-in/demo"]).ok();
    place.new_(&["own/demo", "--template-dir", templates]).ok();
    place.new_in("built-in/demo", &["greeter"]).ok();
    place.new_in("own/demo", &["greeter", "--template-dir", templates]).ok();
    let made = place.tree();
    let below = |root: &str| made.iter().filter_map(|(p, c)| Some((p.strip_prefix(root)?, c))).collect::<Vec<_>>();
    assert_eq!(below("built-in/"), below("own/"));
}

#[test]
fn a_choice_that_is_not_clear() {
    let place = own();
    place.refuses(&["demo", "--template", "mine"], &["no template `mine` for a workspace; there is: default"]);
    place.refuses(&["demo", "--template", "standalone"], &["for a workspace; there is: default"]);
    place.refuses(&["demo", "--template-dir", "nowhere"], &["no template.toml in", "/nowhere`"]);
    place.write("none/file", "");
    place.refuses(&["demo", "--template-dir", "none"], &["no template.toml in", "/none`"]);
    place.write("two/a/template.toml", MANIFEST);
    place.write("two/b/template.toml", &MANIFEST.replace("mine", "other"));
    place.refuses(&["demo", "--template-dir", "two"], &["there is mine, other; name one with --template"]);
    place.write("three/a/template.toml", &MANIFEST.replace("workspace", "service"));
    place.refuses(&["demo", "--template-dir", "three"], &["a workspace in", "there is none"]);
}

#[test]
fn mistakes_name_the_file_and_the_line() {
    for (path, content, said) in [
        ("t/a/x.md.hbs", "one\ntwo {{nme}}\n", &["/t/a/x.md.hbs: line 2: there is no variable `nme`"][..]),
        ("t/x.md.hbs", "\n\n{{#if nme}}a{{/if}}\n", &["x.md.hbs: line 3: there is no variable `nme`"]),
        ("t/x.md.hbs", "{{#unless nme}}a{{/unless}}\n", &["x.md.hbs: line 1: there is no variable `nme`"]),
        ("t/x.md.hbs", "one\n{{#if name}}\n", &["x.md.hbs: line 3: invalid handlebars syntax"]),
        ("t/x.md.hbs", "{{name}\n", &["x.md.hbs: line 1:"]),
        ("t/{{nme}}.md", "", &["{{nme}}.md: in its path: there is no variable `nme`"]),
        ("t/{{identifier}}/../x.md/{{#if name}}..{{/if}}", "", &["leaves the new folder"]),
        ("t/Cargo.toml.hbs", "[workspace", &["t/Cargo.toml.hbs: TOML parse error at line 1"]),
        ("t/Cargo.toml.hbs", "[package]\n", &["t/template.toml: ", "needs a Cargo.toml.hbs with [workspace]"]),
        ("t/a/Cargo.toml.hbs", "[package]\nname = \"a b\"", &["a/Cargo.toml.hbs: `a b` cannot be a package name"]),
        (
            "t/a/Cargo.toml",
            "[package.metadata.xpc.app.a]\nidentifier = \"a\"",
            &["t/a/Cargo.toml: `a` is not a bundle identifier"],
        ),
        (
            "t/a/Cargo.toml",
            "[package.metadata.xpc]\napp.a.identifier = \"a.b\"\nservice.b.identifier = \"A.b\"",
            &["`A.b` is used twice"],
        ),
        ("t/template.toml", "name = \"x\"\n", &["t/template.toml: ", "missing field `kind`"]),
        ("t/template.toml", &MANIFEST.replace("workspace", "app"), &["t/template.toml: ", "unknown variant `app`"]),
        ("t/template.toml", &format!("{MANIFEST}colour = 1\n"), &["t/template.toml: ", "unknown field `colour`"]),
    ] {
        let place = own();
        if path.contains("..") {
            place.write("t/{{#if name}}..{{else}}a{{/if}}", "");
        } else {
            place.write(path, content);
        }
        place.refuses(&["demo", "--template-dir", "t"], said);
    }
}

#[test]
fn a_service_template_has_to_make_that_service() {
    let service = MANIFEST.replace("workspace", "service");
    let described =
        "[package]\nname = \"{{name}}\"\n[package.metadata.xpc.service.{{name}}]\nidentifier = \"{{identifier}}\"\n";
    for (path, content, said) in [
        ("t/README.md", "", &["/t/README.md: it is in neither `service/` nor `interface/`"][..]),
        ("t/service/Cargo.toml.hbs", "[package]\nname = \"x\"\n", &["[package.metadata.xpc.service.greeter]"]),
        ("t/interface/Cargo.toml.hbs", "[package]\nname = \"x\"\n", &["must be `greeter-interface`"]),
        ("t/interface/src/lib.rs", "", &["t/template.toml: the template needs `interface/Cargo.toml.hbs`"]),
    ] {
        let place = Place::of_case("no-app");
        place.write("t/template.toml", &service);
        place.write("t/service/Cargo.toml.hbs", described);
        place.write(path, content);
        place.refuses(&["greeter", "--template-dir", "t"], said);
    }
    let place = Place::of_case("no-app");
    place.write("t/template.toml", &service);
    place.write("t/service/x", "");
    place.refuses(&["greeter", "--template-dir", "t"], &["the template needs `service/Cargo.toml.hbs`"]);
}
