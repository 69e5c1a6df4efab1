//! Development identities: made by this tool, kept in a folder of the user's.
//!
//! Each is a folder with `certificate.pem` and `key.pem`. The folders stand in `$CARGO_XPC_IDENTITIES`, or in
//! `~/Library/Application Support/cargo-xpc/identities` on macOS, or in `$XDG_DATA_HOME/cargo-xpc/identities` (by default
//! `~/.local/share/…`) elsewhere.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

use bcder::Oid;
use camino::{Utf8Path, Utf8PathBuf};
use pkcs8::EncodePrivateKey as _;
use rsa::rand_core::{OsRng, RngCore as _};
use serde::Serialize;
use x509_certificate::InMemorySigningKeyPair;
use x509_certificate::certificate::{KeyUsage, X509CertificateBuilder};

use super::{CertificateSummary, IdentityError, Signer, files};

pub(super) const CERTIFICATE: &str = "certificate.pem";
pub(super) const KEY: &str = "key.pem";
/// How the subject of every certificate made here begins: signatures are known by it.
pub(super) const COMMON_NAME: &str = "cargo-xpc development";
/// What overrides the folder.
const VARIABLE: &str = "CARGO_XPC_IDENTITIES";
/// A development identity outlives the machine it is made on.
const DAYS: i64 = 10 * 365;
const BITS: usize = 2048;
/// `id-ce-extKeyUsage` and its value, a sequence of `id-kp-codeSigning`.
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x25];
const CODE_SIGNING: [u8; 12] = [0x30, 10, 0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 3];

/// Where development identities are kept.
#[derive(Clone, Debug)]
pub struct Store {
    folder: Utf8PathBuf,
}

/// A development identity.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StoredIdentity {
    /// What it is called.
    pub name: String,
    /// Its folder.
    pub path: Utf8PathBuf,
    /// Its certificate.
    #[serde(flatten)]
    pub certificate: CertificateSummary,
}

impl Store {
    /// The store of this user. Nothing is made until an identity is.
    ///
    /// # Errors
    /// Where the environment names no folder.
    pub fn open() -> Result<Self, IdentityError> {
        let variable = |name: &str| {
            let path = Utf8PathBuf::from(std::env::var(name).ok()?);
            path.is_absolute().then_some(path)
        };
        let in_home = |rest: &str| Some(variable("HOME")?.join(rest));
        let data = || {
            if cfg!(target_os = "macos") {
                return in_home("Library/Application Support");
            }
            variable("XDG_DATA_HOME").or_else(|| in_home(".local/share"))
        };
        let folder = match std::env::var_os(VARIABLE) {
            Some(_) => variable(VARIABLE),
            None => data().map(|data| data.join("cargo-xpc/identities")),
        };
        Ok(Self { folder: folder.ok_or(IdentityError::NoHome)? })
    }

