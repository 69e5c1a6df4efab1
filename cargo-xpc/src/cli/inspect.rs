//! `cargo xpc inspect`.

use camino::Utf8PathBuf;

use super::Outcome;
use super::ui::Ui;
use crate::exit::Exit;
use crate::inspect;

/// Show what is in a bundle: identifiers, architectures, signatures, entitlements, sizes
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// The bundle; signed or not, for Apple's systems or others
    #[arg(value_name = "X.app")]
    bundle: Utf8PathBuf,
}

/// The subcommand.
pub fn run(args: &InspectArgs, ui: &Ui) -> Outcome {
    let bundle = inspect::inspect(&args.bundle)?;
    ui.out(inspect::render(&bundle));
    ui.json("bundle", &bundle);
    Ok(Exit::Ok.into())
}
