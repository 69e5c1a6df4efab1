//! One bundle against its seal, and the bundles within.

use std::collections::BTreeSet;
use std::io::{self, Read as _};

use camino::{Utf8Path, Utf8PathBuf};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use super::VerifyError;
use super::code::{self, Bound, Identities, short};
use super::report::{Finding, Report, Severity, Unchecked, What};
use super::rules::may_be_omitted;
use super::seal::{Entry, Seal, cdhashes};
use crate::anatomy::{Anatomy, Versions, is_allowed_target, is_file, is_folder};
use crate::macho::{Content, FileKind, MachFile, sniff};

/// No app nests its bundles this deep.
pub(super) const MAX_DEPTH: usize = 32;

/// What `codesign` writes beside a seal; anything else there is hidden from it.
const SIGNATURE_FILES: [&str; 7] = [
    "CodeResources",
    "CodeDirectory",
    "CodeSignature",
    "CodeRequirements",
    "CodeRequirements-1",
    "CodeEntitlements",
    "CodeTopDirectory",
];

pub(super) struct Verifier<'a> {
    root: &'a Utf8Path,
    pub report: Report,
}

/// The bundle whose seal is compared, while its folders are walked.
struct Open {
    content: Utf8PathBuf,
    executable: Option<Utf8PathBuf>,
    seal: Seal,
    seen: BTreeSet<String>,
    depth: usize,
}

/// The first bytes of a file.
pub(super) fn start_of(path: &Utf8Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(20);
    fs_err::File::open(path)?.take(20).read_to_end(&mut start)?;
    Ok(start)
}

impl<'a> Verifier<'a> {
    pub(super) fn new(root: &'a Utf8Path) -> Self {
        let (code, findings, unchecked) = (Vec::new(), Vec::new(), Vec::new());
        Self { root, report: Report { bundle: root.to_owned(), code, findings, unchecked, elf: None } }
    }

    fn find(&mut self, path: &Utf8Path, what: What, expected: impl ToString, found: impl ToString) {
        let path = if path.as_str().is_empty() { Utf8PathBuf::from(".") } else { path.to_owned() };
        let (expected, found) = (expected.to_string(), found.to_string());
        self.report.findings.push(Finding { path, place: None, what, severity: Severity::Error, expected, found });
    }

    fn relative(&self, path: &Utf8Path) -> Utf8PathBuf {
        path.strip_prefix(self.root).unwrap_or(path).to_owned()
    }

    /// A bundle: its executable with what it seals, then what its `CodeResources` seals.
    pub(super) fn bundle(
        &mut self,
        path: &Utf8Path,
        anatomy: &Anatomy,
        depth: usize,
    ) -> Result<Option<Identities>, VerifyError> {
        if depth > MAX_DEPTH {
            return Err(VerifyError::TooDeep(path.to_owned()));
        }
        if anatomy.has_contents() {
            for (name, _) in self.list(path)? {
                if name != "Contents" && name != ".DS_Store" {
                    self.find(&path.join(name), What::UnsealedRoot, "", "");
                }
            }
        }
        let content = self.relative(&anatomy.content);
        let signature = content.join("_CodeSignature");
        let mut seal = None;
        if is_folder(&self.root.join(&signature))? {
            for (name, kind) in self.list(&signature)? {
                if !kind.is_file() || !SIGNATURE_FILES.contains(&name.as_str()) {
                    self.find(&signature.join(name), What::StrayFile, "", "");
                }
            }
            if is_file(&anatomy.code_resources())? {
                seal = Some(fs_err::read(anatomy.code_resources())?);
            }
        }
        let executable = anatomy.executable();
        let identities = match &executable {
            Some(executable) if is_file(executable)? => {
                let bound =
                    Bound { info: &anatomy.info_bytes, resources: seal.as_deref(), identifier: anatomy.identifier() };
                let data = fs_err::read(executable)?;
                let path = self.relative(executable);
                code::check(&mut self.report, &path, &data, Some(&bound))
            }
            Some(executable) => {
                self.find(&self.relative(executable), What::ExecutableMissing, "an executable", "none");
                None
            }
            None => {
                self.find(path, What::ExecutableMissing, "CFBundleExecutable", "none");
                None
            }
        };
        match seal.as_deref().map(Seal::parse) {
            None => self.find(path, What::SealMissing, "", ""),
            Some(Err(why)) => self.find(&signature.join("CodeResources"), What::SealDamaged, "", why),
            Some(Ok(seal)) => {
                let executable = executable.map(|executable| self.relative(&executable));
                let mut open = Open { content: content.clone(), executable, seal, seen: BTreeSet::new(), depth };
                self.folder(&mut open, &content, false)?;
                self.missing(&open);
            }
        }
        Ok(identities)
    }

    /// What the seal names and the walk did not meet.
    fn missing(&mut self, open: &Open) {
        let required = open.seal.files2.iter().filter(|(_, entry)| !entry.optional).map(|(name, _)| name);
        let old = open.seal.files.iter().filter(|(_, entry)| !entry.optional).map(|(name, _)| name);
        let missing: BTreeSet<&String> = required.chain(old).filter(|name| !open.seen.contains(*name)).collect();
        for name in missing {
            self.find(&open.content.join(name), What::FileMissing, "", "");
        }
    }

