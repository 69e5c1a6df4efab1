//! Changes to what a certificate signed: every one of `changes`, and every byte of the CMS signature itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::ops::Range;

use camino::Utf8Path;
use cargo_xpc::macho::{MachFile, slot};
use cargo_xpc::verify::{Report, verify};

use crate::changes::all;
use crate::every_change::{Rule, UNSEALED, report};
use crate::fixture::{App, link, old, write};
use crate::identity::{fixture, sign};
use crate::stamping::{Answer, Server};

/// A program that needs both hashes, a service that holds all other blobs there are, and files of each kind.
fn app() -> App {
    let app = App::bare(&old());
    app.service("greeter");
    write(&app.path("PkgInfo"), "APPL????");
    write(&app.path("Resources/data.bin"), vec![7; 10_000]);
    write(&app.path("Resources/en.lproj/Localizable.strings"), "\"a\" = \"b\";");
    link(&app.path("Resources/link"), "data.bin");
    app
}

/// By `identity`, with time stamps, entitlements and launch constraints.
fn certify(app: &App, identity: &[&str]) {
    let at = |name: &str| app.root.with_file_name(name);
    let list = |body: &str| format!("<plist version=\"1.0\"><dict>{body}</dict></plist>");
    write(&at("entitlements"), list("<key>com.apple.security.app-sandbox</key><true/>"));
    write(&at("constraint"), list("<key>team-identifier</key><string>TEAM123456</string>"));
    let scoped = |name: &str| format!("greeter.xpc={}", at(name));
    let (entitlements, constraint) = (scoped("entitlements"), scoped("constraint"));
    let server = Server::start(fixture("stamp.pem"), Answer::Stamp, std::time::Duration::ZERO);
    let more = [
        ["--timestamp", server.url.as_str()],
        ["--entitlements", &entitlements],
        ["--launch-constraint-self", &constraint],
        ["--launch-constraint-parent", &constraint],
        ["--launch-constraint-responsible", &constraint],
    ];
    sign(app, &[identity, more.as_flattened()].concat());
}

/// As where nothing but the identity differs: of the rules those that this app has a case for. None of them is about signatures, of which
/// a certificate seals every byte.
#[test]
fn every_change_to_a_bundle_signed_with_a_certificate_is_found_or_unsealed_by_a_rule() {
    let chain = fixture("chain.p12");
    let (app, other, stranger) = (app(), app(), app());
    for app in [&other, &stranger] {
        write(&app.path("XPCServices/greeter.xpc/Contents/Resources/hello.txt"), "another build");
    }
    let identity = ["--identity", &chain, "--password-env", "PASSWORD_OF_TEST"];
    certify(&app, &identity);
    certify(&other, &identity);
    certify(&stranger, &["--identity", &fixture("plain.pem")]);
    let service = "Contents/XPCServices/greeter.xpc";
    let swaps = [(service, other.root.join(service)), (service, stranger.root.join(service))];
    let mut changes = all(&app.root, &swaps);
    // Those have a test of their own, for every byte.
    changes.retain(|change| change.class != "bit in a CMS signature");
    let classes: BTreeSet<_> = changes.iter().map(|change| change.class).collect();
    for class in ["bit in an alternate code directory", "bit in a launch constraint", "bit in entitlements in DER"] {
        assert!(classes.contains(class), "{classes:?}");
    }
    let named =
        |rule: &&Rule| !["locversion", "framework's version", "not the current"].iter().any(|it| rule.0.contains(it));
    report("signed with a certificate", &app, &changes, &UNSEALED.iter().filter(named).copied().collect::<Vec<_>>());
}

/// A part of a CMS signature: its name, and where it is.
type Part = (String, Range<usize>);

/// The head's length and the end of the value in DER at `at`.
fn value(der: &[u8], at: usize) -> (usize, usize) {
    match der[at + 1] {
        short @ ..0x80 => (at + 2, at + 2 + usize::from(short)),
        long => {
            let count = usize::from(long & 0x7f);
            let length = der[at + 2..at + 2 + count].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            (at + 2 + count, at + 2 + count + length)
        }
    }
}

/// What stands in the value at `at`, each with its head.
fn parts(der: &[u8], at: usize) -> Vec<Range<usize>> {
    let (mut inner, end) = value(der, at);
    let mut found = Vec::new();
    while inner < end {
        let next = value(der, inner).1;
        found.push(inner..next);
        inner = next;
    }
    found
}

