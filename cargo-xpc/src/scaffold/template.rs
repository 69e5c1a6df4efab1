//! Templates: where they come from, and which one is meant.
//!
//! A template is a folder with a `template.toml` and files. Those that end in `.hbs` are rendered and lose the ending; others are copied.
//! Both kinds of template, and what each may hold, are described in `templates/README.md`.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::ScaffoldError;

/// The manifest that makes a folder a template.
const MANIFEST: &str = "template.toml";

/// The template that is used when none is named.
const DEFAULT: &str = "default";

/// What a template makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A workspace with an app and its services.
    Workspace,
    /// A service in an existing workspace, and its interface.
    Service,
}

impl Kind {
    /// The word used in manifests and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Service => "service",
        }
    }
}

/// Where a template stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// In this program.
    BuiltIn,
    /// In a folder of the user's.
    Folder(Utf8PathBuf),
}

/// A template's name and purpose, for `--list-templates`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TemplateInfo {
    /// The name that `--template` takes.
    pub name: String,
    /// What it makes.
    pub kind: Kind,
    /// One line for people.
    pub description: String,
    /// Where it stands.
    pub origin: Origin,
}

/// A template, read in full.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub info: TemplateInfo,
    pub files: Vec<TemplateFile>,
}

impl Template {
    /// What messages call its `template.toml`.
    pub fn manifest_label(&self) -> String {
        match &self.info.origin {
            Origin::BuiltIn => format!("{}/{}/{MANIFEST} (built in)", self.info.kind.as_str(), self.info.name),
            Origin::Folder(folder) => folder.join(MANIFEST).into_string(),
        }
    }
}

/// One file of a template.
#[derive(Clone, Debug)]
pub(super) struct TemplateFile {
    /// Relative to the template, with variables and `.hbs`.
    pub path: Utf8PathBuf,
    /// What messages call it: a path that the user can open.
    pub label: String,
    pub content: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Manifest {
    name: String,
    kind: Kind,
    description: String,
}

/// Every template at hand: the user's first, then those of this program.
///
/// # Errors
/// Where `dir` cannot be read or holds no template.
pub fn list(dir: Option<&Utf8Path>) -> Result<Vec<TemplateInfo>, ScaffoldError> {
    Ok(load_all(dir)?.into_iter().map(|template| template.info).collect())
}

/// The template of `kind` called `name`; without a name `default`, or the only one that `dir` holds.
pub(super) fn select(kind: Kind, name: Option<&str>, dir: Option<&Utf8Path>) -> Result<Template, ScaffoldError> {
    let all = load_all(dir)?;
    let own = |template: &&Template| template.info.origin != Origin::BuiltIn;
    let fits = |template: &&Template| template.info.kind == kind;
    let find = |wanted: &str| all.iter().filter(fits).find(|template| template.info.name == wanted);

    let found = match (name, dir) {
        (Some(name), _) => find(name),
        (None, None) => find(DEFAULT),
        (None, Some(dir)) => {
            // Whoever gives a folder means one of its templates: never fall back to another in silence.
            let mut candidates = all.iter().filter(own).filter(fits);
            match (candidates.next(), candidates.next()) {
                (only, None) => only,
                _ => all.iter().filter(own).filter(fits).find(|template| template.info.name == DEFAULT),
            }
            .ok_or_else(|| ScaffoldError::WhichTemplate {
                dir: dir.to_owned(),
                kind: kind.as_str(),
                known: names(all.iter().filter(own).filter(fits)),
            })?
            .into()
        }
    };
    found.cloned().ok_or_else(|| ScaffoldError::NoSuchTemplate {
        name: name.unwrap_or(DEFAULT).to_owned(),
        kind: kind.as_str(),
        known: names(all.iter().filter(fits)),
    })
}

fn names<'a>(templates: impl Iterator<Item = &'a Template>) -> String {
    let names: Vec<_> = templates.map(|template| template.info.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn load_all(dir: Option<&Utf8Path>) -> Result<Vec<Template>, ScaffoldError> {
    let mut all = dir.map_or(Ok(Vec::new()), load_folder)?;
    for embedded in cargo_xpc_templates::ALL {
        let mut files = Vec::new();
        for file in embedded.files {
            files.push(TemplateFile {
                path: file.path.into(),
                label: format!("{}/{} (built in)", embedded.folder, file.path),
                content: file.content.as_bytes().to_vec(),
            });
        }
        all.push(parse(files, Origin::BuiltIn, embedded.folder)?);
    }
    Ok(all)
}

/// `dir` is a template itself, or holds templates up to two folders deep.
fn load_folder(dir: &Utf8Path) -> Result<Vec<Template>, ScaffoldError> {
    let mut manifests = Vec::new();
    // What is not there holds no template either.
    for entry in dir.is_dir().then(|| walk(dir, 3)).into_iter().flatten() {
        let path = entry?;
        if path.file_name() == Some(MANIFEST) {
            manifests.push(path);
        }
    }
    if manifests.is_empty() {
        return Err(ScaffoldError::NotATemplateFolder { dir: dir.to_owned() });
    }
    manifests.iter().map(|manifest| load_one(manifest.parent().unwrap_or(dir))).collect()
}

fn load_one(folder: &Utf8Path) -> Result<Template, ScaffoldError> {
    let mut files = Vec::new();
    for entry in walk(folder, usize::MAX) {
        let path = entry?;
        let content = fs_err::read(&path)?;
        let relative = path.strip_prefix(folder).unwrap_or(&path).to_owned();
        files.push(TemplateFile { path: relative, label: path.into_string(), content });
    }
    parse(files, Origin::Folder(folder.to_owned()), folder.as_str())
}

/// The files under `dir` in a steady order, without what tools leave behind.
fn walk(dir: &Utf8Path, depth: usize) -> impl Iterator<Item = Result<Utf8PathBuf, ScaffoldError>> {
    let dir = dir.to_owned();
    WalkDir::new(&dir)
        .max_depth(depth)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.file_name() != ".git" && entry.file_name() != ".DS_Store")
        .filter(|entry| entry.as_ref().map_or(true, |entry| !entry.file_type().is_dir()))
        .map(move |entry| {
            let entry = entry.map_err(|source| ScaffoldError::ReadTemplates { dir: dir.clone(), source })?;
            Utf8PathBuf::from_path_buf(entry.into_path())
                .map_err(|path| ScaffoldError::NotUtf8 { path: path.to_string_lossy().into_owned() })
        })
}

fn parse(mut files: Vec<TemplateFile>, origin: Origin, folder: &str) -> Result<Template, ScaffoldError> {
    let bad = |why: String| ScaffoldError::BadTemplate { file: format!("{folder}/{MANIFEST}"), why };
    let at = files.iter().position(|file| file.path == MANIFEST).ok_or_else(|| bad("it is missing".to_owned()))?;
    let text = String::from_utf8(files.remove(at).content).map_err(|error| bad(error.to_string()))?;
    let Manifest { name, kind, description } =
        toml_edit::de::from_str(&text).map_err(|error| bad(error.to_string().trim_end().to_owned()))?;
    Ok(Template { info: TemplateInfo { name, kind, description, origin }, files })
}
