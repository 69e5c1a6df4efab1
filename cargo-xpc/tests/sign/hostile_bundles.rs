//! Hostile bundles, through every room that reads one: an error or a finding, never a panic, a hang or a read outside.

use camino::{Utf8Path, Utf8PathBuf};
use cargo_xpc::inspect::inspect;
use cargo_xpc::macho::{MachFile, Slice};
use cargo_xpc::plan::embed::host;
use cargo_xpc::sign::{SignRequest, execute, plan};
use cargo_xpc::verify::{Verdict, verify};

use crate::changes::commands;
use crate::command::run;
use crate::fixture::{App, TOOL_INTEL, info, link, program, tool, write};

/// Signed, with entitlements, and whose parts these are.
fn signed(program: &[u8]) -> (App, Vec<u8>, MachFile) {
    let app = App::bare(program);
    app.sign(&SignRequest { get_task_allow: true, ..SignRequest::default() });
    let (bytes, file) = MachFile::load(&app.path("MacOS/demo")).unwrap();
    (app, bytes, file)
}

/// Where every word of every header stands: of the universal one, of each image, its load commands, its table of blobs and code directory.
fn header_words(bytes: &[u8], file: &MachFile) -> Vec<usize> {
    let mut words = Vec::new();
    if file.slices.len() > 1 {
        words.extend((0..8 + 20 * file.slices.len()).step_by(4));
    }
    for slice in &file.slices {
        words.extend((slice.range.start..slice.range.start + 32).step_by(4));
        words.extend(commands(bytes, slice).into_iter().flat_map(|command| command.step_by(4)));
        words.extend(signature_words(bytes, slice));
    }
    words
}

fn signature_words(bytes: &[u8], slice: &Slice) -> Vec<usize> {
    let signature = slice.read_signature(bytes).unwrap().unwrap();
    let start = slice.range.start + slice.signature.clone().unwrap().start;
    let table = start..start + 12 + 8 * signature.blobs.len();
    let directory = &signature.blobs[0].range;
    let directory = start + directory.start..start + directory.start + 88;
    // Of every other part, what it is and how long it is.
    let others =
        signature.blobs.iter().skip(1).flat_map(|blob| [start + blob.range.start, start + blob.range.start + 4]);
    table.step_by(4).chain(directory.step_by(4)).chain(others).collect()
}

#[test]
fn a_program_cut_at_every_header_field_is_refused_by_all() {
    for whole in [tool(), TOOL_INTEL.to_vec()] {
        let (app, bytes, file) = signed(&whole);
        let path = app.path("MacOS/demo");
        let words = header_words(&bytes, &file);
        assert!(words.len() > 300, "{}", words.len());
        for at in words {
            write(&path, &bytes[..at]);
            assert_ne!(verify(&app.root).unwrap().verdict(), Verdict::Valid, "{at}");
            assert!(plan(&app.root, &SignRequest::default()).is_err(), "{at}");
            let _ = inspect(&app.root).unwrap();
            let _ = host(&app.root);
        }
    }
}

/// Each word of each header in turn is the largest, the smallest, or one about as large as the file.
#[test]
fn sizes_and_offsets_that_overflow_are_found_or_mean_nothing() {
    let (app, bytes, file) = signed(&tool());
    let path = app.path("MacOS/demo");
    let length = bytes.len() as u32;
    let (mut refused, mut again) = (0, 0);
    for at in header_words(&bytes, &file) {
        for (index, word) in
            [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, u32::MAX - 15, length, length - 8].into_iter().enumerate()
        {
            let mut damaged = bytes.clone();
            // The universal header and the signature are big-endian, the rest is little-endian: here it is both.
            let big = at < file.slices[0].range.start
                || file.slices.iter().any(|slice| {
                    at >= slice.range.start + slice.signature.clone().unwrap().start && slice.range.contains(&at)
                });
            damaged[at..at + 4].copy_from_slice(&if big { word.to_be_bytes() } else { word.to_le_bytes() });
            if damaged == bytes {
                continue;
            }
            write(&path, &damaged);
            let _ = verify(&app.root).unwrap();
            let _ = inspect(&app.root).unwrap();
            let _ = host(&app.root);
            match plan(&app.root, &SignRequest::default()) {
                Err(_) => refused += 1,
                // Signing makes a sound file of it, or says why not.
                Ok(plan) if (at / 4 + index).is_multiple_of(4) => {
                    if execute(&plan, &app.root, &mut |_| {}).is_ok() {
                        again += 1;
                        assert_eq!(verify(&app.root).unwrap().findings, [], "{word:#x} at {at:#x}");
                    }
                }
                Ok(_) => {}
            }
        }
    }
    assert!(refused > 500 && again > 200, "{refused} refused, {again} signed");
}

/// Ends a run of the program as a person would accept it.
#[track_caller]
fn ends_well(app: &App, args: &[&str]) -> (i32, String) {
    let made = app.root.with_file_name("made").join("extra.xpc/Contents");
    if !made.exists() {
        info(&made.join("Info.plist"), "extra", "com.example.demo.extra", "XPC!");
        program(&made.join("MacOS/extra"), TOOL_INTEL);
    }
    let (code, stdout, stderr) = run(app, args);
    assert!([0, 1, 2, 74].contains(&code), "{args:?} ended with {code}: {stderr}");
    assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
    (code, stdout + &stderr)
}

/// Every way into the program that reads a bundle.
const READERS: [&[&str]; 5] = [
    &["inspect", "Demo.app"],
    &["verify", "Demo.app"],
    &["sign", "Demo.app", "--dry-run"],
    &["sign", "Demo.app"],
    &["embed", "Demo.app", "made/extra.xpc"],
];

#[track_caller]
fn every_reader(app: &App) -> Vec<(i32, String)> {
    READERS.iter().map(|args| ends_well(app, args)).collect()
}

