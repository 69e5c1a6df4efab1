//! What the workspace holds already: the scaffold must fit in.

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{Metadata, Package};

use super::ScaffoldError;
use super::names::{PackageName, crate_name};
use crate::config::{self, BundleId, Config};
use crate::workspace::{self, Lookup};

/// The packages of a workspace and what they say of apps and services.
#[derive(Debug)]
pub(super) struct Neighbours {
    metadata: Metadata,
    config: Config,
}

/// The app that will own the service.
#[derive(Debug)]
pub(super) struct Owner {
    /// The binary.
    pub bin: String,
    /// Its package's manifest.
    pub manifest: Utf8PathBuf,
    pub identifier: BundleId,
    /// Where the package's `xpc-runtime` comes from, if it depends on it by path.
    pub runtime_path: Option<Utf8PathBuf>,
    pub has_runtime: bool,
}

impl Neighbours {
    pub fn load(root_manifest: &Utf8Path) -> Result<Self, ScaffoldError> {
        let lookup = Lookup { manifest: Some(root_manifest.to_owned()), ..Lookup::default() };
        let folder = root_manifest.parent().unwrap_or(Utf8Path::new("/"));
        let metadata = workspace::load(folder, &lookup)?;
        let config = config::read(&metadata)?;
        Ok(Self { metadata, config })
    }

    /// Refuses a name that a package or binary has, or that `rustc` reads as the same.
    pub fn check_name(&self, name: &PackageName) -> Result<(), ScaffoldError> {
        let same = |other: &str| crate_name(other).eq_ignore_ascii_case(&name.as_crate());
        for package in self.metadata.workspace_packages() {
            let bins = package.targets.iter().filter(|target| target.is_bin()).map(|target| target.name.as_str());
            if let Some(existing) = std::iter::once(package.name.as_str()).chain(bins).find(|other| same(other)) {
                return Err(ScaffoldError::PackageExists {
                    name: name.to_string(),
                    existing: existing.to_owned(),
                    manifest: package.manifest_path.clone(),
                });
            }
        }
        Ok(())
    }

    /// Refuses an identifier that an app, a service or an interface has. macOS compares them without regard to case.
    pub fn check_identifier(&self, identifier: &BundleId) -> Result<(), ScaffoldError> {
        let interface = |package: &&Package| {
            let id = package.metadata.pointer("/xpc/interface/identifier").and_then(|id| id.as_str());
            id.map(|id| (id.to_owned(), package.manifest_path.clone()))
        };
        let apps = self.config.apps.iter().map(|app| (app.identifier.to_string(), app.program.manifest.clone()));
        let services = self.config.services.iter().map(|s| (s.identifier.to_string(), s.program.manifest.clone()));
        let packages = self.metadata.workspace_packages();
        let clash = packages
            .iter()
            .filter_map(interface)
            .chain(apps)
            .chain(services)
            .find(|(other, _)| other.eq_ignore_ascii_case(identifier.as_str()));
        match clash {
            None => Ok(()),
            Some((_, manifest)) => Err(ScaffoldError::IdentifierExists { identifier: identifier.clone(), manifest }),
        }
    }

    /// The app that `--app` names, or the only one; a binary that is neither app nor service becomes an app when it is named.
    pub fn owner(&self, wanted: Option<&str>) -> Result<Option<Owner>, ScaffoldError> {
        let apps = &self.config.apps;
        let Some(wanted) = wanted else {
            return match apps.as_slice() {
                [] => Ok(None),
                [app] => self.owner_of(&app.program.bin, &app.program.manifest, app.identifier.clone()).map(Some),
                _ => Err(ScaffoldError::WhichApp { apps: self.app_names() }),
            };
        };
        let is_wanted = |package: &str, bin: &str| wanted == bin || wanted == format!("{package}/{bin}");
        let mut found = apps.iter().filter(|app| is_wanted(&app.program.package, &app.program.bin));
        match (found.next(), found.next()) {
            (Some(app), None) => {
                return self.owner_of(&app.program.bin, &app.program.manifest, app.identifier.clone()).map(Some);
            }
            (Some(_), Some(_)) => return Err(ScaffoldError::WhichApp { apps: self.app_names() }),
            (None, _) => {}
        }
        let bins = self.plain_bins();
        let mut found = bins.iter().filter(|(package, bin)| is_wanted(package.name.as_str(), bin));
        match (found.next(), found.next()) {
            (Some((package, bin)), None) => {
                let identifier =
                    identifier_elsewhere(package).unwrap_or_else(|| format!("com.example.{}", bin.replace('_', "-")));
                self.owner_of(bin, &package.manifest_path, BundleId::new(identifier)?).map(Some)
            }
            _ => Err(ScaffoldError::NoSuchApp {
                app: wanted.to_owned(),
                apps: self.app_names(),
                bins: listed(bins.iter().map(|(package, bin)| format!("{}/{bin}", package.name))),
            }),
        }
    }

    /// Binaries that `--app` could make an app of.
    pub fn plain_bins(&self) -> Vec<(&Package, &str)> {
        let config = &self.config;
        let known = |package: &Package, bin: &str| {
            let is = |program: &config::Program| program.bin == bin && program.manifest == package.manifest_path;
            config.apps.iter().any(|app| is(&app.program)) || config.services.iter().any(|s| is(&s.program))
        };
        let packages = self.metadata.workspace_packages();
        packages
            .into_iter()
            .flat_map(|package| package.targets.iter().filter(|t| t.is_bin()).map(move |t| (package, t.name.as_str())))
            .filter(|(package, bin)| !known(package, bin))
            .collect()
    }

    fn app_names(&self) -> String {
        let apps = &self.config.apps;
        let is_unique = |bin: &str| apps.iter().filter(|app| app.program.bin == bin).count() == 1;
        listed(apps.iter().map(|config::App { program, .. }| match is_unique(&program.bin) {
            true => program.bin.clone(),
            false => format!("{}/{}", program.package, program.bin),
        }))
    }

    fn owner_of(&self, bin: &str, manifest: &Utf8Path, identifier: BundleId) -> Result<Owner, ScaffoldError> {
        let packages = self.metadata.workspace_packages();
        let package = packages.into_iter().find(|package| package.manifest_path == manifest);
        let runtime = package.and_then(|p| p.dependencies.iter().find(|d| d.name == RUNTIME));
        Ok(Owner {
            bin: bin.to_owned(),
            manifest: manifest.to_owned(),
            identifier,
            runtime_path: runtime.and_then(|dependency| dependency.path.clone()),
            has_runtime: runtime.is_some(),
        })
    }
}

/// The crate that apps and services are written with.
pub(super) const RUNTIME: &str = "xpc-runtime";

/// An app that another tool bundles has its identifier in that tool's table.
fn identifier_elsewhere(package: &Package) -> Option<String> {
    ["/bundle/identifier", "/packager/identifier"]
        .iter()
        .find_map(|pointer| package.metadata.pointer(pointer)?.as_str().map(str::to_owned))
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
