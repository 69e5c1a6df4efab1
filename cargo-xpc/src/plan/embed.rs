//! Services for an app that another tool made.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::select::find_services;
use super::{BundlePart, Given, PlanError, check_clashes, select, service_part, warn_of_type, warnings};
use crate::anatomy::{self, Anatomy, AnatomyError};
use crate::config::{Service, ServiceType};
use crate::macho::{CodeFlags, Content, MachFile, sniff};

/// What the services have to fit.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostApp {
    /// The bundle.
    pub bundle: Utf8PathBuf,
    /// `CFBundleIdentifier`.
    pub identifier: String,
    /// The targets of its executable: the services are built for the same. None: it is for the system that this machine runs.
    pub targets: Vec<String>,
    /// Whether its executable runs with the hardened runtime, which then every program in it has to.
    pub hardened: bool,
    /// `CFBundleShortVersionString` and `CFBundleVersion`, which services take over.
    #[serde(skip)]
    versions: Vec<(&'static str, String)>,
}

impl HostApp {
    /// Whether it can be signed.
    pub fn is_macho(&self) -> bool {
        !self.targets.is_empty()
    }
}

/// Looks at the app at `bundle`.
///
/// # Errors
/// Where it is no app, or its executable is nothing that services can be built to fit.
pub fn host(bundle: &Utf8Path) -> Result<HostApp, PlanError> {
    let wrong = |why: String| PlanError::Request(format!("`{bundle}` {why}"));
    if bundle.extension() != Some("app") {
        return Err(wrong("is no .app; services are embedded in apps".to_owned()));
    }
    let root = anatomy::open(bundle)?;
    let anatomy = Anatomy::read(&root, "".into())?;
    if !anatomy.has_contents() {
        return Err(wrong("has no `Contents`: it is no app for macOS".to_owned()));
    }
    let identifier = anatomy.identifier().ok_or_else(|| wrong("has no CFBundleIdentifier".to_owned()))?.to_owned();
    let executable = anatomy.executable().ok_or_else(|| wrong("names no executable".to_owned()))?;
    if !root.is_file(&executable).map_err(AnatomyError::from)? {
        return Err(wrong(format!("has no file `{executable}`, which its Info.plist names as CFBundleExecutable")));
    }
    let bytes = root.read(&executable).map_err(AnatomyError::from)?;
    let (targets, hardened) = match sniff(&bytes) {
        Content::Elf(_) => (Vec::new(), false),
        _ => {
            let file = MachFile::parse(&bytes)
                .map_err(|e| PlanError::Request(format!("`{}`: {e}", root.shown(&executable))))?;
            let mut hardened = false;
            let mut targets = Vec::new();
            for slice in &file.slices {
                targets.push(match slice.arch.to_string().as_str() {
                    "arm64" => "aarch64-apple-darwin".to_owned(),
                    "x86_64" => "x86_64-apple-darwin".to_owned(),
                    other => return Err(wrong(format!("has code for {other}, which services cannot be built for"))),
                });
                // A signature that cannot be read is replaced anyway.
                if let Ok(Some(signature)) = slice.read_signature(&bytes) {
                    hardened |= signature.best_directory().flags.contains(CodeFlags::RUNTIME);
                }
            }
            (targets, hardened)
        }
    };
    let version = |key: &'static str| anatomy.string(key).map(|text| (key, text.to_owned()));
    let versions = ["CFBundleShortVersionString", "CFBundleVersion"].into_iter().filter_map(version).collect();
    Ok(HostApp { bundle: bundle.to_owned(), identifier, targets, hardened, versions })
}

/// The services that are built for an app, and what the user should know of them.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// What goes in.
    pub services: Vec<BundlePart>,
    /// One line each.
    pub warnings: Vec<String>,
}

/// Decides about the services that go into `host`: those named, or all of the app's list.
///
/// # Errors
/// As for [`plan`](super::plan).
pub fn plan_embedded(given: Given<'_>, names: &[String], host: &HostApp) -> Result<Embedded, PlanError> {
    let (app, mut services) = select(given.config, &given.request.selection)?;
    if !names.is_empty() {
        services = find_services(given.config, names, "the command line names")?;
    }
    if services.is_empty() {
        return Err(PlanError::Selection(format!(
            "app `{}` lists no `services`; name those to embed",
            app.program.bin
        )));
    }
    check_clashes(app, &services)?;
    let inputs = given.inputs(app, &services);
    let part = |service: &&Service| {
        if service.identifier.as_str() == host.identifier {
            return Err(PlanError::Clash(format!(
                "service `{}` has the identifier of the app, `{}`; each bundle needs its own",
                service.program.bin, host.identifier
            )));
        }
        let path = Utf8PathBuf::from(format!("Contents/XPCServices/{}.xpc", service.name));
        let mut part = service_part(app, service, path, &inputs)?;
        for (key, version) in &host.versions {
            part.info_plist.insert((*key).to_owned(), version.clone().into());
        }
        Ok(part)
    };
    Ok(Embedded {
        services: services.iter().map(part).collect::<Result<_, _>>()?,
        warnings: services.iter().flat_map(|service| warnings(&host.identifier, service)).collect(),
    })
}

/// What the user should know of a service that was made before, at `path`.
///
/// # Errors
/// Where its Info.plist cannot be read.
pub fn warnings_of_made(path: &Utf8Path, host: &HostApp) -> Result<Vec<String>, PlanError> {
    let anatomy = anatomy::open(path).and_then(|root| Anatomy::read(&root, "".into()))?;
    let name = path.file_name().unwrap_or(path.as_str());
    let mut warnings = Vec::new();
    let identifier = anatomy.identifier().unwrap_or_default();
    if !identifier.strip_prefix(&host.identifier).is_some_and(|rest| rest.starts_with('.')) {
        warnings.push(format!(
            "the identifier `{identifier}` of service `{name}` does not begin with the app's, `{}.`; the App Store asks for it",
            host.identifier
        ));
    }
    let xpc = anatomy.info.get("XPCService").and_then(plist::Value::as_dictionary);
    let service_type = xpc.and_then(|xpc| xpc.get("ServiceType")?.as_string());
    if let Some(service_type) = service_type.filter(|text| *text != ServiceType::Application.as_str()) {
        warnings.push(warn_of_type(name, service_type));
    }
    Ok(warnings)
}
