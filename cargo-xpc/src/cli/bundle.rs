//! `cargo xpc bundle`, and the way through the stages that `run` takes too.

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::Metadata;
use serde::Serialize;

use super::cargo_args::{BuildArgs, ManifestArgs, SelectArgs};
use super::identity::SignerArgs;
use super::ui::{Ui, short};
use super::{Failure, Outcome, signing};
use crate::build;
use crate::bundle::{assemble, publish, staging::Staging, tree};
use crate::config::{self, Config};
use crate::exit::Exit;
use crate::faults;
use crate::plan::{self, BundlePart, BundlePlan, BundleRequest, ChosenTargets, SignRequest, Signing, Targets};
use crate::toolchain::{self, Toolchain};
use crate::workspace::{self, Outside};

/// Build an app and its services, and put them into a signed bundle
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The bundle is published at <target-dir>/xpc/<target>/<profile>/<App>.app, whole or not at all.

Examples:
  cargo xpc bundle                          for this machine, or for cargo's `build.target`
  cargo xpc bundle --universal --release    for both kinds of Macs
  cargo xpc bundle --universal --sign development
  cargo xpc bundle --universal --services-only --out services")]
pub struct BundleArgs {
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    build: BuildArgs,
    /// Build for the target triple; both Apple targets are merged into one program
    #[arg(long, value_name = "TRIPLE", help_heading = "Compilation")]
    target: Vec<String>,
    /// Build for both Apple targets and merge them
    #[arg(long, conflicts_with = "target", help_heading = "Compilation")]
    universal: bool,
    /// Who signs: `adhoc` (or `-`), a file (.p12, .pfx, .pem, .crt, .cer), the name of a development identity,
    /// `keychain:NAME` on macOS, or `none`; by default ad hoc wherever the programs are Mach-O
    #[arg(long, value_name = "ID", help_heading = "Identity")]
    sign: Option<String>,
    #[command(flatten)]
    signer: SignerArgs,
    /// Folder for the bundle, instead of one below the target directory
    #[arg(long, value_name = "DIR")]
    out: Option<Utf8PathBuf>,
    /// Make the services only, each a bundle by itself, for a tool that makes the app
    #[arg(long)]
    services_only: bool,
    /// Replace an existing bundle in two steps where the file system cannot do it in one
    #[arg(long)]
    non_atomic: bool,
    /// Print the plan as JSON and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    manifest: ManifestArgs,
}

/// What `--sign` asks for.
fn sign_request(sign: Option<&str>, signer: &SignerArgs) -> Result<SignRequest, Failure> {
    let (identity, timestamp) = signer.identity(sign.filter(|id| *id != "none"), "--sign")?;
    Ok(match sign {
        None => SignRequest::Default,
        Some("none") => SignRequest::None,
        Some(_) => SignRequest::By(identity, timestamp),
    })
}

/// What was asked, ready for the stages.
pub(super) struct Job {
    /// One, but for `--services-only`.
    pub(super) plans: Vec<BundlePlan>,
    pub(super) folder: Utf8PathBuf,
    pub(super) target_directory: Utf8PathBuf,
    pub(super) replace: publish::Replace,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Finished<'a> {
    bundle: &'a Utf8Path,
    identifier: &'a str,
    targets: &'a [String],
    services: Vec<&'a str>,
    #[serde(flatten)]
    signing: &'a Signing,
}

/// The subcommand.
pub fn run(args: &BundleArgs, ui: &Ui) -> Outcome {
    let asked = Asked {
        select: &args.select,
        build: &args.build,
        manifest: &args.manifest,
        targets: match args.target.as_slice() {
            _ if args.universal => Targets::Universal,
            [] => Targets::Default,
            given => Targets::Listed(given.to_vec()),
        },
        sign: sign_request(args.sign.as_deref(), &args.signer)?,
        out: args.out.as_deref(),
        parts: if args.services_only { Parts::Services } else { Parts::App },
    };
    let mut job = plan_job(&asked, ui)?;
    job.replace = publish::Replace::asked(args.non_atomic);
    if args.dry_run {
        for plan in &job.plans {
            ui.plan("bundle-plan", plan)?;
        }
        return Ok(Exit::Ok.into());
    }
    execute(&job, ui)?;
    Ok(Exit::Ok.into())
}

