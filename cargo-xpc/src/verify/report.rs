//! What reading back found.

use std::fmt;

use camino::Utf8PathBuf;
use serde::Serialize;

use crate::macho::{Arch, CdHash, CodeFlags};

/// Everything that was read, and everything that is not as sealed.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The bundle.
    pub bundle: Utf8PathBuf,
    /// The code that was read: each bundle's own before what is in it.
    pub code: Vec<VerifiedCode>,
    /// What is not as sealed.
    pub findings: Vec<Finding>,
    /// What this version cannot judge, so that silence is not taken for approval.
    pub unchecked: Vec<Unchecked>,
    /// The processor of an ELF executable: such bundles carry no signatures, so there is nothing to verify.
    pub elf: Option<String>,
}

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything is as sealed.
    Valid,
    /// Something is not.
    Invalid,
    /// A bundle for a system without code signing.
    NotSigned,
}

impl Report {
    /// The answer in one word. Warnings do not make a bundle invalid.
    pub fn verdict(&self) -> Verdict {
        if self.elf.is_some() {
            Verdict::NotSigned
        } else if self.errors().next().is_some() {
            Verdict::Invalid
        } else {
            Verdict::Valid
        }
    }

    /// The findings that make the bundle invalid.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }
}

/// One piece of code that was read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct VerifiedCode {
    /// The Mach-O file, relative to the bundle.
    pub path: Utf8PathBuf,
    /// The name in the signature.
    pub identifier: String,
    /// Its flags.
    pub flags: CodeFlags,
    /// Whether no certificate stands behind the signature.
    pub ad_hoc: bool,
    /// The signer's team, as the code says.
    pub team_id: Option<String>,
    /// The identity of each architecture.
    pub architectures: Vec<(Arch, CdHash)>,
    /// What later versions of the code are recognised by, where the signature states it.
    pub requirement: Option<String>,
    /// Who signed; `None` where the signature is ad hoc.
    pub signer: Option<Signer>,
}

/// Who signed code, by the certificates that the signature carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Signer {
    /// The name in the signer's certificate.
    pub common_name: Option<String>,
    /// The team in the signer's certificate, which is its organizational unit.
    pub team_id: Option<String>,
    /// Whose root stands at the end of the chain.
    pub anchor: Anchor,
    /// From the signer up.
    pub chain: Vec<CertificateInfo>,
    /// When the signer says to have signed.
    pub signing_time: Option<String>,
    /// When somebody else says that the signature was there.
    pub timestamp: Option<Timestamp>,
}

/// Whose root stands at the end of a chain. Nothing but Apple's is known here, and none but Apple's is refused for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anchor {
    /// One of Apple's roots, told by its fingerprint.
    Apple,
    /// The certificate signs itself, and nobody vouches for it.
    SelfSigned,
    /// Somebody else's root.
    Private,
    /// The root is not among the certificates of the signature.
    Incomplete,
}

/// A certificate in short. Dates are written as in ISO 8601.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CertificateInfo {
    /// Its common name, or its whole name where it has none.
    pub subject: String,
    /// Its fingerprint.
    pub sha256: String,
    /// When its validity begins.
    pub not_before: String,
    /// When its validity ends.
    pub not_after: String,
}

