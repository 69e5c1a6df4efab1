//! The provisioning profile in a bundle: whether it grants what the program asks for, and where.

use camino::Utf8Path;

use super::cms;
use super::code::Identities;
use super::report::{Finding, Report, Severity, What};
use crate::property_list;
use crate::provisioning::{Machines, Provisioning, is_restricted};

/// Reads a profile whose signature holds. Whose root stands behind that is not asked.
///
/// # Errors
/// In words that read on after *it*.
pub fn read_profile(bytes: &[u8]) -> Result<Provisioning, String> {
    let list = cms::signed_content(bytes)?;
    let list = property_list::read(&list).map_err(|why| format!("what it holds is no property list: {why}"))?;
    Ok(Provisioning::read(&list))
}

/// Compares the profile at `path` with the code of its bundle. macOS looks for it only where the code asks for what it has to grant, and
/// kills a program that it does not fit at its launch; `codesign --verify` does not look.
pub(super) fn check(report: &mut Report, path: &Utf8Path, bytes: &[u8], identities: &Identities) {
    let Some(code) = report.code.last().cloned() else { return };
    let asked: Vec<_> = identities
        .iter()
        .flat_map(|identity| identity.entitlements.iter().flatten())
        .filter(|(key, _)| is_restricted(key))
        .collect();
    if asked.is_empty() {
        return;
    }
    let mut find = |found: String| {
        let text = (String::new(), found);
        report.findings.push(Finding::new(path.to_owned(), None, What::ProfileUnfit, Severity::Error, text));
    };
    let profile = match read_profile(bytes) {
        Ok(profile) => profile,
        Err(problem) => return find(problem),
    };
    let certificate = identities.iter().find_map(|identity| identity.chain.as_ref()?.certificates.first());
    let Some((team, certificate)) = code.team_id.as_deref().zip(certificate) else {
        return find(format!("one of team {}, in a program without a team", profile.teams.join(", ")));
    };
    if let Some(problem) = profile.problem(team, (&certificate.name(), &certificate.der)) {
        find(problem);
    }
    let mut refused: Vec<_> = asked.into_iter().filter(|(key, value)| !profile.grants(key, value)).collect();
    refused.dedup();
    for (key, _) in refused {
        find(format!("it does not grant `{key}` as the program asks for it"));
    }
    match &profile.machines {
        Machines::All => {}
        Machines::Listed(_) => report.leave(
            path,
            format!("the program runs only where its profile allows it ({profile}): whether a Mac is one of them is not known here"),
        ),
        Machines::Store => report.leave(
            path,
            format!("the program runs only as the App Store signs it ({profile}): that signature is not this one"),
        ),
    }
}
