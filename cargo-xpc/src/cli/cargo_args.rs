//! Arguments that mean what they mean to cargo.

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::Metadata;

use super::Failure;
use super::ui::{Ui, Verbosity};
use crate::config::Config;
use crate::exit::Exit;
use crate::plan::{CargoOptions, Profile, Selection};
use crate::workspace::{self, Lookup};

/// Which workspace, and how it may be read.
#[derive(Clone, Debug, clap::Args)]
pub struct ManifestArgs {
    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH", help_heading = "Manifest")]
    manifest_path: Option<Utf8PathBuf>,
    /// Assert that `Cargo.lock` will remain unchanged
    #[arg(long, help_heading = "Manifest")]
    locked: bool,
    /// Run without accessing the network
    #[arg(long, help_heading = "Manifest")]
    offline: bool,
    /// Equivalent to specifying both --locked and --offline
    #[arg(long, help_heading = "Manifest")]
    frozen: bool,
}

impl ManifestArgs {
    fn network(&self) -> Vec<String> {
        let flags = [(self.locked, "--locked"), (self.offline, "--offline"), (self.frozen, "--frozen")];
        flags.iter().filter(|(on, _)| *on).map(|(_, flag)| (*flag).to_owned()).collect()
    }

    /// The same, for cargo.
    pub fn words(&self) -> Vec<String> {
        let manifest = self.manifest_path.iter().map(|path| format!("--manifest-path={path}"));
        manifest.chain(self.network()).collect()
    }

    /// The workspace, and the folder that the command was run in.
    pub fn load(&self) -> Result<(Metadata, Utf8PathBuf), Failure> {
        let folder = current_folder()?;
        let lookup = Lookup { manifest: self.manifest_path.clone(), network: self.network() };
        Ok((workspace::load(&folder, &lookup)?, folder))
    }
}

/// The folder that the command was run in.
pub fn current_folder() -> Result<Utf8PathBuf, Failure> {
    let folder = std::env::current_dir()
        .map_err(|e| Failure::new(Exit::Io, format_args!("cannot find out the current folder: {e}")))?;
    Utf8PathBuf::from_path_buf(folder)
        .map_err(|path| Failure::new(Exit::Usage, format_args!("the folder `{}` is not UTF-8", path.display())))
}

/// Which app.
#[derive(Clone, Debug, clap::Args)]
pub struct SelectArgs {
    /// The package of the app
    #[arg(short, long, value_name = "NAME", help_heading = "Package selection")]
    package: Option<String>,
    /// The app, where there are several
    #[arg(long, value_name = "APP", help_heading = "Package selection")]
    bin: Option<String>,
}

impl SelectArgs {
    /// By the app's name alone.
    pub fn app(bin: Option<String>) -> Self {
        Self { package: None, bin }
    }

    /// Together with the package that cargo would take: that of `--manifest-path`, or whose folder the command was run in,
    /// or the only default member with an app.
    pub fn selection(
        &self,
        metadata: &Metadata,
        config: &Config,
        manifest: &ManifestArgs,
        folder: &Utf8Path,
    ) -> Selection {
        let has_app = |name: &str| config.apps.iter().any(|app| app.program.package == name);
        let from = match &manifest.manifest_path {
            Some(path) => folder.join(path).canonicalize_utf8().unwrap_or_else(|_| folder.join(path)),
            None => folder.join("Cargo.toml"),
        };
        let here = metadata
            .workspace_packages()
            .iter()
            .filter(|package| package.manifest_path.parent().is_some_and(|root| from.starts_with(root)))
            // The deepest: a workspace's root package is above all others.
            .max_by_key(|package| package.manifest_path.as_str().len())
            .map(|package| package.name.to_string())
            .filter(|name| has_app(name));
        let default = || {
            let members = metadata.workspace_default_packages();
            let mut apps = members.iter().map(|package| package.name.to_string()).filter(|name| has_app(name));
            apps.next().filter(|_| apps.next().is_none())
        };
        let here = here.or_else(default);
        Selection { package: self.package.clone(), bin: self.bin.clone(), here }
    }
}

/// What is built, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct BuildArgs {
    /// Build in release mode, with the release profile
    #[arg(short, long, conflicts_with = "profile", help_heading = "Compilation")]
    release: bool,
    /// Build with the given profile
    #[arg(long, value_name = "NAME", help_heading = "Compilation")]
    profile: Option<String>,
    /// Features to activate: a bare one is the app's, `package/feature` a service's
    #[arg(short = 'F', long, value_name = "FEATURES", help_heading = "Compilation")]
    features: Vec<String>,
    /// Activate all available features
    #[arg(long, help_heading = "Compilation")]
    all_features: bool,
    /// Do not activate the `default` features
    #[arg(long, help_heading = "Compilation")]
    no_default_features: bool,
    /// Directory for all generated artifacts
    #[arg(long, value_name = "DIR", help_heading = "Compilation")]
    target_dir: Option<Utf8PathBuf>,
    /// Number of parallel jobs
    #[arg(short, long, value_name = "N", help_heading = "Compilation")]
    jobs: Option<String>,
}

impl BuildArgs {
    /// `--release`, `--profile`.
    pub fn profile(&self, workspace: &Utf8Path) -> Profile {
        match &self.profile {
            _ if self.release => Profile::Release,
            None => Profile::Dev,
            Some(name) => {
                let development = workspace::is_development_profile(workspace, name);
                Profile::Named { name: name.clone(), development }
            }
        }
    }

    /// `--target-dir`, made absolute.
    pub fn target_dir(&self, folder: &Utf8Path) -> Option<Utf8PathBuf> {
        self.target_dir.as_ref().map(|path| workspace::normal(&folder.join(path)))
    }

    /// The same, for cargo.
    pub fn words(&self, ui: &Ui) -> Vec<String> {
        let flags = [
            (self.release, "--release"),
            (self.all_features, "--all-features"),
            (self.no_default_features, "--no-default-features"),
            (ui.verbosity() == Verbosity::Quiet, "--quiet"),
        ];
        let flags = flags.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag.to_owned());
        let values = [
            ("--profile", self.profile.clone()),
            ("--target-dir", self.target_dir.as_ref().map(ToString::to_string)),
            ("--jobs", self.jobs.clone()),
            ("--color", ui.color_choice().map(str::to_owned)),
        ];
        let values = values.into_iter().filter_map(|(flag, value)| Some(format!("{flag}={}", value?)));
        let features = self.features.iter().map(|features| format!("--features={features}"));
        flags.chain(values).chain(features).collect()
    }

    /// What is passed on.
    pub fn options(&self, manifest: &ManifestArgs, folder: &Utf8Path, ui: &Ui) -> CargoOptions {
        CargoOptions {
            features: self.features.clone(),
            all_features: self.all_features,
            no_default_features: self.no_default_features,
            network: manifest.network(),
            target_dir: self.target_dir(folder),
            jobs: self.jobs.clone(),
            quiet: ui.verbosity() == Verbosity::Quiet,
            color: ui.color_choice().map(str::to_owned),
        }
    }
}
