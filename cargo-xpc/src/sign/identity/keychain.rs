//! Identities in the keychain. The key never leaves it: the system makes the signatures.

use apple_codesign::{KeychainCertificate, KeychainDomain, keychain_find_code_signing_certificates};

use security_framework::item::{ItemClass, ItemSearchOptions, Limit, Reference, SearchResult};
use x509_certificate::CapturedX509Certificate;

use super::{IdentityError, Key, Signer, certificate};

/// Finds the identity whose common name or SHA-1 fingerprint is `wanted`.
pub(super) fn find(wanted: &str) -> Result<Signer, IdentityError> {
    let all = keychain_find_code_signing_certificates(KeychainDomain::User, None)
        .map_err(|error| IdentityError::Keychain(error.to_string()))?;
    let sha1 = |found: &KeychainCertificate| certificate::sha1(found);
    let list = |found: &[KeychainCertificate]| {
        found.iter().map(|it| format!("\n  {} {}", sha1(it), certificate::name(it))).collect::<String>()
    };
    let (mut found, rest): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|it| it.subject_common_name().as_deref() == Some(wanted) || sha1(it).eq_ignore_ascii_case(wanted));
    let source = format!("keychain:{wanted}");
    match found.len() {
        0 => Err(IdentityError::NotInKeychain { name: wanted.to_owned(), known: list(&rest) }),
        1 => {
            let key = found.swap_remove(0);
            Signer::new(key.as_captured_x509_certificate(), &certificates(), Key::Keychain(key), source)
        }
        _ => Err(IdentityError::Several { path: source.into(), identities: list(&found) }),
    }
}

/// Every certificate in the keychains: among them are those that vouch for the identity. What cannot be read vouches for nothing.
fn certificates() -> Vec<CapturedX509Certificate> {
    let found = ItemSearchOptions::new().class(ItemClass::certificate()).load_refs(true).limit(Limit::All).search();
    let read = |result| match result {
        SearchResult::Ref(Reference::Certificate(found)) => CapturedX509Certificate::from_der(found.to_der()).ok(),
        _ => None,
    };
    found.unwrap_or_default().into_iter().filter_map(read).collect()
}
