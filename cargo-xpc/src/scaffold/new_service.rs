//! The plan for a service in a workspace: two packages, and the manifests that have to know of them.

use camino::{Utf8Path, Utf8PathBuf};
use toml_edit::{Item, Value};

use super::made::Made;
use super::manifest::{Manifest, normal, relative};
use super::neighbours::{Neighbours, Owner, RUNTIME};
use super::plan::{Edit, NewFile, Request, ScaffoldPlan};
use super::render::{self, Rendered, Variables};
use super::template::{self, Kind};
use super::{PackageName, ScaffoldError, path_dependency, runtime_dependency};
use crate::config::BundleId;

/// Folders of a service template.
const SERVICE: &str = "service";
const INTERFACE: &str = "interface";

/// Where the two packages go.
struct Folders<'a> {
    service: &'a Utf8Path,
    interface: Utf8PathBuf,
}

pub(super) fn plan(
    request: &Request,
    folder: &Utf8Path,
    name: &PackageName,
    runtime: Option<&Utf8Path>,
    root: &Utf8Path,
) -> Result<ScaffoldPlan, ScaffoldError> {
    let neighbours = Neighbours::load(root)?;
    let owner = neighbours.owner(request.app.as_deref())?;
    let root = Manifest::new(root, fs_err::read_to_string(root)?)?;
    let mut notes = Vec::new();

    let identifier = match &request.identifier {
        Some(identifier) => identifier.clone(),
        None => {
            let above = owner.as_ref().map_or("com.example", |owner| owner.identifier.as_str());
            BundleId::new(format!("{above}.{}", name.as_identifier_part()))?
        }
    };
    let interface = name.with_suffix("interface")?;
    let folders = Folders { service: folder, interface: sibling(folder, "interface") };
    let runtime = runtime_of(&root, owner.as_ref(), runtime, &mut notes);

    let template = template::select(Kind::Service, request.template.as_deref(), request.template_dir.as_deref())?;
    let variables = Variables {
        name: name.to_string(),
        identifier: identifier.to_string(),
        app_name: None,
        app_identifier: None,
        service_name: name.to_string(),
        service_crate: name.as_crate(),
        service_identifier: identifier.to_string(),
        interface_name: interface.to_string(),
        interface_crate: interface.as_crate(),
        runtime_dependency: runtime.to_string(),
        interface_dependency: path_dependency(&relative(folder, &folders.interface)).to_string(),
    };
    let rendered = render::render(&template, &variables)?;
    let made = Made::read(&rendered)?;
    made.expect_service(&template, name)?;
    let has_interface = rendered.iter().any(|file| file.path.starts_with(INTERFACE));
    if has_interface {
        made.expect_interface(&template, &interface)?;
    }
    // The service first: its name is the one that was typed.
    neighbours.check_name(name)?;
    for package in &made.packages {
        neighbours.check_name(package)?;
    }
    for identifier in &made.identifiers {
        neighbours.check_identifier(identifier)?;
    }

    let files = rendered.into_iter().map(|file| place(file, &folders)).collect::<Result<_, _>>()?;
    let mut edits = Edits { root, app: None };
    edits.root.add_member(folder)?;
    if has_interface {
        edits.root.add_member(&folders.interface)?;
    }
    match &owner {
        Some(owner) => {
            let app = edits.app(&owner.manifest)?;
            app.add_service(&owner.bin, name.as_str(), owner.identifier.as_str())?;
            if has_interface {
                let from = owner.manifest.parent().unwrap_or(Utf8Path::new("/"));
                app.add_dependency(interface.as_str(), &path_dependency(&relative(from, &folders.interface)))?;
                if !owner.has_runtime {
                    app.add_dependency(RUNTIME, &runtime)?;
                }
            }
        }
        None => notes.push(format!(
            "no package of the workspace has [package.metadata.xpc.app.NAME], so no app holds the service yet{}",
            match neighbours.plain_bins().as_slice() {
                [] => String::new(),
                [(_, bin), ..] => format!("; `--app {bin}` would make the binary `{bin}` an app that does"),
            }
        )),
    }
    Ok(ScaffoldPlan {
        kind: Kind::Service,
        template: template.info.name,
        name: name.to_string(),
        identifier,
        folder: folder.to_owned(),
        app: owner.map(|owner| owner.bin),
        service: name.to_string(),
        interface: has_interface.then(|| interface.to_string()),
        files,
        edits: edits.finish(),
        notes,
    })
}

/// `<folder>-interface`: beside the service, whatever its name.
fn sibling(folder: &Utf8Path, suffix: &str) -> Utf8PathBuf {
    folder.with_file_name(format!("{}-{suffix}", folder.file_name().unwrap_or_default()))
}

/// Where the new packages take the runtime from: a workspace has one, or two versions would meet in the app.
fn runtime_of(root: &Manifest, owner: Option<&Owner>, asked: Option<&Utf8Path>, notes: &mut Vec<String>) -> Value {
    if root.at(&["workspace", "dependencies", RUNTIME]).is_some() {
        let given = root.at(&["workspace", "dependencies", RUNTIME, "path"]).and_then(Item::as_str);
        let folder = root.path().parent().unwrap_or(Utf8Path::new("/"));
        let given = given.map(|path| normal(&folder.join(path)));
        if asked.is_some_and(|asked| given.as_deref() != Some(asked)) {
            notes.push(format!(
                "xpc-runtime comes from [workspace.dependencies] in {}, not from --runtime-path",
                root.path()
            ));
        }
        return "{ workspace = true }".parse().unwrap_or_else(|_| runtime_dependency(asked));
    }
    runtime_dependency(owner.and_then(|owner| owner.runtime_path.as_deref()).or(asked))
}

/// From the template's folders to the workspace's.
fn place(file: Rendered, folders: &Folders<'_>) -> Result<NewFile, ScaffoldError> {
    let path = if let Ok(rest) = file.path.strip_prefix(SERVICE) {
        folders.service.join(rest)
    } else if let Ok(rest) = file.path.strip_prefix(INTERFACE) {
        folders.interface.join(rest)
    } else {
        let why = format!("it is in neither `{SERVICE}/` nor `{INTERFACE}/`, the folders of a service template");
        return Err(ScaffoldError::BadTemplate { file: file.label, why });
    };
    Ok(NewFile { path, content: file.content })
}

/// The manifests under edit; the workspace's own may be the app's too.
struct Edits {
    root: Manifest,
    app: Option<Manifest>,
}

impl Edits {
    fn app(&mut self, path: &Utf8Path) -> Result<&mut Manifest, ScaffoldError> {
        if self.root.path() == path {
            return Ok(&mut self.root);
        }
        let manifest = Manifest::new(path, fs_err::read_to_string(path)?)?;
        Ok(self.app.insert(manifest))
    }

    fn finish(self) -> Vec<Edit> {
        [Some(self.root), self.app].into_iter().flatten().filter_map(Manifest::finish).collect()
    }
}
