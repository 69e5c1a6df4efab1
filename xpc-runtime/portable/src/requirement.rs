//! Who the other side of a connection has to be, as far as Linux can say.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::process::geteuid;

use crate::{Credentials, Error, bundle};

/// What has to be true of the process at the other end: of the one that sent the connection's hello, when that arrived.
///
/// Programs have no signatures here. A peer that runs as the same user could have started the right program and taken
/// its connection over: of such peers this finds mistakes, not attacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRequirement(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    SameUser,
    /// Below this folder.
    Bundle(Arc<Path>),
    Executable(Arc<Path>),
    Identifier(Arc<[String]>),
}

impl PeerRequirement {
    /// It has the effective user id of this process.
    pub fn same_user() -> Self {
        Self(Kind::SameUser)
    }

    /// Its executable lies in the bundle that this process belongs to.
    ///
    /// # Errors
    /// [`Error::InvalidRequirement`] where this process belongs to none.
    pub fn same_bundle() -> Result<Self, Error> {
        match bundle::path() {
            Ok(path) => Ok(Self(Kind::Bundle(path.into()))),
            Err(reason) => Err(Error::InvalidRequirement(reason.into())),
        }
    }

    /// It runs the program at this path. Symlinks are followed now.
    ///
    /// # Errors
    /// [`Error::InvalidRequirement`] where there is no such file.
    pub fn executable(path: &Path) -> Result<Self, Error> {
        match fs::canonicalize(path) {
            Ok(path) => Ok(Self(Kind::Executable(path.into()))),
            Err(error) => Err(Error::InvalidRequirement(format!("{}: {error}", path.display()).into())),
        }
    }

    /// Its executable is that of a bundle with one of these identifiers; with none of them nobody meets it. For the
    /// repository's libxpc shim, whose programs have no signatures either.
    #[doc(hidden)]
    pub fn identifier(identifiers: &[&str]) -> Self {
        Self(Kind::Identifier(identifiers.iter().map(|&identifier| identifier.to_owned()).collect()))
    }

    /// Why this peer does not meet it.
    pub(crate) fn check(&self, peer: Option<Credentials>) -> Result<(), Arc<str>> {
        let Some(peer) = peer else { return Err("the kernel does not say who the peer is".into()) };
        let own = geteuid().as_raw();
        let pid = peer.pid;
        let program = || {
            fs::read_link(format!("/proc/{pid}/exe"))
                .map_err(|error| format!("cannot tell which program the peer, process {pid}, runs: {error}"))
        };
        let wrong = |program: &Path, wanted: std::fmt::Arguments<'_>| {
            Err(format!("the peer, process {pid}, runs {}, which is not {wanted}", program.display()).into())
        };
        match &self.0 {
            Kind::SameUser if peer.euid == own => Ok(()),
            Kind::SameUser => Err(format!("the peer, process {pid}, runs as user {} and not {own}", peer.euid).into()),
            Kind::Executable(path) => match program()? {
                program if program == **path => Ok(()),
                program => wrong(&program, format_args!("{}", path.display())),
            },
            Kind::Bundle(path) => match program()? {
                program if program.starts_with(path) && !is_deleted(&program) => Ok(()),
                program => wrong(&program, format_args!("in {}", path.display())),
            },
            Kind::Identifier(identifiers) => match program()? {
                program if bundle::identifier(&program).is_some_and(|found| identifiers.contains(&found)) => Ok(()),
                program => wrong(&program, format_args!("{identifiers:?}")),
            },
        }
    }
}

/// What the kernel writes after the path of a program whose file is gone: what stands there now is another one.
pub(crate) fn is_deleted(program: &Path) -> bool {
    program.file_name().is_some_and(|name| OsStr::as_bytes(name).ends_with(b" (deleted)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Option<Credentials> {
        Some(Credentials { pid: std::process::id(), euid: geteuid().as_raw(), egid: 0 })
    }

    #[test]
    fn a_peer_is_of_the_same_user_or_not() {
        let requirement = PeerRequirement::same_user();
        assert_eq!(requirement.check(own()), Ok(()));
        let other = own().map(|own| Credentials { euid: own.euid + 1, ..own });
        assert!(requirement.check(other).unwrap_err().contains("runs as user"));
        assert!(requirement.check(None).is_err(), "who cannot be told meets nothing");
    }

    #[test]
    fn a_peer_runs_the_program_or_another() {
        let program = std::env::current_exe().unwrap();
        assert_eq!(PeerRequirement::executable(&program).unwrap().check(own()), Ok(()));
        let other = PeerRequirement::executable(Path::new("/bin/sh")).unwrap();
        assert!(other.check(own()).unwrap_err().contains(&program.display().to_string()));
        let gone = own().map(|own| Credentials { pid: i32::MAX.cast_unsigned(), ..own });
        assert!(other.check(gone).unwrap_err().contains("cannot tell"));
        assert!(matches!(PeerRequirement::executable(Path::new("/no/such")), Err(Error::InvalidRequirement(_))));
    }

    #[test]
    fn a_program_is_in_a_folder_by_its_whole_names() {
        let program = std::env::current_exe().unwrap();
        let folder = program.parent().unwrap();
        let inside = |folder: &Path| PeerRequirement(Kind::Bundle(folder.into())).check(own());
        assert_eq!(inside(folder), Ok(()));
        let sibling = format!("{}x", folder.display());
        assert!(inside(Path::new(&sibling)).is_err());
        let beginning = folder.display().to_string();
        assert!(inside(Path::new(&beginning[..beginning.len() - 1])).is_err());
        assert!(is_deleted(Path::new("/a/b (deleted)")) && !is_deleted(Path::new("/a (deleted)/b")));
    }
}
