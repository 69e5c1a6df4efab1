//! Reading a signed bundle back: every hash is computed anew and compared with what the seals say.
//!
//! This room shares no code with `sign` and knows nothing of how a bundle was signed: it reads what is on disk. It stops at the first
//! thing that it cannot read, and lists everything that it can read and that is not as sealed.
//! Certificates are judged as far as they are there: [`Signer::anchor`] says whose root stands behind them, and nobody's root is refused.

mod bundle;
mod certificate;
mod cms;
mod code;
mod entitlements;
mod file;
mod hashes;
mod key;
mod profile;
mod report;
mod requirement;
mod rules;
mod seal;
mod time;

use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use crate::anatomy::{self, Anatomy, AnatomyError, Versions};
use crate::beneath::Root;
use crate::exit::{Coded, Exit};
use crate::macho::Content;

pub use self::hashes::{Hashes, Known};
pub use self::profile::read_profile;
pub use self::report::{
    Anchor, CertificateInfo, Finding, Report, Severity, Signer, Timestamp, Unchecked, Verdict, VerifiedCode, What,
};
pub use self::requirement::{Requirement, RequirementError};

/// Why a bundle could not be read at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The message names the path.
    #[error("{0}{remedy}", remedy = crate::exit::remedy(.0))]
    Io(#[from] std::io::Error),
    /// Not a bundle, or one whose Info.plist cannot be read.
    #[error(transparent)]
    Bundle(AnatomyError),
    /// Bundles in bundles beyond reason.
    #[error("`{0}` is nested deeper than {limit} bundles", limit = bundle::MAX_DEPTH)]
    TooDeep(Utf8PathBuf),
    /// Folders in folders beyond reason.
    #[error("below `{0}`, folders are nested deeper than {limit}", limit = bundle::MAX_FOLDERS)]
    TooManyFolders(Utf8PathBuf),
    /// What was given as a requirement is none.
    #[error("the requirement `{argument}` {error}")]
    Requirement {
        /// As it was given.
        argument: String,
        /// What is wrong with it.
        error: RequirementError,
    },
    /// A name that is not UTF-8.
    #[error("`{0}` is not valid UTF-8; a seal names files in UTF-8")]
    NotUtf8(String),
}

impl From<AnatomyError> for VerifyError {
    fn from(error: AnatomyError) -> Self {
        match error {
            AnatomyError::Io(error) => Self::Io(error),
            other => Self::Bundle(other),
        }
    }
}

impl Coded for VerifyError {
    fn exit_code(&self) -> Exit {
        match self {
            Self::Io(_) => Exit::Io,
            _ => Exit::Usage,
        }
    }
}

/// The requirement that an argument stands for: text after `=`, or the name of a file with text or with a blob, as `codesign -R` takes
/// it. Text without the mark is taken too, where no file has that name.
///
/// # Errors
/// Where it is no requirement, or the file cannot be read.
pub fn requirement(argument: &str) -> Result<Requirement, VerifyError> {
    let wrong = |error| VerifyError::Requirement { argument: argument.to_owned(), error };
    let path = Utf8Path::new(argument);
    if !argument.starts_with('=') && path.is_file() {
        return Requirement::from_file(&fs_err::read(path)?).map_err(wrong);
    }
    Requirement::from_text(argument).map_err(wrong)
}

/// Reads the bundle at `root` back.
///
/// # Errors
/// Where something cannot be read, or is no bundle. What is not as sealed is no error but a [`Finding`].
pub fn verify(root: &Utf8Path) -> Result<Report, VerifyError> {
    verify_against(root, None)
}

/// As [`verify`], but files whose hashes `known` has are not read: for whoever read them itself a moment ago.
///
/// # Errors
/// As for [`verify`].
pub fn verify_knowing(root: &Utf8Path, known: &dyn Known) -> Result<Report, VerifyError> {
    run(root, None, Some(known))
}

/// Reads the bundle at `root` back, and asks whether its main code satisfies `requirement`, as `codesign --verify -R` does. A Mach-O file by
/// itself is taken too.
///
/// # Errors
/// Where something cannot be read, or is no bundle. What is not as sealed or as required is no error but a [`Finding`].
pub fn verify_against(root: &Utf8Path, requirement: Option<&Requirement>) -> Result<Report, VerifyError> {
    run(root, requirement, None)
}

