//! Request and configuration → [`BundlePlan`]: every path, plist, entitlement and command is decided here, and nothing
//! is done yet. A dry run is the plan printed.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use cargo_metadata::Metadata;
use serde::Serialize;

use crate::anatomy::AnatomyError;
use crate::config::{App, BundleId, CodeSigning, Config, ConfigError, Program, Service, SystemVersion};
use crate::exit::{Coded, Exit};
use crate::sign::Identity;
use crate::sign::identity::CertificateSummary;
use crate::toolchain::{Machine, Toolchain, is_macos};
use crate::workspace::Outside;

pub mod commands;
pub mod embed;
mod files;
pub mod info_plist;
mod select;

pub use commands::{BuildCommand, CargoOptions, Profile};
pub use files::{CopyFile, ENTITLEMENTS};
pub use select::{Selection, select};

/// Why there is nothing to be done. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something was asked for that is not there, or is not unique.
    #[error("{0}")]
    Selection(String),
    /// Two things want the same name.
    #[error("{0}")]
    Clash(String),
    /// A resource or framework that cannot be bundled.
    #[error("{0}")]
    File(String),
    /// The request contradicts itself or the machine.
    #[error("{0}")]
    Request(String),
    /// A bundle that is there already cannot be read.
    #[error(transparent)]
    Bundle(#[from] AnatomyError),
}

impl Coded for PlanError {
    fn exit_code(&self) -> Exit {
        match self {
            Self::Bundle(AnatomyError::Io(_)) => Exit::Io,
            _ => Exit::Usage,
        }
    }
}

/// What the command line asked for.
#[derive(Clone, Debug, Default)]
pub struct BundleRequest {
    /// Which app.
    pub selection: Selection,
    /// `--target`, `--universal`.
    pub targets: Targets,
    /// `--release` or `--profile`.
    pub profile: Profile,
    /// What is passed on to cargo.
    pub cargo: CargoOptions,
    /// `--out`: the folder for the bundle instead of the target directory.
    pub out: Option<Utf8PathBuf>,
    /// `--sign`.
    pub sign: SignRequest,
}

/// What is built for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Targets {
    /// `build.target` of cargo's configuration, or this machine.
    #[default]
    Default,
    /// This machine, whatever the configuration says.
    Host,
    /// `--target`, given once or more.
    Listed(Vec<String>),
    /// `--universal`.
    Universal,
}

/// What a request means by its targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenTargets {
    /// In the order of the slices.
    pub triples: Vec<String>,
    /// Whether cargo is told: a build for this machine without `--target` shares what the user's own builds made.
    pub explicit: bool,
}

/// `--sign`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SignRequest {
    /// Ad hoc where the bundle holds Mach-O, nothing where it holds ELF.
    #[default]
    Default,
    /// By this identity, with time stamps of this server.
    By(Identity, Option<String>),
    /// Not at all.
    None,
}

/// Both Apple targets, in the order of their slices.
pub const APPLE_TARGETS: [&str; 2] = ["aarch64-apple-darwin", "x86_64-apple-darwin"];
/// What a folder of universal bundles is called.
pub const UNIVERSAL: &str = "universal-apple-darwin";

/// Everything that will be done.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BundlePlan {
    /// Where the bundle will stand.
    pub destination: Utf8PathBuf,
    /// The targets that are built; more than one are merged.
    pub targets: Vec<String>,
    /// The bundle itself: the app, or a service that is made without one.
    pub main: BundlePart,
    /// The app's services, in the order of its list.
    pub services: Vec<BundlePart>,
    /// How it is signed.
    pub signing: Signing,
    /// What the user should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// One bundle: the app, or a service.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BundlePart {
    /// What is built.
    #[serde(flatten)]
    pub program: Program,
    /// Inside the planned bundle; empty for that itself.
    pub path: Utf8PathBuf,
    /// `CFBundleIdentifier`.
    pub identifier: BundleId,
    /// The deployment target.
    #[serde(serialize_with = "as_text")]
    pub minimum_system_version: SystemVersion,
    /// The Info.plist, whole.
    pub info_plist: plist::Dictionary,
    /// The entitlements file.
    pub entitlements: Option<Utf8PathBuf>,
    /// The provisioning profile, which is among the files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning_profile: Option<Utf8PathBuf>,
    /// The rest of how it is signed.
    #[serde(skip_serializing_if = "CodeSigning::is_empty")]
    pub signing: CodeSigning,
    /// What is copied; targets are relative to the app's bundle.
    pub files: Vec<CopyFile>,
    /// One command a target.
    pub builds: Vec<BuildCommand>,
}

