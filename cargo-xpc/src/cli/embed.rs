//! `cargo xpc embed`.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::bundle::{Asked, Parts, build_area, compile, prepare, stage};
use super::cargo_args::{BuildArgs, ManifestArgs, SelectArgs, current_folder};
use super::identity::SignerArgs;
use super::signing::AppSigning;
use super::ui::{Ui, short};
use super::{Failure, Outcome, signing};
use crate::build::BuiltArtifacts;
use crate::bundle::staging::StagingError;
use crate::bundle::{assemble, publish, tree};
use crate::exit::Exit;
use crate::faults;
use crate::plan::embed::{self, HostApp};
use crate::plan::{BundlePart, SignRequest, Targets};
use crate::sign;

/// Put services into an app that any tool made, and sign it again
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The services are built for the architectures that the app has, and take its versions. Everything else in the app stays \
as it is, but for what a new seal must change; so do its entitlements, flags and identifiers. The app is copied, \
changed, signed, read back, and replaced in one step: if anything fails it stays as it was.

Examples:
  cargo xpc embed Demo.app --release        all services that the app lists
  cargo xpc embed Demo.app greeter          one of them
  cargo xpc embed Demo.app made/greeter.xpc --sign DeveloperID.p12")]
pub struct EmbedArgs {
    /// The app
    #[arg(value_name = "X.app")]
    bundle: Utf8PathBuf,
    /// Services of the workspace, or .xpc bundles that were made before; by default all of the app's `services`
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    build: BuildArgs,
    /// Who signs: `adhoc` (or `-`), a file (.p12, .pfx, .pem, .crt, .cer), the name of a development identity, or
    /// `keychain:NAME` on macOS; by default ad hoc
    #[arg(long, value_name = "ID", help_heading = "Identity", conflicts_with = "no_sign")]
    sign: Option<String>,
    #[command(flatten)]
    signer: SignerArgs,
    /// Entitlements for the app itself, instead of those that it has
    #[arg(long, value_name = "FILE", conflicts_with = "no_sign")]
    entitlements: Option<Utf8PathBuf>,
    /// Provisioning profile of an app or a service in it, instead of the one that it has
    #[arg(long, value_name = "[SCOPE=]FILE", conflicts_with = "no_sign")]
    provisioning_profile: Vec<String>,
    /// What becomes of nested code that is signed already: keep, keep-entitlements or anew; by default programs that
    /// somebody else signed are kept, and what is loaded into a process is signed anew
    #[arg(long, value_name = "[SCOPE=]POLICY", conflicts_with = "no_sign")]
    third_party: Vec<String>,
    /// Leave the app unsigned: its old seal does not hold any more
    #[arg(long)]
    no_sign: bool,
    /// Replace the app in two steps where the file system cannot do it in one
    #[arg(long)]
    non_atomic: bool,
    /// Print the plan as JSON and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    manifest: ManifestArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Plan<'a> {
    app: &'a HostApp,
    services: &'a [BundlePart],
    copied: &'a [Utf8PathBuf],
    /// What becomes of the code that the app has already.
    #[serde(skip_serializing_if = "Option::is_none")]
    signing: Option<sign::SignPlan>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Finished<'a> {
    bundle: &'a Utf8Path,
    embedded: Vec<&'a Utf8Path>,
    signed: bool,
}

