//! Bundles that Apple's own codesign signed: they verify, and signed again by this tool they are what they were, but for what is listed here.
//!
//! `cargo xtask setup` fetches them; without them these tests fail.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_xpc::macho::{CodeFlags, MachFile, Signature, Slice, slot};
use cargo_xpc::sign::{Preserve, SignRequest, execute, plan};
use cargo_xpc::verify::{Anchor, Verdict, requirement, verify, verify_against};

/// Signed ad hoc, one program each.
pub const AD_HOC: [&str; 3] = ["Assistant.app", "Designer.app", "Linguist.app"];
/// Signed by a Developer ID, time-stamped and notarized; with a program of its own among the resources.
pub const DEVELOPER_ID: &str = "Mitmproxy Redirector.app";
pub const EXTENSION: &str =
    "Contents/Library/SystemExtensions/org.mitmproxy.macos-redirector.network-extension.systemextension";

pub fn bundle(name: &str) -> Utf8PathBuf {
    let folder = std::env::var("CARGO_XPC_TEST_APPLE")
        .map_or_else(|_| Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("xtask/apple"), Into::into);
    let path = folder.join(name);
    assert!(path.exists(), "{path} is not there: run `cargo xtask setup`, which fetches it");
    path
}

pub struct Again {
    _dir: tempfile::TempDir,
    pub root: Utf8PathBuf,
}

/// A copy, signed ad hoc with the flags and identifiers of the signature before it, and with its entitlements or without any.
pub fn signed_again(original: &Utf8Path, entitlements: bool) -> Again {
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(dir.path()).unwrap().join(original.file_name().unwrap());
    cargo_xpc::bundle::tree::copy(original, &root).unwrap();
    sign(&root, entitlements);
    Again { _dir: dir, root }
}

pub fn sign(root: &Utf8Path, entitlements: bool) {
    let preserve = Preserve { entitlements, flags: true, identifier: true };
    let request = SignRequest { preserve, ..SignRequest::default() };
    execute(&plan(root, &request).unwrap(), root, &mut |_| {}).unwrap();
    assert_eq!(verify(root).unwrap().findings, []);
}

pub fn executable(bundle: &Utf8Path) -> Utf8PathBuf {
    let info = plist::Value::from_file(bundle.join("Contents/Info.plist")).unwrap();
    let name = info.as_dictionary().unwrap()["CFBundleExecutable"].as_string().unwrap().to_owned();
    bundle.join("Contents/MacOS").join(name)
}

/// Both versions of each slice, with its signature.
pub fn slices(bundle: &Utf8Path) -> Vec<(Vec<u8>, Slice, Signature)> {
    let (data, file) = MachFile::load(&executable(bundle)).unwrap();
    let read = |slice: &Slice| {
        let signature = slice.read_signature(&data).unwrap().unwrap();
        (slice.bytes(&data).to_vec(), slice.clone(), signature)
    };
    file.slices.iter().map(read).collect()
}

/// Where the load commands say how large the signature is: the size of the signature, and of the segment that it ends.
fn sizes(slice: &[u8]) -> BTreeSet<usize> {
    let number = |at: usize| u32::from_le_bytes(slice[at..at + 4].try_into().unwrap());
    let mut places = BTreeSet::new();
    let mut at = 32;
    for _ in 0..number(16) {
        match number(at) {
            0x1d => places.extend(at + 12..at + 16),
            // LC_SEGMENT_64: vmsize and filesize.
            0x19 if slice[at + 8..].starts_with(b"__LINKEDIT\0") => {
                places.extend(at + 32..at + 40);
                places.extend(at + 48..at + 56);
            }
            _ => {}
        }
        at += number(at + 4) as usize;
    }
    places
}

