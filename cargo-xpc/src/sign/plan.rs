//! Deciding every signature of a bundle.

use std::collections::BTreeSet;

use apple_codesign::{AppleCodesignError, CodeRequirementExpression, CodeRequirements};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::admission::check;
use super::entitlements::GET_TASK_ALLOW;
use super::files::{Files, Reading, Remembered};
use super::machine::{Machine, OldSignature};
use super::node::{Node, seal_file_to_be};
use super::scope::Candidate;
use super::third_party::{self, Decision};
use super::walk::walk;
use super::{
    Constraint, Entitlements, Identity, KeptCode, Profile, Requirement, Scope, SignError, SignRequest, ThirdParty,
    check_timestamp, identifier,
};
use crate::macho::{Arch, CodeFlags, FileKind};
use crate::provisioning;

/// Every signature that [`execute`](super::execute) is going to make. Serialises for `--dry-run`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SignPlan {
    /// The bundle.
    pub bundle: Utf8PathBuf,
    /// Who signs.
    pub identity: Identity,
    /// The server that stamps them with the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The signatures in the order in which they are made: deepest first, since each bundle seals the signatures within it.
    pub signatures: Vec<PlannedSignature>,
    /// Code within the bundle that keeps the signature that somebody else gave it.
    pub kept: Vec<KeptCode>,
    /// What earlier signings left and this one removes: stray files beside a seal, and tickets of notarization, which a new signature
    /// voids.
    pub removed: Vec<Utf8PathBuf>,
    #[serde(skip)]
    pub(super) nodes: Vec<Node>,
    /// Files that were read for it.
    #[serde(skip)]
    pub(super) remembered: Remembered,
    /// Profiles that the request brings, and the files that they go into.
    #[serde(skip)]
    pub(super) profiles: Vec<(Utf8PathBuf, Profile)>,
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedSignature {
    /// Relative to the bundle; `.` for itself.
    pub path: Utf8PathBuf,
    /// The Mach-O file that carries the signature, relative to the bundle.
    pub executable: Utf8PathBuf,
    /// What is signed.
    pub kind: CodeKind,
    /// The name in the signature.
    pub identifier: String,
    /// Architectures; each gets a signature of its own.
    pub architectures: Vec<Arch>,
    /// Flags besides `adhoc`, which follows from the identity.
    pub flags: CodeFlags,
    /// Entitlements, if the signature has any.
    pub entitlements: Option<plist::Dictionary>,
    /// Where the entitlements come from.
    pub entitlements_from: Vec<String>,
    /// The provisioning profile that grants some of them, and where programs with it run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning_profile: Option<String>,
    /// What becomes of the signature that was there.
    pub policy: ThirdParty,
    /// Why this policy applies.
    pub policy_because: String,
    /// The designated requirement. Ad-hoc code has none but its own hash.
    pub requirement: Option<String>,
    /// Launch constraints, at most one of each kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub launch_constraints: Vec<Constraint>,
    /// The requirement, where the request says it.
    #[serde(skip)]
    pub(super) given_requirement: Option<String>,
    /// The same, as it stands in the signature.
    #[serde(skip)]
    pub(super) compiled_requirement: Option<Vec<u8>>,
}

impl PlannedSignature {
    /// Whether the request says the designated requirement; else it follows from the identity, and is always met.
    pub fn requirement_is_given(&self) -> bool {
        self.given_requirement.is_some()
    }
}

/// What a signature is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodeKind {
    /// An XPC service.
    Service,
    /// An app, an extension, or any other bundle with a program in it.
    App,
    /// A framework, a plug-in: a bundle that is loaded.
    Library,
    /// A program without a bundle.
    Tool,
    /// A library without a bundle.
    BareLibrary,
}

impl CodeKind {
    /// In words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Service => "a service",
            Self::App => "an app",
            Self::Library => "a framework or plug-in",
            Self::Tool => "a tool",
            Self::BareLibrary => "a library",
        }
    }

    /// Whether it is launched, and not loaded into something else.
    pub fn is_program(self) -> bool {
        matches!(self, Self::Service | Self::App | Self::Tool)
    }
}

/// Walks the bundle and decides every signature in it. Reads, and writes nothing.
///
/// # Errors
/// What cannot be sealed, a scope that matches nothing, entitlements that the identity cannot have: everything that can be known
/// beforehand.
pub fn plan(bundle: &Utf8Path, request: &SignRequest) -> Result<SignPlan, SignError> {
    plan_by(Reading::Look, bundle, request)
}

/// As [`plan`], for a plan that is carried out next: every file is read now, once and to its end, so that [`execute`](super::execute) need
/// not open it again unless it has changed.
///
/// # Errors
/// As for [`plan`].
pub fn prepare(bundle: &Utf8Path, request: &SignRequest) -> Result<SignPlan, SignError> {
    plan_by(Reading::Whole, bundle, request)
}