/// The arguments that `bundle` and `run` share.
pub(super) struct Asked<'a> {
    pub(super) select: &'a SelectArgs,
    pub(super) build: &'a BuildArgs,
    pub(super) manifest: &'a ManifestArgs,
    pub(super) targets: Targets,
    pub(super) sign: SignRequest,
    pub(super) out: Option<&'a Utf8Path>,
    pub(super) parts: Parts,
}

/// What is bundled.
#[derive(Clone, Copy)]
pub(super) enum Parts {
    /// The app, with its services in it.
    App,
    /// Each service by itself.
    Services,
    /// What tests need: the services, and the app where it is ours to make.
    ForTests,
}

/// Everything that a plan is made from, looked up.
pub(super) struct Prepared {
    pub(super) metadata: Metadata,
    outside: Vec<Outside>,
    config: Config,
    request: BundleRequest,
    targets: ChosenTargets,
    toolchain: Toolchain,
    pub(super) folder: Utf8PathBuf,
}

impl Prepared {
    pub(super) fn given(&self) -> plan::Given<'_> {
        plan::Given {
            metadata: &self.metadata,
            outside: &self.outside,
            config: &self.config,
            request: &self.request,
            targets: &self.targets,
            toolchain: &self.toolchain,
        }
    }
}

/// Arguments → plan.
pub(super) fn plan_job(asked: &Asked<'_>, ui: &Ui) -> Result<Job, Failure> {
    let prepared = prepare(asked, ui)?;
    let given = prepared.given();
    let plans = match asked.parts {
        Parts::App => vec![plan::plan(given)?],
        Parts::Services => plan::plan_services(given)?,
        Parts::ForTests => plan::plan_for_tests(given)?,
    };
    signing::check(&plans, ui)?;
    for warning in plans.iter().flat_map(|plan| &plan.warnings) {
        ui.warn(warning);
    }
    Ok(Job {
        plans,
        target_directory: prepared.metadata.target_directory.clone(),
        folder: prepared.folder,
        replace: publish::Replace::Atomic,
    })
}

/// Reads the workspace and asks this machine.
pub(super) fn prepare(asked: &Asked<'_>, ui: &Ui) -> Result<Prepared, Failure> {
    // Configuration first: its mistakes are told before anything is looked for on the network or the disk.
    let (metadata, folder) = asked.manifest.load()?;
    let config = config::read(&metadata)?;
    let selection = asked.select.selection(&metadata, &config, asked.manifest, &folder);
    plan::select(&config, &selection)?;
    let request = BundleRequest {
        selection,
        targets: asked.targets.clone(),
        profile: asked.build.profile(metadata.workspace_root.as_ref()),
        cargo: asked.build.options(asked.manifest, &folder, ui),
        out: asked.out.map(|out| folder.join(out)),
        sign: asked.sign.clone(),
    };
    let machine = toolchain::machine(&folder)?;
    let targets = plan::targets(&request.targets, &machine)?;
    let toolchain = machine.tools(&targets.triples)?;
    let mut metadata = metadata;
    if let Some(target_dir) = asked.build.target_dir(&folder) {
        metadata.target_directory = target_dir;
    }
    // Only an optimised build needs to know where its dependencies stand: to keep their folders out of the program.
    let outside = if request.profile.is_optimized() { workspace::outside(&metadata)? } else { Vec::new() };
    Ok(Prepared { metadata, outside, config, request, targets, toolchain, folder })
}

