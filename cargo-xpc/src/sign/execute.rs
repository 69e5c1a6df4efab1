//! Making the signatures of a plan.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;

use apple_codesign::{AppleCodesignError, SignedMachOInfo, UniversalBinaryBuilder};
use camino::{Utf8Path, Utf8PathBuf};
use rayon::prelude::*;
use rustix::fs::Mode;
use serde::Serialize;

use super::files::SealedFiles;
use super::machine::Machine;
use super::node::Node;
use super::seen::Seen;
use super::settings::{Sealed, settings};
use super::third_party::sealed_identity;
use super::{Identity, PlannedSignature, Progress, SignError, SignPlan, seal, timestamp, write};
use crate::beneath::Root;
use crate::macho::{CdHash, HashKind, MachError, MachFile, Slice};

/// A bundle whose signatures are all made. Nobody has read them back yet.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SignedBundle {
    /// Where it stands.
    pub path: Utf8PathBuf,
    /// What was signed, in the order of the plan.
    pub code: Vec<SignedCode>,
    /// What was read for it, and is as it was.
    #[serde(skip)]
    pub seen: Seen,
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
/// Bundles that do not hold each other are signed side by side; `progress` is called by one thread at a time, as each signature begins.
///
/// Every file that changes becomes a new one under the old name: macOS remembers signatures by inode and kills a program whose file
/// was rewritten in place. On an error the tree is neither the old bundle nor the new one; sign a copy, and publish it when it is whole.
pub fn execute(
    plan: &SignPlan,
    root: &Utf8Path,
    progress: &mut (dyn FnMut(&Progress) + Send),
) -> Result<SignedBundle, SignError> {
    let opened = crate::anatomy::open(root)?;
    let files = SealedFiles::new(&opened, &plan.remembered);
    let sealed = plan.nodes.iter().flat_map(|node| node.entries.iter().map(|entry| entry.path.as_path())).collect();
    let planned: BTreeMap<&Utf8Path, &PlannedSignature> =
        plan.signatures.iter().map(|signature| (signature.executable.as_path(), signature)).collect();
    let (identity, timestamp) = (&plan.identity, plan.timestamp.as_deref());
    let run = Run {
        root: &opened,
        files,
        sealed,
        identity,
        timestamp,
        planned,
        steps: Mutex::new(Steps { begun: 0, progress }),
    };
    let mut signed = Signed::new();
    for (file, profile) in &plan.profiles {
        run.write(file, profile.bytes(), None)?;
    }
    let mut code: Vec<Vec<SignedCode>> = vec![Vec::new(); plan.nodes.len()];
    let work = |signed: &mut Signed, code: &mut Vec<Vec<SignedCode>>| {
        for level in levels(&plan.nodes) {
            // Every one of a level ends, whichever fails: the error is that of the first in the order of the plan.
            let done: Vec<_> = level.par_iter().map(|(_, node)| run.bundle(node, signed)).collect();
            for ((index, _), done) in level.iter().zip(done) {
                let done = done?;
                signed.extend(done.signed);
                if let Some(place) = code.get_mut(*index) {
                    *place = done.code;
                }
            }
        }
        Ok::<(), SignError>(())
    };
    match run.waiters()? {
        Some(pool) => pool.install(|| work(&mut signed, &mut code))?,
        None => work(&mut signed, &mut code)?,
    }
    Ok(SignedBundle { path: root.to_owned(), code: code.into_iter().flatten().collect(), seen: plan.remembered.seen() })
}

/// What seals say about the code that is signed already, by the path of its executable.
type Signed = BTreeMap<Utf8PathBuf, SignedMachOInfo>;

/// The nodes with their place in the plan, those first that lie deepest: what holds another has fewer folders above it.
fn levels(nodes: &[Node]) -> Vec<Vec<(usize, &Node)>> {
    let mut levels: BTreeMap<Reverse<usize>, Vec<(usize, &Node)>> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        levels.entry(Reverse(node.path.components().count())).or_default().push((index, node));
    }
    levels.into_values().collect()
}

struct Run<'a> {
    root: &'a Root,
    files: SealedFiles<'a>,
    /// What the seals name.
    sealed: HashSet<&'a Utf8Path>,
    identity: &'a Identity,
    timestamp: Option<&'a str>,
    planned: BTreeMap<&'a Utf8Path, &'a PlannedSignature>,
    steps: Mutex<Steps<'a>>,
}

struct Steps<'a> {
    begun: usize,
    progress: &'a mut (dyn FnMut(&Progress) + Send),
}

/// What came of one bundle.
#[derive(Default)]
struct Done {
    signed: Signed,
    code: Vec<SignedCode>,
}

/// How many time stamps are asked for at a time: a server's answer is waited for, not computed.
const TIMESTAMPS_AT_ONCE: usize = 8;

