//! Signatures by public keys.

use der::asn1::ObjectIdentifier;
use der::{Any, Reader as _, SliceReader, Tag, TagMode, TagNumber, Tagged as _};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use rsa::pkcs1::der::Decode as _;
use rsa::traits::PublicKeyParts as _;
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

/// RSASSA-PSS (RFC 4055), of a signature, and of a key that makes no other.
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ELLIPTIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// Nothing but what an algorithm's name says: its parameters are absent, or NULL.
fn is_plain(algorithm: &AlgorithmIdentifierOwned) -> bool {
    algorithm.parameters.as_ref().is_none_or(|it| it.tag() == Tag::Null && it.value().is_empty())
}

impl Hash {
    pub(super) fn of(algorithm: &AlgorithmIdentifierOwned) -> Option<Self> {
        match algorithm.oid {
            _ if !is_plain(algorithm) => None,
            SHA1 => Some(Self::Sha1),
            SHA256 => Some(Self::Sha256),
            SHA384 => Some(Self::Sha384),
            SHA512 => Some(Self::Sha512),
            _ => None,
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
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

/// The parameters of RSASSA-PSS.
#[derive(Debug, PartialEq, Eq)]
struct PssParameters {
    hash: Hash,
    /// What the mask is made with (MGF1); most use one hash for both.
    mask: Hash,
    /// Bytes.
    salt: usize,
}

impl PssParameters {
    /// What is not said has a default; `None` for what is not sound.
    fn read(parameters: &Any) -> Option<Self> {
        const SALT: u32 = 20;
        const TRAILER: u8 = 1;
        if parameters.tag() != Tag::Sequence {
            return None;
        }
        let mut reader = SliceReader::new(parameters.value()).ok()?;
        let explicit = TagMode::Explicit;
        let hash: Option<AlgorithmIdentifierOwned> = reader.context_specific(TagNumber::N0, explicit).ok()?;
        let mask: Option<AlgorithmIdentifierOwned> = reader.context_specific(TagNumber::N1, explicit).ok()?;
        let salt: Option<u32> = reader.context_specific(TagNumber::N2, explicit).ok()?;
        let trailer: Option<u8> = reader.context_specific(TagNumber::N3, explicit).ok()?;
        if !reader.is_finished() || trailer.unwrap_or(TRAILER) != TRAILER {
            return None;
        }
        let mask = match mask {
            None => Hash::Sha1,
            Some(mask) if mask.oid == MGF1 => Hash::of(&mask.parameters?.decode_as().ok()?)?,
            Some(_) => return None,
        };
        let hash = hash.as_ref().map_or(Some(Hash::Sha1), Hash::of)?;
        let salt = usize::try_from(salt.unwrap_or(SALT)).ok()?;
        (salt < MAX_RSA / 8).then_some(Self { hash, mask, salt })
    }

    /// Whether `signature` is by `key` on a message with this hash (RFC 8017, 8.1.2 and 9.1.2). The crate would take one hash for both uses.
    fn hold(&self, key: &RsaPublicKey, digest: &[u8], signature: &[u8]) -> bool {
        let number = BigUint::from_bytes_be(signature);
        if signature.len() != key.size() || number >= *key.n() {
            return false;
        }
        let opened = number.modpow(key.e(), key.n()).to_bytes_be();
        // One bit less than the modulus, so that it is always the smaller number.
        let bits = key.n().bits() - 1;
        let Some(leading) = bits.div_ceil(8).checked_sub(opened.len()) else { return false };
        let mut encoded = vec![0; leading];
        encoded.extend(opened);
        let Some((0xbc, rest)) = encoded.split_last() else { return false };
        let Some(masked) = rest.len().checked_sub(self.hash.size()) else { return false };
        let (masked, hash) = rest.split_at(masked);
        let Some(padding) = masked.len().checked_sub(self.salt + 1) else { return false };
        let unused = 0xff_u8.checked_shl(8 - (bits.div_ceil(8) * 8 - bits) as u32).unwrap_or(0);
        if masked[0] & unused != 0 {
            return false;
        }
        let mut block: Vec<u8> = masked.iter().zip(self.mask(hash, masked.len())).map(|(a, b)| a ^ b).collect();
        block[0] &= !unused;
        let (zeros, salted) = block.split_at(padding);
        let Some((1, salt)) = salted.split_first() else { return false };
        let again = [&[0; 8], digest, salt].concat();
        zeros.iter().all(|byte| *byte == 0) && self.hash.digest(&again) == hash
    }

    /// MGF1: the hashes of the seed with a counter.
    fn mask(&self, seed: &[u8], length: usize) -> impl Iterator<Item = u8> {
        let blocks =
            (0..length.div_ceil(self.mask.size()) as u32).map(move |count| [seed, &count.to_be_bytes()].concat());
        blocks.flat_map(|block| self.mask.digest(&block)).take(length).collect::<Vec<_>>().into_iter()
    }
}

/// As [`verify`], of RSASSA-PSS.
fn verify_pss(
    key: &SubjectPublicKeyInfoOwned,
    algorithm: &AlgorithmIdentifierOwned,
    hash: Option<Hash>,
    message: &[u8],
    signature: &[u8],
) -> Held {
    let Some(parameters) = algorithm.parameters.as_ref().and_then(PssParameters::read) else {
        return Held::Unknown("parameters of RSASSA-PSS".to_owned());
    };
    // A key may be bound to its hashes, and to a salt that is not shorter.
    let allowed = match (key.algorithm.oid, &key.algorithm.parameters) {
        (RSA, _) => is_plain(&key.algorithm),
        (RSA_PSS, None) => true,
        (RSA_PSS, Some(bound)) => PssParameters::read(bound).is_some_and(|bound| {
            (bound.hash, bound.mask) == (parameters.hash, parameters.mask) && bound.salt <= parameters.salt
        }),
        _ => false,
    };
    // In CMS the message names its hash a second time (RFC 4056).
    let named = hash.is_none_or(|hash| hash == parameters.hash);
    let key = key.subject_public_key.as_bytes().and_then(rsa_key);
    let digest = parameters.hash.digest(message);
    let holds = key.is_some_and(|key| parameters.hold(&key, &digest, signature));
    if allowed && named && holds { Held::Holds } else { Held::Broken }
}

/// Whether `signature` is over `message` and by `key`. `hash` is for algorithms that do not name one, as CMS allows.
pub(super) fn verify(
    key: &SubjectPublicKeyInfoOwned,
    algorithm: &AlgorithmIdentifierOwned,
    hash: Option<Hash>,
    message: &[u8],
    signature: &[u8],
) -> Held {
    if algorithm.oid == RSA_PSS {
        return verify_pss(key, algorithm, hash, message, signature);
    }
    let unknown = |oid: ObjectIdentifier| Held::Unknown(format!("algorithm {oid}"));
    if !is_plain(algorithm) {
        return Held::Unknown(format!("parameters of algorithm {}", algorithm.oid));
    }
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

#[cfg(test)]
mod tests {
    use der::asn1::BitString;
    use rsa::pkcs1::EncodeRsaPublicKey as _;
    use rsa::rand_core::OsRng;
    use rsa::{Pss, RsaPrivateKey};

    use super::*;

    /// `SEQUENCE { [0] hash, [1] mask of the same hash, [2] salt }`.
    fn parameters(hash: ObjectIdentifier, salt: u8) -> Any {
        let within = |tag: u8, content: Vec<u8>| [vec![tag, content.len() as u8], content].concat();
        let oid = |oid: ObjectIdentifier| within(6, oid.as_bytes().to_vec());
        let hash = within(0x30, oid(hash));
        let mask = within(0x30, [oid(MGF1), hash.clone()].concat());
        let fields = [within(0xa0, hash), within(0xa1, mask), within(0xa2, vec![2, 1, salt])].concat();
        Any::new(Tag::Sequence, fields).unwrap()
    }

    #[test]
    fn parameters_have_defaults_and_limits() {
        let read = |bytes: &[u8]| PssParameters::read(&Any::new(Tag::Sequence, bytes).unwrap());
        assert_eq!(read(&[]), Some(PssParameters { hash: Hash::Sha1, mask: Hash::Sha1, salt: 20 }));
        assert_eq!(read(&[0xa2, 3, 2, 1, 7]), Some(PssParameters { hash: Hash::Sha1, mask: Hash::Sha1, salt: 7 }));
        assert_eq!(read(&[0xa3, 3, 2, 1, 1]), Some(PssParameters { hash: Hash::Sha1, mask: Hash::Sha1, salt: 20 }));
        // Another trailer, a salt longer than any key, a negative one, and something more.
        let long = [0xa2, 6, 2, 4, 0x7f, 0xff, 0xff, 0xff];
        for wrong in [&[0xa3, 3, 2, 1, 2][..], &long, &[0xa2, 3, 2, 1, 0x80], &[5, 0]] {
            assert_eq!(read(wrong), None, "{wrong:x?}");
        }
        assert_eq!(PssParameters::read(&Any::new(Tag::Null, []).unwrap()), None);
        let read = PssParameters::read(&parameters(SHA384, 48));
        assert_eq!(read, Some(PssParameters { hash: Hash::Sha384, mask: Hash::Sha384, salt: 48 }));
    }

    #[test]
    fn a_key_is_used_for_what_it_is_for() {
        let secret = RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
        let public = secret.to_public_key().to_pkcs1_der().unwrap();
        let key = |oid, parameters| SubjectPublicKeyInfoOwned {
            algorithm: AlgorithmIdentifierOwned { oid, parameters },
            subject_public_key: BitString::from_bytes(public.as_bytes()).unwrap(),
        };
        let digest = Sha256::digest(b"message");
        let signature = secret.sign_with_rng(&mut OsRng, Pss::new_with_salt::<Sha256>(32), &digest).unwrap();
        let held = |key: &SubjectPublicKeyInfoOwned, salt: u8, hash: Option<Hash>| {
            let algorithm = AlgorithmIdentifierOwned { oid: RSA_PSS, parameters: Some(parameters(SHA256, salt)) };
            verify(key, &algorithm, hash, b"message", &signature)
        };
        for (oid, bound, expected) in [
            (RSA, None, Held::Holds),
            (RSA_PSS, None, Held::Holds),
            (RSA_PSS, Some(parameters(SHA256, 32)), Held::Holds),
            (RSA_PSS, Some(parameters(SHA256, 20)), Held::Holds),
            // The numbers fit, and the key is for something else.
            (RSA_PSS, Some(parameters(SHA256, 33)), Held::Broken),
            (RSA_PSS, Some(parameters(SHA384, 32)), Held::Broken),
            (ELLIPTIC, None, Held::Broken),
        ] {
            assert_eq!(held(&key(oid, bound.clone()), 32, Some(Hash::Sha256)), expected, "{oid} {bound:?}");
        }
        let key = key(RSA, None);
        assert_eq!(held(&key, 32, None), Held::Holds);
        assert_eq!(held(&key, 31, None), Held::Broken);
        // The message names another hash than the signature.
        assert_eq!(held(&key, 32, Some(Hash::Sha1)), Held::Broken);
        let old = AlgorithmIdentifierOwned { oid: RSA_PSS, parameters: None };
        assert!(matches!(verify(&key, &old, None, b"message", &signature), Held::Unknown(_)));
    }
}
