//! Certificates: what they say, who signed them, and the chain from a signer up to its root.

use der::asn1::ObjectIdentifier;
use der::{Any, Decode as _, Encode as _, Reader as _, SliceReader, Tag, Tagged as _};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use x509_cert::ext::pkix::{BasicConstraints, CertificatePolicies, ExtendedKeyUsage, KeyUsage};

use super::key::{self, Held};
use super::time;

/// More certificates than a signature has use for.
pub(super) const MAX_CERTIFICATES: usize = 32;
/// No chain has more links.
const MAX_CHAIN: usize = 10;

/// SHA-256 of Apple's roots, under which all of its certificates for code stand: Apple Root CA, its G2 and its G3.
const APPLE_ROOTS: [[u8; 32]; 3] = [
    [
        0xb0, 0xb1, 0x73, 0x0e, 0xcb, 0xc7, 0xff, 0x45, 0x05, 0x14, 0x2c, 0x49, 0xf1, 0x29, 0x5e, 0x6e, 0xda, 0x6b,
        0xca, 0xed, 0x7e, 0x2c, 0x68, 0xc5, 0xbe, 0x91, 0xb5, 0xa1, 0x10, 0x01, 0xf0, 0x24,
    ],
    [
        0xc2, 0xb9, 0xb0, 0x42, 0xdd, 0x57, 0x83, 0x0e, 0x7d, 0x11, 0x7d, 0xac, 0x55, 0xac, 0x8a, 0xe1, 0x94, 0x07,
        0xd3, 0x8e, 0x41, 0xd8, 0x8f, 0x32, 0x15, 0xbc, 0x3a, 0x89, 0x04, 0x44, 0xa0, 0x50,
    ],
    [
        0x63, 0x34, 0x3a, 0xbf, 0xb8, 0x9a, 0x6a, 0x03, 0xeb, 0xb5, 0x7e, 0x9b, 0x3f, 0x5f, 0xa7, 0xbe, 0x7c, 0x4f,
        0x5c, 0x75, 0x6f, 0x30, 0x17, 0xb3, 0xa8, 0xc4, 0x88, 0xc3, 0x65, 0x3e, 0x91, 0x79,
    ],
];

/// Extended key usages.
pub(super) const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
pub(super) const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

const COMMON_NAME: &str = "2.5.4.3";
/// The extensions by which Apple marks developers' certificates: for development and distribution on iOS and macOS, and Developer ID.
const DEVELOPER_MARKS: [&str; 5] = [
    "1.2.840.113635.100.6.1.2",
    "1.2.840.113635.100.6.1.4",
    "1.2.840.113635.100.6.1.7",
    "1.2.840.113635.100.6.1.12",
    "1.2.840.113635.100.6.1.13",
];

/// The keys of `certificate[subject.…]`, with the attribute that each stands for.
const SUBJECT: [(&str, &str); 9] = [
    ("subject.C", "2.5.4.6"),
    ("subject.CN", COMMON_NAME),
    ("subject.D", "2.5.4.13"),
    ("subject.L", "2.5.4.7"),
    ("subject.O", "2.5.4.10"),
    ("subject.OU", "2.5.4.11"),
    ("subject.ST", "2.5.4.8"),
    ("subject.STREET", "2.5.4.9"),
    ("subject.UID", "0.9.2342.19200300.100.1.1"),
];

/// One certificate, with the very bytes that it came in: its own signature and every fingerprint are over them.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub der: Vec<u8>,
    /// What its issuer signed.
    signed: Vec<u8>,
    pub inner: x509_cert::Certificate,
}

/// From a signer up, as far as the certificates go.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub certificates: Vec<Certificate>,
    /// Whether the last one is a root.
    pub is_complete: bool,
}

impl Certificate {
    pub(super) fn parse(der: &[u8]) -> Result<Self, String> {
        let unreadable = |error: der::Error| format!("a certificate: {error}");
        let inner = x509_cert::Certificate::from_der(der).map_err(unreadable)?;
        let mut reader = SliceReader::new(der).map_err(unreadable)?;
        let signed = reader.sequence(|body| {
            let signed = body.tlv_bytes()?.to_vec();
            while !body.is_finished() {
                body.tlv_bytes()?;
            }
            Ok(signed)
        });
        Ok(Self { der: der.to_vec(), signed: signed.map_err(unreadable)?, inner })
    }

    pub(super) fn sha1(&self) -> [u8; 20] {
        Sha1::digest(&self.der).into()
    }

