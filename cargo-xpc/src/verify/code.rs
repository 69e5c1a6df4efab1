//! One Mach-O file against its own signature.

use camino::Utf8Path;
use plist::Dictionary;

use super::certificate::Chain;
use super::cms;
use super::entitlements;
use super::report::{Anchor, Finding, Report, Severity, Signer, VerifiedCode, What};
use super::requirement::{Code, Purpose, Requirement, Truth, read_set};
use crate::macho::{
    Arch, CdHash, CodeDirectory, CodeFlags, Container, ExecSegmentFlags, FileKind, HashKind, MachFile, Signature,
    Slice, slot,
};
use crate::property_list;

/// Changed pages that are listed one by one; a file that was replaced differs in all of them.
const MAX_PAGES: usize = 32;

/// Characters of a value that are shown.
const MAX_SHOWN: usize = 80;

/// What a bundle contributes to the signature of its main executable.
pub(super) struct Bound<'a> {
    pub info_bytes: &'a [u8],
    pub info: &'a Dictionary,
    pub resources: Option<&'a [u8]>,
    pub identifier: Option<&'a str>,
}

/// What one architecture of a file is known by.
pub(super) struct Identity {
    pub arch: Arch,
    /// The hash of each of its code directories.
    pub cdhashes: Vec<CdHash>,
    /// What its code directories are hashed with.
    pub hashes: Vec<HashKind>,
    identifier: String,
    /// Of the directory that counts.
    cdhash: CdHash,
    platform: u8,
    info: Option<Dictionary>,
    pub entitlements: Option<Dictionary>,
    pub chain: Option<Chain>,
}

/// The architectures of a file that are signed.
pub(super) type Identities = Vec<Identity>;

impl Identity {
    /// What `requirement` says of it.
    pub(super) fn judge(&self, requirement: &Requirement) -> Truth {
        requirement.evaluate(&Code {
            identifier: &self.identifier,
            cdhash: self.cdhash,
            platform: self.platform,
            info: self.info.as_ref(),
            entitlements: self.entitlements.as_ref(),
            chain: self.chain.as_ref().map_or(&[], |chain| &chain.certificates),
            is_complete: self.chain.as_ref().is_some_and(|chain| chain.is_complete),
        })
    }

    /// What a person needs to see why a requirement fails.
    pub(super) fn describe(&self) -> String {
        let signer = match &self.chain {
            None => "ad hoc".to_owned(),
            Some(chain) => {
                let names = chain.certificates.iter().map(|certificate| format!("`{}`", certificate.name()));
                format!("signed by {}", names.collect::<Vec<_>>().join(" below "))
            }
        };
        format!("identifier \"{}\", cdhash {} ({}), {signer}", self.identifier, self.cdhash, self.arch)
    }
}

/// Hex digits, cut short: a person compares the first few.
pub(super) fn short(bytes: &[u8]) -> String {
    let mut text: String = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > 8 {
        text.push('…');
    }
    text
}

