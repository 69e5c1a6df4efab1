//! What an identity and a profile cannot stand for.

use camino::Utf8Path;

use super::entitlements::{DISABLE_LIBRARY_VALIDATION, INHERIT};
use super::machine::Machine;
use super::{CodeKind, Entitlements, Identity, PlannedSignature, Profile, SignError};
use crate::macho::CodeFlags;

/// What can be said of entitlements before there is anything to sign. `shown` is the bundle, for the message.
///
/// # Errors
/// Where the kind of code, the identity or the profile do not admit one of them.
pub fn check_entitlements(
    kind: CodeKind,
    entitlements: &Entitlements,
    profile: Option<&Profile>,
    identity: &Identity,
    shown: &Utf8Path,
) -> Result<(), SignError> {
    if kind == CodeKind::Service && entitlements.allows(INHERIT) {
        return Err(SignError::InheritOnService { path: shown.to_owned() });
    }
    for (key, value) in entitlements.restricted() {
        let (path, key) = (shown.to_owned(), key.to_owned());
        match (identity.team(), profile) {
            (None, _) => {
                let remedy = "signed without a team the program would be killed at launch; remove it";
                return Err(SignError::Restricted { path, key, remedy });
            }
            (Some(_), None) => {
                return Err(SignError::Restricted { path, key, remedy: "give its profile, or remove it" });
            }
            (Some(_), Some(profile)) if !profile.grants(&key, value) => {
                return Err(SignError::NotGranted { path, key, profile: profile.to_string() });
            }
            (Some(_), Some(_)) => {}
        }
    }
    Ok(())
}

/// What an identity cannot stand for.
pub(super) fn check(
    signature: &PlannedSignature,
    shown: &Utf8Path,
    wanted: Option<(&Entitlements, Option<&Profile>)>,
    machine: &Machine,
    identity: &Identity,
) -> Result<(), SignError> {
    let path = || shown.to_owned();
    if let Some((entitlements, profile)) = wanted {
        check_entitlements(signature.kind, entitlements, profile, identity, shown)?;
    }
    let validated = [(CodeFlags::RUNTIME, "runtime"), (CodeFlags::LIBRARY, "library")];
    let validates = validated.into_iter().find(|(flag, _)| signature.flags.contains(*flag));
    if let (Some((_, flag)), true, Some(library), None) =
        (validates, signature.kind.is_program(), &machine.bundled_library, identity.team())
        && !wanted.is_some_and(|(entitlements, _)| entitlements.allows(DISABLE_LIBRARY_VALIDATION))
    {
        return Err(SignError::LibraryValidation { path: path(), library: library.clone(), flag });
    }
    Ok(())
}
