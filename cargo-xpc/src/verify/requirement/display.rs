//! Requirements as `csreq -t` and `codesign -d -r-` print them.

use std::fmt::{self, Display, Formatter};

use super::{DateMatch, EPOCH_2001, Expr, Match, Requirement, TextMatch, oid, text};
use crate::verify::time;

impl Display for Requirement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        expression(&self.0, Level::Top, f)
    }
}

/// How tightly what stands around an expression binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Primary,
    And,
    Or,
    Top,
}

fn expression(expr: &Expr, level: Level, f: &mut Formatter<'_>) -> fmt::Result {
    match expr {
        Expr::Never => f.write_str("never"),
        Expr::Always => f.write_str("always"),
        Expr::Identifier(name) => write!(f, "identifier {}", Data(name)),
        Expr::AppleAnchor => f.write_str("anchor apple"),
        Expr::AppleGenericAnchor => f.write_str("anchor apple generic"),
        Expr::NamedAnchor(name) => write!(f, "anchor apple {}", Name(name, &["generic", "and", "or"])),
        Expr::NamedCode(name) => write!(f, "({})", Name(name, &text::WORDS)),
        Expr::TrustedAnchor => f.write_str("anchor trusted"),
        Expr::TrustedCertificate(slot) => write!(f, "certificate {} trusted", Slot(*slot)),
        Expr::CertificateHash(slot, hash) => write!(f, "certificate {} = {}", Slot(*slot), Hash(hash)),
        Expr::CertificateSubject(slot, key, asked) => write!(f, "certificate {}[{}]{asked}", Slot(*slot), Key(key)),
        Expr::CertificateField(slot, oid, asked) => write!(f, "certificate {}[field.{}]{asked}", Slot(*slot), Oid(oid)),
        Expr::CertificatePolicy(slot, oid, asked) => {
            write!(f, "certificate {}[policy.{}]{asked}", Slot(*slot), Oid(oid))
        }
        Expr::CertificateDate(slot, oid, asked) => {
            write!(f, "certificate {}[timestamp.{}]{asked}", Slot(*slot), Oid(oid))
        }
        Expr::CdHash(hash) => write!(f, "cdhash {}", Hash(hash)),
        Expr::Info(key, asked) => write!(f, "info[{}]{asked}", Key(key)),
        Expr::Entitlement(key, asked) => write!(f, "entitlement[{}]{asked}", Key(key)),
        Expr::Platform(number) => write!(f, "platform = {number}"),
        Expr::Notarized => f.write_str("notarized"),
        Expr::LegacyDeveloperId => f.write_str("legacy"),
        Expr::UnknownFalse(operation) => write!(f, "false /* opcode {operation} */"),
        Expr::Not(inner) => {
            f.write_str("! ")?;
            expression(inner, Level::Primary, f)
        }
        Expr::And(left, right) => pair(left, " and ", right, (level, Level::And), f),
        Expr::Or(left, right) => pair(left, " or ", right, (level, Level::Or), f),
    }
}

fn pair(left: &Expr, word: &str, right: &Expr, (around, own): (Level, Level), f: &mut Formatter<'_>) -> fmt::Result {
    let brackets = around < own;
    if brackets {
        f.write_str("(")?;
    }
    expression(left, own, f)?;
    f.write_str(word)?;
    expression(right, own, f)?;
    if brackets {
        f.write_str(")")?;
    }
    Ok(())
}

impl Display for Match {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists => f.write_str(" /* exists */"),
            Self::Absent => f.write_str(" absent"),
            Self::Text(operation, value) => {
                let value = Data(value);
                match operation {
                    TextMatch::Equal => write!(f, " = {value}"),
                    TextMatch::Contains => write!(f, " ~ {value}"),
                    TextMatch::BeginsWith => write!(f, " = {value}*"),
                    TextMatch::EndsWith => write!(f, " = *{value}"),
                    TextMatch::Less => write!(f, " < {value}"),
                    TextMatch::Greater => write!(f, " > {value}"),
                    TextMatch::LessEqual => write!(f, " <= {value}"),
                    TextMatch::GreaterEqual => write!(f, " >= {value}"),
                }
            }
            Self::Date(operation, seconds) => {
                let sign = match operation {
                    DateMatch::On => "=",
                    DateMatch::Before => "<",
                    DateMatch::After => ">",
                    DateMatch::OnOrBefore => "<=",
                    DateMatch::OnOrAfter => ">=",
                };
                write!(f, " {sign} timestamp \"{}\"", time::compact(seconds.saturating_add(EPOCH_2001)))
            }
            Self::Unknown(operation) => write!(f, " /* match opcode {operation} */"),
        }
    }
}

struct Slot(i32);

impl Display for Slot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("leaf"),
            -1 => f.write_str("root"),
            slot => write!(f, "{slot}"),
        }
    }
}

struct Hash<'a>(&'a [u8]);

impl Display for Hash<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("H\"")?;
        hex(self.0, f)?;
        f.write_str("\"")
    }
}

fn hex(bytes: &[u8], f: &mut Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

struct Oid<'a>(&'a [u8]);

impl Display for Oid<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match oid::to_text(self.0) {
            Some(text) => f.write_str(&text),
            None => {
                f.write_str("0x")?;
                hex(self.0, f)
            }
        }
    }
}

/// A value: bare where it is one word, in quotes where it can be printed, else in hex.
struct Data<'a>(&'a [u8]);
/// A key, in which dots are allowed in a bare word.
struct Key<'a>(&'a [u8]);

/// A name where words of the language may stand too, which it is told from by quotes.
struct Name<'a>(&'a [u8], &'a [&'a str]);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.1.iter().find(|word| word.as_bytes() == self.0) {
            Some(word) => write!(f, "\"{word}\""),
            None => Data(self.0).fmt(f),
        }
    }
}

impl Display for Data<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        string(self.0, false, f)
    }
}

impl Display for Key<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        string(self.0, true, f)
    }
}

fn string(bytes: &[u8], dots: bool, f: &mut Formatter<'_>) -> fmt::Result {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    let Some(text) = text else {
        f.write_str("0x")?;
        return hex(bytes, f);
    };
    let is_word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || dots && byte == b'.');
    if is_word && text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return f.write_str(text);
    }
    write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
