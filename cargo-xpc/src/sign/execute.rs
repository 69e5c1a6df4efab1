//! Making the signatures of a plan.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use apple_codesign::{AppleCodesignError, MachOSigner, SignedMachOInfo};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::machine::Machine;
use super::settings::{Sealed, settings};
use super::third_party::sealed_identity;
use super::walk::Node;
use super::{Identity, PlannedSignature, Progress, SignError, SignPlan, seal, timestamp};
use crate::bundle::tree;
use crate::macho::{CdHash, HashKind};

/// A bundle whose signatures are all made. Nobody has read them back yet.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SignedBundle {
    /// Where it stands.
    pub path: Utf8PathBuf,
    /// What was signed, in the order of the plan.
    pub code: Vec<SignedCode>,
}

/// One signature that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SignedCode {
    /// Relative to the bundle; `.` for itself.
    pub path: Utf8PathBuf,
    /// The name in the signature.
    pub identifier: String,
    /// The identity of the first architecture.
    pub cdhash: CdHash,
}

/// Makes the signatures of `plan` in the tree at `root`, which is the planned bundle or a copy of it.
///
/// Every file that changes becomes a new one under the old name: macOS remembers signatures by inode and kills a program whose file
/// was rewritten in place. On an error the tree is neither the old bundle nor the new one; sign a copy, and publish it when it is whole.
pub fn execute(
    plan: &SignPlan,
    root: &Utf8Path,
    progress: &mut dyn FnMut(&Progress),
) -> Result<SignedBundle, SignError> {
    let planned: BTreeMap<&Utf8Path, &PlannedSignature> =
        plan.signatures.iter().map(|signature| (signature.executable.as_path(), signature)).collect();
    let (identity, timestamp) = (&plan.identity, plan.timestamp.as_deref());
    let mut run = Run { root, identity, timestamp, planned, signed: BTreeMap::new(), code: Vec::new(), progress };
    for node in &plan.nodes {
        run.bundle(node)?;
    }
    Ok(SignedBundle { path: root.to_owned(), code: run.code })
}

struct Run<'a> {
    root: &'a Utf8Path,
    identity: &'a Identity,
    timestamp: Option<&'a str>,
    planned: BTreeMap<&'a Utf8Path, &'a PlannedSignature>,
    /// What later seals say about the code that is signed already.
    signed: BTreeMap<Utf8PathBuf, SignedMachOInfo>,
    code: Vec<SignedCode>,
    progress: &'a mut dyn FnMut(&Progress),
}

impl Run<'_> {
    fn bundle(&mut self, node: &Node) -> Result<(), SignError> {
        for loose in &node.loose {
            self.code(&loose.path, &loose.machine, None)?;
        }
        for kept in &node.kept {
            let data = fs_err::read(self.root.join(&kept.executable))?;
            let cannot = |why| SignError::CannotKeep { path: kept.path.clone(), policy: kept.policy, why };
            self.signed.insert(kept.executable.clone(), sealed_identity(&data).map_err(cannot)?);
        }
        for stale in &node.stale {
            let stale = self.root.join(stale);
            writable(stale.parent().unwrap_or(self.root), || Ok(tree::remove(&stale)?))?;
        }
        let resources = seal::seal(self.root, node, &self.signed)?;
        let folder = self.root.join(&node.content).join("_CodeSignature");
        if !crate::anatomy::is_folder(&folder)? {
            writable(&self.root.join(&node.content), || {
                tree::remove(&folder)?;
                Ok(fs_err::create_dir(&folder)?)
            })?;
        }
        replace(&folder.join("CodeResources"), &resources, None)?;
        self.code(&node.executable, &node.machine, Some(Sealed { info: &node.info_bytes, resources: &resources }))
    }

    fn code(&mut self, path: &Utf8Path, machine: &Machine, sealed: Option<Sealed<'_>>) -> Result<(), SignError> {
        let failed = |source| SignError::signer(path, source);
        let planned = self.planned.get(path).ok_or_else(|| failed(AppleCodesignError::NoIdentifier))?;
        (self.progress)(&Progress { done: self.code.len(), total: self.planned.len(), path: planned.path.clone() });
        let file = self.root.join(path);
        let data = fs_err::read(&file)?;
        // Checked once more: between plan and now the file may have become another.
        let current = crate::macho::MachFile::parse(&data)
            .map_err(|problem| crate::macho::MachError::Format { path: file.clone(), problem })?;
        Machine::check(&data, &current, path, self.identity)?;
        let settings =
            settings(planned, machine, self.identity, self.timestamp, sealed).map_err(|source| failed(*source))?;
        let mut signed = Vec::with_capacity(data.len() + (1 << 17));
        let signer = MachOSigner::new(&data).map_err(failed)?;
        timestamp::write(&signer, &settings, path, &mut signed)?;
        let mut info = SignedMachOInfo::parse_data(&signed).map_err(failed)?;
        if let Some(given) = &planned.given_requirement {
            // The library's own words lose where a `*` stood.
            info.designated_code_requirement = Some(given.clone());
        }
        replace(&file, &signed, Some(fs_err::metadata(&file)?.permissions()))?;
        let mut cdhash = [0; 20];
        cdhash.copy_from_slice(&HashKind::Sha256.digest(&info.code_directory_blob)[..20]);
        self.code.push(SignedCode {
            path: planned.path.clone(),
            identifier: planned.identifier.clone(),
            cdhash: CdHash(cdhash),
        });
        self.signed.insert(path.to_owned(), info);
        Ok(())
    }
}

/// Writes a new file and puts it under the old name in one step.
pub(super) fn replace(path: &Utf8Path, bytes: &[u8], mode: Option<Permissions>) -> Result<(), SignError> {
    let folder = path.parent().unwrap_or(Utf8Path::new("."));
    writable(folder, || {
        let mut file = tempfile::Builder::new().prefix(".signing-").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().set_permissions(mode.unwrap_or_else(|| Permissions::from_mode(0o644)))?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    })
}

/// Works in a folder that its owner may not write to, and leaves it as it was.
fn writable<R>(folder: &Utf8Path, work: impl FnOnce() -> Result<R, SignError>) -> Result<R, SignError> {
    let before = fs_err::metadata(folder)?.permissions();
    if before.mode() & 0o300 == 0o300 {
        return work();
    }
    fs_err::set_permissions(folder, Permissions::from_mode(before.mode() | 0o700))?;
    let result = work();
    fs_err::set_permissions(folder, before)?;
    result
}
