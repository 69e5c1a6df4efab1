//! `cargo metadata` → the packages that matter.

use std::collections::BTreeSet;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use cargo_metadata::Metadata;

use crate::child;
use crate::exit::{Coded, Exit};

/// Why there is no workspace to work on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkspaceError {
    /// No manifest here or above.
    #[error(
        "no Cargo.toml in `{folder}` or above it; go to your project, give --manifest-path, or start with `cargo xpc new`"
    )]
    NoManifest {
        /// Where the search began.
        folder: Utf8PathBuf,
    },
    /// The manifest that was named is not there.
    #[error("`{0}` does not exist")]
    NoSuchManifest(Utf8PathBuf),
    /// cargo did not accept the workspace; its words are the message.
    #[error("cargo cannot read the workspace:\n  {}", .0.replace('\n', "\n  "))]
    Cargo(String),
}

impl Coded for WorkspaceError {
    fn exit_code(&self) -> Exit {
        Exit::Usage
    }
}

/// How cargo is to be asked.
#[derive(Clone, Debug, Default)]
pub struct Lookup {
    /// `--manifest-path`.
    pub manifest: Option<Utf8PathBuf>,
    /// `--locked`, `--offline`, `--frozen`.
    pub network: Vec<String>,
}

/// Asks cargo for the workspace that `folder` or the named manifest belongs to.
///
/// # Errors
/// Where there is none, or cargo refuses it.
pub fn load(folder: &Utf8Path, lookup: &Lookup) -> Result<Metadata, WorkspaceError> {
    let mut command = child::metadata_command();
    match &lookup.manifest {
        Some(manifest) => {
            let manifest = folder.join(manifest);
            if !manifest.is_file() {
                return Err(WorkspaceError::NoSuchManifest(manifest));
            }
            command.manifest_path(manifest);
        }
        None => {
            if !folder.ancestors().any(|above| above.join("Cargo.toml").is_file()) {
                return Err(WorkspaceError::NoManifest { folder: folder.to_owned() });
            }
            command.current_dir(folder);
        }
    }
    // Packages and their dependencies' paths are all that is wanted: cargo needs neither a network nor a lock file for them.
    command.no_deps().other_options(lookup.network.clone());
    command.exec().map_err(|error| match error {
        cargo_metadata::Error::CargoMetadata { stderr } => WorkspaceError::Cargo(stderr.trim().to_owned()),
        other => WorkspaceError::Cargo(other.to_string()),
    })
}

/// A package that the workspace is built from and that stands elsewhere on this machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outside {
    /// Where.
    pub folder: Utf8PathBuf,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// Path dependencies that lead out of the workspace, and theirs in turn; `[patch]` tables too.
///
/// # Errors
/// Where cargo refuses one of their manifests.
pub fn outside(metadata: &Metadata) -> Result<Vec<Outside>, WorkspaceError> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::from([metadata.workspace_root.clone()]);
    let mut open: Vec<Utf8PathBuf> = path_dependencies(metadata);
    open.extend(patches(&metadata.workspace_root));
    while let Some(folder) = open.pop() {
        if folder.starts_with(&metadata.workspace_root) || !seen.insert(folder.clone()) {
            continue;
        }
        let manifest = folder.join("Cargo.toml");
        // A dependency that is not there is cargo's to complain of, if the build needs it.
        if !manifest.is_file() {
            continue;
        }
        let theirs = load(&folder, &Lookup { manifest: Some(manifest.clone()), network: Vec::new() })?;
        open.extend(path_dependencies(&theirs));
        if let Some(package) = theirs.packages.iter().find(|package| package.manifest_path == manifest) {
            found.insert(Outside { folder, name: package.name.to_string(), version: package.version.to_string() });
        }
    }
    Ok(found.into_iter().collect())
}

fn path_dependencies(metadata: &Metadata) -> Vec<Utf8PathBuf> {
    metadata.packages.iter().flat_map(|package| &package.dependencies).filter_map(|d| d.path.clone()).collect()
}

/// Paths in the `[patch]` tables of the workspace's manifest.
fn patches(root: &Utf8Path) -> Vec<Utf8PathBuf> {
    let Ok(text) = fs_err::read_to_string(root.join("Cargo.toml")) else { return Vec::new() };
    let Ok(manifest) = text.parse::<toml_edit::DocumentMut>() else { return Vec::new() };
    let Some(sources) = manifest.get("patch").and_then(|item| item.as_table_like()) else { return Vec::new() };
    sources
        .iter()
        .filter_map(|(_, source)| source.as_table_like())
        .flat_map(|source| source.iter().filter_map(|(_, patch)| patch.as_table_like()?.get("path")?.as_str()))
        .map(|path| normal(&root.join(path)))
        .collect()
}

/// The path without `.` and `..`, by its words alone.
pub(crate) fn normal(path: &Utf8Path) -> Utf8PathBuf {
    let mut plain = Utf8PathBuf::new();
    for component in path.components() {
        match component {
            Utf8Component::CurDir => {}
            Utf8Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

/// Whether a profile of this name inherits from `dev` in the end, as the workspace's manifest has it.
pub(crate) fn is_development_profile(root: &Utf8Path, name: &str) -> bool {
    let manifest = fs_err::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    let manifest = manifest.parse::<toml_edit::DocumentMut>().unwrap_or_default();
    let mut name = name.to_owned();
    // As long as a chain can be; cargo refuses circles.
    for _ in 0..16 {
        match name.as_str() {
            "dev" | "test" => return true,
            "release" | "bench" => return false,
            _ => {}
        }
        let parent = manifest.get("profile").and_then(|p| p.get(&name)?.get("inherits")?.as_str());
        match parent {
            Some(parent) => name = parent.to_owned(),
            None => return false,
        }
    }
    false
}
