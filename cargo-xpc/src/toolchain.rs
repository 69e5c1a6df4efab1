//! What this machine builds with: asked once, so that planning needs neither the environment nor the file system's help.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_config2::{Config, PathAndArgs, ResolveOptions};
use serde::Serialize;

use crate::child;
use crate::exit::{Coded, Exit};

/// Why a target cannot be built for here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolchainError {
    /// cargo's configuration files or rustc do not answer.
    #[error("cannot read cargo's configuration: {0}")]
    Config(#[from] cargo_config2::Error),
    /// rustc is missing or refuses.
    #[error("cannot ask rustc about itself: {0}")]
    Rustc(String),
    /// No standard library for a target.
    #[error(
        "the standard library for `{target}` is not installed ({folder} has none)\nhelp: run `rustup target add {target}{toolchain}`"
    )]
    NoStd {
        /// The target.
        target: String,
        /// Where it should be.
        folder: Utf8PathBuf,
        /// ` --toolchain …`, where one was chosen.
        toolchain: String,
    },
    /// A triple that nobody knows.
    #[error("`{0}` is no target that rustc knows; `rustc --print target-list` shows them all")]
    NoSuchTarget(String),
    /// Nothing that can link for Apple targets.
    #[error(
        "linking for `{0}` on this system needs cargo-zigbuild, which is not on the PATH\nhelp: run `pip install cargo-zigbuild`, which brings zig with it (or `cargo install --locked cargo-zigbuild`, and install zig 0.13 or newer); a linker of your own is used if CARGO_TARGET_<TRIPLE>_LINKER names it"
    )]
    NoZigbuild(String),
}

impl Coded for ToolchainError {
    fn exit_code(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Rustc(_) | Self::NoSuchTarget(_) => Exit::Usage,
            Self::NoStd { .. } | Self::NoZigbuild(_) => Exit::Unavailable,
        }
    }
}

/// Who links for a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Linker {
    /// cargo's own choice or the user's.
    Cargo,
    /// `cargo-zigbuild`, at this path.
    Zigbuild(Utf8PathBuf),
}

/// What is known of one target.
#[derive(Clone, Debug)]
pub struct TargetTools {
    /// The rustflags in force, wherever the user set them.
    pub rustflags: Vec<String>,
    /// Who links.
    pub linker: Linker,
}

/// What this machine builds with.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// The cargo that runs us, or the one on the PATH.
    pub cargo: Utf8PathBuf,
    /// `$CARGO_HOME`.
    pub cargo_home: Option<Utf8PathBuf>,
    /// Where the sources of the standard library are, if they are installed, and what rustc calls them.
    pub rust_source: (Utf8PathBuf, String),
    /// Whether the user has an SDK for the linker (`SDKROOT`).
    pub has_sdk: bool,
    /// Each target that was asked about.
    pub targets: BTreeMap<String, TargetTools>,
}

/// Whether a triple is one of macOS.
pub fn is_macos(triple: &str) -> bool {
    triple.ends_with("-apple-darwin")
}

/// This machine, before it is decided what to build for.
#[derive(Debug)]
pub struct Machine {
    folder: Utf8PathBuf,
    config: Config,
    rustc: PathAndArgs,
    /// The triple of this machine.
    pub host: String,
    /// `build.target` of cargo's configuration.
    pub configured: Vec<String>,
    commit: String,
    sysroot: Utf8PathBuf,
}

/// Asks cargo's configuration, as seen from `folder`, and rustc.
///
/// # Errors
/// Where they do not answer.
pub fn machine(folder: &Utf8Path) -> Result<Machine, ToolchainError> {
    let config = Config::load_with_options(folder, ResolveOptions::default())?;
    let rustc = config.rustc().clone();
    let about = ask(&rustc, &["-vV"])?;
    let line = |name: &str| about.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.trim().to_owned());
    let host = line("host:").ok_or_else(|| ToolchainError::Rustc(format!("`rustc -vV` names no host:\n{about}")))?;
    let commit = line("commit-hash:").unwrap_or_else(|| "unknown".to_owned());
    let sysroot = Utf8PathBuf::from(ask(&rustc, &["--print", "sysroot"])?.trim());
    let config = Config::load_with_options(folder, discreet(&rustc, &host))?;
    let configured = config.build.target.iter().flatten().map(|target| target.triple().to_owned()).collect();
    Ok(Machine { folder: folder.to_owned(), config, rustc, host, configured, commit, sysroot })
}