    /// The names that are there, in order.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>, IdentityError> {
        let entries = match fs_err::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut names = Vec::new();
        for entry in entries {
            let Ok(name) = entry?.file_name().into_string() else { continue };
            if check_name(&name).is_ok() && self.folder.join(&name).join(CERTIFICATE).is_file() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// What is known of the identity `name`, without its key.
    ///
    /// # Errors
    /// Where there is none, or its certificate cannot be read.
    pub fn show(&self, name: &str) -> Result<StoredIdentity, IdentityError> {
        let path = self.find(name)?;
        let file = path.join(CERTIFICATE);
        let certificate =
            x509_certificate::CapturedX509Certificate::from_pem(fs_err::read(&file)?).map_err(|error| {
                IdentityError::Format { path: file, why: format!("the certificate is damaged: {error}") }
            })?;
        let summary = CertificateSummary::of(&certificate, None, path.to_string());
        Ok(StoredIdentity { name: name.to_owned(), path, certificate: summary })
    }

    fn find(&self, name: &str) -> Result<Utf8PathBuf, IdentityError> {
        let names = self.names()?;
        if names.iter().any(|it| it == name) {
            return Ok(self.folder.join(name));
        }
        let known = match names.as_slice() {
            [] => String::new(),
            names => format!(" (there is: {})", names.join(", ")),
        };
        Err(IdentityError::Unknown { name: name.to_owned(), known })
    }

    /// The identity `name`, ready to sign.
    pub(super) fn load(&self, name: &str) -> Result<Signer, IdentityError> {
        let folder = self.find(name)?;
        let key = folder.join(KEY);
        if fs_err::metadata(&key)?.permissions().mode() & 0o077 != 0 {
            return Err(IdentityError::Exposed { path: key });
        }
        let key = zeroize::Zeroizing::new(fs_err::read(&key)?);
        files::read_stored(&folder, &fs_err::read(folder.join(CERTIFICATE))?, &key)
    }

    /// Makes the identity `name`.
    ///
    /// # Errors
    /// Where the name is taken or cannot be one, or the folder cannot be written.
    pub fn create(&self, name: &str) -> Result<StoredIdentity, IdentityError> {
        check_name(name)?;
        let path = self.folder.join(name);
        let exists = || IdentityError::Exists { name: name.to_owned(), path: path.clone() };
        if fs_err::symlink_metadata(&path).is_ok() {
            return Err(exists());
        }
        let (certificate, key) = make(name)?;
        fs_err::create_dir_all(&self.folder)?;
        // Only its owner may look into the folder while it grows, and whole or not at all it gets its name.
        let growing = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.folder)?;
        fs_err::set_permissions(growing.path(), Permissions::from_mode(0o700))?;
        let write = |file: &str, mode: u32, content: &[u8]| -> Result<(), IdentityError> {
            let mut options = fs_err::OpenOptions::new();
            options.write(true).create_new(true);
            options.options_mut().mode(mode);
            let mut file = options.open(growing.path().join(file))?;
            file.write_all(content)?;
            Ok(file.sync_all()?)
        };
        write(KEY, 0o600, key.as_bytes())?;
        write(CERTIFICATE, 0o644, certificate.as_bytes())?;
        // A rename replaces no folder that has something in it.
        if fs_err::rename(growing.path(), &path).is_err() && fs_err::symlink_metadata(&path).is_ok() {
            return Err(exists());
        }
        if growing.path().exists() {
            fs_err::rename(growing.path(), &path)?;
        }
        self.show(name)
    }

    /// Where the identities are.
    pub fn folder(&self) -> &Utf8Path {
        &self.folder
    }
}

fn check_name(name: &str) -> Result<(), IdentityError> {
    let wrong = |why| Err(IdentityError::BadName { name: name.to_owned(), why });
    if ["adhoc", "none", "keychain"].contains(&name) {
        return wrong("the word has another meaning already");
    }
    if name.is_empty() || name.len() > 64 {
        return wrong("use 1 to 64 characters");
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) || name.starts_with(['.', '-']) {
        return wrong("use letters, digits, `-`, `_` and `.`, and begin with a letter or digit");
    }
    if files::looks_like_file(Utf8Path::new(name)) {
        return wrong("it looks like a file's");
    }
    Ok(())
}

/// A certificate that signs itself, and its key, in PEM.
fn make(name: &str) -> Result<(String, zeroize::Zeroizing<String>), IdentityError> {
    fn failed(error: impl std::fmt::Display) -> IdentityError {
        IdentityError::Make(error.to_string())
    }
    let key = rsa::RsaPrivateKey::new(&mut OsRng, BITS).map_err(failed)?;
    let pem = key.to_pkcs8_pem(pkcs8::LineEnding::LF).map_err(failed)?;
    let pair =
        InMemorySigningKeyPair::from_pkcs8_der(key.to_pkcs8_der().map_err(failed)?.as_bytes()).map_err(failed)?;
    let mut builder = X509CertificateBuilder::default();
    builder
        .subject()
        .append_common_name_utf8_string(&format!("{COMMON_NAME} ({name})"))
        .map_err(|_| failed("its name"))?;
    // Signatures name their certificate by issuer and number, and two machines may use one name.
    builder.serial_number((OsRng.next_u64() >> 1 | 1).cast_signed());
    builder.validity_duration(chrono::Duration::days(DAYS));
    builder.constraint_not_ca();
    builder.key_usage(KeyUsage::DigitalSignature);
    builder.add_extension_der_data(Oid(EXTENDED_KEY_USAGE.to_vec().into()), true, CODE_SIGNING);
    let certificate = builder.create_with_key_pair(&pair).map_err(failed)?;
    Ok((certificate.encode_pem(), pem))
}
