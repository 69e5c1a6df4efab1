//! Nothing outside of a bundle is read, whatever the bundle says: the kernel tells of every file that is opened there.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use camino::Utf8PathBuf;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use crate::command::{command, run};
use crate::fixture::{App, TOOL_INTEL, info, link, program, tool, write};
use crate::limit::output;

/// What is found nowhere else.
const MARK: &str = "com.example.mark.5f1d0a";

/// A folder that nobody has any business in, and the kernel's word on who opened what there.
struct Outside {
    root: Utf8PathBuf,
    watch: OwnedFd,
}

impl Outside {
    /// A whole app stands there, and everything else that a bundle might want to borrow.
    fn beside(app: &App) -> Self {
        let root = app.root.parent().unwrap().join("outside");
        for bundle in ["Other.app", "greeter.xpc", "Answer.framework/Versions/A"] {
            let contents = root.join(bundle).join("Contents");
            info(&contents.join("Info.plist"), "demo", MARK, "APPL");
            program(&contents.join("MacOS/demo"), TOOL_INTEL);
            program(&contents.join("MacOS/greeter"), TOOL_INTEL);
            write(&contents.join("_CodeSignature/CodeResources"), MARK);
            write(&contents.join("Resources/secret"), MARK);
            info(&contents.join("Resources/Info.plist"), "demo", MARK, "APPL");
        }
        let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        for entry in walkdir::WalkDir::new(&root) {
            let entry = entry.unwrap();
            if entry.file_type().is_dir() {
                // What is opened in a folder, and the folder itself when it is listed; what gets another name; whatever is written.
                inotify::add_watch(&watch, entry.path(), WatchFlags::ALL_EVENTS).unwrap();
            }
        }
        let outside = Self { root, watch };
        outside.opened();
        outside
    }

    /// Names of what was opened, read, linked or changed since the last time.
    fn opened(&self) -> Vec<String> {
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut reader = inotify::Reader::new(&self.watch, &mut buffer);
        let mut names = Vec::new();
        while let Ok(event) = reader.next() {
            // Whoever closes has opened, which is told too; alone it is of a descriptor from before, which a process that another
            // test was starting had for a moment.
            if (ReadFlags::CLOSE_WRITE | ReadFlags::CLOSE_NOWRITE | ReadFlags::ISDIR).contains(event.events()) {
                continue;
            }
            let name = event.file_name().map(|name| name.to_string_lossy().into_owned());
            names.push(format!("{:?} {:?}", event.events(), name));
        }
        names
    }

    fn contents(&self) -> Utf8PathBuf {
        self.root.join("Other.app/Contents")
    }
}

/// Every subcommand that reads a bundle, over `app`: no panic, nothing opened outside, and the bundle as it was where one fails.
#[track_caller]
fn nobody_looks(app: &App, outside: &Outside, case: &str) {
    let made = app.root.parent().unwrap().join("made/extra.xpc/Contents");
    if !made.exists() {
        info(&made.join("Info.plist"), "extra", "com.example.demo.extra", "XPC!");
        program(&made.join("MacOS/extra"), TOOL_INTEL);
    }
    outside.opened();
    for args in [
        &["inspect", "Demo.app"] as &[&str],
        &["verify", "Demo.app"],
        &["sign", "Demo.app", "--dry-run"],
        &["sign", "Demo.app"],
        &["embed", "Demo.app", "made/extra.xpc"],
    ] {
        let before = app.content();
        let (code, _, stderr) = run(app, args);
        assert_eq!(outside.opened(), [""; 0], "{case}: {args:?} opened this outside of the bundle: {stderr}");
        assert!([0, 1, 2].contains(&code), "{case}: {args:?} ended with {code}: {stderr}");
        assert!(code == 0 || stderr.starts_with("error: ") || code == 1, "{case}: {args:?}: {stderr}");
        assert!(code == 0 || app.content() == before, "{case}: {args:?} failed and changed the bundle");
    }
}

#[test]
fn the_kernel_tells_of_what_is_opened() {
    let app = App::bare(TOOL_INTEL);
    let outside = Outside::beside(&app);
    assert_eq!(outside.opened(), [""; 0]);
    fs_err::read(outside.contents().join("Info.plist")).unwrap();
    assert!(outside.opened().iter().any(|event| event.contains("Info.plist")));
    fs_err::read_dir(outside.contents()).unwrap();
    assert_ne!(outside.opened(), [""; 0]);
}