/// The parts of a message (RFC 5652), the innermost first; what is between them is the frame.
fn named(cms: &[u8], prefix: &str) -> Vec<Part> {
    let mut found: Vec<Part> = Vec::new();
    let mut name = |what: &str, range: Range<usize>| found.push((format!("{prefix}{what}"), range));
    let message = parts(cms, parts(cms, 0)[1].start)[0].start;
    let fields = parts(cms, message);
    let certificates = fields.iter().find(|field| cms[field.start] == 0xa0).unwrap();
    for certificate in parts(cms, certificates.start) {
        let text = &cms[certificate.clone()];
        // The subject comes last.
        let names = [
            ("Signer", "the signer's certificate"),
            ("Middle", "the authority's certificate"),
            ("Root", "the root's certificate"),
        ];
        let at = |name: &str| text.windows(name.len()).rposition(|it| it == name.as_bytes());
        let last = names.into_iter().filter_map(|(word, name)| Some((at(word)?, name))).max();
        name(last.map_or("a certificate", |(_, name)| name), certificate);
    }
    let signer = parts(cms, fields.last().unwrap().start)[0].start;
    for field in parts(cms, signer) {
        match cms[field.start] {
            0x02 => name("version of the signer", field),
            0x04 => name("signature value", field),
            0xa0 => {
                for attribute in parts(cms, field.start) {
                    let oid = &cms[parts(cms, attribute.start)[0].clone()];
                    let what = match oid {
                        [0x06, 9, .., 9, 3] => "content type",
                        [0x06, 9, .., 9, 4] => "message digest",
                        [0x06, 9, .., 9, 5] => "signing time",
                        [0x06, 9, .., 9, 1] => "list of cdhashes",
                        [0x06, 9, .., 9, 2] => "table of hashes",
                        _ => "another",
                    };
                    name(&format!("signed attribute: {what}"), attribute);
                }
            }
            0xa1 => name("time stamp", field),
            _ if cms[parts(cms, field.start)[0].start] == 0x06 => name("algorithms of the signer", field),
            _ => name("signer's name", field),
        }
    }
    name("version of the message", fields[0].clone());
    name("algorithms of the message", fields[1].clone());
    name("type of the content", fields[2].clone());
    found
}

fn of(cms: &[u8], at: usize) -> String {
    let outer = named(cms, "");
    let (name, range) = outer.into_iter().find(|(_, range)| range.contains(&at)).unwrap_or(("frame".to_owned(), 0..0));
    if name != "time stamp" {
        return name;
    }
    let values = parts(cms, parts(cms, range.start)[0].start)[1].start;
    let token = parts(cms, values)[0].clone();
    let inner = token.contains(&at).then(|| named(&cms[token.clone()], "time stamp: "));
    let inner = inner.and_then(|inner| inner.into_iter().find(|(_, part)| part.contains(&(at - token.start))));
    inner.map_or("time stamp: frame".to_owned(), |(name, _)| name)
}

const HINT: &str =
    "certificates are hints: where the signer's issuer is not among them any more, the chain is said to be incomplete";
const UNCOVERED: &str =
    "outside of what is signed: a version that does not fit, or an attribute of unknown kind, is a warning";

/// The parts in which a change may be told and not found, and by which rule: no signature covers them, and macOS asks nothing of them.
const TOLD: [(&str, &str); 6] = [
    ("the authority's certificate", HINT),
    ("the root's certificate", HINT),
    ("time stamp: a certificate", HINT),
    ("time stamp: frame", UNCOVERED),
    ("version of the message", UNCOVERED),
    ("version of the signer", UNCOVERED),
];

/// Without the paths, which are the test's own.
fn said(root: &Utf8Path) -> (Report, String) {
    let report = verify(root).unwrap();
    let text = serde_json::to_string(&report).unwrap();
    (report, text)
}

/// A bit in every byte of a CMS signature with a chain and a time stamp. A change is *found* where it makes the bundle invalid, and *told*
/// where what is said of the signer is another. None passes without a word.
#[test]
fn a_bit_in_every_byte_of_a_cms_signature() {
    let app = App::bare(&old());
    let server = Server::start(fixture("stamp.pem"), Answer::Stamp, std::time::Duration::ZERO);
    let identity = fixture("chain.p12");
    sign(&app, &["--identity", &identity, "--password-env", "PASSWORD_OF_TEST", "--timestamp", &server.url]);
    let path = app.path("MacOS/demo");
    let (original, file) = MachFile::load(&path).unwrap();
    let signature = file.slices[0].read_signature(&original).unwrap().unwrap();
    let blob = signature.blobs.iter().find(|blob| blob.slot == slot::CMS).unwrap();
    let start = file.slices[0].signature.clone().unwrap().start + blob.range.start + 8;
    let cms = signature.cms().unwrap().to_vec();
    let (before, untouched) = said(&app.root);
    assert_eq!(before.findings, []);
    let mut table: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    let mut unnoticed = Vec::new();
    for at in 0..cms.len() {
        let mut changed = original.clone();
        changed[start + at] ^= 1 << (at % 8);
        fs_err::write(&path, &changed).unwrap();
        let (report, text) = said(&app.root);
        let row = table.entry(of(&cms, at)).or_default();
        row[0] += 1;
        if report.errors().next().is_some() {
            row[1] += 1;
        } else if text != untouched {
            row[2] += 1;
        } else {
            unnoticed.push(of(&cms, at));
        }
    }
    let mut lines =
        "\na bit in every byte of a CMS signature\n| part | tried | found | told |\n|---|---|---|---|\n".to_owned();
    for (name, [tried, found, told]) in &table {
        lines += &format!("| {name} | {tried} | {found} | {told} |\n");
    }
    std::io::stderr().write_all(lines.as_bytes()).unwrap();
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
    let told: Vec<_> = table.iter().filter(|(_, row)| row[2] > 0).map(|(name, _)| name.as_str()).collect();
    assert_eq!(told, TOLD.map(|(name, _)| name));
}
