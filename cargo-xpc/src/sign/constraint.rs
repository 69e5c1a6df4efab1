//! Launch constraints: what a program demands of itself, of its parent and of the process that is responsible for it.

use apple_codesign::environment_constraints::EncodedEnvironmentConstraints;
use apple_codesign::{AppleCodesignError, SettingsScope, SigningSettings};
use camino::{Utf8Path, Utf8PathBuf};
use plist::{Dictionary, Value};
use serde::Serialize;

use super::SignError;
use crate::property_list;

/// Whom a constraint is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Constrained {
    /// The program.
    Itself,
    /// The process that starts it.
    Parent,
    /// The process on whose behalf it runs.
    Responsible,
}

/// A launch constraint.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Constraint {
    /// Whom it is about.
    pub on: Constrained,
    /// The file that it comes from.
    pub source: Utf8PathBuf,
    /// What is demanded: facts and operators, as in Apple's *Defining launch environment and library constraints*.
    pub content: Dictionary,
}

impl Constraint {
    /// Reads a property list of either form.
    ///
    /// # Errors
    /// Where there is none, or it holds something that a signature has no form for.
    pub fn read(on: Constrained, path: &Utf8Path) -> Result<Self, SignError> {
        let wrong = |why: String| SignError::Constraint { path: path.to_owned(), why };
        let bytes = match fs_err::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(wrong("there is no such file".to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        let content = property_list::read(&bytes)
            .map_err(|error| wrong(format!("not a property list with a dictionary in it: {error}")))?;
        if content.is_empty() {
            return Err(wrong("it demands nothing".to_owned()));
        }
        if let Some((key, kind)) = super::entitlements::unsignable(&content) {
            return Err(wrong(format!("`{key}` is {kind}, for which a signature has no form")));
        }
        let constraint = Self { on, source: path.to_owned(), content };
        constraint.encoded().and_then(|encoded| Ok(encoded.der_encode()?)).map_err(|error| wrong(error.to_string()))?;
        Ok(constraint)
    }

    fn encoded(&self) -> Result<EncodedEnvironmentConstraints, Box<AppleCodesignError>> {
        let mut content = self.content.clone();
        content.sort_keys();
        Ok(EncodedEnvironmentConstraints::from_requirements_plist(Value::Dictionary(content))?)
    }

    /// Has a signature carry it.
    pub(super) fn apply(&self, settings: &mut SigningSettings<'_>) -> Result<(), Box<AppleCodesignError>> {
        let (scope, encoded) = (SettingsScope::Main, self.encoded()?);
        match self.on {
            Constrained::Itself => settings.set_launch_constraints_self(scope, encoded),
            Constrained::Parent => settings.set_launch_constraints_parent(scope, encoded),
            Constrained::Responsible => settings.set_launch_constraints_responsible(scope, encoded),
        }
        Ok(())
    }
}
