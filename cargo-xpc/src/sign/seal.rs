//! Writing `CodeResources`.
//!
//! What is around the lists of files is in the library's words. The lists are not: it makes values of them, a text of those, and three times a new text of
//! that one, which for some thousand files takes as long as their hashes. What is written here is the same to the byte; a test compares.

use apple_codesign::{AppleCodesignError, SignedMachOInfo};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use camino::Utf8Path;
use rayon::prelude::*;

use super::SignError;
use super::files::{Digests, SealedFiles};
use super::node::{Entry, EntryKind, Node, Required};
use super::rules::RuleSet;
use crate::macho::HashKind;

/// The seal of a bundle, given the signatures that its nested code has got by now, by the path of the executable.
pub(super) fn seal<'a>(
    files: &SealedFiles<'_>,
    node: &Node,
    signed: impl Fn(&Utf8Path) -> Option<&'a SignedMachOInfo>,
) -> Result<Vec<u8>, SignError> {
    // Where the plan did not hash them, that is nearly all of the work; and no file's hash waits for another's.
    let same_folder = |a: &Entry, b: &Entry| a.path.parent() == b.path.parent();
    let shares: Vec<_> = node.entries.chunk_by(same_folder).flat_map(|entries| entries.chunks(TOGETHER)).collect();
    let hashes: Vec<Vec<Option<Digests>>> =
        shares.par_iter().map(|entries| needed(files, entries)).collect::<Result<_, _>>()?;
    let mut lists = Lists::default();
    for (entry, hashes) in node.entries.iter().zip(hashes.iter().flatten()) {
        let name = entry.name.as_str();
        let (first, second) = match &entry.kind {
            EntryKind::Symlink { target } => (None, Some(Second { symlink: Some(target), ..Second::default() })),
            EntryKind::File { first, second } => {
                let second = second.as_ref().zip(hashes.as_ref()).map(|(Required(required), hashes)| Second {
                    sha1: node.machine.needs_sha1.then_some(hashes.sha1),
                    sha256: Some(hashes.sha256),
                    optional: !required,
                    ..Second::default()
                });
                (first.as_ref(), second)
            }
            EntryKind::Code { executable, optional, first } => {
                let unsigned = || SignError::signer(&node.path, AppleCodesignError::BinaryNoCodeSignature);
                let info = signed(executable).ok_or_else(unsigned)?;
                let second = Second {
                    cdhash: Some(HashKind::Sha256Truncated.digest(&info.code_directory_blob)),
                    optional: *optional,
                    requirement: info.designated_code_requirement.as_deref(),
                    ..Second::default()
                };
                (first.as_ref(), Some(second))
            }
        };
        lists.second.extend(second.map(|second| (name, second)));
        let first = first.zip(hashes.as_ref());
        lists.first.extend(first.map(|(Required(required), hashes)| (name, First(hashes.sha1, !required))));
    }
    Ok(lists.write(node.rules).into_bytes())
}

/// So many entries of a folder share its descriptor.
const TOGETHER: usize = 64;

/// The hashes of what the seal knows by its content, of entries in one folder.
fn needed(files: &SealedFiles<'_>, entries: &[Entry]) -> Result<Vec<Option<Digests>>, SignError> {
    let parent = entries.first().and_then(|entry| entry.path.parent());
    let folder = parent.and_then(|parent| files.folder(parent));
    let needed = |entry: &Entry| match &entry.kind {
        EntryKind::File { .. } | EntryKind::Code { first: Some(_), .. } => {
            Ok(Some(files.digests(folder.as_ref(), &entry.path)?))
        }
        EntryKind::Code { first: None, .. } | EntryKind::Symlink { .. } => Ok(None),
    };
    entries.par_iter().map(needed).collect()
}

/// What both versions say of files, by their names.
#[derive(Default)]
struct Lists<'a> {
    first: Vec<(&'a str, First)>,
    second: Vec<(&'a str, Second<'a>)>,
}

/// In the first version: the SHA-1, and whether the file may be missing.
struct First([u8; 20], bool);

#[derive(Default)]
struct Second<'a> {
    cdhash: Option<Vec<u8>>,
    sha1: Option<[u8; 20]>,
    sha256: Option<[u8; 32]>,
    optional: bool,
    requirement: Option<&'a str>,
    symlink: Option<&'a str>,
}

