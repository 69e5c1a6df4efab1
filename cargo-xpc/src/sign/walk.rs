//! The one walk over a bundle: what is code, what seals it, and what cannot be sealed.
//!
//! Everything that macOS would refuse later, and everything that a seal would silently leave out, is an error here, before a byte is
//! written. Paths are relative to the outermost bundle; its own is empty.

use std::ffi::OsString;

use camino::{Utf8Path, Utf8PathBuf};
use rayon::prelude::*;
use rustix::fs::FileType;

use super::machine::{Loose, Machine};
use super::rules::RuleSet;
use super::{KeptCode, SignError, SignRequest, third_party};
use crate::anatomy::{Anatomy, Versions};
use crate::beneath::Root;
use crate::bundle::tree;
use crate::macho::{Content, FileKind, MachError, MachFile, MachProblem};

/// No app nests its bundles this deep.
pub(super) const MAX_DEPTH: usize = 32;
/// Nor its folders: a path has room for more than a stack has.
pub(super) const MAX_FOLDERS: usize = 256;

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

/// Walks the bundle at `root`; the nodes come deepest first, the bundle itself last.
pub(super) fn walk(root: &Root, request: &SignRequest) -> Result<Vec<Node>, SignError> {
    let name = root.path().file_name().unwrap_or(root.path().as_str());
    let mut walk = Walk { root, request, name, nodes: Vec::new() };
    let top = Utf8Path::new("");
    if Versions::find(root, top)?.is_some() {
        walk.framework(top, 0)?;
    } else {
        walk.bundle(top, Anatomy::read(root, top)?, 0)?;
    }
    Ok(walk.nodes)
}

struct Walk<'a> {
    root: &'a Root,
    request: &'a SignRequest,
    name: &'a str,
    nodes: Vec<Node>,
}

/// The bundle whose seal is being written, while its folders are walked.
struct Open {
    content: Utf8PathBuf,
    executable: Utf8PathBuf,
    rules: &'static RuleSet,
    entries: Vec<Entry>,
    loose: Vec<Loose>,
    kept: Vec<KeptCode>,
    depth: usize,
}

/// What becomes of a bundle in a place for code.
enum Nested {
    Kept(KeptCode),
    /// By the signature of this executable.
    Signed(Utf8PathBuf),
}

/// What was walked beside other bundles.
type Apart = Result<(Vec<Node>, Nested), SignError>;

impl Open {
    /// What is kept is not walked; it is sealed by the signature of the executable.
    fn keep(&mut self, kept: KeptCode) -> Utf8PathBuf {
        let executable = kept.executable.clone();
        self.kept.push(kept);
        executable
    }

    fn name_of(&self, path: &Utf8Path) -> String {
        path.strip_prefix(&self.content).unwrap_or(path).to_string()
    }
}