/// How the bundle is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "identity")]
pub enum Signing {
    /// Without a certificate.
    #[serde(rename_all = "kebab-case")]
    AdHoc {
        /// Whether main executables get `com.apple.security.get-task-allow`.
        get_task_allow: bool,
    },
    /// With a certificate.
    #[serde(rename_all = "kebab-case")]
    Certificate {
        /// Whose.
        certificate: Box<CertificateSummary>,
        /// Whether main executables get `com.apple.security.get-task-allow`.
        get_task_allow: bool,
        /// The server that stamps the signatures with the time.
        #[serde(skip_serializing_if = "Option::is_none")]
        timestamp: Option<String>,
        /// What signs.
        #[serde(skip)]
        identity: Identity,
    },
    /// Not signed.
    None {
        /// Why.
        why: String,
    },
}

impl Signing {
    /// The server that stamps the signatures with the time.
    pub fn timestamp(&self) -> Option<&str> {
        match self {
            Self::Certificate { timestamp, .. } => timestamp.as_deref(),
            Self::AdHoc { .. } | Self::None { .. } => None,
        }
    }

    /// Who signs, and whether a debugger may attach to what is signed; `None` where nobody signs.
    pub fn identity(&self) -> Option<(&Identity, bool)> {
        match self {
            Self::AdHoc { get_task_allow } => Some((&Identity::AdHoc, *get_task_allow)),
            Self::Certificate { identity, get_task_allow, .. } => Some((identity, *get_task_allow)),
            Self::None { .. } => None,
        }
    }
}

fn as_text<T: std::fmt::Display, S: serde::Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl BundlePart {
    /// Whether it is a service and not the app.
    pub fn is_service(&self) -> bool {
        self.info_plist.contains_key("XPCService")
    }
}

impl BundlePlan {
    /// The bundle itself and the services in it.
    pub fn parts(&self) -> impl Iterator<Item = &BundlePart> {
        std::iter::once(&self.main).chain(&self.services)
    }
}

/// The targets that a request means.
///
/// # Errors
/// Where they cannot be merged into one program.
pub fn targets(request: &Targets, machine: &Machine) -> Result<ChosenTargets, PlanError> {
    let both = || APPLE_TARGETS.map(str::to_owned).to_vec();
    let configured = &machine.configured;
    let mut triples = match request {
        Targets::Universal => both(),
        Targets::Listed(given) => given.clone(),
        Targets::Default if !configured.is_empty() => configured.clone(),
        Targets::Default | Targets::Host => {
            return Ok(ChosenTargets { triples: vec![machine.host.clone()], explicit: !configured.is_empty() });
        }
    };
    let is_universal = |triple: &String| triple == UNIVERSAL || triple == "universal2-apple-darwin";
    for triple in &mut triples {
        if triple == "host-tuple" {
            triple.clone_from(&machine.host);
        }
        let why = if triple.is_empty() {
            "an empty --target names nothing"
        } else if triple.ends_with(".json") {
            "a target of your own (JSON) cannot be bundled: its programs' kind is unknown"
        } else if triple.contains("-apple-") && !is_macos(triple) && !is_universal(triple) {
            "of Apple's systems only macOS has XPC services that an app may bring: use aarch64-apple-darwin or x86_64-apple-darwin"
        } else if triple.contains("-windows") || triple.starts_with("wasm") {
            "apps with services run on macOS, and on Linux for development: use aarch64-apple-darwin or x86_64-apple-darwin"
        } else {
            continue;
        };
        return Err(PlanError::Request(format!("`{triple}`: {why}")));
    }
    if triples.iter().any(is_universal) {
        triples.retain(|triple| !is_universal(triple));
        triples.extend(both());
    }
    triples.sort();
    triples.dedup();
    if triples.len() > 1 && !triples.iter().all(|triple| is_macos(triple)) {
        return Err(PlanError::Request(format!(
            "only Apple targets can be merged into one program, and {} are not all Apple targets: bundle each by itself",
            triples.join(", ")
        )));
    }
    Ok(ChosenTargets { triples, explicit: true })
}

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The workspace.
    pub metadata: &'a Metadata,
    /// Packages outside the workspace that it is built from; wanted where the build is optimised.
    pub outside: &'a [Outside],
    /// What it says of apps and services.
    pub config: &'a Config,
    /// What is asked for.
    pub request: &'a BundleRequest,
    /// What that means for the targets.
    pub targets: &'a ChosenTargets,
    /// What builds for them.
    pub toolchain: &'a Toolchain,
}