/// The subcommand.
pub fn run(args: &EmbedArgs, ui: &Ui) -> Outcome {
    let folder = current_folder()?;
    let app = folder.join(&args.bundle);
    signing::put_back(&app, args.dry_run, ui)?;
    if !app.is_dir() {
        return Err(Failure::new(Exit::Usage, format_args!("`{}` is no app: there is no such folder", args.bundle)));
    }
    let host = embed::host(&app)?;
    let (copied, names): (Vec<&String>, Vec<&String>) =
        args.services.iter().partition(|name| name.trim_end_matches('/').ends_with(".xpc"));
    let copied = copied.into_iter().map(|path| existing(&folder, path)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = names.into_iter().cloned().collect();

    let wanted = !names.is_empty() || copied.is_empty();
    let planned = if wanted { Some(plan(args, &names, &host, ui)?) } else { None };
    let services: &[BundlePart] = planned.as_ref().map_or(&[], |planned| &planned.services);
    let request = request(args, &host)?;
    if let Some(request) = &request {
        signing::check_parts(services, &request.identity, ui)?;
    }
    let mut warnings = planned.as_ref().map_or_else(Vec::new, |planned| planned.warnings.clone());
    for made in &copied {
        warnings.extend(embed::warnings_of_made(made, &host)?);
    }
    for warning in warnings {
        ui.warn(warning);
    }
    let signing = match &request {
        Some(request) if args.dry_run || !args.third_party.is_empty() => {
            let made = copied.iter().filter_map(|path| path.file_name());
            let built = services.iter().filter_map(|part| part.path.file_name());
            Some(plan_app(&app, request, &made.chain(built).collect::<Vec<_>>())?)
        }
        _ => None,
    };
    if args.dry_run {
        ui.plan("embed-plan", &Plan { app: &host, services, copied: &copied, signing })?;
        return Ok(Exit::Ok.into());
    }
    let Some(Planned { folder, target_directory, release, .. }) = &planned else {
        let artifacts = BuiltArtifacts::default();
        let work = Work { services, copied: &copied, artifacts, request, get_task_allow: false };
        return finish(args, &app, &host, &work, ui);
    };
    let area = build_area(target_directory, ui)?;
    let artifacts = compile(services, folder, &area.scratch().join("0"), ui)?;
    faults::point("built");
    let work = Work { services, copied: &copied, artifacts, request, get_task_allow: !release };
    finish(args, &app, &host, &work, ui)
}

/// How the app is signed; `None` where it is not.
fn request(args: &EmbedArgs, host: &HostApp) -> Result<Option<sign::SignRequest>, Failure> {
    let signer = args.signer.identity(args.sign.as_deref(), "--sign")?;
    if host.is_macho() && !args.no_sign {
        return Ok(Some(signing::request_for_app(
            signer,
            args.entitlements.as_deref(),
            &args.provisioning_profile,
            &args.third_party,
        )?));
    }
    if args.entitlements.is_some() || !args.third_party.is_empty() || args.sign.is_some() {
        let message =
            "--sign, --entitlements and --third-party are about signing, and this app's program is not Mach-O";
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(None)
}

/// What becomes of the code that the app has: mistakes are told before anything is built. What is said of the services that go in is
/// left out, since they are not there yet.
fn plan_app(app: &Utf8Path, request: &sign::SignRequest, embedded: &[&str]) -> Result<sign::SignPlan, Failure> {
    let mut request = request.clone();
    let there = |scope: &sign::Scope| {
        let name = Utf8Path::new(scope.as_str()).file_name();
        !name.is_some_and(|name| embedded.iter().any(|it| *it == name || it.strip_suffix(".xpc") == Some(name)))
    };
    request.third_party.retain(|(scope, _)| scope.as_ref().is_none_or(there));
    request.profiles.retain(|(scope, _)| there(scope));
    Ok(sign::plan(app, &request)?)
}

/// What goes into the app.
struct Work<'a> {
    services: &'a [BundlePart],
    copied: &'a [Utf8PathBuf],
    artifacts: BuiltArtifacts,
    /// How the app is signed, if it is.
    request: Option<sign::SignRequest>,
    get_task_allow: bool,
}

fn existing(folder: &Utf8Path, path: &str) -> Result<Utf8PathBuf, Failure> {
    let service = folder.join(path.trim_end_matches('/'));
    if service.join("Contents/Info.plist").is_file() {
        return Ok(service);
    }
    Err(Failure::new(Exit::Usage, format_args!("`{path}` is no .xpc bundle: it has no Contents/Info.plist")))
}

/// What is built, and where.
struct Planned {
    services: Vec<BundlePart>,
    warnings: Vec<String>,
    folder: Utf8PathBuf,
    target_directory: Utf8PathBuf,
    release: bool,
}

fn plan(args: &EmbedArgs, names: &[String], host: &HostApp, ui: &Ui) -> Result<Planned, Failure> {
    let targets = if host.is_macho() { Targets::Listed(host.targets.clone()) } else { Targets::Host };
    let asked = Asked {
        select: &args.select,
        build: &args.build,
        manifest: &args.manifest,
        targets,
        sign: SignRequest::Default,
        out: None,
        parts: Parts::App,
    };
    let prepared = prepare(&asked, ui)?;
    let embed::Embedded { services, warnings } = embed::plan_embedded(prepared.given(), names, host)?;
    Ok(Planned {
        services,
        warnings,
        target_directory: prepared.metadata.target_directory.clone(),
        release: prepared.given().request.profile.is_optimized(),
        folder: prepared.folder,
    })
}

fn finish(args: &EmbedArgs, app: &Utf8Path, host: &HostApp, work: &Work<'_>, ui: &Ui) -> Outcome {
    let Work { services, copied, artifacts, request, get_task_allow } = work;
    let staging = stage(app, ui)?;
    let bundle = staging.bundle();
    let mut litter = tree::succeed(staging.destination(), &bundle)?;
    faults::point("staged");
    let home = Utf8Path::new("Contents/XPCServices");
    tree::check_way(&bundle, home)?;
    let into: Vec<(Utf8PathBuf, &Utf8Path)> =
        copied.iter().map(|from| (home.join(from.file_name().unwrap_or_default()), from.as_path())).collect();
    let embedded: Vec<&Utf8Path> =
        services.iter().map(|part| part.path.as_path()).chain(into.iter().map(|(to, _)| to.as_path())).collect();
    for path in &embedded {
        let old = bundle.join(path);
        tree::remove(&old).map_err(|e| StagingError::io("replace", old, e))?;
    }
    let progress = ui.progress("Embedding");
    litter.extend(assemble::parts(*services, artifacts, &bundle, |path| progress.at(path))?);
    for (to, from) in &into {
        tree::make_folder(&bundle.join(home))?;
        litter.extend(tree::copy(from, &bundle.join(to))?);
    }
    drop(progress);
    ui.warn_of_litter(&litter);
    faults::point("assembled");
    let signed = request.is_some();
    if let Some(request) = request {
        let asked = AppSigning { request, hardened: host.hardened, get_task_allow: *get_task_allow };
        signing::sign_embedded(services, asked, &bundle, ui)?;
    }
    faults::point("signed");
    let published = publish::publish(&staging, publish::Replace::asked(args.non_atomic))?;
    faults::point("published");
    for path in &embedded {
        ui.status("Embedded", path);
    }
    let how = match (request, host.is_macho()) {
        (Some(request), _) => format!("signed {}", request.identity),
        (None, true) => "not signed, as asked for by --no-sign".to_owned(),
        (None, false) => "not signed: its program is not Mach-O".to_owned(),
    };
    ui.status("Published", format_args!("{} ({how})", short(&published)));
    ui.json("embed-finished", &Finished { bundle: &published, embedded, signed });
    Ok(Exit::Ok.into())
}
