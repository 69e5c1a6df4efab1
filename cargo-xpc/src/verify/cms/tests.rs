//! Messages made by another implementation (`tests/fixtures/cms/make.py`), sound and unsound.

use std::collections::BTreeSet;

use super::*;
use crate::macho::MachFile;

const TOOL: &[u8] = include_bytes!("../../../tests/fixtures/macho/tool-aarch64");

macro_rules! message {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/fixtures/cms/", $name, ".cms"))
    };
}

/// The message as a signature of the fixture's only code directory.
fn judge(message: &[u8]) -> Result<Authority, String> {
    let file = MachFile::parse(TOOL).unwrap();
    let signature = file.slices[0].read_signature(TOOL).unwrap().unwrap();
    let directories: Vec<_> = signature.directories.iter().map(|it| (it, signature.blob(it.slot).unwrap())).collect();
    read(message, &directories)
}

fn kinds(message: &[u8]) -> Vec<(What, String)> {
    let found = judge(message).unwrap().remarks;
    found.into_iter().map(|remark| (remark.what, remark.found)).collect()
}

fn names(chain: &[CertificateInfo]) -> Vec<&str> {
    chain.iter().map(|certificate| certificate.subject.as_str()).collect()
}

#[test]
fn a_sound_signature_says_who_and_when() {
    let authority = judge(message!("stamped")).unwrap();
    assert_eq!(authority.remarks, []);
    let signer = authority.signer;
    assert_eq!(signer.common_name.as_deref(), Some("Signer"));
    assert_eq!(signer.team_id.as_deref(), Some("TEAM"));
    assert_eq!((names(&signer.chain), signer.anchor), (vec!["Signer", "Root"], Anchor::Private));
    assert_eq!(signer.signing_time.as_deref(), Some("2024-05-06T07:08:09Z"));
    let stamp = signer.timestamp.clone().unwrap();
    assert_eq!((stamp.time.as_str(), stamp.authority.as_str()), ("2024-05-06T07:08:30Z", "Clock"));
    assert_eq!((names(&stamp.chain), stamp.anchor), (vec!["Clock", "Root"], Anchor::Private));
    assert_eq!(
        signer.to_string(),
        "Signer, team TEAM; below Root, which is not Apple's; time stamp 2024-05-06T07:08:30Z by Clock"
    );
}

#[test]
fn elliptic_keys_and_a_chain_without_its_root() {
    let authority = judge(message!("elliptic")).unwrap();
    assert_eq!(authority.remarks, []);
    assert_eq!(names(&authority.signer.chain), ["Elliptic Signer", "Elliptic Authority", "Elliptic Root"]);
    let authority = judge(message!("incomplete")).unwrap();
    assert_eq!((authority.remarks, authority.signer.anchor), (vec![], Anchor::Incomplete));
    assert_eq!(
        authority.signer.to_string(),
        "Elliptic Signer, team TEAM; below Elliptic Authority; without its root; no time stamp; signed \
         2024-05-06T07:08:09Z, says the signer"
    );
}

#[test]
fn what_does_not_hold_is_found() {
    let only = |message: &[u8], what: What, text: &str| {
        let found = kinds(message);
        assert!(found.len() == 1 && found[0].0 == what && found[0].1.contains(text), "{found:?}");
    };
    only(message!("expired"), What::CertificateOutOfTime, "`Expired` is valid from 2020-01-01T00:00:00Z to 2024-01-01");
    assert_eq!(judge(message!("expired")).unwrap().remarks[0].severity, Severity::Warning);
    only(message!("other-usage"), What::CertificateUnsound, "`Clock` is no certificate for signing code");
    only(
        message!("no-authority"),
        What::CertificateUnsound,
        "`No Authority` issued a certificate, and is no authority",
    );
    only(message!("too-long"), What::CertificateUnsound, "`Flat Root` may not have 1 authorities below it");
    let found = kinds(message!("misused")).into_iter().map(|(_, found)| found).collect::<Vec<_>>();
    assert_eq!(
        found,
        ["the key of `Reader` is not for signing certificates", "the key of `Misused` is not for signing"]
    );
    only(message!("other-list"), What::CmsDirectories, "");
    only(message!("other-hash"), What::CmsDirectories, "");
    only(message!("stamp-on-another"), What::TimestampUnsound, "it is on another signature");
    only(message!("stamp-by-signer"), What::TimestampUnsound, "`Signer` is no certificate for signing time stamps");
    assert_eq!(judge(message!("no-signer")).unwrap_err(), "the signer's certificate is not in it");
}

