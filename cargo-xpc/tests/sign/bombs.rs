//! Property lists made to fill the memory or the stack, in every place where one is read: an error that names the place, within bounds.
//!
//! The bounds are the system's: a run that needs more memory or time than they leave dies by a signal, and the test fails.

use std::process::{Command, Stdio};

use camino::Utf8Path;
use cargo_xpc::macho::{MachFile, slot};
use cargo_xpc::sign::{Entitlements, Scope, SignRequest};

use crate::fixture::{App, TOOL_INTEL, info, program, write};
use crate::identity::{PASSWORD, fixture};
use crate::limit;

/// Address space, in KiB: the program itself, its threads' stacks and arenas, and a list of the largest size that is read.
const MEMORY: u32 = 1 << 20;
/// Seconds of the processor.
const TIME: u32 = 30;

/// `sh` sets the limits, and becomes the program.
fn bounded(app: &App, args: &[&str]) -> (i32, String) {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {MEMORY} && ulimit -t {TIME} && exec \"$@\""), "sh"]);
    command.args([env!("CARGO_BIN_EXE_cargo-xpc"), "xpc"]).args(args);
    command.current_dir(app.root.parent().unwrap()).stdin(Stdio::null());
    command.env("CARGO_XPC_APPLE_ROOT", fixture("apple-root.cer")).env("PASSWORD_OF_TEST", PASSWORD);
    let output = limit::output(&mut command);
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let code = output.status.code();
    (code.unwrap_or_else(|| panic!("{args:?} died: {}: {stderr}", output.status)), stdout + &stderr)
}

/// A binary list of these objects, the first of which is its root; references take two bytes.
fn binary(objects: &[Vec<u8>]) -> Vec<u8> {
    let mut list = b"bplist00".to_vec();
    let mut offsets = Vec::new();
    for object in objects {
        offsets.push(list.len() as u32);
        list.extend(object);
    }
    let table = list.len() as u64;
    list.extend(offsets.iter().flat_map(|offset| offset.to_be_bytes()));
    list.extend([0, 0, 0, 0, 0, 0, 4, 2]);
    list.extend([objects.len() as u64, 0, table].iter().flat_map(|number| number.to_be_bytes()));
    list
}

/// The head of an object whose count does not fit into four bits.
fn head(kind: u8, count: u64) -> Vec<u8> {
    [&[kind | 15, 0x13][..], &count.to_be_bytes()].concat()
}

/// A dictionary with one key, whose value is the object after the key.
fn root() -> [Vec<u8>; 2] {
    [vec![0xd1, 0, 1, 0, 2], b"\x51a".to_vec()]
}

fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let xml = |head: &str, body: &str| {
        format!("<?xml version=\"1.0\"?>{head}<plist version=\"1.0\"><dict><key>a</key>{body}</dict></plist>")
            .into_bytes()
    };
    let laughs: String =
        (1..12).map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))).collect();
    let laughs = format!("<!DOCTYPE plist [<!ENTITY l0 \"ha\">{laughs}]>");
    let doubling = |level: u16| [&[0xa2][..], &(level + 1).to_be_bytes(), &(level + 1).to_be_bytes()].concat();
    let doubling = (2..60).map(doubling).chain([vec![0x09]]).collect::<Vec<_>>();
    let text = [head(0x50, 500_000), vec![b'a'; 500_000]].concat();
    let often = [head(0xa0, 60_000), 3_u16.to_be_bytes().repeat(60_000)].concat();
    let whole = |rest: Vec<Vec<u8>>| binary(&[root().to_vec(), rest].concat());
    let mut trailer = whole(vec![vec![0x09]]);
    let count = trailer.len() - 24;
    trailer[count..count + 8].copy_from_slice(&(u64::MAX >> 2).to_be_bytes());
    vec![
        ("arrays in arrays", xml("", &"<array>".repeat(100_000))),
        ("dictionaries in dictionaries", xml("", &"<dict><key>a</key>".repeat(50_000))),
        ("a million laughs", xml(&laughs, "<string>&l11;</string>")),
        ("a million laughs as a key", xml(&laughs, "<dict><key>&l11;</key><true/></dict>")),
        (
            "an entity of outside",
            xml("<!DOCTYPE plist [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>", "<string>&x;</string>"),
        ),
        ("more values than memory", xml("", &format!("<array>{}</array>", "<true/>".repeat(2_200_000)))),
        ("an old list, deep", [b"{a=".to_vec(), b"(".repeat(300_000)].concat()),
        ("a list that doubles itself", whole(doubling)),
        ("an array that holds itself", whole(vec![vec![0xa1, 0, 2]])),
        ("a dictionary that holds itself", whole(vec![vec![0xd1, 0, 1, 0, 2]])),
        ("a dictionary that is its own root", binary(&[vec![0xd1, 0, 1, 0, 0], b"\x51a".to_vec()])),
        ("a long text, often", whole(vec![often, text])),
        ("an array without end", whole(vec![head(0xa0, u64::MAX >> 2)])),
        ("a dictionary without end", whole(vec![head(0xd0, u64::MAX >> 2)])),
        ("data without end", whole(vec![head(0x40, u64::MAX >> 2)])),
        ("text of 16 bits without end", whole(vec![head(0x60, u64::MAX >> 2)])),
        ("objects without end", trailer),
    ]
}

