//! `cargo xpc run`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::bundle::{Asked, execute, plan_job};
use super::cargo_args::{BuildArgs, ManifestArgs, SelectArgs};
use super::ui::Ui;
use super::{Failure, Outcome};
use crate::exit::Exit;
use crate::plan::{SignRequest, Targets};
use crate::workspace::cargos_own_variables;

/// Bundle an app for this machine and start it
#[derive(Debug, clap::Args)]
#[command(after_help = "Standard output and the exit status are the app's own.")]
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
    let asked = Asked {
        select: &args.select,
        build: &args.build,
        manifest: &args.manifest,
        targets: Targets::Host,
        sign: SignRequest::Default,
        out: None,
        services_only: false,
    };
    let job = plan_job(&asked, ui)?;
    // stdout is the app's from here on, also where ours would have been JSON.
    let bundles = execute(&job, &ui.without_answers())?;
    let (Some(plan), Some(bundle)) = (job.plans.first(), bundles.first()) else {
        return Err(Failure::new(Exit::Software, "there is no bundle to run"));
    };
    let program = bundle.join("Contents/MacOS").join(&plan.main.program.bin);
    ui.status("Running", &program);
    let mut command = Command::new(&program);
    command.args(&args.args);
    for name in cargos_own_variables() {
        command.env_remove(name);
    }
    // In place of this process, as `cargo run` does: signals, the terminal and the status are the app's own.
    let error = command.exec();
    Err(Failure::new(Exit::Io, format_args!("cannot start `{program}`: {error}")))
}
