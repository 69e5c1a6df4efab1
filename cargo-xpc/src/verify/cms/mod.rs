//! The CMS signature of code: who signed, over what, with which certificates, and when.
//!
//! The signature is over the first code directory. Signed attributes of Apple's own repeat the hashes of all of them, so that the others
//! are covered too; older systems look at the first one alone. Nothing here asks whether a signer deserves trust: an Apple root is named
//! as such, and so is anything else.

mod ber;
mod message;
mod timestamp;

use der::asn1::ObjectIdentifier;
use der::{Any, Decode as _, Encode as _, Reader as _, SliceReader};
use plist::Value;

use self::message::Message;
use super::certificate::{CODE_SIGNING, Certificate, Chain, is_apple_root};
use super::report::{Anchor, CertificateInfo, Severity, Signer, What};
use super::time;
use crate::macho::{CodeDirectory, HashKind};
use crate::property_list;

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");
/// A property list with the hashes of all code directories, cut to 20 bytes.
const HASH_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.9.1");
/// The full hashes, each with its algorithm.
const HASHES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.9.2");

/// A CMS signature, read.
#[derive(Debug)]
pub(super) struct Authority {
    /// For the report.
    pub signer: Signer,
    pub chain: Chain,
    pub remarks: Vec<Remark>,
}

/// What is not as it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Remark {
    pub severity: Severity,
    pub what: What,
    pub expected: String,
    pub found: String,
}

/// Reads the CMS signature on `directories`, each with its blob, the first of them first.
pub(super) fn read(bytes: &[u8], directories: &[(&CodeDirectory, &[u8])]) -> Result<Authority, String> {
    let message = Message::parse(bytes)?;
    let (_, first) = directories.first().ok_or("there is no code directory")?;
    let mut remarks = Vec::new();
    let mut remark = |severity, what, expected: &str, found: String| {
        remarks.push(Remark { severity, what, expected: expected.to_owned(), found });
    };
    let mut find = |what, expected: &str, found| remark(Severity::Error, what, expected, found);
    if message.trailing > 0 {
        find(What::UnsealedBytes, "nothing after the CMS signature", format!("{} bytes", message.trailing));
    }
    if message.content_type() != DATA {
        find(What::CmsBroken, "", format!("it is over content of type {}", message.content_type()));
    }
    if message.content()?.is_some_and(|content| content != *first) {
        find(What::CmsBroken, "the code directory", "it carries something else".to_owned());
    }
    let (chain, broken) = message.chain()?;
    let leaf = chain.certificates.first().ok_or("the signer's certificate is not in it")?;
    for problem in message.problems(leaf, first)? {
        find(What::CmsBroken, "", problem);
    }
    for (expected, found) in hash_problems(&message, directories) {
        find(What::CmsDirectories, &expected, found);
    }
    let stamp = match timestamp::read(&message) {
        Ok(stamp) => stamp,
        Err(problem) => {
            find(What::TimestampUnsound, "", problem);
            None
        }
    };
    for problem in stamp.iter().flat_map(|stamp| &stamp.problems) {
        find(What::TimestampUnsound, "", problem.clone());
    }
    let signing_time = message.signed(SIGNING_TIME).and_then(<[Any]>::first).and_then(instant);
    let at = stamp.as_ref().map(|stamp| stamp.seconds).or(signing_time);
    for problem in message.repeated() {
        find(What::CmsBroken, "", problem);
    }
    let not_apples = |stamp: &&timestamp::Stamp| [Anchor::SelfSigned, Anchor::Private].contains(&stamp.info.anchor);
    if let Some(stamp) = stamp.as_ref().filter(|_| anchor(&chain) == Anchor::Apple).filter(not_apples) {
        let expected = "a time stamp below a root of Apple's, as the signature is";
        find(What::TimestampUnsound, expected, stamp.info.authority.clone());
    }
    for problem in broken.into_iter().chain(chain.problems(CODE_SIGNING)) {
        find(What::CertificateUnsound, "", problem);
    }
    // As codesign has it: a date that only the signer says is not held against him, unless it is told to mind the dates.
    let weight = if stamp.is_some() { Severity::Error } else { Severity::Warning };
    for problem in at.iter().flat_map(|at| chain.out_of_time(*at)) {
        remark(weight, What::CertificateOutOfTime, "", problem);
    }
    // Nothing covers what stands outside of the signed attributes, and macOS takes certificates as hints.
    let mut warn = |what, expected: &str, found| remark(Severity::Warning, what, expected, found);
    for name in message.unused(&chain) {
        warn(What::CertificateUnused, "", name);
    }
    for name in stamp.iter().flat_map(|stamp| &stamp.unused) {
        warn(What::CertificateUnused, "", format!("{name}, of the time stamp"));
    }
    for (due, found) in message.misversioned() {
        warn(What::UnsealedBytes, &due, found);
    }
    for (due, found) in stamp.iter().flat_map(|stamp| &stamp.misversioned) {
        warn(What::UnsealedBytes, &format!("{due} of the time stamp"), found.clone());
    }
    for kind in message.unsigned_kinds().into_iter().filter(|kind| *kind != timestamp::TOKEN) {
        warn(What::UnsealedBytes, "no attributes but the time stamp", format!("one of kind {kind}"));
    }
    let signer = Signer {
        common_name: leaf.subject("subject.CN"),
        team_id: leaf.subject("subject.OU"),
        anchor: anchor(&chain),
        chain: chain.certificates.iter().map(describe).collect(),
        signing_time: signing_time.map(time::iso),
        timestamp: stamp.map(|stamp| stamp.info),
    };
    Ok(Authority { signer, chain, remarks })
}

