//! One bundle against its seal, and the bundles within.
//!
//! The folders are walked first, which tells what there is and what the seals say of it; then all files are read and hashed in parallel,
//! each once; then the results are put together in the order of the walk, so that a report does not depend on who was first.

mod framework;
mod symlink;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use camino::{Utf8Path, Utf8PathBuf};
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use rustix::fs::FileType;
use unicode_normalization::UnicodeNormalization as _;

use crate::anatomy::{Anatomy, Versions};
use crate::beneath::{Root, Stamp};
use crate::macho::HashKind;
use crate::provisioning;
use crate::verify::VerifyError;
use crate::verify::code::{Identities, short};
use crate::verify::file::{Done, FileJob, Job, compare, compare_version};
use crate::verify::hashes::{Hashes, Known};
use crate::verify::report::{Report, What};
use crate::verify::requirement::{Requirement, Truth};
use crate::verify::rules::{KnownRules, may_be_omitted};
use crate::verify::seal::{Entry, Seal};

/// No app nests its bundles this deep.
pub(in crate::verify) const MAX_DEPTH: usize = 32;
/// Nor its folders: a path has room for more than a stack has.
pub(in crate::verify) const MAX_FOLDERS: usize = 256;

/// Folders in the content folder of an app that are walked side by side, and those in them, so many levels.
const MAX_APART: usize = 2;

/// Beside a seal only this may stand, and be empty: macOS takes all parts of the signature from the executable or all from here.
const EMPTY_SIGNATURE: &str = "CodeSignature";
/// Files that Finder and others leave at a bundle's root. They may not be executable.
const ROOT_FILES: [&str; 4] = [".DS_Store", ".LSOverride", "Icon\r", ".SoftwareDepot.tracking"];

/// What all parts of a walk share.
pub(in crate::verify) struct Shared<'a> {
    pub root: Root,
    known: Option<&'a dyn Known>,
    rules: Mutex<KnownRules>,
    /// Folders that were listed ahead of the walk.
    listed: Mutex<HashMap<Utf8PathBuf, List>>,
}

/// What stands in a folder, in the order of the names, and the hashes of those files that are known.
type List = Vec<(String, FileType, Option<Hashes>)>;

/// The walk, or a part of it, and what it leaves to be done.
pub(in crate::verify) struct Verifier<'a> {
    shared: &'a Shared<'a>,
    steps: Vec<Step>,
    jobs: Vec<Job>,
}

/// What becomes of the report, in order.
enum Step {
    Found(Box<Report>),
    /// By number.
    Job(usize),
    /// A bundle in a place for code, by the job of its main executable.
    Compare {
        path: Utf8PathBuf,
        entry: Option<Arc<Entry>>,
        code: Code,
    },
    /// A version of a framework that is not the current one, which is `of`.
    Version {
        path: Utf8PathBuf,
        of: Code,
        code: Code,
    },
    /// A file of which the seal has no SHA-256, in a bundle with this code.
    OldHash {
        path: Utf8PathBuf,
        code: Code,
    },
}

/// Which job reads the code of a bundle, if there is any.
pub(in crate::verify) type Code = Option<usize>;

/// The bundle whose seal is compared, while its folders are walked.
struct Open {
    content: Utf8PathBuf,
    executable: Option<Utf8PathBuf>,
    /// Where Info.plist stands.
    info: Utf8PathBuf,
    /// Files of which the seal has no SHA-256.
    old_hashes: Mutex<Vec<Utf8PathBuf>>,
    seal: Seal,
    depth: usize,
}

impl Open {
    /// What the seal calls it; `None`: a seal says nothing of it.
    fn name<'p>(&self, path: &'p Utf8Path) -> Option<&'p str> {
        let name = path.strip_prefix(&self.content).unwrap_or(path).as_str();
        let excluded = ["_CodeSignature", "CodeResources", "_MASReceipt"].contains(&name);
        (!excluded && Some(path) != self.executable.as_deref()).then_some(name)
    }

    /// What its rules make of a name: whether it is code, and whether it is left out.
    fn rule(&self, name: &str) -> (bool, bool) {
        self.seal.rules2.decide(name).map_or((false, true), |verdict| (verdict.nested, verdict.omit))
    }
}