/// They follow from what is in the message, and no signature covers them.
#[test]
fn version_3_where_1_is_due_was_not_told() {
    let sound = message!("stamped");
    let token = sound.windows(11).position(|it| it == timestamp::TOKEN.as_bytes()).unwrap();
    let find = |bytes: &[u8], from: usize| from + bytes[from..].windows(3).position(|it| it[..2] == [2, 1]).unwrap();
    let (message, stamp) = (find(sound, 0), find(sound, token));
    let signer = sound[..token].windows(4).rposition(|it| it == [2, 1, 1, 0x30]).unwrap();
    for (at, due, told) in [
        (message, 1, "V1 of the message"),
        (signer, 1, "V1 of the signer"),
        (stamp, 3, "V3 of the message of the time stamp"),
    ] {
        assert_eq!(sound[at + 2], due, "{told}");
        for version in (0..=5).filter(|version| *version != due) {
            let mut changed = sound.to_vec();
            changed[at + 2] = version;
            let remarks = judge(&changed).unwrap().remarks;
            let told = Remark {
                severity: Severity::Warning,
                what: What::UnsealedBytes,
                expected: told.to_owned(),
                found: format!("V{version}"),
            };
            assert!(remarks.contains(&told), "{told:?}: {remarks:?}");
        }
    }
}

/// The message is over one directory, whatever it is put beside.
#[test]
fn a_signature_of_other_code_is_found() {
    let other = include_bytes!("../../../tests/fixtures/macho/libanswer-aarch64.dylib");
    let file = MachFile::parse(other).unwrap();
    let signature = file.slices[0].read_signature(other).unwrap().unwrap();
    let directory = &signature.directories[0];
    let blob = signature.blob(directory.slot).unwrap();
    let found = read(message!("stamped"), &[(directory, blob)]).unwrap().remarks;
    let kinds: Vec<_> = found.iter().map(|remark| remark.what).collect();
    assert_eq!(kinds, [What::CmsBroken, What::CmsDirectories, What::CmsDirectories]);
}

/// Which of two counted would depend on who reads.
#[test]
fn an_attribute_that_is_there_twice_was_read_by_the_first() {
    let found = kinds(message!("repeated"));
    assert_eq!(found, [(What::CmsBroken, "it has two attributes of kind 1.2.840.113549.1.9.5".to_owned())]);
}

/// Of a date that only the signer says nobody minds; of another's, macOS does.
#[test]
fn a_certificate_that_had_expired_by_the_time_stamp_was_a_warning() {
    let remarks = judge(message!("expired-stamped")).unwrap().remarks;
    let told: Vec<_> = remarks.iter().map(|remark| (remark.severity, remark.what)).collect();
    assert_eq!(told, [(Severity::Error, What::CertificateOutOfTime)]);
}

/// macOS compares the list as it stands, the directories in the order of their hashes' numbers.
#[test]
fn a_list_of_cdhashes_in_another_order_was_taken() {
    let file = MachFile::parse(TOOL).unwrap();
    let signature = file.slices[0].read_signature(TOOL).unwrap().unwrap();
    let first = (&signature.directories[0], signature.blob(0).unwrap());
    let mut old = signature.directories[0].clone();
    old.hash = HashKind::Sha1;
    old.cdhash.0 = [1; 20];
    let lists = |message: &[u8]| {
        let found = read(message, &[first, (&old, first.1)]).unwrap().remarks;
        found.iter().filter(|it| it.what == What::CmsDirectories && it.found.contains(", ")).count()
    };
    assert_eq!(lists(message!("in-order")), 0);
    assert_eq!(lists(message!("out-of-order")), 1);
}

/// A directory that the signature does not name was signed by nobody.
#[test]
fn every_directory_has_to_be_named() {
    let file = MachFile::parse(TOOL).unwrap();
    let signature = file.slices[0].read_signature(TOOL).unwrap().unwrap();
    let first = (&signature.directories[0], signature.blob(0).unwrap());
    let mut second = signature.directories[0].clone();
    second.hash = HashKind::Sha1;
    second.cdhash.0 = [1; 20];
    let found = read(message!("stamped"), &[first, (&second, first.1)]).unwrap().remarks;
    let kinds: Vec<_> = found.iter().map(|remark| remark.what).collect();
    assert_eq!(kinds, [What::CmsDirectories, What::CmsDirectories]);
}

#[test]
fn bytes_after_the_message_are_found() {
    let longer = [message!("elliptic").as_slice(), b"more"].concat();
    assert_eq!(kinds(&longer), [(What::UnsealedBytes, "4 bytes".to_owned())]);
}

#[test]
fn cut_short_it_is_unreadable() {
    let message = message!("stamped");
    for length in (0..message.len()).step_by(5) {
        assert!(judge(&message[..length]).is_err(), "{length}");
    }
}

/// One bit in every thirteenth byte. The last certificate's issuer may change without a finding: nobody's signature on it can be looked at
/// then, and the report says that the root is missing.
#[test]
fn a_flipped_bit_is_found() {
    let mut passed = BTreeSet::new();
    let mut tried = 0;
    for message in [message!("stamped").as_slice(), message!("elliptic")] {
        let anchors = |signer: &Signer| (signer.anchor, signer.timestamp.as_ref().map(|stamp| stamp.anchor));
        let sound = anchors(&judge(message).unwrap().signer);
        for at in (0..message.len()).step_by(13) {
            let mut changed = message.to_vec();
            changed[at] ^= 1 << (at % 7);
            tried += 1;
            if judge(&changed).is_ok_and(|it| it.remarks.is_empty() && anchors(&it.signer) == sound) {
                passed.insert(at);
            }
        }
    }
    assert!(tried > 450, "{tried}");
    assert!(passed.is_empty(), "{passed:?}");
}
