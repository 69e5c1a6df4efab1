//! What the system may refuse: room, rights, a file system that is read-only. One error that names the place and what to do about it, exit
//! code 74, and the bundle as it was.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_xpc::sign::SignRequest;

use crate::fixture::{App, TOOL_INTEL, info, program, tool, write};
use crate::limit;

const SIGN: [&str; 2] = ["sign", "Demo.app"];
const EMBED: [&str; 3] = ["embed", "Demo.app", "../made/extra.xpc"];

/// A signed app with a service, in a folder of its own, and beside that folder one more service.
fn app() -> App {
    let mut app = App::bare(&tool());
    let folder = app.root.with_file_name("home");
    fs_err::create_dir(&folder).unwrap();
    fs_err::rename(&app.root, folder.join("Demo.app")).unwrap();
    app.root = folder.join("Demo.app");
    app.service("greeter");
    write(&app.path("Resources/data.bin"), vec![7; 10_000]);
    app.sign(&SignRequest::default());
    let made = folder.with_file_name("made").join("extra.xpc/Contents");
    info(&made.join("Info.plist"), "extra", "com.example.demo.extra", "XPC!");
    program(&made.join("MacOS/extra"), TOOL_INTEL);
    write(&made.join("Resources/note.txt"), "note");
    app
}

fn folder(app: &App) -> &Utf8Path {
    app.root.parent().unwrap()
}

/// Runs a script in a mount namespace of its own, as root of it; the tool and its arguments are `"$@"`.
fn in_namespace(app: &App, script: &str, args: &[&str]) -> (i32, String) {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "sh", "-euc", script, "sh", env!("CARGO_BIN_EXE_cargo-xpc"), "xpc"]).args(args);
    ended(command.current_dir(folder(app)))
}

fn ended(command: &mut Command) -> (i32, String) {
    let output = limit::output(command.stdin(std::process::Stdio::null()));
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap_or_else(|| panic!("{command:?}: {}: {stderr}", output.status)), stderr)
}

