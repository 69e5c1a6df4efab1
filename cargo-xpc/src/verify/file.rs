//! One file of a bundle against what its seal says: what there is to do in parallel.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::VerifyError;
use super::code::{self, Bound, Identities, Identity, short};
use super::hashes::Hashes;
use super::report::{Finding, Report, Severity, Unchecked, What};
use super::requirement::{Requirement, Truth};
use super::seal::{Entry, OldEntry};
use crate::beneath::Root;
use crate::macho::{Content, MachFile};

/// Work that needs no other's result. Paths are relative to the outermost bundle.
pub(super) enum Job {
    /// The main executable of a bundle, with what its signature seals besides itself.
    Executable {
        path: Utf8PathBuf,
        info: plist::Dictionary,
        info_bytes: Vec<u8>,
        seal: Option<Vec<u8>>,
        profile: Option<Utf8PathBuf>,
    },
    /// Any other file.
    File(FileJob),
}

pub(super) struct FileJob {
    pub path: Utf8PathBuf,
    /// What `files2` says of it.
    pub entry: Option<Arc<Entry>>,
    /// What `files` says of it.
    pub old: Option<Arc<OldEntry>>,
    /// What is known of it without reading it: it is no code.
    pub known: Option<Hashes>,
    /// Whether the rules make it code.
    pub nested: bool,
    /// Whether the rules leave it out.
    pub omit: bool,
    /// Whether code here belongs to a bundle of its own.
    pub settled: bool,
}

/// What came of a job.
#[derive(Default)]
pub(super) struct Done {
    pub report: Report,
    pub identities: Option<Identities>,
}

impl Job {
    pub(super) fn run(&self, root: &Root) -> Result<Done, VerifyError> {
        let mut done = Done::default();
        match self {
            Self::Executable { path, info, info_bytes, seal, profile } => {
                let data = root.read(path)?;
                let identifier = info.get("CFBundleIdentifier").and_then(plist::Value::as_string);
                let bound = Bound { info_bytes, info, resources: seal.as_deref(), identifier };
                done.identities = code::check(&mut done.report, path, &data, Some(&bound));
                if let (Some(profile), Some(identities)) = (profile, &done.identities) {
                    super::profile::check(&mut done.report, profile, &root.read(profile)?, identities);
                }
            }
            Self::File(file) => file.run(root, &mut done.report)?,
        }
        Ok(done)
    }
}

impl FileJob {
    fn run(&self, root: &Root, report: &mut Report) -> Result<(), VerifyError> {
        let Self { path, entry, old, known, nested, omit, settled } = self;
        let (nested, omit) = (*nested, *omit);
        let expects_hash = !nested && !omit;
        let is_listed = old.is_some() || entry.is_some();
        let hashes = if known.is_some() {
            known.filter(|_| is_listed)
        } else {
            let opened = root.file(path)?;
            let is_macho = opened.sniff() == Content::MachO;
            if nested && !omit && !is_macho {
                report.find(path, What::NotCode, "Mach-O", "a file of another kind");
                return Ok(());
            }
            if is_macho && (nested && !omit || !settled) {
                let data = opened.read()?;
                self.code(&data, report);
                is_listed.then(|| Hashes::of(&data))
            } else if is_listed {
                Some(Hashes::of_file(opened)?)
            } else {
                None
            }
        };
        let Some(hashes) = hashes else {
            if expects_hash {
                report.find(path, What::FileAdded, "", "a file");
            }
            return Ok(());
        };
        let mut differs = None;
        if let Some(entry) = entry.as_ref().filter(|_| !nested) {
            // What has a requirement counts as code, wherever it stands.
            let is_file = entry.symlink.is_none() && entry.cdhash.is_none() && entry.requirement.is_none();
            if !is_file || (entry.sha1.is_none() && entry.sha256.is_none()) {
                report.find(path, What::KindChanged, entry, "a file");
                return Ok(());
            }
            let pairs = [(&entry.sha256, &hashes.sha256[..]), (&entry.sha1, &hashes.sha1[..])];
            differs = pairs
                .into_iter()
                .find_map(|(due, found)| due.as_ref().filter(|due| *due != found).map(|due| (due, found)));
        } else if expects_hash {
            report.find(path, What::FileAdded, "", "a file");
        }
        if let Some(old) = old.as_ref().filter(|old| old.sha1 != hashes.sha1) {
            differs = differs.or(Some((&old.sha1, &hashes.sha1[..])));
        }
        if let Some((expected, found)) = differs {
            report.find(path, What::FileChanged, short(expected), short(found));
        }
        Ok(())
    }

