//! Projects for the tool to work on.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

use crate::{Xpc, target_dir};

/// A workspace in a folder of its own, removed with it.
#[derive(Debug)]
pub struct Project {
    _folder: TempDir,
    root: Utf8PathBuf,
}

impl Project {
    /// An empty folder.
    pub fn empty() -> Self {
        Self::named("project")
    }

    /// An empty folder with this name.
    pub fn named(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        // Readable for the unprivileged user too.
        fs_err::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        let root = Utf8PathBuf::from_path_buf(folder.path().canonicalize().expect("it is there")).expect("UTF-8");
        let root = root.join(name);
        fs_err::create_dir(&root).expect("the folder is new");
        Self { _folder: folder, root }
    }

    /// A workspace from `cargo xpc new NAME`, depending on this checkout's runtime.
    ///
    /// Such projects share a target directory, so that the runtime is built once: give each its own name.
    pub fn scaffold(name: &str) -> Self {
        let mut project = Self::empty();
        let runtime = crate::checkout().join("xpc-runtime");
        Xpc::new(&project.root, &["new", name, "--runtime-path", runtime.as_str()]).ok();
        project.root.push(name);
        project
    }

    /// Where scaffolded projects are built.
    pub fn shared_target() -> Utf8PathBuf {
        target_dir().join("tests-scaffold")
    }

    /// The workspace's folder.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// Writes a file and the folders above it.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.root.join(path);
        fs_err::create_dir_all(path.parent().expect("files have folders")).expect("the folder can be made");
        fs_err::write(path, content).expect("the file can be written");
    }

    /// Replaces text that is there exactly once.
    ///
    /// # Panics
    /// Where it is not.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let file = self.root.join(path);
        let before = fs_err::read_to_string(&file).expect("the file is there");
        assert_eq!(before.matches(from).count(), 1, "`{from}` in {path}:\n{before}");
        fs_err::write(file, before.replace(from, to)).expect("the file can be written");
    }

    /// `cargo xpc ARGS` in the workspace's folder.
    pub fn xpc(&self, args: &[&str]) -> Xpc {
        Xpc::new(&self.root, args)
    }

    /// Where a bundle of this machine is published.
    pub fn bundle(&self, name: &str) -> Utf8PathBuf {
        self.root.join("target/xpc").join(host()).join("debug").join(format!("{name}.app"))
    }
}

/// The triple of this machine.
pub fn host() -> String {
    let output = crate::must(std::process::Command::new("rustc").arg("-vV"));
    let about = crate::text(&output.stdout);
    about.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host").to_owned()
}

/// A workspace without dependencies: one app and its services, each printing a line. It builds in no time.
#[derive(Clone, Debug)]
pub struct Plain {
    app: String,
    service: String,
    services: Vec<String>,
}

impl Default for Plain {
    fn default() -> Self {
        Self { app: String::new(), service: String::new(), services: vec!["greeter".to_owned()] }
    }
}

impl Plain {
    /// More lines for `[package.metadata.xpc.app.demo]`.
    #[must_use]
    pub fn app(mut self, lines: &str) -> Self {
        self.app = lines.to_owned();
        self
    }

    /// More lines for every `[package.metadata.xpc.service.…]`.
    #[must_use]
    pub fn service(mut self, lines: &str) -> Self {
        self.service = lines.to_owned();
        self
    }

    /// Other services than `greeter`.
    #[must_use]
    pub fn services(mut self, names: &[&str]) -> Self {
        self.services = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// Writes it.
    pub fn make(&self) -> Project {
        self.make_in(Project::empty())
    }

    /// Writes it into a folder.
    pub fn make_in(&self, project: Project) -> Project {
        let mut members = "\"app\"".to_owned();
        for name in &self.services {
            let _ = write!(members, ", \"{name}\"");
            let manifest = package(name)
                + &format!("[package.metadata.xpc.service.{name}]\nidentifier = \"com.example.demo.{name}\"\n")
                + &self.service;
            project.write(&format!("{name}/Cargo.toml"), manifest);
            project.write(&format!("{name}/src/main.rs"), format!("fn main() {{\n    println!(\"{name}\");\n}}\n"));
        }
        let services: Vec<String> = self.services.iter().map(|name| format!("{name:?}")).collect();
        let manifest = package("demo")
            + "[package.metadata.xpc.app.demo]\nidentifier = \"com.example.demo\"\n"
            + &format!("services = [{}]\n", services.join(", "))
            + &self.app;
        project.write("Cargo.toml", format!("[workspace]\nresolver = \"3\"\nmembers = [{members}]\n"));
        project.write("app/Cargo.toml", manifest);
        project.write("app/src/main.rs", "fn main() {\n    println!(\"demo\");\n}\n");
        project
    }
}

fn package(name: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"1.2.3\"\nedition = \"2024\"\n\n")
}
