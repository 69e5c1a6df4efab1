//! `cargo xpc completions` and `cargo xpc man`: the command line described for shells and readers.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Failure, Outcome, ui::Ui};
use crate::exit::Exit;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
In bash, zsh and fish `cargo xpc …` is completed as well as `cargo-xpc …`, which is all that the others know.

Examples:
  source <(cargo xpc completions bash)                in ~/.bashrc
  cargo xpc completions zsh > DIR/_cargo-xpc          DIR being one of $fpath
  cargo xpc completions fish > ~/.config/fish/conf.d/cargo-xpc.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Write the manual pages
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xpc man --out ~/.local/share/man/man1         then: man cargo-xpc")]
pub struct ManArgs {
    /// Folder to write `cargo-xpc.1`, `cargo-xpc-new.1`, … into
    #[arg(long, value_name = "DIR")]
    out: Utf8PathBuf,
}

/// Shells know the program as `cargo-xpc`; people write `cargo xpc`, and cargo's own completion knows nothing of what follows. zsh's asks
/// for a function called `_cargo-xpc`, which is what this script's is called.
const NAME: &str = "cargo-xpc";
const BASH: &str = include_str!("completions/cargo.bash");
const FISH: &str = include_str!("completions/cargo.fish");

/// The script for a shell.
pub fn completions(args: &CompletionsArgs, ui: &Ui) -> Outcome {
    if ui.is_json() {
        return Err(Failure::new(Exit::Usage, "a completion script is no JSON: leave --message-format out"));
    }
    // The generator for bash makes two names of one with a dash.
    let name = if args.shell == Shell::Bash { "cargo_xpc" } else { NAME };
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command().bin_name(name), name, &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    match args.shell {
        Shell::Bash => script = script.replace("-o default cargo_xpc\n", "-o default cargo-xpc\n") + BASH,
        Shell::Fish => script += FISH,
        _ => {}
    }
    ui.stdout(script.trim_end());
    Ok(Exit::Ok.into())
}

/// One page a subcommand.
pub fn man(args: &ManArgs, ui: &Ui) -> Outcome {
    let write = |error: io::Error| Failure::new(Exit::Io, format_args!("cannot write the manual: {error}"));
    fs_err::create_dir_all(&args.out).map_err(write)?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    page(&command, &args.out).map_err(write)?;
    ui.status("Wrote", format_args!("the manual pages to {}", args.out));
    ui.json("manual-finished", &serde_json::json!({ "folder": args.out }));
    Ok(Exit::Ok.into())
}

fn page(command: &clap::Command, folder: &Utf8Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        page(below, folder)?;
    }
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone())
        .source(concat!("cargo-xpc ", env!("CARGO_PKG_VERSION")))
        .manual("cargo xpc")
        .render(&mut text)?;
    // Its own name for what stands below the options: what there is to know besides, and examples.
    let text = String::from_utf8_lossy(&text).replace("\n.SH EXTRA\n", "\n.SH NOTES\n");
    fs_err::write(folder.join(format!("{name}.1")), text)
}
