//! Signing: a plan of every signature, then the signatures. The only user of apple-codesign.
//!
//! [`prepare`] walks the bundle and reads each file once, refuses what cannot be sealed before a byte is written, and decides each
//! signature; [`plan`] does so without reading more than it has to.
//! [`execute`] follows the plan in place, deepest first, in a tree that nobody else uses yet.

mod admission;
mod constraint;
mod entitlements;
mod error;
mod execute;
mod files;
mod identifier;
pub mod identity;
mod machine;
mod node;
mod plan;
mod profile;
mod requirement;
mod rules;
mod scope;
mod seal;
mod seen;
mod settings;
mod third_party;
mod timestamp;
mod walk;
mod write;

use camino::Utf8PathBuf;
use serde::Serialize;

use crate::macho::CodeFlags;

pub use self::admission::check_entitlements;
pub use self::constraint::{Constrained, Constraint};
pub use self::entitlements::{Entitlements, GET_TASK_ALLOW};
pub use self::error::SignError;
pub use self::execute::{SignedBundle, SignedCode, execute};
pub use self::identity::{Identity, IdentityError};
pub use self::plan::{CodeKind, PlannedSignature, SignPlan, plan, prepare};
pub use self::profile::Profile;
pub use self::requirement::Requirement;
pub use self::scope::Scope;
pub use self::seen::{Hashes, Seen};
pub use self::third_party::{KeptCode, ThirdParty};
pub use self::timestamp::check_timestamp;

/// What is asked of a signing.
#[derive(Clone, Debug, Default)]
pub struct SignRequest {
    /// Who signs.
    pub identity: Identity,
    /// Entitlements by scope. A scope that is not named gets none.
    pub entitlements: Vec<(Scope, Entitlements)>,
    /// Identifiers by scope, where the one that follows from the bundle is not wanted.
    pub identifiers: Vec<(Scope, String)>,
    /// Provisioning profiles by scope; [`execute`] puts them into the bundle, where the seals cover them.
    pub profiles: Vec<(Scope, Profile)>,
    /// Designated requirements by scope, where the one that follows from the identity is not wanted.
    pub requirements: Vec<(Scope, Requirement)>,
    /// Launch constraints by scope.
    pub constraints: Vec<(Scope, Constraint)>,
    /// Flags by scope; without a scope they go to every main executable, since the hardened runtime protects nothing on the app alone.
    pub flags: Vec<(Option<Scope>, CodeFlags)>,
    /// What becomes of nested code that is signed already, by scope; without a scope, of all that somebody else signed. By default
    /// programs of others are kept, and what is loaded into a process is signed anew.
    pub third_party: Vec<(Option<Scope>, ThirdParty)>,
    /// Lets a debugger attach to the app and to its services.
    pub get_task_allow: bool,
    /// The server that stamps each signature with the time; `None` asks nobody.
    pub timestamp: Option<String>,
    /// What an old signature may pass on, where the request says nothing else.
    pub preserve: Preserve,
}

/// Parts of an old signature that survive. By default none does: an old signature may hold what its next owner does not expect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Preserve {
    /// Entitlements of main executables.
    pub entitlements: bool,
    /// Flags, without those that say how the old signature was made.
    pub flags: bool,
    /// Identifiers.
    pub identifier: bool,
}

/// One step of [`execute`], for a progress line.
#[derive(Clone, Debug)]
pub struct Progress {
    /// How many signatures are done.
    pub done: usize,
    /// How many there are.
    pub total: usize,
    /// What is signed next, relative to the bundle.
    pub path: Utf8PathBuf,
}
