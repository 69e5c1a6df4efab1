//! Frameworks, whose versions are bundles.

use camino::Utf8Path;

use super::{Code, Step, Verifier, kind_name};
use crate::anatomy::{Anatomy, Versions};
use crate::verify::VerifyError;
use crate::verify::report::What;

impl Verifier<'_> {
    /// A framework's versions, each a bundle; around them nothing is sealed, so that there may be symlinks only.
    pub(in crate::verify) fn framework(
        &mut self,
        path: &Utf8Path,
        versions: &Versions,
        depth: usize,
    ) -> Result<Code, VerifyError> {
        for (name, kind) in self.list(path)? {
            let inner = path.join(&name);
            if kind.is_symlink() {
                let target = self.shared.root.read_link(&inner)?;
                if !versions.is_sound_link(&name, &target) {
                    let expected = format!("Versions/Current/{name}");
                    self.find(&inner, What::SymlinkChanged, expected, target.to_string_lossy());
                }
            } else if name != "Versions" && !self.is_left_by_finder(&inner, kind)? {
                self.find(&inner, What::UnsealedRoot, "a symlink into Versions/Current", kind_name(kind));
            }
        }
        for (name, kind) in self.list(&path.join("Versions"))? {
            let inner = path.join("Versions").join(&name);
            if !kind.is_dir() && name != "Current" && !self.is_left_by_finder(&inner, kind)? {
                self.find(&inner, What::Framework, "a version", kind_name(kind));
            }
        }
        if versions.current.is_none() {
            self.find(path, What::Framework, "Versions/Current, a symlink to a version", "none");
        }
        let (mut current, mut others) = (None, Vec::new());
        for version in &versions.all {
            match Anatomy::find(&self.shared.root, version) {
                Ok(Some(anatomy)) => {
                    let code = self.bundle(version, &anatomy, depth)?;
                    if Some(version) == versions.current.as_ref() {
                        current = code;
                    } else {
                        others.push((version.clone(), code));
                    }
                }
                Ok(None) => self.find(version, What::Framework, "Resources/Info.plist", "none"),
                Err(error) => self.find(version, What::Damaged, "", error),
            }
        }
        let others = others.into_iter().map(|(path, code)| Step::Version { path, of: current, code });
        self.steps.extend(others);
        Ok(current)
    }
}
