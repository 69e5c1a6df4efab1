//! Universal files and signatures, read by tools that this crate does not use.

use std::process::Command;
use std::time::Duration;

use camino::Utf8Path;
use cargo_xpc::macho::MachFile;
use cargo_xpc::sign::{Entitlements, Scope, SignRequest};
use serde_json::json;

use crate::fixture::{App, library, old, tool, write};
use crate::identity::{fixture, openssl_verifies, sign, signatures};
use crate::stamping::{Answer, Server};
use crate::timestamp::openssl_believes_the_stamps;

/// LIEF and macholib must agree on the architectures and on where their bytes are; what they read is printed as JSON.
const PEERS: &str = r#"
import hashlib, json, struct, sys
import lief
from macholib.MachO import MachO

path = sys.argv[1]
data = open(path, "rb").read()
names = {0x01000007: "x86_64", 0x0100000c: "arm64"}
slices = []
fat = lief.MachO.parse(path)
other = MachO(path)
assert len(fat) == len(other.headers), (len(fat), len(other.headers))
for binary, header in zip((fat.at(i) for i in range(len(fat))), other.headers):
    assert binary.fat_offset == header.offset, (binary.fat_offset, header.offset)
    arch = names[header.header.cputype]
    cut = data[header.offset : header.offset + header.size]
    signature = binary.code_signature if binary.has_code_signature else None
    found = {"arch": arch, "offset": header.offset, "sha256": hashlib.sha256(cut).hexdigest()}
    if signature:
        blob = bytes(signature.content)
        count = struct.unpack_from(">I", blob, 8)[0]
        found["slots"] = sorted(struct.unpack_from(">I", blob, 12 + 8 * i)[0] for i in range(count))
        cd = struct.unpack_from(">I", blob, 16)[0]
        length = struct.unpack_from(">I", blob, cd + 4)[0]
        found["cdhash"] = hashlib.sha256(blob[cd : cd + length]).hexdigest()[:40]
        ident = cd + struct.unpack_from(">I", blob, cd + 20)[0]
        found["identifier"] = blob[ident : blob.index(b"\0", ident)].decode()
        found["flags"] = struct.unpack_from(">I", blob, cd + 12)[0]
    slices.append(found)
print(json.dumps(slices))
"#;

fn read(path: &Utf8Path) -> serde_json::Value {
    peer(PEERS, &[path.as_str()])
}

