//! `cargo xpc run`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use camino::Utf8PathBuf;

use super::bundle::{Asked, Parts, execute, plan_job};
use super::cargo_args::{BuildArgs, ManifestArgs, SelectArgs};
use super::ui::{Ui, short};
use super::{Failure, Outcome};
use crate::child;
use crate::exit::Exit;
use crate::plan::{BundlePlan, SignRequest, Targets};

/// Bundle an app for this machine and start it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Standard output and the exit status are the app's own. Services start when the app sends them something; what they write \
appears on standard error, after their names.

Examples:
  cargo xpc run
  cargo xpc run --release -- --an-option of-the-app")]
pub struct RunArgs {
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    build: BuildArgs,
    #[command(flatten)]
    manifest: ManifestArgs,
    /// Arguments for the app
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

/// The subcommand.
pub fn run(args: &RunArgs, ui: &Ui) -> Outcome {
    let (plan, bundle) = bundle_for_this_machine(Parts::App, &args.select, &args.build, &args.manifest, ui)?;
    let program = bundle.join("Contents/MacOS").join(&plan.main.program.bin);
    ui.status("Running", short(&program));
    let mut command = child::command(&program);
    command.args(&args.args);
    become_another(command)
}

/// An app's bundle, published where `bundle` has it, and the plan of what was made last.
pub(super) fn bundle_for_this_machine(
    parts: Parts,
    select: &SelectArgs,
    build: &BuildArgs,
    manifest: &ManifestArgs,
    ui: &Ui,
) -> Result<(BundlePlan, Utf8PathBuf), Failure> {
    let asked = Asked { select, build, manifest, targets: Targets::Host, sign: SignRequest::Default, out: None, parts };
    let mut job = plan_job(&asked, ui)?;
    // stdout belongs to what is started, also where ours would have been JSON.
    let bundle = execute(&job, &ui.without_answers())?.pop();
    let made = job.plans.pop().zip(bundle).ok_or_else(|| Failure::new(Exit::Software, "there is no bundle"));
    made.map(|(plan, bundle)| {
        // A service without an app stands where it would in one.
        let app = bundle.ancestors().find(|above| above.extension() == Some("app")).unwrap_or(&bundle).to_owned();
        (plan, app)
    })
}

/// In place of this process, as `cargo run` does: signals, the terminal and the status are the other program's own.
pub(super) fn become_another(mut command: Command) -> Outcome {
    let error = command.exec();
    let program = command.get_program().to_string_lossy();
    Err(Failure::new(Exit::Io, format_args!("cannot start `{program}`: {error}")))
}
