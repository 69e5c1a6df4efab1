//! Why there is no scaffold.

use camino::Utf8PathBuf;

use super::names::PackageNameError;
use crate::config::{BundleId, BundleIdError, ConfigError};
use crate::exit::{Coded, Exit};
use crate::workspace::WorkspaceError;

/// Why a scaffold could not be planned, or not be written. Unless a message says otherwise nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScaffoldError {
    /// The folder's name, or `--name`, is no package name.
    #[error("{0}; choose another folder, or give a name with --name")]
    Name(#[from] PackageNameError),
    /// An identifier that was put together breaks a rule.
    #[error("{0}; give one with --identifier")]
    Identifier(#[from] BundleIdError),
    /// A path that cannot be written down in a manifest.
    #[error("the path `{path}` is not UTF-8; use a folder whose whole path is")]
    NotUtf8 {
        /// The path, with what is wrong replaced.
        path: String,
    },
    /// A part of the path that would cause trouble later.
    #[error("cannot make a folder named `{part}`: {why}")]
    FolderName {
        /// The part of the path.
        part: String,
        /// What it would break.
        why: &'static str,
    },
    /// Something else stands where a folder is needed.
    #[error("`{path}` is not a folder; choose another place")]
    NotAFolder {
        /// The path.
        path: Utf8PathBuf,
    },
    /// A symbolic link that leads nowhere.
    #[error("`{path}` is a symbolic link to something that does not exist; remove it or choose another place")]
    DanglingLink {
        /// The link.
        path: Utf8PathBuf,
    },
    /// Files in the way.
    #[error("would overwrite {}; move them away or choose another folder", list(.files))]
    FilesExist {
        /// The files.
        files: Vec<Utf8PathBuf>,
    },
    /// A package of that name, or one that `rustc` cannot tell from it.
    #[error("the workspace has `{existing}` already, in {manifest}: `{name}` needs another name; give one with --name")]
    PackageExists {
        /// The new package.
        name: String,
        /// The package or binary in the workspace.
        existing: String,
        /// Where it is.
        manifest: Utf8PathBuf,
    },
    /// Two bundles cannot share an identifier.
    #[error("the identifier `{identifier}` is used already, in {manifest}; give another one with --identifier")]
    IdentifierExists {
        /// The identifier.
        identifier: BundleId,
        /// Who uses it.
        manifest: Utf8PathBuf,
    },
    /// `--app` names nothing.
    #[error("there is no app `{app}` in the workspace; apps: {apps}; other binaries, which would become apps: {bins}")]
    NoSuchApp {
        /// What was asked for.
        app: String,
        /// The apps there are.
        apps: String,
        /// Binaries that are neither app nor service.
        bins: String,
    },
    /// More than one app.
    #[error("the workspace has several apps: say which one owns the service, with --app and one of: {apps}")]
    WhichApp {
        /// The apps there are.
        apps: String,
    },
    /// A package around the new folder that is in no workspace.
    #[error(
        "`{manifest}` is a package without a workspace: add a line `[workspace]` to it, so that the service can become a member; for an app apart from it choose a folder outside, or add `exclude = [\"{folder}\"]` there too"
    )]
    NotAWorkspace {
        /// The package's manifest.
        manifest: Utf8PathBuf,
        /// The new folder, seen from there.
        folder: Utf8PathBuf,
    },
    /// An option that has no meaning where there is no workspace yet.
    #[error("--app is for adding a service to a workspace, but `{path}` is in none")]
    AppOutsideWorkspace {
        /// The new folder.
        path: Utf8PathBuf,
    },
    /// `--runtime-path` does not lead to the runtime.
    #[error(
        "--runtime-path (or CARGO_XPC_RUNTIME_PATH) `{path}` {why}; it must be the folder of the package `xpc-runtime`"
    )]
    RuntimePath {
        /// The folder.
        path: Utf8PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// `--template` names nothing.
    #[error("there is no template `{name}` for a {kind}; there is: {known}")]
    NoSuchTemplate {
        /// What was asked for.
        name: String,
        /// What is being made.
        kind: &'static str,
        /// The templates of that kind.
        known: String,
    },
    /// A folder with several templates, or none, of the kind that is needed.
    #[error("cannot choose a template for a {kind} in `{dir}`: there is {known}; name one with --template")]
    WhichTemplate {
        /// The folder.
        dir: Utf8PathBuf,
        /// What is being made.
        kind: &'static str,
        /// The templates of that kind.
        known: String,
    },
    /// A folder without templates.
    #[error("there is no template.toml in `{dir}`; a template is a folder with that file (see templates/README.md)")]
    NotATemplateFolder {
        /// The folder.
        dir: Utf8PathBuf,
    },
    /// A template folder that cannot be read.
    #[error("cannot read the templates in `{dir}`")]
    ReadTemplates {
        /// The folder.
        dir: Utf8PathBuf,
        /// Why.
        source: walkdir::Error,
    },
    /// A template that cannot be used.
    #[error("template file {file}: {why}")]
    BadTemplate {
        /// The file.
        file: String,
        /// What is wrong, with the line where there is one.
        why: String,
    },
    /// A manifest of the user's that cannot be edited.
    #[error("cannot edit `{path}`: {why}")]
    BadManifest {
        /// The manifest.
        path: Utf8PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A manifest that was saved by someone else between the plan and its execution.
    #[error("`{path}` changed while the scaffold was made; nothing was kept, run the command again")]
    ManifestChanged {
        /// The manifest.
        path: Utf8PathBuf,
    },
    /// cargo does not accept the workspace.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The workspace's own configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system refused; what had been written was taken back.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The system refused, and again when what had been written was to be taken back.
    #[error("{error}; and this could not be undone: {}", list(.left))]
    NotUndone {
        /// The first failure.
        error: Box<ScaffoldError>,
        /// What is still there or still changed.
        left: Vec<Utf8PathBuf>,
    },
}

impl Coded for ScaffoldError {
    fn exit_code(&self) -> Exit {
        match self {
            Self::Io(_) | Self::ReadTemplates { .. } | Self::ManifestChanged { .. } => Exit::Io,
            Self::Workspace(error) => error.exit_code(),
            Self::Config(error) => error.exit_code(),
            Self::NotUndone { error, .. } => error.exit_code(),
            _ => Exit::Usage,
        }
    }
}

fn list(paths: &[Utf8PathBuf]) -> String {
    let quoted: Vec<_> = paths.iter().map(|path| format!("`{path}`")).collect();
    quoted.join(", ")
}
