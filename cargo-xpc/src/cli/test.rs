//! `cargo xpc test`.

use std::ffi::OsString;

use super::Outcome;
use super::bundle::Parts;
use super::cargo_args::{BuildArgs, ManifestArgs, SelectArgs};
use super::run::{become_another, bundle_for_this_machine};
use super::ui::{Ui, short};
use crate::child;

/// Run `cargo test` with the services of an app reachable
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The app is bundled for this machine, and the tests find its services by their names: XPC_RUNTIME_BUNDLE names the \
bundle to them. Of an app that Tauri builds only the services are made. On macOS launchd lets only programs inside of a bundle reach its services, and test programs stand \
outside. Standard output and the exit status are `cargo test`'s own.

Examples:
  cargo xpc test
  cargo xpc test greets -p demo -- --nocapture")]
pub struct TestArgs {
    /// Run only tests whose name contains this
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
    /// The app whose services are wanted, where there are several
    #[arg(long, value_name = "APP", help_heading = "Package selection")]
    app: Option<String>,
    /// Package to run the tests of
    #[arg(short, long, value_name = "NAME", help_heading = "Package selection")]
    package: Vec<String>,
    /// Test all packages of the workspace
    #[arg(long, help_heading = "Package selection")]
    workspace: bool,
    /// Package not to test
    #[arg(long, value_name = "NAME", requires = "workspace", help_heading = "Package selection")]
    exclude: Vec<String>,
    /// Test only the library
    #[arg(long, help_heading = "Target selection")]
    lib: bool,
    /// Test only all binaries
    #[arg(long, help_heading = "Target selection")]
    bins: bool,
    /// Test only the named integration test
    #[arg(long, value_name = "NAME", help_heading = "Target selection")]
    test: Vec<String>,
    /// Test only the documentation
    #[arg(long, help_heading = "Target selection")]
    doc: bool,
    /// Run all tests, whether or not some fail
    #[arg(long)]
    no_fail_fast: bool,
    #[command(flatten)]
    build: BuildArgs,
    #[command(flatten)]
    manifest: ManifestArgs,
    /// Arguments for the test programs
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

/// The subcommand.
pub fn run(args: &TestArgs, ui: &Ui) -> Outcome {
    if cfg!(target_os = "macos") {
        ui.warn(
            "on macOS launchd lets only programs inside of a bundle reach its services: tests that connect to one will see it as invalid",
        );
    }
    let select = SelectArgs::app(args.app.clone());
    let (plan, bundle) = bundle_for_this_machine(Parts::ForTests, &select, &args.build, &args.manifest, ui)?;
    let mut command = child::command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg("test").args(cargo_args(args)).args(args.build.words(ui)).args(args.manifest.words());
    // Where cargo's configuration builds for another machine by default, the tests have to be told of this one as well.
    if let Some(build) = plan.main.builds.iter().find(|build| build.names_target()) {
        command.arg("--target").arg(&build.target);
    }
    if let Some(filter) = &args.filter {
        command.arg(filter);
    }
    if !args.args.is_empty() {
        command.arg("--").args(&args.args);
    }
    command.env("XPC_RUNTIME_BUNDLE", &bundle);
    ui.status("Testing", format_args!("with the services of {}", short(&bundle)));
    become_another(command)
}

fn cargo_args(args: &TestArgs) -> Vec<String> {
    let flags = [
        (args.workspace, "--workspace"),
        (args.lib, "--lib"),
        (args.bins, "--bins"),
        (args.doc, "--doc"),
        (args.no_fail_fast, "--no-fail-fast"),
    ];
    let flags = flags.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag.to_owned());
    let lists = [("--package", &args.package), ("--exclude", &args.exclude), ("--test", &args.test)];
    let lists = lists.into_iter().flat_map(|(flag, names)| names.iter().map(move |name| format!("{flag}={name}")));
    flags.chain(lists).collect()
}
