//! A signed message (`SignedData` of RFC 5652) with one signer, whether of code or of a time stamp.

use cms::cert::CertificateChoices;
use cms::cert::x509::attr::Attribute;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::revocation::RevocationInfoChoice;
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use der::asn1::{ObjectIdentifier, OctetString};
use der::{Any, Decode as _, Encode as _, Reader as _, SliceReader, Tag, TagNumber};

use super::{DATA, ber};
use crate::verify::certificate::{Certificate, Chain, MAX_CERTIFICATES, is_named, key_identifier};
use crate::verify::key::{self, Hash, Held};

/// A signature with its certificates takes about ten kilobytes.
const MAX_SIZE: usize = 1 << 20;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");

/// A message, read and not yet judged.
pub(super) struct Message {
    data: SignedData,
    signer: SignerInfo,
    hash: Hash,
    certificates: Vec<Certificate>,
    /// Bytes after the message.
    pub trailing: usize,
}

impl Message {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_SIZE {
            return Err(format!("it is larger than {MAX_SIZE} bytes"));
        }
        let (der, length) = ber::to_der(bytes)?;
        let text = |error: der::Error| error.to_string();
        let content = ContentInfo::from_der(&der).map_err(text)?;
        if content.content_type != SIGNED_DATA {
            return Err("it is no signed message".to_owned());
        }
        let data: SignedData = content.content.decode_as().map_err(text)?;
        let [signer] = data.signer_infos.0.as_slice() else {
            return Err(format!("it has {} signers", data.signer_infos.0.len()));
        };
        let hash = Hash::of(&signer.digest_alg);
        let hash = hash.ok_or_else(|| format!("its hash {} is not known here", signer.digest_alg.oid))?;
        let (signer, certificates) = (signer.clone(), certificates(&der)?);
        Ok(Self { data, signer, hash, certificates, trailing: bytes.len() - length })
    }

    /// What the message is said to be.
    pub(super) fn content_type(&self) -> ObjectIdentifier {
        self.data.encap_content_info.econtent_type
    }

    /// Where the version of the message, or of its signer, is not what their content asks for (RFC 5652, 5.1 and 5.3), as Apple's always
    /// is: what is due, and what is said. Nothing covers either.
    pub(super) fn misversioned(&self) -> Vec<(String, String)> {
        let signer = match self.signer.sid {
            SignerIdentifier::IssuerAndSerialNumber(_) => CmsVersion::V1,
            SignerIdentifier::SubjectKeyIdentifier(_) => CmsVersion::V3,
        };
        let certificates = self.data.certificates.iter().flat_map(|set| set.0.iter());
        let lists = self.data.crls.iter().flat_map(|set| set.0.iter());
        let others = certificates.filter(|it| matches!(it, CertificateChoices::Other(_))).count()
            + lists.filter(|it| matches!(it, RevocationInfoChoice::Other(_))).count();
        let data = match self.content_type() == DATA && signer == CmsVersion::V1 {
            _ if others > 0 => CmsVersion::V5,
            true => CmsVersion::V1,
            false => CmsVersion::V3,
        };
        let pairs = [(data, self.data.version, "message"), (signer, self.signer.version, "signer")];
        let wrong = pairs.into_iter().filter(|(due, found, _)| due != found);
        wrong.map(|(due, found, of)| (format!("{due:?} of the {of}"), format!("{found:?}"))).collect()
    }

    /// What is in the message; signatures of code leave it out.
    pub(super) fn content(&self) -> Result<Option<Vec<u8>>, String> {
        let Some(content) = &self.data.encap_content_info.econtent else { return Ok(None) };
        let bytes: OctetString = content.decode_as().map_err(|error| error.to_string())?;
        Ok(Some(bytes.into_bytes()))
    }

    pub(super) fn signature(&self) -> &[u8] {
        self.signer.signature.as_bytes()
    }

    /// The values of a signed attribute; `None` where there is none.
    pub(super) fn signed(&self, oid: ObjectIdentifier) -> Option<&[Any]> {
        values(self.signer.signed_attrs.as_ref()?.as_slice(), oid)
    }

    /// The values of an attribute that the signature does not cover.
    pub(super) fn unsigned(&self, oid: ObjectIdentifier) -> Option<&[Any]> {
        values(self.signer.unsigned_attrs.as_ref()?.as_slice(), oid)
    }

    /// The kinds of attributes that the signature does not cover.
    pub(super) fn unsigned_kinds(&self) -> Vec<ObjectIdentifier> {
        let attributes = self.signer.unsigned_attrs.as_ref().map(|attributes| attributes.as_slice());
        attributes.unwrap_or_default().iter().map(|attribute| attribute.oid).collect()
    }

    /// Attributes that are there twice, or have two values where one is due: which one counts would depend on who reads.
    pub(super) fn repeated(&self) -> Vec<String> {
        let sets = [&self.signer.signed_attrs, &self.signer.unsigned_attrs];
        let mut problems = Vec::new();
        for set in sets.into_iter().flatten() {
            let mut kinds: Vec<_> = set.iter().map(|attribute| attribute.oid).collect();
            kinds.sort_unstable();
            let twice = kinds.windows(2).filter(|pair| pair[0] == pair[1]);
            problems.extend(twice.map(|pair| format!("it has two attributes of kind {}", pair[0])));
        }
        problems
    }

    /// The names of the certificates that stand in no chain.
    pub(super) fn unused(&self, chain: &Chain) -> Vec<String> {
        let used: Vec<_> = chain.certificates.iter().map(Certificate::sha256).collect();
        self.certificates.iter().filter(|it| !used.contains(&it.sha256())).map(Certificate::name).collect()
    }

    /// The certificate whose key is said to have signed.
    fn leaf(&self) -> Option<&Certificate> {
        self.certificates.iter().find(|certificate| match &self.signer.sid {
            SignerIdentifier::IssuerAndSerialNumber(name) => is_named(certificate, &name.issuer, &name.serial_number),
            SignerIdentifier::SubjectKeyIdentifier(key) => {
                key_identifier(certificate).is_some_and(|found| found == key.0.as_bytes())
            }
        })
    }

    /// The signer's chain, and what does not hold in it.
    pub(super) fn chain(&self) -> Result<(Chain, Vec<String>), String> {
        let leaf = self.leaf().ok_or("the signer's certificate is not in it")?;
        Ok(Chain::build(leaf.clone(), &self.certificates))
    }

    /// What does not hold in the signature of `signer` on `content`.
    pub(super) fn problems(&self, signer: &Certificate, content: &[u8]) -> Result<Vec<String>, String> {
        let mut problems = Vec::new();
        if !self.data.digest_algorithms.iter().any(|algorithm| Hash::of(algorithm) == Some(self.hash)) {
            problems.push("its hash is not among those that it announces".to_owned());
        }
        let signed = match &self.signer.signed_attrs {
            None => content.to_vec(),
            Some(attributes) => {
                let digest = self.hash.digest(content);
                match self.signed(MESSAGE_DIGEST) {
                    Some([value]) if value.value() == digest => {}
                    Some(_) => problems.push("it is over something else".to_owned()),
                    None => problems.push("it does not say what it is over".to_owned()),
                }
                let kind = self.signed(CONTENT_TYPE).map(|values| values.iter().map(Any::decode_as).collect());
                if kind != Some(Ok(vec![self.content_type()])) {
                    problems.push("it is over content of another type than it carries".to_owned());
                }
                attributes.to_der().map_err(|error| error.to_string())?
            }
        };
        let key = &signer.inner.tbs_certificate.subject_public_key_info;
        let algorithm = &self.signer.signature_algorithm;
        match key::verify(key, algorithm, Some(self.hash), &signed, self.signature()) {
            Held::Holds => {}
            Held::Broken => problems.push(format!("it is not by the key of `{}`", signer.name())),
            Held::Unknown(what) => problems.push(format!("it is made with {what}, not known here")),
        }
        Ok(problems)
    }
}

