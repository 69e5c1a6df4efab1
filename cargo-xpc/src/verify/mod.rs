//! Reading a signed bundle back: every hash is computed anew and compared with what the seals say.
//!
//! This room shares no code with `sign` and knows nothing of how a bundle was signed: it reads what is on disk. It stops at the first
//! thing that it cannot read, and lists everything that it can read and that is not as sealed.
//! Certificates are another matter: where a signature carries one, [`Report::unchecked`] says that nobody looked at it.

mod bundle;
mod code;
mod report;
mod rules;
mod seal;

use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use crate::anatomy::{Anatomy, AnatomyError, Versions};
use crate::exit::{Coded, Exit};
use crate::macho::{Content, sniff};

pub use self::report::{Finding, Report, Severity, Unchecked, Verdict, VerifiedCode, What};

/// Why a bundle could not be read at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Not a bundle, or one whose Info.plist cannot be read.
    #[error(transparent)]
    Bundle(AnatomyError),
    /// Bundles in bundles beyond reason.
    #[error("`{0}` is nested deeper than {limit} bundles", limit = bundle::MAX_DEPTH)]
    TooDeep(Utf8PathBuf),
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

/// Reads the bundle at `root` back.
///
/// # Errors
/// Where something cannot be read, or is no bundle. What is not as sealed is no error but a [`Finding`].
pub fn verify(root: &Utf8Path) -> Result<Report, VerifyError> {
    let mut verifier = bundle::Verifier::new(root);
    if let Some(versions) = Versions::find(root)? {
        verifier.framework(Utf8Path::new(""), &versions, 0)?;
        return Ok(verifier.report);
    }
    let anatomy = Anatomy::read(root)?;
    if let Some(executable) = anatomy.executable()
        && let Ok(Content::Elf(machine)) = bundle::start_of(&executable).map(|start| sniff(&start))
    {
        verifier.report.elf = Some(machine);
        return Ok(verifier.report);
    }
    verifier.bundle(Utf8Path::new(""), &anatomy, 0)?;
    Ok(verifier.report)
}