    pub(super) fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }

    /// A part of the subject's name, by the name that requirements give it.
    pub(super) fn subject(&self, key: &str) -> Option<String> {
        let (_, oid) = SUBJECT.iter().find(|(known, _)| *known == key)?;
        let oid = ObjectIdentifier::new(oid).ok()?;
        let names = self.inner.tbs_certificate.subject.0.iter().flat_map(|name| name.0.iter());
        names.filter(|part| part.oid == oid).find_map(|part| text(&part.value))
    }

    /// The subject in short: its common name, or all that there is.
    pub(super) fn name(&self) -> String {
        self.subject("subject.CN").unwrap_or_else(|| self.inner.tbs_certificate.subject.to_string())
    }

    /// An extension's value, by its identifier in DER.
    pub(super) fn extension(&self, oid: &[u8]) -> Option<&[u8]> {
        let extensions = self.inner.tbs_certificate.extensions.as_ref()?;
        let extension = extensions.iter().find(|extension| extension.extn_id.as_bytes() == oid)?;
        Some(extension.extn_value.as_bytes())
    }

    fn decoded<'a, T: der::Decode<'a>>(&'a self, oid: &str) -> Option<Result<T, String>> {
        let oid = ObjectIdentifier::new(oid).ok()?;
        let value = self.extension(oid.as_bytes())?;
        Some(T::from_der(value).map_err(|error| format!("an extension of `{}`: {error}", self.name())))
    }

    /// An extension that holds a date as text, in seconds since 1970.
    pub(super) fn extension_date(&self, oid: &[u8]) -> Option<i64> {
        time::from_compact(&text(&Any::from_der(self.extension(oid)?).ok()?)?)
    }

    pub(super) fn has_policy(&self, oid: &[u8]) -> bool {
        let policies = self.decoded::<CertificatePolicies>("2.5.29.32").and_then(Result::ok);
        policies.is_some_and(|list| list.0.iter().any(|policy| policy.policy_identifier.as_bytes() == oid))
    }

    /// Whether this is a developer's certificate, which names the team as the organizational unit; that Apple issued it, the chain shows.
    pub(super) fn is_apple_developer(&self) -> bool {
        let is_marked = |mark: &&str| {
            let oid = ObjectIdentifier::new(mark);
            oid.is_ok_and(|oid| self.extension(oid.as_bytes()).is_some())
        };
        DEVELOPER_MARKS.iter().any(is_marked)
    }

    pub(super) fn is_self_issued(&self) -> bool {
        self.inner.tbs_certificate.subject == self.inner.tbs_certificate.issuer
    }

    /// When it is valid, in seconds since 1970.
    pub(super) fn validity(&self) -> (i64, i64) {
        let validity = &self.inner.tbs_certificate.validity;
        let seconds = |time: &x509_cert::time::Time| time::seconds_of(time.to_date_time());
        (seconds(&validity.not_before), seconds(&validity.not_after))
    }

    /// Whether `issuer`'s key made the signature on this.
    fn is_signed_by(&self, issuer: &Self) -> Held {
        let Some(signature) = self.inner.signature.as_bytes() else { return Held::Broken };
        // The algorithm stands in the signed part and outside of it.
        if self.inner.signature_algorithm != self.inner.tbs_certificate.signature {
            return Held::Broken;
        }
        let key = &issuer.inner.tbs_certificate.subject_public_key_info;
        key::verify(key, &self.inner.signature_algorithm, None, &self.signed, signature)
    }
}

/// Whether this is one of Apple's roots, by its fingerprint.
pub(super) fn is_apple_root(certificate: &Certificate) -> bool {
    APPLE_ROOTS.contains(&certificate.sha256()) || crate::faults::is_apple_root(&certificate.der)
}

/// Text of any of the kinds that names use.
fn text(value: &Any) -> Option<String> {
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::GeneralizedTime => {
            String::from_utf8(value.value().to_vec()).ok()
        }
        Tag::TeletexString => Some(value.value().iter().map(|byte| char::from(*byte)).collect()),
        Tag::BmpString => {
            let pairs = value.value().chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            String::from_utf16(&pairs.collect::<Vec<_>>()).ok()
        }
        _ => None,
    }
}