/// The plans → published bundles. Nothing is published before everything is built.
pub(super) fn execute(job: &Job, ui: &Ui) -> Result<Vec<Utf8PathBuf>, Failure> {
    let area = build_area(&job.target_directory, ui)?;
    let mut built = Vec::new();
    for (index, plan) in job.plans.iter().enumerate() {
        built.push((plan, compile(plan.parts(), &job.folder, &area.scratch().join(index.to_string()), ui)?));
    }
    faults::point("built");
    built.iter().map(|(plan, artifacts)| bundle(plan, artifacts, job.replace, ui)).collect()
}

/// A folder for programs as they come out of cargo, and a lock: of two runs in one target directory one builds at a time.
pub(super) fn build_area(target_directory: &Utf8Path, ui: &Ui) -> Result<Staging, Failure> {
    stage(&target_directory.join("xpc/.build/programs"), ui)
}

/// Has cargo build every part, and keeps the programs in `programs`.
pub(super) fn compile<'a>(
    parts: impl IntoIterator<Item = &'a BundlePart>,
    folder: &Utf8Path,
    programs: &Utf8Path,
    ui: &Ui,
) -> Result<build::BuiltArtifacts, Failure> {
    tree::make_folder(programs)?;
    Ok(build::build(parts, folder, programs, |part, command| {
        ui.status("Building", format_args!("{} for {}", part.program.bin, command.target));
        ui.verbose("Running", shell_words(command));
    })?)
}

fn bundle(
    plan: &BundlePlan,
    artifacts: &build::BuiltArtifacts,
    replace: publish::Replace,
    ui: &Ui,
) -> Result<Utf8PathBuf, Failure> {
    let staging = stage(&plan.destination, ui)?;
    faults::point("staged");
    let progress = ui.progress("Bundling");
    let unsigned = assemble::assemble(plan, artifacts, staging, |path| progress.at(path))?;
    drop(progress);
    ui.warn_of_litter(&unsigned.litter);
    faults::point("assembled");
    signing::sign_and_read_back(plan, &unsigned.staging.bundle(), ui)?;
    faults::point("signed");
    let published = publish::publish(&unsigned.staging, replace)?;
    faults::point("published");
    ui.status("Bundled", format_args!("{} ({})", short(&published), what(plan)));
    let finished = Finished {
        bundle: &published,
        identifier: plan.main.identifier.as_str(),
        targets: &plan.targets,
        services: plan.services.iter().map(|service| service.identifier.as_str()).collect(),
        signing: &plan.signing,
    };
    ui.json("bundle-finished", &finished);
    Ok(published)
}

/// Makes the folder that the destination stands in, and a staging folder beside the destination.
pub(super) fn stage(destination: &Utf8Path, ui: &Ui) -> Result<Staging, Failure> {
    if let Some(parent) = destination.parent() {
        tree::make_folder(parent)?;
    }
    Ok(Staging::begin(destination, || {
        ui.status("Blocking", format_args!("waiting for another cargo xpc that works on {}", short(destination)));
    })?)
}

fn what(plan: &BundlePlan) -> String {
    let signing = match &plan.signing {
        Signing::AdHoc { .. } => "signed ad hoc".to_owned(),
        Signing::Certificate { identity, .. } => format!("signed {identity}"),
        Signing::None { why } => format!("not signed: {why}"),
    };
    match (plan.destination.extension(), plan.services.len()) {
        (Some("xpc"), _) => signing,
        (_, 0) => format!("no services; {signing}"),
        (_, 1) => format!("1 service; {signing}"),
        (_, n) => format!("{n} services; {signing}"),
    }
}

/// A command as one would type it.
fn shell_words(command: &plan::BuildCommand) -> String {
    let quote = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,@:+".contains(c);
        if !text.is_empty() && text.chars().all(plain) {
            text.to_owned()
        } else {
            format!("'{}'", text.replace('\'', "'\\''"))
        }
    };
    let env = command.env.iter().map(|(name, value)| format!("{name}={}", quote(value)));
    let words = std::iter::once(command.program.as_str()).chain(command.args.iter().map(String::as_str)).map(quote);
    env.chain(words).collect::<Vec<_>>().join(" ")
}
