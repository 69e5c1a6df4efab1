//! One Mach-O file against its own signature.

use camino::{Utf8Path, Utf8PathBuf};

use super::report::{Finding, Report, Severity, Unchecked, VerifiedCode, What};
use crate::macho::{
    CdHash, CodeDirectory, CodeFlags, Container, ExecSegmentFlags, FileKind, MachFile, Signature, Slice, slot,
};

/// What a bundle contributes to the signature of its main executable.
pub(super) struct Bound<'a> {
    pub info: &'a [u8],
    pub resources: Option<&'a [u8]>,
    pub identifier: Option<&'a str>,
}

/// The identities of a file: for each architecture, the hash of each of its code directories.
pub(super) type Identities = Vec<Vec<CdHash>>;

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
    for slice in &file.slices {
        check.place = Some(slice.arch.to_string());
        match slice.read_signature(data) {
            Ok(Some(signature)) => {
                check.slice(slice, slice.bytes(data), &signature, bound);
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
            let describe = |it: &CodeDirectory| format!("`{}` with flags {}", it.identifier, it.flags);
            check.find(What::DirectoriesDiffer, describe(directory), describe(other));
        }
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
    };
    if read.iter().any(|(_, signature)| signature.cms().is_some()) {
        let what = "its certificate and CMS signature are not checked by this version".to_owned();
        check.report.unchecked.push(Unchecked { path: path.to_owned(), what });
    }
    check.report.code.push(code);
    let identities = |signature: &Signature| signature.directories.iter().map(|directory| directory.cdhash).collect();
    Some(read.iter().map(|(_, signature)| identities(signature)).collect())
}

struct Check<'a> {
    report: &'a mut Report,
    path: &'a Utf8Path,
    place: Option<String>,
}

impl Check<'_> {
    fn push(&mut self, severity: Severity, what: What, expected: String, found: String) {
        let path: Utf8PathBuf = self.path.to_owned();
        self.report.findings.push(Finding { path, place: self.place.clone(), what, severity, expected, found });
    }

    fn find(&mut self, what: What, expected: impl ToString, found: impl ToString) {
        self.push(Severity::Error, what, expected.to_string(), found.to_string());
    }

    fn warn(&mut self, what: What, expected: impl ToString, found: impl ToString) {
        self.push(Severity::Warning, what, expected.to_string(), found.to_string());
    }

    /// A universal header is sealed by nothing: at least nothing may hide between the slices.
    fn container(&mut self, data: &[u8], file: &MachFile) {
        let header = match file.container {
            Container::Thin => return,
            Container::Fat32 => 8 + 20 * file.slices.len(),
            Container::Fat64 => 8 + 32 * file.slices.len(),
        };
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
        for directory in &signature.directories {
            self.pages(directory, bytes, range.start);
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
        let size = directory.page_size.unwrap_or(code.len().max(1));
        let due = code.len().div_ceil(size);
        if due != directory.pages {
            self.find(What::PageCount, due, directory.pages);
        }
        let arch = self.place.take();
        for (index, page) in code.chunks(size).enumerate() {
            let Some(expected) = directory.page_hash(index) else { break };
            let found = directory.hash.digest(page);
            if found != expected {
                self.place =
                    Some(format!("{}, page {index} at {:#x}", arch.as_deref().unwrap_or_default(), index * size));
                self.find(What::PageChanged, short(expected), short(&found));
            }
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
        let info = bound.map(|bound| bound.info).or(embedded);
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
        8..=11 => format!("launch constraints (slot {number})"),
        other => format!("slot {other}"),
    }
}