impl Machine {
    /// What each target is built with.
    ///
    /// # Errors
    /// Where something that a target needs is not installed, with the command that installs it.
    pub fn tools(&self, targets: &[String]) -> Result<Toolchain, ToolchainError> {
        let mut tools = BTreeMap::new();
        for target in targets {
            self.check_std(target)?;
            let rustflags = self.config.rustflags(target.as_str())?.map(|flags| flags.flags).unwrap_or_default();
            let foreign = is_macos(target) && !is_macos(&self.host);
            let linker = if foreign && self.config.linker(target.as_str())?.is_none() {
                Linker::Zigbuild(find("cargo-zigbuild").ok_or_else(|| ToolchainError::NoZigbuild(target.clone()))?)
            } else {
                Linker::Cargo
            };
            tools.insert(target.clone(), TargetTools { rustflags, linker });
        }
        Ok(Toolchain {
            cargo: std::env::var("CARGO").map_or_else(|_| Utf8PathBuf::from("cargo"), Utf8PathBuf::from),
            cargo_home: cargo_home().map(|home| crate::workspace::normal(&self.folder.join(home))),
            rust_source: (self.sysroot.join("lib/rustlib/src/rust"), format!("/rustc/{}", self.commit)),
            has_sdk: std::env::var_os("SDKROOT").is_some_and(|path| !path.is_empty()),
            targets: tools,
        })
    }

    fn check_std(&self, target: &str) -> Result<(), ToolchainError> {
        let folder = self.sysroot.join("lib/rustlib").join(target).join("lib");
        let is_std = |name: &str| name.starts_with("libstd-") && name.ends_with(".rlib");
        let found = fs_err::read_dir(&folder)
            .map(|entries| entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_std)))
            .unwrap_or(false);
        if found {
            return Ok(());
        }
        let known = ask(&self.rustc, &["--print", "target-list"])?;
        if !known.lines().any(|line| line == target) {
            return Err(ToolchainError::NoSuchTarget(target.to_owned()));
        }
        let toolchain =
            std::env::var("RUSTUP_TOOLCHAIN").map(|name| format!(" --toolchain {name}")).unwrap_or_default();
        Err(ToolchainError::NoStd { target: target.to_owned(), folder, toolchain })
    }
}

/// cargo-config2 asks cargo for the host, which is known by now, and rustc for what `cfg(…)` stands for, with all variables that
/// this process has: `env` takes away those that are withheld.
fn discreet(rustc: &PathAndArgs, host: &str) -> ResolveOptions {
    let options = ResolveOptions::default().host_triple(host);
    let secret = child::secret();
    if secret.is_empty() {
        return options;
    }
    let mut env = PathAndArgs::new("env");
    for name in secret {
        env.arg("-u").arg(name);
    }
    env.arg(&rustc.path).args(&rustc.args);
    options.rustc(env)
}

fn ask(rustc: &PathAndArgs, args: &[&str]) -> Result<String, ToolchainError> {
    let output = child::command(&rustc.path)
        .args(&rustc.args)
        .args(args)
        .output()
        .map_err(|e| ToolchainError::Rustc(format!("`{}` cannot be started: {e}", rustc.path.display())))?;
    if !output.status.success() {
        return Err(ToolchainError::Rustc(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn cargo_home() -> Option<Utf8PathBuf> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(Utf8PathBuf::from);
    set("CARGO_HOME").or_else(|| Some(set("HOME")?.join(".cargo")))
}

/// A program on the PATH.
fn find(program: &str) -> Option<Utf8PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    std::env::split_paths(&std::env::var_os("PATH")?)
        .filter_map(|folder| Utf8PathBuf::from_path_buf(folder).ok())
        .map(|folder| folder.join(program))
        .find(|path| fs_err::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0))
}
