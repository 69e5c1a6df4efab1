//! Requirements as blobs: operators in Polish notation, numbers in big-endian, strings padded to four bytes.

use super::{Budget, DateMatch, Expr, MAX_SIZE, Match, Purpose, Requirement, RequirementError, TextMatch};

/// `CSMAGIC_REQUIREMENT`.
pub(super) const MAGIC: u32 = 0xfade_0c00;
/// `CSMAGIC_REQUIREMENTS`.
const SET_MAGIC: u32 = 0xfade_0c01;
/// More purposes than there are.
const MAX_SET: u32 = 32;
/// The one form of a requirement whose content is an expression.
const EXPRESSION_FORM: u32 = 1;

/// What a reader that does not know an operation is to do: each such operation carries its size.
const FLAG_MASK: u32 = 0xff00_0000;
const GENERIC_FALSE: u32 = 0x8000_0000;
const GENERIC_SKIP: u32 = 0x4000_0000;

fn damaged(what: impl Into<String>) -> RequirementError {
    RequirementError::Blob(what.into())
}

/// A set of requirements with its header, which is what the slot of a signature holds.
pub(in crate::verify) fn read_set(blob: &[u8]) -> Result<Vec<(Purpose, Requirement)>, RequirementError> {
    let mut reader = Reader::open(blob, SET_MAGIC)?;
    let count = reader.number()?;
    if count > MAX_SET {
        return Err(damaged(format!("a set of {count}")));
    }
    let mut set = Vec::new();
    for _ in 0..count {
        let purpose = match reader.number()? {
            1 => Purpose::Host,
            2 => Purpose::Guest,
            3 => Purpose::Designated,
            4 => Purpose::Library,
            5 => Purpose::Plugin,
            other => Purpose::Other(other),
        };
        let start = reader.number()? as usize;
        let rest = blob.get(start..).ok_or_else(|| damaged("a part outside of the set"))?;
        let length = Reader { rest: rest.get(4..).unwrap_or_default() }.number()? as usize;
        let part = rest.get(..length).ok_or_else(|| damaged("a part that is longer than the set"))?;
        if set.iter().any(|(other, _)| *other == purpose) {
            return Err(damaged("two requirements for one purpose"));
        }
        set.push((purpose, Requirement::from_blob(part)?));
    }
    Ok(set)
}

