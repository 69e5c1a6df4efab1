//! The templates of `cargo xpc new`, carried inside the program.
//!
//! The files stand beside this crate's `Cargo.toml`, one folder a template; `README.md` there describes the format. Each rendered file
//! ends in `.hbs`, so that neither cargo nor an editor takes a template's `Cargo.toml` for a package.
#![forbid(unsafe_code)]

/// A template: a folder with a `template.toml`.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// The folder, relative to this crate.
    pub folder: &'static str,
    /// All files of the folder, the manifest too.
    pub files: &'static [File],
}

/// A file of a template, as it stands in the folder.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Relative to the template's folder.
    pub path: &'static str,
    /// Not rendered.
    pub content: &'static str,
}

macro_rules! template {
    ($folder:literal: $($path:literal)+) => {
        Template {
            folder: $folder,
            files: &[$(File { path: $path, content: include_str!(concat!("../", $folder, "/", $path)) }),+],
        }
    };
}

/// Every template.
pub const ALL: &[Template] = &[
    template!("workspace/default":
        "template.toml"
        ".gitignore.hbs"
        "Cargo.toml.hbs"
        "README.md.hbs"
        "app/Cargo.toml.hbs"
        "app/src/main.rs.hbs"
        "interface/Cargo.toml.hbs"
        "interface/src/lib.rs.hbs"
        "service/Cargo.toml.hbs"
        "service/src/main.rs.hbs"),
    template!("service/default":
        "template.toml"
        "interface/Cargo.toml.hbs"
        "interface/src/lib.rs.hbs"
        "service/Cargo.toml.hbs"
        "service/src/main.rs.hbs"),
    template!("service/standalone":
        "template.toml"
        "service/Cargo.toml.hbs"
        "service/src/main.rs.hbs"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    fn files_under(folder: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files_under(&path, found) } else { assert!(found.insert(path)) }
        }
    }

    #[test]
    fn the_table_holds_every_file() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut on_disk = BTreeSet::new();
        files_under(&root.join("workspace"), &mut on_disk);
        files_under(&root.join("service"), &mut on_disk);
        let listed: BTreeSet<_> =
            ALL.iter().flat_map(|t| t.files.iter().map(|file| root.join(t.folder).join(file.path))).collect();
        assert_eq!(listed, on_disk);
    }

    #[test]
    fn nothing_looks_like_a_package() {
        for file in ALL.iter().flat_map(|template| template.files) {
            assert!(file.path.ends_with(".hbs") || file.path == "template.toml", "{}", file.path);
        }
    }
}