/// Checks `data` and gives its identities, as far as it has any. `bound` is there for main executables of bundles only.
pub(super) fn check(
    report: &mut Report,
    path: &Utf8Path,
    data: &[u8],
    bound: Option<&Bound<'_>>,
) -> Option<Identities> {
    let mut check = Check { report, path, place: None };
    let file = match MachFile::parse(data) {
        Ok(file) => file,
        Err(problem) => {
            check.find(What::Damaged, "", problem);
            return None;
        }
    };
    check.container(data, &file);
    let mut read: Vec<(&Slice, Signature)> = Vec::new();
    let mut identities = Identities::new();
    let mut signers: Vec<Signer> = Vec::new();
    let mut requirement = None;
    for slice in &file.slices {
        check.place = Some(slice.arch.to_string());
        match slice.read_signature(data) {
            Ok(Some(signature)) => {
                let bytes = slice.bytes(data);
                check.slice(slice, bytes, &signature, bound);
                let authority = check.authority(&signature);
                let (signer, chain) = authority.map(|it| (it.signer, it.chain)).unzip();
                let directory = signature.best_directory();
                let embedded = || property_list::read(slice.info_plist.clone().and_then(|at| bytes.get(at))?).ok();
                let identity = Identity {
                    arch: slice.arch,
                    cdhashes: signature.directories.iter().map(|directory| directory.cdhash).collect(),
                    hashes: signature.directories.iter().map(|directory| directory.hash).collect(),
                    identifier: directory.identifier.clone(),
                    cdhash: directory.cdhash,
                    platform: directory.platform,
                    info: bound.map(|bound| bound.info.clone()).or_else(embedded),
                    entitlements: check.entitlements(&signature),
                    chain,
                };
                requirement = requirement.or(check.own_requirement(&signature, &identity));
                identities.push(identity);
                signers.extend(signer);
                read.push((slice, signature));
            }
            Ok(None) => check.find(What::Unsigned, "a signature", "none"),
            Err(problem) => check.find(What::Damaged, "", problem),
        }
    }
    check.place = None;
    let (_, first) = read.first()?;
    let directory = first.best_directory();
    for other in read.iter().flat_map(|(_, signature)| &signature.directories) {
        let same = other.identifier == directory.identifier
            && other.flags == directory.flags
            && other.team_id == directory.team_id;
        if !same {
            let describe = |it: &CodeDirectory| {
                let team = it.team_id.as_deref().map_or_else(String::new, |team| format!(" of team {team}"));
                format!("`{}`{team} with flags {}", it.identifier, it.flags)
            };
            check.find(What::DirectoriesDiffer, describe(directory), describe(other));
        }
    }
    let leaf = |signer: &Signer| signer.chain.first().map(|certificate| certificate.sha256.clone());
    if let Some((first, others)) = signers.split_first()
        && let Some(other) = others.iter().find(|other| leaf(other) != leaf(first))
    {
        check.warn(What::SignersDiffer, first, other);
    }
    if let Some(identifier) = bound.and_then(|bound| bound.identifier)
        && identifier != directory.identifier
    {
        check.warn(What::IdentifierDiffers, identifier, &directory.identifier);
    }
    let code = VerifiedCode {
        path: path.to_owned(),
        identifier: directory.identifier.clone(),
        flags: directory.flags,
        ad_hoc: first.cms().is_none(),
        team_id: directory.team_id.clone(),
        architectures: read.iter().map(|(slice, it)| (slice.arch, it.best_directory().cdhash)).collect(),
        requirement,
        signer: signers.into_iter().next(),
    };
    check.report.code.push(code);
    Some(identities)
}

struct Check<'a> {
    report: &'a mut Report,
    path: &'a Utf8Path,
    place: Option<String>,
}

