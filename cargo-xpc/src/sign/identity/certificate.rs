//! Certificates: what they say, what they may sign, and who vouches for them.

use apple_codesign::{
    AppleCertificate as _, CertificateAuthorityExtension, CodeRequirementExpression, CodeRequirementMatchExpression,
    CodeSigningCertificateExtension, KnownCertificate, worldwide_developer_relations_signed_expression,
};
use chrono::{DateTime, SecondsFormat, Utc};
use der::Decode as _;
use pkcs8::ObjectIdentifier;
use serde::Serialize;
use x509_certificate::{CapturedX509Certificate, KeyAlgorithm};

use super::IdentityError;
use crate::faults;
use crate::macho::HashKind;

/// What there is to say about a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CertificateSummary {
    /// Its names, the common one first.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Fingerprint: 40 hex digits.
    pub sha1: String,
    /// Fingerprint: 64 hex digits.
    pub sha256: String,
    /// The team, where Apple issued it.
    pub team: Option<String>,
    /// RFC 3339, in UTC.
    pub not_before: String,
    /// RFC 3339, in UTC.
    pub not_after: String,
    /// Where it comes from: a file, a folder, the keychain.
    pub source: String,
}

impl CertificateSummary {
    pub(super) fn of(certificate: &CapturedX509Certificate, team: Option<String>, source: String) -> Self {
        let der = certificate.constructed_data();
        Self {
            subject: name(certificate),
            issuer: certificate.issuer_name().user_friendly_str().unwrap_or_default(),
            sha1: hex(&HashKind::Sha1.digest(der)),
            sha256: hex(&HashKind::Sha256.digest(der)),
            team,
            not_before: date(certificate.validity_not_before()),
            not_after: date(certificate.validity_not_after()),
            source,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn date(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The subject in words.
pub(super) fn name(certificate: &CapturedX509Certificate) -> String {
    certificate.subject_name().user_friendly_str().unwrap_or_else(|_| "a certificate without a name".to_owned())
}

/// The fingerprint that people and keychains name certificates by.
#[cfg(target_os = "macos")]
pub(super) fn sha1(certificate: &CapturedX509Certificate) -> String {
    hex(&HashKind::Sha1.digest(certificate.constructed_data()))
}

/// Whether the certificate can sign code, today, in a form that holds.
pub(super) fn check(certificate: &CapturedX509Certificate, source: &str) -> Result<(), IdentityError> {
    if certificate.key_algorithm() != Some(KeyAlgorithm::Rsa) {
        let oid = certificate.key_algorithm_oid();
        let algorithm = certificate.key_algorithm().map_or_else(|| oid.to_string(), algorithm);
        return Err(IdentityError::Algorithm { path: source.to_owned(), algorithm });
    }
    check_purpose(certificate, source)?;
    let (start, end, now) = (certificate.validity_not_before(), certificate.validity_not_after(), Utc::now());
    let not_valid = |what, when| IdentityError::NotValid {
        subject: name(certificate),
        source_name: source.to_owned(),
        what,
        date: date(when),
    };
    if now < start {
        return Err(not_valid("is not valid before", start));
    }
    if now > end {
        return Err(not_valid("expired on", end));
    }
    check_encoding(certificate, source)
}

/// What a key is called.
pub(super) fn algorithm(algorithm: KeyAlgorithm) -> String {
    match algorithm {
        KeyAlgorithm::Rsa => "RSA".to_owned(),
        KeyAlgorithm::Ecdsa(_) => "elliptic curves (ECDSA)".to_owned(),
        KeyAlgorithm::Ed25519 => "Ed25519".to_owned(),
    }
}

const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
/// `1.2.840.113635.100.6.1.9`: what the App Store signs with.
const APP_STORE: bcder::ConstOid = bcder::Oid(&[42, 134, 72, 134, 247, 99, 100, 6, 1, 9]);
/// Below it stand the extensions that Apple marks its certificates for signing code with.
const APPLE_MARKS: &str = "1.2.840.113635.100.6.1.";

fn extension(certificate: &CapturedX509Certificate, oid: ObjectIdentifier) -> Option<Vec<u8>> {
    let found = certificate.iter_extensions().find(|extension| extension.id.as_ref() == oid.as_bytes())?;
    Some(found.value.to_bytes().to_vec())
}

fn check_purpose(certificate: &CapturedX509Certificate, source: &str) -> Result<(), IdentityError> {
    let wrong = |why| Err(IdentityError::Purpose { subject: name(certificate), source_name: source.to_owned(), why });
    if let Some(der) = extension(certificate, EXTENDED_KEY_USAGE) {
        let usages = Vec::<ObjectIdentifier>::from_der(&der).unwrap_or_default();
        if !usages.contains(&CODE_SIGNING) {
            return wrong("its extended key usage is another");
        }
    }
    if let Some(der) = extension(certificate, KEY_USAGE) {
        // The first bit, of the first byte, is digitalSignature (RFC 5280, 4.2.1.3).
        let bits = der::asn1::BitString::from_der(&der).ok();
        let first = bits.and_then(|bits| bits.raw_bytes().first().copied()).unwrap_or_default();
        if first & 0x80 == 0 {
            return wrong("its key usage lacks digital signatures");
        }
    }
    Ok(())
}

/// The signing library takes certificates apart and writes them anew: what comes out must be what went in.
pub(super) fn check_encoding(certificate: &CapturedX509Certificate, source: &str) -> Result<(), IdentityError> {
    if certificate.encode_der().is_ok_and(|written| written == certificate.constructed_data()) {
        return Ok(());
    }
    Err(IdentityError::Encoding { subject: name(certificate), source_name: source.to_owned() })
}

/// What it means that Apple issued a certificate.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    /// From the issuer to Apple's root.
    pub chain: Vec<CapturedX509Certificate>,
    /// The organizational unit of the certificate, which is the team there.
    pub team: Option<String>,
}

/// Finds the way from `certificate` to Apple's root, through certificates that are known and those that are `given`. Each step is a
/// signature that holds.
pub(super) fn issued(certificate: &CapturedX509Certificate, given: &[CapturedX509Certificate]) -> Option<Issued> {
    let known = KnownCertificate::all().iter().copied();
    let mut chain: Vec<_> = certificate.resolve_signing_chain(known.chain(given)).into_iter().cloned().collect();
    let end =
        chain.iter().position(|link| link.is_apple_root_ca() || faults::is_apple_root(link.constructed_data()))?;
    chain.truncate(end + 1);
    Some(Issued { chain, team: certificate.apple_team_id() })
}

/// Whether a certificate carries Apple's marks, wherever its chain leads.
pub(super) fn says_apple(certificate: &CapturedX509Certificate) -> bool {
    certificate.iter_extensions().any(|extension| extension.id.to_string().starts_with(APPLE_MARKS))
}

/// What code that `certificate` signed requires of its next version.
pub(super) fn requirement(
    certificate: &CapturedX509Certificate,
    issued: Option<&Issued>,
    identifier: &str,
) -> CodeRequirementExpression<'static> {
    use CertificateAuthorityExtension::{AppleWorldwideDeveloperRelations, DeveloperId};
    let named = || CodeRequirementExpression::Identifier(identifier.to_owned().into());
    let of_apple = issued.and_then(|issued| {
        let marks = issued.chain.first()?.apple_ca_extensions();
        if marks.contains(&DeveloperId) {
            return Some(of_developer_id(named(), issued.team.as_ref()?));
        }
        if marks.contains(&AppleWorldwideDeveloperRelations) {
            let signed = worldwide_developer_relations_signed_expression(certificate.subject_common_name()?);
            return Some(and(named(), signed));
        }
        None
    });
    // Nobody but Apple vouches for names: there the certificate itself is what the next version must be signed with.
    of_apple.unwrap_or_else(|| {
        let sha1 = HashKind::Sha1.digest(certificate.constructed_data());
        and(named(), CodeRequirementExpression::AnchorCertificateHash(0, sha1.into()))
    })
}

type Requirement = CodeRequirementExpression<'static>;

fn and(left: Requirement, right: Requirement) -> Requirement {
    CodeRequirementExpression::And(Box::new(left), Box::new(right))
}

/// As Apple's `codesign` writes it, to the byte: the same program may come from the App Store, or from this team.
fn of_developer_id(named: Requirement, team: &str) -> Requirement {
    use CodeRequirementExpression::{AnchorAppleGeneric, CertificateField, CertificateGeneric, Or};
    let has = |slot, oid| CertificateGeneric(slot, oid, CodeRequirementMatchExpression::Exists);
    let team = CodeRequirementMatchExpression::Equal(team.to_owned().into());
    let store = has(0, APP_STORE);
    let by_developer = and(
        has(1, CertificateAuthorityExtension::DeveloperId.as_oid()),
        has(0, CodeSigningCertificateExtension::DeveloperIdApplication.as_oid()),
    );
    let by_team = and(by_developer, CertificateField(0, "subject.OU".into(), team));
    and(and(AnchorAppleGeneric, named), Or(Box::new(store), Box::new(by_team)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The requirement in the signature that Apple's `codesign` gave an app of the Python package mitmproxy-macos 0.11.5.
    const APPLE_WROTE: &str = "000000060000 00060000000f000000020000001e6f72672e6d69746d70726f78792e6d61636f732d72656469726563746f72\
        0000000000070000000e000000000000000a2a864886f7636406010900000000000000000006000000060000000e000000010000\
        000a2a864886f763640602060000000000000000000e000000000000000a2a864886f7636406010d0000000000000000000b0000\
        00000000000a7375626a6563742e4f550000000000010000000a533858485142393650570000";

    #[test]
    fn a_developer_ids_requirement_is_apples() {
        let named = CodeRequirementExpression::Identifier("org.mitmproxy.macos-redirector".into());
        let written = of_developer_id(named, "S8XHQB96PW").to_bytes().unwrap();
        let expected: String = APPLE_WROTE.split_whitespace().collect();
        assert_eq!(hex(&written), expected);
    }
}
