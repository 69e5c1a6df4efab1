//! Resources, frameworks and profiles: what is copied, and where to.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::PlanError;
use crate::bundle::tree::is_litter;
use crate::config::{Place, Program};
use crate::toolchain::is_macos;

/// In `Contents`, where a bundle holds ELF.
pub const ENTITLEMENTS: &str = "Entitlements.plist";

/// One file, symlink or folder that is copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CopyFile {
    /// On this machine.
    pub from: Utf8PathBuf,
    /// Inside the app's bundle.
    pub to: Utf8PathBuf,
}

impl CopyFile {
    /// What is named outright, under the name that was given: behind a symlink stands what is meant.
    pub(super) fn into(from: &Utf8Path, folder: &Utf8Path) -> Self {
        Self::named(from, folder.join(from.file_name().unwrap_or_default()))
    }

    fn named(from: &Utf8Path, to: Utf8PathBuf) -> Self {
        let real = from.is_symlink().then(|| from.canonicalize_utf8().ok()).flatten();
        Self { from: real.unwrap_or_else(|| from.to_owned()), to }
    }
}

/// Glob patterns, relative to the package, to files with their path kept below `Resources`.
pub(super) fn resources(
    place: &Place,
    program: &Program,
    patterns: &[String],
    contents: &Utf8Path,
) -> Result<Vec<CopyFile>, PlanError> {
    let folder = program.folder();
    let mut files = BTreeMap::new();
    for pattern in patterns {
        let wrong = |why: String| PlanError::File(format!("`resources` of {place}: `{pattern}` {why}"));
        if Utf8Path::new(pattern).is_absolute() || Utf8Path::new(pattern).components().any(|c| c.as_str() == "..") {
            return Err(wrong("leads out of the package; resources stand below it".to_owned()));
        }
        // To the crate a last `**` stands for folders only; to everybody else, for all that is below.
        let everything = if pattern.ends_with("**") { "/*" } else { "" };
        let full = format!("{}/{pattern}{everything}", glob::Pattern::escape(folder.as_str()));
        let paths = glob::glob(&full).map_err(|e| wrong(format!("is not a glob pattern: {e}")))?;
        let mut matched = false;
        let mut behind = None;
        for path in paths {
            let path = path.map_err(|e| wrong(format!("cannot be read: {e}")))?;
            let path = Utf8PathBuf::from_path_buf(path)
                .map_err(|path| wrong(format!("matches `{}`, which is not UTF-8", path.display())))?;
            // The glob walks through symlinks; they are bundled as such, and what is behind them where it stands.
            if let Some(link) = link_above(&path, folder) {
                behind = Some(link.to_owned());
                continue;
            }
            matched = true;
            add(&path, folder, contents, &mut files).map_err(wrong)?;
        }
        if !matched {
            return Err(wrong(match behind {
                None => format!("matches no file below {folder}"),
                Some(link) => format!(
                    "matches only what is behind the symlink `{link}`; symlinks are kept as they are, so name the folder that it leads to"
                ),
            }));
        }
    }
    check_links(place, &files, &contents.join("Resources"))?;
    Ok(files.into_values().collect())
}

/// The symlink between `folder` and `path`, if there is one.
fn link_above<'a>(path: &'a Utf8Path, folder: &Utf8Path) -> Option<&'a Utf8Path> {
    path.ancestors().skip(1).take_while(|above| *above != folder).find(|above| above.is_symlink())
}

/// A file or symlink by itself; a folder with all that is in it.
fn add(
    path: &Utf8Path,
    folder: &Utf8Path,
    contents: &Utf8Path,
    files: &mut BTreeMap<Utf8PathBuf, CopyFile>,
) -> Result<(), String> {
    if path.file_name().is_some_and(is_litter) {
        return Ok(());
    }
    let meta = fs_err::symlink_metadata(path).map_err(|e| format!("cannot be read: {e}"))?;
    if meta.is_dir() {
        for entry in path.read_dir_utf8().map_err(|e| format!("cannot be read: `{path}`: {e}"))? {
            let entry = entry.map_err(|e| format!("cannot be read: `{path}`: {e}"))?;
            add(entry.path(), folder, contents, files)?;
        }
        return Ok(());
    }
    if meta.is_symlink() {
        check_symlink(path, folder)?;
    }
    let relative = path.strip_prefix(folder).map_err(|_| format!("matches `{path}`, which is outside the package"))?;
    let to = contents.join("Resources").join(relative);
    files.insert(to.clone(), CopyFile { from: path.to_owned(), to });
    Ok(())
}

