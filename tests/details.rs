//! What went wrong once, and must not again.

use std::os::unix::fs::symlink;
use std::process::Command;

use integration_tests::{Plain, Project, checkout, clean, listing, must, text};
use serde_json::Value;

fn link(project: &Project, target: &str, path: &str) {
    let path = project.root().join(path);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(target, path).unwrap();
}

/// The app's resources, as a dry run has them.
fn planned(project: &Project) -> Vec<String> {
    let plan: Value = serde_json::from_str(&project.xpc(&["bundle", "--dry-run"]).ok().stdout).unwrap();
    let files = plan["main"]["files"].as_array().unwrap().iter();
    files.map(|file| file["to"].as_str().unwrap().strip_prefix("Contents/Resources/").unwrap().to_owned()).collect()
}

#[test]
fn a_glob_went_through_a_symlink_to_a_folder() {
    let project = Plain::default().app("resources = [\"assets/**\"]\n").make();
    project.write("app/assets/real/f.txt", "f");
    link(&project, "real", "app/assets/cur");
    assert_eq!(planned(&project), ["assets/cur", "assets/real/f.txt"]);
    project.xpc(&["bundle"]).ok();
    let made = listing(&project.bundle("demo").join("Contents/Resources"));
    assert_eq!(made.keys().collect::<Vec<_>>(), ["assets", "assets/cur", "assets/real", "assets/real/f.txt"]);
    assert_eq!(made["assets/cur"], "-> real");
    project.edit("app/Cargo.toml", "assets/**", "assets/cur/*");
    project.xpc(&["bundle"]).fails(2, &["`assets/cur/*`", "only what is behind the symlink", "app/assets/cur`"]);
}

#[test]
fn a_symlink_was_bundled_without_what_it_leads_to() {
    let project = Plain::default().app("resources = []\n").make();
    project.write("app/kept.txt", "kept");
    project.write("app/real/f.txt", "f");
    fs_err::create_dir(project.root().join("app/empty")).unwrap();
    link(&project, "kept.txt", "app/link.txt");
    link(&project, "../kept.txt", "app/data/up.txt");
    link(&project, "real", "app/cur");
    link(&project, "../cur/f.txt", "app/through/f.txt");
    link(&project, "../app/kept.txt", "app/around.txt");
    link(&project, "empty", "app/nothing");
    let mut before = "[]".to_owned();
    let mut resources = |list: &str| {
        project.edit("app/Cargo.toml", &format!("resources = {before}"), &format!("resources = {list}"));
        list.clone_into(&mut before);
    };
    for (list, said) in [
        ("[\"link.txt\"]", "app/link.txt` leads to `kept.txt`, which is not bundled"),
        ("[\"data\"]", "app/data/up.txt` leads to `kept.txt`"),
        ("[\"through\", \"real\"]", "app/through/f.txt` leads to `cur`"),
        ("[\"around.txt\", \"kept.txt\"]", "app/around.txt` leads out of the package"),
        ("[\"cur\"]", "app/cur` leads to `real`"),
        ("[\"nothing\", \"empty\"]", "app/nothing` leads to `empty`"),
    ] {
        resources(list);
        project.xpc(&["bundle"]).fails(2, &["`resources` of [package.metadata.xpc.app.demo]", said]);
        assert!(!project.bundle("demo").exists());
    }
    resources("[\"cur\", \"through\", \"real\"]");
    assert_eq!(planned(&project), ["cur", "real/f.txt", "through/f.txt"]);
    project.xpc(&["bundle"]).ok();
    let through = project.bundle("demo").join("Contents/Resources/through/f.txt");
    assert_eq!(fs_err::read_to_string(through).unwrap(), "f");
    resources("[\"link.txt\", \"kept.txt\", \"data/*\"]");
    project.xpc(&["bundle"]).ok();
    let made = project.bundle("demo").join("Contents/Resources");
    for name in ["link.txt", "data/up.txt"] {
        assert_eq!(fs_err::read_to_string(made.join(name)).unwrap(), "kept", "{name}");
    }
    assert_eq!(made.join("data/up.txt").read_link_utf8().unwrap(), "../kept.txt");
}

