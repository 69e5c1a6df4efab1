//! Identities in files: PKCS#12, PEM, DER.

use camino::Utf8Path;
use der::{Decode as _, Encode as _};
use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error as P12Error;
use pkcs8::{EncryptedPrivateKeyInfo, ObjectIdentifier, PrivateKeyInfo};
use x509_certificate::{CapturedX509Certificate, InMemorySigningKeyPair, Sign as _};
use zeroize::Zeroizing;

use super::{IdentityError, Key, Passwords, Signer, certificate};

/// A certificate or key is a few kilobytes, a PKCS#12 file with its chain some tens.
const MAX_SIZE: u64 = 1 << 20;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A private key in PKCS#8.
type KeyDer = Zeroizing<Vec<u8>>;

/// Whether an identity's name is meant as a file's.
pub(super) fn looks_like_file(path: &Utf8Path) -> bool {
    let extension = path.extension().map(str::to_ascii_lowercase);
    let known = ["p12", "pfx", "pem", "crt", "cer", "der"];
    !path.as_str().starts_with("keychain:")
        && (path.as_str().contains('/') || extension.is_some_and(|it| known.contains(&it.as_str())))
}

/// Reads the identity in `path`, whose key may stand in another file.
pub(super) fn read(
    path: &Utf8Path,
    key: Option<&Utf8Path>,
    passwords: &Passwords<'_>,
) -> Result<Signer, IdentityError> {
    let bytes = load(path)?;
    let pkcs12 = path.extension().is_some_and(|it| ["p12", "pfx"].iter().any(|known| it.eq_ignore_ascii_case(known)));
    let mut found = Found::default();
    if pkcs12 {
        if key.is_some() {
            return Err(IdentityError::Unused { what: "--key", id: path.to_string() });
        }
        found.read_pkcs12(path, &bytes, passwords)?;
    } else {
        found.read_text(path, &bytes, passwords)?;
    }
    if let Some(key) = key {
        if !found.keys.is_empty() {
            let why = "it holds a private key itself: leave --key out".to_owned();
            return Err(IdentityError::Format { path: path.to_owned(), why });
        }
        let bytes = load(key)?;
        let mut apart = Found::default();
        apart.read_text(key, &bytes, passwords)?;
        if apart.keys.is_empty() {
            let why = "there is no private key in it".to_owned();
            return Err(IdentityError::Format { path: key.to_owned(), why });
        }
        found.keys = apart.keys;
        found.certificates.extend(apart.certificates);
    }
    let remedy = if pkcs12 {
        "export it from the keychain together with its key"
    } else {
        "name the file of the key with --key"
    };
    found.identity(path, key.unwrap_or(path), remedy)
}

/// An identity that this tool made.
pub(super) fn read_stored(folder: &Utf8Path, certificate: &[u8], key: &[u8]) -> Result<Signer, IdentityError> {
    let mut found = Found::default();
    found.read_text(&folder.join(super::store::CERTIFICATE), certificate, &Passwords::none())?;
    found.read_text(&folder.join(super::store::KEY), key, &Passwords::none())?;
    found.identity(folder, folder, "make another with `cargo xpc identity create`")
}

fn load(path: &Utf8Path) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let metadata = match fs_err::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(IdentityError::NoFile { path: path.to_owned() });
        }
        Err(error) => return Err(error.into()),
    };
    if !metadata.is_file() || metadata.len() > MAX_SIZE {
        let why = "it is no file of a certificate or key".to_owned();
        return Err(IdentityError::Format { path: path.to_owned(), why });
    }
    Ok(Zeroizing::new(fs_err::read(path)?))
}

/// What files hold.
#[derive(Default)]
struct Found {
    keys: Vec<KeyDer>,
    certificates: Vec<CapturedX509Certificate>,
}

impl Found {
    fn read_pkcs12(&mut self, path: &Utf8Path, bytes: &[u8], passwords: &Passwords<'_>) -> Result<(), IdentityError> {
        let format = |why: String| IdentityError::Format { path: path.to_owned(), why };
        let open = |password: &str| match Pkcs12Archive::from_pkcs12(bytes, password) {
            Err(P12Error::MacError(_) | P12Error::Pkcs5Error(_) | P12Error::UnpadError) => {
                Err(IdentityError::WrongPassword { path: path.to_owned() })
            }
            Err(P12Error::UnsupportedEncryptionScheme | P12Error::UnsupportedMacAlgorithm) => {
                Err(format("it is encrypted in a way that cannot be read: export it again with AES-256".to_owned()))
            }
            Err(error) => Err(format(format!("it is no PKCS#12 file, or it is damaged: {error}"))),
            Ok(archive) => Ok(archive),
        };
        // A file without a password is opened without asking for one.
        let without = if passwords.given.is_none() { open("") } else { open(passwords.of(path)?.reveal()) };
        let archive = match without {
            Err(IdentityError::WrongPassword { .. }) if passwords.given.is_none() => {
                open(passwords.of(path)?.reveal())?
            }
            other => other?,
        };
        self.keys.extend(archive.keys.iter().map(|bag| Zeroizing::new(bag.key.as_der().to_vec())));
        for bag in &archive.certs {
            self.certificate(path, bag.cert.as_der().to_vec())?;
        }
        Ok(())
    }

