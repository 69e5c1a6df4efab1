//! Entitlements of bundles for this machine: carried over, shown, and enforced.

use integration_tests::{Project, text};

const ENTITLEMENTS: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><dict><key>com.apple.security.app-sandbox</key><true/></dict></plist>
"#;

/// A scaffold whose service greets with what comes of reading the file that it is to greet.
fn project(name: &str) -> Project {
    let project = Project::scaffold(name);
    project.edit(
        "service/src/main.rs",
        "format!(\"Hello, {name}!\")",
        "format!(\"{:?}\", std::fs::read(name).map(|_| \"read\").map_err(|error| error.kind()))",
    );
    project
}

#[test]
fn a_service_that_reads_what_it_may_not_fails_on_linux_too() {
    let project = project("sandboxed");
    let file = project.root().join("Cargo.toml");
    let data = project.root().join("data");
    let run = || {
        let run = project.xpc(&["run", "--", file.as_str()]).env("XDG_DATA_HOME", data.as_str()).ok();
        assert!(run.stdout.contains("Ok(") || run.stdout.contains("Err("), "{}", run.stdout);
        run.stdout
    };
    assert!(run().contains("Ok(\"read\")"), "without entitlements it may");
    let app = project.bundle("sandboxed");
    let carried = app.join("Contents/XPCServices/sandboxed-service.xpc/Contents/Entitlements.plist");
    assert!(!carried.exists());

    let manifest = project.root().join("service/Cargo.toml");
    let table = fs_err::read_to_string(&manifest).unwrap();
    fs_err::write(&manifest, table.trim_end().to_owned() + "\nentitlements = \"service.entitlements\"\n").unwrap();
    project.write("service/service.entitlements", ENTITLEMENTS);
    assert!(run().contains("Err(PermissionDenied)"));
    assert_eq!(text(&fs_err::read(&carried).unwrap()), ENTITLEMENTS);
    let plan = project.xpc(&["bundle", "--dry-run"]).ok().stdout;
    assert!(plan.contains("sandboxed-service.xpc/Contents/Entitlements.plist"), "{plan}");
    let shown = project.xpc(&["inspect", app.as_str()]).ok().stdout;
    assert!(shown.contains("com.apple.security.app-sandbox = true"), "{shown}");
    // A signature holds them itself.
    let plan = project.xpc(&["bundle", "--dry-run", "--target", "aarch64-apple-darwin"]).with_zig().ok().stdout;
    assert!(!plan.contains("Contents/Entitlements.plist"), "{plan}");
}
