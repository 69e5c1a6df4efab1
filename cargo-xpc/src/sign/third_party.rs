//! Code that somebody else signed: what of its signature stays.

use std::fmt;
use std::str::FromStr;

use apple_codesign::{RequirementType, SignedMachOInfo};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::files::Files;
use super::identity::is_of_development;
use super::machine::Machine;
use super::scope::Candidate;
use super::{CodeKind, Identity, Scope, SignError, SignRequest};
use crate::anatomy::{Anatomy, Versions};
use crate::macho::{CdHash, CodeFlags, Content, FileKind, MachFile, Signature};
use crate::property_list;

/// What becomes of code that is there already, with its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThirdParty {
    /// It stays as it is, to the byte; the seal around it records the identity that it has.
    Keep,
    /// It is signed anew, with the entitlements that it had.
    KeepEntitlements,
    /// It is signed anew, and nothing of its signature stays.
    Anew,
}

impl fmt::Display for ThirdParty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "keep",
            Self::KeepEntitlements => "keep-entitlements",
            Self::Anew => "anew",
        })
    }
}

impl FromStr for ThirdParty {
    type Err = SignError;

    fn from_str(text: &str) -> Result<Self, SignError> {
        [Self::Keep, Self::KeepEntitlements, Self::Anew]
            .into_iter()
            .find(|policy| policy.to_string() == text)
            .ok_or_else(|| SignError::BadPolicy { policy: text.to_owned() })
    }
}

/// Code that keeps its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeptCode {
    /// Relative to the bundle. Of a framework its own folder, whichever version seals it.
    pub path: Utf8PathBuf,
    /// The Mach-O file whose signature stands for the whole, relative to the bundle.
    pub executable: Utf8PathBuf,
    /// What it is.
    pub kind: CodeKind,
    /// The name in its signature.
    pub identifier: String,
    /// The team of its signer, if the signature names one.
    pub team: Option<String>,
    /// The identities of its architectures.
    pub cdhashes: Vec<CdHash>,
    /// What the seal around it will ask of it.
    pub requirement: Option<String>,
    /// Always [`ThirdParty::Keep`].
    pub policy: ThirdParty,
    /// Why it is kept.
    pub policy_because: String,
    /// `CFBundleIdentifier`, or as `identifier`.
    #[serde(skip)]
    pub(super) name: String,
}

/// Which policy applies, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub policy: ThirdParty,
    pub because: String,
    /// Whether the request says so; else it is the default.
    pub asked: bool,
}

/// Whose signature some code carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nobody signed it. What the linker writes was nobody's decision.
    Unsigned,
    /// Signed without an identity.
    AdHoc,
    /// Signed by the identity that signs now.
    Ours,
    /// Signed by a development identity, which vouches for nobody: a service of this app's own, from an earlier build.
    Development,
    /// Signed by somebody else; the team, where it is named.
    Foreign(Option<String>),
    /// Signed, but not so that it can be kept.
    Unreadable(String),
}

impl Origin {
    pub(super) fn of(data: &[u8], file: &MachFile, identity: &Identity) -> Self {
        let mut origin = None;
        for slice in &file.slices {
            let signature = match slice.read_signature(data) {
                Ok(Some(signature)) => signature,
                Ok(None) => return Self::Unsigned,
                Err(problem) => return Self::Unreadable(problem.to_string()),
            };
            let of_slice = Self::of_signature(&signature, identity);
            // The weakest slice decides: code is only kept where all of it is somebody's.
            if !matches!(of_slice, Self::Foreign(_)) {
                return of_slice;
            }
            origin = origin.or(Some(of_slice));
        }
        origin.unwrap_or(Self::Unsigned)
    }

    fn of_signature(signature: &Signature, identity: &Identity) -> Self {
        let directory = signature.best_directory();
        if directory.flags.contains(CodeFlags::LINKER_SIGNED) {
            return Self::Unsigned;
        }
        match signature.cms() {
            None => Self::AdHoc,
            Some(cms) if identity.made(cms) => Self::Ours,
            Some(cms) if is_of_development(cms) => Self::Development,
            Some(_) => Self::Foreign(directory.team_id.clone()),
        }
    }

    /// What stands in the way of keeping it.
    fn objection(&self) -> Option<String> {
        match self {
            Self::Unsigned => Some("it has no signature".to_owned()),
            Self::Unreadable(why) => Some(why.clone()),
            Self::AdHoc | Self::Ours | Self::Development | Self::Foreign(_) => None,
        }
    }
}

