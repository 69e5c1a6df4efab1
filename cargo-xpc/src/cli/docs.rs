//! `cargo xpc completions` and `cargo xpc man`: the command line described for shells and readers.

use camino::Utf8PathBuf;
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Failure, Outcome, ui::Ui};
use crate::exit::Exit;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Write the manual pages
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Folder to write `cargo-xpc.1`, `cargo-xpc-new.1`, … into
    #[arg(long, value_name = "DIR")]
    out: Utf8PathBuf,
}

/// The script completes `cargo-xpc …`, the name under which shells know the program.
pub fn completions(args: &CompletionsArgs, ui: &Ui) -> Outcome {
    if ui.is_json() {
        return Err(Failure::new(Exit::Usage, "a completion script is no JSON: leave --message-format out"));
    }
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cargo-xpc", &mut script);
    ui.stdout(String::from_utf8_lossy(&script).trim_end());
    Ok(Exit::Ok.into())
}

/// One page a subcommand.
pub fn man(args: &ManArgs, ui: &Ui) -> Outcome {
    let write = |error: std::io::Error| Failure::new(Exit::Io, format_args!("cannot write the manual: {error}"));
    fs_err::create_dir_all(&args.out).map_err(write)?;
    let command = Cli::command().name("cargo-xpc").bin_name("cargo-xpc");
    clap_mangen::generate_to(command, &args.out).map_err(write)?;
    ui.status("Wrote", format_args!("the manual pages to {}", args.out));
    Ok(Exit::Ok.into())
}
