//! What reading back takes over from signing, and what it reads all the same.

use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_xpc::beneath::{Moment, Root, Stamp};
use cargo_xpc::bundle::tree;
use cargo_xpc::sign::{Seen, SignRequest, execute, prepare};
use cargo_xpc::verify::{Hashes, Known, verify, verify_knowing};
use rustix::process::{Pid, Signal, WaitOptions};

use crate::fixture::{App, program, tool, write};
use crate::identity::command;

/// Answers as signing would, or with hashes that nothing has, and counts its answers.
struct Reader<'a> {
    seen: &'a Seen,
    wrong: bool,
    answers: Mutex<usize>,
}

impl<'a> Reader<'a> {
    fn of(seen: &'a Seen, wrong: bool) -> Self {
        Self { seen, wrong, answers: Mutex::new(0) }
    }
}

impl Known for Reader<'_> {
    fn hashes(&self, stamp: &Stamp) -> Option<Hashes> {
        let (sha1, sha256) = if self.wrong { ([0; 20], [0; 32]) } else { *self.seen.hashes(stamp)? };
        *self.answers.lock().unwrap() += 1;
        Some(Hashes { sha1, sha256 })
    }
}

fn app() -> App {
    let app = App::bare(&tool());
    app.service("greeter");
    program(&app.path("MacOS/helper"), &tool());
    write(&app.path("Resources/data.bin"), vec![7; 10_000]);
    write(&app.path("Resources/en.lproj/Localizable.strings"), "\"a\" = \"b\";");
    // Code that cannot be signed, but may be somebody's: it is looked into.
    write(&app.path("Resources/damaged.o"), [&[0xcf, 0xfa, 0xed, 0xfe][..], &[0; 60]].concat());
    app
}

/// What the app's successor is, and what was read when it was signed.
fn successor(app: &App) -> (Utf8PathBuf, Seen) {
    let root = app.root.with_file_name("Next.app");
    tree::succeed(&app.root, &root).unwrap();
    for file in ["Resources/data.bin", "Resources/en.lproj/Localizable.strings"] {
        let linked = Root::open(&root).unwrap().file(&Utf8Path::new("Contents").join(file)).unwrap().stamp();
        while !linked.is_before(Moment::now()) {
            std::thread::yield_now();
        }
    }
    let signed = execute(&prepare(&root, &SignRequest::default()).unwrap(), &root, &mut |_| {}).unwrap();
    (root, signed.seen)
}

/// Other content, of the same size and with the same time of modification, in the same file.
fn change(path: &Utf8Path) {
    let modified: SystemTime = fs_err::metadata(path).unwrap().modified().unwrap();
    let size = fs_err::metadata(path).unwrap().len();
    let file = fs_err::OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(file.file(), b"?", size / 2).unwrap();
    file.file().set_modified(modified).unwrap();
}

#[test]
fn only_files_of_the_old_bundle_that_are_no_code_are_taken_over() {
    let app = app();
    let (root, seen) = successor(&app);
    let reader = Reader::of(&seen, false);
    assert_eq!(verify_knowing(&root, &reader).unwrap().findings, []);
    // The service's text, the data, the strings.
    assert_eq!(*reader.answers.lock().unwrap(), 3);
    // Signed in place, each file has one name: nothing is taken over.
    tree::remove(&root).unwrap();
    let signed = execute(&prepare(&app.root, &SignRequest::default()).unwrap(), &app.root, &mut |_| {}).unwrap();
    let reader = Reader::of(&signed.seen, false);
    assert_eq!(verify_knowing(&app.root, &reader).unwrap().findings, []);
    assert_eq!(*reader.answers.lock().unwrap(), 0);
}

#[test]
fn programs_and_seals_are_read_whatever_is_known() {
    let app = app();
    let (root, seen) = successor(&app);
    let report = verify_knowing(&root, &Reader::of(&seen, true)).unwrap();
    let found: Vec<_> = report.findings.iter().map(|finding| finding.path.as_str()).collect();
    let believed = [
        "Contents/Resources/damaged.o",
        "Contents/Resources/data.bin",
        "Contents/Resources/en.lproj/Localizable.strings",
        "Contents/XPCServices/greeter.xpc/Contents/Resources/hello.txt",
    ];
    assert_eq!(found, believed);
    assert_eq!(report.code.len(), 3);
    change(&root.join("Contents/MacOS/helper"));
    let report = verify_knowing(&root, &Reader::of(&seen, false)).unwrap();
    let found: Vec<_> = report.findings.iter().map(|finding| finding.path.as_str()).collect();
    assert!(!found.is_empty() && found.iter().all(|path| *path == "Contents/MacOS/helper"), "{found:?}");
}

#[test]
fn what_changes_after_it_was_read_for_its_hash_is_found() {
    let app = app();
    let (root, seen) = successor(&app);
    // Under the name in the old bundle: it is one file.
    change(&app.path("Resources/data.bin"));
    let reader = Reader::of(&seen, false);
    let report = verify_knowing(&root, &reader).unwrap();
    assert_eq!(report.findings, verify(&root).unwrap().findings);
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    assert_eq!(report.findings[0].path, "Contents/Resources/data.bin");
    assert_eq!(*reader.answers.lock().unwrap(), 2);
}

/// The same through the program. The file is large, so that the program does take it over.
#[test]
fn a_file_that_changes_between_the_seal_and_the_reading_back_is_not_published() {
    let app = app();
    write(&app.path("Resources/large.bin"), vec![7; 3 << 20]);
    let mut command = command(&app, &["sign", "Demo.app"]);
    command.env("CARGO_XPC_STOP_AT", "sealed").stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn().unwrap();
    let pid = Pid::from_child(&child);
    let (_, status) = rustix::process::waitpid(Some(pid), WaitOptions::UNTRACED).unwrap().unwrap();
    assert!(status.stopped(), "{status:?}");
    change(&app.path("Resources/large.bin"));
    let before = app.content();
    rustix::process::kill_process(pid, Signal::CONT).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(70), "{stderr}");
    assert!(stderr.contains("not published") && stderr.contains("Resources/large.bin"), "{stderr}");
    assert!(app.content() == before);
}
