//! Every change is found but those that Apple's rules leave unsealed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use camino::Utf8Path;
use cargo_xpc::sign::{Entitlements, Scope, SignRequest};
use cargo_xpc::verify::verify;

use crate::changes::{Act, Added, Change, all};
use crate::fixture::{App, info, library, link, program, write};

/// What may pass, and by which rule. A rule that lets nothing pass in a run is one too many.
pub type Rule = (&'static str, fn(&Change) -> bool);

/// Of every signature, whoever made it.
pub const UNSEALED: [Rule; 10] = [
    ("modes are in no seal", |it| matches!(it.act, Act::Mode)),
    ("folders are in no seal, only what stands in them; in places for code a dot makes one a bundle", |it| {
        matches!(it.act, Act::Add(Added::Folder)) || is_empty_folder(it)
    }),
    ("rule `^PkgInfo$`: omitted", |it| it.path == "Contents/PkgInfo" && !matches!(it.act, Act::Rename(_))),
    (r"rule `^(.*/)?\.DS_Store$`: omitted", |it| {
        it.path.file_name() == Some(".DS_Store") && matches!(it.act, Act::Add(_))
    }),
    (r"rule `^Resources/.*\.lproj/locversion.plist$`: omitted", |it| {
        it.path.file_name() == Some("locversion.plist") && !matches!(it.act, Act::Rename(_))
    }),
    (r"rule `^Resources/.*\.lproj/`: optional, may be removed", |it| {
        matches!(it.act, Act::Remove | Act::Become(Added::Folder)) && it.path.as_str().contains("Resources/en.lproj")
    }),
    ("the symlinks around a framework's versions are in no seal, and may be removed", |it| {
        matches!(it.act, Act::Remove) && it.path.parent().unwrap().ends_with("Answer.framework")
    }),
    (
        "of a framework's versions the seal around it names the current one: the others may be removed or renamed",
        |it| matches!(it.act, Act::Remove | Act::Rename(_)) && it.path.ends_with("Answer.framework/Versions/A"),
    ),
    ("a universal header is in no signature: the alignments, and the capabilities in a subtype's highest byte", |it| {
        it.class == "bit in a universal header"
            && matches!(it.act, Act::Flip { at, .. } if at >= 8 && ((at - 8) % 20 == 4 || (at - 8) % 20 >= 16))
    }),
    ("a version that is not the current one may be replaced by another signed one", |it| {
        matches!(it.act, Act::Swap(_)) && it.path.ends_with("Answer.framework/Versions/A")
    }),
];

/// Of an ad-hoc signature, which whoever can write the file can make anew.
const UNSEALED_AD_HOC: [Rule; 1] = [(
    "ad hoc, nothing seals the outermost code directory; what it says of the file is compared, what it says of itself is not",
    |it| {
        it.class == "bit in a code directory"
            && (it.path == "Contents/MacOS/demo" || it.path.ends_with("Versions/A/Answer") || it.path.ends_with("plug"))
    },
)];

fn is_empty_folder(change: &Change) -> bool {
    matches!(change.act, Act::Remove | Act::Rename(_)) && change.path.file_name() == Some("empty")
}

/// Universal, two services, a framework with symlinks, code among the resources, 200 resources.
fn app() -> App {
    let app = App::full();
    for index in 0..200 {
        let folder = ["", "images/", "images/large/", "en.lproj/", "Base.lproj/"][index % 5];
        write(&app.path(&format!("Resources/{folder}{index}.bin")), vec![index as u8; 50 + 60 * index]);
    }
    write(&app.path("Resources/en.lproj/locversion.plist"), "<plist version=\"1.0\"><dict/></plist>");
    fs_err::create_dir(app.path("Resources/empty")).unwrap();
    link(&app.path("Resources/images/latest"), "large/2.bin");
    info(&app.path("Resources/Plug.bundle/Contents/Info.plist"), "plug", "com.example.plug", "BNDL");
    program(&app.path("Resources/Plug.bundle/Contents/MacOS/plug"), &library());
    app
}

fn request() -> SignRequest {
    let mut content = plist::Dictionary::new();
    content.insert("com.apple.security.app-sandbox".to_owned(), true.into());
    let entitlements = Entitlements { source: "test".to_owned(), content };
    SignRequest { entitlements: vec![(Scope::main(), entitlements)], get_task_allow: true, ..SignRequest::default() }
}

fn passes(root: &Utf8Path) -> bool {
    verify(root).is_ok_and(|report| report.errors().count() == 0)
}

/// Whether nobody notices a change at `path`. What reading a nested bundle back by itself finds, reading the whole finds too, and the
/// nested one is read much sooner; of these, one in forty is held against the whole.
fn unnoticed_at(root: &Utf8Path, path: &Utf8Path, index: usize) -> bool {
    let contents = Utf8Path::new("Contents");
    let nested = [
        "XPCServices/greeter.xpc",
        "XPCServices/counter.xpc",
        "Frameworks/Answer.framework/Versions/A",
        "Frameworks/Answer.framework/Versions/B",
        "Resources/Plug.bundle",
    ];
    let nested = nested.iter().map(|name| contents.join(name)).find(|name| path.starts_with(name) && path != name);
    if nested.is_some_and(|nested| !passes(&root.join(nested))) && !index.is_multiple_of(40) {
        return false;
    }
    passes(root)
}

/// Makes every change, each alone, and gives those that nobody notices.
fn unnoticed(app: &App, changes: &[Change]) -> Vec<usize> {
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    let mut passed: Vec<usize> = std::thread::scope(|scope| {
        let work = |worker: usize| {
            let copy = app.copy();
            let before = copy.content();
            let mut passed = Vec::new();
            for index in (worker..changes.len()).step_by(workers) {
                let undo = changes[index].make(&copy.root);
                if unnoticed_at(&copy.root, &changes[index].path, index) {
                    passed.push(index);
                }
                undo();
            }
            assert!(copy.content() == before && passes(&copy.root), "a change was not taken back");
            passed
        };
        let threads: Vec<_> = (0..workers).map(|worker| scope.spawn(move || work(worker))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    passed.sort_unstable();
    passed
}

/// Tries all, prints the report, and compares what passed with the rules.
pub fn report(title: &str, app: &App, changes: &[Change], rules: &[Rule]) {
    let passed = unnoticed(app, changes);
    let mut classes: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (index, change) in changes.iter().enumerate() {
        let (tried, unsealed) = classes.entry(change.class).or_default();
        *tried += 1;
        *unsealed += usize::from(passed.binary_search(&index).is_ok());
    }
    let mut text = format!("\n{title}\n| change | tried | found | unsealed |\n|---|---|---|---|\n");
    for (class, (tried, unsealed)) in classes {
        writeln!(text, "| {class} | {tried} | {} | {unsealed} |", tried - unsealed).unwrap();
    }
    let (tried, unsealed) = (changes.len(), passed.len());
    writeln!(text, "| together | {tried} | {} | {unsealed} |\n", tried - unsealed).unwrap();
    let mut missed = Vec::new();
    let mut counts = vec![0; rules.len()];
    for index in passed {
        match rules.iter().position(|(_, holds)| holds(&changes[index])) {
            Some(rule) => counts[rule] += 1,
            None => missed.push(format!("{:?}", changes[index])),
        }
    }
    for ((rule, _), count) in rules.iter().zip(&counts) {
        writeln!(text, "{count:>5} unsealed: {rule}").unwrap();
    }
    // Not `print!`, which tests keep to themselves where all is well.
    std::io::stderr().write_all(text.as_bytes()).unwrap();
    assert!(missed.is_empty(), "{} changes were not found: {missed:#?}", missed.len());
    for ((rule, _), count) in rules.iter().zip(counts) {
        assert!(count > 0, "no change needs the rule: {rule}");
    }
}

#[test]
fn every_change_to_a_bundle_signed_ad_hoc_is_found_or_unsealed_by_a_rule() {
    let (app, other) = (app(), app_of_another_build());
    app.sign(&request());
    let swaps = [
        "Contents/XPCServices/greeter.xpc",
        "Contents/XPCServices/counter.xpc",
        "Contents/Frameworks/Answer.framework",
        "Contents/Frameworks/Answer.framework/Versions/A",
        "Contents/Resources/Plug.bundle",
        "Contents/MacOS/helper",
    ];
    let swaps: Vec<_> = swaps.iter().map(|name| (*name, other.root.join(name))).collect();
    let changes = all(&app.root, &swaps);
    assert!(changes.len() > 4000, "{}", changes.len());
    report("signed ad hoc", &app, &changes, &[UNSEALED.as_slice(), &UNSEALED_AD_HOC].concat());
}

/// The same app, signed as validly, in which each bundle has another resource.
fn app_of_another_build() -> App {
    let other = app();
    for name in [
        "XPCServices/greeter.xpc/Contents/Resources/hello.txt",
        "XPCServices/counter.xpc/Contents/Resources/hello.txt",
        "Frameworks/Answer.framework/Versions/A/Headers/answer.h",
        "Frameworks/Answer.framework/Versions/B/Headers/answer.h",
        "Resources/Plug.bundle/Contents/Resources/new.txt",
    ] {
        write(&other.path(name), "another build");
    }
    program(&other.path("MacOS/helper"), crate::fixture::TOOL_ARM);
    other.sign(&request());
    other
}
