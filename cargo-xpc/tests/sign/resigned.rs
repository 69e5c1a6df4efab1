//! Which bytes of what Apple's tool signed are others after signing again, and why: `docs/signing.md` has the tables that are made here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use camino::Utf8Path;
use cargo_xpc::macho::{MachFile, Signature, slot};

use crate::apple::{AD_HOC, DEVELOPER_ID, EXTENSION, bundle, differences, executable, sign, signed_again, slices};

/// A place in a program that has a meaning, what it is called, and whether its number is big-endian.
type Field = (Range<usize>, &'static str, bool);

const ROOM: &str = "less room behind the signature";
const SEGMENT: &str = "the segment ends with that room";
const PAGE: &str = "it holds these load commands";
const FAT: &str = "a slice ends with that room, and the next one begins sooner";

fn number(bytes: &[u8], field: &Field) -> u64 {
    let bytes = &bytes[field.0.clone()];
    let ordered: Vec<u8> = if field.2 { bytes.to_vec() } else { bytes.iter().rev().copied().collect() };
    ordered.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The numbers in a slice that say how large its signature is.
fn sizes(slice: &[u8]) -> Vec<Field> {
    let word = |at: usize| u32::from_le_bytes(slice[at..at + 4].try_into().unwrap()) as usize;
    let mut fields = Vec::new();
    let mut at = 32;
    for _ in 0..word(16) {
        match word(at) {
            0x1d => fields.push((at + 12..at + 16, "`LC_CODE_SIGNATURE`: size", false)),
            0x19 if slice[at + 8..].starts_with(b"__LINKEDIT\0") => {
                fields.push((at + 32..at + 40, "`__LINKEDIT`: size in memory", false));
                fields.push((at + 48..at + 56, "`__LINKEDIT`: size in the file", false));
            }
            _ => {}
        }
        at += word(at + 4);
    }
    fields
}

/// One line of a table: what differs, before and after, and why.
type Row = (String, String, String, &'static str);

/// The numbers of `fields` that differ. Every byte that differs within `range` has to be in one of them.
fn numbers(old: &[u8], new: &[u8], range: Range<usize>, fields: &[Field], why: fn(&str) -> &'static str) -> Vec<Row> {
    for at in range {
        assert!(old[at] == new[at] || fields.iter().any(|field| field.0.contains(&at)), "byte {at:#x} differs");
    }
    let differ = fields.iter().filter(|field| number(old, field) != number(new, field));
    differ.map(|it| (it.1.to_owned(), number(old, it).to_string(), number(new, it).to_string(), why(it.1))).collect()
}

/// The hashes in a code directory that differ, as pages; everything else in the signatures has to be the same to the byte.
fn pages(old: &Signature, new: &Signature) -> Vec<Row> {
    assert_eq!(old.length, new.length);
    for (old_blob, new_blob) in old.blobs.iter().zip(&new.blobs) {
        assert_eq!((old_blob.slot, &old_blob.range), (new_blob.slot, &new_blob.range));
        let same = old.blob(old_blob.slot) == new.blob(new_blob.slot);
        assert!(same || old_blob.slot == slot::CODE_DIRECTORY, "the part in slot {} differs", old_blob.slot);
    }
    assert!(old.unused().chain(new.unused()).all(|byte| byte == 0), "the room is not empty");
    let blobs = (old.blob(slot::CODE_DIRECTORY).unwrap(), new.blob(slot::CODE_DIRECTORY).unwrap());
    let first = u32::from_be_bytes(blobs.0[16..20].try_into().unwrap()) as usize;
    let size = usize::from(blobs.0[36]);
    let mut rows = BTreeMap::new();
    for at in (0..blobs.0.len()).filter(|at| blobs.0[*at] != blobs.1[*at]) {
        assert!(at >= first, "byte {at} of the code directory is in no hash of a page");
        let page = (at - first) / size;
        let hash = |blob: &[u8]| {
            let hash = &blob[first + page * size..][..4];
            hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "…"
        };
        rows.insert(page, (format!("code directory: hash of page {page}"), hash(blobs.0), hash(blobs.1), PAGE));
    }
    rows.into_values().collect()
}

/// All that differs between two programs.
fn programs(old: &Utf8Path, new: &Utf8Path) -> Vec<(String, Row)> {
    let ((old_bytes, old_file), (new_bytes, new_file)) = (MachFile::load(old).unwrap(), MachFile::load(new).unwrap());
    let mut rows = Vec::new();
    let mut fat: Vec<Field> = Vec::new();
    for index in 0..old_file.slices.len() {
        let at = 8 + 20 * index;
        let of = [
            ("first slice: where it begins", "first slice: size"),
            ("second slice: where it begins", "second slice: size"),
        ];
        fat.push((at + 8..at + 12, of[index].0, true));
        fat.push((at + 12..at + 16, of[index].1, true));
    }
    let header = 8 + 20 * old_file.slices.len();
    let found = numbers(&old_bytes, &new_bytes, 0..header, &fat, |_| FAT);
    rows.extend(found.into_iter().map(|row| ("universal header".to_owned(), row)));
    for (old, new) in old_file.slices.iter().zip(&new_file.slices) {
        let code = old.signature.clone().unwrap().start;
        assert_eq!(new.signature.clone().unwrap().start, code);
        let (old_slice, new_slice) = (old.bytes(&old_bytes), new.bytes(&new_bytes));
        let why = |name: &str| if name.starts_with("`LC_") { ROOM } else { SEGMENT };
        let mut found = numbers(old_slice, new_slice, 0..code, &sizes(old_slice), why);
        let signature = |slice: &cargo_xpc::macho::Slice, bytes: &[u8]| slice.read_signature(bytes).unwrap().unwrap();
        found.extend(pages(&signature(old, &old_bytes), &signature(new, &new_bytes)));
        rows.extend(found.into_iter().map(|row| (old.arch.to_string(), row)));
    }
    rows
}

/// Every file and symlink but one is the same.
fn others_are_equal(old: &Utf8Path, new: &Utf8Path, but: &Utf8Path) {
    let files = |root: &Utf8Path| -> BTreeMap<String, Vec<u8>> {
        let entries = walkdir::WalkDir::new(root).into_iter().map(Result::unwrap).filter(|it| !it.file_type().is_dir());
        let named = entries.map(|entry| {
            let path = Utf8Path::from_path(entry.path()).unwrap();
            let content = if path.is_symlink() {
                fs_err::read_link(path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs_err::read(path).unwrap()
            };
            (path.strip_prefix(root).unwrap().to_string(), content)
        });
        named.filter(|(name, _)| name != but.as_str()).collect()
    };
    assert!(files(old) == files(new), "another file than {but} differs");
}

fn ad_hoc() -> String {
    let mut table = "| app | where | what | before | after | why |\n|---|---|---|---|---|---|\n".to_owned();
    for name in AD_HOC {
        let original = bundle(name);
        let again = signed_again(&original, true);
        let program = executable(&original);
        let program = program.strip_prefix(&original).unwrap();
        others_are_equal(&original, &again.root, program);
        for (place, (what, before, after, why)) in programs(&original.join(program), &again.root.join(program)) {
            writeln!(table, "| {name} | {place} | {what} | {before} | {after} | {why} |").unwrap();
        }
    }
    table
}

fn developer_id() -> String {
    let mut table = "| program | architecture | what differs in the code directory |\n|---|---|---|\n".to_owned();
    let original = bundle(DEVELOPER_ID);
    let again = signed_again(&original, false);
    let extension = again.root.join(EXTENSION);
    let mut compare = |old: &Utf8Path, new: &Utf8Path| {
        for ((_, slice, old_signature), (_, _, new_signature)) in slices(old).iter().zip(&slices(new)) {
            let names = differences(old_signature, new_signature).join(", ");
            writeln!(table, "| {} | {} | {names} |", old.file_name().unwrap(), slice.arch).unwrap();
        }
    };
    compare(&original, &again.root);
    sign(&extension, false);
    compare(&original.join(EXTENSION), &extension);
    table
}

#[test]
fn what_signing_again_changes_is_what_the_document_says() {
    let path = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("signing.md");
    let document = fs_err::read_to_string(&path).unwrap();
    let mut made = document.clone();
    for (name, table) in [("<!-- ad hoc -->\n", ad_hoc()), ("<!-- developer id -->\n", developer_id())] {
        let start = made.find(name).unwrap() + name.len();
        let end = start + made[start..].find("<!-- end -->").unwrap();
        made.replace_range(start..end, &table);
    }
    if std::env::var("SNAPSHOTS").is_ok_and(|it| it == "overwrite") {
        fs_err::write(&path, &made).unwrap();
    }
    assert!(made == document, "the tables of {path} are others:\n{made}");
}
