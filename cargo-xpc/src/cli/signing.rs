//! What `bundle` asks of the signing stages, and the way through them that `sign` takes too.

use camino::{Utf8Path, Utf8PathBuf};

use super::Failure;
use super::ui::Ui;
use crate::beneath::Stamp;
use crate::bundle::staging;
use crate::config::CodeSigning;
use crate::exit::Exit;
use crate::macho::CodeFlags;
use crate::plan::{BundlePart, BundlePlan};
use crate::sign::{
    self, CodeKind, Constraint, Entitlements, Identity, KeptCode, PlannedSignature, Preserve, Profile, Requirement,
    Scope, SignPlan, SignRequest, SignedBundle,
};
use crate::verify;

/// Puts back what a killed run had set aside, and says so. A dry run changes nothing.
pub(super) fn put_back(bundle: &Utf8Path, dry_run: bool, ui: &Ui) -> Result<(), Failure> {
    if !dry_run && staging::put_back(bundle)? {
        ui.warn(format_args!("`{bundle}` is put back: a run was stopped while it replaced it"));
    }
    Ok(())
}

/// Signs the staged bundle as planned, and reads it back.
pub(super) fn sign_and_read_back(plan: &BundlePlan, bundle: &Utf8Path, ui: &Ui) -> Result<(), Failure> {
    let Some((identity, get_task_allow)) = plan.signing.identity() else { return Ok(()) };
    let scope = |path: &Utf8PathBuf| (if path.as_str().is_empty() { "." } else { path.as_str() }).parse::<Scope>();
    let timestamp = plan.signing.timestamp().map(str::to_owned);
    let mut request = SignRequest { identity: identity.clone(), timestamp, get_task_allow, ..SignRequest::default() };
    for part in plan.parts() {
        let scope = scope(&part.path)?;
        if let Some(file) = &part.entitlements {
            request.entitlements.push((scope.clone(), Entitlements::read(file)?));
        }
        ask(&mut request, scope, part, CodeFlags::default())?;
    }
    let signatures = sign::prepare(bundle, &request)?;
    warn_of_removed(&signatures, ui);
    tell(&signatures, ui);
    execute(&signatures, bundle, ui)?;
    Ok(())
}

/// What the configuration says of `part`, but for its entitlements; it has `flags` besides.
fn ask(request: &mut SignRequest, scope: Scope, part: &BundlePart, flags: CodeFlags) -> Result<(), Failure> {
    let CodeSigning { requirements, launch_constraints, options, third_party } = &part.signing;
    request.identifiers.push((scope.clone(), part.identifier.to_string()));
    if let Some(file) = requirements {
        request.requirements.push((scope.clone(), Requirement::read(file)?));
    }
    for (on, file) in launch_constraints {
        request.constraints.push((scope.clone(), Constraint::read(*on, file)?));
    }
    for (inside, policy) in third_party {
        let inside = inside.as_ref().map(|inside| inside.below(&part.path));
        request.third_party.push((inside, *policy));
    }
    if options.is_some() || !flags.is_empty() {
        request.flags.push((Some(scope), options.unwrap_or_default().with(flags)));
    }
    Ok(())
}

/// What can be known of the signatures before anything is built.
pub(super) fn check(plans: &[BundlePlan], ui: &Ui) -> Result<(), Failure> {
    for plan in plans {
        if let Some((identity, _)) = plan.signing.identity() {
            check_parts(plan.parts(), identity, ui)?;
        }
    }
    Ok(())
}

/// As [`check`], for parts that are going to be signed.
pub(super) fn check_parts<'a>(
    parts: impl IntoIterator<Item = &'a BundlePart>,
    identity: &Identity,
    ui: &Ui,
) -> Result<(), Failure> {
    for part in parts {
        // Without a team a profile means nothing: it stands in the bundle and grants nothing.
        let profile = match &part.provisioning_profile {
            Some(file) if identity.team().is_some() => Some(Profile::read(file)?),
            Some(file) => {
                ui.warn(format_args!(
                    "`{file}` grants nothing to what is signed without a team: sign with an identity of Apple's"
                ));
                None
            }
            None => None,
        };
        if let Some(profile) = &profile {
            profile.check(identity, part.identifier.as_str())?;
        }
        ask(&mut SignRequest::default(), Scope::main(), part, CodeFlags::default())?;
        let Some(file) = &part.entitlements else { continue };
        let kind = if part.is_service() { CodeKind::Service } else { CodeKind::App };
        sign::check_entitlements(kind, &Entitlements::read(file)?, profile.as_ref(), identity, file)?;
    }
    Ok(())
}

/// How an app is signed that services are put into.
pub(super) struct AppSigning<'a> {
    /// What the app and the code in it keep, and what the command line says of them.
    pub request: &'a SignRequest,
    /// Whether the app has the hardened runtime, which then its services get too.
    pub hardened: bool,
    /// Whether the services that were built are for development.
    pub get_task_allow: bool,
}