fn values(attributes: &[Attribute], oid: ObjectIdentifier) -> Option<&[Any]> {
    attributes.iter().find(|attribute| attribute.oid == oid).map(|attribute| attribute.values.as_slice())
}

/// The certificates of a message, by the very bytes that they stand there in: `cms` would give them decoded.
fn certificates(message: &[u8]) -> Result<Vec<Certificate>, String> {
    let mut found = Vec::new();
    let fields = |bytes: &[u8]| -> der::Result<Vec<Vec<u8>>> {
        let any = Any::from_der(bytes)?;
        let mut reader = SliceReader::new(any.value())?;
        let mut parts = Vec::new();
        while !reader.is_finished() {
            parts.push(reader.tlv_bytes()?.to_vec());
        }
        Ok(parts)
    };
    let text = |error: der::Error| error.to_string();
    let info = fields(message).map_err(text)?;
    let explicit = info.get(1).ok_or("it is empty")?;
    let data = fields(explicit).map_err(text)?;
    let tag = |bytes: &[u8]| bytes.first().copied();
    let set = Tag::ContextSpecific { constructed: true, number: TagNumber::N0 }.octet();
    for part in fields(data.first().ok_or("it is empty")?).map_err(text)? {
        if tag(&part) != Some(set) {
            continue;
        }
        for certificate in fields(&part).map_err(text)? {
            if tag(&certificate) == Some(Tag::Sequence.octet()) {
                found.push(Certificate::parse(&certificate)?);
            }
            if found.len() > MAX_CERTIFICATES {
                return Err(format!("it has more than {MAX_CERTIFICATES} certificates"));
            }
        }
    }
    Ok(found)
}