#[test]
fn a_library_given_by_its_symlink_was_bundled_as_the_symlink() {
    let project = Plain::default()
        .app("icon = \"demo.icns\"\nframeworks = [\"lib/libfoo.dylib\", \"Foo.framework\", \"Bar.framework/\"]\n")
        .make();
    project.write("app/lib/libfoo.1.dylib", "a library");
    link(&project, "libfoo.1.dylib", "app/lib/libfoo.dylib");
    project.write("elsewhere/2/Versions/A/Foo", "a framework");
    link(&project, "A", "elsewhere/2/Versions/Current");
    link(&project, "../elsewhere/2", "app/Foo.framework");
    link(&project, "../elsewhere/2", "app/Bar.framework");
    project.write("elsewhere/icon.icns", "an icon");
    link(&project, "../elsewhere/icon.icns", "app/demo.icns");
    // These hold no code, so they cannot be signed: this is about how things are copied.
    project.xpc(&["bundle", "--sign", "none"]).ok();
    let contents = project.bundle("demo").join("Contents");
    let same = |file: &str, text: &str| {
        let file = contents.join(file);
        assert!(!file.is_symlink(), "{file}");
        assert_eq!(fs_err::read_to_string(&file).unwrap(), text, "{file}");
    };
    same("Frameworks/libfoo.dylib", "a library");
    same("Resources/demo.icns", "an icon");
    for framework in ["Foo", "Bar"] {
        same(&format!("Frameworks/{framework}.framework/Versions/A/Foo"), "a framework");
        let current = contents.join(format!("Frameworks/{framework}.framework/Versions/Current"));
        assert_eq!(current.read_link_utf8().unwrap(), "A");
    }
}

#[test]
fn a_key_of_another_tool_stopped_us_although_ours_was_there() {
    let key = |ours: &str| format!("[package.metadata.xpc.app.demo]\n{ours}");
    let project = Plain::default().make();
    let manifest = fs_err::read_to_string(project.root().join("app/Cargo.toml")).unwrap();
    let theirs = "\n[package.metadata.bundle]\nidentifier = \"com.x_y\"\nname = \"a/b\"\nosx_minimum_system_version = \"eleven\"\n";
    project.write("app/Cargo.toml", manifest + theirs);
    for (ours, wrong) in [
        ("name = \"Ours\"\n", "`name` of [package.metadata.bundle]"),
        ("minimum-system-version = \"12.0\"\n", "`osx_minimum_system_version` of [package.metadata.bundle]"),
    ] {
        project.xpc(&["plist"]).fails(2, &[wrong]);
        project.edit("app/Cargo.toml", &key(""), &key(ours));
    }
    assert!(project.xpc(&["plist"]).ok().stdout.contains("<string>com.example.demo</string>"));
    project.edit("app/Cargo.toml", "identifier = \"com.example.demo\"\n", "");
    project.xpc(&["plist"]).fails(2, &["`identifier` of [package.metadata.bundle]", "com.x_y"]);

    // A whole file of which nothing is needed.
    let all = "name = \"Ours\"\nminimum-system-version = \"12.0\"\nicon = \"demo.icns\"\n";
    let project = Plain::default().app(all).make();
    project.write("app/demo.icns", "icns");
    project.write("app/tauri.conf.json", "{");
    project.xpc(&["plist"]).ok();
    project.edit("app/Cargo.toml", "name = \"Ours\"\n", "");
    project.xpc(&["plist"]).fails(2, &["cannot read", "app/tauri.conf.json"]);
}

