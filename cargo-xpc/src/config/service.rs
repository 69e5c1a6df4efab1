//! `[package.metadata.xpc.service.NAME]`.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::Serialize;

use super::names::BundleName;
use super::table::{Table, nearest};
use super::{
    BundleId, CodeSigning, ConfigError, Program, SystemVersion, existing_file, identifier, plist_file, signing,
};

/// `ServiceType` of the `XPCService` dictionary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum ServiceType {
    /// One instance for each running app.
    #[default]
    Application,
    /// One instance for each user. Only in old documents: no longer usable outside macOS since 10.12.
    User,
    /// One instance, running as root. Only for Apple's own frameworks.
    System,
}

impl ServiceType {
    /// The plist's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Application => "Application",
            Self::User => "User",
            Self::System => "System",
        }
    }
}

/// `RunLoopType` of the `XPCService` dictionary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum RunLoopType {
    /// `dispatch_main(3)`.
    #[default]
    #[serde(rename = "dispatch_main")]
    DispatchMain,
    /// Foundation's run loop, for services that use AppKit, timers or run-loop sources.
    #[serde(rename = "NSRunLoop")]
    NsRunLoop,
}

impl RunLoopType {
    /// The plist's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DispatchMain => "dispatch_main",
            Self::NsRunLoop => "NSRunLoop",
        }
    }
}

/// An XPC service as its package describes it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Service {
    /// What to build.
    #[serde(flatten)]
    pub program: Program,
    /// `CFBundleIdentifier`, the name that clients connect to.
    pub identifier: BundleId,
    /// `<name>.xpc`, `CFBundleName`, `CFBundleDisplayName`.
    pub name: BundleName,
    /// `ServiceType`.
    pub service_type: ServiceType,
    /// `RunLoopType`.
    pub run_loop_type: RunLoopType,
    /// `JoinExistingSession`.
    pub join_existing_session: bool,
    /// `EnvironmentVariables`.
    pub environment: BTreeMap<String, String>,
    /// The entitlements file and what it holds; empty without one.
    #[serde(skip)]
    pub entitlements: Option<(Utf8PathBuf, plist::Dictionary)>,
    /// `embedded.provisionprofile`.
    pub provisioning_profile: Option<Utf8PathBuf>,
    /// The rest of how it is signed.
    #[serde(flatten)]
    pub signing: CodeSigning,
    /// `LSMinimumSystemVersion`; the app's where it is not given.
    pub minimum_system_version: Option<SystemVersion>,
    /// Glob patterns, relative to the package.
    pub resources: Vec<String>,
    /// Folders or dylibs for its own `Contents/Frameworks`, relative to the package.
    pub frameworks: Vec<Utf8PathBuf>,
    /// More keys for the Info.plist.
    #[serde(skip)]
    pub info_plist: Option<(Utf8PathBuf, plist::Dictionary)>,
}

pub(super) fn read(
    program: Program,
    table: Table<'_>,
    interfaces: &BTreeMap<String, BundleId>,
) -> Result<Service, ConfigError> {
    let place = table.place.clone();
    let folder = program.folder().to_owned();
    let service = Service {
        identifier: service_identifier(&table, interfaces)?,
        name: table.parsed("name", BundleName::parse)?.unwrap_or_else(|| BundleName::of_bin(&program.bin)),
        service_type: table.parsed("service-type", parse_service_type)?.unwrap_or_default(),
        run_loop_type: table.parsed("run-loop-type", parse_run_loop_type)?.unwrap_or_default(),
        join_existing_session: table.bool("join-existing-session")?.unwrap_or(false),
        environment: environment(&table)?,
        entitlements: table.path("entitlements")?.map(|p| plist_file(&place, "entitlements", p)).transpose()?,
        provisioning_profile: table
            .path("provisioning-profile")?
            .map(|p| existing_file(&place, "provisioning-profile", p))
            .transpose()?,
        signing: signing::read(&table)?,
        minimum_system_version: table.parsed("minimum-system-version", SystemVersion::parse)?,
        resources: table.strings("resources")?,
        frameworks: table.strings("frameworks")?.into_iter().map(|path| folder.join(path)).collect(),
        info_plist: table.path("info-plist")?.map(|p| plist_file(&place, "info-plist", p)).transpose()?,
        program,
    };
    table.finish()?;
    if service.join_existing_session && service.service_type != ServiceType::Application {
        return Err(place.wrong("join-existing-session", "only a service of type `Application` can join a session"));
    }
    Ok(service)
}

fn service_identifier(table: &Table<'_>, interfaces: &BTreeMap<String, BundleId>) -> Result<BundleId, ConfigError> {
    let own = identifier(table)?;
    match (table.string("interface")?, own) {
        (None, Some(identifier)) => Ok(identifier),
        (Some(_), Some(_)) => {
            Err(table.place.wrong("identifier", "stands in the interface package already; give one of the two"))
        }
        (Some(package), None) => interfaces.get(package).cloned().ok_or_else(|| {
            let known = interfaces.keys().map(String::as_str);
            let why = format!(
                "no package `{package}` of this workspace has [package.metadata.xpc.interface]{}",
                nearest(package, known)
            );
            table.place.wrong("interface", why)
        }),
        (None, None) => Err(table
            .missing("interface", "the package that holds the service's name; or `identifier`, where there is none")),
    }
}

fn parse_service_type(text: &str) -> Result<ServiceType, String> {
    match text {
        "Application" => Ok(ServiceType::Application),
        "User" => Ok(ServiceType::User),
        "System" => Ok(ServiceType::System),
        _ => Err(format!("`{text}` is not a service type{}", nearest(text, ["Application", "User", "System"]))),
    }
}

fn parse_run_loop_type(text: &str) -> Result<RunLoopType, String> {
    match text {
        "dispatch_main" => Ok(RunLoopType::DispatchMain),
        "NSRunLoop" => Ok(RunLoopType::NsRunLoop),
        _ => Err(format!("`{text}` is not a run-loop type{}", nearest(text, ["dispatch_main", "NSRunLoop"]))),
    }
}

fn environment(table: &Table<'_>) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut variables = BTreeMap::new();
    for (name, value) in table.string_table("environment")? {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let why = "a name is not empty and has no `=`, and neither name nor value has a NUL";
            return Err(table.place.wrong(&format!("environment.{name}"), why));
        }
        variables.insert(name, value);
    }
    Ok(variables)
}
