//! Why an identity cannot be used.

use camino::Utf8PathBuf;
use thiserror::Error;

use crate::exit::{Coded, Exit};

/// Every reason, with the file or name it is about and what to do. None holds a password or a key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Reading or writing failed. The message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A file that is not there.
    #[error("`{path}` is not there: name the file of a certificate")]
    NoFile {
        /// As it was given.
        path: Utf8PathBuf,
    },
    /// A name that no identity has.
    #[error(
        "no identity is called `{name}`{known}; an identity is `adhoc`, a file (.p12, .pfx, .pem, .crt, .cer), `keychain:NAME`, or a name that `cargo xpc identity create NAME` gave"
    )]
    Unknown {
        /// As it was given.
        name: String,
        /// What names there are, as the end of a clause.
        known: String,
    },
    /// A file of another kind.
    #[error("`{path}`: {why}")]
    Format {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// Something was given that has no meaning for this identity.
    #[error("{what} has no meaning for the identity `{id}`: leave it out")]
    Unused {
        /// What.
        what: &'static str,
        /// The identity.
        id: String,
    },
    /// A key that is locked, and nobody to ask.
    #[error("`{path}` has a password: give it with --password-file or --password-env")]
    PasswordNeeded {
        /// The file.
        path: Utf8PathBuf,
    },
    /// A password that does not fit.
    #[error("the password of `{path}` is wrong")]
    WrongPassword {
        /// The file.
        path: Utf8PathBuf,
    },
    /// A password that cannot be read.
    #[error("the password: {from} {why}")]
    PasswordSource {
        /// A file or a variable.
        from: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A certificate without its key.
    #[error("`{path}` has a certificate and no private key: {remedy}")]
    NoKey {
        /// The file.
        path: Utf8PathBuf,
        /// What to do.
        remedy: &'static str,
    },
    /// A key without its certificate.
    #[error("`{path}` has no certificate: export the certificate together with its key")]
    NoCertificate {
        /// The file.
        path: Utf8PathBuf,
    },
    /// A key that belongs to another certificate.
    #[error("the key in `{key}` belongs to none of the certificates in `{path}`:{certificates}")]
    Mismatch {
        /// The file of the certificates.
        path: Utf8PathBuf,
        /// The file of the key.
        key: Utf8PathBuf,
        /// The certificates, a line each.
        certificates: String,
    },
    /// More than one identity where one is wanted.
    #[error("`{path}` has several identities:{identities}\nexport the one that is to sign into a file of its own")]
    Several {
        /// The file.
        path: Utf8PathBuf,
        /// The identities, a line each.
        identities: String,
    },
    /// A key that the signing library cannot sign with correctly.
    #[error(
        "`{path}` has a key for {algorithm}, and only RSA can sign for now: the signing library writes certificates of other keys so that they are invalid; use an RSA identity of 2048 bits or more"
    )]
    Algorithm {
        /// Where it comes from.
        path: String,
        /// The algorithm.
        algorithm: String,
    },
    /// An RSA key that cannot be used.
    #[error("the key in `{path}` cannot sign: {why}; use an RSA key of 2048 to 4096 bits")]
    Key {
        /// Where it comes from.
        path: String,
        /// What the library says.
        why: String,
    },
    /// A certificate that is valid no more, or not yet.
    #[error(
        "the certificate `{subject}` in `{source_name}` {what} {date}: macOS would refuse the signature; get a new one"
    )]
    NotValid {
        /// The certificate.
        subject: String,
        /// Where it comes from.
        source_name: String,
        /// Which end.
        what: &'static str,
        /// When.
        date: String,
    },
    /// A certificate for something else.
    #[error(
        "the certificate `{subject}` in `{source_name}` is not for signing code: {why}; use one whose extended key usage is code signing"
    )]
    Purpose {
        /// The certificate.
        subject: String,
        /// Where it comes from.
        source_name: String,
        /// What is missing.
        why: &'static str,
    },
    /// A certificate that the signing library would write differently than it was read.
    #[error(
        "the certificate `{subject}` in `{source_name}` cannot be embedded: the signing library would write it differently, and it would be invalid; use an RSA certificate whose chain is RSA"
    )]
    Encoding {
        /// The certificate.
        subject: String,
        /// Where it comes from.
        source_name: String,
    },
    /// Apple's intermediate certificate is missing.
    #[error(
        "the certificate `{subject}` in `{source_name}` is Apple's, and the intermediate certificate that issued it is not there: get it from https://www.apple.com/certificateauthority and add it to the file"
    )]
    AppleIntermediate {
        /// The certificate.
        subject: String,
        /// Where it comes from.
        source_name: String,
    },
    /// The keychain, elsewhere.
    #[error(
        "there is a keychain on macOS only: here, export the identity as a .p12 file on a Mac and name the file, or use `cargo xpc identity create`"
    )]
    KeychainElsewhere,
    /// The keychain does not have it.
    #[error("the keychain has no identity for signing code that is called `{name}`; it has:{known}")]
    NotInKeychain {
        /// As it was given.
        name: String,
        /// What there is, a line each.
        known: String,
    },
    /// The keychain refused.
    #[error("the keychain: {0}")]
    Keychain(String),
    /// A name that an identity cannot have.
    #[error("`{name}` cannot name an identity: {why}")]
    BadName {
        /// As it was given.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// A name that is taken.
    #[error(
        "there is an identity `{name}` already, in `{path}`, and none is ever overwritten: choose another name, or remove that folder"
    )]
    Exists {
        /// The name.
        name: String,
        /// Its folder.
        path: Utf8PathBuf,
    },
    /// A key that others can read.
    #[error("`{path}` can be read by others than you: `chmod 600 {path}`")]
    Exposed {
        /// The file.
        path: Utf8PathBuf,
    },
    /// Nowhere to keep identities.
    #[error("there is no folder for identities: neither HOME nor CARGO_XPC_IDENTITIES is set to an absolute path")]
    NoHome,
    /// Making a key or a certificate failed.
    #[error("cannot make a certificate: {0}")]
    Make(String),
}

impl Coded for IdentityError {
    fn exit_code(&self) -> Exit {
        match self {
            Self::Io(_) | Self::Keychain(_) => Exit::Io,
            Self::Make(_) => Exit::Software,
            _ => Exit::Usage,
        }
    }
}
