//! Where things stand in a bundle on disk: its property list, its executable, the folder whose contents are sealed.
//!
//! There are two shapes. Apps, services and plug-ins keep everything in `Contents`; the version of a framework, and bundles from
//! iOS, keep it at their root. A framework's own folder is neither: it is a wrapper of symlinks around `Versions`.
//! Signing, reading back and inspecting agree on this page and on nothing else.

use std::io;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use thiserror::Error;

use crate::beneath::Root;
use crate::property_list;

/// A bundle's parts. Paths are relative to the folder that it was looked for in.
#[derive(Clone, Debug)]
pub struct Anatomy {
    /// The bundle's folder.
    pub root: Utf8PathBuf,
    /// The folder that names in `CodeResources` are relative to: `Contents`, or the root itself.
    pub content: Utf8PathBuf,
    /// The property list.
    pub info_path: Utf8PathBuf,
    /// The property list's bytes, which the signature of the executable seals.
    pub info_bytes: Vec<u8>,
    /// The property list, read.
    pub info: plist::Dictionary,
    /// The name of the bundle's folder.
    name: String,
    has_resources: bool,
}

/// Why a bundle could not be read.
#[derive(Debug, Error)]
pub enum AnatomyError {
    /// The message names the path.
    #[error("{0}{remedy}", remedy = crate::exit::remedy(.0))]
    Io(#[from] io::Error),
    /// Nothing has that name.
    #[error("there is no `{0}`")]
    Missing(Utf8PathBuf),
    /// It is no folder.
    #[error("`{0}` is not a bundle: it is a file")]
    File(Utf8PathBuf),
    /// There is no property list where one belongs.
    #[error("`{0}` is not a bundle: it has no Info.plist in `Contents` (or in `Resources`, for a framework's version)")]
    NotABundle(Utf8PathBuf),
    /// The property list cannot be understood.
    #[error("`{path}` is not a property list with a dictionary in it: {why}")]
    InfoPlist {
        /// The property list.
        path: Utf8PathBuf,
        /// What the parser said.
        why: String,
    },
}

/// A framework's folder with `Versions` in it.
#[derive(Clone, Debug)]
pub struct Versions {
    /// The versions that are real folders, sorted. Each is a bundle.
    pub all: Vec<Utf8PathBuf>,
    /// Where `Versions/Current` points, if it is a symlink to one of them.
    pub current: Option<Utf8PathBuf>,
}

impl Anatomy {
    /// Reads the bundle at `path` in `folder`.
    pub fn read(folder: &Root, path: &Utf8Path) -> Result<Self, AnatomyError> {
        Self::find(folder, path)?.ok_or_else(|| AnatomyError::NotABundle(folder.shown(path)))
    }

    /// Reads the bundle at `path` in `folder`; `None` if there is no property list, and therefore no bundle.
    pub fn find(folder: &Root, path: &Utf8Path) -> Result<Option<Self>, AnatomyError> {
        Self::find_by(folder, path, |path| folder.read(path))
    }

    /// As [`Self::find`], where `read` gives the bytes of the property list.
    pub(crate) fn find_by(
        folder: &Root,
        path: &Utf8Path,
        read: impl FnOnce(&Utf8Path) -> io::Result<Vec<u8>>,
    ) -> Result<Option<Self>, AnatomyError> {
        let contents = path.join("Contents");
        let resources = path.join("Resources");
        let has_contents = folder.is_folder(&contents)?;
        let has_resources = has_contents || folder.is_folder(&resources)?;
        let (content, info_path) = if has_contents {
            (contents.clone(), contents.join("Info.plist"))
        } else if has_resources && folder.is_file(&resources.join("Info.plist"))? {
            (path.to_owned(), resources.join("Info.plist"))
        } else {
            (path.to_owned(), path.join("Info.plist"))
        };
        if !folder.is_file(&info_path)? {
            return Ok(None);
        }
        let info_bytes = read(&info_path)?;
        let unreadable = |why| AnatomyError::InfoPlist { path: folder.shown(&info_path), why };
        let info = property_list::read(&info_bytes).map_err(unreadable)?;
        let name = path.file_name().or_else(|| folder.path().file_name()).unwrap_or_default().to_owned();
        Ok(Some(Self { root: path.to_owned(), content, info_path, info_bytes, info, name, has_resources }))
    }

    /// A string of the property list.
    pub fn string(&self, key: &str) -> Option<&str> {
        self.info.get(key)?.as_string()
    }

    /// `CFBundleIdentifier`.
    pub fn identifier(&self) -> Option<&str> {
        self.string("CFBundleIdentifier")
    }

    /// `CFBundlePackageType`: `APPL`, `XPC!`, `FMWK`, `BNDL`.
    pub fn package_type(&self) -> Option<&str> {
        self.string("CFBundlePackageType")
    }

    /// Whether everything is in `Contents`.
    pub fn has_contents(&self) -> bool {
        self.content != self.root
    }

    /// Where `CFBundleExecutable` should stand, whether or not it does. `None`: no such key, or a name that would lead elsewhere.
    pub fn executable(&self) -> Option<Utf8PathBuf> {
        let name = self.string("CFBundleExecutable")?;
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return None;
        }
        Some(if self.has_contents() { self.content.join("MacOS").join(name) } else { self.content.join(name) })
    }

    /// Whether the bundle can have localized resources, which decides the rules of its seal.
    pub fn has_resources(&self) -> bool {
        self.has_resources
    }

    /// Whether this is a service.
    pub fn is_service(&self) -> bool {
        Utf8Path::new(&self.name).extension() == Some("xpc") || self.package_type() == Some("XPC!")
    }