impl<'a> Given<'a> {
    fn inputs(self, app: &'a App, services: &[&'a Service]) -> commands::Inputs<'a> {
        commands::Inputs {
            metadata: self.metadata,
            outside: self.outside,
            request: self.request,
            toolchain: self.toolchain,
            targets: self.targets,
            packages: std::iter::once(&app.program).chain(services.iter().map(|s| &s.program)).collect(),
            app_frameworks: !app.frameworks.is_empty(),
        }
    }

    fn destination(self, file_name: &str) -> Utf8PathBuf {
        let triples = &self.targets.triples;
        let folder = self.request.out.clone().unwrap_or_else(|| {
            let triple = if let [one] = triples.as_slice() { one.as_str() } else { UNIVERSAL };
            self.metadata.target_directory.join("xpc").join(triple).join(self.request.profile.folder())
        });
        folder.join(file_name)
    }
}

/// Decides everything about an app and the services in it.
///
/// # Errors
/// Where the selection, the configuration or the files it names are wrong.
pub fn plan(given: Given<'_>) -> Result<BundlePlan, PlanError> {
    let (app, services) = select(given.config, &given.request.selection)?;
    if let Some(file) = &app.tauri {
        return Err(PlanError::Request(format!(
            "`{}` is a Tauri app ({file}), whose front end only `tauri build` builds: make its services with `cargo xpc bundle --services-only` and list them in `bundle.macOS.files`, or put them into the finished app with `cargo xpc embed`",
            app.program.bin
        )));
    }
    check_clashes(app, &services)?;
    let inputs = given.inputs(app, &services);
    let in_app = |service: &Service| Utf8PathBuf::from(format!("Contents/XPCServices/{}.xpc", service.name));
    let parts = services.iter().map(|service| service_part(app, service, in_app(service), &inputs));
    Ok(BundlePlan {
        destination: given.destination(&format!("{}.app", app.name)),
        services: parts.collect::<Result<_, _>>()?,
        main: app_part(app, &inputs)?,
        targets: given.targets.triples.clone(),
        signing: signing(given.request, &given.targets.triples)?,
        warnings: services.iter().flat_map(|service| warnings(app.identifier.as_str(), service)).collect(),
    })
}

/// Decides everything about an app's services, each a bundle by itself, for another tool to put into the app.
///
/// # Errors
/// As for [`plan`].
pub fn plan_services(given: Given<'_>) -> Result<Vec<BundlePlan>, PlanError> {
    services_below(given, "")
}

/// Decides what is bundled for tests that reach an app's services: the app, or its services alone, in a folder like the app's, where
/// another tool has to make the app.
///
/// # Errors
/// As for [`plan`].
pub fn plan_for_tests(given: Given<'_>) -> Result<Vec<BundlePlan>, PlanError> {
    let (app, _) = select(given.config, &given.request.selection)?;
    if app.tauri.is_none() {
        return Ok(vec![plan(given)?]);
    }
    services_below(given, &format!("{}.app/Contents/XPCServices/", app.name))
}

fn services_below(given: Given<'_>, folder: &str) -> Result<Vec<BundlePlan>, PlanError> {
    let (app, services) = select(given.config, &given.request.selection)?;
    check_clashes(app, &services)?;
    let inputs = given.inputs(app, &services);
    let alone = |service: &&Service| {
        Ok(BundlePlan {
            destination: given.destination(&format!("{folder}{}.xpc", service.name)),
            main: service_part(app, service, Utf8PathBuf::new(), &inputs)?,
            services: Vec::new(),
            targets: given.targets.triples.clone(),
            signing: signing(given.request, &given.targets.triples)?,
            warnings: warnings(app.identifier.as_str(), service),
        })
    };
    if services.is_empty() {
        let text = format!("app `{}` lists no `services`, so there is nothing to make", app.program.bin);
        return Err(PlanError::Selection(text));
    }
    services.iter().map(alone).collect()
}

fn warnings(app: &str, service: &Service) -> Vec<String> {
    use crate::config::ServiceType;
    let mut warnings = Vec::new();
    if !service.identifier.is_below(app) {
        warnings.push(format!(
            "the identifier `{}` of service `{}` does not begin with the app's, `{}.`; the App Store asks for it",
            service.identifier, service.program.bin, app
        ));
    }
    if service.service_type != ServiceType::Application {
        warnings.push(warn_of_type(&service.program.bin, service.service_type.as_str()));
    }
    warnings
}

fn warn_of_type(service: &str, service_type: &str) -> String {
    format!(
        "service `{service}` is of type `{service_type}`, which macOS accepts from Apple's own software only; use `Application`"
    )
}