/// Decides about code that stands in a bundle. `shown` is how errors call it.
///
/// A pure function of what is asked and what was found: the walk asks it for what need not be walked, and the plan for the rest.
pub(super) fn decide(
    request: &SignRequest,
    candidate: &Candidate<'_>,
    is_program: bool,
    origin: &Origin,
) -> Result<Decision, SignError> {
    let named = request.third_party.iter().find_map(|(scope, policy)| {
        let scope = scope.as_ref()?;
        scope.matches(candidate).then_some((scope, *policy))
    });
    if let Some((scope, policy)) = named {
        if policy != ThirdParty::Anew
            && let Some(why) = origin.objection()
        {
            return Err(SignError::CannotKeep { path: candidate.path.to_owned(), policy, why });
        }
        if policy == ThirdParty::KeepEntitlements && !is_program {
            let why = "it is loaded by programs and has no entitlements".to_owned();
            return Err(SignError::CannotKeep { path: candidate.path.to_owned(), policy, why });
        }
        return Ok(Decision { policy, because: format!("--third-party {}={policy}", scope.as_str()), asked: true });
    }
    let decision = |policy, because: String| Ok(Decision { policy, because, asked: false });
    let anew = |because: &str| decision(ThirdParty::Anew, because.to_owned());
    match origin {
        Origin::Unsigned => anew("it has no signature"),
        Origin::AdHoc => anew("its signature is ad hoc and names nobody"),
        Origin::Ours => anew("its signature is by the identity that signs now"),
        Origin::Development => anew("its signature is by a development identity, which nobody trusts"),
        Origin::Unreadable(why) => decision(ThirdParty::Anew, format!("its signature cannot be kept: {why}")),
        Origin::Foreign(team) => {
            let by = team.as_ref().map_or_else(|| "somebody else".to_owned(), |team| format!("team {team}"));
            match request.third_party.iter().rev().find(|(scope, _)| scope.is_none()) {
                Some((_, ThirdParty::KeepEntitlements)) if !is_program => {
                    decision(ThirdParty::Anew, format!("it is loaded, not launched; {by} signed it"))
                }
                Some((_, policy)) => Ok(Decision {
                    policy: *policy,
                    because: format!("--third-party {policy}; {by} signed it"),
                    asked: true,
                }),
                None if is_program => decision(ThirdParty::Keep, format!("a program that {by} signed")),
                None => decision(ThirdParty::Anew, format!("it is loaded, not launched; {by} signed it")),
            }
        }
    }
}

/// Looks at the bundle at `path` and gives it back if it is to be kept whole. What is no bundle is left to the walk to complain of.
pub(super) fn keep_bundle(
    request: &SignRequest,
    files: &Files<'_>,
    path: &Utf8Path,
) -> Result<Option<KeptCode>, SignError> {
    let root = files.root();
    let versions = Versions::find(root, path)?;
    let current = match &versions {
        Some(versions) => versions.current.as_deref(),
        None => Some(path),
    };
    let Some(Ok(Some(anatomy))) = current.map(|current| files.bundle(current)) else { return Ok(None) };
    let (Some(executable), Some(identifier)) = (anatomy.executable(), anatomy.identifier()) else { return Ok(None) };
    if !root.is_file(&executable)? {
        return Ok(None);
    }
    if files.look(&executable)? != Content::MachO {
        return Ok(None);
    }
    let data = files.bytes(&executable)?;
    let Ok(file) = MachFile::parse(&data) else { return Ok(None) };
    let mut origin = Origin::of(&data, &file, &request.identity);
    if origin.objection().is_none()
        && let Err(why) = check_seal(files, &anatomy)
    {
        origin = Origin::Unreadable(why);
    }
    let kind = match file.kind() {
        FileKind::Execute if anatomy.is_service() => CodeKind::Service,
        FileKind::Execute => CodeKind::App,
        _ => CodeKind::Library,
    };
    let candidate = Candidate { path, executable: &executable, name: path.file_name().unwrap_or_default(), identifier };
    kept(request, &candidate, kind, &data, &file, origin)
}

/// As [`keep_bundle`], for a file.
pub(super) fn keep_file(
    request: &SignRequest,
    path: &Utf8Path,
    data: &[u8],
    file: &MachFile,
) -> Result<Option<KeptCode>, SignError> {
    let kind = if file.kind() == FileKind::Execute { CodeKind::Tool } else { CodeKind::BareLibrary };
    let name = path.file_name().unwrap_or_default();
    let identifier = Machine::bare_identifier(data, file, name);
    let candidate = Candidate { path, executable: path, name, identifier: &identifier };
    let origin = Origin::of(data, file, &request.identity);
    kept(request, &candidate, kind, data, file, origin)
}