/// One error, with a place and a remedy.
#[track_caller]
fn told((code, stderr): &(i32, String), words: &[&str]) {
    assert_eq!(*code, 74, "{stderr}");
    assert_eq!(stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{stderr}");
    let line = stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
    for word in words {
        assert!(line.contains(word), "no `{word}` in: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// The smallest file system that a run has enough of, after all that are smaller: in each the disk is full at another place. `option` is
/// what is counted, beginning with what the app itself takes.
fn smaller_and_smaller(option: &str, first: usize, step: usize, args: &[&str]) -> usize {
    let app = app();
    let before = app.content();
    let kept = tempfile::tempdir().unwrap();
    let kept = Utf8Path::from_path(kept.path()).unwrap();
    for (run, count) in (first..).step_by(step).enumerate() {
        assert!(run < 300, "it never has enough");
        // What is left is copied out, since the file system goes with the namespace.
        let script = format!(
            "cp -a . {kept}/original; mount -t tmpfs -o {option}={count} none .; cd \"$PWD\"; cp -a {kept}/original/. .; \
             code=0; \"$@\" || code=$?; cp -a . {kept}/after; exit $code"
        );
        let end = in_namespace(&app, &script, args);
        let mut after = App::bare(TOOL_INTEL);
        after.root = kept.join("after/Demo.app");
        let names: Vec<_> = fs_err::read_dir(kept.join("after")).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names, ["Demo.app"], "{count}");
        if end.0 == 0 {
            assert!(after.content() != before);
            assert!(run > 3, "it had enough from the beginning");
            return run;
        }
        told(&end, &["home", "o space left", "free some"]);
        assert!(after.content() == before, "{count}");
        for name in ["original", "after"] {
            fs_err::remove_dir_all(kept.join(name)).unwrap();
        }
    }
    unreachable!()
}

fn blocks(app: &App) -> usize {
    let entries = walkdir::WalkDir::new(folder(app)).into_iter().map(|entry| entry.unwrap().metadata().unwrap());
    entries.map(|meta| if meta.is_file() { meta.len().div_ceil(4096) as usize } else { 0 }).sum()
}

#[test]
fn a_disk_that_is_full_at_any_place() {
    for args in [&SIGN[..], &EMBED] {
        smaller_and_smaller("nr_blocks", blocks(&app()) + 1, 3, args);
    }
}

#[test]
fn a_file_system_that_can_hold_no_more_files() {
    let entries = walkdir::WalkDir::new(folder(&app())).into_iter().count();
    for args in [&SIGN[..], &EMBED] {
        smaller_and_smaller("nr_inodes", entries + 1, 1, args);
    }
}

#[test]
fn a_read_only_file_system() {
    for args in [&SIGN[..], &EMBED] {
        let app = app();
        let before = app.content();
        let script = "mount --bind . .; mount -o remount,ro,bind .; cd \"$PWD\"; exec \"$@\"";
        told(&in_namespace(&app, script, args), &["home", "read-only", "choose another folder"]);
        assert!(app.content() == before);
    }
}

/// The tool where everybody can start it, and its run as somebody who owns the app and nothing else.
fn unprivileged(app: &App, args: &[&str]) -> (i32, String) {
    let tool: Utf8PathBuf = folder(app).with_file_name("cargo-xpc");
    if !tool.exists() {
        fs_err::copy(env!("CARGO_BIN_EXE_cargo-xpc"), &tool).unwrap();
    }
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--", tool.as_str()]);
        command
    } else {
        Command::new(&tool)
    };
    ended(command.arg("xpc").args(args).current_dir(folder(app)).env("HOME", "/nonexistent"))
}

/// All of it becomes the property of who runs the tool.
fn give_away(app: &App) {
    let top = folder(app).parent().unwrap();
    fs_err::set_permissions(top, std::fs::Permissions::from_mode(0o755)).unwrap();
    if rustix::process::geteuid().is_root() {
        for entry in walkdir::WalkDir::new(top) {
            std::os::unix::fs::lchown(entry.unwrap().path(), Some(65534), Some(65534)).unwrap();
        }
    }
}

#[test]
fn a_folder_that_may_not_be_written() {
    for args in [&SIGN[..], &EMBED] {
        let app = app();
        give_away(&app);
        let before = app.content();
        let mode = |mode| fs_err::set_permissions(folder(&app), std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o555);
        let end = unprivileged(&app, args);
        mode(0o755);
        told(&end, &["home", "permission denied", "choose a folder that you may write to"]);
        assert!(app.content() == before);
    }
}

#[test]
fn what_may_not_be_read() {
    for args in [&SIGN[..], &EMBED] {
        for name in [
            "Demo.app/Contents/Info.plist",
            "Demo.app/Contents/MacOS",
            "Demo.app/Contents/MacOS/demo",
            "Demo.app/Contents/Resources",
            "Demo.app/Contents/Resources/data.bin",
            "Demo.app/Contents/XPCServices/greeter.xpc/Contents/MacOS/greeter",
            "Demo.app/Contents/_CodeSignature/CodeResources",
            "../made/extra.xpc/Contents/MacOS/extra",
            "../made/extra.xpc/Contents/Resources/note.txt",
        ] {
            if args == SIGN && name.contains("made") {
                continue;
            }
            let app = app();
            give_away(&app);
            let before = app.content();
            let path = folder(&app).join(name);
            let old = fs_err::metadata(&path).unwrap().permissions();
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
            let end = unprivileged(&app, args);
            fs_err::set_permissions(&path, old).unwrap();
            told(&end, &[name.rsplit('/').next().unwrap(), "ermission denied", "make it readable for you"]);
            assert!(app.content() == before, "{name}");
            assert_eq!(fs_err::read_dir(folder(&app)).unwrap().count(), 1, "{name}");
        }
    }
}