impl Check<'_> {
    fn push(&mut self, severity: Severity, what: What, expected: String, found: String) {
        let finding = Finding::new(self.path.to_owned(), self.place.clone(), what, severity, (expected, found));
        self.report.findings.push(finding);
    }

    fn find(&mut self, what: What, expected: impl ToString, found: impl ToString) {
        self.push(Severity::Error, what, expected.to_string(), found.to_string());
    }

    fn warn(&mut self, what: What, expected: impl ToString, found: impl ToString) {
        self.push(Severity::Warning, what, expected.to_string(), found.to_string());
    }

    /// Who signed, and whether the signature holds.
    fn authority(&mut self, signature: &Signature) -> Option<cms::Authority> {
        let bytes = signature.cms()?;
        let directories: Vec<(&CodeDirectory, &[u8])> = signature
            .directories
            .iter()
            .map(|directory| (directory, signature.blob(directory.slot).unwrap_or_default()))
            .collect();
        let authority = match cms::read(bytes, &directories) {
            Ok(authority) => authority,
            Err(problem) => {
                self.find(What::CmsDamaged, "", problem);
                return None;
            }
        };
        for cms::Remark { severity, what, expected, found } in &authority.remarks {
            self.push(*severity, *what, expected.clone(), found.clone());
        }
        // What the last certificate says is then its own word.
        let signer = &authority.signer;
        for (whose, anchor, chain) in std::iter::once(("its certificates", signer.anchor, &signer.chain))
            .chain(signer.timestamp.iter().map(|stamp| ("those of its time stamp", stamp.anchor, &stamp.chain)))
        {
            if let (Anchor::Incomplete, Some(last)) = (anchor, chain.last()) {
                let what =
                    format!("the root of {whose} is not there, so nobody's signature on `{}` is checked", last.subject);
                self.report.leave(self.path, what);
            }
        }
        // Only Apple says which team a developer is of; in another's certificate, and in the App Store's own, the field is free text.
        let developer = authority.chain.certificates.first().filter(|leaf| leaf.is_apple_developer());
        if signer.anchor == Anchor::Apple && developer.is_some() {
            let team = signer.team_id.as_deref();
            for stated in signature.directories.iter().filter_map(|directory| directory.team_id.as_deref()) {
                if Some(stated) != team {
                    self.find(What::TeamDiffers, team.unwrap_or("none"), stated);
                }
            }
        }
        Some(authority)
    }

    /// Where they are there in DER, that is what counts; the property list has to say the same.
    fn entitlements(&mut self, signature: &Signature) -> Option<Dictionary> {
        let listed = signature.entitlements().unwrap_or_else(|problem| {
            self.find(What::Damaged, "", problem);
            None
        });
        let Some(der) = signature.contents(slot::ENTITLEMENTS_DER) else { return listed };
        let decoded = match entitlements::read(der) {
            Ok(decoded) => decoded,
            Err(problem) => {
                self.find(What::Damaged, "entitlements in DER", format!("DER {problem}"));
                return listed;
            }
        };
        // Old systems look at the one, new ones at the other.
        let empty = Dictionary::new();
        let list = listed.as_ref().unwrap_or(&empty);
        let mut keys: Vec<&String> = list.keys().chain(decoded.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys.into_iter().filter(|key| list.get(key) != decoded.get(key)) {
            // A person sees by the start what differs; the value may be as long as somebody likes.
            let says = |value: Option<&plist::Value>| match value {
                None => "none".to_owned(),
                Some(plist::Value::Dictionary(_) | plist::Value::Array(_)) => "a list".to_owned(),
                Some(value) => format!("{value:?}").chars().take(MAX_SHOWN).collect(),
            };
            let (expected, found) = (says(list.get(key)), says(decoded.get(key)));
            let key: String = key.chars().take(MAX_SHOWN).collect();
            self.find(What::EntitlementsDiffer, format!("`{key}`: {expected}"), format!("{found} in DER"));
        }
        Some(decoded)
    }

    fn constraints(&mut self, signature: &Signature) {
        for number in slot::CONSTRAINTS..=slot::CONSTRAINTS_END {
            if let Some(Err(problem)) = signature.contents(number).map(entitlements::read) {
                self.find(What::Damaged, slot_name(number), format!("DER {problem}"));
            }
        }
    }

    /// The requirement by which the code's later versions are recognised: the code itself has to be one of them.
    fn own_requirement(&mut self, signature: &Signature, identity: &Identity) -> Option<String> {
        let set = match read_set(signature.blob(slot::REQUIREMENTS)?) {
            Ok(set) => set,
            Err(error) => {
                self.find(What::RequirementDamaged, "", error);
                return None;
            }
        };
        let (_, requirement) = set.into_iter().find(|(purpose, _)| *purpose == Purpose::Designated)?;
        let text = requirement.to_string();
        match identity.judge(&requirement) {
            Truth::Satisfied => {}
            Truth::Failed => self.find(What::RequirementFailed, format!("its own, {text}"), identity.describe()),
            Truth::Undecided(why) => {
                self.report.leave(self.path, format!("its own requirement is not decided: {why}: {text}"));
            }
        }
        Some(text)
    }

    /// A universal header is sealed by nothing: at least nothing may hide between the slices.
    fn container(&mut self, data: &[u8], file: &MachFile) {
        let header = match file.container {
            Container::Thin => return,
            Container::Fat32 => 8 + 20 * file.slices.len(),
            Container::Fat64 => 8 + 32 * file.slices.len(),
        };
        if file.container == Container::Fat64 {
            self.find(
                What::Damaged,
                "a universal header with 32-bit offsets",
                "one with 64-bit offsets, which macOS does not run",
            );
        }
        let mut ranges: Vec<_> = file.slices.iter().map(|slice| slice.range.clone()).collect();
        ranges.sort_by_key(|range| range.start);
        let mut at = header;
        for range in ranges.into_iter().chain(std::iter::once(data.len()..data.len())) {
            let gap = data.get(at..range.start).unwrap_or_default();
            if gap.iter().any(|byte| *byte != 0) {
                self.find(
                    What::UnsealedBytes,
                    "zeros between the architectures",
                    format!("data in {at:#x}..{:#x}", range.start),
                );
            }
            at = at.max(range.end);
        }
        if file.slices.iter().map(|slice| slice.range.end).max() != Some(data.len()) {
            self.find(What::UnsealedBytes, "nothing after the last architecture", "data");
        }
    }

    fn slice(&mut self, slice: &Slice, bytes: &[u8], signature: &Signature, bound: Option<&Bound<'_>>) {
        let range = slice.signature.clone().unwrap_or_default();
        if range.end != bytes.len() {
            self.find(What::UnsealedBytes, "nothing after the signature", format!("{} bytes", bytes.len() - range.end));
        }
        if signature.unused().any(|byte| byte != 0) {
            self.find(What::UnsealedBytes, "zeros between the parts of the signature", "data");
        }
        self.constraints(signature);
        for directory in &signature.directories {
            self.pages(directory, bytes, range.start);
            // Intel's processors have no others, and their kernel takes no others.
            if slice.arch.same_as(Arch::X86_64) && directory.page_size != 4096 {
                self.find(What::Damaged, "pages of 4096 bytes", format!("pages of {} bytes", directory.page_size));
            }
            self.special(slice, bytes, directory, signature, bound);
            self.segment(slice, directory);
            let ad_hoc = directory.flags.contains(CodeFlags::ADHOC);
            if ad_hoc == signature.cms().is_some() {
                let found = if ad_hoc { "`adhoc`, and a certificate" } else { "neither `adhoc` nor a certificate" };
                self.find(What::FlagsContradict, "", found);
            }
            if directory.flags.contains(CodeFlags::RUNTIME) && directory.runtime.is_none() {
                self.find(What::FlagsContradict, "a version of the hardened runtime", "none");
            }
        }
    }

    fn pages(&mut self, directory: &CodeDirectory, bytes: &[u8], code_end: usize) {
        if directory.code_limit != code_end as u64 {
            self.find(What::CodeLimit, format!("{code_end} bytes"), format!("{} bytes", directory.code_limit));
            return;
        }
        let code = bytes.get(..code_end).unwrap_or_default();
        let size = directory.page_size;
        let due = code.len().div_ceil(size);
        if due != directory.pages {
            self.find(What::PageCount, due, directory.pages);
        }
        let arch = self.place.take();
        let at = |place: String| Some(format!("{}, {place}", arch.as_deref().unwrap_or_default()));
        let mut changed = 0;
        for (index, page) in code.chunks(size).enumerate() {
            let Some(expected) = directory.page_hash(index) else { break };
            let found = directory.hash.digest(page);
            if found == expected {
                continue;
            }
            changed += 1;
            if changed <= MAX_PAGES {
                self.place = at(format!("page {index} at {:#x}", index * size));
                self.find(What::PageChanged, short(expected), short(&found));
            }
        }
        if changed > MAX_PAGES {
            self.place = at("more pages".to_owned());
            self.find(What::PageChanged, "none", format!("{} more of {due} pages", changed - MAX_PAGES));
        }
        self.place = arch;
    }

    fn special(
        &mut self,
        slice: &Slice,
        bytes: &[u8],
        directory: &CodeDirectory,
        signature: &Signature,
        bound: Option<&Bound<'_>>,
    ) {
        let embedded = slice.info_plist.clone().and_then(|range| bytes.get(range));
        let info = bound.map(|bound| bound.info_bytes).or(embedded);
        self.outside(directory, slot::INFO, info, What::InfoPlistChanged);
        self.outside(directory, slot::RESOURCES, bound.and_then(|bound| bound.resources), What::SealChanged);
        for blob in &signature.blobs {
            let name = slot_name(blob.slot);
            match blob.slot {
                slot::CODE_DIRECTORY | slot::ALTERNATES..slot::ALTERNATES_END | slot::CMS | slot::TICKET => continue,
                slot::SPECIAL_LIMIT.. => {
                    self.find(What::BlobUnsealed, "", name);
                    continue;
                }
                _ => {}
            }
            let found = directory.hash.digest(signature.blob(blob.slot).unwrap_or_default());
            match directory.special.get(&blob.slot) {
                None => self.find(What::BlobUnsealed, "", name),
                Some(expected) if *expected != found => {
                    self.find(What::BlobChanged, format!("{name} {}", short(expected)), short(&found));
                }
                Some(_) => {}
            }
        }
        for number in directory.special.keys() {
            let is_outside = [slot::INFO, slot::RESOURCES].contains(number);
            if !is_outside && signature.blob(*number).is_none() {
                self.find(What::BlobMissing, slot_name(*number), "none");
            }
        }
    }

    /// A slot whose content stands outside of the signature.
    fn outside(&mut self, directory: &CodeDirectory, slot: u32, content: Option<&[u8]>, what: What) {
        let found = content.map(|content| directory.hash.digest(content));
        match (directory.special.get(&slot), found) {
            (None, None) => {}
            (Some(expected), Some(found)) if *expected == found => {}
            (expected, found) => {
                let describe = |hash: Option<&[u8]>| hash.map_or_else(|| "none".to_owned(), short);
                self.find(what, describe(expected.map(Vec::as_slice)), describe(found.as_deref()));
            }
        }
    }

    /// What the kernel is told about `__TEXT` and about the kind of file.
    fn segment(&mut self, slice: &Slice, directory: &CodeDirectory) {
        let (Some(told), Some(text)) = (directory.exec_segment, slice.segment("__TEXT")) else { return };
        if (told.base, told.limit) != (text.offset, text.end()) {
            let range = |base: u64, limit: u64| format!("{base:#x}..{limit:#x}");
            self.find(What::ExecutableSegment, range(text.offset, text.end()), range(told.base, told.limit));
        }
        let main = told.flags.contains(ExecSegmentFlags::MAIN_BINARY);
        if main != (slice.kind == FileKind::Execute) {
            let found = if main { "a main executable" } else { "no main executable" };
            self.find(What::ExecutableSegment, slice.kind, found);
        }
    }
}

fn slot_name(number: u32) -> String {
    match number {
        slot::INFO => "Info.plist".to_owned(),
        slot::REQUIREMENTS => "the requirements".to_owned(),
        slot::RESOURCES => "CodeResources".to_owned(),
        slot::ENTITLEMENTS => "the entitlements".to_owned(),
        slot::ENTITLEMENTS_DER => "the entitlements in DER".to_owned(),
        slot::CONSTRAINTS..=slot::CONSTRAINTS_END => format!("launch constraints (slot {number})"),
        other => format!("slot {other}"),
    }
}
