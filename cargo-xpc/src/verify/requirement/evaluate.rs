//! What a requirement says of one architecture of signed code.

use std::cmp::Ordering;
use std::iter::Peekable;

use plist::{Dictionary, Value};

use super::{DateMatch, Expr, Match, TextMatch};
use crate::macho::CdHash;
use crate::verify::certificate::{Certificate, is_apple_root};

/// Everything that a requirement may ask about.
#[derive(Debug)]
pub(in crate::verify) struct Code<'a> {
    pub identifier: &'a str,
    /// Of the code directory that counts.
    pub cdhash: CdHash,
    pub platform: u8,
    pub info: Option<&'a Dictionary>,
    pub entitlements: Option<&'a Dictionary>,
    /// From the signer up; empty where the signature is ad hoc.
    pub chain: &'a [Certificate],
    /// Whether the last of the chain is its root. Where it is not, nothing can be said of the root.
    pub is_complete: bool,
}

/// What a requirement says of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::verify) enum Truth {
    /// The code is meant.
    Satisfied,
    /// The code is not.
    Failed,
    /// It depends on what is not in the bundle; the text says on what.
    Undecided(String),
}

/// What would decide an undecided requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DecidedBy {
    TrustSettings,
    System,
    Notarization,
    Root,
}

impl DecidedBy {
    fn text(self) -> &'static str {
        match self {
            Self::TrustSettings => "the trust settings of a Mac decide it",
            Self::System => "files of macOS decide it",
            Self::Notarization => "Apple's records of notarized code decide it",
            Self::Root => "the signature does not carry the root of its certificates",
        }
    }
}

/// Three-valued: an operand that is not known matters only where the others do not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value3 {
    Yes,
    No,
    Unknown(DecidedBy),
}

use Value3::{No, Unknown, Yes};

impl From<bool> for Value3 {
    fn from(is: bool) -> Self {
        if is { Yes } else { No }
    }
}

pub(super) fn evaluate(expr: &Expr, code: &Code<'_>) -> Truth {
    match value(expr, code) {
        Yes => Truth::Satisfied,
        No => Truth::Failed,
        Unknown(by) => Truth::Undecided(by.text().to_owned()),
    }
}

fn value(expr: &Expr, code: &Code<'_>) -> Value3 {
    match expr {
        Expr::Never | Expr::UnknownFalse(_) => No,
        Expr::Always => Yes,
        Expr::Identifier(name) => (name == code.identifier.as_bytes()).into(),
        Expr::AppleGenericAnchor => apple_anchored(code),
        Expr::AppleAnchor => match apple_anchored(code) {
            Yes => apple_intermediate(code).into(),
            other => other,
        },
        Expr::NamedAnchor(_) | Expr::NamedCode(_) => Unknown(DecidedBy::System),
        // Without a certificate there is nothing to trust.
        Expr::TrustedAnchor | Expr::TrustedCertificate(_) if code.chain.is_empty() => No,
        Expr::TrustedAnchor => Unknown(DecidedBy::TrustSettings),
        Expr::TrustedCertificate(slot) => of_certificate(code, *slot, |_| Yes).and(Unknown(DecidedBy::TrustSettings)),
        Expr::CertificateHash(slot, hash) => {
            of_certificate(code, *slot, |certificate| (certificate.sha1().as_slice() == hash.as_slice()).into())
        }
        Expr::CertificateSubject(slot, key, asked) => of_certificate(code, *slot, |certificate| {
            let value = std::str::from_utf8(key).ok().and_then(|key| certificate.subject(key));
            value.is_some_and(|value| matches(asked, &Value::String(value))).into()
        }),
        Expr::CertificateField(slot, oid, asked) => {
            of_certificate(code, *slot, |certificate| is_there(asked, certificate.extension(oid).is_some()).into())
        }
        Expr::CertificatePolicy(slot, oid, asked) => {
            of_certificate(code, *slot, |certificate| is_there(asked, certificate.has_policy(oid)).into())
        }
        Expr::CertificateDate(slot, oid, asked) => of_certificate(code, *slot, |certificate| {
            let date = certificate.extension_date(oid);
            match (asked, date) {
                (Match::Absent, date) => date.is_none(),
                (_, None) => false,
                (Match::Exists, Some(_)) => true,
                (Match::Date(operation, seconds), Some(date)) => {
                    let order = date.cmp(&seconds.saturating_add(super::EPOCH_2001));
                    match operation {
                        DateMatch::On => order == Ordering::Equal,
                        DateMatch::Before => order == Ordering::Less,
                        DateMatch::After => order == Ordering::Greater,
                        DateMatch::OnOrBefore => order != Ordering::Greater,
                        DateMatch::OnOrAfter => order != Ordering::Less,
                    }
                }
                _ => false,
            }
            .into()
        }),
        Expr::CdHash(hash) => (code.cdhash.0.as_slice() == hash.as_slice()).into(),
        Expr::Info(key, asked) => keyed(code.info, key, asked).into(),
        Expr::Entitlement(key, asked) => keyed(code.entitlements, key, asked).into(),
        Expr::Platform(number) => (i32::from(code.platform) == *number).into(),
        // Neither is given to code without a certificate of Apple's; whether it is to others, Apple knows.
        Expr::Notarized | Expr::LegacyDeveloperId => apple_anchored(code).and(Unknown(DecidedBy::Notarization)),
        Expr::Not(inner) => match value(inner, code) {
            Yes => No,
            No => Yes,
            unknown => unknown,
        },
        Expr::And(left, right) => value(left, code).and(value(right, code)),
        Expr::Or(left, right) => match (value(left, code), value(right, code)) {
            (Yes, _) | (_, Yes) => Yes,
            (No, other) | (other, No) => other,
            (unknown, _) => unknown,
        },
    }
}