#[test]
fn plist_took_the_first_of_two_services_of_one_name() {
    let project = Plain::default().services(&["greeter", "other"]).make();
    project.edit(
        "other/Cargo.toml",
        "[package.metadata.xpc.service.other]\n",
        "[[bin]]\nname = \"greeter\"\npath = \"src/main.rs\"\n[package.metadata.xpc.service.greeter]\nname = \"Other\"\n",
    );
    project.edit("app/Cargo.toml", "\"greeter\", \"other\"", "\"greeter/greeter\", \"other/greeter\"");
    let words = ["names `greeter`, which is ambiguous", "greeter/greeter, other/greeter"];
    project.xpc(&["plist", "greeter"]).fails(2, &words);
    let plist = project.xpc(&["plist", "other/greeter"]).ok().stdout;
    assert!(plist.contains("<string>com.example.demo.other</string>"), "{plist}");
    project.xpc(&["plist", "greter"]).fails(2, &["app `demo` has no service `greter`; it has: greeter, greeter"]);
    // What the app does not have makes nothing ambiguous.
    project.edit("app/Cargo.toml", ", \"other/greeter\"", "");
    let plist = project.xpc(&["plist", "greeter"]).ok().stdout;
    assert!(plist.contains("<string>com.example.demo.greeter</string>"), "{plist}");
    project.xpc(&["plist", "other/greeter"]).fails(2, &["app `demo` has no service `other/greeter`"]);
}

#[test]
fn defaults_without_a_key_could_not_be_set() {
    let plist = |body: &str| format!("<plist version=\"1.0\"><dict>{body}</dict></plist>\n");
    let more = "info-plist = \"more.plist\"\n";
    let project = Plain::default().app(more).service(more).make();
    let set = "<key>CFBundleDevelopmentRegion</key><string>de</string><key>CFBundleDisplayName</key><string>Vorführung</string>";
    for (folder, args) in [("app", &["plist"][..]), ("greeter", &["plist", "greeter"])] {
        project.write("app/more.plist", plist(""));
        project.write("greeter/more.plist", plist(""));
        let file = format!("{folder}/more.plist");
        project.write(&file, plist(set));
        let made = project.xpc(args).ok().stdout;
        for key in
            ["CFBundleDevelopmentRegion</key>\n\t<string>de<", "CFBundleDisplayName</key>\n\t<string>Vorführung<"]
        {
            assert!(made.contains(key), "{key} in:\n{made}");
        }
        for (body, said) in [
            (
                "<key>CFBundleDevelopmentRegion</key><true/>",
                "`CFBundleDevelopmentRegion` is true there and must be a string",
            ),
            ("<key>CFBundleDisplayName</key><array/>", "`CFBundleDisplayName` is an array there and must be a string"),
            ("<key>LSUIElement</key><string>1</string>", "`LSUIElement` is \"1\" there and must be true or false"),
            (
                "<key>CFBundleInfoDictionaryVersion</key><string>7.0</string>",
                "`CFBundleInfoDictionaryVersion` is \"7.0\" there and \"6.0\" by the configuration",
            ),
        ] {
            project.write(&file, plist(body));
            project.xpc(args).fails(2, &["`info-plist` of", said]);
        }
    }
    project.write("greeter/more.plist", plist(""));
    project.write("app/more.plist", plist("<key>LSUIElement</key><true/>"));
    assert!(project.xpc(&["plist"]).ok().stdout.contains("LSUIElement</key>\n\t<true/>"));
}

#[test]
fn a_service_listed_twice_was_said_to_clash_with_itself() {
    let project = Plain::default().make();
    project.edit("app/Cargo.toml", "[\"greeter\"]", "[\"greeter\", \"greeter\"]");
    let place = "`services` of [package.metadata.xpc.app.demo] in ";
    project.xpc(&["bundle"]).fails(2, &[place, "lists `greeter` twice"]);
    project.edit("app/Cargo.toml", "\"greeter\", \"greeter\"", "\"greeter\", \"greeter/greeter\"");
    project.xpc(&["bundle"]).fails(2, &[place, "lists `greeter` and `greeter/greeter`, which are the same service"]);
}

#[test]
fn half_a_test_suite_was_packaged() {
    let mut cargo = Command::new("cargo");
    clean(&mut cargo).args(["package", "--package", "cargo-xpc", "--list", "--allow-dirty"]).current_dir(checkout());
    let listed = text(&must(&mut cargo).stdout);
    assert!(listed.contains("src/scaffold/mod.rs"), "{listed}");
    assert!(!listed.lines().any(|file| file.starts_with("tests/")), "{listed}");
}