impl Lists<'_> {
    fn write(mut self, rules: &RuleSet) -> String {
        self.first.sort_by_key(|(name, _)| *name);
        self.second.sort_by_key(|(name, _)| *name);
        let mut text = Text::new(&rules.before, self.first.len() + self.second.len());
        text.list(1, "files", &self.first, |text, First(sha1, optional)| {
            if !optional {
                return text.data(2, sha1);
            }
            text.line(2, "<dict>");
            text.key(3, "hash");
            text.data(3, sha1);
            text.truth(3, "optional", true);
            text.line(2, "</dict>");
        });
        text.list(1, "files2", &self.second, |text, second| {
            text.line(2, "<dict>");
            let hashes = [
                ("cdhash", second.cdhash.as_deref()),
                ("hash", second.sha1.as_ref().map(<[u8; 20]>::as_slice)),
                ("hash2", second.sha256.as_ref().map(<[u8; 32]>::as_slice)),
            ];
            for (key, hash) in hashes {
                if let Some(hash) = hash {
                    text.key(3, key);
                    text.data(3, hash);
                }
            }
            text.truth(3, "optional", second.optional);
            for (key, value) in [("requirement", second.requirement), ("symlink", second.symlink)] {
                if let Some(value) = value {
                    text.key(3, key);
                    text.element(3, "string", value);
                }
            }
            text.line(2, "</dict>");
        });
        text.0 + &rules.after
    }
}

/// A property list in XML, as Apple's tools write it: an element a line, after as many tabs as it is deep.
struct Text(String);

impl Text {
    fn new(start: &str, entries: usize) -> Self {
        /// More than an entry without a long name takes.
        const ENTRY: usize = 320;
        let mut text = String::with_capacity(start.len() + entries * ENTRY);
        text.push_str(start);
        Self(text)
    }

    fn list<T>(&mut self, depth: usize, key: &str, entries: &[(&str, T)], mut write: impl FnMut(&mut Self, &T)) {
        self.key(depth, key);
        if entries.is_empty() {
            return self.line(depth, "<dict/>");
        }
        self.line(depth, "<dict>");
        for (name, entry) in entries {
            self.key(depth + 1, name);
            write(self, entry);
        }
        self.line(depth, "</dict>");
    }

    fn line(&mut self, depth: usize, text: &str) {
        self.indent(depth);
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn key(&mut self, depth: usize, key: &str) {
        self.element(depth, "key", key);
    }

    fn truth(&mut self, depth: usize, key: &str, truth: bool) {
        if truth {
            self.key(depth, key);
            self.line(depth, "<true/>");
        }
    }

    fn element(&mut self, depth: usize, name: &str, text: &str) {
        self.indent(depth);
        self.0.extend(["<", name, ">"]);
        // A `"` stays: Apple's tools escape it nowhere.
        let mut rest = text;
        while let Some(at) = rest.find(['<', '>', '&', '\'']) {
            let (plain, special) = rest.split_at(at);
            self.0.push_str(plain);
            self.0.push_str(match special.as_bytes() {
                [b'<', ..] => "&lt;",
                [b'>', ..] => "&gt;",
                [b'&', ..] => "&amp;",
                _ => "&apos;",
            });
            rest = special.get(1..).unwrap_or_default();
        }
        self.0.extend([rest, "</", name, ">\n"]);
    }

    /// Bytes that fit into a line.
    fn data(&mut self, depth: usize, bytes: &[u8]) {
        self.line(depth, "<data>");
        self.indent(depth);
        BASE64.encode_string(bytes, &mut self.0);
        self.0.push('\n');
        self.line(depth, "</data>");
    }

    fn indent(&mut self, depth: usize) {
        self.0.extend(std::iter::repeat_n('\t', depth));
    }
}

#[cfg(test)]
mod tests {
    use apple_codesign::cryptography::{Digest, MultiDigest};
    use apple_codesign::{CodeResources, FilesFlavor};
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::super::rules::blank_seal_of;
    use super::*;