    /// A file of code. Among the resources it need not be signed; where it is, its signature should hold.
    fn code(&self, data: &[u8], report: &mut Report) {
        if self.nested && !self.omit {
            let identities = code::check(report, &self.path, data, None);
            compare(report, self.entry.as_deref(), &self.path, identities.as_ref());
        } else if MachFile::parse(data).is_ok_and(|file| file.is_signed() && file.kind().is_code()) {
            code::check(report, &self.path, data, None);
        }
    }
}

/// Code in a place for code, against the identity that the seal gives it.
pub(super) fn compare(report: &mut Report, entry: Option<&Entry>, path: &Utf8Path, identities: Option<&Identities>) {
    let Some(entry) = entry else {
        report.find(path, What::FileAdded, "", "code");
        return;
    };
    // Where there is no identity, the reason was found already.
    let Some(identities) = identities else { return };
    if let Some(expected) = &entry.cdhash {
        let mut all = identities.iter().flat_map(|identity| &identity.cdhashes);
        if !all.any(|hash| hash.0.as_slice() == expected.as_slice()) {
            let found: Vec<_> = identities.iter().map(Identity::describe).collect();
            report.find(path, What::NestedDiffers, short(expected), found.join("; "));
        }
    }
    // macOS looks at nothing else.
    let Some(text) = &entry.requirement else { return report.find(path, What::NestedUnsealed, "", "") };
    let requirement = match Requirement::from_text(text) {
        Ok(requirement) => requirement,
        Err(error) => return report.find(path, What::RequirementDamaged, text, error),
    };
    for identity in identities {
        match identity.judge(&requirement) {
            Truth::Satisfied => {}
            Truth::Failed => report.find(path, What::NestedDiffers, &requirement, identity.describe()),
            Truth::Undecided(why) => {
                report.leave(path, format!("its requirement in the seal is not decided: {why}: {requirement}"));
            }
        }
    }
}

/// A version of a framework that is not the current one, by what the seal around the framework says of that. Ad hoc each has a hash of its
/// own, which only one of them can have.
pub(super) fn compare_version(report: &mut Report, entry: &Entry, path: &Utf8Path, identities: &Identities) {
    let Some(requirement) = entry.requirement.as_deref().and_then(|text| Requirement::from_text(text).ok()) else {
        return;
    };
    for identity in identities {
        match identity.judge(&requirement) {
            Truth::Satisfied => {}
            Truth::Failed if identity.chain.is_some() => {
                report.find(path, What::NestedDiffers, &requirement, identity.describe());
            }
            Truth::Failed => report.leave(
                path,
                "ad hoc, a version that is not the current one cannot satisfy what the seal around the framework asks for, and `codesign --strict` wants that".to_owned(),
            ),
            Truth::Undecided(_) => {}
        }
    }
}

impl Report {
    pub(super) fn find(&mut self, path: &Utf8Path, what: What, expected: impl ToString, found: impl ToString) {
        let text = (expected.to_string(), found.to_string());
        self.findings.push(Finding::new(path.to_owned(), None, what, Severity::Error, text));
    }

    pub(super) fn warn(&mut self, path: &Utf8Path, what: What, expected: impl ToString, found: impl ToString) {
        let text = (expected.to_string(), found.to_string());
        self.findings.push(Finding::new(path.to_owned(), None, what, Severity::Warning, text));
    }

    /// Notes what is not judged, once.
    pub(super) fn leave(&mut self, path: &Utf8Path, what: String) {
        let unchecked = Unchecked { path: path.to_owned(), what };
        if !self.unchecked.contains(&unchecked) {
            self.unchecked.push(unchecked);
        }
    }

    /// Takes what another found.
    pub(super) fn append(&mut self, other: Self) {
        self.code.extend(other.code);
        self.findings.extend(other.findings);
        self.unchecked.extend(other.unchecked);
    }
}