/// A time stamp (RFC 3161).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Timestamp {
    /// When it was made, as in ISO 8601.
    pub time: String,
    /// By whom.
    pub authority: String,
    /// Whose root stands at the end of its chain.
    pub anchor: Anchor,
    /// From the authority up.
    pub chain: Vec<CertificateInfo>,
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.common_name.as_deref().unwrap_or("a certificate without a name"))?;
        if let Some(team) = &self.team_id {
            write!(f, ", team {team}")?;
        }
        let above: Vec<&str> = self.chain.iter().skip(1).map(|certificate| certificate.subject.as_str()).collect();
        match self.anchor {
            Anchor::Apple => write!(f, "; below {}", above.join(", "))?,
            Anchor::SelfSigned => f.write_str("; self-signed: nobody vouches for it")?,
            Anchor::Private => write!(f, "; below {}, which is not Apple's", above.join(", "))?,
            Anchor::Incomplete => {
                if !above.is_empty() {
                    write!(f, "; below {}", above.join(", "))?;
                }
                f.write_str("; without its root")?;
            }
        }
        match (&self.timestamp, &self.signing_time) {
            (Some(stamp), _) => write!(f, "; time stamp {} by {}", stamp.time, stamp.authority),
            (None, Some(time)) => write!(f, "; no time stamp; signed {time}, says the signer"),
            (None, None) => f.write_str("; no time stamp"),
        }
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// Relative to the bundle; `.` for itself.
    pub path: Utf8PathBuf,
    /// Where in the file, if it is one slice or one page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What is wrong.
    pub what: What,
    /// Whether macOS would refuse it.
    pub severity: Severity,
    /// What the seal says.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl Finding {
    /// With words of its kind for what is not said of this one.
    pub(super) fn new(
        path: Utf8PathBuf,
        place: Option<String>,
        what: What,
        severity: Severity,
        (expected, found): (String, String),
    ) -> Self {
        let (usual, unusual) = what.usual();
        let or = |text: String, words: &str| if text.is_empty() { words.to_owned() } else { text };
        let path = if path.as_str().is_empty() { Utf8PathBuf::from(".") } else { path };
        Self { path, place, what, severity, expected: or(expected, usual), found: or(found, unusual) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.path == "." { "the bundle itself" } else { self.path.as_str() })?;
        if let Some(place) = &self.place {
            write!(f, " ({place})")?;
        }
        write!(f, ": {}: expected {}, found {}", self.what.describe(), self.expected, self.found)
    }
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The seal is broken.
    Error,
    /// Allowed, and probably not meant.
    Warning,
}

/// Something that was not judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Unchecked {
    /// Relative to the bundle.
    pub path: Utf8PathBuf,
    /// What was not judged, in words.
    pub what: String,
}

/// Kinds of findings. The names are part of the JSON output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "`describe` says what each one is")]
pub enum What {
    Damaged,
    Unsigned,
    PageChanged,
    PageCount,
    CodeLimit,
    ExecutableSegment,
    InfoPlistChanged,
    SealChanged,
    BlobChanged,
    BlobUnsealed,
    BlobMissing,
    DirectoriesDiffer,
    FlagsContradict,
    UnsealedBytes,
    IdentifierDiffers,
    ExecutableMissing,
    SealMissing,
    SealDamaged,
    FileChanged,
    FileMissing,
    FileAdded,
    FileOmitted,
    SymlinkChanged,
    SymlinkOutside,
    KindChanged,
    NotCode,
    NestedDiffers,
    NestedUnsealed,
    UnsealedRoot,
    StrayFile,
    Framework,
    CmsDamaged,
    CmsBroken,
    CmsDirectories,
    CertificateUnsound,
    CertificateOutOfTime,
    CertificateUnused,
    TimestampUnsound,
    SignersDiffer,
    TeamDiffers,
    RequirementDamaged,
    RequirementFailed,
    RequirementUndecided,
    ProfileUnfit,
    EntitlementsDiffer,
    RulesWeak,
    NamesClash,
    SymlinkDangling,
}