impl<'a> Shared<'a> {
    pub(in crate::verify) fn new(root: Root, known: Option<&'a dyn Known>) -> Self {
        Self { root, known, rules: Mutex::default(), listed: Mutex::default() }
    }

    fn list(&self, folder: &Utf8Path) -> Result<List, VerifyError> {
        let ahead = self.listed.lock().ok().and_then(|mut listed| listed.remove(folder));
        ahead.map_or_else(|| self.list_now(folder), Ok)
    }

    fn list_now(&self, folder: &Utf8Path) -> Result<List, VerifyError> {
        // Where files may be known, their folder is opened once for all of them.
        let known = self.known.map(|known| Ok::<_, VerifyError>((known, self.root.folder(folder)?))).transpose()?;
        let entry = |(name, kind): (std::ffi::OsString, FileType)| {
            let not_utf8 =
                |name: std::ffi::OsString| VerifyError::NotUtf8(format!("{folder}/{}", name.to_string_lossy()));
            let name = name.into_string().map_err(not_utf8)?;
            let known = known.as_ref().filter(|_| kind.is_file());
            let hashes = known.and_then(|(known, folder)| known.hashes(&Stamp::find(folder, &name)?));
            Ok((name, kind, hashes))
        };
        self.root.list(folder)?.into_iter().map(entry).collect()
    }

    /// Lists a folder, and those in it so many levels deep, while others have to wait for something else. Not those that may be bundles.
    fn list_ahead(&self, folder: &Utf8Path, levels: usize) {
        // What goes wrong here goes wrong again when the walk comes by, and is said there.
        let Ok(list) = self.list_now(folder) else { return };
        let folders = list.iter().filter(|(name, kind, _)| kind.is_dir() && !name.contains('.'));
        let folders: Vec<_> = folders.map(|(name, ..)| folder.join(name)).collect();
        if let Ok(mut listed) = self.listed.lock() {
            listed.insert(folder.to_owned(), list);
        }
        if levels > 0 {
            folders.par_iter().for_each(|folder| self.list_ahead(folder, levels - 1));
        }
    }
}

impl<'a> Verifier<'a> {
    pub(in crate::verify) fn new(shared: &'a Shared<'a>) -> Self {
        Self { shared, steps: Vec::new(), jobs: Vec::new() }
    }

    /// Goes on where another part ended.
    fn append(&mut self, part: Self) {
        let first = self.jobs.len();
        self.jobs.extend(part.jobs);
        let here = |code: Code| code.map(|number| first + number);
        self.steps.extend(part.steps.into_iter().map(|step| match step {
            Step::Found(found) => Step::Found(found),
            Step::Job(number) => Step::Job(first + number),
            Step::Compare { path, entry, code } => Step::Compare { path, entry, code: here(code) },
            Step::Version { path, of, code } => Step::Version { path, of: here(of), code: here(code) },
            Step::OldHash { path, code } => Step::OldHash { path, code: here(code) },
        }));
    }

    /// Does what the walk left to be done, and judges the code of the bundle asked about under `requirement`.
    pub(in crate::verify) fn finish(
        self,
        main: Code,
        requirement: Option<&Requirement>,
    ) -> Result<Report, VerifyError> {
        let done: Result<Vec<Done>, VerifyError> = self.jobs.par_iter().map(|job| job.run(&self.shared.root)).collect();
        let mut done = done?;
        let mut report = Report { bundle: self.shared.root.path().to_owned(), ..Report::default() };
        let mut versions: Vec<(Utf8PathBuf, Code, Code)> = Vec::new();
        for step in self.steps {
            match step {
                Step::Found(found) => report.append(*found),
                Step::Job(number) => {
                    if let Some(done) = done.get_mut(number) {
                        report.append(std::mem::take(&mut done.report));
                    }
                }
                Step::Compare { path, entry, code } => {
                    compare(&mut report, entry.as_deref(), &path, identities(&done, code));
                    for (path, _, version) in versions.extract_if(.., |(_, of, _)| code.is_some() && *of == code) {
                        if let (Some(entry), Some(identities)) = (&entry, identities(&done, version)) {
                            compare_version(&mut report, entry, &path, identities);
                        }
                    }
                }
                Step::Version { path, of, code } => versions.push((path, of, code)),
                Step::OldHash { path, code } => {
                    let mut hashes = identities(&done, code).into_iter().flatten().flat_map(|it| &it.hashes);
                    if let Some(kind) = hashes.find(|kind| **kind != HashKind::Sha1) {
                        report.find(&path, What::KindChanged, format!("a hash of kind {kind:?}"), "one of SHA-1 alone");
                    }
                }
            }
        }
        if let Some(requirement) = requirement {
            ask(&mut report, requirement, identities(&done, main));
        }
        Ok(report)
    }

