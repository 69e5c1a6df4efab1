//! Scopes: how a person names one piece of code in a bundle.

use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::SignError;

/// A name for one signature in a bundle: `.` for the bundle itself, a path inside it (`Contents/XPCServices/greeter.xpc`), or, where
/// that is unambiguous, the name (`greeter.xpc`, `greeter`) or the identifier of what is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Scope(String);

/// What a scope may match.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    /// Relative to the bundle; `.` for itself.
    pub path: &'a Utf8Path,
    /// Its main executable, relative to the bundle.
    pub executable: &'a Utf8Path,
    /// The name of its folder or file.
    pub name: &'a str,
    /// `CFBundleIdentifier`, or what a bare file is signed as.
    pub identifier: &'a str,
}

impl Scope {
    /// The bundle that is signed.
    pub fn main() -> Self {
        Self(".".to_owned())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same of a bundle that is at `path` in another: paths begin there, names and identifiers stay.
    #[must_use]
    pub fn below(&self, path: &Utf8Path) -> Self {
        if path.as_str().is_empty() {
            return self.clone();
        }
        match self.as_str() {
            "." => Self(path.as_str().to_owned()),
            inside if inside.contains('/') => Self(path.join(inside).into_string()),
            _ => self.clone(),
        }
    }

    /// Whether this may mean `candidate`. [`Self::resolve`] tells whether it means it alone.
    pub(super) fn matches(&self, candidate: &Candidate<'_>) -> bool {
        self.is_place_of(candidate) || self.is_name_of(candidate)
    }

    fn is_place_of(&self, candidate: &Candidate<'_>) -> bool {
        let path = Utf8Path::new(&self.0);
        candidate.path == path || candidate.executable == path
    }

    fn is_name_of(&self, candidate: &Candidate<'_>) -> bool {
        [candidate.name, Utf8Path::new(candidate.name).file_stem().unwrap_or_default(), candidate.identifier]
            .contains(&self.0.as_str())
    }

    /// Finds what is meant among `candidates`.
    pub(super) fn resolve(&self, candidates: &[Candidate<'_>]) -> Result<usize, SignError> {
        if let Some(index) = candidates.iter().position(|candidate| self.is_place_of(candidate)) {
            return Ok(index);
        }
        let list = |candidates: &mut dyn Iterator<Item = &Candidate<'_>>| {
            candidates.map(|candidate| format!("\n  {} ({})", candidate.path, candidate.identifier)).collect::<String>()
        };
        let matches: Vec<usize> = (0..candidates.len()).filter(|index| self.is_name_of(&candidates[*index])).collect();
        match matches.as_slice() {
            [only] => Ok(*only),
            [] => Err(SignError::UnknownScope { scope: self.0.clone(), candidates: list(&mut candidates.iter()) }),
            several => Err(SignError::AmbiguousScope {
                scope: self.0.clone(),
                candidates: list(&mut several.iter().map(|index| &candidates[*index])),
            }),
        }
    }
}

impl FromStr for Scope {
    type Err = SignError;

    fn from_str(text: &str) -> Result<Self, SignError> {
        let wrong = |why| Err(SignError::BadScope { scope: text.to_owned(), why });
        if text.is_empty() {
            return wrong("is an empty scope: write `.` for the app itself");
        }
        if text.ends_with('/') {
            return wrong("ends in `/`: name the bundle without it");
        }
        if text.starts_with('/') {
            return wrong(
                "is absolute: scopes are paths inside of the bundle, such as Contents/XPCServices/greeter.xpc",
            );
        }
        let path: Utf8PathBuf = text.strip_prefix("./").unwrap_or(text).into();
        if path.components().any(|part| part == camino::Utf8Component::ParentDir) {
            return wrong("leads out of the bundle");
        }
        Ok(Self(path.into_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates() -> [Candidate<'static>; 3] {
        let candidate = |path: &'static str, executable: &'static str, name, identifier| Candidate {
            path: Utf8Path::new(path),
            executable: Utf8Path::new(executable),
            name,
            identifier,
        };
        [
            candidate(".", "Contents/MacOS/demo", "Demo.app", "com.example.demo"),
            candidate(
                "Contents/XPCServices/a.xpc",
                "Contents/XPCServices/a.xpc/Contents/MacOS/a",
                "a.xpc",
                "com.example.a",
            ),
            candidate("Contents/MacOS/a", "Contents/MacOS/a", "a", "a"),
        ]
    }

    #[test]
    fn paths_names_and_identifiers_are_found() {
        for (text, index) in [
            (".", 0),
            ("Demo", 0),
            ("com.example.demo", 0),
            ("Contents/MacOS/demo", 0),
            ("a.xpc", 1),
            ("./Contents/XPCServices/a.xpc", 1),
            ("com.example.a", 1),
            ("Contents/MacOS/a", 2),
        ] {
            assert_eq!(text.parse::<Scope>().unwrap().resolve(&candidates()).unwrap(), index, "{text}");
        }
    }

    #[test]
    fn a_scope_of_a_service_in_its_app() {
        let below = |text: &str, path: &str| text.parse::<Scope>().unwrap().below(Utf8Path::new(path)).0;
        let service = "Contents/XPCServices/a.xpc";
        assert_eq!(
            below("Contents/Frameworks/F.framework", service),
            format!("{service}/Contents/Frameworks/F.framework")
        );
        assert_eq!(below(".", service), service);
        assert_eq!(below("F.framework", service), "F.framework");
        assert_eq!(below("Contents/Frameworks/F.framework", ""), "Contents/Frameworks/F.framework");
    }

    #[test]
    fn what_is_wrong_is_said_with_what_there_is() {
        let error =
            |text: &str| text.parse::<Scope>().and_then(|scope| scope.resolve(&candidates())).unwrap_err().to_string();
        assert!(error("Contents/XPCServices/a.xpc/").contains("ends in `/`"));
        assert!(error("/tmp/Demo.app").contains("absolute"));
        assert!(error("Contents/../..").contains("out of the bundle"));
        assert!(error("b.xpc").contains("Contents/XPCServices/a.xpc (com.example.a)"));
        assert!(error("a").contains("may mean any of"));
    }
}
