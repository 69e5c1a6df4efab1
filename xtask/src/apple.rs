//! The Apple backend on Linux: over the shim of libxpc, without and with the sanitizers.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::env::{Outcome, command, host, run, target};
use crate::sanitizer::Sanitizer;
use crate::stages::nightly;

/// Where a program finds the shim: in its app's bundle, which a sandboxed service can read, else where it was built.
const RPATHS: [&str; 2] = ["$ORIGIN/../Frameworks", "$ORIGIN/../../../../Frameworks"];
const SHIM: &str = "libxpc_shim.so";

/// The runtime's tests, without those of the portable backend's launcher.
const TESTS: [&str; 8] = [
    "--test=awkward",
    "--test=launcher",
    "--test=logging",
    "--test=mach",
    "--test=over_shim",
    "--test=requests",
    "--test=serde",
    "--test=tasks",
];

/// The stage.
pub fn stage() -> Outcome {
    if !cfg!(target_os = "linux") {
        println!("the shim of libxpc is Linux's; here the real one is tested");
        return Ok(());
    }
    nightly(&["rust-src"])?;
    // Each, also after one that failed: one run should tell all that is wrong.
    let ways = std::iter::once(None).chain(Sanitizer::ALL.map(Some));
    let failed: Vec<String> = ways.filter_map(|way| Build::new(way).and_then(|build| build.test()).err()).collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// An app, with the shim of its own bundle: the cargo that runs this has left where it built another.
fn started(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_remove("LD_LIBRARY_PATH");
    command
}

/// One way to build all of it, in a target directory of its own.
struct Build {
    sanitizer: Option<Sanitizer>,
    host: String,
    folder: PathBuf,
    flags: Vec<String>,
}

impl Build {
    fn new(sanitizer: Option<Sanitizer>) -> Outcome<Self> {
        let host = host()?;
        let name = sanitizer.map_or(String::new(), |sanitizer| format!("-{}", sanitizer.name()));
        let folder = target().join(format!("apple-shim{name}"));
        let programs = folder.join(&host).join("debug");
        let mut flags = vec!["--cfg=xpc_runtime_force_apple".to_owned()];
        flags.push(format!("-Lnative={}", programs.display()));
        flags.push(format!("-Clink-arg=-Wl,-rpath,{}:{}", RPATHS.join(":"), programs.display()));
        if let Some(sanitizer) = sanitizer {
            flags.extend(sanitizer.flags(&folder)?);
        }
        Ok(Self { sanitizer, host, folder, flags })
    }

    fn test(&self) -> Outcome {
        if self.sanitizer.is_none() {
            let lint = ["--package", "xpc-runtime", "--package", "libxpc-shim", "--all-targets", "--", "-Dwarnings"];
            run(&mut self.cargo("clippy", &lint))?;
        }
        // Programs are linked with the shim by its name: cargo does not know that they need it.
        run(&mut self.cargo("build", &["--package", "libxpc-shim"]))?;
        run(&mut self.cargo("test", &["--package", "libxpc-shim", "--tests"]))?;
        run(self.cargo("test", &["--package", "xpc-runtime", "--package", "xpc-runtime-tests", "--lib"]).args(TESTS))?;
        self.examples()?;
        let conformance = self.app("conformance", "Conformance")?;
        run(&mut started(&conformance))?;
        // Before macOS 26, requirements of peers are no objects.
        run(started(&conformance).args(["requirement", "peer"]).env("XPC_SHIM_MACOS", "14.4"))?;
        // What it says here is the shim's, but that it can ask everything is its own. Services die in it by intent.
        let facts = self.app("macos-facts", "Facts")?;
        run(started(&facts).env("XPC_RUNTIME_THROTTLE", "0"))
    }

    /// The examples say what they say without it.
    fn examples(&self) -> Outcome {
        run(&mut self.cargo("test", &["--package", "notebook", "--tests"]))?;
        let evaluator = self.app("evaluator", "evaluator")?;
        let asked = started(&evaluator).args(["(1 + 2) * 3", "1 / 0", "6 * 7"]).output();
        let said = asked.map_err(|e| format!("cannot run the evaluator: {e}"))?;
        match String::from_utf8_lossy(&said.stdout).as_ref() {
            "(1 + 2) * 3 = 9\n1 / 0: division by zero\n6 * 7 = 42\n" => Ok(()),
            other => Err(format!("the evaluator said {other:?}, and {}", String::from_utf8_lossy(&said.stderr))),
        }
    }

    /// An app with the shim in it; the program to start, which has the package's name.
    fn app(&self, package: &str, name: &str) -> Outcome<PathBuf> {
        run(&mut command("cargo", &["build", "--quiet", "--locked", "--package", "cargo-xpc"]))?;
        let mut bundle = command(target().join("debug/cargo-xpc"), &["xpc", "bundle", "--quiet"]);
        bundle.args(["--package", package, "--target", &self.host]);
        run(self.environment(&mut bundle))?;
        let contents = self.folder.join("xpc").join(&self.host).join("debug").join(format!("{name}.app/Contents"));
        let frameworks = contents.join("Frameworks");
        let failed = |e: std::io::Error| format!("{}: {e}", frameworks.display());
        std::fs::create_dir_all(&frameworks).map_err(failed)?;
        let shim = self.folder.join(&self.host).join("debug").join(SHIM);
        std::fs::copy(shim, frameworks.join(SHIM)).map_err(failed)?;
        Ok(contents.join("MacOS").join(package))
    }

    fn cargo(&self, what: &str, args: &[&str]) -> Command {
        let mut cargo = command("cargo", &[what, "--locked", "--quiet", "--target", &self.host]);
        self.environment(cargo.args(args));
        cargo
    }

    /// Has cargo, or the tool that runs it, build this way.
    fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env_remove("LD_LIBRARY_PATH");
        command.env("CARGO_TARGET_DIR", &self.folder).env("CARGO_ENCODED_RUSTFLAGS", self.flags.join("\x1f"));
        if self.sanitizer.is_some() {
            // The cargo that runs this names itself there, and the tool would take it.
            command.env("RUSTUP_TOOLCHAIN", "nightly").env_remove("CARGO");
        }
        // AddressSanitizer sees every allocation of the standard library's as it is. A data race it would report where
        // the library's own code synchronises, if it did not know that code.
        if self.sanitizer == Some(Sanitizer::Thread) {
            command.env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort,panic_unwind,proc_macro,test");
        }
        command
    }
}