impl Run<'_> {
    /// Threads of their own, where they will mostly wait.
    fn waiters(&self) -> Result<Option<rayon::ThreadPool>, SignError> {
        if self.timestamp.is_none() {
            return Ok(None);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(TIMESTAMPS_AT_ONCE).build();
        Ok(Some(pool.map_err(std::io::Error::other)?))
    }

    fn bundle(&self, node: &Node, before: &Signed) -> Result<Done, SignError> {
        let mut done = Done::default();
        let loose: Vec<_> = node.loose.par_iter().map(|loose| self.code(&loose.path, &loose.machine, None)).collect();
        for (loose, made) in node.loose.iter().zip(loose) {
            let (code, info) = made?;
            done.code.push(code);
            done.signed.insert(loose.path.clone(), info);
        }
        for kept in &node.kept {
            let (data, _) = self.files.bytes(&kept.executable)?;
            let cannot = |why| SignError::CannotKeep { path: kept.path.clone(), policy: kept.policy, why };
            done.signed.insert(kept.executable.clone(), sealed_identity(&data).map_err(cannot)?);
        }
        for stale in &node.stale {
            write::remove(self.root, stale)?;
        }
        let resources =
            seal::seal(&self.files, node, |executable| done.signed.get(executable).or_else(|| before.get(executable)))?;
        let folder = node.content.join("_CodeSignature");
        write::folder(self.root, &folder)?;
        self.write(&folder.join("CodeResources"), &resources, None)?;
        let sealed = Sealed { info: &node.info_bytes, resources: &resources };
        let (code, info) = self.code(&node.executable, &node.machine, Some(sealed))?;
        done.code.push(code);
        done.signed.insert(node.executable.clone(), info);
        Ok(done)
    }

    /// Makes a file anew; what a seal around it will say of it is known then.
    fn write(&self, path: &Utf8Path, bytes: &[u8], mode: Option<Mode>) -> Result<(), SignError> {
        write::replace(self.root, path, bytes, mode)?;
        if self.sealed.contains(path) {
            self.files.wrote(path, bytes);
        }
        Ok(())
    }

    /// Says which signature begins.
    fn step(&self, path: &Utf8Path) {
        // One that panicked while it was told of a step is told of no more.
        let Ok(mut steps) = self.steps.lock() else { return };
        let step = Progress { done: steps.begun, total: self.planned.len(), path: path.to_owned() };
        steps.begun += 1;
        (steps.progress)(&step);
    }

    fn code(
        &self,
        path: &Utf8Path,
        machine: &Machine,
        sealed: Option<Sealed<'_>>,
    ) -> Result<(SignedCode, SignedMachOInfo), SignError> {
        let failed = |source| SignError::signer(path, source);
        let planned = self.planned.get(path).ok_or_else(|| failed(AppleCodesignError::NoIdentifier))?;
        self.step(&planned.path);
        let (data, mode) = self.files.bytes(path)?;
        // Checked once more: between plan and now the file may have become another.
        let current =
            MachFile::parse(&data).map_err(|problem| MachError::Format { path: self.root.shown(path), problem })?;
        Machine::check(&data, &current, path, self.identity)?;
        // No architecture waits for another, nor for its time stamp.
        let slice = |(index, slice): (usize, &Slice)| {
            let settings = settings(planned, (machine, index), self.identity, self.timestamp, sealed);
            timestamp::sign(slice.bytes(&data), &settings.map_err(|source| failed(*source))?, path)
        };
        let slices: Vec<_> = current.slices.par_iter().enumerate().map(slice).collect();
        let signed = put_together(slices.into_iter().collect::<Result<_, _>>()?).map_err(|source| failed(*source))?;
        let mut info = SignedMachOInfo::parse_data(&signed).map_err(failed)?;
        if let Some(given) = &planned.given_requirement {
            // The library's own words lose where a `*` stood.
            info.designated_code_requirement = Some(given.clone());
        }
        self.write(path, &signed, Some(mode))?;
        let mut cdhash = [0; 20];
        cdhash.copy_from_slice(&HashKind::Sha256.digest(&info.code_directory_blob)[..20]);
        let code =
            SignedCode { path: planned.path.clone(), identifier: planned.identifier.clone(), cdhash: CdHash(cdhash) };
        Ok((code, info))
    }
}

/// One file of the architectures' own ones, as the library would make it.
fn put_together(mut slices: Vec<Vec<u8>>) -> Result<Vec<u8>, Box<AppleCodesignError>> {
    let boxed = |error| Box::new(AppleCodesignError::from(error));
    if slices.len() == 1 {
        return Ok(slices.swap_remove(0));
    }
    let mut universal = UniversalBinaryBuilder::default();
    for slice in &slices {
        universal.add_binary(slice).map_err(boxed)?;
    }
    let mut file = Vec::with_capacity(slices.iter().map(|slice| slice.len() + (1 << 14)).sum());
    universal.write(&mut file).map_err(boxed)?;
    Ok(file)
}
