//! How a program is signed, beside its entitlements and its profile: keys that services and apps share.

use camino::Utf8PathBuf;
use serde::Serialize;

use super::table::Table;
use super::{ConfigError, Place, existing_file};
use crate::macho::CodeFlags;
use crate::sign::{Constrained, Scope, ThirdParty};

/// What a package says of the signatures of its program and of the code that is bundled with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CodeSigning {
    /// A file with the designated requirement, instead of the one that follows from the identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requirements: Option<Utf8PathBuf>,
    /// Property lists of launch constraints.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub launch_constraints: Vec<(Constrained, Utf8PathBuf)>,
    /// Flags, as for `codesign --options`: all that the program gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<CodeFlags>,
    /// What becomes of bundled code that is signed already; paths are relative to the program's own bundle.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub third_party: Vec<(Option<Scope>, ThirdParty)>,
}

impl CodeSigning {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

pub(super) fn read(table: &Table<'_>) -> Result<CodeSigning, ConfigError> {
    let place = &table.place;
    let file =
        |place: &Place, key, path: Option<Utf8PathBuf>| path.map(|path| existing_file(place, key, path)).transpose();
    let mut launch_constraints = Vec::new();
    if let Some(constraints) = table.table("launch-constraints")? {
        for (key, on) in
            [("self", Constrained::Itself), ("parent", Constrained::Parent), ("responsible", Constrained::Responsible)]
        {
            let path = file(&constraints.place, key, constraints.path(key)?)?;
            launch_constraints.extend(path.map(|path| (on, path)));
        }
        constraints.finish()?;
    }
    let options = table.strings_if_any("options")?.map(|names| names.join(",").parse::<CodeFlags>());
    let mut third_party = Vec::new();
    for (scope, policy) in table.string_table("third-party")? {
        let wrong = |why: crate::sign::SignError| place.wrong(&format!("third-party.{scope}"), why);
        let policy = policy.parse::<ThirdParty>().map_err(wrong)?;
        third_party.push((Some(scope.parse::<Scope>().map_err(wrong)?), policy));
    }
    Ok(CodeSigning {
        requirements: file(place, "requirements", table.path("requirements")?)?,
        launch_constraints,
        options: options.transpose().map_err(|why| place.wrong("options", why))?,
        third_party,
    })
}
