//! Why a bundle cannot be signed.

use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use crate::anatomy::AnatomyError;
use crate::exit::{Coded, Exit};
use crate::macho::{Arch, MachError};

/// Every reason, with the path it is about and what to do.
///
/// All but [`SignError::Io`] and [`SignError::Signer`] are found while planning, before anything is written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SignError {
    /// Reading or writing failed. The message names the path.
    #[error("{0}{remedy}", remedy = crate::exit::remedy(.0))]
    Io(#[from] std::io::Error),
    /// Not a bundle, or one whose Info.plist cannot be read.
    #[error(transparent)]
    Bundle(AnatomyError),
    /// Mach-O that is damaged.
    #[error(transparent)]
    MachO(#[from] MachError),
    /// A bundle for Linux or another ELF system.
    #[error("`{path}` is ELF ({machine}), not Mach-O: bundles for non-Apple targets are not signed")]
    Elf {
        /// The executable.
        path: Utf8PathBuf,
        /// Its processor.
        machine: String,
    },
    /// `CFBundleExecutable` is missing, or leads out of the bundle.
    #[error(
        "`{bundle}` stands in a place for code and its Info.plist names no CFBundleExecutable: name one, or move the bundle to Resources"
    )]
    NoExecutable {
        /// The bundle.
        bundle: Utf8PathBuf,
    },
    /// The executable is named and not there.
    #[error(
        "`{bundle}` has no `{executable}`, which its Info.plist names as CFBundleExecutable: build it, or correct the name"
    )]
    MissingExecutable {
        /// The bundle.
        bundle: Utf8PathBuf,
        /// Where the executable should be.
        executable: Utf8PathBuf,
    },
    /// `CFBundleIdentifier` is missing.
    #[error("`{bundle}` has no CFBundleIdentifier in its Info.plist: add one, the signature carries it")]
    NoIdentifier {
        /// The bundle.
        bundle: Utf8PathBuf,
    },
    /// Something that is not code where only code can be sealed.
    #[error("`{path}` is {what}, and `{place}` holds code only: move it to Resources")]
    NotCode {
        /// The file.
        path: Utf8PathBuf,
        /// What it is.
        what: String,
        /// The folder, relative to its bundle.
        place: String,
    },
    /// A folder that looks like a bundle and is none.
    #[error(
        "`{path}` has a dot in its name, stands in a place for code, and is no bundle: macOS takes it for a damaged one; rename it or move it to Resources"
    )]
    DottedFolder {
        /// The folder.
        path: Utf8PathBuf,
    },
    /// Something at the root of a bundle that no seal covers.
    #[error("`{path}` stands at the root of a bundle, where nothing is sealed: move it into `{into}`")]
    UnsealedRoot {
        /// The stray.
        path: Utf8PathBuf,
        /// Where it could go.
        into: &'static str,
    },
    /// A framework whose `Versions` is not as it should be.
    #[error("`{path}` is no sound framework: {why}")]
    Framework {
        /// The framework.
        path: Utf8PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A symlink that leaves the bundle.
    #[error("`{path}` is a symlink to `{target}`, outside of the bundle: macOS refuses it; copy the file instead")]
    SymlinkOutside {
        /// The symlink.
        path: Utf8PathBuf,
        /// Where it points.
        target: String,
    },
    /// Neither file, folder nor symlink.
    #[error("`{0}` is neither a file, a folder nor a symlink; a bundle cannot hold it: remove it")]
    SpecialFile(Utf8PathBuf),
    /// A name that is not UTF-8.
    #[error("`{0}` is not valid UTF-8; a seal names files in UTF-8: rename it")]
    NotUtf8(String),
    /// Bundles in bundles beyond reason.
    #[error("`{0}` is nested deeper than {limit} bundles", limit = super::walk::MAX_DEPTH)]
    TooDeep(Utf8PathBuf),
    /// Folders in folders beyond reason.
    #[error("below `{0}`, folders are nested deeper than {limit}: move them up, or pack them into one file", limit = super::walk::MAX_FOLDERS)]
    TooManyFolders(Utf8PathBuf),
    /// No space after the load commands.
    #[error(
        "`{path}` ({arch}) has no room in its header for a signature: link it with `-Wl,-headerpad,0x1000` (in Rust `-C link-arg=-Wl,-headerpad,0x1000`)"
    )]
    NoRoom {
        /// The file.
        path: Utf8PathBuf,
        /// The slice.
        arch: Arch,
    },
    /// Mach-O of a layout that cannot take a signature.
    #[error("`{path}` ({arch}) cannot be signed: {why}")]
    Unsignable {
        /// The file.
        path: Utf8PathBuf,
        /// The slice.
        arch: Arch,
        /// What stands in the way.
        why: &'static str,
    },
    /// A scope that is written wrongly.
    #[error("`{scope}` {why}")]
    BadScope {
        /// As it was given.
        scope: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A scope that matches nothing, or too much.
    #[error("nothing to sign is called `{scope}`; there are:{candidates}")]
    UnknownScope {
        /// As it was given.
        scope: String,
        /// What there is, a line each.
        candidates: String,
    },
    /// A scope that matches more than one bundle.
    #[error("`{scope}` may mean any of:{candidates}\nname it by its path")]
    AmbiguousScope {
        /// As it was given.
        scope: String,
        /// What it may mean, a line each.
        candidates: String,
    },
    /// The same thing twice for the same code.
    #[error("{what} for `{path}` are given twice: leave one")]
    Twice {
        /// What.
        what: &'static str,
        /// For what.
        path: Utf8PathBuf,
    },
    /// A file of entitlements that cannot be used.
    #[error("entitlements `{path}`: {why}")]
    EntitlementsFile {
        /// The file.
        path: Utf8PathBuf,
        /// Why not.
        why: String,
    },
    /// Entitlements on something that is loaded, not launched.
    #[error("`{path}` is {what}: entitlements belong to main executables only; give them to the program that loads it")]
    EntitlementsOnLibrary {
        /// The code.
        path: Utf8PathBuf,
        /// What it is.
        what: String,
    },
    /// An entitlement that the system grants to a team only.
    #[error(
        "`{path}` asks for the entitlement `{key}`, which macOS grants only to a team with a provisioning profile: {remedy}"
    )]
    Restricted {
        /// The code.
        path: Utf8PathBuf,
        /// The entitlement.
        key: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A provisioning profile that cannot be used.
    #[error("provisioning profile {profile}: {why}")]
    Profile {
        /// Its name or file.
        profile: String,
        /// What does not fit, and what to do.
        why: String,
    },
    /// A requirement that cannot be understood.
    #[error("requirement `{requirement}`: {why}")]
    Requirement {
        /// As it was given.
        requirement: String,
        /// What is wrong with it.
        why: String,
    },
    /// A launch constraint that cannot be used.
    #[error("launch constraint `{path}`: {why}")]
    Constraint {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A launch constraint on something that is not launched.
    #[error("`{path}` is {what}: launch constraints belong to programs; give them to the program that loads it")]
    ConstraintOnLibrary {
        /// The code.
        path: Utf8PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A profile for something that has none.
    #[error("`{path}` is {what}: a provisioning profile belongs to an app or a service with a bundle of its own")]
    ProfileElsewhere {
        /// The code.
        path: Utf8PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// An entitlement that the profile does not grant.
    #[error(
        "`{path}` asks for the entitlement `{key}`, which the provisioning profile {profile} does not grant with this value: add it to the profile, or remove it"
    )]
    NotGranted {
        /// The code.
        path: Utf8PathBuf,
        /// The entitlement.
        key: String,
        /// The profile.
        profile: String,
    },
    /// `com.apple.security.inherit` on a service.
    #[error(
        "`{path}` is a service and has the entitlement com.apple.security.inherit: its parent is launchd, so there is nothing to inherit; give it entitlements of its own"
    )]
    InheritOnService {
        /// The service.
        path: Utf8PathBuf,
    },
    /// Library validation without a team.
    #[error(
        "`{path}` links `{library}` and would refuse to load it: with the flag `{flag}` a signature without a team admits the system's libraries only; add the entitlement com.apple.security.cs.disable-library-validation, or leave the flag out"
    )]
    LibraryValidation {
        /// The program.
        path: Utf8PathBuf,
        /// The library.
        library: String,
        /// The flag.
        flag: &'static str,
    },
    /// An identifier that cannot be one.
    #[error("`{identifier}` cannot identify `{path}`: use letters, digits, `.`, `-` and `_`")]
    BadIdentifier {
        /// As it was given.
        identifier: String,
        /// For which code.
        path: Utf8PathBuf,
    },
    /// A policy for third-party code that does not exist.
    #[error("`{policy}` is no policy for third-party code: use keep, keep-entitlements or anew")]
    BadPolicy {
        /// As it was given.
        policy: String,
    },
    /// A signature that is to be kept and cannot be.
    #[error("`{path}` cannot have the policy `{policy}`: {why}; use `--third-party {path}=anew`")]
    CannotKeep {
        /// The code.
        path: Utf8PathBuf,
        /// What was asked for.
        policy: super::ThirdParty,
        /// Why not.
        why: String,
    },
    /// A policy for the bundle that is signed.
    #[error("`.` can have no policy for third-party code: it is what is signed; name code inside of it")]
    PolicyOnMain,
    /// Something is asked of code that stays as it is.
    #[error(
        "`{path}` keeps its signature and cannot get {what}: sign it with `--third-party {path}=anew`, or ask for nothing"
    )]
    NamesKept {
        /// The code.
        path: Utf8PathBuf,
        /// What was asked for.
        what: &'static str,
    },
    /// No time stamps from there.
    #[error("`{url}` is no URL of a time-stamp server: it begins with http:// or https://")]
    TimeStampUrl {
        /// As it was given.
        url: String,
    },
    /// Nothing to stamp.
    #[error("an ad-hoc signature cannot be stamped with the time: name an identity, or leave --timestamp out")]
    TimeStampAdHoc,
    /// The time-stamp server failed.
    #[error(
        "the time-stamp server {url} gave no time stamp for `{path}`: {why}; try again later, name another with --timestamp, or leave it out"
    )]
    TimeStamp {
        /// The server.
        url: String,
        /// What was to be signed.
        path: Utf8PathBuf,
        /// What happened.
        why: String,
    },
    /// The signing library refused.
    #[error("cannot sign `{path}`: {source}")]
    Signer {
        /// The file.
        path: Utf8PathBuf,
        /// What it said.
        source: Box<apple_codesign::AppleCodesignError>,
    },
}

impl SignError {
    pub(super) fn signer(path: &Utf8Path, source: apple_codesign::AppleCodesignError) -> Self {
        Self::Signer { path: path.to_owned(), source: Box::new(source) }
    }
}

impl From<AnatomyError> for SignError {
    fn from(error: AnatomyError) -> Self {
        match error {
            AnatomyError::Io(error) => Self::Io(error),
            other => Self::Bundle(other),
        }
    }
}

impl Coded for SignError {
    fn exit_code(&self) -> Exit {
        match self {
            Self::Io(_) | Self::MachO(MachError::Io(_)) => Exit::Io,
            Self::Signer { .. } => Exit::Software,
            Self::TimeStamp { .. } => Exit::Unavailable,
            _ => Exit::Usage,
        }
    }
}