fn run(root: &Utf8Path, requirement: Option<&Requirement>, known: Option<&dyn Known>) -> Result<Report, VerifyError> {
    let elf = |machine| Report { bundle: root.to_owned(), elf: Some(machine), ..Report::default() };
    let opened = match anatomy::open(root) {
        Ok(opened) => opened,
        Err(AnatomyError::File(_)) if root.is_file() => {
            // Like a folder, it may be reached through symlinks.
            let real = root.canonicalize_utf8()?;
            if let Some(bundle) = bundle_of(&real)? {
                return run(&bundle, requirement, known);
            }
            let folder = Root::open(real.parent().unwrap_or(Utf8Path::new("")))?;
            let file = folder.file(Utf8Path::new(real.file_name().unwrap_or_default()))?;
            return match file.sniff() {
                Content::MachO => Ok(verify_code(root, &file.read()?, requirement)),
                Content::Elf(machine) => Ok(elf(machine)),
                Content::Other => Err(AnatomyError::File(root.to_owned()).into()),
            };
        }
        Err(error) => return Err(error.into()),
    };
    let top = Utf8Path::new("");
    let shared = bundle::Shared::new(opened, known);
    if let Some(versions) = Versions::find(&shared.root, top)? {
        let mut verifier = bundle::Verifier::new(&shared);
        let main = verifier.framework(top, &versions, 0)?;
        return verifier.finish(main, requirement);
    }
    let anatomy = Anatomy::read(&shared.root, top)?;
    if let Some(executable) = anatomy.executable()
        && shared.root.is_file(&executable)?
        && let Content::Elf(machine) = shared.root.file(&executable)?.sniff()
    {
        return Ok(elf(machine));
    }
    let mut verifier = bundle::Verifier::new(&shared);
    let main = verifier.bundle(top, &anatomy, 0)?;
    verifier.finish(main, requirement)
}

/// The bundle whose main executable this is: to Apple's tools it stands for the bundle, whose seal is in its signature.
fn bundle_of(executable: &Utf8Path) -> Result<Option<Utf8PathBuf>, VerifyError> {
    let mut above = executable.ancestors().skip(1);
    let (Some("MacOS"), Some("Contents")) = (name(above.next()), name(above.next())) else { return Ok(None) };
    let Some(bundle) = above.next() else { return Ok(None) };
    let anatomy = Anatomy::find(&Root::open(bundle)?, Utf8Path::new(""))?;
    let main = anatomy.and_then(|anatomy| anatomy.executable());
    Ok(main.filter(|main| bundle.join(main) == executable).map(|_| bundle.to_owned()))
}

fn name(path: Option<&Utf8Path>) -> Option<&str> {
    path?.file_name()
}

/// Reads a Mach-O file back that stands by itself; `data` is all of it.
pub fn verify_code(path: &Utf8Path, data: &[u8], requirement: Option<&Requirement>) -> Report {
    let mut report = Report { bundle: path.to_owned(), ..Report::default() };
    let name = Utf8Path::new(path.file_name().unwrap_or(path.as_str()));
    let identities = code::check(&mut report, name, data, None);
    if let Some(requirement) = requirement {
        bundle::ask(&mut report, requirement, identities.as_ref());
    }
    report
}

/// What only the fuzz targets may reach: readers that stand behind the checks of whoever calls them.
#[cfg(fuzzing)]
pub mod fuzzing {
    use super::{cms, requirement};
    use crate::macho::CodeDirectory;

    /// Reads a CMS signature over `directories`, and its chain.
    pub fn cms(bytes: &[u8], directories: &[(&CodeDirectory, &[u8])]) {
        let _ = cms::read(bytes, directories);
    }

    /// Reads the requirements of a signature, and gives each as text.
    pub fn requirements(blob: &[u8]) -> Vec<String> {
        requirement::read_set(blob).unwrap_or_default().iter().map(|(_, requirement)| requirement.to_string()).collect()
    }
}
