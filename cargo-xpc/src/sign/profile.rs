//! Provisioning profiles: what Apple grants to the programs of a team.
//!
//! A profile is a property list in a CMS signature of Apple's. macOS looks for it in the bundle of the very program whose entitlements it
//! grants, and kills a program at its launch whose profile does not fit: so everything that it looks at is compared before anything is
//! signed.

use std::fmt;

use camino::Utf8Path;
use cryptographic_message_syntax::{CmsError, SignedData};
use plist::Value;

use super::identity::Signer;
use super::{Entitlements, Identity, SignError};
use crate::property_list;
use crate::provisioning::{Provisioning, matches_pattern};

const APPLICATION_IDENTIFIER: &str = "com.apple.application-identifier";
const TEAM_IDENTIFIER: &str = "com.apple.developer.team-identifier";

/// A provisioning profile.
#[derive(Clone, PartialEq)]
pub struct Profile {
    /// Where it comes from.
    source: String,
    bytes: Vec<u8>,
    says: Provisioning,
}

impl Profile {
    /// Reads a file.
    ///
    /// # Errors
    /// Where there is none, or it is no profile whose signature holds.
    pub fn read(path: &Utf8Path) -> Result<Self, SignError> {
        match fs_err::read(path) {
            Ok(bytes) => Self::parse(path.to_string(), bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(SignError::Profile { profile: path.to_string(), why: "there is no such file".to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn parse(source: String, bytes: Vec<u8>) -> Result<Self, SignError> {
        let wrong = |why: String| SignError::Profile { profile: source.clone(), why };
        let data = SignedData::parse_ber(&bytes)
            .map_err(|_| wrong("it is no provisioning profile: get it from developer.apple.com".to_owned()))?;
        let damaged = |error: CmsError| {
            matches!(
                error,
                CmsError::DigestNotEqual | CmsError::SignatureVerificationError | CmsError::X509Certificate(_)
            )
        };
        for signer in data.signers() {
            let digest = signer.verify_message_digest_with_signed_data(&data);
            let signature = signer.verify_signature_with_signed_data(&data);
            if digest.is_err_and(damaged) || signature.is_err_and(damaged) {
                return Err(wrong(
                    "it was changed after it was signed: get it anew from developer.apple.com".to_owned(),
                ));
            }
        }
        let list = property_list::read(data.signed_content().unwrap_or_default())
            .map_err(|why| wrong(format!("what it holds is no property list: {why}")))?;
        Ok(Self { source, bytes, says: Provisioning::read(&list) })
    }

    /// The file's content.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the profile is for what `identity` signs as `identifier`.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(&self, identity: &Identity, identifier: &str) -> Result<(), SignError> {
        let wrong = |why: String| Err(SignError::Profile { profile: self.to_string(), why });
        let Some((signer, team)) = identity.signer().and_then(|signer| Some((signer, signer.team()?))) else {
            return wrong("it is a team's, and what signs has no team: sign with an identity of Apple's".to_owned());
        };
        if let Some(problem) = self.says.problem(team, (&signer.summary().subject, signer.certificate_der())) {
            return wrong(problem);
        }
        match self.application_identifier() {
            Some(pattern) if !matches_pattern(pattern.split_once('.').map_or("", |(_, it)| it), identifier) => {
                wrong(format!("it is for `{pattern}`, and the identifier is `{identifier}`"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the profile grants the entitlement `key` with this value.
    pub(super) fn grants(&self, key: &str, value: &Value) -> bool {
        self.says.grants(key, value)
    }

    /// Adds the entitlements by which macOS knows whose program it is.
    pub(super) fn add_identifiers(
        &self,
        signer: &Signer,
        identifier: &str,
        entitlements: &mut Entitlements,
    ) -> Result<(), SignError> {
        let prefix = self.application_identifier().and_then(|pattern| Some(pattern.split_once('.')?.0));
        let application = prefix.map(|prefix| format!("{prefix}.{identifier}"));
        let team = self.says.entitlements.get(TEAM_IDENTIFIER).and(signer.team()).map(str::to_owned);
        for (key, value) in [(APPLICATION_IDENTIFIER, application), (TEAM_IDENTIFIER, team)] {
            let Some(value) = value.map(Value::String) else { continue };
            if let Some(other) = entitlements.content.insert(key.to_owned(), value.clone())
                && other != value
            {
                let why = format!("the entitlements say another `{key}`: leave it out, it is taken from the profile");
                return Err(SignError::Profile { profile: self.to_string(), why });
            }
        }
        Ok(())
    }

    /// What it is, and where programs with it run.
    pub(super) fn describe(&self) -> String {
        format!("{}: {}", self.source, self.says)
    }

    fn application_identifier(&self) -> Option<&str> {
        self.says.entitlements.get(APPLICATION_IDENTIFIER)?.as_string()
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.says.name, self.source)
    }
}

/// Without the megabytes of certificates.
impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").field("name", &self.says.name).field("source", &self.source).finish_non_exhaustive()
    }
}