    fn find(&mut self, path: &Utf8Path, what: What, expected: impl ToString, found: impl ToString) {
        let mut report = Report::default();
        report.find(path, what, expected, found);
        self.steps.push(Step::Found(Box::new(report)));
    }

    fn later(&mut self, job: Job) -> usize {
        let number = self.jobs.len();
        self.jobs.push(job);
        self.steps.push(Step::Job(number));
        number
    }

    /// A bundle: its executable with what it seals, then what its `CodeResources` seals.
    pub(in crate::verify) fn bundle(
        &mut self,
        path: &Utf8Path,
        anatomy: &Anatomy,
        depth: usize,
    ) -> Result<Code, VerifyError> {
        if depth > MAX_DEPTH {
            return Err(VerifyError::TooDeep(path.to_owned()));
        }
        if anatomy.has_contents() {
            for (name, kind) in self.list(path)? {
                let path = path.join(&name);
                if name != "Contents" && !self.is_left_by_others(&path, kind)? {
                    self.find(&path, What::UnsealedRoot, "", kind_name(kind));
                }
            }
        }
        let content = anatomy.content.clone();
        let signature = content.join("_CodeSignature");
        let mut seal = None;
        if self.shared.root.is_folder(&signature)? {
            for (name, kind) in self.list(&signature)? {
                let path = signature.join(&name);
                let is_empty =
                    name == EMPTY_SIGNATURE && self.shared.root.stat(&path)?.is_some_and(|it| it.st_size == 0);
                if !kind.is_file() || name != "CodeResources" && !is_empty {
                    self.find(&path, What::StrayFile, "", kind_name(kind));
                }
            }
            if self.shared.root.is_file(&anatomy.code_resources())? {
                seal = Some(self.shared.root.read(&anatomy.code_resources())?);
            }
        }
        let profile = Some(content.join(provisioning::FILE));
        let profile = profile.filter(|path| self.shared.root.is_file(path).unwrap_or_default());
        if anatomy.info.contains_key("MainHTML") {
            let found = "MainHTML, by which macOS takes the bundle for a widget";
            self.find(&anatomy.info_path, What::ExecutableMissing, "CFBundleExecutable alone", found);
        }
        let executable = anatomy.executable();
        let code = match &executable {
            Some(executable) if self.shared.root.is_file(executable)? => Some(self.later(Job::Executable {
                path: executable.clone(),
                info: anatomy.info.clone(),
                info_bytes: anatomy.info_bytes.clone(),
                seal: seal.clone(),
                profile,
            })),
            Some(executable) => {
                self.find(executable, What::ExecutableMissing, "an executable", "none");
                None
            }
            None => {
                self.find(path, What::ExecutableMissing, "CFBundleExecutable", "none");
                None
            }
        };
        let shared = self.shared;
        let read = || seal.as_deref().map(|seal| Seal::parse(seal, &shared.rules));
        let read = if depth == 0 && seal.is_some() {
            // That of an app may name thousands of files, and keeps one thread busy.
            rayon::join(read, || shared.list_ahead(&content, MAX_APART)).0
        } else {
            read()
        };
        match read {
            None => self.find(path, What::SealMissing, "", ""),
            Some(Err(why)) => self.find(&signature.join("CodeResources"), What::SealDamaged, "", why),
            Some(Ok(seal)) => {
                if let Some(why) = &seal.rules2.weak {
                    let expected = "a rule for everything, and no more left out than by Apple's own";
                    self.find(&signature.join("CodeResources"), What::RulesWeak, expected, why);
                }
                let (info, old_hashes) = (anatomy.info_path.clone(), Mutex::default());
                let open = Open { content: content.clone(), executable, info, old_hashes, seal, depth };
                self.folder(&open, &content, false)?;
                let mut old = open.old_hashes.lock().map(|mut old| std::mem::take(&mut *old)).unwrap_or_default();
                old.sort_unstable();
                self.steps.extend(old.into_iter().map(|path| Step::OldHash { path, code }));
                self.missing(&open);
            }
        }
        Ok(code)
    }

