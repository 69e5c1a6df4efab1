//! The command line: the only room that prints or ends the process.
//!
//! One file a subcommand: its clap arguments, and a `run` that turns them into a request for the stages.

use std::ffi::OsString;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::exit::{Coded, EXIT_CODES, Exit};

mod bundle;
mod cargo_args;
mod docs;
mod embed;
mod identity;
mod inspect;
mod list;
mod new;
mod plist;
mod run;
mod sign;
mod signing;
mod test;
pub mod ui;
mod verify;

use ui::{MessageFormat, Ui, Verbosity};

/// Where bugs are reported.
const ISSUES: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/issues");

/// Scaffold, build, bundle, sign and run XPC services written in Rust.
#[derive(Debug, Parser)]
#[command(name = "cargo-xpc", bin_name = "cargo xpc", version, after_help = EXIT_CODES, propagate_version = true)]
#[command(subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Args)]
#[command(next_display_order = 900)]
struct Global {
    /// Form of the answers
    #[arg(long, global = true, value_enum, value_name = "FMT", default_value = "human", help_heading = "Output")]
    message_format: MessageFormat,
    /// Show every command that is run
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet", help_heading = "Output")]
    verbose: u8,
    /// Show errors and the answer only
    #[arg(short, long, global = true, help_heading = "Output")]
    quiet: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value = "auto", help_heading = "Output")]
    #[arg(env = "CARGO_TERM_COLOR", hide_env_values = true)]
    color: Color,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(new::NewArgs),
    Bundle(Box<bundle::BundleArgs>),
    Embed(Box<embed::EmbedArgs>),
    Run(Box<run::RunArgs>),
    Test(Box<test::TestArgs>),
    Sign(Box<sign::SignArgs>),
    Identity(identity::IdentityArgs),
    Verify(verify::VerifyArgs),
    Inspect(inspect::InspectArgs),
    List(list::ListArgs),
    Plist(plist::PlistArgs),
    Completions(docs::CompletionsArgs),
    Man(docs::ManArgs),
}

/// An error at the edge: what to say, and which exit code.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    /// A failure that is decided in the command line itself.
    pub fn new(exit: Exit, message: impl std::fmt::Display) -> Self {
        Self { exit, error: anyhow::anyhow!("{message}") }
    }
}

impl<E: Coded> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { exit: error.exit_code(), error: error.into() }
    }
}

/// What a subcommand's `run` returns: an exit code, since `run` passes the app's own on.
pub type Outcome = Result<ExitCode, Failure>;

/// The whole program: `args` as the operating system gave them, the answer as an exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    panic::set_hook(Box::new(report_bug));
    match panic::catch_unwind(AssertUnwindSafe(|| run_inner(args.into_iter().collect()))) {
        Ok(exit) => exit,
        Err(_) => Exit::Software.into(),
    }
}

fn run_inner(mut args: Vec<OsString>) -> ExitCode {
    // cargo runs `cargo-xpc xpc …`; a person may run `cargo-xpc …`.
    if args.get(1).is_some_and(|first| first == "xpc") {
        args.remove(1);
    }
    // What decides about the form of a usage error has to be found before there is anything parsed.
    let words: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    let says = |option: &str, value: &str| {
        words.windows(2).any(|pair| pair == [option, value]) || words.contains(&format!("{option}={value}").as_str())
    };
    let wants_json = says("--message-format", "json");
    let colors = [(anstream::ColorChoice::Always, "always"), (anstream::ColorChoice::Never, "never")];
    if let Some((choice, _)) = colors.into_iter().find(|(_, word)| says("--color", word)) {
        choice.write_global();
    }
    let matches = Cli::command().try_get_matches_from(args).inspect(identity::withhold_password);
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(usage) => {
            // clap answers 0 for `--help` and 2 for misuse, as this program does.
            let _ = usage.print();
            if usage.use_stderr() && wants_json {
                let message = usage.render().to_string();
                let ui = Ui::new(MessageFormat::Json, Verbosity::Quiet, None);
                ui.json("error", &serde_json::json!({ "message": message.trim_end(), "exit-code": Exit::Usage as u8 }));
            }
            return if usage.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    let Global { message_format, verbose, quiet, color } = cli.global;
    match color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    let verbosity = match (quiet, verbose) {
        (true, _) => Verbosity::Quiet,
        (_, 1..) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let color = match color {
        Color::Auto => None,
        Color::Always => Some("always"),
        Color::Never => Some("never"),
    };
    let ui = Ui::new(message_format, verbosity, color);
    let exit = dispatch(cli.command, &ui).unwrap_or_else(|failure| {
        ui.error(&failure.error, failure.exit);
        failure.exit.into()
    });
    if Ui::failed() { Exit::Io.into() } else { exit }
}

fn dispatch(command: Command, ui: &Ui) -> Outcome {
    match command {
        Command::New(args) => new::run(&args, ui),
        Command::Bundle(args) => bundle::run(&args, ui),
        Command::Run(args) => run::run(&args, ui),
        Command::Test(args) => test::run(&args, ui),
        Command::Verify(args) => verify::run(&args, ui),
        Command::List(args) => list::run(&args, ui),
        Command::Embed(args) => embed::run(&args, ui),
        Command::Sign(args) => sign::run(&args, ui),
        Command::Identity(args) => identity::run(&args, ui),
        Command::Inspect(args) => inspect::run(&args, ui),
        Command::Plist(args) => plist::run(&args, ui),
        Command::Completions(args) => docs::completions(&args, ui),
        Command::Man(args) => docs::man(&args, ui),
    }
}

/// The panic hook: a panic is this tool's fault, and the user should know where to say so.
#[expect(clippy::print_stderr, reason = "the process is going down; there may be no Ui to print with")]
fn report_bug(info: &panic::PanicHookInfo<'_>) {
    let what = info
        .payload()
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| info.payload().downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown cause");
    let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
    eprintln!("error: a bug in cargo-xpc {}: {what}{place}", env!("CARGO_PKG_VERSION"));
    eprintln!("help: please report it, with the command you ran, at {ISSUES}");
}