/// Room for a bomb in a signature's entitlements.
const ROOM: usize = 1 << 20;

fn app() -> App {
    let app = App::bare(TOOL_INTEL);
    app.service("greeter");
    app.sign(&SignRequest::default());
    let made = app.root.with_file_name("made").join("extra.xpc/Contents");
    info(&made.join("Info.plist"), "extra", "com.example.demo.extra", "XPC!");
    program(&made.join("MacOS/extra"), TOOL_INTEL);
    app
}

/// The app, whose program's signature has entitlements of a megabyte.
fn app_with_room() -> App {
    let app = app();
    let mut content = plist::Dictionary::new();
    content.insert("com.example.room".to_owned(), "x".repeat(ROOM).into());
    let entitlements = Entitlements { source: "test".to_owned(), content };
    app.sign(&SignRequest { entitlements: vec![(Scope::main(), entitlements)], ..SignRequest::default() });
    app
}

/// Puts a bomb in the place of the entitlements, or of the CMS signature; what is left of their room comes before the end of a binary list,
/// and behind all others.
fn into_signature(app: &App, slot: u32, bomb: &[u8]) {
    let path = app.path("MacOS/demo");
    let (mut bytes, file) = MachFile::load(&path).unwrap();
    let signature = file.slices[0].read_signature(&bytes).unwrap().unwrap();
    let start = file.slices[0].signature.clone().unwrap().start;
    let blob = signature.blobs.iter().find(|blob| blob.slot == slot).unwrap().range.clone();
    let place = start + blob.start + 8..start + blob.end;
    let mut filled = bomb.to_vec();
    let at = if bomb.starts_with(b"bplist") { bomb.len() - 32 } else { bomb.len() };
    filled.splice(at..at, std::iter::repeat_n(b' ', place.len() - bomb.len()));
    bytes[place].copy_from_slice(&filled);
    fs_err::write(&path, bytes).unwrap();
}

const VERIFY: &[&str] = &["verify", "Demo.app"];
const INSPECT: &[&str] = &["inspect", "Demo.app"];
const SIGN: &[&str] = &["sign", "Demo.app"];
const SIGN_KEEPING: &[&str] = &["sign", "Demo.app", "--preserve", "entitlements"];
const EMBED: &[&str] = &["embed", "Demo.app", "made/extra.xpc"];

/// What may come of a bomb.
#[derive(Clone, Copy, PartialEq)]
enum May {
    /// The answer is no, or an error.
    Refuse,
    /// Not read here, or read and of no consequence: then the result has to be sound.
    Pass,
}

#[track_caller]
fn tried(app: &App, what: &str, args: &[&str], names: &str, may: May) {
    let before = app.content();
    let (code, said) = bounded(app, args);
    assert!([0, 1, 2].contains(&code), "{what}: {args:?}: {code}: {said}");
    assert!(!said.contains("panicked") && !said.contains("a bug in"), "{what}: {args:?}: {said}");
    assert!(said.len() < 100_000, "{what}: {args:?}: it says {} bytes", said.len());
    if may == May::Refuse {
        assert_ne!(code, 0, "{what}: {args:?}: {said}");
        assert!(said.contains(names), "{what}: {args:?}: no `{names}` in: {said}");
    }
    if code == 0 && matches!(args[0], "sign" | "embed") {
        assert_eq!(bounded(app, VERIFY).0, 0, "{what}: {args:?}");
    } else {
        assert!(app.content() == before, "{what}: {args:?} changed the bundle");
    }
}

/// Those that are read for long, until they are too much. One command at a place is enough for them.
const LONG: [&str; 3] = ["more values than memory", "a list that doubles itself", "a long text, often"];

/// Each bomb at a place, through each command; the bundle is made anew for each.
fn at(place: &str, commands: &[(&[&str], May)]) {
    let pristine = app();
    for (what, bomb) in bombs() {
        for (args, may) in &commands[..if LONG.contains(&what) { 1 } else { commands.len() }] {
            let app = App::with_neighbours(&pristine);
            write(&app.root.with_file_name(place), &bomb);
            tried(&app, what, args, place.rsplit('/').next().unwrap(), *may);
        }
    }
}