fn signing(request: &BundleRequest, targets: &[String]) -> Result<Signing, PlanError> {
    let macho = targets.iter().all(|target| is_macos(target));
    let development = !request.profile.is_optimized();
    let ad_hoc = || Signing::AdHoc { get_task_allow: development };
    match (&request.sign, macho) {
        (SignRequest::None, _) => Ok(Signing::None { why: "as asked for by --sign none".to_owned() }),
        (SignRequest::Default, true) => Ok(ad_hoc()),
        (SignRequest::Default, false) => {
            Ok(Signing::None { why: format!("programs for {} are not Mach-O", targets.join(", ")) })
        }
        (SignRequest::By(identity, timestamp), true) => Ok(match identity.signer() {
            None => ad_hoc(),
            Some(signer) => Signing::Certificate {
                certificate: Box::new(signer.summary()),
                get_task_allow: development && signer.team().is_none(),
                identity: identity.clone(),
                timestamp: timestamp.clone(),
            },
        }),
        (SignRequest::By(..), false) => Err(PlanError::Request(format!(
            "--sign: programs for {} are not Mach-O and cannot be signed; leave --sign out, or build for macOS with --target or --universal",
            targets.join(", ")
        ))),
    }
}

fn check_clashes(app: &App, services: &[&Service]) -> Result<(), PlanError> {
    let mut identifiers = BTreeMap::from([(&app.identifier, (app.program.place("app"), "app"))]);
    let mut names = BTreeMap::new();
    for service in services {
        let place = service.program.place("service");
        if let Some((other, _)) = identifiers.insert(&service.identifier, (place.clone(), "service")) {
            return Err(PlanError::Clash(format!(
                "the identifier `{}` is used twice: by {other} and by {place}; each bundle needs its own",
                service.identifier
            )));
        }
        // macOS file systems do not tell case apart.
        if let Some(other) = names.insert(service.name.as_str().to_lowercase(), place.clone()) {
            return Err(PlanError::Clash(format!(
                "two services would be `{}.xpc`: {other} and {place}; give one a `name` of its own",
                service.name
            )));
        }
    }
    Ok(())
}

fn app_part(app: &App, inputs: &commands::Inputs<'_>) -> Result<BundlePart, PlanError> {
    let place = app.program.place("app");
    let contents = Utf8PathBuf::from("Contents");
    let mut files = files::resources(&place, &app.program, &app.resources, &contents)?;
    files.extend(files::frameworks(&place, &app.frameworks, &contents)?);
    files.extend(app.icon.iter().map(|icon| CopyFile::into(icon, &contents.join("Resources"))));
    files.extend(files::profile(app.provisioning_profile.as_deref(), &contents));
    let entitlements = app.entitlements.as_ref().map(|(path, _)| path.clone());
    files.extend(files::entitlements(entitlements.as_deref(), &inputs.targets.triples, &contents));
    files::check_clashes(&place, &files)?;
    Ok(BundlePart {
        path: Utf8PathBuf::new(),
        identifier: app.identifier.clone(),
        minimum_system_version: app.minimum_system_version,
        info_plist: info_plist::app(app)?,
        entitlements,
        provisioning_profile: app.provisioning_profile.clone(),
        signing: app.signing.clone(),
        files,
        builds: commands::builds(&app.program, commands::Role::App, app.minimum_system_version, inputs)?,
        program: app.program.clone(),
    })
}

fn service_part(
    app: &App,
    service: &Service,
    path: Utf8PathBuf,
    inputs: &commands::Inputs<'_>,
) -> Result<BundlePart, PlanError> {
    let place = service.program.place("service");
    let contents = path.join("Contents");
    let mut files = files::resources(&place, &service.program, &service.resources, &contents)?;
    files.extend(files::frameworks(&place, &service.frameworks, &contents)?);
    files.extend(files::profile(service.provisioning_profile.as_deref(), &contents));
    let entitlements = service.entitlements.as_ref().map(|(path, _)| path.clone());
    files.extend(files::entitlements(entitlements.as_deref(), &inputs.targets.triples, &contents));
    files::check_clashes(&place, &files)?;
    let minimum = service.minimum_system_version.unwrap_or(app.minimum_system_version);
    let role = commands::Role::Service { own_frameworks: !service.frameworks.is_empty() };
    Ok(BundlePart {
        identifier: service.identifier.clone(),
        minimum_system_version: minimum,
        info_plist: info_plist::service(app, service)?,
        entitlements,
        provisioning_profile: service.provisioning_profile.clone(),
        signing: service.signing.clone(),
        files,
        builds: commands::builds(&service.program, role, minimum, inputs)?,
        program: service.program.clone(),
        path,
    })
}
