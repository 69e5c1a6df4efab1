//! Identities: who signs.
//!
//! A certificate identity is read once, checked, and shared by all signatures of a run: [`Signer`] is `Sync`, and apple-codesign's
//! settings, which are not even `Send`, are built from it for each signature.

mod certificate;
mod error;
mod files;
#[cfg(target_os = "macos")]
mod keychain;
mod password;
mod store;

use std::fmt;
use std::sync::Arc;

use apple_codesign::{CodeRequirementExpression, SigningSettings};
use camino::Utf8Path;
use cryptographic_message_syntax::SignedData;
use serde::{Serialize, Serializer};
use x509_certificate::{CapturedX509Certificate, InMemorySigningKeyPair, KeyInfoSigner};

pub use self::certificate::CertificateSummary;
pub use self::error::IdentityError;
pub use self::password::{Password, Passwords};
pub use self::store::{Store, StoredIdentity};

use self::certificate::Issued;

/// Who signs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Identity {
    /// Nobody: the signature seals the code and proves no origin. Runs on the machine it was made on, and for development elsewhere.
    #[default]
    AdHoc,
    /// A certificate with its key.
    #[serde(serialize_with = "summary")]
    Certificate(Arc<Signer>),
}

impl Identity {
    /// What `--identity` and `--sign` mean: `adhoc`, `-`, a file, `keychain:NAME`, or the name of a development identity.
    ///
    /// # Errors
    /// Where there is no such identity, or it cannot sign code now.
    pub fn load(id: &str, key: Option<&Utf8Path>, passwords: &Passwords<'_>) -> Result<Self, IdentityError> {
        let unused = |what| Err(IdentityError::Unused { what, id: id.to_owned() });
        let path = Utf8Path::new(id);
        let is_file = files::looks_like_file(path);
        if key.is_some() && !is_file {
            return unused("--key");
        }
        if passwords.given.is_some() && !is_file {
            return unused("a password");
        }
        match id {
            "adhoc" | "-" => Ok(Self::AdHoc),
            _ if is_file => Ok(Self::Certificate(Arc::new(files::read(path, key, passwords)?))),
            _ => match id.strip_prefix("keychain:") {
                Some(name) => in_keychain(name),
                None => Ok(Self::Certificate(Arc::new(Store::open()?.load(id)?))),
            },
        }
    }

    /// The team that a certificate of Apple's vouches for.
    pub fn team(&self) -> Option<&str> {
        match self {
            Self::AdHoc => None,
            Self::Certificate(signer) => signer.team(),
        }
    }

    /// The certificate and its key.
    pub fn signer(&self) -> Option<&Signer> {
        match self {
            Self::AdHoc => None,
            Self::Certificate(signer) => Some(signer),
        }
    }

    /// Whether this identity made a CMS signature: with this certificate, or with another of the same team.
    pub(super) fn made(&self, cms: &[u8]) -> bool {
        let Self::Certificate(signer) = self else { return false };
        any_signer(cms, |certificate, all| {
            let team = || certificate::issued(certificate, all).and_then(|issued| issued.team);
            certificate == &signer.certificate || signer.team.is_some() && signer.team == team()
        })
    }
}

/// Whether a development identity, of whatever name and machine, made a CMS signature.
pub(super) fn is_of_development(cms: &[u8]) -> bool {
    any_signer(cms, |certificate, _| {
        let name = certificate.subject_common_name().unwrap_or_default();
        certificate.subject_is_issuer() && name.starts_with(store::COMMON_NAME)
    })
}

/// Whether this is true of a certificate that made a CMS signature; it is given all that the signature brings along.
fn any_signer(cms: &[u8], is: impl Fn(&CapturedX509Certificate, &[CapturedX509Certificate]) -> bool) -> bool {
    let Ok(data) = SignedData::parse_ber(cms) else { return false };
    let certificates: Vec<_> = data.certificates().cloned().collect();
    data.signers().any(|info| {
        let Some((issuer, serial)) = info.certificate_issuer_and_serial() else { return false };
        certificates
            .iter()
            .filter(|certificate| certificate.issuer_name() == issuer && certificate.serial_number_asn1() == serial)
            .any(|certificate| is(certificate, &certificates))
    })
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AdHoc => f.write_str("ad hoc"),
            Self::Certificate(signer) => write!(f, "by {}", certificate::name(&signer.certificate)),
        }
    }
}

