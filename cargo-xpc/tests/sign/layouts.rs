//! Layouts that go wrong in other tools, one test each: signed so that every seal holds, or refused with the input untouched.

use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8Path;
use cargo_xpc::verify::verify;

use crate::fixture::{App, info, library, link, program, tool, write};
use crate::judge::{refused, sealed};

fn chmod(path: &Utf8Path, mode: u32) {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Utf8Path) -> u32 {
    fs_err::metadata(path).unwrap().permissions().mode() & 0o777
}

/// No seal knows of modes; the signature holds, and the mode is the owner's to mend.
#[test]
fn executable_bit_off() {
    let app = App::full();
    let names = ["MacOS/demo", "XPCServices/greeter.xpc/Contents/MacOS/greeter", "MacOS/helper"];
    for name in names {
        chmod(&app.path(name), 0o644);
    }
    sealed(&app);
    for name in names {
        assert_eq!(mode(&app.path(name)), 0o644, "{name}");
    }
}

#[test]
fn wrong_package_type() {
    for package_type in ["APPL", "BNDL", "xpc!", ""] {
        let app = App::full();
        info(
            &app.path("XPCServices/greeter.xpc/Contents/Info.plist"),
            "greeter",
            "com.example.demo.greeter",
            package_type,
        );
        sealed(&app);
        assert_eq!(verify(&app.path("XPCServices/greeter.xpc")).unwrap().findings, []);
    }
}

/// The symlink is sealed as what it is, by its target, and the service where it really stands.
#[test]
fn symlinked_service() {
    let app = App::full();
    fs_err::create_dir_all(app.path("SharedSupport")).unwrap();
    fs_err::rename(app.path("XPCServices/greeter.xpc"), app.path("SharedSupport/greeter.xpc")).unwrap();
    link(&app.path("XPCServices/greeter.xpc"), "../SharedSupport/greeter.xpc");
    sealed(&app);
    assert_eq!(verify(&app.path("SharedSupport/greeter.xpc")).unwrap().findings, []);
    let place = app.path("XPCServices/greeter.xpc");
    fs_err::remove_file(&place).unwrap();
    link(&place, "counter.xpc");
    assert_ne!(verify(&app.root).unwrap().findings, []);

    // One that leads out of the bundle takes the service with it.
    let app = App::full();
    let outside = app.root.parent().unwrap().join("Demo.app/../outside.xpc");
    link(&app.path("XPCServices/out.xpc"), outside.as_str());
    refused(&app, &["XPCServices/out.xpc", "outside of the bundle", "copy the file instead"]);
}

#[test]
fn file_at_the_bundle_root() {
    let app = App::full();
    write(&app.root.join("README.txt"), "hello");
    refused(&app, &["Demo.app/README.txt", "root of a bundle", "move it into `Contents/Resources`"]);
    fs_err::remove_file(app.root.join("README.txt")).unwrap();
    write(&app.path("XPCServices/greeter.xpc/Resources/x"), "x");
    refused(&app, &["greeter.xpc/Resources", "root of a bundle"]);
}

#[test]
fn empty_folder() {
    let app = App::full();
    fs_err::create_dir_all(app.path("Resources/empty/deeper")).unwrap();
    sealed(&app);
    assert!(app.path("Resources/empty/deeper").is_dir());
    // A folder for code needs no code in it.
    fs_err::create_dir_all(app.path("PlugIns")).unwrap();
    sealed(&app);
    // One with a dot would be taken for a bundle there.
    fs_err::create_dir_all(app.path("PlugIns/empty.d")).unwrap();
    refused(&app, &["PlugIns/empty.d", "dot in its name"]);
}

#[test]
fn stale_file_in_code_signature() {
    let app = App::full();
    write(&app.path("_CodeSignature/CodeRequirements-1"), "stale");
    write(&app.path("XPCServices/greeter.xpc/Contents/_CodeSignature/note"), "stale");
    write(&app.path("CodeResources"), "a ticket");
    sealed(&app);
    for name in ["", "XPCServices/greeter.xpc/Contents/"] {
        let folder = app.path(&format!("{name}_CodeSignature"));
        let names: Vec<_> = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["CodeResources"]);
    }
    assert!(!app.path("CodeResources").exists());
}

#[test]
fn code_less_bundle_in_resources() {
    let app = App::bare(&tool());
    info(&app.path("Resources/Pictures.bundle/Contents/Info.plist"), "", "com.example.pictures", "BNDL");
    write(&app.path("Resources/Pictures.bundle/Contents/Resources/a.png"), "a");
    // It kept the key of a program that it no longer has.
    info(&app.path("Resources/Old.bundle/Contents/Info.plist"), "gone", "com.example.old", "BNDL");
    sealed(&app);
    for name in ["Pictures", "Old"] {
        assert!(!app.path(&format!("Resources/{name}.bundle/Contents/_CodeSignature")).exists(), "{name}");
    }
    write(&app.path("Resources/Pictures.bundle/Contents/Resources/a.png"), "b");
    assert_ne!(verify(&app.root).unwrap().findings, []);

    // In a place for code it is refused.
    let app = App::bare(&tool());
    info(&app.path("PlugIns/Pictures.bundle/Contents/Info.plist"), "", "com.example.pictures", "BNDL");
    refused(&app, &["PlugIns/Pictures.bundle", "names no CFBundleExecutable", "move the bundle to Resources"]);
}

#[test]
fn read_only_file() {
    let app = App::full();
    program(&app.path("Frameworks/liblocked.dylib"), &library());
    let locked = [
        ("MacOS/helper", 0o555),
        ("Frameworks/liblocked.dylib", 0o444),
        ("Resources/data.bin", 0o400),
        ("Info.plist", 0o444),
    ];
    for (name, mode) in locked {
        chmod(&app.path(name), mode);
    }
    sealed(&app);
    // A seal that is there already, and may not be written to.
    chmod(&app.path("_CodeSignature/CodeResources"), 0o444);
    sealed(&app);
    for (name, expected) in locked {
        assert_eq!(mode(&app.path(name)), expected, "{name}");
    }
}

#[test]
fn read_only_folder() {
    let app = App::full();
    let names = ["MacOS", "XPCServices/greeter.xpc/Contents", "Resources"];
    let lock = |bits| names.iter().for_each(|name| chmod(&app.path(name), bits));
    lock(0o555);
    app.sign(&cargo_xpc::sign::SignRequest::default());
    assert_eq!(verify(&app.root).unwrap().findings, []);
    for name in names {
        assert_eq!(mode(&app.path(name)), 0o555, "{name}");
    }
    lock(0o755);
}
