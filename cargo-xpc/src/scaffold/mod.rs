//! `cargo xpc new`: a workspace, or a service in one.
//!
//! [`plan()`] decides every file and every edit and checks them all, and touches nothing; [`apply()`] writes the plan, all of it or nothing.

use camino::{Utf8Path, Utf8PathBuf};
use toml_edit::{InlineTable, Item, Value};

mod apply;
mod error;
mod made;
mod manifest;
mod names;
mod neighbours;
mod new_service;
mod new_workspace;
mod place;
mod plan;
mod render;
mod template;

pub use apply::apply;
pub use error::ScaffoldError;
pub use names::{PackageName, PackageNameError};
pub use plan::{Content, Edit, NewFile, Request, ScaffoldPlan};
pub use template::{Kind, Origin, TemplateInfo, list as list_templates};

use neighbours::RUNTIME;

/// Decides what `request` comes to. Nothing is written.
///
/// # Errors
/// Every name, identifier, file or manifest that stands in the way: see [`ScaffoldError`].
pub fn plan(request: &Request) -> Result<ScaffoldPlan, ScaffoldError> {
    let folder = place::resolve(&request.path)?;
    let name = PackageName::new(wanted_name(request, &folder))?;
    let runtime = request.runtime_path.as_deref().map(runtime_folder).transpose()?;
    let workspace = place::workspace_of(&folder)?;
    let plan = match &workspace {
        Some(root) => new_service::plan(request, &folder, &name, runtime.as_deref(), root)?,
        None => new_workspace::plan(request, &folder, &name, runtime.as_deref())?,
    };
    plan::check_files(&plan.files)?;
    for edit in &plan.edits {
        plan::check_writable(&edit.path)?;
    }
    Ok(plan)
}

/// `--name`, or the last part of the path as it was typed; behind `.` and `..`, of the real path.
fn wanted_name<'a>(request: &'a Request, folder: &'a Utf8Path) -> &'a str {
    let typed = || request.path.file_name().filter(|_| !request.path.as_str().ends_with('.'));
    request.name.as_deref().or_else(typed).or_else(|| folder.file_name()).unwrap_or_default()
}

/// The real path of a checkout of the runtime.
fn runtime_folder(path: &Utf8Path) -> Result<Utf8PathBuf, ScaffoldError> {
    let wrong = |why: String| ScaffoldError::RuntimePath { path: path.to_owned(), why };
    let real = path.canonicalize_utf8().map_err(|error| wrong(format!("cannot be opened ({error})")))?;
    let manifest = real.join("Cargo.toml");
    let text = fs_err::read_to_string(&manifest).map_err(|_| wrong("has no Cargo.toml".to_owned()))?;
    let document = manifest::parse(&manifest, &text)?;
    match manifest::at(document.as_item(), &["package", "name"]).and_then(Item::as_str) {
        Some(RUNTIME) => Ok(real),
        Some(other) => Err(wrong(format!("holds the package `{other}`"))),
        None => Err(wrong("holds no package".to_owned())),
    }
}

/// What stands behind `xpc-runtime =`: the checkout, or the release that came out with this tool.
fn runtime_dependency(path: Option<&Utf8Path>) -> Value {
    path.map_or_else(|| Value::from(env!("CARGO_PKG_VERSION")), path_dependency)
}

/// `{ path = "…" }`.
fn path_dependency(path: &Utf8Path) -> Value {
    let mut table = InlineTable::new();
    table.insert("path", path.as_str().into());
    Value::InlineTable(table)
}