    /// With `settled`, the code in this folder belongs to a bundle of its own, which is read apart.
    fn folder(&mut self, open: &mut Open, folder: &Utf8Path, settled: bool) -> Result<(), VerifyError> {
        for (file_name, kind) in self.list(folder)? {
            let path = folder.join(&file_name);
            let name = path.strip_prefix(&open.content).unwrap_or(&path).to_string();
            let excluded = ["_CodeSignature", "CodeResources", "_MASReceipt"].contains(&name.as_str());
            if excluded || Some(&path) == open.executable.as_ref() {
                continue;
            }
            let verdict = open.seal.rules2.decide(&name);
            let (nested, omit) = verdict.map_or((false, true), |verdict| (verdict.nested, verdict.omit));
            if kind.is_dir() {
                if nested && file_name.contains('.') {
                    open.seen.insert(name.clone());
                    let identities = self.nested(&path, open.depth + 1)?;
                    self.compare_code(open.seal.files2.get(&name), &path, identities);
                } else {
                    let apart = !nested && !settled && self.has_own_seal(&path)?;
                    if apart {
                        let anatomy = Anatomy::read(&self.root.join(&path))?;
                        self.bundle(&path, &anatomy, open.depth + 1)?;
                    }
                    self.folder(open, &path, settled || apart)?;
                }
                continue;
            }
            open.seen.insert(name.clone());
            if kind.is_symlink() {
                self.symlink(open.seal.files2.get(&name), &path, omit)?;
            } else if kind.is_file() {
                self.file(open, &path, &name, (nested, omit, settled))?;
            } else {
                self.find(&path, What::KindChanged, "a file, a folder or a symlink", "something else");
            }
        }
        Ok(())
    }

    fn symlink(&mut self, entry: Option<&Entry>, path: &Utf8Path, omit: bool) -> Result<(), VerifyError> {
        let target = fs_err::read_link(self.root.join(path))?;
        let target = target.to_string_lossy().into_owned();
        if !is_allowed_target(path, Utf8Path::new(&target)) {
            self.find(path, What::SymlinkOutside, "", &target);
        }
        match entry {
            None if omit => {}
            None => self.find(path, What::FileAdded, "", ""),
            Some(entry) => match &entry.symlink {
                Some(expected) if *expected == target => {}
                Some(expected) => self.find(path, What::SymlinkChanged, expected, target),
                None => self.find(path, What::KindChanged, "no symlink", "a symlink"),
            },
        }
        Ok(())
    }

    fn file(
        &mut self,
        open: &Open,
        path: &Utf8Path,
        name: &str,
        (nested, omit, settled): (bool, bool, bool),
    ) -> Result<(), VerifyError> {
        let absolute = self.root.join(path);
        let entry = open.seal.files2.get(name);
        let old = open.seal.files.get(name);
        if omit && !may_be_omitted(name) {
            self.find(path, What::FileOmitted, "", "");
        }
        let is_macho = sniff(&start_of(&absolute)?) == Content::MachO;
        if nested && !omit {
            if !is_macho {
                self.find(path, What::NotCode, "Mach-O", "something else");
                return Ok(());
            }
            let identities = code::check(&mut self.report, path, &fs_err::read(&absolute)?, None);
            self.compare_code(entry, path, identities);
        } else if is_macho && !settled {
            // Among the resources code need not be signed; where it is, its signature should hold.
            let data = fs_err::read(&absolute)?;
            let file = MachFile::parse(&data);
            if file.is_ok_and(|file| file.is_signed() && FileKind::is_code(file.kind())) {
                code::check(&mut self.report, path, &data, None);
            }
        }
        let expects_hash = !nested && !omit;
        if old.is_none() && entry.is_none() {
            if expects_hash {
                self.find(path, What::FileAdded, "", "");
            }
            return Ok(());
        }
        let hashes = Hashes::of(&absolute)?;
        let mut differs = None;
        if let Some(entry) = entry.filter(|_| !nested) {
            if entry.symlink.is_some() || entry.cdhash.is_some() || (entry.sha1.is_none() && entry.sha256.is_none()) {
                self.find(path, What::KindChanged, "something that is sealed otherwise", "a file");
                return Ok(());
            }
            let pairs = [(&entry.sha256, &hashes.sha256), (&entry.sha1, &hashes.sha1)];
            differs = pairs.into_iter().find_map(|(expected, found)| {
                expected
                    .as_ref()
                    .filter(|expected| *expected != found)
                    .map(|expected| (expected.clone(), found.clone()))
            });
        } else if expects_hash {
            self.find(path, What::FileAdded, "", "");
        }
        if let Some(old) = old.filter(|old| old.sha1 != hashes.sha1) {
            differs = differs.or_else(|| Some((old.sha1.clone(), hashes.sha1.clone())));
        }
        if let Some((expected, found)) = differs {
            self.find(path, What::FileChanged, short(&expected), short(&found));
        }
        Ok(())
    }

