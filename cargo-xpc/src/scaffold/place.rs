//! Where the scaffold goes: the folder, and the workspace around it.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use toml_edit::{DocumentMut, Item, Value};

use super::ScaffoldError;
use super::manifest::{self, at};

/// The new folder's real path. What exists of `path` is followed through symbolic links; what does not is checked.
///
/// `path` is absolute: the current folder is the command line's business.
pub(super) fn resolve(path: &Utf8Path) -> Result<Utf8PathBuf, ScaffoldError> {
    let mut real = Utf8PathBuf::new();
    for part in path.components() {
        match part {
            Utf8Component::ParentDir => {
                real.pop();
            }
            Utf8Component::Normal(name) => {
                let next = real.join(name);
                real = match next.symlink_metadata() {
                    Ok(_) => existing_folder(&next)?,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        check_part(name)?;
                        next
                    }
                    Err(error) => return Err(std::io::Error::new(error.kind(), format!("{next}: {error}")).into()),
                };
            }
            other => real.push(other),
        }
    }
    Ok(real)
}

fn existing_folder(path: &Utf8Path) -> Result<Utf8PathBuf, ScaffoldError> {
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(ScaffoldError::DanglingLink { path: path.to_owned() });
        }
        Err(error) => return Err(std::io::Error::new(error.kind(), format!("{path}: {error}")).into()),
    };
    if !real.is_dir() {
        return Err(ScaffoldError::NotAFolder { path: path.to_owned() });
    }
    Utf8PathBuf::from_path_buf(real)
        .map_err(|path| ScaffoldError::NotUtf8 { path: path.to_string_lossy().into_owned() })
}

/// Refuses names that some tool on the way to a running app reads as something else.
fn check_part(name: &str) -> Result<(), ScaffoldError> {
    let has = |set: &[char]| name.contains(set);
    let why = if name.contains(char::is_control) {
        "it holds a control character"
    } else if has(&['\\']) {
        "it holds `\\`, which separates folders on Windows; use `/`"
    } else if has(&[':']) {
        "it holds `:`, which separates paths in the variables that cargo and the loader read"
    } else if has(&['*', '?', '[', ']', '{', '}']) {
        "it holds a character of cargo's member patterns (`*?[]{}`)"
    } else if name.starts_with(' ') || name.ends_with([' ', '.']) {
        "it starts or ends with a space, or ends with a dot"
    } else {
        return Ok(());
    };
    Err(ScaffoldError::FolderName { part: name.to_owned(), why })
}

/// The manifest of the workspace that a package at `folder` would belong to, by cargo's rules.
pub(super) fn workspace_of(folder: &Utf8Path) -> Result<Option<Utf8PathBuf>, ScaffoldError> {
    let mut lone = None;
    let mut nearest = true;
    for above in folder.ancestors().skip(1) {
        let path = above.join("Cargo.toml");
        if !path.is_file() {
            continue;
        }
        let document = manifest::parse(&path, &fs_err::read_to_string(&path)?)?;
        if document.contains_key("workspace") {
            if !is_excluded(&document, above, folder) {
                return Ok(Some(path));
            }
        } else if let Some(pointer) = at(document.as_item(), &["package", "workspace"]).and_then(Item::as_str) {
            return Ok(Some(resolve(&above.join(pointer))?.join("Cargo.toml")));
        } else if nearest && document.contains_key("package") {
            lone = Some((path, above));
        }
        nearest = false;
    }
    // Someone who stands in a package's folder and asks for a service does not want an app in there that nothing there can use.
    let Some((manifest, above)) = lone else { return Ok(None) };
    let folder = folder.strip_prefix(above).unwrap_or(folder).to_owned();
    Err(ScaffoldError::NotAWorkspace { manifest, folder })
}

