//! The time stamp on a signature (RFC 3161): somebody else's word on when it was there.

use der::asn1::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use x509_tsp::TstInfo;

use super::message::Message;
use super::{anchor, describe};
use crate::verify::certificate::TIME_STAMPING;
use crate::verify::key::Hash;
use crate::verify::report::Timestamp;
use crate::verify::time;

/// Where it stands, outside of what the signature covers: it is younger than the signature.
pub(super) const TOKEN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.14");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");

pub(super) struct Stamp {
    pub info: Timestamp,
    /// Seconds since 1970.
    pub seconds: i64,
    pub problems: Vec<String>,
    /// Certificates that it carries for nothing.
    pub unused: Vec<String>,
    /// Its versions that do not fit.
    pub misversioned: Vec<(String, String)>,
}

/// The time stamp on the signature of `message`, if there is one.
pub(super) fn read(message: &Message) -> Result<Option<Stamp>, String> {
    let Some(values) = message.unsigned(TOKEN) else { return Ok(None) };
    let [token] = values else { return Err(format!("{} time stamps", values.len())) };
    let token = token.to_der().map_err(|error| error.to_string())?;
    stamp(&token, message.signature()).map(Some)
}

fn stamp(token: &[u8], signature: &[u8]) -> Result<Stamp, String> {
    let token = Message::parse(token)?;
    if token.content_type() != TST_INFO {
        return Err(format!("it holds content of type {}", token.content_type()));
    }
    let content = token.content()?.ok_or("it is empty")?;
    let info = TstInfo::from_der(&content).map_err(|error| error.to_string())?;
    let imprint = &info.message_imprint;
    let hash = Hash::of(&imprint.hash_algorithm);
    let hash = hash.ok_or_else(|| format!("its hash {} is not known here", imprint.hash_algorithm.oid))?;
    let seconds = time::seconds_of(info.gen_time.to_date_time());
    let (chain, mut problems) = token.chain()?;
    if token.trailing > 0 {
        problems.push(format!("{} bytes after it", token.trailing));
    }
    if imprint.hashed_message.as_bytes() != hash.digest(signature) {
        problems.push("it is on another signature".to_owned());
    }
    let leaf = chain.certificates.first().ok_or("its signer's certificate is not in it")?;
    problems.extend(token.problems(leaf, &content)?);
    problems.extend(chain.out_of_time(seconds));
    problems.extend(chain.problems(TIME_STAMPING));
    let info = Timestamp {
        time: time::iso(seconds),
        authority: leaf.name(),
        anchor: anchor(&chain),
        chain: chain.certificates.iter().map(describe).collect(),
    };
    Ok(Stamp { info, seconds, problems, unused: token.unused(&chain), misversioned: token.misversioned() })
}
