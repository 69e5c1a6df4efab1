//! All that a scaffold will change, decided before the first byte is written.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Serialize, Serializer};

use super::ScaffoldError;
use super::template::Kind;
use crate::config::BundleId;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The new folder; absolute.
    pub path: Utf8PathBuf,
    /// The name, where it is not the folder's.
    pub name: Option<String>,
    /// The app's identifier for a workspace, the service's for a service.
    pub identifier: Option<BundleId>,
    /// The app that owns the new service.
    pub app: Option<String>,
    /// The template, where it is not the default one.
    pub template: Option<String>,
    /// A folder with templates of the user's.
    pub template_dir: Option<Utf8PathBuf>,
    /// A checkout of `xpc-runtime` to depend on in place of the published one; absolute.
    pub runtime_path: Option<Utf8PathBuf>,
}

/// Everything that will be written. [`super::apply()`] adds nothing to it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScaffoldPlan {
    /// A workspace or a service.
    pub kind: Kind,
    /// The template's name.
    pub template: String,
    /// The name of the app's package for a workspace, of the service's for a service.
    pub name: String,
    /// The app's identifier for a workspace, the service's for a service.
    pub identifier: BundleId,
    /// The new folder.
    pub folder: Utf8PathBuf,
    /// The app that owns the service, if one does.
    pub app: Option<String>,
    /// The new service.
    pub service: String,
    /// The package that holds the service's name, where the template makes one.
    pub interface: Option<String>,
    /// New files, in the order in which they are written.
    pub files: Vec<NewFile>,
    /// Manifests of the user's that change.
    pub edits: Vec<Edit>,
    /// What the user should know beside this.
    pub notes: Vec<String>,
}

/// A file that does not exist yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NewFile {
    /// Where; absolute.
    pub path: Utf8PathBuf,
    /// What it will hold.
    pub content: Content,
}

/// What a new file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Text, rendered or copied.
    Text(String),
    /// What is not text: only a user's own template has such files.
    Bytes(Vec<u8>),
}

impl Content {
    /// The bytes to write.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Bytes(error.into_bytes()), Self::Text)
    }
}

/// A text is itself; other content is only measured: `{"bytes": 512}`.
impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Size {
            bytes: usize,
        }
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => Size { bytes: bytes.len() }.serialize(serializer),
        }
    }
}

/// A change to a file of the user's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Edit {
    /// The manifest; absolute.
    pub path: Utf8PathBuf,
    /// Each change in words.
    pub changes: Vec<String>,
    /// What it holds now; the edit is refused where that is no longer so.
    pub before: String,
    /// What it will hold.
    pub after: String,
}

/// Refuses a plan that would overwrite something, or write where it cannot.
pub(super) fn check_files(files: &[NewFile]) -> Result<(), ScaffoldError> {
    let mut existing = Vec::new();
    for file in files {
        if file.path.symlink_metadata().is_ok() {
            existing.push(file.path.clone());
            continue;
        }
        // The nearest thing above that exists has to be a folder.
        let above = file.path.ancestors().skip(1).find(|above| above.symlink_metadata().is_ok());
        if let Some(path) = above.filter(|above| !above.is_dir()) {
            return Err(ScaffoldError::NotAFolder { path: path.to_owned() });
        }
    }
    if existing.is_empty() { Ok(()) } else { Err(ScaffoldError::FilesExist { files: existing }) }
}

/// Refuses to edit what is marked as not to be changed: replacing the file would get around the mark.
pub(super) fn check_writable(path: &Utf8Path) -> Result<(), ScaffoldError> {
    if fs_err::metadata(path)?.permissions().readonly() {
        let why = "it is read-only; make it writable first".to_owned();
        return Err(ScaffoldError::BadManifest { path: path.to_owned(), why });
    }
    Ok(())
}