impl Chain {
    /// The chain of `leaf` through `pool`, and what does not hold in it.
    pub(super) fn build(leaf: Certificate, pool: &[Certificate]) -> (Self, Vec<String>) {
        let mut chain = Self { certificates: vec![leaf], is_complete: false };
        let mut problems = Vec::new();
        while chain.certificates.len() <= MAX_CHAIN {
            let Some(last) = chain.certificates.last() else { break };
            let broken = |held| match held {
                Held::Broken => format!("the signature on `{}` is not by `{}`", last.name(), issuer_name(last)),
                Held::Unknown(algorithm) => format!("`{}` is signed with {algorithm}, not known here", last.name()),
                Held::Holds => String::new(),
            };
            if last.is_self_issued() {
                match last.is_signed_by(last) {
                    Held::Holds => chain.is_complete = true,
                    other => problems.push(broken(other)),
                }
                break;
            }
            let issuer = &last.inner.tbs_certificate.issuer;
            let mut tried = None;
            let found = pool.iter().filter(|other| other.inner.tbs_certificate.subject == *issuer).find(|other| {
                let held = last.is_signed_by(other);
                tried = Some(held.clone());
                held == Held::Holds
            });
            match (found, tried) {
                (Some(found), _) => {
                    let found = found.clone();
                    chain.certificates.push(found);
                }
                (None, Some(held)) => {
                    problems.push(broken(held));
                    break;
                }
                (None, None) => break,
            }
        }
        if chain.certificates.len() > MAX_CHAIN {
            problems.push(format!("more than {MAX_CHAIN} certificates in a row"));
        }
        (chain, problems)
    }

    pub(super) fn root(&self) -> Option<&Certificate> {
        self.certificates.last().filter(|_| self.is_complete)
    }

    /// Which certificates were not valid at the time given.
    pub(super) fn out_of_time(&self, at: i64) -> Vec<String> {
        let mut problems = Vec::new();
        for certificate in &self.certificates {
            let (from, to) = certificate.validity();
            if !(from..=to).contains(&at) {
                let (from, to, at) = (time::iso(from), time::iso(to), time::iso(at));
                problems.push(format!("`{}` is valid from {from} to {to}, and was used at {at}", certificate.name()));
            }
        }
        problems
    }

    /// What in the chain may not be used for `usage`.
    pub(super) fn problems(&self, usage: ObjectIdentifier) -> Vec<String> {
        let mut problems = Vec::new();
        for (below, issuer) in self.certificates.iter().skip(1).enumerate() {
            match issuer.decoded::<BasicConstraints>("2.5.29.19") {
                Some(Ok(constraints)) if constraints.ca => {
                    // Counted without the leaf.
                    if constraints.path_len_constraint.is_some_and(|most| usize::from(most) < below) {
                        problems.push(format!("`{}` may not have {below} authorities below it", issuer.name()));
                    }
                }
                Some(Err(error)) => problems.push(error),
                _ => problems.push(format!("`{}` issued a certificate, and is no authority", issuer.name())),
            }
            if issuer.decoded::<KeyUsage>("2.5.29.15").is_some_and(|it| !it.is_ok_and(|it| it.key_cert_sign())) {
                problems.push(format!("the key of `{}` is not for signing certificates", issuer.name()));
            }
        }
        if let Some(leaf) = self.certificates.first() {
            if leaf.decoded::<KeyUsage>("2.5.29.15").is_some_and(|it| !it.is_ok_and(|it| it.digital_signature())) {
                problems.push(format!("the key of `{}` is not for signing", leaf.name()));
            }
            match leaf.decoded::<ExtendedKeyUsage>("2.5.29.37") {
                Some(Ok(usages)) if usages.0.contains(&usage) || usages.0.contains(&ANY_USAGE) => {}
                Some(Err(error)) => problems.push(error),
                _ => {
                    let purpose = if usage == CODE_SIGNING { "code" } else { "time stamps" };
                    problems.push(format!("`{}` is no certificate for signing {purpose}", leaf.name()));
                }
            }
        }
        problems
    }
}

fn issuer_name(certificate: &Certificate) -> String {
    let issuer = &certificate.inner.tbs_certificate.issuer;
    let common = ObjectIdentifier::new(COMMON_NAME).ok();
    let parts = issuer.0.iter().flat_map(|name| name.0.iter());
    let name = parts.filter(|part| Some(part.oid) == common).find_map(|part| text(&part.value));
    name.unwrap_or_else(|| issuer.to_string())
}

/// The key identifier in a certificate, by which signatures may name their signer.
pub(super) fn key_identifier(certificate: &Certificate) -> Option<Vec<u8>> {
    let identifier = certificate.decoded::<der::asn1::OctetString>("2.5.29.14")?.ok()?;
    Some(identifier.as_bytes().to_vec())
}