/// Each part of a bundle in turn is a symlink to its like elsewhere.
#[test]
fn parts_that_are_symlinks_out_of_the_bundle_are_not_followed() {
    for (part, like) in [
        ("", "Other.app/Contents"),
        ("Info.plist", "Other.app/Contents/Info.plist"),
        ("MacOS", "Other.app/Contents/MacOS"),
        ("MacOS/demo", "Other.app/Contents/MacOS/demo"),
        ("MacOS/helper", "Other.app/Contents/MacOS/demo"),
        ("Resources", "Other.app/Contents/Resources"),
        ("Resources/data.bin", "Other.app/Contents/Resources/secret"),
        ("_CodeSignature", "Other.app/Contents/_CodeSignature"),
        ("_CodeSignature/CodeResources", "Other.app/Contents/_CodeSignature/CodeResources"),
        ("CodeResources", "Other.app/Contents/_CodeSignature/CodeResources"),
        ("embedded.provisionprofile", "Other.app/Contents/Resources/secret"),
        ("XPCServices", "Other.app"),
        ("XPCServices/greeter.xpc", "greeter.xpc"),
        ("XPCServices/greeter.xpc/Contents", "greeter.xpc/Contents"),
        ("XPCServices/greeter.xpc/Contents/MacOS", "greeter.xpc/Contents/MacOS"),
        ("XPCServices/greeter.xpc/Contents/MacOS/greeter", "greeter.xpc/Contents/MacOS/greeter"),
        ("XPCServices/greeter.xpc/Contents/Info.plist", "greeter.xpc/Contents/Info.plist"),
        ("XPCServices/greeter.xpc/Contents/_CodeSignature", "greeter.xpc/Contents/_CodeSignature"),
        ("Frameworks/Answer.framework", "Answer.framework"),
        ("Frameworks/Answer.framework/Versions", "Answer.framework/Versions"),
        ("Frameworks/Answer.framework/Versions/A", "Answer.framework/Versions/A"),
        ("Frameworks/Answer.framework/Versions/B", "Answer.framework/Versions/A"),
        ("Frameworks/Answer.framework/Versions/Current", "Answer.framework/Versions/A"),
        ("Frameworks/Answer.framework/Versions/B/Resources", "Other.app/Contents/Resources"),
        ("Frameworks/Answer.framework/Versions/B/Answer", "Other.app/Contents/MacOS/demo"),
        ("Resources/Plug.bundle/Contents/MacOS", "Other.app/Contents/MacOS"),
        ("Resources/Plug.bundle/Contents/_CodeSignature", "Other.app/Contents/_CodeSignature"),
    ] {
        let app = App::full();
        info(&app.path("Resources/Plug.bundle/Contents/Info.plist"), "demo", "com.example.plug", "BNDL");
        program(&app.path("Resources/Plug.bundle/Contents/MacOS/demo"), &tool());
        app.sign(&cargo_xpc::sign::SignRequest::default());
        let outside = Outside::beside(&app);
        let place = app.path(part);
        let place = Utf8PathBuf::from(place.as_str().trim_end_matches('/'));
        cargo_xpc::bundle::tree::remove(&place).unwrap();
        link(&place, outside.root.join(like).as_str());
        nobody_looks(&app, &outside, part);
    }
}

/// What would block whoever opens it.
#[test]
fn pipes_are_not_opened() {
    for part in ["Info.plist", "MacOS/demo", "Resources/pipe", "_CodeSignature/CodeResources", "CodeResources"] {
        let app = App::full();
        app.sign(&cargo_xpc::sign::SignRequest::default());
        let outside = Outside::beside(&app);
        let place = app.path(part);
        cargo_xpc::bundle::tree::remove(&place).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(rustix::fs::CWD, place.as_std_path(), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        nobody_looks_at_a_pipe(&app, &outside, part);
    }
}

/// Like [`nobody_looks`]; the content of a pipe cannot be compared.
fn nobody_looks_at_a_pipe(app: &App, outside: &Outside, case: &str) {
    for args in [&["inspect", "Demo.app"] as &[&str], &["verify", "Demo.app"], &["sign", "Demo.app"]] {
        let (code, _, stderr) = run(app, args);
        assert!([0, 1, 2].contains(&code), "{case}: {args:?} ended with {code}: {stderr}");
        // `Contents/CodeResources` is a notarization ticket, which no seal holds.
        let may_pass = args[0] == "inspect" || (args[0], case) == ("verify", "CodeResources");
        assert!(code != 0 || may_pass, "{case}: {args:?}: {stderr}");
    }
    assert_eq!(outside.opened(), [""; 0]);
}

/// Puts something else in the place of parts of an app, and them back, until it is told to stop.
struct Swapper<'a> {
    app: &'a App,
    spare: Utf8PathBuf,
    done: AtomicBool,
}

