//! The bundles of an app, as they are going to be sealed.

use camino::{Utf8Path, Utf8PathBuf};

use super::KeptCode;
use super::machine::{Loose, Machine};
use super::rules::RuleSet;

/// One bundle, i.e. one `CodeResources` and one main executable.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub path: Utf8PathBuf,
    pub content: Utf8PathBuf,
    pub executable: Utf8PathBuf,
    pub machine: Machine,
    pub identifier: String,
    pub info_bytes: Vec<u8>,
    pub is_service: bool,
    pub rules: &'static RuleSet,
    /// What goes into the seal.
    pub entries: Vec<Entry>,
    /// Code that this bundle seals and that is no bundle.
    pub loose: Vec<Loose>,
    /// Code that this bundle seals as it is, with the signature of somebody else.
    pub kept: Vec<KeptCode>,
    /// What an earlier signing left and this one removes.
    pub stale: Vec<Utf8PathBuf>,
}

/// One entry of a seal.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Relative to the content folder.
    pub name: String,
    /// Relative to the outermost bundle.
    pub path: Utf8PathBuf,
    pub kind: EntryKind,
}

impl Entry {
    /// Of a file that is no code.
    pub(super) fn of_file(rules: &RuleSet, name: String, path: Utf8PathBuf) -> Self {
        let first = rules.first(&name).filter(|rule| !rule.omit).map(|rule| Required(!rule.optional));
        let rule = rules.second(&name);
        let second = (!rule.omit).then_some(Required(!rule.optional));
        Self { name, path, kind: EntryKind::File { first, second } }
    }
}

/// Has the seals cover a file of the bundle in whose content folder it stands, and that signing is going to write.
pub(super) fn seal_file_to_be(nodes: &mut [Node], file: &Utf8Path) {
    let is_own = |node: &Node| file.parent() == Some(node.content.as_path());
    let Some(executable) = nodes.iter().find(|node| is_own(node)).map(|node| node.executable.clone()) else { return };
    for node in nodes {
        // A bundle among the resources is sealed file by file, by the one around it too.
        let in_file = |entry: &Entry| entry.path == executable && matches!(entry.kind, EntryKind::File { .. });
        if is_own(node) || node.entries.iter().any(in_file) {
            node.entries.retain(|entry| !entry.path.starts_with(file));
            let name = file.strip_prefix(&node.content).unwrap_or(file).to_string();
            node.entries.push(Entry::of_file(node.rules, name, file.to_owned()));
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum EntryKind {
    /// A file, by its hashes: in the first version's list, in the second's, or in both.
    File { first: Option<Required>, second: Option<Required> },
    /// A symlink, by its target.
    Symlink { target: String },
    /// Code, by the identity that its signature gives it; and in the first version's list by its hash.
    Code { executable: Utf8PathBuf, optional: bool, first: Option<Required> },
}

/// Whether a file may be missing later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Required(pub bool);