/// The parts of a code directory that differ, by name; pages as `page N`.
pub fn differences(old: &Signature, new: &Signature) -> Vec<String> {
    let (old, new) = (old.best_directory(), new.best_directory());
    let mut names = Vec::new();
    let mut compare = |name: &str, same: bool| {
        if !same {
            names.push(name.to_owned());
        }
    };
    compare("version", old.version == new.version);
    compare("flags", old.flags == new.flags);
    compare("identifier", old.identifier == new.identifier);
    compare("team", old.team_id == new.team_id);
    compare("hash", old.hash == new.hash && old.page_size == new.page_size && old.platform == new.platform);
    compare("code limit", old.code_limit == new.code_limit && old.pages == new.pages);
    compare("executable segment", old.exec_segment == new.exec_segment);
    compare("runtime", old.runtime == new.runtime);
    for (number, name) in [
        (slot::INFO, "Info.plist"),
        (slot::REQUIREMENTS, "requirements"),
        (slot::RESOURCES, "CodeResources"),
        (slot::ENTITLEMENTS, "entitlements"),
        (slot::ENTITLEMENTS_DER, "entitlements in DER"),
    ] {
        compare(name, old.special.get(&number) == new.special.get(&number));
    }
    for page in 0..old.pages {
        compare(&format!("page {page}"), old.page_hash(page) == new.page_hash(page));
    }
    names
}

#[test]
fn apples_signatures_verify() {
    for name in AD_HOC {
        let report = verify(&bundle(name)).unwrap();
        assert_eq!((report.findings.as_slice(), report.unchecked.as_slice()), (&[][..], &[][..]), "{name}");
        assert_eq!(report.verdict(), Verdict::Valid);
        assert!(report.code.iter().all(|code| code.ad_hoc));
    }
    let report = verify(&bundle(DEVELOPER_ID)).unwrap();
    assert_eq!((report.findings.as_slice(), report.unchecked.as_slice()), (&[][..], &[][..]));
    assert_eq!((report.verdict(), report.code.len()), (Verdict::Valid, 2));
    for code in &report.code {
        let signer = code.signer.as_ref().unwrap();
        assert_eq!(signer.anchor, Anchor::Apple);
        assert_eq!(signer.team_id, code.team_id);
        assert!(signer.common_name.as_ref().unwrap().starts_with("Developer ID Application: "));
        let chain: Vec<_> = signer.chain.iter().skip(1).map(|certificate| certificate.subject.as_str()).collect();
        assert_eq!(chain, ["Developer ID Certification Authority", "Apple Root CA"]);
        let stamp = signer.timestamp.as_ref().unwrap();
        assert_eq!((stamp.anchor, &stamp.time[..10]), (Anchor::Apple, "2025-02-17"));
        assert!(code.requirement.as_ref().unwrap().starts_with("anchor apple generic and identifier "));
    }
}

/// The requirement of Gatekeeper for Developer IDs, as far as a signature decides it, and others that are not met.
#[test]
fn requirements_on_apples_signatures() {
    let app = bundle(DEVELOPER_ID);
    for (text, satisfied) in [
        ("=anchor apple generic and certificate 1[field.1.2.840.113635.100.6.2.6] exists", true),
        ("=certificate leaf[field.1.2.840.113635.100.6.1.13] exists and ! anchor apple", true),
        ("=certificate leaf[timestamp.1.2.840.113635.100.6.1.33] = timestamp \"20230814000000Z\"", true),
        ("=certificate leaf[timestamp.1.2.840.113635.100.6.1.33] < timestamp \"20190408000000Z\"", false),
        ("=certificate leaf[subject.OU] = S8XHQB96PW and certificate root[subject.CN] = \"Apple Root CA\"", true),
        ("=certificate root = H\"611e5b662c593a08ff58d14ae22452d198df6c60\"", true),
        ("=info[LSMinimumSystemVersion] >= \"10.9\" and entitlement[\"com.apple.application-identifier\"]", true),
        ("=anchor apple", false),
        ("=notarized", false),
        ("=identifier org.mitmproxy", false),
    ] {
        let report = verify_against(&app, Some(&requirement(text).unwrap())).unwrap();
        assert_eq!(report.verdict() == Verdict::Valid, satisfied, "{text}: {:?}", report.findings);
    }
}