#[test]
fn bombs_as_info_plist() {
    let commands = [(VERIFY, May::Refuse), (INSPECT, May::Refuse), (SIGN, May::Refuse), (EMBED, May::Refuse)];
    at("Demo.app/Contents/Info.plist", &commands);
}

#[test]
fn bombs_as_info_plist_of_a_service() {
    // Who looks only shows what else is there.
    let commands = [(VERIFY, May::Refuse), (INSPECT, May::Pass), (SIGN, May::Refuse), (EMBED, May::Refuse)];
    at("Demo.app/Contents/XPCServices/greeter.xpc/Contents/Info.plist", &commands);
    at("made/extra.xpc/Contents/Info.plist", &[(EMBED, May::Refuse)]);
}

#[test]
fn bombs_as_seal() {
    // A new seal asks nothing of the old one.
    let commands = [(VERIFY, May::Refuse), (INSPECT, May::Pass), (SIGN, May::Pass), (EMBED, May::Pass)];
    at("Demo.app/Contents/_CodeSignature/CodeResources", &commands);
}

#[test]
fn bombs_as_files_that_are_given() {
    for option in ["--entitlements", "--launch-constraint-self"] {
        at("given.plist", &[(&["sign", "Demo.app", option, "given.plist"], May::Refuse)]);
    }
    at("given.plist", &[(&["embed", "Demo.app", "made/extra.xpc", "--entitlements", "given.plist"], May::Refuse)]);
}

#[test]
fn bombs_as_entitlements_in_a_signature() {
    let pristine = app_with_room();
    let small = |what, bomb: &[u8]| bomb.len() < ROOM && !LONG[1..].contains(&what);
    for (what, bomb) in bombs().into_iter().filter(|(what, bomb)| small(what, bomb)) {
        // Where old entitlements are asked for, those that cannot be read are an error or are not there.
        for (args, may) in [
            (VERIFY, May::Refuse),
            (INSPECT, May::Pass),
            (SIGN, May::Pass),
            (SIGN_KEEPING, May::Pass),
            (EMBED, May::Pass),
        ] {
            let app = App::with_neighbours(&pristine);
            into_signature(&app, slot::ENTITLEMENTS, &bomb);
            tried(&app, what, args, "MacOS/demo", may);
        }
    }
}

/// Signed as a profile is, by somebody.
fn profile(list: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| Utf8Path::from_path(folder.path()).unwrap().join(name);
    write(&at("list"), list);
    let signer = fixture("plain.pem");
    let status = Command::new("openssl")
        .args(["cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-signer", &signer])
        .args(["-in", at("list").as_str(), "-out", at("profile").as_str()])
        .status();
    assert!(status.expect("openssl is not there: `apt-get install openssl`").success());
    fs_err::read(at("profile")).unwrap()
}

/// Sequences within sequences, without end as BER has them.
fn deep_ber() -> Vec<u8> {
    [0x30, 0x80].repeat(200_000)
}

#[test]
fn bombs_as_provisioning_profile() {
    let pristine = app();
    let team = ["--password-env", "PASSWORD_OF_TEST", "--provisioning-profile", "given.provisionprofile"];
    let identity = fixture("developer-id.p12");
    let profiles =
        bombs().into_iter().filter(|(what, _)| !LONG[1..].contains(what)).map(|(what, bomb)| (what, profile(&bomb)));
    for (what, bomb) in profiles.chain([("deep BER", deep_ber())]) {
        let sign = [&["sign", "Demo.app", "--identity", &identity], &team[..]].concat();
        let embed = [&["embed", "Demo.app", "made/extra.xpc", "--sign", &identity], &team[..]].concat();
        for args in [&sign, &embed] {
            let app = App::with_neighbours(&pristine);
            write(&app.root.with_file_name("given.provisionprofile"), &bomb);
            tried(&app, what, args, "given.provisionprofile", May::Refuse);
        }
        // One that is there already.
        let (sign, embed) = (&sign[..6], &embed[..7]);
        let name = "embedded.provisionprofile";
        for (args, may) in [(VERIFY, May::Refuse), (INSPECT, May::Pass), (sign, May::Refuse), (embed, May::Refuse)] {
            let app = App::with_neighbours(&pristine);
            write(&app.path(name), &bomb);
            tried(&app, what, args, name, may);
        }
    }
}

#[test]
fn a_bomb_as_cms_signature() {
    let app = app();
    let (code, said) = bounded(&app, &["sign", "Demo.app", "--identity", &fixture("plain.pem")]);
    assert_eq!(code, 0, "{said}");
    for (args, may) in [(VERIFY, May::Refuse), (INSPECT, May::Pass), (SIGN, May::Pass), (EMBED, May::Pass)] {
        let app = App::with_neighbours(&app);
        into_signature(&app, slot::CMS, &deep_ber()[..1000]);
        tried(&app, "deep BER", args, "MacOS/demo", may);
    }
}