impl Value3 {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (No, _) | (_, No) => No,
            (Yes, other) | (other, Yes) => other,
            (unknown, _) => unknown,
        }
    }
}

/// The certificate in a slot: from the leaf up, or from the root (-1) down.
fn of_certificate(code: &Code<'_>, slot: i32, ask: impl FnOnce(&Certificate) -> Value3) -> Value3 {
    if code.chain.is_empty() {
        return No;
    }
    let index = usize::try_from(slot.unsigned_abs()).unwrap_or(usize::MAX);
    let certificate = if slot >= 0 {
        code.chain.get(index)
    } else if code.is_complete {
        code.chain.len().checked_sub(index).and_then(|index| code.chain.get(index))
    } else {
        return Unknown(DecidedBy::Root);
    };
    match certificate {
        Some(certificate) => ask(certificate),
        None if code.is_complete => No,
        None => Unknown(DecidedBy::Root),
    }
}

fn apple_anchored(code: &Code<'_>) -> Value3 {
    of_certificate(code, -1, |root| is_apple_root(root).into())
}

/// What tells Apple's own code from that of others under the same root.
fn apple_intermediate(code: &Code<'_>) -> bool {
    let Some(certificate) = code.chain.len().checked_sub(2).and_then(|index| code.chain.get(index)) else {
        return false;
    };
    certificate.subject("subject.CN").as_deref() == Some("Apple Code Signing Certification Authority")
        && certificate.subject("subject.O").as_deref() == Some("Apple Inc.")
}

fn is_there(asked: &Match, there: bool) -> bool {
    match asked {
        Match::Exists => there,
        Match::Absent => !there,
        _ => false,
    }
}

fn keyed(dictionary: Option<&Dictionary>, key: &[u8], asked: &Match) -> bool {
    let value = std::str::from_utf8(key).ok().zip(dictionary).and_then(|(key, dictionary)| dictionary.get(key));
    match value {
        Some(value) => matches(asked, value),
        None => *asked == Match::Absent,
    }
}

/// Whether a value is as asked; of an array, whether one of its values is.
fn matches(asked: &Match, value: &Value) -> bool {
    if let Value::Array(values) = value
        && values.iter().any(|value| matches(asked, value))
    {
        return true;
    }
    match asked {
        Match::Absent | Match::Unknown(_) => false,
        // All but `false` is there.
        Match::Exists => value.as_boolean() != Some(false),
        Match::Text(operation, expected) => {
            let (Some(found), Ok(expected)) = (value.as_string(), std::str::from_utf8(expected)) else { return false };
            match operation {
                TextMatch::Equal => found == expected,
                TextMatch::Contains => found.contains(expected),
                TextMatch::BeginsWith => found.starts_with(expected),
                TextMatch::EndsWith => found.ends_with(expected),
                TextMatch::Less => numerically(found, expected) == Ordering::Less,
                TextMatch::Greater => numerically(found, expected) == Ordering::Greater,
                TextMatch::LessEqual => numerically(found, expected) != Ordering::Greater,
                TextMatch::GreaterEqual => numerically(found, expected) != Ordering::Less,
            }
        }
        Match::Date(..) => false,
    }
}