    /// What the seal names and the walk did not meet.
    fn missing(&mut self, open: &Open) {
        let old = open.seal.old_missing().map(|(name, entry)| (name, format!("a file {}", short(&entry.sha1))));
        let missing = open.seal.missing().map(|(name, entry)| (name, entry.to_string()));
        let missing: BTreeMap<&str, String> = old.chain(missing).collect();
        for (name, expected) in missing {
            self.find(&open.content.join(name), What::FileMissing, expected, "nothing");
        }
    }

    /// With `settled`, the code in this folder belongs to a bundle of its own, which is read apart.
    fn folder(&mut self, open: &Open, folder: &Utf8Path, settled: bool) -> Result<(), VerifyError> {
        if folder.components().count() > MAX_FOLDERS {
            return Err(VerifyError::TooManyFolders(folder.components().take(4).collect()));
        }
        let list = self.shared.list(folder)?;
        self.clashes(folder, &list);
        let mut apart = self.folders_apart(open, folder, &list, settled).into_iter();
        for (file_name, kind, known) in list {
            let path = folder.join(&file_name);
            let Some(name) = open.name(&path) else { continue };
            if kind.is_dir() {
                match apart.next() {
                    Some(part) => self.append(part?),
                    None => self.inner(open, &path, settled)?,
                }
                continue;
            }
            let (nested, omit) = open.rule(name);
            let (entry, old) = open.seal.meet(name);
            if let Some(entry) = entry.as_ref().filter(|entry| omit && !entry.optional) {
                // What is left out is not met, so that it counts as removed.
                self.find(&path, What::FileMissing, entry, "what the rules of the seal leave out");
            }
            if Some(folder) == open.info.parent() && is_other_info(&file_name) {
                let found = format!("`{file_name}`, which macOS reads instead");
                self.find(&path, What::InfoPlistChanged, "no property list but Info.plist", found);
            }
            if kind.is_symlink() {
                if omit && !may_be_omitted(name) {
                    self.find(&path, What::FileOmitted, "", "");
                }
                self.symlink(entry.as_deref(), &path, omit)?;
            } else if kind.is_file() {
                if entry.as_ref().is_some_and(|entry| entry.sha1.is_some() && entry.sha256.is_none())
                    && let Ok(mut old) = open.old_hashes.lock()
                {
                    old.push(path.clone());
                }
                if omit && !may_be_omitted(name) {
                    self.find(&path, What::FileOmitted, "", "");
                }
                let known = known.filter(|_| !nested || omit);
                self.later(Job::File(FileJob { path, entry, old, known, nested, omit, settled }));
            } else {
                self.find(&path, What::KindChanged, "a file, a folder or a symlink", "something else");
            }
        }
        Ok(())
    }

    /// A folder in a folder: a bundle in a place for code, or one more folder of files, which may have been a bundle before.
    fn inner(&mut self, open: &Open, path: &Utf8Path, settled: bool) -> Result<(), VerifyError> {
        let Some(name) = open.name(path) else { return Ok(()) };
        let (nested, _) = open.rule(name);
        if nested && path.file_name().is_some_and(|name| name.contains('.')) {
            let code = self.nested(path, open.depth + 1)?;
            let (entry, _) = open.seal.meet(name);
            self.steps.push(Step::Compare { path: path.to_owned(), entry, code });
            return Ok(());
        }
        let apart = !nested && !settled && self.has_own_seal(path)?;
        if apart {
            let anatomy = Anatomy::read(&self.shared.root, path)?;
            self.bundle(path, &anatomy, open.depth + 1)?;
        }
        self.folder(open, path, settled || apart)
    }

    /// What comes of the folders in `folder`, in order: none of them waits for another. Deeper ones, of which each thread's stack would have to
    /// hold several, are walked one after the other: there, nothing comes of this.
    fn folders_apart(
        &self,
        open: &Open,
        folder: &Utf8Path,
        list: &List,
        settled: bool,
    ) -> Vec<Result<Self, VerifyError>> {
        let level = folder.components().count() - open.content.components().count();
        if open.depth > 0 || level > MAX_APART {
            return Vec::new();
        }
        let folders = list.iter().filter(|(_, kind, _)| kind.is_dir()).map(|(name, ..)| folder.join(name));
        let folders: Vec<_> = folders.filter(|path| open.name(path).is_some()).collect();
        let walk = |path: &Utf8PathBuf| {
            let mut part = Self::new(self.shared);
            part.inner(open, path, settled)?;
            Ok(part)
        };
        folders.par_iter().map(walk).collect()
    }