fn plan_by(reading: Reading, bundle: &Utf8Path, request: &SignRequest) -> Result<SignPlan, SignError> {
    check_timestamp(&request.identity, request.timestamp.as_deref())?;
    let root = crate::anatomy::open(bundle)?;
    let files = Files::new(&root, reading);
    let mut nodes = walk(&files, request)?;
    let kept: Vec<KeptCode> = nodes.iter().flat_map(|node| node.kept.iter().cloned()).collect();
    let mut drafts = Vec::new();
    for node in &nodes {
        for loose in &node.loose {
            drafts.push(Draft::loose(&loose.path, &loose.machine));
        }
        drafts.push(Draft::bundle(bundle, node));
    }
    check_third_party(&mut drafts, &kept, request)?;
    apply(&mut drafts, request)?;
    let mut profiles = Vec::new();
    for draft in &mut drafts {
        let Some(content) = draft.content else { continue };
        let file = content.join(provisioning::FILE);
        match &draft.profile {
            Some(profile) => profiles.push((file, profile.clone())),
            // Only a team's programs are looked up in a profile.
            None if request.identity.team().is_some() && root.is_file(&file)? => {
                draft.profile = Some(Profile::parse(file.to_string(), files.bytes(&file)?.to_vec())?);
            }
            None => {}
        }
    }
    let mut signatures = Vec::new();
    for draft in drafts {
        signatures.push(draft.decide(request)?);
    }
    let removed = nodes.iter().flat_map(|node| node.stale.iter().cloned()).collect();
    let (identity, timestamp) = (request.identity.clone(), request.timestamp.clone());
    let remembered = files.remembered();
    let bundle = bundle.to_owned();
    for (file, _) in &profiles {
        seal_file_to_be(&mut nodes, file);
    }
    Ok(SignPlan { bundle, identity, timestamp, signatures, kept, removed, nodes, remembered, profiles })
}

/// A signature while the request is applied to it.
struct Draft<'a> {
    path: Utf8PathBuf,
    executable: &'a Utf8Path,
    name: String,
    kind: CodeKind,
    machine: &'a Machine,
    default_identifier: String,
    identifier: Option<String>,
    flags: Option<CodeFlags>,
    /// Whether the flags are for this code by name, which then are all that it gets.
    flags_named: bool,
    entitlements: Option<Entitlements>,
    /// Where a profile can stand: the content folder of an app or a service.
    content: Option<&'a Utf8Path>,
    profile: Option<Profile>,
    requirement: Option<Requirement>,
    constraints: Vec<Constraint>,
    decision: Decision,
}

impl<'a> Draft<'a> {
    fn loose(path: &'a Utf8Path, machine: &'a Machine) -> Self {
        let name = path.file_name().unwrap_or_default().to_owned();
        let default = machine.embedded_identifier().unwrap_or_else(|| identifier::from_file_name(&name));
        let kind = if machine.kind == FileKind::Execute { CodeKind::Tool } else { CodeKind::BareLibrary };
        Self::new(path.to_owned(), path, name, kind, machine, default)
    }

    fn bundle(root: &Utf8Path, node: &'a Node) -> Self {
        let (path, name) = match node.path.file_name() {
            Some(name) => (node.path.clone(), name),
            None => (".".into(), root.file_name().unwrap_or_default()),
        };
        let kind = match node.machine.kind {
            FileKind::Execute if node.is_service => CodeKind::Service,
            FileKind::Execute => CodeKind::App,
            _ => CodeKind::Library,
        };
        let content = matches!(kind, CodeKind::App | CodeKind::Service).then_some(node.content.as_path());
        let identifier = node.identifier.clone();
        Self { content, ..Self::new(path, &node.executable, name.to_owned(), kind, &node.machine, identifier) }
    }

    fn new(
        path: Utf8PathBuf,
        executable: &'a Utf8Path,
        name: String,
        kind: CodeKind,
        machine: &'a Machine,
        default_identifier: String,
    ) -> Self {
        let decision = Decision { policy: ThirdParty::Anew, because: "it is what is signed".to_owned(), asked: false };
        Self {
            path,
            executable,
            name,
            kind,
            machine,
            default_identifier,
            identifier: None,
            flags: None,
            flags_named: false,
            entitlements: None,
            content: None,
            profile: None,
            requirement: None,
            constraints: Vec::new(),
            decision,
        }
    }

