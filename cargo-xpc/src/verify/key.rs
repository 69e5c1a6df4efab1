//! Signatures by public keys.

use der::asn1::ObjectIdentifier;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use rsa::pkcs1::der::Decode as _;
use rsa::{BigUint, Pkcs1v15Sign, RsaPublicKey};
use sha1::{Digest as _, Sha1};
use sha2::{Sha256, Sha384, Sha512};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

/// Whether a signature is by a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Holds,
    Broken,
    /// It is of a kind that is not known here.
    Unknown(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// Kinds of signatures that name their hash.
const WITH_HASH: [(ObjectIdentifier, Hash); 8] = [
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5"), Hash::Sha1),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"), Hash::Sha256),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12"), Hash::Sha384),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"), Hash::Sha512),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"), Hash::Sha1),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"), Hash::Sha256),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3"), Hash::Sha384),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4"), Hash::Sha512),
];

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ELLIPTIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

impl Hash {
    pub(super) fn of(algorithm: &AlgorithmIdentifierOwned) -> Option<Self> {
        match algorithm.oid {
            SHA1 => Some(Self::Sha1),
            SHA256 => Some(Self::Sha256),
            SHA384 => Some(Self::Sha384),
            SHA512 => Some(Self::Sha512),
            _ => None,
        }
    }

    pub(super) fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(data).to_vec(),
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha384 => Sha384::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }
}

/// Bits of the largest key that is calculated with: what a signature costs grows with the cube of it.
const MAX_RSA: usize = 16_384;

/// The crate's own reader stops at 4096 bits, which macOS does not.
fn rsa_key(bytes: &[u8]) -> Option<RsaPublicKey> {
    let key = rsa::pkcs1::RsaPublicKey::from_der(bytes).ok()?;
    let number = |it: rsa::pkcs1::UintRef<'_>| BigUint::from_bytes_be(it.as_bytes());
    RsaPublicKey::new_with_max_size(number(key.modulus), number(key.public_exponent), MAX_RSA).ok()
}

/// Whether `signature` is over `message` and by `key`. `hash` is for algorithms that do not name one, as CMS allows.
pub(super) fn verify(
    key: &SubjectPublicKeyInfoOwned,
    algorithm: &AlgorithmIdentifierOwned,
    hash: Option<Hash>,
    message: &[u8],
    signature: &[u8],
) -> Held {
    let unknown = |oid: ObjectIdentifier| Held::Unknown(format!("algorithm {oid}"));
    let bare = [RSA, ELLIPTIC].contains(&algorithm.oid);
    let named = WITH_HASH.iter().find(|(oid, _)| *oid == algorithm.oid).map(|(_, hash)| *hash);
    let Some(hash) = named.or(hash.filter(|_| bare)) else { return unknown(algorithm.oid) };
    let digest = hash.digest(message);
    let Some(bytes) = key.subject_public_key.as_bytes() else { return Held::Broken };
    let holds = match key.algorithm.oid {
        RSA => rsa_key(bytes).is_some_and(|key| {
            let scheme = match hash {
                Hash::Sha1 => Pkcs1v15Sign::new::<Sha1>(),
                Hash::Sha256 => Pkcs1v15Sign::new::<Sha256>(),
                Hash::Sha384 => Pkcs1v15Sign::new::<Sha384>(),
                Hash::Sha512 => Pkcs1v15Sign::new::<Sha512>(),
            };
            key.verify(scheme, &digest, signature).is_ok()
        }),
        ELLIPTIC => match key.algorithm.parameters.as_ref().and_then(|it| it.decode_as::<ObjectIdentifier>().ok()) {
            Some(P256) => {
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes);
                let signature = p256::ecdsa::Signature::from_der(signature);
                key.is_ok_and(|key| signature.is_ok_and(|it| key.verify_prehash(&digest, &it).is_ok()))
            }
            Some(P384) => {
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(bytes);
                let signature = p384::ecdsa::Signature::from_der(signature);
                key.is_ok_and(|key| signature.is_ok_and(|it| key.verify_prehash(&digest, &it).is_ok()))
            }
            Some(other) => return Held::Unknown(format!("curve {other}")),
            None => return Held::Broken,
        },
        other => return unknown(other),
    };
    if holds { Held::Holds } else { Held::Broken }
}
