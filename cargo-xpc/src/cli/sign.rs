//! `cargo xpc sign`.

use camino::Utf8PathBuf;
use clap::ValueEnum;
use serde::Serialize;

use super::identity::SignerArgs;
use super::ui::{Ui, short};
use super::{Failure, Outcome, signing};
use crate::bundle::staging::Staging;
use crate::bundle::{publish, tree};
use crate::exit::Exit;
use crate::faults;
use crate::macho::CodeFlags;
use crate::sign::{
    self, Constrained, Constraint, Entitlements, Identity, KeptCode, Preserve, Profile, Requirement, Scope,
    SignRequest, SignedCode, ThirdParty,
};

/// Sign an app and everything in it, inside out
#[derive(Debug, clap::Args)]
#[command(after_help = "\
SCOPE names one piece of code: its path in the bundle (Contents/XPCServices/greeter.xpc), its name (greeter.xpc) or its \
identifier; `.` is the app itself. Without a scope, entitlements and the identifier are the app's own, and options go \
to every program; without a scope, a policy goes to all that somebody else signed. The bundle is copied, signed, read \
back, and replaced in one step: if anything fails it stays as it was.

Examples:
  cargo xpc sign Demo.app                   ad hoc
  cargo xpc sign Demo.app --dry-run         what would be signed, how, and why
  cargo xpc sign Demo.app --entitlements demo.entitlements \\
      --entitlements greeter.xpc=greeter.entitlements
  cargo xpc sign Demo.app --identity DeveloperID.p12 --password-file secret \\
      --timestamp http://timestamp.apple.com/ts01")]
pub struct SignArgs {
    /// The bundle
    #[arg(value_name = "X.app")]
    bundle: Utf8PathBuf,
    /// Who signs: `adhoc` (or `-`), a file (.p12, .pfx, .pem, .crt, .cer), the name of a development identity, or
    /// `keychain:NAME` on macOS; by default ad hoc
    #[arg(long, value_name = "ID", help_heading = "Identity")]
    identity: Option<String>,
    #[command(flatten)]
    signer: SignerArgs,
    /// Entitlements of one program; a program that is not named gets none
    #[arg(long, value_name = "[SCOPE=]FILE")]
    entitlements: Vec<String>,
    /// Provisioning profile of an app or a service: embedded in its bundle, and checked against what it asks for
    #[arg(long, value_name = "[SCOPE=]FILE")]
    provisioning_profile: Vec<String>,
    /// Designated requirement, instead of the one that follows from the identity: a file, or after `=` the text
    #[arg(long, value_name = "[SCOPE=]FILE|=TEXT")]
    requirements: Vec<String>,
    /// What a program demands of itself at its launch: a property list
    #[arg(long, value_name = "[SCOPE=]FILE")]
    launch_constraint_self: Vec<String>,
    /// What a program demands of the process that launches it
    #[arg(long, value_name = "[SCOPE=]FILE")]
    launch_constraint_parent: Vec<String>,
    /// What a program demands of the process that is responsible for it
    #[arg(long, value_name = "[SCOPE=]FILE")]
    launch_constraint_responsible: Vec<String>,
    /// Identifier, instead of the bundle's own
    #[arg(long, value_name = "[SCOPE=]ID")]
    identifier: Vec<String>,
    /// Flags: host, hard, kill, expires, restrict, enforcement, library, runtime
    #[arg(long, value_name = "[SCOPE=]FLAG,…")]
    options: Vec<String>,
    /// What an old signature passes on; by default nothing
    #[arg(long, value_name = "PART", value_enum, value_delimiter = ',')]
    preserve: Vec<Part>,
    /// What becomes of nested code that is signed already: keep, keep-entitlements or anew; by default programs that
    /// somebody else signed are kept, and what is loaded into a process is signed anew
    #[arg(long, value_name = "[SCOPE=]POLICY")]
    third_party: Vec<String>,
    /// For release: without the entitlement that lets a debugger attach
    #[arg(short, long)]
    release: bool,
    /// Replace the bundle in two steps where the file system cannot do it in one
    #[arg(long)]
    non_atomic: bool,
    /// Print the plan as JSON and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// A part of an old signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Entitlements of programs
    Entitlements,
    /// Flags, such as the hardened runtime
    Flags,
    /// Identifiers
    Identifier,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Finished<'a> {
    bundle: &'a Utf8PathBuf,
    identity: &'a Identity,
    code: &'a [SignedCode],
    kept: &'a [KeptCode],
    removed: &'a [Utf8PathBuf],
}