/// What takes the place of a part.
enum Instead {
    Link(Utf8PathBuf),
    Pipe,
    File,
}

impl<'a> Swapper<'a> {
    fn new(app: &'a App) -> Self {
        Self { app, spare: app.root.with_file_name("spare"), done: AtomicBool::new(false) }
    }

    fn until_done(&self, swaps: &[(&str, Instead)]) {
        for (part, instead) in swaps.iter().cycle().take_while(|_| !self.done.load(Ordering::Relaxed)) {
            let place = Utf8PathBuf::from(self.app.path(part).as_str().trim_end_matches('/'));
            match instead {
                Instead::Link(target) => link(&self.spare, target.as_str()),
                Instead::File => write(&self.spare, "cut"),
                Instead::Pipe => {
                    let mode = rustix::fs::Mode::from_raw_mode(0o644);
                    let kind = rustix::fs::FileType::Fifo;
                    rustix::fs::mknodat(rustix::fs::CWD, self.spare.as_std_path(), kind, mode, 0).unwrap();
                }
            }
            // Each exchange is one step, and so is the way back. A published bundle takes the place of the one at hand.
            let exchange = || {
                let (from, to) = (self.spare.as_std_path(), place.as_std_path());
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, flags).is_ok()
            };
            if exchange() {
                exchange();
            }
            cargo_xpc::bundle::tree::remove(&self.spare).unwrap();
        }
    }
}

/// Runs every subcommand that reads a bundle over and over while `swaps` take turns.
#[track_caller]
fn swapped_meanwhile(swaps: impl Fn(&Outside) -> Vec<(&'static str, Instead)>) {
    let app = App::full();
    app.sign(&cargo_xpc::sign::SignRequest::default());
    let made = app.root.with_file_name("made").join("extra.xpc/Contents");
    info(&made.join("Info.plist"), "extra", "com.example.demo.extra", "XPC!");
    program(&made.join("MacOS/extra"), TOOL_INTEL);
    let outside = Outside::beside(&app);
    let swaps = swaps(&outside);
    let swapper = Swapper::new(&app);
    std::thread::scope(|scope| {
        scope.spawn(|| swapper.until_done(&swaps));
        // The scope waits for its thread, also where this panics.
        let end = Ends(&swapper);
        for round in 0..60 {
            let args: &[&str] = [
                &["verify", "Demo.app"] as &[&str],
                &["sign", "Demo.app"],
                &["inspect", "Demo.app"],
                &["embed", "Demo.app", "made/extra.xpc"],
                &["sign", "Demo.app", "--dry-run"],
            ][round % 5];
            let output = output(&mut command(&app, args));
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.code().is_some_and(|code| [0, 1, 2, 74].contains(&code)), "{args:?}: {said}");
            assert!(!said.contains("panicked") && !said.contains(MARK), "{args:?}: {said}");
            assert_eq!(outside.opened(), [""; 0], "{args:?}: {said}");
        }
        drop(end);
    });
    assert_eq!(outside.opened(), [""; 0]);
    for (name, (_, bytes)) in app.content() {
        assert!(!bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes()), "{name} came from outside");
    }
}

/// However a test ends, the thread that swaps does too.
struct Ends<'a>(&'a Swapper<'a>);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.done.store(true, Ordering::Relaxed);
    }
}

/// Files become symlinks to files outside, pipes, and other files.
#[test]
fn files_change_while_a_bundle_is_read() {
    swapped_meanwhile(|outside| {
        let parts = ["Resources/data.bin", "MacOS/helper", "Info.plist", "_CodeSignature/CodeResources", "MacOS/demo"];
        let secret = outside.contents().join("Resources/secret");
        let kinds = [|secret| Instead::Link(secret), |_| Instead::Pipe, |_| Instead::File];
        kinds.iter().flat_map(|kind| parts.map(|part| (part, kind(secret.clone())))).collect()
    });
}

