//! The sandbox of a service that has the entitlement `com.apple.security.app-sandbox`: an approximation of macOS' App
//! Sandbox by what Linux lets any process do to itself.
//!
//! Files are Landlock's (`files.rs`), the network and the other ways out are seccomp's (`calls.rs`). Everything is made
//! ready before the fork, and applied in the child before the exec, so that no thread of the service ever runs without.

mod calls;
mod child;
mod container;
mod files;
mod kernel;
mod policy;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use self::child::Child;
use self::kernel::Kernel;
pub(crate) use self::policy::Policy;

/// What one start of a service needs.
pub(crate) struct Sandbox {
    /// The folder that is its own.
    data: PathBuf,
    pub child: Child,
    /// What the entitlements ask for and do not get.
    pub remarks: Vec<String>,
    /// What this kernel cannot enforce of them.
    pub unenforced: Option<String>,
}

/// Variables of the app that would lead a service out of its container.
pub(crate) const REMOVED_VARIABLES: &[&str] = &["XDG_RUNTIME_DIR"];

impl Sandbox {
    /// Makes a sandbox ready for the service of this name, whose app's bundle is `bundle`.
    pub fn prepare(name: &str, policy: &Policy, bundle: Option<&Path>) -> io::Result<Self> {
        let kernel = Kernel::running();
        let data = container::make(name)?;
        let mut remarks: Vec<_> = policy.unknown.iter().map(|key| unknown(key)).collect();
        let ruleset = files::ruleset(policy, bundle, &data, &mut remarks)?;
        let child = Child { ruleset, filter: calls::filter(policy, kernel)? };
        Ok(Self { data, child, remarks, unenforced: kernel.unenforced() })
    }

    /// Where the service starts.
    pub fn directory(&self) -> &Path {
        &self.data
    }

    /// What its environment says of its container.
    pub fn variables(&self) -> [(&'static str, OsString); 2] {
        [("HOME", self.data.clone().into()), ("TMPDIR", container::temporary(&self.data).into())]
    }
}

fn unknown(key: &str) -> String {
    format!("the sandbox on Linux does not know the entitlement {key}: what it would grant stays denied")
}