    /// The seal of everything but the executable.
    pub fn code_resources(&self) -> Utf8PathBuf {
        self.content.join("_CodeSignature/CodeResources")
    }
}

impl Versions {
    /// Looks for `Versions` in a framework's folder, at `path` in `root`; `None` if there is none and the framework is a plain bundle.
    pub fn find(root: &Root, path: &Utf8Path) -> Result<Option<Self>, AnatomyError> {
        let folder = path.join("Versions");
        if !root.is_folder(&folder)? {
            return Ok(None);
        }
        let (mut all, mut has_current) = (Vec::new(), false);
        for (name, kind) in root.list(&folder)? {
            has_current |= name == "Current" && kind.is_symlink();
            if kind.is_dir() {
                let name = name.into_string().map_err(|name| {
                    let path = folder.join(&*name.to_string_lossy());
                    io::Error::new(io::ErrorKind::InvalidData, format!("`{}` is not valid UTF-8", root.shown(&path)))
                })?;
                all.push(folder.join(name));
            }
        }
        let mut current = None;
        if has_current && let Ok(target) = Utf8PathBuf::from_path_buf(root.read_link(&folder.join("Current"))?) {
            let target = folder.join(target.strip_prefix("./").unwrap_or(&target));
            current = Some(target).filter(|target| all.contains(target));
        }
        Ok(Some(Self { all, current }))
    }

    /// Whether a symlink in the framework's own folder points where macOS wants it: at its namesake in the current version.
    pub fn is_sound_link(&self, name: &str, target: &std::path::Path) -> bool {
        let current = self.current.as_ref().and_then(|current| current.file_name());
        let versions = [Some("Current"), current];
        versions
            .into_iter()
            .flatten()
            .any(|version| target == std::path::Path::new("Versions").join(version).join(name))
    }
}

/// Opens the folder of the outermost bundle.
///
/// # Errors
/// Where there is nothing, or no folder, which is no bundle.
pub fn open(path: &Utf8Path) -> Result<Root, AnatomyError> {
    Root::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => AnatomyError::Missing(path.to_owned()),
        io::ErrorKind::NotADirectory => AnatomyError::File(path.to_owned()),
        _ => error.into(),
    })
}

/// Whether macOS accepts a symlink at `link`, relative to the outermost bundle, that points at `target`: somewhere in the bundle, or
/// in the folders that belong to the system. It looks at the text alone, and so does this.
pub(crate) fn is_allowed_target(link: &Utf8Path, target: &Utf8Path) -> bool {
    if target.is_absolute() {
        let climbs = target.components().any(|part| part == Utf8Component::ParentDir);
        return !climbs && (target.starts_with("/System") || target.starts_with("/Library"));
    }
    let mut depth = link.parent().map_or(0, |parent| parent.components().count());
    for part in target.components() {
        match part {
            Utf8Component::ParentDir => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            Utf8Component::Normal(_) => depth += 1,
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symlinks_are_followed_on_paper() {
        let allowed = |link: &str, target: &str| is_allowed_target(link.into(), target.into());
        assert!(allowed("a/link", "../b"));
        assert!(!allowed("a/link", "../../b"));
        assert!(allowed("link", "a/../b"));
        assert!(!allowed("link", "a/../../b"));
        assert!(allowed("link", "/System/Library/Fonts"));
        assert!(!allowed("link", "/System/../etc/passwd"));
        assert!(!allowed("link", "/etc/passwd"));
    }

    const INFO: &str = r#"<plist version="1.0"><dict><key>CFBundleExecutable</key><string>EXE</string></dict></plist>"#;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        (dir, path)
    }

    fn write(path: Utf8PathBuf, text: &str) {
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    #[test]
    fn both_shapes_are_found() {
        let (_dir, root) = folder();
        write(root.join("A.app/Contents/Info.plist"), &INFO.replace("EXE", "a"));
        write(root.join("F.framework/Versions/B/Resources/Info.plist"), &INFO.replace("EXE", "F"));
        fs_err::os::unix::fs::symlink("B", root.join("F.framework/Versions/Current")).unwrap();
        let root = open(&root).unwrap();
        let app = Anatomy::read(&root, "A.app".into()).unwrap();
        assert_eq!(app.executable().unwrap(), "A.app/Contents/MacOS/a");
        let versions = Versions::find(&root, "F.framework".into()).unwrap().unwrap();
        assert_eq!(versions.current, Some("F.framework/Versions/B".into()));
        let version = Anatomy::read(&root, &versions.all[0]).unwrap();
        assert_eq!(version.executable().unwrap(), "F.framework/Versions/B/F");
        assert!(Anatomy::find(&root, "".into()).unwrap().is_none());
    }

    #[test]
    fn an_executable_cannot_be_named_outside_of_its_folder() {
        let (_dir, root) = folder();
        for name in ["../../../bin/sh", "..", "", "a/b"] {
            write(root.join("A.app/Contents/Info.plist"), &INFO.replace("EXE", name));
            assert_eq!(Anatomy::read(&open(&root).unwrap(), "A.app".into()).unwrap().executable(), None, "{name}");
        }
    }

    #[test]
    fn a_symlink_is_no_property_list() {
        let (_dir, root) = folder();
        write(root.join("elsewhere"), &INFO.replace("EXE", "a"));
        fs_err::create_dir_all(root.join("A.app/Contents")).unwrap();
        fs_err::os::unix::fs::symlink("../../elsewhere", root.join("A.app/Contents/Info.plist")).unwrap();
        let app = open(&root.join("A.app")).unwrap();
        assert!(matches!(Anatomy::read(&app, "".into()), Err(AnatomyError::NotABundle(_))));
    }
}