/// A symlink is kept as it is, so it may not lead out of the package.
fn check_symlink(path: &Utf8Path, folder: &Utf8Path) -> Result<(), String> {
    let target = path.read_link_utf8().map_err(|e| format!("cannot be read: {e}"))?;
    let real = path.canonicalize_utf8().map_err(|_| format!("matches the symlink `{path}`, which leads nowhere"))?;
    let folder = folder.canonicalize_utf8().unwrap_or_else(|_| folder.to_owned());
    if target.is_absolute() || !real.starts_with(&folder) {
        return Err(format!("matches the symlink `{path}` to `{target}`, which leads out of the package"));
    }
    Ok(())
}

/// And in the bundle it has to lead to something: to what is copied, by way of what is copied.
fn check_links(place: &Place, files: &BTreeMap<Utf8PathBuf, CopyFile>, resources: &Utf8Path) -> Result<(), PlanError> {
    for file in files.values().filter(|file| file.from.is_symlink()) {
        follow(file, files, resources).map_err(|why| {
            PlanError::File(format!("`resources` of {place}: the symlink `{}` leads {why}", file.from))
        })?;
    }
    Ok(())
}

/// As many symlinks in a row as macOS follows.
const MAX_HOPS: usize = 32;

fn follow(link: &CopyFile, files: &BTreeMap<Utf8PathBuf, CopyFile>, resources: &Utf8Path) -> Result<(), String> {
    let target = |link: &CopyFile| -> Result<Vec<String>, String> {
        let target = link.from.read_link_utf8().map_err(|e| format!("nowhere: {e}"))?;
        Ok(target.components().rev().map(|part| part.as_str().to_owned()).collect())
    };
    let mut at = link.to.parent().unwrap_or(resources).to_owned();
    // What is left to go, the next part last.
    let mut open = target(link)?;
    let mut hops = 0;
    while let Some(part) = open.pop() {
        match part.as_str() {
            "." => {}
            ".." if at == resources => return Err("out of the package on its way; make it shorter".to_owned()),
            ".." => {
                at.pop();
            }
            name => {
                at.push(name);
                match files.get(&at) {
                    Some(file) if file.from.is_symlink() => {
                        hops += 1;
                        if hops > MAX_HOPS {
                            return Err("through too many others".to_owned());
                        }
                        at.pop();
                        open.extend(target(file)?);
                    }
                    Some(_) => {}
                    // Paths are sorted by their parts: a folder stands right before what is in it.
                    None if files.range(at.clone()..).next().is_some_and(|(next, _)| next.starts_with(&at)) => {}
                    None => {
                        let missing = at.strip_prefix(resources).unwrap_or(&at);
                        return Err(format!("to `{missing}`, which is not bundled with it; add that to `resources`"));
                    }
                }
            }
        }
    }
    Ok(())
}

/// Frameworks are folders with symlinks inside; dylibs are files.
pub(super) fn frameworks(
    place: &Place,
    paths: &[Utf8PathBuf],
    contents: &Utf8Path,
) -> Result<Vec<CopyFile>, PlanError> {
    let mut files = Vec::new();
    for path in paths {
        let wrong = |why: &str| PlanError::File(format!("`frameworks` of {place}: `{path}` {why}"));
        match path.extension() {
            Some("framework") if path.is_dir() => {}
            Some("dylib") if path.is_file() => {}
            Some("framework" | "dylib") => {
                return Err(wrong("is not there; the path is relative to the package's folder"));
            }
            _ => return Err(wrong("is neither a .framework nor a .dylib")),
        }
        files.push(CopyFile::into(path, &contents.join("Frameworks")));
    }
    Ok(files)
}

/// `embedded.provisionprofile`.
pub(super) fn profile(path: Option<&Utf8Path>, contents: &Utf8Path) -> Option<CopyFile> {
    path.map(|path| CopyFile::named(path, contents.join("embedded.provisionprofile")))
}

/// `Entitlements.plist`, for programs that have no signature to hold it: the runtime's launcher reads it there.
pub(super) fn entitlements(path: Option<&Utf8Path>, targets: &[String], contents: &Utf8Path) -> Option<CopyFile> {
    let unsigned = !targets.iter().any(|target| is_macos(target));
    path.filter(|_| unsigned).map(|path| CopyFile::named(path, contents.join(ENTITLEMENTS)))
}

/// Two files for one place.
pub(super) fn check_clashes(place: &Place, files: &[CopyFile]) -> Result<(), PlanError> {
    let mut taken = BTreeMap::new();
    for file in files {
        if let Some(other) = taken.insert(file.to.as_str().to_lowercase(), &file.from) {
            return Err(PlanError::Clash(format!(
                "{place}: `{other}` and `{}` would both be `{}` in the bundle",
                file.from, file.to
            )));
        }
    }
    Ok(())
}
