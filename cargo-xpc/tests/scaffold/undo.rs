//! Failures in the middle of writing: everything is as it was before.

use std::path::Path;
use std::process::Command;

use super::{Answer, PROGRAM, Place, answer};

/// Runs `cargo xpc new` with files limited to `blocks` of 512 bytes: a write past that fails as on a full disk.
fn with_limit(place: &Place, blocks: u32, args: &[&str]) -> Answer {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" xpc new \"$@\"");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script, PROGRAM]).args(args).current_dir(&place.root).env_remove("CARGO_XPC_RUNTIME_PATH");
    answer(&mut command)
}

#[test]
fn a_disk_that_is_full_halfway_leaves_no_file() {
    let place = Place::empty();
    place.write("work/mine.txt", "mine");
    let before = place.tree();
    let answer = with_limit(&place, 1, &["work/new/demo"]);
    assert_eq!(answer.code, Some(74), "{}", answer.stderr);
    assert!(answer.stderr.contains("/work/new/demo/"), "{}", answer.stderr);
    assert_eq!(place.tree(), before);
    with_limit(&place, 100, &["work/new/demo"]).ok();
}

#[test]
fn a_manifest_that_cannot_be_replaced_has_the_others_put_back() {
    let place = Place::of_case("several-apps");
    let long = format!("# {}\n{}", "long ".repeat(4000), place.tree()["one/Cargo.toml"]);
    place.write("one/Cargo.toml", &long);
    let before = place.tree();
    let answer = with_limit(&place, 8, &["greeter", "--app", "one"]);
    assert_eq!(answer.code, Some(74), "{}", answer.stderr);
    assert!(answer.stderr.contains("failed to replace `") && answer.stderr.contains("one/Cargo.toml`"));
    assert_eq!(place.tree(), before);
    with_limit(&place, 100, &["greeter", "--app", "one"]).ok();
}

#[test]
fn a_folder_that_may_not_be_written() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    let place = Place::empty();
    // The program has to be where anybody may run it. Not copied by this process: another test's child could inherit the
    // file while it is open for writing, and the system refuses to run such a file.
    let program = place.root.join("cargo-xpc");
    assert!(Command::new("cp").arg(PROGRAM).arg(&program).status().unwrap().success());
    fs_err::create_dir(place.root.join("locked")).unwrap();
    for path in [&place.root, &place.root.join("locked")] {
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o555)).unwrap();
    }
    let mut command = super::command(Path::new(&program));
    command.arg("demo").current_dir(place.root.join("locked"));
    if fs_err::write(place.root.join("locked/probe"), "").is_ok() {
        // Permissions mean nothing to root: try as somebody else.
        fs_err::remove_file(place.root.join("locked/probe")).unwrap();
        command.uid(65534).gid(65534);
    }
    let answer = answer(&mut command);
    assert_eq!(answer.code, Some(74), "{}", answer.stderr);
    assert!(answer.stderr.contains("locked/demo") && answer.stderr.contains("ermission denied"), "{}", answer.stderr);
    assert!(fs_err::read_dir(place.root.join("locked")).unwrap().next().is_none());
    fs_err::set_permissions(&place.root, std::fs::Permissions::from_mode(0o755)).unwrap();
}