/// Whether a name and a serial number are those of a certificate.
pub(super) fn is_named(certificate: &Certificate, issuer: &impl der::Encode, serial: &impl der::Encode) -> bool {
    let body = &certificate.inner.tbs_certificate;
    body.issuer.to_der().ok() == issuer.to_der().ok() && body.serial_number.to_der().ok() == serial.to_der().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A certificate that signs itself; see `tests/fixtures/identity`.
    pub const IDENTITY: &[u8] = include_bytes!("../../tests/fixtures/identity/third-party.cer");

    pub fn apple(known: apple_codesign::KnownCertificate) -> Certificate {
        Certificate::parse(known.as_ref().constructed_data()).unwrap()
    }

    pub fn apple_root() -> Certificate {
        apple(apple_codesign::KnownCertificate::AppleRootCa)
    }

    #[test]
    fn a_certificate_says_who_it_is_for() {
        let certificate = Certificate::parse(IDENTITY).unwrap();
        assert_eq!(certificate.name(), "Third Party (THIRDPARTY)");
        assert_eq!(certificate.subject("subject.OU").as_deref(), Some("THIRDPARTY"));
        assert_eq!(certificate.subject("subject.L"), None);
        assert!(certificate.is_self_issued() && !certificate.is_apple_developer());
        assert_eq!(certificate.der, IDENTITY);
        assert_eq!(time::iso(certificate.validity().1), "2126-10-31T10:59:29Z");
    }

    #[test]
    fn a_chain_ends_at_its_root() {
        use apple_codesign::KnownCertificate::{AppleRootCaG2Root, AppleRootCaG3Root, DeveloperIdG1, DeveloperIdG2};
        for known in [AppleRootCaG2Root, AppleRootCaG3Root] {
            let (chain, problems) = Chain::build(apple(known), &[]);
            assert_eq!(problems, [] as [String; 0]);
            assert!(chain.root().is_some_and(is_apple_root));
        }
        for intermediate in [DeveloperIdG1, DeveloperIdG2] {
            let leaf = apple(intermediate);
            let (chain, problems) = Chain::build(leaf.clone(), &[apple_root(), leaf.clone()]);
            assert_eq!(problems, [] as [String; 0]);
            assert!(chain.root().is_some_and(is_apple_root) && chain.certificates.len() == 2);
            let (chain, problems) = Chain::build(leaf, &[]);
            assert!(problems.is_empty() && !chain.is_complete && chain.root().is_none());
        }
    }

    #[test]
    fn a_chain_that_does_not_hold_is_told() {
        let intermediate = apple(apple_codesign::KnownCertificate::DeveloperIdG1);
        let mut changed = intermediate.der.clone();
        // In the key, which stands in the second third.
        let at = changed.len() / 2;
        changed[at] ^= 1;
        let changed = Certificate::parse(&changed).unwrap();
        let (chain, problems) = Chain::build(changed, &[apple_root()]);
        assert_eq!(problems, ["the signature on `Developer ID Certification Authority` is not by `Apple Root CA`"]);
        assert!(!chain.is_complete);

        let mut root = Certificate::parse(IDENTITY).unwrap().der.clone();
        let last = root.len() - 1;
        root[last] ^= 1;
        let (chain, problems) = Chain::build(Certificate::parse(&root).unwrap(), &[]);
        assert!(!chain.is_complete && problems[0].contains("is not by `Third Party"), "{problems:?}");
    }

    #[test]
    fn purposes_and_dates_are_judged() {
        let (chain, _) = Chain::build(Certificate::parse(IDENTITY).unwrap(), &[]);
        let (from, to) = chain.certificates[0].validity();
        assert!(chain.problems(CODE_SIGNING).is_empty());
        for (at, ok) in [(from, true), (to, true), (from - 1, false), (to + 1, false)] {
            assert_eq!(chain.out_of_time(at).is_empty(), ok, "{at}");
        }
        assert!(chain.problems(TIME_STAMPING)[0].contains("is no certificate for signing time stamps"));
        // Its extensions allow it no certificates below it, though it calls itself an authority.
        let below = apple(apple_codesign::KnownCertificate::DeveloperIdG1);
        let chain = Chain { certificates: vec![below, chain.certificates[0].clone()], is_complete: true };
        let problems = chain.problems(CODE_SIGNING);
        let expected = "the key of `Third Party (THIRDPARTY)` is not for signing certificates";
        assert!(problems.iter().any(|problem| problem == expected), "{problems:?}");
    }

    #[test]
    fn damaged_certificates_are_refused() {
        for length in 0..IDENTITY.len() {
            assert!(Certificate::parse(&IDENTITY[..length]).is_err(), "{length}");
        }
    }
}
