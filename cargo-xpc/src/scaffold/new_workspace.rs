//! The plan for a workspace: an app, its service, and the interface they share.

use camino::Utf8Path;

use super::made::Made;
use super::plan::{NewFile, Request, ScaffoldPlan};
use super::render::{self, Variables};
use super::template::{self, Kind};
use super::{PackageName, ScaffoldError, path_dependency, runtime_dependency};
use crate::config::BundleId;

pub(super) fn plan(
    request: &Request,
    folder: &Utf8Path,
    name: &PackageName,
    runtime: Option<&Utf8Path>,
) -> Result<ScaffoldPlan, ScaffoldError> {
    if request.app.is_some() {
        return Err(ScaffoldError::AppOutsideWorkspace { path: folder.to_owned() });
    }
    let app_identifier = match &request.identifier {
        Some(identifier) => identifier.clone(),
        None => BundleId::new(format!("com.example.{}", name.as_identifier_part()))?,
    };
    let service = name.with_suffix("service")?;
    let interface = name.with_suffix("interface")?;
    let service_identifier = BundleId::new(format!("{app_identifier}.service"))?;

    let template = template::select(Kind::Workspace, request.template.as_deref(), request.template_dir.as_deref())?;
    let variables = Variables {
        name: name.to_string(),
        identifier: app_identifier.to_string(),
        app_name: Some(name.to_string()),
        app_identifier: Some(app_identifier.to_string()),
        service_name: service.to_string(),
        service_crate: service.as_crate(),
        service_identifier: service_identifier.to_string(),
        interface_name: interface.to_string(),
        interface_crate: interface.as_crate(),
        runtime_dependency: runtime_dependency(runtime).to_string(),
        interface_dependency: path_dependency(Utf8Path::new("../interface")).to_string(),
    };
    let rendered = render::render(&template, &variables)?;
    let made = Made::read(&rendered)?;
    made.expect_workspace(&template)?;
    let has_interface = made.packages.contains(&interface);
    let files = rendered.into_iter().map(|file| NewFile { path: folder.join(file.path), content: file.content });
    Ok(ScaffoldPlan {
        kind: Kind::Workspace,
        template: template.info.name,
        name: name.to_string(),
        identifier: app_identifier,
        folder: folder.to_owned(),
        app: Some(name.to_string()),
        service: service.to_string(),
        interface: has_interface.then(|| interface.to_string()),
        files: files.collect(),
        edits: Vec::new(),
        notes: Vec::new(),
    })
}
