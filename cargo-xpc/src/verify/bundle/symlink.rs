//! Symlinks: where they point, and that they lead somewhere.

use camino::Utf8Path;
use rustix::fs::FileType;

use super::{Step, Verifier};
use crate::anatomy::is_allowed_target;
use crate::verify::VerifyError;
use crate::verify::report::{Report, What};
use crate::verify::seal::Entry;

/// Symlinks that one path may lead through, as for the kernel.
const MAX_LINKS: usize = 32;

impl Verifier<'_> {
    pub(super) fn symlink(&mut self, entry: Option<&Entry>, path: &Utf8Path, omit: bool) -> Result<(), VerifyError> {
        let target = self.shared.root.read_link(path)?;
        let target = target.to_string_lossy().into_owned();
        if !is_allowed_target(path, Utf8Path::new(&target)) {
            self.find(path, What::SymlinkOutside, "", &target);
        } else if !self.leads_somewhere(path, &target)? {
            let mut report = Report::default();
            report.warn(path, What::SymlinkDangling, "a target that is there", &target);
            self.steps.push(Step::Found(Box::new(report)));
        }
        match entry {
            None if omit => {}
            None => self.find(path, What::FileAdded, "", format!("a symlink to {target}")),
            Some(entry) => match &entry.symlink {
                // By its requirement it would be code.
                _ if entry.requirement.is_some() => self.find(path, What::KindChanged, "code", "a symlink"),
                Some(expected) if *expected == target => {}
                Some(expected) => self.find(path, What::SymlinkChanged, expected, target),
                None => self.find(path, What::KindChanged, "no symlink", "a symlink"),
            },
        }
        Ok(())
    }

    /// Whether the symlink at `link` leads to something; only what is in the bundle is looked at.
    fn leads_somewhere(&self, link: &Utf8Path, target: &str) -> Result<bool, VerifyError> {
        if target.starts_with('/') {
            return Ok(true);
        }
        let mut at = link.parent().unwrap_or(Utf8Path::new("")).to_owned();
        let mut ahead: Vec<String> = Utf8Path::new(target).components().rev().map(|part| part.to_string()).collect();
        let mut links = 0;
        while let Some(part) = ahead.pop() {
            match part.as_str() {
                "." => continue,
                ".." => {
                    at.pop();
                    continue;
                }
                name => at.push(name),
            }
            let Some(stat) = self.shared.root.stat(&at)? else { return Ok(false) };
            if FileType::from_raw_mode(stat.st_mode).is_symlink() {
                links += 1;
                let next = self.shared.root.read_link(&at)?;
                // Where another one leads out of the bundle, that is said of it.
                let Some(next) = next.to_str().filter(|next| links <= MAX_LINKS && !next.starts_with('/')) else {
                    return Ok(links <= MAX_LINKS);
                };
                at.pop();
                ahead.extend(Utf8Path::new(next).components().rev().map(|part| part.to_string()));
            }
        }
        Ok(true)
    }
}