/// What is asked for an app that services are put into: everything stays as it was, but for what the command line says.
pub(super) fn request_for_app(
    (identity, timestamp): (Identity, Option<String>),
    entitlements: Option<&Utf8Path>,
    profiles: &[String],
    third_party: &[String],
) -> Result<SignRequest, Failure> {
    let mut request = SignRequest {
        identity,
        timestamp,
        preserve: Preserve { entitlements: true, flags: true, identifier: true },
        third_party: super::sign::third_party(third_party)?,
        profiles: super::sign::profiles(profiles)?,
        ..SignRequest::default()
    };
    if let Some(file) = entitlements {
        let entitlements = Entitlements::read(file)?;
        let profile = request.profiles.iter().find(|(scope, _)| *scope == Scope::main()).map(|(_, profile)| profile);
        // The profile that the app has already is looked at when the app is.
        if profile.is_some() || request.identity.team().is_none() {
            sign::check_entitlements(CodeKind::App, &entitlements, profile, &request.identity, file)?;
        }
        request.entitlements.push((Scope::main(), entitlements));
    }
    Ok(request)
}

/// Signs an app that services were put into. What it was signed with before stays, but for the services: they get what
/// their configuration says, and the hardened runtime where the app has it.
pub(super) fn sign_embedded(
    services: &[BundlePart],
    app: AppSigning<'_>,
    bundle: &Utf8Path,
    ui: &Ui,
) -> Result<(), Failure> {
    let AppSigning { request, hardened, get_task_allow } = app;
    let mut request = request.clone();
    for part in services {
        let scope = part.path.as_str().parse::<Scope>()?;
        let mut entitlements = match &part.entitlements {
            Some(file) => Entitlements::read(file)?,
            None => Entitlements { source: "none".to_owned(), content: plist::Dictionary::new() },
        };
        if get_task_allow && request.identity.team().is_none() {
            entitlements.content.insert(sign::GET_TASK_ALLOW.to_owned(), true.into());
        }
        request.entitlements.push((scope.clone(), entitlements));
        ask(&mut request, scope, part, if hardened { CodeFlags::RUNTIME } else { CodeFlags::default() })?;
    }
    let plan = sign::prepare(bundle, &request)?;
    warn_of_removed(&plan, ui);
    tell(&plan, ui);
    execute(&plan, bundle, ui)?;
    Ok(())
}

/// What keeps the signature that it has, and what runs only where a profile says so.
pub(super) fn tell(plan: &SignPlan, ui: &Ui) {
    for signature in &plan.signatures {
        if let Some(profile) = &signature.provisioning_profile {
            ui.status("Granted", format_args!("{} by {profile}", signature.path));
        }
    }
    for kept in &plan.kept {
        ui.status("Kept", format_args!("{} as it is signed: {}", kept.path, kept.policy_because));
    }
}

/// What a new signature takes away.
pub(super) fn warn_of_removed(plan: &SignPlan, ui: &Ui) {
    for path in &plan.removed {
        let why = if path.file_name() == Some("CodeResources") {
            "the notarization ticket is void once the app is signed anew"
        } else {
            "nothing would seal it"
        };
        ui.warn(format_args!("`{path}` is removed: {why}"));
    }
}

/// What signing read a moment ago, in files that the old bundle has too: reading back need not read it once more.
struct ReadForSeals<'a>(&'a sign::Seen);

impl verify::Known for ReadForSeals<'_> {
    fn hashes(&self, stamp: &Stamp) -> Option<verify::Hashes> {
        self.0.hashes(stamp).map(|&(sha1, sha256)| verify::Hashes { sha1, sha256 })
    }
}

/// Makes the planned signatures, and reads them back: what does not verify is not published.
pub(super) fn execute(plan: &SignPlan, bundle: &Utf8Path, ui: &Ui) -> Result<SignedBundle, Failure> {
    let progress = ui.progress("Signing");
    let signed = sign::execute(plan, bundle, &mut |step| {
        progress.at(format_args!("{} of {}: {}", step.done + 1, step.total, step.path));
        crate::faults::point("signing");
    })?;
    drop(progress);
    crate::faults::point("sealed");
    let progress = ui.progress("Verifying");
    progress.at(bundle.file_name().unwrap_or_default());
    let report = verify::verify_knowing(bundle, &ReadForSeals(&signed.seen))?;
    drop(progress);
    let errors: Vec<String> = report.errors().map(|finding| format!("\n  {finding}")).collect();
    let broken = plan.kept.iter().find(|kept| report.errors().any(|finding| finding.path.starts_with(&kept.path)));
    if let Some(KeptCode { path, .. }) = broken {
        let message = format!(
            "`{path}` was to keep its signature, and does not verify: get it anew from its maker, or sign it with `--third-party {path}=anew`; nothing is published:{}",
            errors.concat()
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    if !errors.is_empty() && report.errors().all(|finding| finding.what == verify::What::TimestampUnsound) {
        let message = format!(
            "the time stamps do not hold: ask another server (Apple's own is http://timestamp.apple.com/ts01); nothing is published:{}",
            errors.concat()
        );
        return Err(Failure::new(Exit::Unavailable, message));
    }
    let unmet = plan.signatures.iter().filter(|signature| signature.requirement_is_given()).find(|signature| {
        report.errors().any(|it| it.what == verify::What::RequirementFailed && it.path == signature.executable)
    });
    if let Some(PlannedSignature { executable, .. }) = unmet {
        let message = format!(
            "`{executable}` does not satisfy the requirement that was given for it: correct --requirements, or the key `requirements`; nothing is published:{}",
            errors.concat()
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    if !errors.is_empty() {
        let message = format!("what was signed does not verify, and is not published:{}", errors.concat());
        return Err(Failure::new(Exit::Software, message));
    }
    Ok(signed)
}