    /// What a policy speaks of: where this is a version of a framework, the framework.
    fn whole(&self) -> Candidate<'_> {
        let versions = self.path.parent().filter(|parent| parent.file_name() == Some("Versions"));
        let framework = versions.and_then(Utf8Path::parent).filter(|path| !path.as_str().is_empty());
        let (path, name) = match framework {
            Some(framework) => (framework, framework.file_name().unwrap_or_default()),
            None => (self.path.as_path(), self.name.as_str()),
        };
        Candidate { path, executable: self.executable, name, identifier: &self.default_identifier }
    }

    fn decide(self, request: &SignRequest) -> Result<PlannedSignature, SignError> {
        let old = self.machine.old.as_ref();
        let preserved = |wanted: bool| old.filter(|_| wanted);
        let identifier = self
            .identifier
            .or_else(|| preserved(request.preserve.identifier).map(|old| old.identifier.clone()))
            .unwrap_or(self.default_identifier);
        if !identifier::is_valid(&identifier) {
            return Err(SignError::BadIdentifier { identifier, path: self.path });
        }
        let mut flags =
            self.flags.or_else(|| preserved(request.preserve.flags).map(|old| old.flags)).unwrap_or_default();
        // Notarization wants it, and there is a team whose libraries the program may load.
        if request.identity.team().is_some() && self.kind.is_program() && !self.flags_named {
            flags = flags.with(CodeFlags::RUNTIME);
        }
        let mut from = Vec::new();
        let mut entitlements = self.entitlements;
        if entitlements.is_none() && self.kind.is_program() {
            let wanted = match self.decision.policy {
                ThirdParty::Anew => request.preserve.entitlements && !self.decision.asked,
                ThirdParty::Keep | ThirdParty::KeepEntitlements => true,
            };
            entitlements = preserved(wanted).and_then(old_entitlements);
        }
        from.extend(entitlements.as_ref().map(|entitlements| entitlements.source.clone()));
        if request.get_task_allow
            && request.identity.team().is_none()
            && matches!(self.kind, CodeKind::App | CodeKind::Service)
        {
            let content = &mut entitlements
                .get_or_insert_with(|| Entitlements { source: String::new(), content: plist::Dictionary::new() })
                .content;
            if !content.contains_key(GET_TASK_ALLOW) {
                content.insert(GET_TASK_ALLOW.to_owned(), plist::Value::Boolean(true));
                from.push("development signing: get-task-allow".to_owned());
            }
        }
        if let Some(profile) = &self.profile {
            profile.check(&request.identity, &identifier)?;
            let wanted = entitlements
                .get_or_insert_with(|| Entitlements { source: String::new(), content: plist::Dictionary::new() });
            if let Some(signer) = request.identity.signer() {
                profile.add_identifiers(signer, &identifier, wanted)?;
            }
            entitlements = entitlements.filter(|wanted| !wanted.content.is_empty());
            from.push(format!("provisioning profile {profile}"));
        }
        let given_requirement = self.requirement.as_ref().map(|given| given.text.clone());
        let (requirement, compiled_requirement) = match (self.requirement, request.identity.signer()) {
            (Some(given), _) => (Some(given.text), Some(given.blob)),
            (None, Some(signer)) => {
                let requirement = signer.requirement(&identifier);
                let compiled =
                    compile(&requirement).map_err(|source| SignError::Signer { path: self.path.clone(), source })?;
                (Some(requirement.to_string()), Some(compiled))
            }
            (None, None) => (None, None),
        };
        let signature = PlannedSignature {
            path: self.path,
            executable: self.executable.to_owned(),
            kind: self.kind,
            identifier,
            architectures: self.machine.arches.clone(),
            flags,
            entitlements: entitlements.as_ref().map(|entitlements| entitlements.content.clone()),
            entitlements_from: from,
            provisioning_profile: self.profile.as_ref().map(Profile::describe),
            policy: self.decision.policy,
            policy_because: self.decision.because,
            requirement,
            launch_constraints: self.constraints,
            given_requirement,
            compiled_requirement,
        };
        let shown = if signature.path == "." { self.name.into() } else { signature.path.clone() };
        let wanted = entitlements.as_ref().map(|entitlements| (entitlements, self.profile.as_ref()));
        check(&signature, &shown, wanted, self.machine, &request.identity)?;
        Ok(signature)
    }
}

/// As `csreq -b` writes it.
fn compile(requirement: &CodeRequirementExpression<'_>) -> Result<Vec<u8>, Box<AppleCodesignError>> {
    let mut requirements = CodeRequirements::default();
    requirements.push(requirement.clone());
    Ok(requirements.to_blob_data()?)
}

fn old_entitlements(old: &OldSignature) -> Option<Entitlements> {
    Some(Entitlements { source: "the old signature".to_owned(), content: old.entitlements.clone()? })
}