impl Walk<'_> {
    /// How errors call a path: staging folders mean nothing to a person.
    fn shown(&self, path: &Utf8Path) -> Utf8PathBuf {
        if path.as_str().is_empty() { self.name.into() } else { Utf8Path::new(self.name).join(path) }
    }

    /// A bundle in a place for code.
    fn bundle(&mut self, path: &Utf8Path, anatomy: Anatomy, depth: usize) -> Result<(), SignError> {
        if depth > MAX_DEPTH {
            return Err(SignError::TooDeep(self.shown(path)));
        }
        let identifier =
            anatomy.identifier().ok_or_else(|| SignError::NoIdentifier { bundle: self.shown(path) })?.to_owned();
        let executable = anatomy.executable().ok_or_else(|| SignError::NoExecutable { bundle: self.shown(path) })?;
        let missing = || SignError::MissingExecutable { bundle: self.shown(path), executable: executable.clone() };
        if !self.root.is_file(&executable)? {
            return Err(missing());
        }
        let shown = self.shown(&executable);
        let machine = match self.content_of(&executable)? {
            Content::MachO => self.machine(&executable)?,
            Content::Elf(machine) => return Err(SignError::Elf { path: shown, machine }),
            Content::Other => {
                return Err(MachError::Format { path: shown, problem: MachProblem::NotMachO }.into());
            }
        };
        let content = anatomy.content.clone();
        if anatomy.has_contents() {
            self.check_root(path)?;
        }
        let stale = self.stale(&anatomy)?;
        let mut open = Open {
            content: content.clone(),
            executable,
            rules: RuleSet::of(anatomy.has_resources()),
            entries: Vec::new(),
            loose: Vec::new(),
            kept: Vec::new(),
            depth,
        };
        self.folder(&mut open, &content, false)?;
        self.nodes.push(Node {
            path: path.to_owned(),
            content,
            executable: open.executable,
            machine,
            identifier,
            is_service: anatomy.is_service(),
            info_bytes: anatomy.info_bytes,
            rules: open.rules,
            entries: open.entries,
            loose: open.loose,
            kept: open.kept,
            stale,
        });
        Ok(())
    }

    /// Only `Contents` is sealed.
    fn check_root(&self, path: &Utf8Path) -> Result<(), SignError> {
        for (name, _) in self.list(path)? {
            if name != "Contents" && !tree::is_litter(&name) {
                return Err(SignError::UnsealedRoot { path: self.shown(&path.join(name)), into: "Contents/Resources" });
            }
        }
        Ok(())
    }

    /// The old seal, whatever else lies beside it, and the notarization ticket, which a new signature voids.
    fn stale(&self, anatomy: &Anatomy) -> Result<Vec<Utf8PathBuf>, SignError> {
        let mut stale = Vec::new();
        let signature = anatomy.content.join("_CodeSignature");
        if self.root.is_folder(&signature)? {
            for (name, _) in self.list(&signature)? {
                if name != "CodeResources" {
                    stale.push(signature.join(name));
                }
            }
        }
        let ticket = anatomy.content.join("CodeResources");
        if self.root.stat(&ticket)?.is_some() {
            stale.push(ticket);
        }
        Ok(stale)
    }

    /// Seals a folder's contents. With `settled` the code in it has its signatures already, from a bundle of its own.
    fn folder(&mut self, open: &mut Open, folder: &Utf8Path, settled: bool) -> Result<(), SignError> {
        if folder.components().count() > MAX_FOLDERS {
            return Err(SignError::TooManyFolders(self.shown(&folder.components().take(4).collect::<Utf8PathBuf>())));
        }
        let list = self.list(folder)?;
        // Each file is opened for this, and none waits for another.
        let sniff = |(name, kind): &(String, FileType)| kind.is_file().then(|| self.content_of(&folder.join(name)));
        let contents: Vec<_> = list.par_iter().map(sniff).collect();
        let mut apart = self.nested_apart(open, folder, &list).into_iter();
        for ((file_name, kind), content) in list.into_iter().zip(contents) {
            let path = folder.join(&file_name);
            let name = open.name_of(&path);
            if ["_CodeSignature", "CodeResources", "_MASReceipt"].contains(&name.as_str()) || path == open.executable {
                continue;
            }
            let rule = open.rules.second(&name);
            if kind.is_symlink() {
                let target = self.symlink(&path)?;
                if !rule.omit {
                    open.entries.push(Entry { name, path, kind: EntryKind::Symlink { target } });
                }
            } else if kind.is_dir() {
                if rule.nested && file_name.contains('.') {
                    let walked = match apart.next() {
                        Some(part) => {
                            let (nodes, walked) = part?;
                            self.nodes.extend(nodes);
                            walked
                        }
                        None => self.nested_or_kept(&path, open.depth + 1)?,
                    };
                    let executable = match walked {
                        Nested::Kept(kept) => open.keep(kept),
                        Nested::Signed(executable) => executable,
                    };
                    let kind = EntryKind::Code { executable, optional: rule.optional, first: None };
                    open.entries.push(Entry { name, path, kind });
                } else if !rule.nested && !settled && self.is_signable(&path)? {
                    self.settle(open, &path)?;
                } else {
                    self.folder(open, &path, settled)?;
                }
            } else if let Some(content) = content {
                self.file(open, path, name, (content?, settled))?;
            } else {
                return Err(SignError::SpecialFile(self.shown(&path)));
            }
        }
        Ok(())
    }

    fn file(
        &self,
        open: &mut Open,
        path: Utf8PathBuf,
        name: String,
        (content, settled): (Content, bool),
    ) -> Result<(), SignError> {
        let rule = open.rules.second(&name);
        let first = open.rules.first(&name).filter(|rule| !rule.omit).map(|rule| Required(!rule.optional));
        if content == Content::MachO
            && !settled
            && !rule.omit
            && let Some(kept) = third_party::keep_file(self.request, self.root, &path)?
        {
            let executable = open.keep(kept);
            let kind = if rule.nested {
                EntryKind::Code { executable, optional: rule.optional, first }
            } else {
                EntryKind::File { first, second: Some(Required(!rule.optional)) }
            };
            open.entries.push(Entry { name, path, kind });
            return Ok(());
        }
        if rule.nested && !rule.omit {
            let machine = match content {
                Content::MachO => self.machine(&path)?,
                Content::Elf(machine) => return Err(SignError::Elf { path: self.shown(&path), machine }),
                Content::Other => return Err(self.not_code(&open.content, &path)?),
            };
            if !machine.kind.is_code() {
                return Err(SignError::NotCode {
                    path: self.shown(&path),
                    what: format!("a Mach-O {}", machine.kind),
                    place: place_of(&open.content, &path),
                });
            }
            open.loose.push(Loose { path: path.clone(), machine });
            let kind = EntryKind::Code { executable: path.clone(), optional: rule.optional, first };
            open.entries.push(Entry { name, path, kind });
            return Ok(());
        }
        if content == Content::MachO && !settled && !rule.omit {
            // Only code is signed. Object files, symbols and damaged images among the resources are data.
            let kind = MachFile::parse(&self.root.read(&path)?).map(|file| file.kind());
            if kind.is_ok_and(FileKind::is_code) {
                let machine = self.machine(&path)?;
                open.loose.push(Loose { path: path.clone(), machine });
            }
        }
        let second = (!rule.omit).then_some(Required(!rule.optional));
        if first.is_some() || second.is_some() {
            open.entries.push(Entry { name, path, kind: EntryKind::File { first, second } });
        }
        Ok(())
    }

    fn not_code(&self, content: &Utf8Path, path: &Utf8Path) -> Result<SignError, SignError> {
        let what = if self.root.file(path)?.first().starts_with(b"#!") { "a script" } else { "not Mach-O" };
        let place = place_of(content, path);
        Ok(SignError::NotCode { path: self.shown(path), what: what.to_owned(), place })
    }

    /// What comes of the bundles in a place for code, in order: in an app they are walked side by side, none of them waits for another.
    fn nested_apart(&self, open: &Open, folder: &Utf8Path, list: &[(String, FileType)]) -> Vec<Apart> {
        // Deeper ones stay together.
        if open.depth > 0 {
            return Vec::new();
        }
        let is_nested = |path: &Utf8Path| *path != open.executable && open.rules.second(&open.name_of(path)).nested;
        let folders = list.iter().filter(|(name, kind)| kind.is_dir() && name.contains('.'));
        let paths: Vec<_> = folders.map(|(name, _)| folder.join(name)).filter(|path| is_nested(path)).collect();
        let walk = |path: &Utf8PathBuf| {
            let mut part = Walk { root: self.root, request: self.request, name: self.name, nodes: Vec::new() };
            let walked = part.nested_or_kept(path, open.depth + 1)?;
            Ok((part.nodes, walked))
        };
        paths.par_iter().map(walk).collect()
    }

    fn nested_or_kept(&mut self, path: &Utf8Path, depth: usize) -> Result<Nested, SignError> {
        Ok(match third_party::keep_bundle(self.request, self.root, path)? {
            Some(kept) => Nested::Kept(kept),
            None => Nested::Signed(self.nested(path, depth)?),
        })
    }

    /// A folder in a place for code, with a dot in its name: a bundle, or a framework around bundles. Gives the executable by whose
    /// signature the bundle is sealed.
    fn nested(&mut self, path: &Utf8Path, depth: usize) -> Result<Utf8PathBuf, SignError> {
        if Versions::find(self.root, path)?.is_some() {
            return self.framework(path, depth);
        }
        let anatomy =
            Anatomy::find(self.root, path)?.ok_or_else(|| SignError::DottedFolder { path: self.shown(path) })?;
        let executable = anatomy.executable();
        self.bundle(path, anatomy, depth)?;
        Ok(executable.unwrap_or_default())
    }

    /// A framework: each version is a bundle, and around them there are symlinks only.
    fn framework(&mut self, path: &Utf8Path, depth: usize) -> Result<Utf8PathBuf, SignError> {
        let shown = self.shown(path);
        let unsound = |why: String| SignError::Framework { path: shown.clone(), why };
        let versions = Versions::find(self.root, path)?.ok_or_else(|| unsound("it has no Versions".to_owned()))?;
        let current = versions.current.clone().ok_or_else(|| {
            unsound(
                "`Versions/Current` is no symlink to one of its versions; was it copied with its symlinks flattened?"
                    .to_owned(),
            )
        })?;
        for (name, kind) in self.list(path)? {
            let inner = path.join(&name);
            if name == "Versions" || tree::is_litter(&name) {
                continue;
            }
            if !kind.is_symlink() {
                return Err(unsound(format!(
                    "`{name}` is no symlink into `Versions/Current`, and nothing would seal it"
                )));
            }
            let target = self.root.read_link(&inner)?;
            if !versions.is_sound_link(&name, &target) {
                let target = target.display();
                return Err(unsound(format!("`{name}` points at `{target}` and should at `Versions/Current/{name}`")));
            }
        }
        for (name, kind) in self.list(&path.join("Versions"))? {
            if !kind.is_dir() && name != "Current" && !tree::is_litter(&name) {
                return Err(unsound(format!("`Versions/{name}` is no version, and nothing would seal it")));
            }
        }
        let mut sealing = None;
        for version in &versions.all {
            let anatomy = Anatomy::find(self.root, version)?;
            let anatomy = anatomy.ok_or_else(|| unsound(format!("`{version}` has no Resources/Info.plist")))?;
            if *version == current {
                sealing = anatomy.executable();
            }
            self.bundle(version, anatomy, depth)?;
        }
        sealing.ok_or_else(|| SignError::NoExecutable { bundle: shown.clone() })
    }

    /// Whether a folder among the resources is a bundle with code in it. One without is a folder of files like any other.
    fn is_signable(&self, path: &Utf8Path) -> Result<bool, SignError> {
        let Ok(Some(anatomy)) = Anatomy::find(self.root, path) else { return Ok(false) };
        let launched = anatomy.is_service() || matches!(path.extension(), Some("app" | "appex"));
        if anatomy.package_type() == Some("dSYM") || anatomy.identifier().is_none() {
            return Ok(false);
        }
        match anatomy.executable() {
            Some(executable) if self.root.is_file(&executable)? => {
                Ok(self.content_of(&executable)? == Content::MachO || launched)
            }
            // A program without a program in it is a mistake; a bundle of resources that kept its key is not.
            Some(_) => Ok(launched),
            None => Ok(false),
        }
    }

    /// A bundle among the resources: signed like any other, and then sealed file by file, its own seal with it.
    fn settle(&mut self, open: &mut Open, path: &Utf8Path) -> Result<(), SignError> {
        if let Some(kept) = third_party::keep_bundle(self.request, self.root, path)? {
            open.keep(kept);
            return self.folder(open, path, true);
        }
        let before = self.nodes.len();
        self.bundle(path, Anatomy::read(self.root, path)?, open.depth + 1)?;
        let (content, stale) = {
            let nodes = &self.nodes[before..];
            let content: Vec<_> = nodes.iter().map(|node| node.content.clone()).collect();
            (content, nodes.iter().flat_map(|node| node.stale.clone()).collect::<Vec<_>>())
        };
        self.folder(open, path, true)?;
        open.entries.retain(|entry| !stale.iter().any(|stale| entry.path.starts_with(stale)));
        for content in content {
            let seal = content.join("_CodeSignature/CodeResources");
            if !open.entries.iter().any(|entry| entry.path == seal) {
                let name = open.name_of(&seal);
                self.file_to_be(open, seal, name);
            }
        }
        Ok(())
    }

    /// A seal that signing is going to write.
    fn file_to_be(&self, open: &mut Open, path: Utf8PathBuf, name: String) {
        let first = open.rules.first(&name).filter(|rule| !rule.omit).map(|rule| Required(!rule.optional));
        let rule = open.rules.second(&name);
        let second = (!rule.omit).then_some(Required(!rule.optional));
        open.entries.push(Entry { name, path, kind: EntryKind::File { first, second } });
    }

    /// A symlink's target, if macOS would accept it: inside of the outermost bundle, or the system's.
    fn symlink(&self, path: &Utf8Path) -> Result<String, SignError> {
        let target = self.root.read_link(path)?;
        let target = target.to_str().ok_or_else(|| SignError::NotUtf8(target.to_string_lossy().into_owned()))?;
        if !crate::anatomy::is_allowed_target(path, Utf8Path::new(target)) {
            return Err(SignError::SymlinkOutside { path: self.shown(path), target: target.to_owned() });
        }
        Ok(target.to_owned())
    }

    /// A folder's entries in the order of their names.
    fn list(&self, folder: &Utf8Path) -> Result<Vec<(String, FileType)>, SignError> {
        let utf8 = |(name, kind): (OsString, FileType)| match name.into_string() {
            Ok(name) => Ok((name, kind)),
            Err(name) => Err(SignError::NotUtf8(format!("{}/{}", self.shown(folder), name.to_string_lossy()))),
        };
        self.root.list(folder)?.into_iter().map(utf8).collect()
    }

    fn content_of(&self, path: &Utf8Path) -> Result<Content, SignError> {
        Ok(self.root.file(path)?.sniff())
    }

    fn machine(&self, path: &Utf8Path) -> Result<Machine, SignError> {
        Machine::read(&self.root.read(path)?, &self.shown(path), &self.request.identity)
    }
}

/// The folder of a file, as its bundle knows it.
fn place_of(content: &Utf8Path, path: &Utf8Path) -> String {
    let name = path.strip_prefix(content).unwrap_or(path);
    match name.parent().filter(|parent| !parent.as_str().is_empty()) {
        Some(parent) => parent.to_string(),
        None => content.file_name().unwrap_or("Contents").to_owned(),
    }
}