fn kept(
    request: &SignRequest,
    candidate: &Candidate<'_>,
    kind: CodeKind,
    data: &[u8],
    file: &MachFile,
    mut origin: Origin,
) -> Result<Option<KeptCode>, SignError> {
    let wanted = |origin: &Origin| decide(request, candidate, kind.is_program(), origin);
    let mut decision = wanted(&origin)?;
    if decision.policy != ThirdParty::Keep {
        return Ok(None);
    }
    let signatures: Vec<Signature> =
        file.slices.iter().filter_map(|slice| slice.read_signature(data).ok().flatten()).collect();
    let seal = sealed_identity(data);
    if let Err(why) = &seal {
        origin = Origin::Unreadable(why.clone());
        decision = wanted(&origin)?;
    }
    let (Ok(seal), Some(first), ThirdParty::Keep) = (seal, signatures.first(), decision.policy) else {
        return Ok(None);
    };
    Ok(Some(KeptCode {
        path: candidate.path.to_owned(),
        executable: candidate.executable.to_owned(),
        kind,
        identifier: first.best_directory().identifier.clone(),
        team: first.best_directory().team_id.clone(),
        cdhashes: signatures.iter().map(|signature| signature.best_directory().cdhash).collect(),
        requirement: seal.designated_code_requirement,
        policy: decision.policy,
        policy_because: decision.because,
        name: candidate.identifier.to_owned(),
    }))
}

/// What the seal of a bundle says of the signed code in it.
pub(super) fn sealed_identity(data: &[u8]) -> Result<SignedMachOInfo, String> {
    let text = |error: apple_codesign::AppleCodesignError| format!("its signature: {error}");
    // The library takes the first expression of a requirement without asking whether there is one.
    let file = apple_codesign::MachFile::parse(data).map_err(text)?;
    for slice in file.iter_macho() {
        let signature = slice.code_signature().map_err(text)?.ok_or("it has no signature")?;
        let requirements = signature.code_requirements().map_err(text)?;
        if let Some(designated) = requirements.as_ref().and_then(|it| it.requirements.get(&RequirementType::Designated))
            && designated.parse_expressions().map_err(text)?.is_empty()
        {
            return Err("its designated requirement is empty".to_owned());
        }
    }
    SignedMachOInfo::parse_data(data).map_err(text)
}

/// Whether the seal beside an executable is there and can be read.
fn check_seal(files: &Files<'_>, anatomy: &Anatomy) -> Result<(), String> {
    let path = anatomy.code_resources();
    if !files.root().is_file(&path).map_err(|error| error.to_string())? {
        return Err("it has no _CodeSignature/CodeResources".to_owned());
    }
    let bytes = files.bytes(&path).map_err(|error| error.to_string())?;
    let seal = property_list::read(&bytes).map_err(|why| format!("its _CodeSignature/CodeResources: {why}"))?;
    if seal.contains_key("files2") || seal.contains_key("files") {
        return Ok(());
    }
    Err("its _CodeSignature/CodeResources lists no files".to_owned())
}

/// Refuses policies for what is not there, and all that is asked of code that is kept. `anew` is what else there is.
pub(super) fn check_request(
    request: &SignRequest,
    anew: &[Candidate<'_>],
    kept: &[Candidate<'_>],
) -> Result<(), SignError> {
    let candidates: Vec<Candidate<'_>> = anew.iter().chain(kept).copied().collect();
    let mut named = std::collections::BTreeMap::new();
    for (scope, _) in &request.third_party {
        let Some(scope) = scope else { continue };
        let index = scope.resolve(&candidates)?;
        if candidates[index].path == "." {
            return Err(SignError::PolicyOnMain);
        }
        if named.insert(index, scope).is_some() {
            return Err(SignError::Twice { what: "policies", path: candidates[index].path.to_owned() });
        }
    }
    if request.third_party.iter().filter(|(scope, _)| scope.is_none()).count() > 1 {
        return Err(SignError::Twice { what: "policies", path: ".".into() });
    }
    let asked: [(&str, Vec<&Scope>); 6] = [
        ("entitlements", request.entitlements.iter().map(|(scope, _)| scope).collect()),
        ("a provisioning profile", request.profiles.iter().map(|(scope, _)| scope).collect()),
        ("a requirement", request.requirements.iter().map(|(scope, _)| scope).collect()),
        ("launch constraints", request.constraints.iter().map(|(scope, _)| scope).collect()),
        ("an identifier", request.identifiers.iter().map(|(scope, _)| scope).collect()),
        ("flags", request.flags.iter().filter_map(|(scope, _)| scope.as_ref()).collect()),
    ];
    for (what, scopes) in asked {
        for scope in scopes {
            let kept = kept.iter().find(|kept| scope.matches(kept));
            if let (Some(kept), false) = (kept, anew.iter().any(|other| scope.matches(other))) {
                return Err(SignError::NamesKept { path: kept.path.to_owned(), what });
            }
        }
    }
    Ok(())
}