#[cfg(target_os = "macos")]
fn in_keychain(name: &str) -> Result<Identity, IdentityError> {
    Ok(Identity::Certificate(Arc::new(keychain::find(name)?)))
}

#[cfg(not(target_os = "macos"))]
fn in_keychain(_name: &str) -> Result<Identity, IdentityError> {
    Err(IdentityError::KeychainElsewhere)
}

/// A certificate that may sign code, the key to it, and the certificates that vouch for it.
pub struct Signer {
    certificate: CapturedX509Certificate,
    /// The issuer first; without the certificate itself.
    chain: Vec<CapturedX509Certificate>,
    key: Key,
    /// Where it comes from: a file, a name.
    source: String,
    /// The team, where the chain ends with Apple.
    team: Option<String>,
    issued: Option<Issued>,
}

/// What makes the signatures.
enum Key {
    Memory(InMemorySigningKeyPair),
    #[cfg(target_os = "macos")]
    Keychain(apple_codesign::KeychainCertificate),
}

/// Signatures are made on several threads.
const fn is_sync<T: Send + Sync>() {}
const _: () = is_sync::<Signer>();

impl Signer {
    /// Puts the parts together. `given` are certificates that may vouch for `certificate`, in any order.
    fn new(
        certificate: CapturedX509Certificate,
        given: &[CapturedX509Certificate],
        key: Key,
        source: String,
    ) -> Result<Self, IdentityError> {
        certificate::check(&certificate, &source)?;
        let issued = certificate::issued(&certificate, given);
        if issued.is_none() && certificate::says_apple(&certificate) {
            return Err(IdentityError::AppleIntermediate {
                source_name: source,
                subject: certificate::name(&certificate),
            });
        }
        let chain = match &issued {
            Some(issued) => issued.chain.clone(),
            None => certificate.resolve_signing_chain(given.iter()).into_iter().cloned().collect(),
        };
        for link in &chain {
            certificate::check_encoding(link, &source)?;
        }
        let team = issued.as_ref().and_then(|issued| issued.team.clone());
        Ok(Self { certificate, chain, key, source, team, issued })
    }

    /// The team that a certificate of Apple's vouches for.
    pub fn team(&self) -> Option<&str> {
        self.team.as_deref()
    }

    /// What there is to say about the certificate.
    pub fn summary(&self) -> CertificateSummary {
        CertificateSummary::of(&self.certificate, self.team.clone(), self.source.clone())
    }

    /// The certificate's DER form.
    pub(super) fn certificate_der(&self) -> &[u8] {
        self.certificate.constructed_data()
    }

    /// The designated requirement of what this identity signs: what later versions must fulfil to be the same program.
    pub(super) fn requirement(&self, identifier: &str) -> CodeRequirementExpression<'static> {
        certificate::requirement(&self.certificate, self.issued.as_ref(), identifier)
    }

    /// Has `settings` sign with this identity.
    pub(super) fn apply<'a>(&'a self, settings: &mut SigningSettings<'a>) {
        #[cfg_attr(
            not(target_os = "macos"),
            expect(clippy::infallible_destructuring_match, reason = "there is another kind of key on macOS")
        )]
        let key: &'a dyn KeyInfoSigner = match &self.key {
            Key::Memory(pair) => pair,
            #[cfg(target_os = "macos")]
            Key::Keychain(certificate) => certificate,
        };
        settings.set_signing_key(key, self.certificate.clone());
        for certificate in &self.chain {
            settings.chain_certificate(certificate.clone());
        }
        if let Some(team) = &self.team {
            settings.set_team_id(team);
        }
    }
}

impl PartialEq for Signer {
    fn eq(&self, other: &Self) -> bool {
        self.certificate == other.certificate
    }
}

impl Eq for Signer {}

/// Without the key.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("certificate", &self.summary()).finish_non_exhaustive()
    }
}

fn summary<S: Serializer>(signer: &Arc<Signer>, serializer: S) -> Result<S::Ok, S::Error> {
    signer.summary().serialize(serializer)
}