/// Folders become symlinks to their likes outside.
#[test]
fn folders_become_symlinks_while_a_bundle_is_read() {
    swapped_meanwhile(|outside| {
        let parts = [
            ("Resources", "Other.app/Contents/Resources"),
            ("MacOS", "Other.app/Contents/MacOS"),
            ("_CodeSignature", "Other.app/Contents/_CodeSignature"),
            ("XPCServices/greeter.xpc", "greeter.xpc"),
            ("XPCServices/greeter.xpc/Contents", "greeter.xpc/Contents"),
            ("Frameworks/Answer.framework/Versions/B", "Answer.framework/Versions/A"),
            ("", "Other.app/Contents"),
        ];
        parts.map(|(part, like)| (part, Instead::Link(outside.root.join(like)))).into()
    });
}

/// How often each file of a bundle was opened for reading, by the kernel's count.
fn reads(app: &App, work: impl FnOnce()) -> std::collections::BTreeMap<String, usize> {
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    let mut folders = std::collections::BTreeMap::new();
    for entry in walkdir::WalkDir::new(&app.root) {
        let entry = entry.unwrap();
        if entry.file_type().is_dir() {
            // Events that are equal and follow each other are told once: so openings are asked for as well.
            let flags = WatchFlags::OPEN | WatchFlags::CLOSE;
            let folder = Utf8PathBuf::from_path_buf(entry.path().to_owned()).unwrap();
            folders.insert(inotify::add_watch(&watch, entry.path(), flags).unwrap(), folder);
        }
    }
    work();
    let mut buffer = [MaybeUninit::uninit(); 8192];
    let mut reader = inotify::Reader::new(&watch, &mut buffer);
    let mut reads = std::collections::BTreeMap::new();
    while let Ok(event) = reader.next() {
        use inotify::ReadFlags;
        assert!(!event.events().contains(ReadFlags::QUEUE_OVERFLOW));
        if event.events().contains(ReadFlags::CLOSE_NOWRITE)
            && !event.events().contains(ReadFlags::ISDIR)
            && let Some(name) = event.file_name()
        {
            let path = folders[&event.wd()].join(name.to_str().unwrap());
            *reads.entry(path.strip_prefix(&app.root).unwrap().to_string()).or_default() += 1;
        }
    }
    reads
}

/// Before it is read back: whether it is code, its hashes, and its bytes where it is, all come from one opening.
#[test]
fn each_file_is_read_once_while_it_is_signed() {
    for prepared in [true, false] {
        let app = App::full();
        // Code among the resources, a bundle there, and scripts and data of all kinds.
        program(&app.path("Resources/tool"), &tool());
        write(&app.path("Resources/object.o"), b"\xcf\xfa\xed\xfe, damaged");
        write(&app.path("Resources/script.sh"), "#!/bin/sh\n");
        write(&app.path("Resources/empty"), "");
        write(&app.path("Resources/large"), vec![1; 1 << 20]);
        info(&app.path("Resources/Plug.bundle/Contents/Info.plist"), "demo", "com.example.plug", "BNDL");
        program(&app.path("Resources/Plug.bundle/Contents/MacOS/demo"), &tool());
        program(&app.path("Resources/Plug.bundle/Contents/MacOS/more"), &tool());
        write(&app.path("Resources/Plug.bundle/Contents/Resources/data"), "data");
        let request = cargo_xpc::sign::SignRequest::default();
        app.sign(&request);
        let plan = if prepared { cargo_xpc::sign::prepare } else { cargo_xpc::sign::plan };
        let reads = reads(&app, || {
            let plan = plan(&app.root, &request).unwrap();
            cargo_xpc::sign::execute(&plan, &app.root, &mut |_| {}).unwrap();
        });
        assert_eq!(cargo_xpc::verify::verify(&app.root).unwrap().findings, []);
        let twice: Vec<_> = reads.iter().filter(|(_, count)| **count > 1).collect();
        assert_eq!(twice.is_empty(), prepared, "{twice:?}");
        for (name, (_, bytes)) in app.content() {
            let place = app.root.join(&name);
            // Old seals are replaced without a look, and what the rules leave out is not looked at.
            let unread = ["CodeResources", "PkgInfo"].iter().any(|it| name.ends_with(it));
            if fs_err::symlink_metadata(&place).unwrap().is_file() && !unread {
                assert!(reads.contains_key(&name), "{name} was not read ({} bytes)", bytes.len());
            }
        }
    }
}