/// Folders in folders, deeper than any path is long. They are put around each other from the innermost out, and taken apart from outside.
struct Deep {
    app: App,
    top: Utf8PathBuf,
    step: &'static str,
}

impl Deep {
    /// `step` is the way from a folder to the one in it; `fill` makes what stands in each.
    fn new(app: App, top: &str, step: &'static str, count: usize, fill: impl Fn(&Utf8Path)) -> Self {
        let top = app.path(top);
        let (inner, outer) = (app.root.with_file_name("inner"), app.root.with_file_name("outer"));
        fs_err::create_dir(&inner).unwrap();
        fill(&inner);
        for _ in 1..count {
            fill(&outer);
            let place = outer.join(step);
            fs_err::create_dir_all(place.parent().unwrap()).unwrap();
            fs_err::rename(&inner, place).unwrap();
            fs_err::rename(&outer, &inner).unwrap();
        }
        fs_err::create_dir_all(top.parent().unwrap()).unwrap();
        fs_err::rename(&inner, &top).unwrap();
        Self { app, top, step }
    }
}

impl Drop for Deep {
    fn drop(&mut self) {
        let (inner, aside) = (self.app.root.with_file_name("inner"), self.app.root.with_file_name("aside"));
        let _ = fs_err::rename(&self.top, &inner);
        while fs_err::rename(inner.join(self.step), &aside).is_ok() {
            let _ = fs_err::remove_dir_all(&inner);
            let _ = fs_err::rename(&aside, &inner);
        }
    }
}

#[test]
fn ten_thousand_bundles_within_each_other_are_refused() {
    let app = App::full();
    app.sign(&SignRequest::default());
    let content = app.root.with_file_name("content");
    info(&content.join("Info.plist"), "a", "com.example.a", "APPL");
    let list = fs_err::read(content.join("Info.plist")).unwrap();
    let deep = Deep::new(app, "PlugIns/a.app", "Contents/PlugIns/a.app", 10_000, |folder| {
        write(&folder.join("Contents/Info.plist"), &list);
        program(&folder.join("Contents/MacOS/a"), b"\xcf\xfa\xed\xfe");
    });
    let ends = every_reader(&deep.app);
    // What only looks may show what it can.
    for (code, said) in &ends[1..] {
        assert_ne!(*code, 0, "{said}");
    }
    assert!(ends[1].1.contains("PlugIns/a.app: was added after signing"), "{}", ends[1].1);
}

#[test]
fn ten_thousand_folders_within_each_other_are_refused() {
    let app = App::full();
    app.sign(&SignRequest::default());
    let deep = Deep::new(app, "Resources/d", "d", 10_000, |folder| fs_err::create_dir_all(folder).unwrap());
    for (code, said) in &every_reader(&deep.app)[1..] {
        assert!(*code != 0 && said.contains("nested deeper than") || said.contains("too long"), "{code}: {said}");
    }
}

/// Side by side they are many, and nothing else.
#[test]
fn ten_thousand_bundles_beside_each_other_are_read() {
    let app = App::bare(TOOL_INTEL);
    // With a seal, so that reading back enters what was added.
    app.sign(&SignRequest::default());
    for number in 0..10_000 {
        let contents = app.path(&format!("XPCServices/s{number}.xpc/Contents"));
        info(&contents.join("Info.plist"), "demo", &format!("com.example.demo.s{number}"), "XPC!");
        fs_err::create_dir(contents.join("MacOS")).unwrap();
        fs_err::hard_link(app.path("MacOS/demo"), contents.join("MacOS/demo")).unwrap();
    }
    for (args, expected) in [(["verify", "Demo.app"].as_slice(), 1), (&["sign", "Demo.app", "--dry-run"], 0)] {
        let (code, said) = ends_well(&app, args);
        assert_eq!(code, expected, "{args:?}: {said}");
        assert!(said.contains("XPCServices/s9999.xpc"), "{args:?}");
    }
}

/// Symlinks that lead in a circle, in each place where something is looked for.
#[test]
fn circles_of_symlinks_are_not_followed() {
    for (place, target) in [
        ("", "Contents"),
        ("Info.plist", "Info.plist"),
        ("MacOS", "../Contents/MacOS"),
        ("MacOS/demo", "demo"),
        ("MacOS/helper", "../MacOS/helper"),
        ("Resources", "Resources"),
        ("Resources/up", "../.."),
        ("Resources/up.bundle", "../../../Demo.app"),
        ("_CodeSignature", "_CodeSignature"),
        ("_CodeSignature/CodeResources", "CodeResources"),
        ("embedded.provisionprofile", "embedded.provisionprofile"),
        ("XPCServices", "../Contents/XPCServices"),
        ("XPCServices/greeter.xpc", "../.."),
        ("XPCServices/greeter.xpc/Contents", "../../.."),
        ("XPCServices/again.xpc", "greeter.xpc"),
        ("PlugIns/up.appex", "../.."),
        ("Frameworks/Answer.framework/Versions/Current", "Current"),
        ("Frameworks/Answer.framework/Versions/B", "Current"),
        ("Frameworks/Answer.framework/Versions/B/Answer", "../Current/Answer"),
        ("Frameworks/Answer.framework", "Answer.framework"),
    ] {
        let app = App::full();
        app.sign(&SignRequest::default());
        let path = Utf8PathBuf::from(app.path(place).as_str().trim_end_matches('/'));
        cargo_xpc::bundle::tree::remove(&path).unwrap();
        link(&path, target);
        for args in READERS {
            let before = app.content();
            let (code, said) = ends_well(&app, args);
            assert!(code == 0 || app.content() == before, "{place}: {args:?}: {code}: {said}");
        }
    }
}