    fn certificate(&mut self, path: &Utf8Path, der: Vec<u8>) -> Result<(), IdentityError> {
        let wrong = |error| IdentityError::Format {
            path: path.to_owned(),
            why: format!("a certificate in it is damaged: {error}"),
        };
        let certificate = CapturedX509Certificate::from_der(der).map_err(wrong)?;
        if !self.certificates.contains(&certificate) {
            self.certificates.push(certificate);
        }
        Ok(())
    }

    /// PEM, or a certificate in DER.
    fn read_text(&mut self, path: &Utf8Path, bytes: &[u8], passwords: &Passwords<'_>) -> Result<(), IdentityError> {
        let format = |why: &str| IdentityError::Format { path: path.to_owned(), why: why.to_owned() };
        // The sequence that every certificate in DER is.
        if bytes.first() == Some(&0x30) {
            return self.certificate(path, bytes.to_vec());
        }
        let parts = pem::parse_many(bytes).map_err(|_| format("it is neither PEM nor a certificate in DER"))?;
        if parts.is_empty() {
            return Err(format("there is neither a certificate nor a private key in it"));
        }
        for part in parts {
            let (tag, headers) = (part.tag().to_owned(), part.headers().iter().count());
            let content = Zeroizing::new(part.into_contents());
            match tag.as_str() {
                "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                    self.certificate(path, content.to_vec())?;
                }
                "PRIVATE KEY" => self.keys.push(content),
                "ENCRYPTED PRIVATE KEY" => self.keys.push(decrypt(path, &content, passwords)?),
                _ if tag.ends_with("PRIVATE KEY") && headers > 0 => {
                    return Err(format(
                        "its key is encrypted in OpenSSL's old form: convert it with `openssl pkcs8 -topk8`",
                    ));
                }
                "RSA PRIVATE KEY" => {
                    let rsa =
                        pkcs8::spki::AlgorithmIdentifierRef { oid: RSA, parameters: Some(der::asn1::Null.into()) };
                    let der = PrivateKeyInfo::new(rsa, &content).to_der().map_err(|_| format("its key is damaged"))?;
                    self.keys.push(Zeroizing::new(der));
                }
                "EC PRIVATE KEY" => return Err(unsupported(path.as_str(), EC)),
                // Parameters, requests, public keys: nothing that signs.
                _ => {}
            }
        }
        Ok(())
    }

    /// The one identity among what was found.
    fn identity(self, path: &Utf8Path, key_path: &Utf8Path, remedy: &'static str) -> Result<Signer, IdentityError> {
        if self.certificates.is_empty() {
            return Err(IdentityError::NoCertificate { path: path.to_owned() });
        }
        if self.keys.is_empty() {
            return Err(IdentityError::NoKey { path: path.to_owned(), remedy });
        }
        let list = |certificates: &mut dyn Iterator<Item = &CapturedX509Certificate>| {
            certificates.map(|it| format!("\n  {}", certificate::name(it))).collect::<String>()
        };
        let mut pairs = Vec::new();
        for key in &self.keys {
            let public = pair(key_path, key)?.public_key_data();
            pairs.extend(self.certificates.iter().filter(|it| it.public_key_data() == public).map(|it| (it, key)));
        }
        if pairs.is_empty() {
            return Err(IdentityError::Mismatch {
                path: path.to_owned(),
                key: key_path.to_owned(),
                certificates: list(&mut self.certificates.iter()),
            });
        }
        let [(certificate, key)] = pairs.as_slice() else {
            let identities = list(&mut pairs.iter().map(|(certificate, _)| *certificate));
            return Err(IdentityError::Several { path: path.to_owned(), identities });
        };
        let given: Vec<_> = self.certificates.iter().filter(|it| it != certificate).cloned().collect();
        Signer::new((*certificate).clone(), &given, Key::Memory(pair(key_path, key)?), path.to_string())
    }
}

fn decrypt(path: &Utf8Path, der: &[u8], passwords: &Passwords<'_>) -> Result<KeyDer, IdentityError> {
    let format = |why: String| IdentityError::Format { path: path.to_owned(), why };
    let info = EncryptedPrivateKeyInfo::from_der(der).map_err(|_| {
        format("its key is encrypted in a way that cannot be read: convert it with `openssl pkcs8 -topk8`".to_owned())
    })?;
    let password = passwords.of(path)?;
    match info.decrypt(password.reveal()) {
        Ok(document) => Ok(document.to_bytes()),
        Err(_) => Err(IdentityError::WrongPassword { path: path.to_owned() }),
    }
}

fn unsupported(path: &str, oid: ObjectIdentifier) -> IdentityError {
    let algorithm = match oid {
        EC => "elliptic curves (ECDSA)".to_owned(),
        ED25519 => "Ed25519".to_owned(),
        other => format!("the algorithm {other}"),
    };
    IdentityError::Algorithm { path: path.to_owned(), algorithm }
}

/// What signs with a key.
fn pair(path: &Utf8Path, key: &[u8]) -> Result<InMemorySigningKeyPair, IdentityError> {
    let damaged = || IdentityError::Format { path: path.to_owned(), why: "its private key is damaged".to_owned() };
    let info = PrivateKeyInfo::try_from(key).map_err(|_| damaged())?;
    if info.algorithm.oid != RSA {
        return Err(unsupported(path.as_str(), info.algorithm.oid));
    }
    InMemorySigningKeyPair::from_pkcs8_der(key).map_err(|error| IdentityError::Key {
        path: path.to_string(),
        why: match error {
            x509_certificate::X509CertificateError::PrivateKeyRejected(why) => why.to_owned(),
            other => other.to_string(),
        },
    })
}