/// What a message carries, whose signature holds, whoever made it.
pub(super) fn signed_content(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let message = Message::parse(bytes)?;
    let content = message.content()?.ok_or("it is empty")?;
    let (chain, _) = message.chain()?;
    let leaf = chain.certificates.first().ok_or("the signer's certificate is not in it")?;
    match message.problems(leaf, &content)?.pop() {
        Some(problem) => Err(problem),
        None => Ok(content),
    }
}

/// The time in an attribute, in seconds since 1970.
fn instant(value: &Any) -> Option<i64> {
    let time = x509_cert::time::Time::from_der(&value.to_der().ok()?).ok()?;
    Some(time::seconds_of(time.to_date_time()))
}

fn anchor(chain: &Chain) -> Anchor {
    match chain.root() {
        None => Anchor::Incomplete,
        Some(root) if is_apple_root(root) => Anchor::Apple,
        Some(_) if chain.certificates.len() == 1 => Anchor::SelfSigned,
        Some(_) => Anchor::Private,
    }
}

fn describe(certificate: &Certificate) -> CertificateInfo {
    let (from, to) = certificate.validity();
    CertificateInfo {
        subject: certificate.name(),
        sha256: certificate.sha256().iter().map(|byte| format!("{byte:02x}")).collect(),
        not_before: time::iso(from),
        not_after: time::iso(to),
    }
}

/// What Apple's attributes say otherwise about the code directories: expected and found.
fn hash_problems(message: &Message, directories: &[(&CodeDirectory, &[u8])]) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let list = message.signed(HASH_LIST);
    let table = message.signed(HASHES);
    if directories.len() > 1 && list.is_none() && table.is_none() {
        // Then nobody signed any but the first.
        problems.push(("the hashes of all code directories".to_owned(), "none".to_owned()));
    }
    if let Some(values) = list {
        let listed = values.first().filter(|_| values.len() == 1).and_then(hash_list);
        // In the order of their numbers.
        let mut found: Vec<_> = directories.iter().map(|(it, _)| (it.hash.number(), it.cdhash.0.to_vec())).collect();
        found.sort_unstable();
        let found: Vec<Vec<u8>> = found.into_iter().map(|(_, hash)| hash).collect();
        if listed.as_ref() != Some(&found) {
            let listed = listed.map_or_else(|| "a list that cannot be read".to_owned(), |listed| hex(&listed));
            problems.push((listed, hex(&found)));
        }
    }
    if let Some(values) = table {
        let mut seen = Vec::new();
        for value in values {
            let Some((oid, hash)) = hash_pair(value) else {
                problems.push(("hashes with their algorithms".to_owned(), "what cannot be read".to_owned()));
                continue;
            };
            let due = directories.iter().find(|(directory, _)| algorithm(directory.hash) == oid);
            let found = due.map(|(directory, blob)| full_hash(directory.hash, blob));
            if found.as_ref() != Some(&hash) {
                problems.push((hex(&[hash]), found.map_or_else(|| "none".to_owned(), |found| hex(&[found]))));
            }
            seen.push(oid);
        }
        for (directory, blob) in directories {
            let oid = algorithm(directory.hash).to_string();
            if !seen.contains(&oid) {
                problems.push((format!("a hash of kind {oid}"), hex(&[full_hash(directory.hash, blob)])));
            }
        }
    }
    problems
}

fn hash_list(value: &Any) -> Option<Vec<Vec<u8>>> {
    let list = property_list::read(value.value()).ok()?;
    let hashes = list.get("cdhashes")?.as_array()?;
    hashes.iter().map(|hash| Value::as_data(hash).map(<[u8]>::to_vec)).collect()
}

fn hash_pair(value: &Any) -> Option<(String, Vec<u8>)> {
    let mut reader = SliceReader::new(value.value()).ok()?;
    let oid = ObjectIdentifier::decode(&mut reader).ok()?;
    let hash = der::asn1::OctetString::decode(&mut reader).ok()?;
    reader.is_finished().then(|| (oid.to_string(), hash.as_bytes().to_vec()))
}

/// A directory's hash in full: the truncated kind is cut in the directory's own slots alone.
fn full_hash(kind: HashKind, blob: &[u8]) -> Vec<u8> {
    match kind {
        HashKind::Sha256Truncated => HashKind::Sha256.digest(blob),
        other => other.digest(blob),
    }
}

fn algorithm(kind: HashKind) -> &'static str {
    match kind {
        HashKind::Sha1 => "1.3.14.3.2.26",
        HashKind::Sha256 | HashKind::Sha256Truncated => "2.16.840.1.101.3.4.2.1",
        HashKind::Sha384 => "2.16.840.1.101.3.4.2.2",
    }
}

fn hex(hashes: &[Vec<u8>]) -> String {
    let hash = |hash: &Vec<u8>| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    hashes.iter().map(hash).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