/// The subcommand.
pub fn run(args: &SignArgs, ui: &Ui) -> Outcome {
    let request = request(args)?;
    signing::put_back(&args.bundle, args.dry_run, ui)?;
    if !args.bundle.is_dir() {
        return Err(Failure::new(Exit::Usage, format_args!("`{}` is no bundle: there is no such folder", args.bundle)));
    }
    if args.dry_run {
        let plan = sign::plan(&args.bundle, &request)?;
        ui.plan("sign-plan", &plan)?;
        return Ok(Exit::Ok.into());
    }
    let staging = Staging::begin(&args.bundle, || {
        ui.status("Blocking", format_args!("waiting for another cargo xpc that works on {}", args.bundle));
    })?;
    let bundle = staging.bundle();
    ui.warn_of_litter(&tree::succeed(staging.destination(), &bundle)?);
    faults::point("staged");
    let plan = sign::prepare(&bundle, &request)?;
    signing::warn_of_removed(&plan, ui);
    signing::tell(&plan, ui);
    let signed = signing::execute(&plan, &bundle, ui)?;
    faults::point("signed");
    let published = publish::publish(&staging, publish::Replace::asked(args.non_atomic))?;
    faults::point("published");
    for code in &signed.code {
        ui.verbose("Signed", format_args!("{} as {} ({})", code.path, code.identifier, code.cdhash));
    }
    let count = match signed.code.len() {
        1 => "1 signature".to_owned(),
        count => format!("{count} signatures"),
    };
    ui.status("Signed", format_args!("{} ({}, {count})", short(&published), plan.identity));
    let finished = Finished {
        bundle: &published,
        identity: &plan.identity,
        code: &signed.code,
        kept: &plan.kept,
        removed: &plan.removed,
    };
    ui.json("sign-finished", &finished);
    // The old bundle goes with the staging folder; what is in memory of the new one takes its time, too.
    rayon::join(|| drop(staging), || drop((plan, signed)));
    Ok(Exit::Ok.into())
}

fn request(args: &SignArgs) -> Result<SignRequest, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let (identity, timestamp) = args.signer.identity(args.identity.as_deref(), "--identity")?;
    let mut request = SignRequest {
        identity,
        timestamp,
        get_task_allow: !args.release,
        preserve: Preserve {
            entitlements: args.preserve.contains(&Part::Entitlements),
            flags: args.preserve.contains(&Part::Flags),
            identifier: args.preserve.contains(&Part::Identifier),
        },
        ..SignRequest::default()
    };
    for text in &args.entitlements {
        let (scope, file) = split(text)?;
        request.entitlements.push((scope.unwrap_or_else(Scope::main), Entitlements::read(file.into())?));
    }
    request.profiles = profiles(&args.provisioning_profile)?;
    for text in &args.requirements {
        request.requirements.push(requirement(text)?);
    }
    for (on, files) in [
        (Constrained::Itself, &args.launch_constraint_self),
        (Constrained::Parent, &args.launch_constraint_parent),
        (Constrained::Responsible, &args.launch_constraint_responsible),
    ] {
        for text in files {
            let (scope, file) = split(text)?;
            request.constraints.push((scope.unwrap_or_else(Scope::main), Constraint::read(on, file.into())?));
        }
    }
    for text in &args.identifier {
        let (scope, identifier) = split(text)?;
        request.identifiers.push((scope.unwrap_or_else(Scope::main), identifier.to_owned()));
    }
    request.third_party = third_party(&args.third_party)?;
    for text in &args.options {
        let (scope, flags) = split(text)?;
        let flags = flags.parse::<CodeFlags>().map_err(|error| usage(error.to_string()))?;
        request.flags.push((scope, flags));
    }
    Ok(request)
}

/// `[SCOPE=]POLICY`, as often as it was given.
pub(super) fn third_party(asked: &[String]) -> Result<Vec<(Option<Scope>, ThirdParty)>, Failure> {
    let policy = |text: &String| {
        let (scope, policy) = split(text)?;
        Ok((scope, policy.parse()?))
    };
    asked.iter().map(policy).collect()
}

/// `[SCOPE=]FILE`, as often as it was given.
pub(super) fn profiles(asked: &[String]) -> Result<Vec<(Scope, Profile)>, Failure> {
    let profile = |text: &String| {
        let (scope, file) = split(text)?;
        Ok((scope.unwrap_or_else(Scope::main), Profile::read(file.into())?))
    };
    asked.iter().map(profile).collect()
}

/// `FILE`, `SCOPE=FILE`, `=TEXT` or `SCOPE==TEXT`: a text is marked, as for `codesign -r`, since it may have a `=` itself.
fn requirement(text: &str) -> Result<(Scope, Requirement), Failure> {
    if let Some(text) = text.strip_prefix('=') {
        return Ok((Scope::main(), Requirement::compile(text)?));
    }
    let (scope, value) = split(text)?;
    let requirement = match value.strip_prefix('=') {
        Some(text) => Requirement::compile(text)?,
        None => Requirement::read(value.into())?,
    };
    Ok((scope.unwrap_or_else(Scope::main), requirement))
}

/// `SCOPE=VALUE`, or a value alone.
fn split(text: &str) -> Result<(Option<Scope>, &str), Failure> {
    let (scope, value) = match text.split_once('=') {
        Some((scope, value)) => (Some(scope.parse()?), value),
        None => (None, text),
    };
    if value.is_empty() {
        return Err(Failure::new(Exit::Usage, format_args!("`{text}` lacks a value: write [SCOPE=]VALUE")));
    }
    Ok((scope, value))
}