    /// Code in a place for code, against the identity that the seal gives it.
    fn compare_code(&mut self, entry: Option<&Entry>, path: &Utf8Path, identities: Option<Identities>) {
        let Some(entry) = entry else {
            self.find(path, What::FileAdded, "", "");
            return;
        };
        // Where there is no identity, the reason was found already.
        let Some(identities) = identities else { return };
        let text =
            |hashes: &[crate::macho::CdHash]| hashes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let all: Vec<_> = identities.concat();
        match &entry.cdhash {
            Some(expected) if all.iter().any(|hash| hash.0.as_slice() == expected.as_slice()) => {}
            Some(expected) => self.find(path, What::NestedDiffers, short(expected), text(&all)),
            None if entry.requirement.is_none() => self.find(path, What::NestedUnsealed, "", ""),
            None => {}
        }
        let Some(requirement) = &entry.requirement else { return };
        match cdhashes(requirement) {
            Some(allowed) => {
                for slice in &identities {
                    if !slice.iter().any(|hash| allowed.contains(&hash.to_string())) {
                        self.find(path, What::NestedDiffers, requirement, text(slice));
                    }
                }
            }
            None => self.report.unchecked.push(Unchecked {
                path: path.to_owned(),
                what: format!("its requirement in the seal is not evaluated by this version: {requirement}"),
            }),
        }
    }

    /// A folder with a dot in its name, in a place for code.
    fn nested(&mut self, path: &Utf8Path, depth: usize) -> Result<Option<Identities>, VerifyError> {
        let absolute = self.root.join(path);
        if let Some(versions) = Versions::find(&absolute)? {
            return self.framework(path, &versions, depth);
        }
        match Anatomy::find(&absolute) {
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

    /// A framework's versions, each a bundle; around them nothing is sealed, so that there may be symlinks only.
    pub(super) fn framework(
        &mut self,
        path: &Utf8Path,
        versions: &Versions,
        depth: usize,
    ) -> Result<Option<Identities>, VerifyError> {
        for (name, kind) in self.list(path)? {
            let inner = path.join(&name);
            if kind.is_symlink() {
                let target = fs_err::read_link(self.root.join(&inner))?;
                if !versions.is_sound_link(&name, &target) {
                    let expected = format!("Versions/Current/{name}");
                    self.find(&inner, What::SymlinkChanged, expected, target.to_string_lossy());
                }
            } else if name != "Versions" && name != ".DS_Store" {
                self.find(&inner, What::UnsealedRoot, "a symlink into Versions/Current", "something else");
            }
        }
        for (name, kind) in self.list(&path.join("Versions"))? {
            if !kind.is_dir() && name != "Current" && name != ".DS_Store" {
                self.find(&path.join("Versions").join(name), What::Framework, "a version", "something else");
            }
        }
        if versions.current.is_none() {
            self.find(path, What::Framework, "Versions/Current, a symlink to a version", "none");
        }
        let mut current = None;
        for version in &versions.all {
            let relative = self.relative(version);
            match Anatomy::find(version) {
                Ok(Some(anatomy)) => {
                    let identities = self.bundle(&relative, &anatomy, depth)?;
                    if Some(version) == versions.current.as_ref() {
                        current = identities;
                    }
                }
                Ok(None) => self.find(&relative, What::Framework, "Resources/Info.plist", "none"),
                Err(error) => self.find(&relative, What::Damaged, "", error),
            }
        }
        Ok(current)
    }

    /// Whether a folder among the resources was signed as a bundle of its own.
    fn has_own_seal(&self, path: &Utf8Path) -> Result<bool, VerifyError> {
        match Anatomy::find(&self.root.join(path)) {
            Ok(Some(anatomy)) => Ok(is_file(&anatomy.code_resources())?),
            _ => Ok(false),
        }
    }

    fn list(&self, folder: &Utf8Path) -> Result<Vec<(String, std::fs::FileType)>, VerifyError> {
        let mut entries = Vec::new();
        for entry in fs_err::read_dir(self.root.join(folder))? {
            let entry = entry?;
            let name = entry.file_name().into_string();
            let name = name.map_err(|name| VerifyError::NotUtf8(format!("{folder}/{}", name.to_string_lossy())))?;
            entries.push((name, entry.file_type()?));
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }
}

/// Both hashes of a file, made while it is read once.
struct Hashes {
    sha1: Vec<u8>,
    sha256: Vec<u8>,
}

impl Hashes {
    fn of(path: &Utf8Path) -> io::Result<Self> {
        let mut file = fs_err::File::open(path)?;
        let (mut sha1, mut sha256) = (Sha1::new(), Sha256::new());
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = file.read(&mut buffer)?;
            let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else { break };
            sha1.update(chunk);
            sha256.update(chunk);
        }
        Ok(Self { sha1: sha1.finalize().to_vec(), sha256: sha256.finalize().to_vec() })
    }
}
