//! Built programs and the plan → an unsigned bundle in the staging folder.

use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use super::staging::{Staging, StagingError};
use super::tree;
use crate::build::BuiltArtifacts;
use crate::exit::{Coded, Exit};
use crate::macho::universal::{self, UniversalError};
use crate::plan::{BundlePart, BundlePlan, CopyFile, info_plist};

/// Why there is no whole bundle in the staging folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// Reading or writing failed.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// The programs of several targets do not fit together.
    #[error("cannot merge the programs of `{part}` into one")]
    Universal {
        /// The app or service.
        part: String,
        /// What does not fit.
        source: UniversalError,
    },
}

impl Coded for AssembleError {
    fn exit_code(&self) -> Exit {
        match self {
            Self::Staging(error) => error.exit_code(),
            Self::Universal { .. } => Exit::Usage,
        }
    }
}

/// A bundle that is whole but for its signatures.
#[derive(Debug)]
pub struct UnsignedBundle {
    /// The place that it stands in.
    pub staging: Staging,
    /// Finder's and tar's litter that was left out.
    pub litter: Vec<Utf8PathBuf>,
}

/// Lays the bundle out in the staging folder.
///
/// # Errors
/// Where something cannot be read or written; the staging folder goes with the error.
pub fn assemble(
    plan: &BundlePlan,
    artifacts: &BuiltArtifacts,
    staging: Staging,
    progress: impl FnMut(&Utf8Path),
) -> Result<UnsignedBundle, AssembleError> {
    let litter = parts(plan.parts(), artifacts, &staging.bundle(), progress)?;
    Ok(UnsignedBundle { staging, litter })
}

/// Lays parts out in `bundle`, each at its path; says which litter was left out.
///
/// # Errors
/// Where something cannot be read or written, or is there already.
pub fn parts<'a>(
    parts: impl IntoIterator<Item = &'a BundlePart>,
    artifacts: &BuiltArtifacts,
    bundle: &Utf8Path,
    mut progress: impl FnMut(&Utf8Path),
) -> Result<Vec<Utf8PathBuf>, AssembleError> {
    let mut litter = Vec::new();
    for part in parts {
        let root = if part.path.as_str().is_empty() { bundle.to_owned() } else { bundle.join(&part.path) };
        progress(&part.path);
        write(&root.join("Contents/Info.plist"), &info_plist::to_xml(&part.info_plist))?;
        program(part, artifacts.of(part), &root.join("Contents/MacOS").join(&part.program.bin))?;
        for file in &part.files {
            litter.extend(copy(file, bundle)?);
        }
        crate::faults::point("assembling");
    }
    Ok(litter)
}

fn write(path: &Utf8Path, bytes: &[u8]) -> Result<(), StagingError> {
    tree::make_folder(path.parent().unwrap_or(path))?;
    fs_err::write(path, bytes).map_err(|e| StagingError::io("write", path, e))
}

fn program(part: &BundlePart, built: &[Utf8PathBuf], to: &Utf8Path) -> Result<(), AssembleError> {
    tree::make_folder(to.parent().unwrap_or(to))?;
    if let [one] = built {
        tree::copy_file(one, to)?;
    } else {
        universal::merge_files(built, to)
            .map_err(|source| AssembleError::Universal { part: part.program.bin.clone(), source })?;
    }
    let mode = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(to, mode).map_err(|e| StagingError::io("set the mode of", to, e))?;
    Ok(())
}

/// A file, a symlink, or a folder (a framework) with all that is in it.
fn copy(file: &CopyFile, bundle: &Utf8Path) -> Result<Vec<Utf8PathBuf>, StagingError> {
    let to = bundle.join(&file.to);
    tree::make_folder(to.parent().unwrap_or(&to))?;
    // A walk that begins at a symlink to a folder would go through it.
    if file.from.is_symlink() {
        tree::copy_symlink(&file.from, &to)?;
        return Ok(Vec::new());
    }
    tree::copy(&file.from, &to)
}