/// cargo's own test: `exclude` holds unless `members` names the folder outright.
pub(super) fn is_excluded(document: &DocumentMut, root: &Utf8Path, folder: &Utf8Path) -> bool {
    let names = |key| {
        let listed = at(document.as_item(), &["workspace", key]).and_then(Item::as_array);
        let mut entries = listed.into_iter().flatten().filter_map(Value::as_str);
        entries.any(|entry| folder.starts_with(manifest::normal(&root.join(entry))))
    };
    names("exclude") && !names("members")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        (dir, path)
    }

    #[test]
    fn links_are_followed_and_dots_resolved() {
        let (_guard, root) = temporary();
        fs_err::create_dir_all(root.join("real folder/ünter")).unwrap();
        std::os::unix::fs::symlink(root.join("real folder"), root.join("link")).unwrap();
        assert_eq!(resolve(&root.join("link/ünter/../new")).unwrap(), root.join("real folder/new"));
        assert_eq!(resolve(&root.join("link/.")).unwrap(), root.join("real folder"));
        assert_eq!(resolve(&root.join("not yet/here")).unwrap(), root.join("not yet/here"));
    }

    #[test]
    fn what_is_no_folder_is_refused() {
        let (_guard, root) = temporary();
        fs_err::write(root.join("file"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("dangling")).unwrap();
        assert!(matches!(resolve(&root.join("file")), Err(ScaffoldError::NotAFolder { .. })));
        assert!(matches!(resolve(&root.join("file/new")), Err(ScaffoldError::NotAFolder { .. })));
        assert!(matches!(resolve(&root.join("dangling")), Err(ScaffoldError::DanglingLink { .. })));
    }

    #[test]
    fn names_that_mean_something_to_a_tool_are_refused() {
        let (_guard, root) = temporary();
        for bad in ["C:\\demo", "a\\b", "a:b", "a*", "a[1]", "{a,b}", "a\nb", " a", "a ", "a."] {
            assert!(matches!(resolve(&root.join(bad)), Err(ScaffoldError::FolderName { .. })), "{bad:?}");
        }
        for good in ["my demo", "dämo", "demo.v2", ".hidden", "it's"] {
            assert!(resolve(&root.join(good)).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn the_nearest_workspace_counts_unless_it_excludes_the_folder() {
        let (_guard, root) = temporary();
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        write("Cargo.toml", "[workspace]\nmembers = [\"app\"]\nexclude = [\"vendor\", \"inner\"]\n");
        write("app/Cargo.toml", "[package]\nname = \"app\"\n");
        write("inner/Cargo.toml", "[workspace]\n");
        write("vendor/x/Cargo.toml", "[package]\nname = \"x\"\nworkspace = \"../../inner\"\n");
        let of = |path: &str| workspace_of(&root.join(path)).unwrap();
        assert_eq!(of("new"), Some(root.join("Cargo.toml")));
        assert_eq!(of("app/new"), Some(root.join("Cargo.toml")));
        assert_eq!(of("inner/new"), Some(root.join("inner/Cargo.toml")));
        assert_eq!(of("vendor/new"), None);
        assert_eq!(of("vendor/x/new"), Some(root.join("inner/Cargo.toml")));
        // The folder's own manifest is not around it.
        assert_eq!(workspace_of(&root).unwrap(), None);
    }

    #[test]
    fn a_package_without_a_workspace_is_told_what_to_add() {
        let (_guard, root) = temporary();
        let manifest = |text: &str| fs_err::write(root.join("Cargo.toml"), text).unwrap();
        let refused = |path: &str| workspace_of(&root.join(path)).unwrap_err().to_string();
        for table in ["", "[package.metadata.xpc.app.a]\n"] {
            manifest(&format!("[package]\nname = \"a\"\n{table}"));
            assert!(refused("new").contains("add a line `[workspace]`"), "{}", refused("new"));
            assert!(refused("sub/new").contains("`exclude = [\"sub/new\"]`"), "{}", refused("sub/new"));
        }
        // As it was told to.
        manifest("[package]\nname = \"a\"\n[workspace]\nexclude = [\"sub/new\"]\n");
        assert_eq!(workspace_of(&root.join("sub/new")).unwrap(), None);
        assert_eq!(workspace_of(&root.join("new")).unwrap(), Some(root.join("Cargo.toml")));
        // A manifest that is no package has nothing to add a service to.
        manifest("[profile.dev]\n");
        assert_eq!(workspace_of(&root.join("new")).unwrap(), None);
    }
}