/// Ad hoc before and after: byte for byte the same seal, and a code directory that differs in its first page alone. That page holds the load
/// commands which say how much room the signature has: Apple's tool leaves more of it.
#[test]
fn signed_again_ad_hoc_only_the_signatures_size_differs() {
    for name in AD_HOC {
        let original = bundle(name);
        let again = signed_again(&original, true);
        let seal = |root: &Utf8Path| fs_err::read(root.join("Contents/_CodeSignature/CodeResources")).unwrap();
        assert!(seal(&original) == seal(&again.root), "{name}: CodeResources differs");
        let (old, new) = (slices(&original), slices(&again.root));
        assert_eq!((old.len(), new.len()), (2, 2));
        for ((old_bytes, old_slice, old_signature), (new_bytes, new_slice, new_signature)) in old.iter().zip(&new) {
            assert_eq!(differences(old_signature, new_signature), ["page 0"], "{name}");
            let code = old_slice.signature.clone().unwrap().start;
            assert_eq!(code, new_slice.signature.clone().unwrap().start);
            let differ: BTreeSet<usize> = (0..code).filter(|at| old_bytes[*at] != new_bytes[*at]).collect();
            assert!(!differ.is_empty() && differ.is_subset(&sizes(old_bytes)), "{name}: {differ:?}");
            // Besides that page's hash, not a byte of the directory differs.
            let directories = (old_signature.blob(0).unwrap(), new_signature.blob(0).unwrap());
            assert_eq!(directories.0.len(), directories.1.len());
            let differ = (0..directories.0.len()).filter(|at| directories.0[*at] != directories.1[*at]);
            let hash = old_signature.best_directory().page_hash(0).unwrap();
            let first = directories.0.windows(hash.len()).position(|window| window == hash).unwrap();
            let outside: Vec<_> = differ.filter(|at| !(first..first + hash.len()).contains(at)).collect();
            assert_eq!(outside, [] as [usize; 0], "{name}");
            for number in [slot::REQUIREMENTS, slot::ENTITLEMENTS, slot::ENTITLEMENTS_DER] {
                assert_eq!(old_signature.blob(number), new_signature.blob(number), "{name}: slot {number}");
            }
        }
    }
}

/// A Developer ID before and ad hoc after: the seals are the same to the byte, with the extension kept as its maker signed it. The directories
/// differ in what an ad-hoc signature cannot have: a team, a requirement that names a certificate, and entitlements that only Apple grants.
#[test]
fn signed_again_without_the_developer_id_the_seals_stay() {
    let original = bundle(DEVELOPER_ID);
    let again = signed_again(&original, false);
    let extension = again.root.join(EXTENSION);
    let kept = verify(&extension).unwrap();
    assert_eq!(kept.code[0].signer.as_ref().unwrap().anchor, Anchor::Apple);
    let same = |old: &Utf8Path, new: &Utf8Path| {
        let seal = |root: &Utf8Path| fs_err::read(root.join("Contents/_CodeSignature/CodeResources")).unwrap();
        assert!(seal(old) == seal(new), "{old}: CodeResources differs");
        for ((old_bytes, slice, old), (new_bytes, _, new)) in slices(old).iter().zip(&slices(new)) {
            let code = slice.signature.clone().unwrap().start;
            let differ: BTreeSet<usize> = (0..code).filter(|at| old_bytes[*at] != new_bytes[*at]).collect();
            assert!(!differ.is_empty() && differ.is_subset(&sizes(old_bytes)), "{differ:?}");
            // Intel's pages are small: the load commands may go on in the second one.
            let pages: BTreeSet<_> = differ.iter().map(|at| at / old.best_directory().page_size).collect();
            let lost = ["flags", "team", "requirements", "entitlements", "entitlements in DER"].map(str::to_owned);
            let lost: Vec<_> = lost.into_iter().chain(pages.iter().map(|page| format!("page {page}"))).collect();
            assert_eq!(differences(old, new), lost);
            assert_eq!(old.best_directory().flags.with(CodeFlags::ADHOC), new.best_directory().flags);
        }
    };
    same(&original, &again.root);
    sign(&extension, false);
    same(&original.join(EXTENSION), &extension);
}
