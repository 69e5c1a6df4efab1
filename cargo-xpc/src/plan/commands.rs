//! The cargo commands that build each program for each target.

use camino::Utf8PathBuf;
use cargo_metadata::Metadata;
use serde::Serialize;

use super::{BundleRequest, ChosenTargets, PlanError};
use crate::config::{Program, SystemVersion};
use crate::toolchain::{Linker, Toolchain, is_macos};
use crate::workspace::{self, Outside};

/// `--release`, `--profile`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Profile {
    /// cargo's default.
    #[default]
    Dev,
    /// `--release`.
    Release,
    /// `--profile NAME`.
    Named {
        /// The name.
        name: String,
        /// Whether it inherits from cargo's development profile in the end.
        development: bool,
    },
}

impl Profile {
    /// The folder below `target` that cargo uses for it.
    pub fn folder(&self) -> &str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
            Self::Named { name, .. } => match name.as_str() {
                "dev" | "test" => "debug",
                "bench" => "release",
                other => other,
            },
        }
    }

    /// Whether the bundle is meant to leave this machine: everything but cargo's development profile and what inherits it.
    pub fn is_optimized(&self) -> bool {
        match self {
            Self::Dev => false,
            Self::Release => true,
            Self::Named { development, .. } => !development,
        }
    }

    fn args(&self) -> Vec<String> {
        match self {
            Self::Dev => Vec::new(),
            Self::Release => vec!["--release".to_owned()],
            Self::Named { name, .. } => vec!["--profile".to_owned(), name.clone()],
        }
    }
}

/// What is passed on to cargo as it is.
#[derive(Clone, Debug, Default)]
pub struct CargoOptions {
    /// `--features`: a bare one is the app's, `package/feature` that package's.
    pub features: Vec<String>,
    /// `--all-features`.
    pub all_features: bool,
    /// `--no-default-features`.
    pub no_default_features: bool,
    /// `--locked`, `--offline`, `--frozen`.
    pub network: Vec<String>,
    /// `--target-dir`.
    pub target_dir: Option<Utf8PathBuf>,
    /// `-j`.
    pub jobs: Option<String>,
    /// `-q`.
    pub quiet: bool,
    /// Given where stderr is a terminal or colours were asked for.
    pub color: Option<String>,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BuildCommand {
    /// The target it builds for.
    pub target: String,
    /// The program.
    pub program: Utf8PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables that are added to the environment.
    pub env: Vec<(String, String)>,
    /// Folders that have to exist before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<Utf8PathBuf>,
}

impl BuildCommand {
    /// Whether it says which target: else cargo builds for the machine that it runs on, in another folder.
    pub fn names_target(&self) -> bool {
        self.args.iter().any(|arg| arg == "--target")
    }

    /// Whether it builds for macOS with what zig brings, and no SDK.
    pub fn is_without_sdk(&self) -> bool {
        self.env.iter().any(|(name, _)| name == "SDKROOT")
    }
}

/// All that a command depends on.
pub(super) struct Inputs<'a> {
    pub(super) metadata: &'a Metadata,
    pub(super) outside: &'a [Outside],
    pub(super) request: &'a BundleRequest,
    pub(super) toolchain: &'a Toolchain,
    pub(super) targets: &'a ChosenTargets,
    /// The app's first.
    pub(super) packages: Vec<&'a Program>,
    pub(super) app_frameworks: bool,
}

/// What the program is in the bundle: where it stands decides where it finds frameworks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    App,
    Service { own_frameworks: bool },
}

/// Room after the load commands: a signature adds one, and a linker may leave none.
const HEADER_PADDING: &str = "-Clink-arg=-Wl,-headerpad,0x1000";

pub(super) fn builds(
    program: &Program,
    role: Role,
    minimum: SystemVersion,
    inputs: &Inputs<'_>,
) -> Result<Vec<BuildCommand>, PlanError> {
    inputs.targets.triples.iter().map(|target| build(program, role, minimum, target, inputs)).collect()
}