impl What {
    /// What is due and what is there instead, where a finding says no more.
    fn usual(self) -> (&'static str, &'static str) {
        match self {
            Self::Damaged => ("something that can be read", "damage"),
            Self::BlobUnsealed => ("a hash of it in the code directory", "none"),
            Self::FlagsContradict => ("flags that fit", "others"),
            Self::SealMissing => ("_CodeSignature/CodeResources", "none"),
            Self::SealDamaged => ("a property list of files and rules", "something else"),
            Self::FileMissing => ("what was sealed", "nothing"),
            Self::FileAdded => ("nothing", "what the seal does not name"),
            Self::FileOmitted => ("a seal", "a rule that leaves it out"),
            Self::SymlinkOutside => ("a target in the bundle or among the system's", "another"),
            Self::NestedUnsealed => ("a requirement", "none"),
            Self::UnsealedRoot => ("Contents alone", "something beside it"),
            Self::StrayFile => ("the seal alone", "something beside it"),
            Self::CmsDamaged => ("a signed message", "something else"),
            Self::CmsBroken => ("a signature on the code directory by the signer's key", "another"),
            Self::CmsDirectories => ("the hashes of all code directories", "others"),
            Self::CertificateUnsound => ("certificates for signing code, each by the next", "others"),
            Self::CertificateOutOfTime => ("certificates that were valid when it was signed", "others"),
            Self::CertificateUnused => ("the chain alone", "another"),
            Self::TimestampUnsound => ("a time stamp on this signature", "something else"),
            Self::RequirementDamaged => ("a requirement that can be read", "something else"),
            Self::ProfileUnfit => ("a profile that lets this program run", "another"),
            _ => ("what was signed", "something else"),
        }
    }

    /// In words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Damaged => "cannot be read",
            Self::Unsigned => "is not signed",
            Self::PageChanged => "a page of code was changed after signing",
            Self::PageCount => "the signature covers another number of pages",
            Self::CodeLimit => "the signature does not cover all of the code",
            Self::ExecutableSegment => "the signature describes another executable segment",
            Self::InfoPlistChanged => "Info.plist is not the one that was signed",
            Self::SealChanged => "CodeResources is not the one that was signed",
            Self::BlobChanged => "a part of the signature was changed",
            Self::BlobUnsealed => "a part of the signature is not sealed by it",
            Self::BlobMissing => "a part of the signature is missing",
            Self::DirectoriesDiffer => "the signatures of one file contradict each other",
            Self::FlagsContradict => "the flags contradict the signature",
            Self::UnsealedBytes => "bytes that no signature covers are not empty",
            Self::IdentifierDiffers => "the signature carries another identifier than Info.plist",
            Self::ExecutableMissing => "the main executable is missing",
            Self::SealMissing => "has no CodeResources",
            Self::SealDamaged => "CodeResources cannot be read",
            Self::FileChanged => "was changed after signing",
            Self::FileMissing => "was removed after signing",
            Self::FileAdded => "was added after signing",
            Self::FileOmitted => "is left out of the seal by a rule of the bundle's own",
            Self::SymlinkChanged => "points elsewhere than when it was signed",
            Self::SymlinkOutside => "is a symlink that leaves the bundle",
            Self::KindChanged => "is something else than what was signed",
            Self::NotCode => "is no code, in a place for code",
            Self::NestedDiffers => "is not the code that was sealed",
            Self::NestedUnsealed => "is code that the seal does not identify",
            Self::UnsealedRoot => "stands at the root of a bundle, where nothing is sealed",
            Self::StrayFile => "stands beside the seal, where nothing is sealed",
            Self::Framework => "is no sound framework",
            Self::CmsDamaged => "the CMS signature cannot be read",
            Self::CmsBroken => "the CMS signature does not hold",
            Self::CmsDirectories => "the CMS signature is over other code directories",
            Self::CertificateUnsound => "the certificates do not hold",
            Self::CertificateOutOfTime => "was signed when a certificate was not valid",
            Self::CertificateUnused => "carries a certificate that is not of the signer's chain",
            Self::TimestampUnsound => "the time stamp does not hold",
            Self::SignersDiffer => "the architectures are signed by different certificates",
            Self::TeamDiffers => "the signature names another team than its certificate",
            Self::RequirementDamaged => "a requirement cannot be read",
            Self::RequirementFailed => "does not satisfy a requirement",
            Self::RequirementUndecided => "a requirement cannot be decided here",
            Self::ProfileUnfit => "the provisioning profile does not fit",
            Self::EntitlementsDiffer => "the entitlements in DER are not those in the property list",
            Self::RulesWeak => "the rules of the seal leave out more than they may",
            Self::NamesClash => "is the same name as another where case and composition do not count, as on most Macs",
            Self::SymlinkDangling => "is a symlink to nothing",
        }
    }
}
