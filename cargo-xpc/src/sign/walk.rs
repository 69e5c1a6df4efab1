//! The one walk over a bundle: what is code, what seals it, and what cannot be sealed.
//!
//! Everything that macOS would refuse later, and everything that a seal would silently leave out, is an error here, before a byte is
//! written. Paths are relative to the outermost bundle; its own is empty.

use std::ffi::OsString;

use camino::{Utf8Path, Utf8PathBuf};
use rayon::prelude::*;
use rustix::fs::FileType;

use super::files::Files;
use super::machine::{Loose, Machine};
use super::node::{Entry, EntryKind, Node, Required};
use super::rules::RuleSet;
use super::{KeptCode, SignError, SignRequest, third_party};
use crate::anatomy::{Anatomy, AnatomyError, Versions};
use crate::beneath::Root;
use crate::bundle::tree;
use crate::macho::{Content, MachError, MachFile, MachProblem};

/// No app nests its bundles this deep.
pub(super) const MAX_DEPTH: usize = 32;
/// Nor its folders: a path has room for more than a stack has.
pub(super) const MAX_FOLDERS: usize = 256;

/// Folders in the content folder of an app that are walked side by side, and those in them, so many levels.
const MAX_APART: usize = 2;

/// Walks the bundle at `root`; the nodes come deepest first, the bundle itself last.
///
/// The folders are walked first; then all files in them are looked at side by side, each once, and nothing is decided in the order in which
/// that ends.
pub(super) fn walk(files: &Files<'_>, request: &SignRequest) -> Result<Vec<Node>, SignError> {
    let root = files.root();
    let name = root.path().file_name().unwrap_or(root.path().as_str());
    let mut walk = Walk { root, files, request, name, nodes: Vec::new(), pending: Vec::new() };
    let top = Utf8Path::new("");
    if Versions::find(root, top)?.is_some() {
        walk.framework(top, 0)?;
    } else {
        let anatomy = files.bundle(top)?.ok_or_else(|| AnatomyError::NotABundle(root.path().to_owned()))?;
        walk.bundle(top, &anatomy, 0)?;
    }
    walk.look_at_files()?;
    Ok(walk.nodes)
}

struct Walk<'a> {
    root: &'a Root,
    files: &'a Files<'a>,
    request: &'a SignRequest,
    name: &'a str,
    nodes: Vec<Node>,
    /// With the number of the node whose seal they belong to.
    pending: Vec<(usize, Pending)>,
}

/// A file that the walk came by.
struct Pending {
    /// Relative to the content folder.
    name: String,
    /// Relative to the outermost bundle.
    path: Utf8PathBuf,
    /// Whether code here has its signature already, from a bundle of its own.
    settled: bool,
}

/// What a file turned out to be.
#[derive(Default)]
struct Looked {
    entry: Option<Entry>,
    loose: Option<Loose>,
    kept: Option<KeptCode>,
}

/// The bundle whose seal is being written, while its folders are walked.
struct Open {
    content: Utf8PathBuf,
    executable: Utf8PathBuf,
    rules: &'static RuleSet,
    depth: usize,
}

/// What the walk met in it.
#[derive(Default)]
struct Met {
    entries: Vec<Entry>,
    kept: Vec<KeptCode>,
    pending: Vec<Pending>,
}

/// What becomes of a bundle in a place for code.
enum Nested {
    Kept(KeptCode),
    /// By the signature of this executable.
    Signed(Utf8PathBuf),
}

impl Open {
    /// What the seal calls it; `None`: it is not sealed as a part of the content.
    fn name<'p>(&self, path: &'p Utf8Path) -> Option<&'p str> {
        let name = path.strip_prefix(&self.content).unwrap_or(path).as_str();
        let excluded = ["_CodeSignature", "CodeResources", "_MASReceipt"].contains(&name);
        (!excluded && path != self.executable).then_some(name)
    }
}

impl Met {
    /// What is kept is not walked; it is sealed by the signature of the executable.
    fn keep(&mut self, kept: KeptCode) -> Utf8PathBuf {
        let executable = kept.executable.clone();
        self.kept.push(kept);
        executable
    }

    fn append(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.kept.extend(other.kept);
        self.pending.extend(other.pending);
    }
}