pub(super) fn requirement(blob: &[u8]) -> Result<Expr, RequirementError> {
    if blob.len() > MAX_SIZE {
        return Err(RequirementError::TooLarge);
    }
    let mut reader = Reader::open(blob, MAGIC)?;
    let form = reader.number()?;
    if form != EXPRESSION_FORM {
        return Err(damaged(format!("form {form}, which is no expression")));
    }
    let expr = reader.expression(&mut Budget::default())?;
    if reader.rest.is_empty() { Ok(expr) } else { Err(damaged("bytes after its end")) }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Checks magic and length; what follows them is left to read.
    fn open(blob: &'a [u8], magic: u32) -> Result<Self, RequirementError> {
        let mut reader = Self { rest: blob };
        let found = reader.number()?;
        if found != magic {
            return Err(damaged(format!("it begins with {found:#010x}")));
        }
        if reader.number()? as usize != blob.len() {
            return Err(damaged("its length is not the one that it states"));
        }
        Ok(reader)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], RequirementError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| damaged("it is cut short"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, RequirementError> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A certificate's slot.
    fn slot(&mut self) -> Result<i32, RequirementError> {
        Ok(self.number()?.cast_signed())
    }

    fn data(&mut self) -> Result<Vec<u8>, RequirementError> {
        let length = self.number()? as usize;
        let padded = length.checked_next_multiple_of(4).ok_or_else(|| damaged("it is cut short"))?;
        let data = self.take(padded)?;
        if data[length..].iter().any(|byte| *byte != 0) {
            return Err(damaged("its padding is not empty"));
        }
        Ok(data[..length].to_vec())
    }

    fn expression(&mut self, budget: &mut Budget) -> Result<Expr, RequirementError> {
        budget.take()?;
        let operation = self.number()?;
        Ok(match operation & !FLAG_MASK {
            0 => Expr::Never,
            1 => Expr::Always,
            2 => Expr::Identifier(self.data()?),
            3 => Expr::AppleAnchor,
            4 => Expr::CertificateHash(self.slot()?, self.data()?),
            5 => {
                // The form before there were other comparisons.
                let key = self.data()?;
                Expr::Info(key, Match::Text(TextMatch::Equal, self.data()?))
            }
            6 => Expr::And(Box::new(self.expression(budget)?), Box::new(self.expression(budget)?)),
            7 => Expr::Or(Box::new(self.expression(budget)?), Box::new(self.expression(budget)?)),
            8 => Expr::CdHash(self.data()?),
            9 => Expr::Not(Box::new(self.expression(budget)?)),
            10 => Expr::Info(self.data()?, self.suffix()?),
            11 => Expr::CertificateSubject(self.slot()?, self.data()?, self.suffix()?),
            12 => Expr::TrustedCertificate(self.slot()?),
            13 => Expr::TrustedAnchor,
            14 => Expr::CertificateField(self.slot()?, self.data()?, self.suffix()?),
            15 => Expr::AppleGenericAnchor,
            16 => Expr::Entitlement(self.data()?, self.suffix()?),
            17 => Expr::CertificatePolicy(self.slot()?, self.data()?, self.suffix()?),
            18 => Expr::NamedAnchor(self.data()?),
            19 => Expr::NamedCode(self.data()?),
            20 => Expr::Platform(self.slot()?),
            21 => Expr::Notarized,
            22 => Expr::CertificateDate(self.slot()?, self.data()?, self.suffix()?),
            23 => Expr::LegacyDeveloperId,
            unknown if operation & (GENERIC_FALSE | GENERIC_SKIP) != 0 => {
                self.data()?;
                if operation & GENERIC_FALSE != 0 { Expr::UnknownFalse(unknown) } else { self.expression(budget)? }
            }
            unknown => return Err(damaged(format!("operation {unknown}, which this version does not know"))),
        })
    }

    /// What is asked of the value before it.
    fn suffix(&mut self) -> Result<Match, RequirementError> {
        let text = |operation, reader: &mut Self| Ok(Match::Text(operation, reader.data()?));
        match self.number()? {
            0 => Ok(Match::Exists),
            1 => text(TextMatch::Equal, self),
            2 => text(TextMatch::Contains, self),
            3 => text(TextMatch::BeginsWith, self),
            4 => text(TextMatch::EndsWith, self),
            5 => text(TextMatch::Less, self),
            6 => text(TextMatch::Greater, self),
            7 => text(TextMatch::LessEqual, self),
            8 => text(TextMatch::GreaterEqual, self),
            number @ 9..=13 => {
                let seconds = (u64::from(self.number()?) << 32 | u64::from(self.number()?)).cast_signed();
                let operation = match number {
                    9 => DateMatch::On,
                    10 => DateMatch::Before,
                    11 => DateMatch::After,
                    12 => DateMatch::OnOrBefore,
                    _ => DateMatch::OnOrAfter,
                };
                Ok(Match::Date(operation, seconds))
            }
            14 => Ok(Match::Absent),
            unknown => {
                // Apple's reader takes one argument to follow, so that what comes next is read right.
                self.data()?;
                Ok(Match::Unknown(unknown))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds blobs for the tests of this room.
    pub(in crate::verify::requirement) fn blob(magic: u32, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        [&magic.to_be_bytes()[..], &(body.len() as u32 + 8).to_be_bytes(), &body].concat()
    }

    fn number(value: u32) -> [u8; 4] {
        value.to_be_bytes()
    }

    fn string(text: &[u8]) -> Vec<u8> {
        let mut bytes = [&number(text.len() as u32)[..], text].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn read(parts: &[&[u8]]) -> Result<String, RequirementError> {
        let form = number(1);
        let parts = [&[&form[..]], parts].concat();
        Requirement::from_blob(&blob(MAGIC, &parts)).map(|requirement| requirement.to_string())
    }

    /// The designated requirement that Developer ID signatures carry.
    #[test]
    fn a_blob_reads_as_apple_prints_it() {
        let field = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x63, 0x64, 0x06, 0x02, 0x06];
        let parts: Vec<Vec<u8>> = vec![
            number(6).to_vec(),
            number(6).to_vec(),
            number(6).to_vec(),
            number(2).to_vec(),
            string(b"com.example.app"),
            number(15).to_vec(),
            number(14).to_vec(),
            number(1).to_vec(),
            string(&field),
            number(0).to_vec(),
            number(11).to_vec(),
            number(0).to_vec(),
            string(b"subject.OU"),
            number(1).to_vec(),
            string(b"AB12CD34EF"),
        ];
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        assert_eq!(
            read(&parts).unwrap(),
            "identifier \"com.example.app\" and anchor apple generic and \
             certificate 1[field.1.2.840.113635.100.6.2.6] /* exists */ and certificate leaf[subject.OU] = AB12CD34EF"
        );
        for length in 0..parts.concat().len() {
            assert!(read(&[&parts.concat()[..length]]).is_err(), "{length}");
        }
    }

    #[test]
    fn every_operation_is_read() {
        let (slot, key, exists) = (number(0xffff_ffff), string(b"key"), number(0));
        let read = |number: u32, rest: &[&[u8]]| read(&[&[&number.to_be_bytes()[..]], rest].concat()).unwrap();
        let hash = string(&[0xab; 20]);
        assert_eq!(read(0, &[]), "never");
        assert_eq!(read(1, &[]), "always");
        assert_eq!(read(3, &[]), "anchor apple");
        assert_eq!(read(4, &[&slot, &hash]), format!("certificate root = H\"{}\"", "ab".repeat(20)));
        assert_eq!(read(5, &[&key, &key]), "info[key] = key");
        assert_eq!(read(8, &[&hash]), format!("cdhash H\"{}\"", "ab".repeat(20)));
        assert_eq!(read(9, &[&number(0)]), "! never");
        assert_eq!(read(10, &[&key, &number(14)]), "info[key] absent");
        assert_eq!(read(12, &[&number(2)]), "certificate 2 trusted");
        assert_eq!(read(13, &[]), "anchor trusted");
        assert_eq!(read(16, &[&key, &number(8), &key]), "entitlement[key] >= key");
        assert_eq!(
            read(17, &[&slot, &string(&[0x2a, 0x03, 0x04]), &exists]),
            "certificate root[policy.1.2.3.4] /* exists */"
        );
        assert_eq!(read(18, &[&key]), "anchor apple key");
        assert_eq!(read(19, &[&key]), "(key)");
        assert_eq!(read(20, &[&number(13)]), "platform = 13");
        assert_eq!(read(21, &[]), "notarized");
        assert_eq!(read(23, &[]), "legacy");
        let date = [&number(10)[..], &number(0), &number(575_942_400)].concat();
        assert_eq!(
            read(22, &[&number(0), &string(&[0x2a, 0x03, 0x04]), &date]),
            "certificate leaf[timestamp.1.2.3.4] < timestamp \"20190403000000Z\""
        );
    }

    /// Blobs by another writer.
    #[test]
    fn what_apple_codesign_writes_is_read() {
        use apple_codesign::CodeRequirementExpression as E;
        use apple_codesign::CodeRequirementMatchExpression as M;
        let both = |a, b| E::And(Box::new(a), Box::new(b));
        let either = |a, b| E::Or(Box::new(a), Box::new(b));
        for (expression, printed) in [
            (
                both(E::Identifier("a.b".into()), either(E::AnchorApple, E::Notarized)),
                "identifier \"a.b\" and (anchor apple or notarized)",
            ),
            (E::Not(Box::new(both(E::True, E::False))), "! (always and never)"),
            (E::AnchorCertificateHash(-1, vec![7; 20].into()), &format!("certificate root = H\"{}\"", "07".repeat(20))),
            (
                E::CertificateField(0, "subject.CN".into(), M::BeginsWith("Apple".into())),
                "certificate leaf[subject.CN] = Apple*",
            ),
            (E::InfoPlistKeyField("a".into(), M::GreaterThanEqual("1.0".into())), "info[a] >= \"1.0\""),
            (E::EntitlementsKey("com.apple.x-y".into(), M::Exists), "entitlement[\"com.apple.x-y\"] /* exists */"),
        ] {
            let mut requirements = apple_codesign::CodeRequirements::default();
            requirements.push(expression);
            let body = requirements.to_blob_data().unwrap();
            assert_eq!(Requirement::from_blob(&body).unwrap().to_string(), printed);
        }
    }

    #[test]
    fn operations_of_later_systems_are_false_or_skipped_as_their_writer_says() {
        assert_eq!(read(&[&number(0x8000_0063), &string(b"abc")]).unwrap(), "false /* opcode 99 */");
        assert_eq!(read(&[&number(0x4000_0063), &string(b"abcd"), &number(1)]).unwrap(), "always");
        assert!(read(&[&number(0x63)]).unwrap_err().to_string().contains("operation 99"));
        assert!(read(&[&number(0x8000_0063), &number(u32::MAX)]).is_err());
    }

    #[test]
    fn a_deep_expression_is_refused_and_does_not_overflow_the_stack() {
        let deep = |levels: usize| read(&[&number(9).repeat(levels), &number(1)]);
        assert!(deep(100).is_ok());
        assert_eq!(deep(10_000), Err(RequirementError::TooLarge));
        assert_eq!(read(&[&[0; 100_000]]), Err(RequirementError::TooLarge));
    }

    #[test]
    fn a_set_is_read_by_purpose() {
        let inner = blob(MAGIC, &[&number(1), &number(1)]);
        let set = |purpose: u32, at: u32| blob(SET_MAGIC, &[&number(1), &number(purpose), &number(at), &inner]);
        let read = read_set(&set(3, 20)).unwrap();
        assert_eq!(read, [(Purpose::Designated, Requirement(Expr::Always))]);
        assert_eq!(read_set(&blob(SET_MAGIC, &[&number(0)])).unwrap(), []);
        for hostile in [
            set(3, 21),
            set(3, u32::MAX),
            blob(SET_MAGIC, &[&number(u32::MAX)]),
            blob(SET_MAGIC, &[]),
            blob(SET_MAGIC, &[&number(2), &number(3), &number(28), &number(3), &number(28), &inner]),
            set(3, 20)[..30].to_vec(),
        ] {
            assert!(read_set(&hostile).is_err());
        }
    }
}
