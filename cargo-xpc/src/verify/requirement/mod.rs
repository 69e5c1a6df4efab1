//! Code requirements: Apple's small language that says which code is meant, without naming one build of it.
//!
//! A requirement comes as text (`csreq`, `codesign -R`, the seals of bundles) or as a blob (the requirement slot of a signature). Both are
//! read here, under limits, since both come from whoever signed the code. `Display` prints what Apple's tools print. [`Requirement::evaluate`]
//! answers in three ways: what depends on a Mac's own settings (`anchor trusted`, `notarized`) can be decided on a Mac alone.

mod binary;
mod display;
mod evaluate;
mod oid;
mod text;
mod tokens;

use thiserror::Error;

pub(super) use self::binary::read_set;
pub(super) use self::evaluate::{Code, Truth};

/// Terms and operators of one requirement, which bounds its depth too. The longest that tools write have a dozen.
const MAX_TERMS: usize = 128;
/// Bytes of a requirement as text or as a blob.
const MAX_SIZE: usize = 64 * 1024;

/// A condition on signed code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement(Expr);

/// What a signature uses a requirement for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// On whoever hosts the code.
    Host,
    /// On the code that it hosts.
    Guest,
    /// What its later versions are recognised by.
    Designated,
    /// On the libraries that it loads.
    Library,
    /// On its plug-ins.
    Plugin,
    /// Not of Apple's list.
    Other(u32),
}

/// Why there is no requirement to speak of; reads on after the name of where it came from.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequirementError {
    /// Text that is not of the language.
    #[error("cannot be read at character {at}: {why}")]
    Text {
        /// Counted from 1.
        at: usize,
        /// What was expected, or what is not allowed.
        why: String,
    },
    /// A blob that is damaged, or of a later make.
    #[error("is no sound requirement: {0}")]
    Blob(String),
    /// Beyond every limit.
    #[error("has more than {MAX_TERMS} terms, or more than {MAX_SIZE} bytes")]
    TooLarge,
}

/// An expression. Strings are bytes, as blobs do not say their encoding; slots count certificates from the leaf, or from the root (-1).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Expr {
    Never,
    Always,
    Identifier(Vec<u8>),
    AppleAnchor,
    AppleGenericAnchor,
    NamedAnchor(Vec<u8>),
    NamedCode(Vec<u8>),
    TrustedAnchor,
    TrustedCertificate(i32),
    CertificateHash(i32, Vec<u8>),
    CertificateSubject(i32, Vec<u8>, Match),
    CertificateField(i32, Vec<u8>, Match),
    CertificatePolicy(i32, Vec<u8>, Match),
    CertificateDate(i32, Vec<u8>, Match),
    CdHash(Vec<u8>),
    Info(Vec<u8>, Match),
    Entitlement(Vec<u8>, Match),
    Platform(i32),
    Notarized,
    LegacyDeveloperId,
    /// An operation of a later system that its writer marked as false where it is unknown.
    UnknownFalse(u32),
    Not(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
}

/// What is asked of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Match {
    Exists,
    Absent,
    Text(TextMatch, Vec<u8>),
    /// Seconds since 2001-01-01, as Apple counts.
    Date(DateMatch, i64),
    /// An operation of a later system, which never matches.
    Unknown(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextMatch {
    Equal,
    Contains,
    BeginsWith,
    EndsWith,
    Less,
    Greater,
    LessEqual,
    GreaterEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DateMatch {
    On,
    Before,
    After,
    OnOrBefore,
    OnOrAfter,
}

/// 1970-01-01 to 2001-01-01 in seconds.
const EPOCH_2001: i64 = 978_307_200;

/// Counts terms while a requirement is read.
#[derive(Default)]
struct Budget(usize);

impl Budget {
    fn take(&mut self) -> Result<(), RequirementError> {
        self.0 += 1;
        if self.0 > MAX_TERMS { Err(RequirementError::TooLarge) } else { Ok(()) }
    }
}

impl Requirement {
    /// Reads text, as `codesign -R` takes it; a leading `=` is Apple's mark for text on a command line, and is left out.
    pub fn from_text(text: &str) -> Result<Self, RequirementError> {
        text::requirement(text.strip_prefix('=').unwrap_or(text)).map(Self)
    }

    /// Reads a file's content: a blob, or text.
    pub fn from_file(content: &[u8]) -> Result<Self, RequirementError> {
        if content.starts_with(&binary::MAGIC.to_be_bytes()) {
            return Self::from_blob(content);
        }
        let text = std::str::from_utf8(content);
        Self::from_text(text.map_err(|_| RequirementError::Blob("neither text nor a requirement's blob".to_owned()))?)
    }

    /// Reads a blob with its header (`CSMAGIC_REQUIREMENT`).
    pub fn from_blob(blob: &[u8]) -> Result<Self, RequirementError> {
        binary::requirement(blob).map(Self)
    }

    /// What `code` is under this requirement.
    pub(super) fn evaluate(&self, code: &Code<'_>) -> Truth {
        evaluate::evaluate(&self.0, code)
    }
}
