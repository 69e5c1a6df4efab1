//! `[package.metadata.xpc…]` → checked types. What is checked here is not checked again further in.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{Metadata, Package};
use serde::Serialize;

mod app;
mod foreign;
mod names;
mod service;
mod signing;
pub(crate) mod table;
mod versions;

pub use app::App;
pub use names::{BundleId, BundleIdError, BundleName};
pub use service::{RunLoopType, Service, ServiceType};
pub use signing::CodeSigning;
pub use table::Place;
pub use versions::{BuildNumber, SystemVersion};

use crate::exit::{Coded, Exit};
use crate::property_list;
use table::{Table, nearest};

/// What is wrong in a manifest, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A key that nobody asked for.
    #[error("unknown key `{key}` of {place}{hint}")]
    UnknownKey {
        /// The table.
        place: Place,
        /// The key.
        key: String,
        /// The nearest known one.
        hint: String,
    },
    /// Something else where a table should be.
    #[error("{place} must be a table, not {found}")]
    NotATable {
        /// The table.
        place: Place,
        /// What stands there.
        found: &'static str,
    },
    /// A value that breaks its rule.
    #[error("`{key}` of {place}: {why}")]
    Value {
        /// The table.
        place: Place,
        /// The key.
        key: String,
        /// The rule.
        why: String,
    },
    /// A key that has to be there.
    #[error("{place} needs `{key}`: {why}")]
    Missing {
        /// The table.
        place: Place,
        /// The key.
        key: &'static str,
        /// What it is for.
        why: &'static str,
    },
    /// A table for a program that the package does not have.
    #[error("{place} describes a program named `{bin}`, but package `{package}` has no such binary{hint}")]
    NoSuchBinary {
        /// The table.
        place: Place,
        /// The name.
        bin: String,
        /// The package.
        package: String,
        /// The nearest one.
        hint: String,
    },
    /// Another tool's file that cannot be read.
    #[error("cannot read `{path}`: {why}")]
    Foreign {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file that a key names and that is not there or not what it should be.
    #[error("`{key}` of {place}: `{path}` {why}")]
    File {
        /// The table.
        place: Place,
        /// The key.
        key: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Coded for ConfigError {
    fn exit_code(&self) -> Exit {
        Exit::Usage
    }
}

/// All that a workspace says of apps and services.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Config {
    /// In the order of packages, then names.
    pub apps: Vec<App>,
    /// In the order of packages, then names.
    pub services: Vec<Service>,
}

/// A program of a package: what cargo is asked to build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Program {
    /// The package's name.
    pub package: String,
    /// The package's version.
    pub version: semver::Version,
    /// The binary's name.
    pub bin: String,
    /// The package's manifest.
    pub manifest: Utf8PathBuf,
}

impl Program {
    /// The folder that the configuration's paths are relative to.
    pub fn folder(&self) -> &Utf8Path {
        self.manifest.parent().unwrap_or(Utf8Path::new("/"))
    }

    /// The table that describes it, for messages.
    pub(crate) fn place(&self, role: &str) -> Place {
        Place::new(&self.manifest, format!("package.metadata.xpc.{role}.{}", self.bin))
    }
}

/// Reads every workspace member's tables.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn read(metadata: &Metadata) -> Result<Config, ConfigError> {
    let packages = metadata.workspace_packages();
    let mut interfaces = BTreeMap::new();
    for package in &packages {
        if let Some(identifier) = read_interface(package)? {
            interfaces.insert(package.name.to_string(), identifier);
        }
    }
    let mut config = Config::default();
    for package in &packages {
        let Some(table) = xpc_table(package)? else { continue };
        for (bin, table) in table.tables("service")? {
            let program = program(package, &bin, &table.place)?;
            config.services.push(service::read(program, table, &interfaces)?);
        }
        for (bin, table) in table.tables("app")? {
            let program = program(package, &bin, &table.place)?;
            config.apps.push(app::read(program, table, &package.metadata)?);
        }
        // Read above; here it is only known.
        table.table("interface")?;
        table.finish()?;
    }
    Ok(config)
}

fn xpc_table(package: &Package) -> Result<Option<Table<'_>>, ConfigError> {
    match package.metadata.get("xpc") {
        None => Ok(None),
        Some(value) => Table::new(value, Place::new(&package.manifest_path, "package.metadata.xpc")).map(Some),
    }
}

fn read_interface(package: &Package) -> Result<Option<BundleId>, ConfigError> {
    let Some(table) = xpc_table(package)?.map(|xpc| xpc.table("interface")).transpose()?.flatten() else {
        return Ok(None);
    };
    let identifier = identifier(&table)?.ok_or_else(|| {
        table.missing("identifier", "the name that clients connect to, such as \"com.example.demo.greeter\"")
    })?;
    table.finish()?;
    Ok(Some(identifier))
}

fn identifier(table: &Table<'_>) -> Result<Option<BundleId>, ConfigError> {
    table.parsed("identifier", |text| BundleId::new(text).map_err(|e| e.to_string()))
}

fn program(package: &Package, bin: &str, place: &Place) -> Result<Program, ConfigError> {
    let bins: Vec<&str> = package.targets.iter().filter(|t| t.is_bin()).map(|t| t.name.as_str()).collect();
    if !bins.contains(&bin) {
        return Err(ConfigError::NoSuchBinary {
            place: place.clone(),
            bin: bin.to_owned(),
            package: package.name.to_string(),
            hint: nearest(bin, bins),
        });
    }
    Ok(Program {
        package: package.name.to_string(),
        version: package.version.clone(),
        bin: bin.to_owned(),
        manifest: package.manifest_path.clone(),
    })
}

/// A plist file that holds a dictionary.
pub(crate) fn plist_file(
    place: &Place,
    key: &'static str,
    path: Utf8PathBuf,
) -> Result<(Utf8PathBuf, plist::Dictionary), ConfigError> {
    let wrong = |why: String| ConfigError::File { place: place.clone(), key, path: path.clone(), why };
    let bytes = fs_err::read(&path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            wrong("does not exist; the path is relative to the package's folder".to_owned())
        }
        _ => wrong(format!("cannot be read: {e}")),
    })?;
    match property_list::read(&bytes) {
        Ok(dictionary) => Ok((path, dictionary)),
        Err(why) => Err(wrong(format!("is not a property list that holds a dictionary ({why})"))),
    }
}

/// A file that has to be there.
pub(crate) fn existing_file(place: &Place, key: &'static str, path: Utf8PathBuf) -> Result<Utf8PathBuf, ConfigError> {
    if path.is_file() {
        return Ok(path);
    }
    let why = "is not there; the path is relative to the package's folder".to_owned();
    Err(ConfigError::File { place: place.clone(), key, path, why })
}
