//! Programs in C, written as Apple's guide has it, against the shim of libxpc: they talk to services and clients in Rust, and to
//! each other. The same sources compile with Apple's own headers for Apple's targets.

use std::process::Command;
use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};
use integration_tests::{Project, checkout, clean, must, target_dir, text};

use crate::bindings::OLDEST;
use crate::headers::linking_clang;

/// The folder of `libxpc_shim.so`, built once for each run of the tests.
fn shim() -> &'static Utf8Path {
    static SHIM: OnceLock<Utf8PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let target = target_dir();
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--quiet", "--locked", "--package", "libxpc-shim", "--target-dir", target.as_str()]);
        must(clean(&mut cargo).current_dir(checkout()));
        target.join("debug")
    })
}

fn source(name: &str) -> Utf8PathBuf {
    checkout().join("tests/c").join(name)
}

/// Compiles one of the sources for this machine, and puts it in the place of another program.
fn compile(name: &str, program: &Utf8Path) {
    let cache = tempfile::tempdir().expect("a temporary folder can be made");
    let mut cc = linking_clang("native", cache.path());
    cc.args(["-Wall", "-Wextra", "-Werror", "-g0"]).arg("-I").arg(source("include")).arg(source(name));
    cc.arg("-L").arg(shim()).arg("-lxpc_shim").arg(format!("-Wl,-rpath,{}", shim()));
    fs_err::remove_file(program).expect("the program in Rust is there");
    must(cc.arg("-o").arg(program));
}

/// The scaffold whose programs are replaced. It names its service `com.example.c-programs.service`.
fn scaffold() -> &'static Project {
    static SCAFFOLD: OnceLock<Project> = OnceLock::new();
    SCAFFOLD.get_or_init(|| {
        let project = Project::scaffold("c-programs");
        project.xpc(&["bundle"]).ok();
        project
    })
}

const SERVICE: &str = "com.example.c-programs.service";

/// A copy of the scaffold's bundle, with these of its programs replaced by ones in C: the app, the service.
struct Replaced(tempfile::TempDir);

impl Replaced {
    fn new(app: Option<&str>, service: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        must(Command::new("cp").arg("-a").arg(scaffold().bundle("c-programs")).arg(folder.path()));
        let this = Self(folder);
        if let Some(source) = app {
            compile(source, &this.program("MacOS/c-programs"));
        }
        if let Some(source) = service {
            compile(source, &this.program("XPCServices/c-programs-service.xpc/Contents/MacOS/c-programs-service"));
        }
        this
    }

    fn program(&self, path: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.0.path()).expect("UTF-8").join("c-programs.app/Contents").join(path)
    }

    /// What the app prints, a line each.
    fn says(&self, args: &[&str]) -> Vec<String> {
        let mut app = Command::new(self.program("MacOS/c-programs"));
        text(&must(clean(&mut app).args(args)).stdout).lines().map(str::to_owned).collect()
    }
}

const GREETED: [&str; 5] = [
    "asking with name",
    "waited: Hello, Ada!",
    "called back: Hello, Ada!",
    "called back: Hello, Ada!",
    "interrupted 0, invalid 2",
];

#[test]
fn a_client_in_c_talks_to_a_service_in_rust() {
    let bundle = Replaced::new(Some("client.c"), None);
    assert_eq!(bundle.says(&[SERVICE, "greet", "Ada"]), GREETED);
}

#[test]
fn a_service_in_c_talks_to_a_client_in_rust() {
    let bundle = Replaced::new(None, Some("service.c"));
    assert_eq!(bundle.says(&["Grace"]), ["Hello, Grace!"]);
}

#[test]
fn both_in_c_talk_to_each_other() {
    let bundle = Replaced::new(Some("client.c"), Some("service.c"));
    assert_eq!(bundle.says(&[SERVICE, "greet", "Ada"]), GREETED);
    let said = ["message: 1", "message: 2", "waited: Connection interrupted", "waited: Hello, again!", "message: 1"];
    assert_eq!(bundle.says(&[SERVICE, "lifetime"]), [&said[..], &["interrupted 1, invalid 2"]].concat());
}

#[test]
fn the_same_sources_compile_with_apples_headers() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for target in ["aarch64", "x86_64"] {
        for name in ["client.c", "service.c"] {
            let mut cc = linking_clang(&format!("{target}-macos.{OLDEST}"), folder.path());
            must(cc.args(["-Wall", "-Wextra", "-Werror"]).arg(source(name)).arg("-o").arg(folder.path().join(name)));
        }
    }
}