/// Decides about the signatures that are there, and refuses what is asked of code that is kept.
fn check_third_party(drafts: &mut [Draft<'_>], kept: &[KeptCode], request: &SignRequest) -> Result<(), SignError> {
    let named = |path: &Utf8Path| path.file_name().unwrap_or_default().to_owned();
    let kept_names: Vec<String> = kept.iter().map(|kept| named(&kept.path)).collect();
    let mut anew: Vec<Candidate<'_>> = drafts.iter().map(Draft::whole).collect();
    anew.dedup_by(|a, b| a.path == b.path);
    let kept = kept.iter().zip(&kept_names).map(|(kept, name)| Candidate {
        path: &kept.path,
        executable: &kept.executable,
        name,
        identifier: &kept.name,
    });
    third_party::check_request(request, &anew, &kept.collect::<Vec<_>>())?;
    for draft in drafts.iter_mut().filter(|draft| draft.path != ".") {
        draft.decision = third_party::decide(request, &draft.whole(), draft.kind.is_program(), &draft.machine.origin)?;
        // What could be kept was kept by the walk.
        if draft.decision.policy == ThirdParty::Keep {
            let because = "its seal is missing or damaged, and cannot be kept".to_owned();
            draft.decision = Decision { policy: ThirdParty::Anew, because, asked: false };
        }
    }
    Ok(())
}

/// Brings what the request says to the signatures it speaks of.
fn apply(drafts: &mut [Draft<'_>], request: &SignRequest) -> Result<(), SignError> {
    let identifiers: Vec<String> = drafts.iter().map(|draft| draft.default_identifier.clone()).collect();
    let resolve = |scope: &Scope, drafts: &[Draft<'_>]| {
        let candidates: Vec<Candidate<'_>> = drafts
            .iter()
            .zip(&identifiers)
            .map(|(draft, identifier)| Candidate {
                path: &draft.path,
                executable: draft.executable,
                name: &draft.name,
                identifier,
            })
            .collect();
        scope.resolve(&candidates)
    };
    for (scope, entitlements) in &request.entitlements {
        let index = resolve(scope, drafts)?;
        let draft = &mut drafts[index];
        if !draft.kind.is_program() {
            let what = draft.kind.describe().to_owned();
            return Err(SignError::EntitlementsOnLibrary { path: draft.path.clone(), what });
        }
        if draft.entitlements.replace(entitlements.clone()).is_some() {
            return Err(SignError::Twice { what: "entitlements", path: draft.path.clone() });
        }
    }
    for (scope, profile) in &request.profiles {
        let index = resolve(scope, drafts)?;
        let draft = &mut drafts[index];
        if draft.content.is_none() {
            return Err(SignError::ProfileElsewhere { path: draft.path.clone(), what: draft.kind.describe() });
        }
        if draft.profile.replace(profile.clone()).is_some() {
            return Err(SignError::Twice { what: "provisioning profiles", path: draft.path.clone() });
        }
    }
    for (scope, requirement) in &request.requirements {
        let index = resolve(scope, drafts)?;
        let draft = &mut drafts[index];
        if draft.requirement.replace(requirement.clone()).is_some() {
            return Err(SignError::Twice { what: "requirements", path: draft.path.clone() });
        }
    }
    for (scope, constraint) in &request.constraints {
        let index = resolve(scope, drafts)?;
        let draft = &mut drafts[index];
        if !draft.kind.is_program() {
            return Err(SignError::ConstraintOnLibrary { path: draft.path.clone(), what: draft.kind.describe() });
        }
        if draft.constraints.iter().any(|other| other.on == constraint.on) {
            return Err(SignError::Twice { what: "launch constraints of one kind", path: draft.path.clone() });
        }
        draft.constraints.push(constraint.clone());
    }
    for (scope, identifier) in &request.identifiers {
        let index = resolve(scope, drafts)?;
        let draft = &mut drafts[index];
        if draft.identifier.replace(identifier.clone()).is_some() {
            return Err(SignError::Twice { what: "identifiers", path: draft.path.clone() });
        }
    }
    let mut named = BTreeSet::new();
    for (scope, flags) in &request.flags {
        let Some(scope) = scope else { continue };
        let index = resolve(scope, drafts)?;
        if !named.insert(index) {
            return Err(SignError::Twice { what: "flags", path: drafts[index].path.clone() });
        }
        drafts[index].flags = Some(*flags);
        drafts[index].flags_named = true;
    }
    // What is said of one piece of code wins over what is said of all.
    for (_, flags) in request.flags.iter().filter(|(scope, _)| scope.is_none()) {
        for (index, draft) in drafts.iter_mut().enumerate() {
            if draft.kind.is_program() && !named.contains(&index) {
                draft.flags = Some(draft.flags.unwrap_or_default().with(*flags));
            }
        }
    }
    Ok(())
}