fn peer(script: &str, args: &[&str]) -> serde_json::Value {
    let output = python(script, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn python(script: &str, args: &[&str]) -> std::process::Output {
    let venv = std::env::var("CARGO_XPC_TEST_VENV")
        .map_or_else(|_| Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("xtask/venv"), Into::into);
    let python = venv.join("bin/python");
    assert!(python.exists(), "{venv} has no LIEF and macholib: run `cargo xtask test`, which makes it");
    Command::new(python).args(["-c", script]).args(args).output().unwrap()
}

#[test]
fn peers_read_universal_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap().join("merged");
    for merged in [tool(), library()] {
        write(&path, &merged);
        let slices = MachFile::parse(&merged).unwrap().slices;
        let expected: Vec<_> = slices
            .iter()
            .map(|slice| {
                let digest = cargo_xpc::macho::HashKind::Sha256.digest(slice.bytes(&merged));
                let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                (slice.arch.to_string(), slice.range.start, digest)
            })
            .collect();
        let found = read(&path);
        let found: Vec<_> = found
            .as_array()
            .unwrap()
            .iter()
            .map(|slice| {
                let text = |key: &str| slice[key].as_str().unwrap().to_owned();
                (text("arch"), slice["offset"].as_u64().unwrap() as usize, text("sha256"))
            })
            .collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn peers_read_signatures() {
    let app = App::bare(&tool());
    let mut content = plist::Dictionary::new();
    content.insert("com.apple.security.app-sandbox".to_owned(), true.into());
    let entitlements = Entitlements { source: "test".to_owned(), content };
    app.sign(&SignRequest { entitlements: vec![(Scope::main(), entitlements)], ..SignRequest::default() });
    let (data, file) = MachFile::load(&app.path("MacOS/demo")).unwrap();
    let found = read(&app.path("MacOS/demo"));
    for (slice, found) in file.slices.iter().zip(found.as_array().unwrap()) {
        let signature = slice.read_signature(&data).unwrap().unwrap();
        let directory = signature.best_directory();
        assert_eq!(found["identifier"], "com.example.demo");
        assert_eq!(found["flags"], 2);
        assert_eq!(found["cdhash"], directory.cdhash.to_string());
        let mut slots: Vec<u32> = signature.blobs.iter().map(|blob| blob.slot).collect();
        slots.sort_unstable();
        assert_eq!(found["slots"], serde_json::json!(slots));
        assert_eq!(slots, [0, 2, 5, 7, 0x10000]);
    }
}

/// Universal programs and one that needs both hashes, with a chain of certificates, time stamps, entitlements in both forms and every launch
/// constraint: read by LIEF and cryptography, and by OpenSSL.
#[test]
fn peers_read_all_that_a_signature_can_hold() {
    for executable in [tool(), old()] {
        let app = App::bare(&executable);
        app.service("greeter");
        let at = |name: &str| app.root.with_file_name(name);
        let list = |body: &str| format!("<plist version=\"1.0\"><dict>{body}</dict></plist>");
        let kinds = "<key>com.example.text</key><string>\u{e4}</string><key>com.example.number</key><integer>300</integer>\
                     <key>com.example.list</key><array><string>b</string><string>a</string></array>\
                     <key>com.example.no</key><false/>";
        write(&at("entitlements"), list(kinds));
        write(&at("self"), list("<key>team-identifier</key><string>TEAM123456</string>"));
        let within = "<key>signing-identifier</key><dict><key>$in</key><array><string>b</string><string>a</string></array></dict>";
        write(&at("parent"), list(within));
        let server = Server::start(fixture("stamp.pem"), Answer::Stamp, Duration::ZERO);
        let (chain, entitlements, own, parent) = (
            fixture("chain.p12"),
            at("entitlements").into_string(),
            at("self").into_string(),
            at("parent").into_string(),
        );
        let more = [
            ["--identity", &chain],
            ["--password-env", "PASSWORD_OF_TEST"],
            ["--timestamp", &server.url],
            ["--entitlements", &entitlements],
            ["--launch-constraint-self", &own],
            ["--launch-constraint-parent", &parent],
            ["--launch-constraint-responsible", &own],
        ];
        sign(&app, more.as_flattened());
        let program = app.path("MacOS/demo");
        let (info, seal) = (app.path("Info.plist"), app.path("_CodeSignature/CodeResources"));
        let found = peer(include_str!("signature.py"), &[program.as_str(), info.as_str(), seal.as_str()]);
        let found = found.as_array().unwrap();
        let signatures = signatures(&program);
        assert_eq!(found.len(), signatures.len());
        for (found, signature) in found.iter().zip(&signatures) {
            let two = signature.directories.len() == 2;
            let alternate: &[u32] = if two { &[0x1000] } else { &[] };
            let slots = [&[0, 2, 5, 7, 8, 9, 10][..], alternate, &[0x10000]].concat();
            assert_eq!(found["slots"], json!(slots));
            assert_eq!(found["identifiers"], json!(["com.example.demo"]));
            assert_eq!(found["algorithms"], if two { json!(["sha1", "sha256"]) } else { json!(["sha256"]) });
            assert_eq!(found["cdhash"], signature.best_directory().cdhash.to_string());
            assert_eq!(found["chain"], json!(["Chained Signer", "Example Middle", "Example Root"]));
            assert_eq!(found["stamped-by"], json!(["Time Stamps"]));
            let asked = json!({
                "com.apple.security.get-task-allow": true, "com.example.text": "\u{e4}", "com.example.number": 300,
                "com.example.list": ["b", "a"], "com.example.no": false,
            });
            assert_eq!((&found["entitlements"], &found["entitlements-der"]), (&asked, &asked));
            let constraints = found["constraints"].as_object().unwrap();
            assert_eq!(constraints.keys().collect::<Vec<_>>(), ["10", "8", "9"]);
            assert!(constraints["8"].to_string().contains("\"team-identifier\":\"TEAM123456\""), "{constraints:?}");
            assert!(constraints["9"].to_string().contains("\"$in\":[\"b\",\"a\"]"), "{constraints:?}");
        }
        let subject = openssl_verifies(&program, &fixture("root.crt"));
        assert!(subject.contains("Chained Signer"), "{subject}");
        openssl_believes_the_stamps(&program);
        // A peer that believes everything would prove nothing.
        let (bytes, file) = MachFile::load(&program).unwrap();
        let start = file.slices[0].range.start + file.slices[0].signature.clone().unwrap().start;
        let blobs = signatures[0].blobs.iter().map(|blob| start + blob.range.end - 1);
        for at in blobs.chain([file.slices[0].range.start + 5000]) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            write(&program, changed);
            let output = python(include_str!("signature.py"), &[program.as_str(), info.as_str(), seal.as_str()]);
            assert!(!output.status.success(), "{at}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }
}