    /// An entry of both lists, as the library takes them.
    #[derive(Clone, Debug)]
    enum Any {
        File { hashes: ([u8; 20], [u8; 32]), with_sha1: bool, lists: (bool, bool), optional: bool },
        Symlink(String),
        Code { directory: Vec<u8>, requirement: Option<String>, first: Option<[u8; 20]>, optional: bool },
    }

    /// Whatever a file system takes for a name; much of what XML does not.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![r#"[a-c<>&'"/. ;]{0,12}"#, r"\PC{0,12}", Just("&quot;<true />".to_owned())]
    }

    fn entry() -> impl Strategy<Value = Any> {
        let hashes = any::<([u8; 20], [u8; 32])>();
        let file = (hashes, any::<bool>(), any::<(bool, bool)>(), any::<bool>())
            .prop_map(|(hashes, with_sha1, lists, optional)| Any::File { hashes, with_sha1, lists, optional });
        let code = (any::<Vec<u8>>(), proptest::option::of(text()), any::<Option<[u8; 20]>>(), any::<bool>()).prop_map(
            |(directory, requirement, first, optional)| Any::Code { directory, requirement, first, optional },
        );
        prop_oneof![file, text().prop_map(Any::Symlink), code]
    }

    fn digests(sha1: &[u8; 20], sha256: &[u8]) -> MultiDigest {
        MultiDigest { sha1: Digest { data: sha1.to_vec().into() }, sha256: Digest { data: sha256.to_vec().into() } }
    }

    fn by_the_library(entries: &[(String, Any)], mut seal: CodeResources) -> String {
        for (name, entry) in entries {
            match entry {
                Any::File { hashes: (sha1, sha256), with_sha1, lists: (first, second), optional } => {
                    let flavor = if *with_sha1 { FilesFlavor::Rules2WithSha1 } else { FilesFlavor::Rules2 };
                    let flavors = [(*second, flavor), (*first, FilesFlavor::Rules)];
                    for (_, flavor) in flavors.into_iter().filter(|(wanted, _)| *wanted) {
                        seal.seal_regular_file(flavor, name, digests(sha1, sha256), *optional).unwrap();
                    }
                }
                Any::Symlink(target) => seal.seal_symlink(name, target),
                Any::Code { directory, requirement, first, optional } => {
                    let info = SignedMachOInfo {
                        code_directory_blob: directory.clone(),
                        designated_code_requirement: requirement.clone(),
                    };
                    seal.seal_macho(name, &info, *optional).unwrap();
                    if let Some(sha1) = first {
                        let digests = digests(sha1, &[]);
                        seal.seal_regular_file(FilesFlavor::Rules, name, digests, *optional).unwrap();
                    }
                }
            }
        }
        let mut bytes = Vec::new();
        seal.to_writer_xml(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn by_us(entries: &[(String, Any)], rules: &RuleSet) -> String {
        let mut lists = Lists::default();
        for (name, entry) in entries {
            let (first, second) = match entry {
                Any::File { hashes: (sha1, sha256), with_sha1, lists: (first, second), optional } => {
                    let entry = Second {
                        sha1: with_sha1.then_some(*sha1),
                        sha256: Some(*sha256),
                        optional: *optional,
                        ..Second::default()
                    };
                    (first.then_some(First(*sha1, *optional)), second.then_some(entry))
                }
                Any::Symlink(target) => (None, Some(Second { symlink: Some(target), ..Second::default() })),
                Any::Code { directory, requirement, first, optional } => {
                    let second = Second {
                        cdhash: Some(HashKind::Sha256Truncated.digest(directory)),
                        optional: *optional,
                        requirement: requirement.as_deref(),
                        ..Second::default()
                    };
                    (first.map(|sha1| First(sha1, *optional)), Some(second))
                }
            };
            lists.first.extend(first.map(|first| (name.as_str(), first)));
            lists.second.extend(second.map(|second| (name.as_str(), second)));
        }
        lists.write(rules)
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_the_library_writes(
            entries in btree_map(text(), entry(), 0..12),
            has_resources: bool,
        ) {
            let rules = RuleSet::of(has_resources);
            // In whatever order they come.
            let entries: Vec<_> = entries.into_iter().rev().collect();
            prop_assert_eq!(by_us(&entries, rules), by_the_library(&entries, blank_seal_of(has_resources)));
        }
    }
}