/// Compares text as `kCFCompareNumerically` does: runs of digits by their value, so that 1.10 comes after 1.9.
fn numerically(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.chars().peekable(), b.chars().peekable());
    loop {
        let order = match (a.peek().copied(), b.peek().copied()) {
            (None, None) => return Ordering::Equal,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (x, y) = (digits(&mut a), digits(&mut b));
                x.len().cmp(&y.len()).then(x.cmp(&y))
            }
            (x, y) => {
                a.next();
                b.next();
                x.cmp(&y)
            }
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// A run of digits without the zeros in front.
fn digits(chars: &mut Peekable<std::str::Chars<'_>>) -> String {
    let mut digits = String::new();
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        if !(digits.is_empty() && digit == '0') {
            digits.push(digit);
        }
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::certificate::tests::{IDENTITY, apple_root};
    use crate::verify::requirement::Requirement;

    fn dictionary(xml: &str) -> Dictionary {
        crate::property_list::read(format!("<plist version=\"1.0\"><dict>{xml}</dict></plist>").as_bytes()).unwrap()
    }

    fn on(code: &Code<'_>, text: &str) -> Truth {
        Requirement::from_text(text).unwrap().evaluate(code)
    }

    #[track_caller]
    fn all(code: &Code<'_>, satisfied: &[&str], failed: &[&str]) {
        for text in satisfied {
            assert_eq!(on(code, text), Truth::Satisfied, "{text}");
            assert_eq!(on(code, &format!("! ({text})")), Truth::Failed, "! ({text})");
        }
        for text in failed {
            assert_eq!(on(code, text), Truth::Failed, "{text}");
        }
    }

    fn ad_hoc<'a>(info: &'a Dictionary, entitlements: &'a Dictionary) -> Code<'a> {
        Code {
            identifier: "com.example.demo",
            cdhash: CdHash([7; 20]),
            platform: 0,
            info: Some(info),
            entitlements: Some(entitlements),
            chain: &[],
            is_complete: false,
        }
    }

    #[test]
    fn names_hashes_and_lists_are_compared() {
        let info = dictionary(
            "<key>version</key><string>1.10</string><key>no</key><false/><key>yes</key><true/><key>n</key><integer>1</integer>",
        );
        let entitlements = dictionary("<key>groups</key><array><string>a.b</string><string>c</string></array>");
        let code = ad_hoc(&info, &entitlements);
        let cdhash = format!("cdhash H\"{}\"", "07".repeat(20));
        all(
            &code,
            &[
                "identifier com.example.demo",
                &cdhash,
                "info[version] = \"1.10\"",
                "info[version] > \"1.9\" and info[version] < \"1.11\" and info[version] >= \"1.010\"",
                "info[version] <= \"1.10\"",
                "info[version] = *\"10\" and info[version] = \"1.\"* and info[version] ~ \".1\"",
                "info[yes] and info[n] and info[none] absent",
                "entitlement[groups] = c and entitlement[groups] = a*",
                "platform = 0",
                "never or always and always",
            ],
            &[
                "identifier com.example",
                "cdhash H\"0000000000000000000000000000000000000000\"",
                "info[version] = \"1.1\"",
                "info[version] < \"1.9\"",
                "info[no]",
                "info[yes] = true",
                "info[none]",
                "info[none] = a",
                "info[version] absent",
                "entitlement[groups] = b",
                "platform = 1",
                "anchor apple",
                "anchor apple generic",
                "anchor trusted",
                "certificate leaf trusted",
                "certificate leaf[subject.CN] exists",
                "certificate leaf[field.1.2.3] absent",
                "notarized",
                "always and never",
            ],
        );
        assert!(matches!(on(&code, "(somebody)"), Truth::Undecided(_)));
        assert_eq!(on(&code, "(somebody) and never"), Truth::Failed);
        assert_eq!(on(&code, "(somebody) or always"), Truth::Satisfied);
    }

    #[test]
    fn certificates_are_asked() {
        let nothing = Dictionary::new();
        let chain = [Certificate::parse(IDENTITY).unwrap()];
        let hash: String = chain[0].sha1().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut code = Code { chain: &chain, is_complete: true, ..ad_hoc(&nothing, &nothing) };
        all(
            &code,
            &[
                &format!(
                    "certificate leaf = H\"{hash}\" and certificate root = H\"{hash}\" and certificate -1 = H\"{hash}\""
                ),
                "certificate leaf[subject.CN] = \"Third Party\"*",
                "certificate leaf[field.2.5.29.37] exists",
                "certificate leaf[field.1.2.3] absent",
                "certificate leaf[policy.1.2.3] absent",
                "certificate leaf[timestamp.1.2.3] absent",
            ],
            &[
                "certificate 1[subject.CN] exists",
                "certificate -2[subject.CN] exists",
                "certificate leaf[subject.UID] absent",
                "certificate leaf[subject.NOTHING] exists",
                "certificate leaf[timestamp.1.2.3] < timestamp \"20190408000000Z\"",
                "anchor apple generic",
                "anchor apple",
            ],
        );
        for text in ["anchor trusted", "certificate leaf trusted", "anchor apple generic or anchor trusted"] {
            assert!(matches!(on(&code, text), Truth::Undecided(_)), "{text}");
        }
        code.is_complete = false;
        assert!(matches!(on(&code, "anchor apple generic"), Truth::Undecided(why) if why.contains("root")));
        assert!(matches!(on(&code, "certificate 1[subject.CN] exists"), Truth::Undecided(_)));
        assert_eq!(on(&code, "anchor apple generic and identifier other"), Truth::Failed);
    }

    #[test]
    fn apples_root_is_recognised() {
        let nothing = Dictionary::new();
        let chain = [Certificate::parse(IDENTITY).unwrap(), apple_root()];
        let code = Code { chain: &chain, is_complete: true, ..ad_hoc(&nothing, &nothing) };
        all(&code, &["anchor apple generic"], &["anchor apple"]);
        assert!(matches!(on(&code, "notarized"), Truth::Undecided(_)));
    }
}
