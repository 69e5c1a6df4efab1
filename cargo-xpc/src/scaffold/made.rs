//! What a template made, read back: a template of the user's may say anything, and its mistakes should not surface in cargo.

use toml_edit::{DocumentMut, Item};

use super::manifest::at;
use super::render::Rendered;
use super::template::Template;
use super::{Content, PackageName, ScaffoldError};
use crate::config::BundleId;

/// The rendered `Cargo.toml`s, and what they name.
pub(super) struct Made<'a> {
    manifests: Vec<(&'a Rendered, DocumentMut)>,
    pub packages: Vec<PackageName>,
    pub identifiers: Vec<BundleId>,
}

impl<'a> Made<'a> {
    /// Reads every rendered manifest; names and identifiers have to be legal and different from each other.
    pub fn read(rendered: &'a [Rendered]) -> Result<Self, ScaffoldError> {
        let mut made = Self { manifests: Vec::new(), packages: Vec::new(), identifiers: Vec::new() };
        for file in rendered.iter().filter(|file| file.path.file_name() == Some("Cargo.toml")) {
            let Content::Text(text) = &file.content else { return Err(bad(file, "it is not text")) };
            let document: DocumentMut =
                text.parse().map_err(|error: toml_edit::TomlError| bad(file, error.to_string().trim_end()))?;
            if let Some(name) = at(document.as_item(), &["package", "name"]) {
                let name = PackageName::new(name.as_str().unwrap_or_default()).map_err(|error| bad(file, error))?;
                add(&mut made.packages, name, |name| name.as_crate())
                    .map_err(|name| bad(file, format_args!("a second package is called `{name}`")))?;
            }
            for identifier in identifiers(&document) {
                let identifier = BundleId::new(identifier).map_err(|error| bad(file, error))?;
                add(&mut made.identifiers, identifier, |id| id.as_str().to_ascii_lowercase())
                    .map_err(|id| bad(file, format_args!("the identifier `{id}` is used twice")))?;
            }
            made.manifests.push((file, document));
        }
        Ok(made)
    }

    /// A workspace template makes a workspace.
    pub fn expect_workspace(&self, template: &Template) -> Result<(), ScaffoldError> {
        let is_root = |(file, document): &&(&Rendered, DocumentMut)| {
            file.path == "Cargo.toml" && document.contains_key("workspace")
        };
        if self.manifests.iter().any(|manifest| is_root(&manifest)) {
            return Ok(());
        }
        let why = "a template of kind \"workspace\" needs a Cargo.toml.hbs with [workspace] beside it".to_owned();
        Err(ScaffoldError::BadTemplate { file: template.manifest_label(), why })
    }

    /// The service's package describes the service under the name that the app's list will say.
    pub fn expect_service(&self, template: &Template, service: &PackageName) -> Result<(), ScaffoldError> {
        let keys = ["package", "metadata", "xpc", "service", service.as_str()];
        self.expect(template, "service", |document| at(document.as_item(), &keys).is_some(), || {
            format!("it must have [package.metadata.xpc.service.{service}], the name that was asked for: write {{{{service_name}}}}")
        })
    }

    /// The interface's package has the name that the app's dependency will say.
    pub fn expect_interface(&self, template: &Template, interface: &PackageName) -> Result<(), ScaffoldError> {
        let name = |document: &DocumentMut| {
            at(document.as_item(), &["package", "name"]).and_then(Item::as_str) == Some(interface.as_str())
        };
        self.expect(template, "interface", name, || {
            format!("the package's name must be `{interface}`: write {{{{interface_name}}}}")
        })
    }

    fn expect(
        &self,
        template: &Template,
        folder: &str,
        holds: impl Fn(&DocumentMut) -> bool,
        why: impl Fn() -> String,
    ) -> Result<(), ScaffoldError> {
        let manifest = format!("{folder}/Cargo.toml");
        match self.manifests.iter().find(|(file, _)| file.path == manifest.as_str()) {
            Some((_, document)) if holds(document) => Ok(()),
            Some((file, _)) => Err(bad(file, why())),
            None => {
                let why = format!("the template needs `{manifest}.hbs` beside it");
                Err(ScaffoldError::BadTemplate { file: template.manifest_label(), why })
            }
        }
    }
}

/// Every identifier that a manifest gives to an app, a service or an interface.
fn identifiers(document: &DocumentMut) -> Vec<String> {
    let Some(xpc) = at(document.as_item(), &["package", "metadata", "xpc"]) else { return Vec::new() };
    let below = |key| at(xpc, &[key]).and_then(Item::as_table_like).into_iter().flat_map(|table| table.iter());
    let tables = below("app").chain(below("service")).map(|(_, table)| table).chain(at(xpc, &["interface"]));
    tables.filter_map(|table| at(table, &["identifier"])?.as_str().map(str::to_owned)).collect()
}

/// Adds `new` unless something with the same key is there.
fn add<T>(list: &mut Vec<T>, new: T, key: impl Fn(&T) -> String) -> Result<(), T> {
    if list.iter().any(|old| key(old) == key(&new)) {
        return Err(new);
    }
    list.push(new);
    Ok(())
}

fn bad(file: &Rendered, why: impl std::fmt::Display) -> ScaffoldError {
    ScaffoldError::BadTemplate { file: file.label.clone(), why: why.to_string() }
}
