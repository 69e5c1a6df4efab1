//! Secure time stamps (RFC 3161): a server confirms that a signature existed at a time, so that it outlives its certificate.

use std::time::Duration;

use apple_codesign::{AppleCodesignError, MachOSigner, SigningSettings};
use camino::Utf8Path;
use cryptographic_message_syntax::{CmsError, TimeStampError};

use super::{Identity, SignError};

/// How long to wait before each attempt but the first: servers that are busy ask for no more.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];

/// Whether what `identity` signs can be stamped by the server at `url`; nobody is asked yet.
///
/// # Errors
/// Where the signature would be ad hoc, or the URL is none of a web server.
pub fn check_timestamp(identity: &Identity, url: Option<&str>) -> Result<(), SignError> {
    let Some(url) = url else { return Ok(()) };
    if identity.signer().is_none() {
        return Err(SignError::TimeStampAdHoc);
    }
    let web = url.starts_with("http://") || url.starts_with("https://");
    if web && SigningSettings::default().set_time_stamp_url(url).is_ok() {
        return Ok(());
    }
    Err(SignError::TimeStampUrl { url: url.to_owned() })
}

/// Signs `data`. Where that asks for a time stamp and the server fails, it is asked again, and the error is about the server.
pub(super) fn sign(data: &[u8], settings: &SigningSettings<'_>, path: &Utf8Path) -> Result<Vec<u8>, SignError> {
    let failed = |error| SignError::signer(path, error);
    let signer = MachOSigner::new(data).map_err(failed)?;
    let mut signed = Vec::with_capacity(data.len() + (1 << 17));
    let Some(url) = settings.time_stamp_url() else {
        signer.write_signed_binary(settings, &mut signed).map_err(failed)?;
        return Ok(signed);
    };
    let mut pauses = PAUSES.iter();
    loop {
        signed.clear();
        let error = match signer.write_signed_binary(settings, &mut signed) {
            Ok(()) => return Ok(signed),
            Err(AppleCodesignError::SignatureDataTooLarge) => {
                "its time stamp is larger than a signature has room for".to_owned()
            }
            Err(AppleCodesignError::Cms(CmsError::TimeStampProtocol(error))) => {
                let refused = matches!(error, TimeStampError::Unsuccessful(_));
                if let (false, Some(pause)) = (refused, pauses.next()) {
                    std::thread::sleep(*pause);
                    continue;
                }
                describe(&error)
            }
            Err(other) => return Err(failed(other)),
        };
        return Err(SignError::TimeStamp { url: url.to_string(), path: path.to_owned(), why: error });
    }
}

fn describe(error: &TimeStampError) -> String {
    match error {
        // Its text has the whole answer in it.
        TimeStampError::Unsuccessful(answer) => format!("it refused: {:?}", answer.status.status),
        TimeStampError::Http(_) => "it answered with something else than a time stamp".to_owned(),
        TimeStampError::Reqwest(error) => {
            let mut causes: Vec<String> = vec![error.to_string()];
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                causes.push(cause.to_string());
                source = cause.source();
            }
            // Outside stand the URL, which is named already, and the layers of a library.
            let inner = causes.len().saturating_sub(2).max(1).min(causes.len() - 1);
            causes[inner..].join(": ")
        }
        other => other.to_string(),
    }
}
