//! Universal files and signatures, read by tools that this crate does not use.

use std::process::Command;

use camino::Utf8Path;
use cargo_xpc::macho::MachFile;
use cargo_xpc::sign::{Entitlements, Scope, SignRequest};

use crate::fixture::{App, library, tool, write};

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
    let venv = std::env::var("CARGO_XPC_TEST_VENV")
        .map_or_else(|_| Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("xtask/venv"), Into::into);
    let python = venv.join("bin/python");
    assert!(python.exists(), "{venv} has no LIEF and macholib: run `cargo xtask test`, which makes it");
    let output = Command::new(python).args(["-c", PEERS, path.as_str()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
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
