//! Writes a plan: all of it, or nothing.

use std::io::Write as _;

use camino::{Utf8Path, Utf8PathBuf};

use super::ScaffoldError;
use super::plan::{Edit, NewFile, ScaffoldPlan};

/// Writes what `plan` says. Where anything fails, what was created is removed and what was edited is put back.
///
/// # Errors
/// What the system refused, or a manifest that changed since the plan was made.
pub fn apply(plan: &ScaffoldPlan) -> Result<(), ScaffoldError> {
    let mut done = Done::default();
    match write(plan, &mut done) {
        Ok(()) => Ok(()),
        Err(error) => {
            let left = done.undo();
            Err(if left.is_empty() { error } else { ScaffoldError::NotUndone { error: Box::new(error), left } })
        }
    }
}

/// What has happened so far, oldest first.
#[derive(Default)]
struct Done<'a> {
    steps: Vec<Step<'a>>,
}

enum Step<'a> {
    Folder(Utf8PathBuf),
    File(&'a Utf8Path),
    Edited(&'a Edit),
}

fn write<'a>(plan: &'a ScaffoldPlan, done: &mut Done<'a>) -> Result<(), ScaffoldError> {
    for file in &plan.files {
        create_folders(file, done)?;
        create_file(file, done)?;
    }
    crate::faults::point("scaffold-files-written");
    for edit in &plan.edits {
        if fs_err::read_to_string(&edit.path)? != edit.before {
            return Err(ScaffoldError::ManifestChanged { path: edit.path.clone() });
        }
        replace(&edit.path, &edit.after)?;
        done.steps.push(Step::Edited(edit));
    }
    Ok(())
}

fn create_folders(file: &NewFile, done: &mut Done<'_>) -> Result<(), ScaffoldError> {
    let missing: Vec<_> = file.path.ancestors().skip(1).take_while(|above| !above.is_dir()).collect();
    for folder in missing.into_iter().rev() {
        fs_err::create_dir(folder)?;
        done.steps.push(Step::Folder(folder.to_owned()));
    }
    Ok(())
}

fn create_file<'a>(file: &'a NewFile, done: &mut Done<'a>) -> Result<(), ScaffoldError> {
    // Never over a file that appeared after the plan was checked.
    let mut open = fs_err::File::create_new(&file.path)?;
    done.steps.push(Step::File(&file.path));
    open.write_all(file.content.as_bytes())?;
    Ok(())
}

/// Puts a new file in the old one's place in one step, with the old one's mode: a reader sees one of the two, whole.
fn replace(path: &Utf8Path, text: &str) -> Result<(), ScaffoldError> {
    let at = |error: std::io::Error| std::io::Error::new(error.kind(), format!("failed to replace `{path}`: {error}"));
    // A manifest that is a symbolic link stays one.
    let path = &path.canonicalize_utf8().map_err(at)?;
    let folder = path.parent().unwrap_or(Utf8Path::new("/"));
    let mut new = tempfile::Builder::new().prefix(".Cargo.toml.").tempfile_in(folder).map_err(at)?;
    new.write_all(text.as_bytes()).map_err(at)?;
    new.as_file().set_permissions(fs_err::metadata(path)?.permissions()).map_err(at)?;
    new.persist(path).map_err(|error| at(error.error))?;
    Ok(())
}

impl Done<'_> {
    /// Takes everything back, newest first, and returns what could not be.
    fn undo(self) -> Vec<Utf8PathBuf> {
        let mut left = Vec::new();
        for step in self.steps.into_iter().rev() {
            let (path, undone) = match &step {
                // A folder that someone else has put something into stays: it is theirs now.
                Step::Folder(path) => (path.as_path(), fs_err::remove_dir(path).is_ok()),
                Step::File(path) => (*path, fs_err::remove_file(path).is_ok()),
                Step::Edited(edit) => (edit.path.as_path(), replace(&edit.path, &edit.before).is_ok()),
            };
            if !undone {
                left.push(path.to_owned());
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BundleId;
    use crate::scaffold::{Content, Kind};

    fn temporary() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        (dir, path)
    }

    fn plan(root: &Utf8Path, files: &[&str], edits: &[&str]) -> ScaffoldPlan {
        let file = |path: &&str| NewFile { path: root.join(path), content: Content::Text("new".to_owned()) };
        let edit = |path: &&str| Edit {
            path: root.join(path),
            changes: Vec::new(),
            before: "before".to_owned(),
            after: "after".to_owned(),
        };
        ScaffoldPlan {
            kind: Kind::Service,
            template: "default".to_owned(),
            name: "demo".to_owned(),
            identifier: BundleId::new("com.example.demo").unwrap(),
            folder: root.to_owned(),
            app: None,
            service: "demo".to_owned(),
            interface: None,
            files: files.iter().map(file).collect(),
            edits: edits.iter().map(edit).collect(),
            notes: Vec::new(),
        }
    }

    fn listing(root: &Utf8Path) -> Vec<String> {
        let walk = walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name();
        walk.into_iter().map(|e| e.unwrap().path().strip_prefix(root).unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_file_that_appeared_meanwhile_is_kept_and_the_rest_taken_back() {
        let (_guard, root) = temporary();
        fs_err::create_dir(root.join("a")).unwrap();
        let plan = plan(&root, &["a/1", "b/c/2", "a/3", "d/4"], &[]);
        fs_err::write(root.join("a/3"), "theirs").unwrap();
        assert!(matches!(apply(&plan), Err(ScaffoldError::Io(_))));
        assert_eq!(listing(&root), ["a", "a/3"]);
        assert_eq!(fs_err::read_to_string(root.join("a/3")).unwrap(), "theirs");
    }

    #[test]
    fn a_manifest_that_changed_meanwhile_is_kept_and_the_rest_taken_back() {
        let (_guard, root) = temporary();
        fs_err::write(root.join("one.toml"), "before").unwrap();
        fs_err::write(root.join("two.toml"), "theirs").unwrap();
        let plan = plan(&root, &["new/file"], &["one.toml", "two.toml"]);
        assert!(matches!(apply(&plan), Err(ScaffoldError::ManifestChanged { .. })));
        assert_eq!(listing(&root), ["one.toml", "two.toml"]);
        assert_eq!(fs_err::read_to_string(root.join("one.toml")).unwrap(), "before");
        assert_eq!(fs_err::read_to_string(root.join("two.toml")).unwrap(), "theirs");
    }

    #[test]
    fn a_linked_manifest_stays_a_link_and_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_guard, root) = temporary();
        fs_err::write(root.join("real.toml"), "before").unwrap();
        fs_err::set_permissions(root.join("real.toml"), std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("real.toml", root.join("link.toml")).unwrap();
        apply(&plan(&root, &[], &["link.toml"])).unwrap();
        assert!(root.join("link.toml").is_symlink());
        assert_eq!(fs_err::read_to_string(root.join("real.toml")).unwrap(), "after");
        assert_eq!(fs_err::metadata(root.join("real.toml")).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(listing(&root), ["link.toml", "real.toml"]);
    }

    #[test]
    fn what_cannot_be_taken_back_is_named() {
        let (_guard, root) = temporary();
        let file = root.join("new/file");
        fs_err::create_dir(root.join("new")).unwrap();
        fs_err::write(&file, "new").unwrap();
        let done = Done { steps: vec![Step::Folder(root.join("new")), Step::File(&file)] };
        fs_err::write(root.join("new/theirs"), "").unwrap();
        assert_eq!(done.undo(), [root.join("new")]);
        assert_eq!(listing(&root), ["new", "new/theirs"]);
    }
}
