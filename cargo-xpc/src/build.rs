//! Runs the plan's cargo commands and reads which programs came out.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::process::Stdio;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::Message;

use crate::bundle::{staging::StagingError, tree};
use crate::child;
use crate::exit::{Coded, Exit};
use crate::plan::{BuildCommand, BundlePart};

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The command could not be started.
    #[error("cannot run `{program}`")]
    Start {
        /// Which.
        program: Utf8PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// cargo's own message stands on the terminal already.
    #[error("cargo could not build `{bin}` of package `{package}` for {target}; its message stands above{help}")]
    Failed {
        /// The binary.
        bin: String,
        /// Its package.
        package: String,
        /// The target.
        target: String,
        /// A line of help, where this machine lacks what the program may need.
        help: &'static str,
    },
    /// cargo said that all went well but named no program.
    #[error("cargo built `{bin}` of package `{package}` but did not say where it is")]
    NoProgram {
        /// The binary.
        bin: String,
        /// Its package.
        package: String,
    },
    /// A folder that the command needs cannot be made. The message names it.
    #[error("cannot prepare the build")]
    Folder(#[source] std::io::Error),
    /// The program that was built cannot be taken from where cargo put it.
    #[error(transparent)]
    Keep(#[from] StagingError),
    /// cargo-zigbuild is there, zig is not.
    #[error(
        "cargo-zigbuild finds no zig, which links for {target}; its message stands above\nhelp: run `pip install ziglang`, or install zig"
    )]
    NoZig {
        /// The target.
        target: String,
    },
    /// cargo's messages could not be read.
    #[error("cannot read cargo's messages")]
    Messages(#[source] std::io::Error),
}

impl Coded for BuildError {
    fn exit_code(&self) -> Exit {
        match self {
            Self::Start { .. } | Self::NoZig { .. } => Exit::Unavailable,
            Self::Keep(error) => error.exit_code(),
            Self::Failed { .. } => Exit::Build,
            Self::NoProgram { .. } => Exit::Software,
            Self::Messages(_) | Self::Folder(_) => Exit::Io,
        }
    }
}

/// The programs of each part, by the part's path in the bundle; one a target, in the plan's order.
#[derive(Clone, Debug, Default)]
pub struct BuiltArtifacts {
    programs: BTreeMap<Utf8PathBuf, Vec<Utf8PathBuf>>,
    kept: usize,
}

impl BuiltArtifacts {
    /// The programs that were built for a part.
    pub fn of(&self, part: &BundlePart) -> &[Utf8PathBuf] {
        self.programs.get(&part.path).map_or(&[], Vec::as_slice)
    }
}

/// Runs every command of the parts in `folder`; `before` is told of each. What comes out is copied to `programs` at once:
/// cargo has one place for all programs of a name, and the next command, or anybody's, may build another one there.
///
/// # Errors
/// At the first program that cannot be built.
pub fn build<'a>(
    parts: impl IntoIterator<Item = &'a BundlePart>,
    folder: &Utf8Path,
    programs: &Utf8Path,
    mut before: impl FnMut(&BundlePart, &BuildCommand),
) -> Result<BuiltArtifacts, BuildError> {
    let mut artifacts = BuiltArtifacts::default();
    for part in parts {
        for command in &part.builds {
            before(part, command);
            let program = run(part, command, folder)?;
            let kept = programs.join(format!("{kept}-{}", part.program.bin, kept = artifacts.kept));
            tree::copy_file(&program, &kept)?;
            artifacts.kept += 1;
            artifacts.programs.entry(part.path.clone()).or_default().push(kept);
        }
    }
    Ok(artifacts)
}

fn run(part: &BundlePart, command: &BuildCommand, folder: &Utf8Path) -> Result<Utf8PathBuf, BuildError> {
    let mut process = child::command(&command.program);
    process.args(&command.args).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped());
    process.envs(command.env.iter().map(|(name, value)| (name, value)));
    for folder in &command.folders {
        fs_err::create_dir_all(folder).map_err(BuildError::Folder)?;
    }
    let start = |source| BuildError::Start { program: command.program.clone(), source };
    let mut child = process.spawn().map_err(start)?;
    let mut program = None;
    if let Some(stdout) = child.stdout.take() {
        for message in Message::parse_stream(BufReader::new(stdout)) {
            if let Message::CompilerArtifact(artifact) = message.map_err(BuildError::Messages)? {
                let ours = artifact.target.is_bin() && artifact.target.name == part.program.bin;
                if ours && artifact.manifest_path == part.program.manifest {
                    program = artifact.executable;
                }
            }
        }
    }
    let status = child.wait().map_err(BuildError::Messages)?;
    let (bin, package) = (part.program.bin.clone(), part.program.package.clone());
    if !status.success() && lacks_zig(command) {
        return Err(BuildError::NoZig { target: command.target.clone() });
    }
    if !status.success() {
        let help = if command.is_without_sdk() { WITHOUT_SDK } else { "" };
        return Err(BuildError::Failed { bin, package, target: command.target.clone(), help });
    }
    program.ok_or(BuildError::NoProgram { bin, package })
}

/// What a program links, cargo says in its own words only.
const WITHOUT_SDK: &str = "\nhelp: where a framework is missing: without an Apple SDK programs link with libSystem alone; set SDKROOT to the folder of a macOS SDK, or build on a Mac";

/// Asked only once something went wrong.
fn lacks_zig(command: &BuildCommand) -> bool {
    command.program.file_name() == Some("cargo-zigbuild")
        && child::command(&command.program)
            .args(["zig", "cc", "--", "--version"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| !status.success())
}