impl Walk<'_> {
    /// How errors call a path: staging folders mean nothing to a person.
    fn shown(&self, path: &Utf8Path) -> Utf8PathBuf {
        if path.as_str().is_empty() { self.name.into() } else { Utf8Path::new(self.name).join(path) }
    }

    /// A bundle in a place for code.
    fn bundle(&mut self, path: &Utf8Path, anatomy: &Anatomy, depth: usize) -> Result<(), SignError> {
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
        let machine = match self.files.look(&executable)? {
            Content::MachO => Machine::read(&self.files.bytes(&executable)?, &shown, &self.request.identity)?,
            Content::Elf(machine) => return Err(SignError::Elf { path: shown, machine }),
            Content::Other => {
                return Err(MachError::Format { path: shown, problem: MachProblem::NotMachO }.into());
            }
        };
        let content = anatomy.content.clone();
        if anatomy.has_contents() {
            self.check_root(path)?;
        }
        let stale = self.stale(anatomy)?;
        let rules = RuleSet::of(anatomy.has_resources());
        let open = Open { content: content.clone(), executable, rules, depth };
        let mut met = Met::default();
        self.folder(&open, &mut met, &content, false)?;
        let number = self.nodes.len();
        self.pending.extend(met.pending.into_iter().map(|pending| (number, pending)));
        self.nodes.push(Node {
            path: path.to_owned(),
            content,
            executable: open.executable,
            machine,
            identifier,
            is_service: anatomy.is_service(),
            info_bytes: anatomy.info_bytes.clone(),
            rules: open.rules,
            entries: met.entries,
            loose: Vec::new(),
            kept: met.kept,
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
    fn folder(&mut self, open: &Open, met: &mut Met, folder: &Utf8Path, settled: bool) -> Result<(), SignError> {
        if folder.components().count() > MAX_FOLDERS {
            return Err(SignError::TooManyFolders(self.shown(&folder.components().take(4).collect::<Utf8PathBuf>())));
        }
        let list = self.list(folder)?;
        let mut apart = self.folders_apart(open, folder, &list, settled).into_iter();
        for (file_name, kind) in list {
            let path = folder.join(&file_name);
            let Some(name) = open.name(&path) else { continue };
            if kind.is_file() {
                met.pending.push(Pending { name: name.to_owned(), path, settled });
            } else if kind.is_symlink() {
                let target = self.symlink(&path)?;
                if !open.rules.second(name).omit {
                    met.entries.push(Entry { name: name.to_owned(), path, kind: EntryKind::Symlink { target } });
                }
            } else if !kind.is_dir() {
                return Err(SignError::SpecialFile(self.shown(&path)));
            } else {
                match apart.next() {
                    Some(part) => {
                        let (part, inner) = part?;
                        self.append(part);
                        met.append(inner);
                    }
                    None => self.inner(open, met, &path, settled)?,
                }
            }
        }
        Ok(())
    }

    /// A folder in a folder: a bundle in a place for code, one among the resources, or one more folder of files.
    fn inner(&mut self, open: &Open, met: &mut Met, path: &Utf8Path, settled: bool) -> Result<(), SignError> {
        let Some(name) = open.name(path) else { return Ok(()) };
        let rule = open.rules.second(name);
        if rule.nested && path.file_name().is_some_and(|name| name.contains('.')) {
            let executable = match self.nested_or_kept(path, open.depth + 1)? {
                Nested::Kept(kept) => met.keep(kept),
                Nested::Signed(executable) => executable,
            };
            let kind = EntryKind::Code { executable, optional: rule.optional, first: None };
            met.entries.push(Entry { name: name.to_owned(), path: path.to_owned(), kind });
            Ok(())
        } else if !rule.nested && !settled && self.is_signable(path)? {
            self.settle(open, met, path)
        } else {
            self.folder(open, met, path, settled)
        }
    }

    /// What comes of the folders in `folder`, in order: none of them waits for another. Deeper ones, of which each thread's stack would have to
    /// hold several, are walked one after the other: there, nothing comes of this.
    fn folders_apart(
        &self,
        open: &Open,
        folder: &Utf8Path,
        list: &[(String, FileType)],
        settled: bool,
    ) -> Vec<Result<(Self, Met), SignError>> {
        let level = folder.components().count() - open.content.components().count();
        if open.depth > 0 || level > MAX_APART {
            return Vec::new();
        }
        let folders = list.iter().filter(|(_, kind)| kind.is_dir()).map(|(name, _)| folder.join(name));
        let folders: Vec<_> = folders.filter(|path| open.name(path).is_some()).collect();
        let walk = |path: &Utf8PathBuf| {
            let mut part = Self { nodes: Vec::new(), pending: Vec::new(), ..*self };
            let mut met = Met::default();
            part.inner(open, &mut met, path, settled)?;
            Ok((part, met))
        };
        folders.par_iter().map(walk).collect()
    }

    /// Looks at all files. Those whose code belongs to a bundle of its own come last: that bundle has read them.
    fn look_at_files(&mut self) -> Result<(), SignError> {
        let (settled, own): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|(_, pending)| pending.settled);
        for files in [own, settled] {
            // No file waits for another; the error is that of the first in order.
            let looked: Vec<_> = files.par_iter().map(|(number, file)| self.file(&self.nodes[*number], file)).collect();
            for ((number, _), looked) in files.iter().zip(looked) {
                let Looked { entry, loose, kept } = looked?;
                let node = &mut self.nodes[*number];
                node.entries.extend(entry);
                node.loose.extend(loose);
                node.kept.extend(kept);
            }
        }
        for node in &mut self.nodes {
            node.kept.sort_by(|a, b| a.path.cmp(&b.path));
        }
        Ok(())
    }

    fn file(&self, node: &Node, file: &Pending) -> Result<Looked, SignError> {
        let Pending { name, path, settled } = file;
        let rule = node.rules.second(name);
        let first = node.rules.first(name).filter(|rule| !rule.omit).map(|rule| Required(!rule.optional));
        let second = (!rule.omit).then_some(Required(!rule.optional));
        let entry = |kind| Some(Entry { name: name.clone(), path: path.clone(), kind });
        let sealed = || (first.is_some() || second.is_some()).then_some(EntryKind::File { first, second });
        let is_code_place = rule.nested && !rule.omit;
        if rule.omit && first.is_none() {
            return Ok(Looked::default());
        }
        if (*settled || rule.omit) && !is_code_place {
            self.files.look_as_data(path)?;
            return Ok(Looked { entry: sealed().and_then(entry), ..Looked::default() });
        }
        match self.files.look(path)? {
            Content::MachO => {}
            Content::Elf(machine) if is_code_place => {
                return Err(SignError::Elf { path: self.shown(path), machine });
            }
            Content::Other if is_code_place => return Err(self.not_code(&node.content, path)?),
            _ => return Ok(Looked { entry: sealed().and_then(entry), ..Looked::default() }),
        }
        let data = self.files.bytes(path)?;
        let parsed = MachFile::parse(&data);
        if !settled
            && let Ok(parsed) = &parsed
            && let Some(kept) = third_party::keep_file(self.request, path, &data, parsed)?
        {
            let kind = if rule.nested {
                EntryKind::Code { executable: kept.executable.clone(), optional: rule.optional, first }
            } else {
                EntryKind::File { first, second: Some(Required(!rule.optional)) }
            };
            return Ok(Looked { entry: entry(kind), kept: Some(kept), loose: None });
        }
        // Only code is signed. Object files, symbols and damaged images among the resources are data.
        let is_code = parsed.as_ref().is_ok_and(|parsed| parsed.kind().is_code());
        if !is_code_place && !is_code {
            return Ok(Looked { entry: sealed().and_then(entry), ..Looked::default() });
        }
        let shown = self.shown(path);
        let machine = match &parsed {
            Ok(parsed) => Machine::check(&data, parsed, &shown, &self.request.identity)?,
            Err(problem) => return Err(MachError::Format { path: shown, problem: problem.clone() }.into()),
        };
        if !is_code {
            return Err(SignError::NotCode {
                path: shown,
                what: format!("a Mach-O {}", machine.kind),
                place: place_of(&node.content, path),
            });
        }
        let loose = Some(Loose { path: path.clone(), machine });
        let kind = if is_code_place {
            Some(EntryKind::Code { executable: path.clone(), optional: rule.optional, first })
        } else {
            sealed()
        };
        Ok(Looked { entry: kind.and_then(entry), loose, kept: None })
    }

    fn not_code(&self, content: &Utf8Path, path: &Utf8Path) -> Result<SignError, SignError> {
        let what = if self.root.file(path)?.first().starts_with(b"#!") { "a script" } else { "not Mach-O" };
        let place = place_of(content, path);
        Ok(SignError::NotCode { path: self.shown(path), what: what.to_owned(), place })
    }

    /// Goes on where another part ended.
    fn append(&mut self, part: Self) {
        let first = self.nodes.len();
        self.nodes.extend(part.nodes);
        self.pending.extend(part.pending.into_iter().map(|(number, pending)| (first + number, pending)));
    }

    fn nested_or_kept(&mut self, path: &Utf8Path, depth: usize) -> Result<Nested, SignError> {
        Ok(match third_party::keep_bundle(self.request, self.files, path)? {
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
        let anatomy = self.files.bundle(path)?.ok_or_else(|| SignError::DottedFolder { path: self.shown(path) })?;
        let executable = anatomy.executable();
        self.bundle(path, &anatomy, depth)?;
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
            let anatomy = self.files.bundle(version)?;
            let anatomy = anatomy.ok_or_else(|| unsound(format!("`{version}` has no Resources/Info.plist")))?;
            if *version == current {
                sealing = anatomy.executable();
            }
            self.bundle(version, &anatomy, depth)?;
        }
        sealing.ok_or_else(|| SignError::NoExecutable { bundle: shown.clone() })
    }

    /// Whether a folder among the resources is a bundle with code in it. One without is a folder of files like any other.
    fn is_signable(&self, path: &Utf8Path) -> Result<bool, SignError> {
        let Ok(Some(anatomy)) = self.files.bundle(path) else { return Ok(false) };
        let launched = anatomy.is_service() || matches!(path.extension(), Some("app" | "appex"));
        if anatomy.package_type() == Some("dSYM") || anatomy.identifier().is_none() {
            return Ok(false);
        }
        match anatomy.executable() {
            Some(executable) if self.root.is_file(&executable)? => {
                Ok(self.files.look(&executable)? == Content::MachO || launched)
            }
            // A program without a program in it is a mistake; a bundle of resources that kept its key is not.
            Some(_) => Ok(launched),
            None => Ok(false),
        }
    }

    /// A bundle among the resources: signed like any other, and then sealed file by file, its own seal with it.
    fn settle(&mut self, open: &Open, met: &mut Met, path: &Utf8Path) -> Result<(), SignError> {
        if let Some(kept) = third_party::keep_bundle(self.request, self.files, path)? {
            met.keep(kept);
            return self.folder(open, met, path, true);
        }
        let before = self.nodes.len();
        let anatomy = self.files.bundle(path)?.ok_or_else(|| AnatomyError::NotABundle(self.root.shown(path)))?;
        self.bundle(path, &anatomy, open.depth + 1)?;
        let nodes = &self.nodes[before..];
        let seals: Vec<_> = nodes.iter().map(|node| node.content.join("_CodeSignature/CodeResources")).collect();
        let stale: Vec<_> = nodes.iter().flat_map(|node| node.stale.clone()).collect();
        self.folder(open, met, path, true)?;
        let stays = |path: &Utf8PathBuf| !seals.contains(path) && !stale.iter().any(|stale| path.starts_with(stale));
        met.entries.retain(|entry| stays(&entry.path));
        met.pending.retain(|pending| stays(&pending.path));
        // Seals that signing is going to write.
        for seal in seals {
            let name = seal.strip_prefix(&open.content).unwrap_or(&seal).to_string();
            met.entries.push(Entry::of_file(open.rules, name, seal));
        }
        Ok(())
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
}

/// The folder of a file, as its bundle knows it.
fn place_of(content: &Utf8Path, path: &Utf8Path) -> String {
    let name = path.strip_prefix(content).unwrap_or(path);
    match name.parent().filter(|parent| !parent.as_str().is_empty()) {
        Some(parent) => parent.to_string(),
        None => content.file_name().unwrap_or("Contents").to_owned(),
    }
}
