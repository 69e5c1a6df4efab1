//! A user's rustflags arrive, wherever they are set; and so does what the tool adds.
//!
//! The program does not compile without the flag, so that a flag that is lost is a build error.

use integration_tests::{Plain, Project, peer};

const TARGET: &str = "aarch64-apple-darwin";

fn project() -> Project {
    let project = Plain::default().app("frameworks = [\"libx.dylib\"]\n").services(&[]).make();
    project.write("app/libx.dylib", "");
    project.write(
        "app/src/main.rs",
        "#[cfg(not(from_the_user))]\ncompile_error!(\"the flag was lost\");\n\nfn main() {}\n",
    );
    project
}

/// Builds both ways: a release build adds flags of its own. The header has room for a signature, and the rpath is there.
fn check(project: &Project, variable: Option<(&str, &str)>) {
    for profile in ["--release", "--profile=dev"] {
        let mut call = project.xpc(&["bundle", "--target", TARGET, "--sign", "none", profile]).with_zig();
        if let Some((name, value)) = variable {
            call = call.env(name, value);
        }
        call.ok();
        let folder = if profile == "--release" { "release" } else { "debug" };
        let program = project.root().join("target/xpc").join(TARGET).join(folder).join("demo.app/Contents/MacOS/demo");
        let read = peer("linking.py", &[program.as_str()]);
        assert_eq!(read["rpaths"], serde_json::json!(["@executable_path/../Frameworks"]));
        assert!(read["room"].as_u64().unwrap() >= 0x1000, "{read}");
    }
}

#[test]
fn without_the_flag_it_does_not_build() {
    let project = project();
    let call = project.xpc(&["bundle", "--target", TARGET, "--sign", "none"]).with_zig();
    call.fails(101, &["the flag was lost"]);
}

#[test]
fn in_the_variable_rustflags() {
    check(&project(), Some(("RUSTFLAGS", "--cfg from_the_user")));
}

#[test]
fn in_the_variable_cargo_encoded_rustflags() {
    check(&project(), Some(("CARGO_ENCODED_RUSTFLAGS", "--cfg\u{1f}from_the_user")));
}

#[test]
fn in_the_variable_cargo_build_rustflags() {
    check(&project(), Some(("CARGO_BUILD_RUSTFLAGS", "--cfg from_the_user")));
}

#[test]
fn in_the_variable_of_the_target() {
    check(&project(), Some(("CARGO_TARGET_AARCH64_APPLE_DARWIN_RUSTFLAGS", "--cfg from_the_user")));
}

#[test]
fn in_build_rustflags() {
    let project = project();
    project.write(".cargo/config.toml", "[build]\nrustflags = [\"--cfg\", \"from_the_user\"]\n");
    check(&project, None);
}

#[test]
fn in_the_rustflags_of_the_target() {
    let project = project();
    project.write(".cargo/config.toml", format!("[target.{TARGET}]\nrustflags = \"--cfg from_the_user\"\n"));
    check(&project, None);
}

#[test]
fn in_the_rustflags_of_a_cfg() {
    let project = project();
    let config = "[target.'cfg(target_os = \"macos\")']\nrustflags = [\"--cfg\", \"from_the_user\"]\n";
    project.write(".cargo/config.toml", config);
    check(&project, None);
}

#[test]
fn in_a_configuration_above_the_workspace() {
    let project = project();
    let above = project.root().parent().unwrap().join(".cargo");
    fs_err::create_dir(&above).unwrap();
    fs_err::write(above.join("config.toml"), "[build]\nrustflags = [\"--cfg\", \"from_the_user\"]\n").unwrap();
    check(&project, None);
}
