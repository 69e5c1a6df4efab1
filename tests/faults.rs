//! What the world can do: refuse, fill up, kill, come twice.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8Path;
use integration_tests::{Plain, Project, listing};

fn names(folder: &Utf8Path) -> Vec<String> {
    listing(folder).into_keys().filter(|name| !name.contains('/')).collect()
}

#[test]
fn killed_before_there_was_a_bundle_there_is_none() {
    let project = Plain::default().make();
    project.xpc(&["bundle"]).stop_at("assembled").kill();
    assert!(!project.bundle("demo").exists());
    project.xpc(&["bundle"]).ok();
    assert_eq!(names(project.bundle("demo").parent().unwrap()), ["demo.app"]);
}

#[test]
fn two_runs_at_once() {
    let project = Plain::default().make();
    let first = project.xpc(&["bundle"]).stop_at("staged");
    let mut second = project.xpc(&["bundle"]).start();
    // The second says that it waits; only then is the first let go on.
    let mut said = Vec::new();
    let mut stderr = second.stderr.take().unwrap();
    let mut byte = [0];
    while !String::from_utf8_lossy(&said).contains("waiting for another cargo xpc") {
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "it did not wait:\n{}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
    }
    assert_eq!(first.finish(), 0);
    std::io::copy(&mut stderr, &mut said).unwrap();
    assert!(second.wait().unwrap().success(), "{}", String::from_utf8_lossy(&said));
    assert_eq!(names(project.bundle("demo").parent().unwrap()), ["demo.app"]);
}

#[test]
fn a_destination_that_may_not_be_written() {
    let project = Plain::default().make();
    // The project is the unprivileged user's own, the destination somebody else's.
    let home = project.root().join("home");
    fs_err::create_dir(&home).unwrap();
    // Built by us: a linker asks access(2), which knows nothing of the right to read that `nobody` was left.
    project.xpc(&["bundle"]).ok();
    integration_tests::give_away(project.root());
    fs_err::create_dir(project.root().join("locked")).unwrap();
    fs_err::set_permissions(project.root().join("locked"), std::fs::Permissions::from_mode(0o555)).unwrap();
    // Their home is new, rustup's stays where it is.
    let rustup = std::env::var("RUSTUP_HOME").unwrap_or_else(|_| std::env::var("HOME").unwrap() + "/.rustup");
    let run = |out: &str| {
        let call = project.xpc(&["bundle", "--out", out]).env("RUSTUP_HOME", &rustup);
        call.env("CARGO_HOME", home.as_str()).env("HOME", home.as_str()).unprivileged()
    };
    run("locked").fails(74, &["locked", "permission denied", "choose a folder that you may write to"]);
    run("locked/deeper").fails(74, &["locked/deeper", "permission denied"]);
    assert_eq!(listing(&project.root().join("locked")).len(), 0);
    run("open").ok();
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk() {
    let project = Plain::default().app("resources = [\"data/**\"]\n").make();
    project.write("app/data/big", vec![7; 300_000]);
    project.xpc(&["bundle"]).ok();
    let size: u64 =
        listing(&project.bundle("demo")).values().filter_map(|v| v.split(' ').nth(1)?.parse::<u64>().ok()).sum();
    // Room for one bundle and a half.
    let out = project.root().join("small");
    fs_err::create_dir(&out).unwrap();
    let script = format!(
        "mount -t tmpfs -o size={} none {out} && \"$@\" && before=$(cd {out} && find . -type f -exec cksum {{}} +) && \
         ! \"$@\" && after=$(cd {out} && find . -type f -exec cksum {{}} +) && \
         [ \"$before\" = \"$after\" ] && ls -A {out} && exit 74",
        size * 3 / 2
    );
    let mut outer = std::process::Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        outer.args(["--user", "--map-root-user"]);
    }
    outer.args(["--mount", "sh", "-c", &script, "sh"]);
    let finished = project.xpc(&["bundle", "--out", "small"]).inside(outer).fails(74, &["no space left", "small"]);
    assert_eq!(finished.stdout.trim(), "demo.app", "nothing but the first bundle is there");
}

#[test]
fn a_path_with_spaces_and_unicode() {
    let project =
        Plain::default().app("resources = [\"dáta ☃/**\"]\n").make_in(Project::named("Prøject ☃ with spaces"));
    project.write("app/dáta ☃/ein stück.txt", "x");
    project.xpc(&["bundle"]).ok();
    assert!(project.bundle("demo").join("Contents/Resources/dáta ☃/ein stück.txt").exists());
    let finished = project.xpc(&["run"]).ok();
    assert_eq!(finished.stdout, "demo\n");
}

#[test]
fn symlinks_and_read_only_files() {
    let project = Plain::default().app("resources = [\"data/**\"]\nframeworks = [\"Some.framework\"]\n").make();
    // The framework holds no code, so it cannot be signed: this is about how things are copied.
    let args = ["bundle", "--sign", "none"];
    project.write("app/data/real.txt", "x");
    let data = project.root().join("app/data");
    fs_err::set_permissions(data.join("real.txt"), std::fs::Permissions::from_mode(0o444)).unwrap();
    fs_err::os::unix::fs::symlink("real.txt", data.join("link.txt")).unwrap();
    project.write("app/Some.framework/Versions/A/Resources/x", "x");
    let framework = project.root().join("app/Some.framework");
    fs_err::os::unix::fs::symlink("A", framework.join("Versions/Current")).unwrap();
    fs_err::os::unix::fs::symlink("Versions/Current/Resources", framework.join("Resources")).unwrap();
    // The workspace is reached through a symlink.
    let link = project.root().parent().unwrap().join("linked");
    fs_err::os::unix::fs::symlink(project.root(), &link).unwrap();
    // Twice: a bundle with read-only files can be replaced too.
    for _ in 0..2 {
        integration_tests::Xpc::new(&link, &args).ok();
    }
    let inside = listing(&project.bundle("demo"));
    assert_eq!(inside["Contents/Resources/data/link.txt"], "-> real.txt");
    assert!(inside["Contents/Resources/data/real.txt"].starts_with("444 "));
    assert_eq!(inside["Contents/Frameworks/Some.framework/Versions/Current"], "-> A");
    assert_eq!(inside["Contents/Frameworks/Some.framework/Resources"], "-> Versions/Current/Resources");
    // One that leads out is refused.
    fs_err::os::unix::fs::symlink("../../greeter/Cargo.toml", data.join("out.txt")).unwrap();
    project.xpc(&args).fails(2, &["out.txt", "leads out of the package"]);
}