fn build(
    program: &Program,
    role: Role,
    minimum: SystemVersion,
    target: &str,
    inputs: &Inputs<'_>,
) -> Result<BuildCommand, PlanError> {
    let request = inputs.request;
    let tools = inputs
        .toolchain
        .targets
        .get(target)
        .ok_or_else(|| PlanError::Request(format!("nothing is known of the target `{target}`")))?;
    // `cargo rustc` gives the arguments behind `--` to this one program; `--config target.….rustflags` would make cargo
    // forget `build.rustflags`.
    let (executable, mut args) = match &tools.linker {
        Linker::Cargo => (inputs.toolchain.cargo.clone(), vec!["rustc".to_owned()]),
        Linker::Zigbuild(path) => (path.clone(), vec!["rustc".to_owned()]),
    };
    let mut push = |text: &[&str]| args.extend(text.iter().map(|&s| s.to_owned()));
    push(&["--manifest-path", program.manifest.as_str(), "--bin", &program.bin]);
    push(&["--message-format", "json-render-diagnostics"]);
    if inputs.targets.explicit {
        push(&["--target", target]);
    }
    args.extend(request.profile.args());
    args.extend(cargo_args(program, inputs));
    if is_macos(target) {
        args.extend(["--", HEADER_PADDING].map(str::to_owned));
        args.extend(
            rpaths(role, inputs.app_frameworks).into_iter().map(|path| format!("-Clink-arg=-Wl,-rpath,{path}")),
        );
    }
    let (mut env, mut folders) = (Vec::new(), Vec::new());
    if let (Linker::Zigbuild(_), false) = (&tools.linker, inputs.toolchain.has_sdk) {
        // zig brings what it links against; rustc would warn about the SDK that is missing, at every program.
        let none = inputs.metadata.target_directory.join("xpc/no-sdk");
        env.push(("SDKROOT".to_owned(), none.to_string()));
        folders.push(none);
    }
    if is_macos(target) {
        env.push(("MACOSX_DEPLOYMENT_TARGET".to_owned(), minimum.to_string()));
    }
    if request.profile.is_optimized() {
        let flags: Vec<String> = tools.rustflags.iter().cloned().chain(remaps(inputs)).collect();
        // The separator is U+001F; unlike RUSTFLAGS it allows for spaces.
        env.push(("CARGO_ENCODED_RUSTFLAGS".to_owned(), flags.join("\u{1f}")));
    }
    Ok(BuildCommand { target: target.to_owned(), program: executable, args, env, folders })
}

/// Where the dynamic linker looks for `@rpath/…`: the app's frameworks, and a service's own.
fn rpaths(role: Role, app_frameworks: bool) -> Vec<&'static str> {
    const OWN: &str = "@executable_path/../Frameworks";
    const APPS: &str = "@executable_path/../../../../Frameworks";
    match role {
        Role::App if app_frameworks => vec![OWN],
        Role::Service { own_frameworks } if app_frameworks || own_frameworks => vec![OWN, APPS],
        _ => Vec::new(),
    }
}

fn cargo_args(program: &Program, inputs: &Inputs<'_>) -> Vec<String> {
    let options = &inputs.request.cargo;
    let mut args = options.network.clone();
    let features = features_for(program, &inputs.packages, &options.features);
    if !features.is_empty() {
        args.extend(["--features".to_owned(), features.join(",")]);
    }
    if options.all_features {
        args.push("--all-features".to_owned());
    }
    if options.no_default_features {
        args.push("--no-default-features".to_owned());
    }
    if let Some(folder) = &options.target_dir {
        args.extend(["--target-dir".to_owned(), folder.to_string()]);
    }
    if let Some(jobs) = &options.jobs {
        args.extend(["--jobs".to_owned(), jobs.clone()]);
    }
    if options.quiet {
        args.push("--quiet".to_owned());
    }
    if let Some(color) = &options.color {
        args.extend(["--color".to_owned(), color.clone()]);
    }
    args
}

/// `package/feature` belongs to that package where it is one that we build; everything else is the app's.
fn features_for(program: &Program, packages: &[&Program], features: &[String]) -> Vec<String> {
    let is_app = packages.first().is_some_and(|app| app.package == program.package);
    features
        .iter()
        .flat_map(|list| list.split([',', ' ']))
        .filter(|feature| !feature.is_empty())
        .filter_map(|feature| match feature.split_once('/') {
            Some((package, feature)) if package == program.package => Some(feature.to_owned()),
            Some((package, _)) if packages.iter().any(|other| other.package == package) => None,
            _ => is_app.then(|| feature.to_owned()),
        })
        .collect()
}

/// Paths of this machine that would otherwise stand in the program, and what stands there instead.
///
/// rustc takes the last one that fits, so what is deeper comes later.
fn remaps(inputs: &Inputs<'_>) -> Vec<String> {
    let metadata = inputs.metadata;
    let mut pairs: Vec<(Utf8PathBuf, String)> = Vec::new();
    if let Some(home) = &inputs.toolchain.cargo_home {
        pairs.push((home.clone(), "/cargo".to_owned()));
    }
    let (source, name) = &inputs.toolchain.rust_source;
    pairs.push((source.clone(), name.clone()));
    pairs.push((metadata.workspace_root.clone(), "/workspace".to_owned()));
    // As cargo writes them, with `..` where the user did; only what is really below the workspace is covered already.
    let folders = [Some(&metadata.target_directory), metadata.build_directory.as_ref()];
    for folder in folders.into_iter().flatten() {
        if workspace::normal(folder) != *folder || !folder.starts_with(&metadata.workspace_root) {
            pairs.push((folder.clone(), "/target".to_owned()));
        }
    }
    // The registry's packages are below cargo's home already.
    for package in inputs.outside {
        pairs.push((package.folder.clone(), format!("/path/{}-{}", package.name, package.version)));
    }
    pairs.sort_by_key(|(path, _)| path.as_str().len());
    pairs.into_iter().map(|(from, to)| format!("--remap-path-prefix={from}={to}")).collect()
}