    /// A folder with a dot in its name, in a place for code.
    fn nested(&mut self, path: &Utf8Path, depth: usize) -> Result<Code, VerifyError> {
        if let Some(versions) = Versions::find(&self.shared.root, path)? {
            return self.framework(path, &versions, depth);
        }
        match Anatomy::find(&self.shared.root, path) {
            Ok(Some(anatomy)) => self.bundle(path, &anatomy, depth),
            Ok(None) => {
                self.find(path, What::NotCode, "a bundle", "a folder");
                Ok(None)
            }
            Err(error) => {
                self.find(path, What::Damaged, "", error);
                Ok(None)
            }
        }
    }

    /// Names of which only one can be there on a Mac, as a rule: file systems keep their case and composition, and do not tell by them.
    fn clashes(&mut self, folder: &Utf8Path, list: &List) {
        let mut names = BTreeMap::new();
        for (name, ..) in list {
            let same = if name.is_ascii() {
                name.to_ascii_lowercase()
            } else {
                name.nfd().flat_map(char::to_lowercase).nfd().collect()
            };
            if let Some(other) = names.insert(same, name) {
                let mut report = Report::default();
                report.warn(&folder.join(name), What::NamesClash, "a name of its own", format!("`{other}` beside it"));
                self.steps.push(Step::Found(Box::new(report)));
            }
        }
    }

    /// A plain file of Finder's that is no program.
    fn is_left_by_finder(&self, path: &Utf8Path, kind: FileType) -> Result<bool, VerifyError> {
        let is_finders = kind.is_file() && path.file_name() == Some(".DS_Store");
        Ok(is_finders && self.shared.root.stat(path)?.is_some_and(|stat| stat.st_mode & 0o111 == 0))
    }

    /// As [`Self::is_left_by_finder`], at the root of a bundle.
    fn is_left_by_others(&self, path: &Utf8Path, kind: FileType) -> Result<bool, VerifyError> {
        let is_known = kind.is_file() && path.file_name().is_some_and(|name| ROOT_FILES.contains(&name));
        Ok(is_known && self.shared.root.stat(path)?.is_some_and(|stat| stat.st_mode & 0o111 == 0))
    }

    /// Whether a folder among the resources was signed as a bundle of its own.
    fn has_own_seal(&self, path: &Utf8Path) -> Result<bool, VerifyError> {
        match Anatomy::find(&self.shared.root, path) {
            Ok(Some(anatomy)) => Ok(self.shared.root.is_file(&anatomy.code_resources())?),
            _ => Ok(false),
        }
    }

    fn list(&self, folder: &Utf8Path) -> Result<Vec<(String, FileType)>, VerifyError> {
        Ok(self.shared.list(folder)?.into_iter().map(|(name, kind, _)| (name, kind)).collect())
    }
}

/// Beside `Info.plist`: what macOS reads instead, or takes for the same.
fn is_other_info(name: &str) -> bool {
    name.eq_ignore_ascii_case("Info-macos.plist") || name != "Info.plist" && name.eq_ignore_ascii_case("Info.plist")
}

fn kind_name(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_symlink() {
        "a symlink"
    } else if kind.is_file() {
        "a file"
    } else {
        "something else"
    }
}

fn identities(done: &[Done], code: Code) -> Option<&Identities> {
    done.get(code?)?.identities.as_ref()
}

/// The code that was asked about, under the requirement that whoever asks has.
pub(in crate::verify) fn ask(report: &mut Report, requirement: &Requirement, identities: Option<&Identities>) {
    let path = Utf8Path::new("");
    for identity in identities.into_iter().flatten() {
        match identity.judge(requirement) {
            Truth::Satisfied => {}
            Truth::Failed => report.find(path, What::RequirementFailed, requirement, identity.describe()),
            // It is the same for every architecture.
            Truth::Undecided(why) => return report.find(path, What::RequirementUndecided, requirement, why),
        }
    }
}
