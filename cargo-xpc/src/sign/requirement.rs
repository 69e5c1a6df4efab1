//! Code requirements as people write them, into the form that signatures hold: what `csreq -b` does.
//!
//! The language is that of Apple's *Code Signing Requirement Language*: `and`, `or`, `!`, parentheses, `identifier`, `anchor`,
//! `certificate`, `cdhash`, `info`, `entitlement`, `notarized`, `always`, `never`.

use std::fmt;

use camino::Utf8Path;
use pkcs8::ObjectIdentifier;

use super::SignError;

/// `CSMAGIC_REQUIREMENT`, and the kind of it that is an expression.
const MAGIC: u32 = 0xfade_0c00;
const EXPRESSION: u32 = 1;
/// Deeper than any requirement of a person; the reader of the system recurses.
const MAX_DEPTH: usize = 64;

/// The designated requirement that somebody gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// In words.
    pub(super) text: String,
    /// As in a signature.
    pub(super) blob: Vec<u8>,
}

impl Requirement {
    /// Compiles a text.
    ///
    /// # Errors
    /// Where it is none of the language, with the place.
    pub fn compile(text: &str) -> Result<Self, SignError> {
        let wrong = |why: String| SignError::Requirement { requirement: text.trim().to_owned(), why };
        let tokens = tokens(text).map_err(wrong)?;
        let mut parser = Parser { tokens: &tokens, at: 0, depth: 0 };
        if parser.word("designated") {
            parser.expect("=>").map_err(wrong)?;
        }
        let expression = parser.alternatives().map_err(wrong)?;
        if let Some(rest) = parser.peek() {
            return Err(wrong(format!("`{rest}` follows where it should end, or `and` or `or` is missing")));
        }
        let length = 12 + expression.bytes.len() as u32;
        let blob = [&[MAGIC, length, EXPRESSION].map(u32::to_be_bytes).concat(), &expression.bytes[..]].concat();
        Ok(Self { text: expression.text, blob })
    }

    /// Reads a file with the text of a requirement.
    ///
    /// # Errors
    /// Where there is none, or its text is none of the language.
    pub fn read(path: &Utf8Path) -> Result<Self, SignError> {
        let wrong = |why: &str| SignError::Requirement { requirement: path.to_string(), why: why.to_owned() };
        let bytes = match fs_err::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(wrong("there is no such file; a text begins with `=`"));
            }
            Err(error) => return Err(error.into()),
        };
        match std::str::from_utf8(&bytes) {
            Ok(text) if !text.contains('\0') => Self::compile(text),
            _ => Err(wrong("it is no text; `csreq -r FILE -t` prints a compiled requirement as one")),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// A bare word, or a sign.
    Word(String),
    /// A text in quotes.
    Text(String),
    /// `H"…"`
    Hash(Vec<u8>),
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Hash(_) => f.write_str("H\"…\""),
        }
    }
}

/// The signs, longer ones first.
const SIGNS: [&str; 12] = ["=>", "==", "<=", ">=", "(", ")", "[", "]", "=", "<", ">", "*"];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let after = if let Some(comment) = rest.strip_prefix("/*") {
            // What csreq prints for `exists`.
            comment.split_once("*/").ok_or("a comment has no end")?.1
        } else if rest.starts_with('#') || rest.starts_with("//") {
            rest.split_once('\n').map_or("", |(_, after)| after)
        } else if let Some(hex) = rest.strip_prefix("H\"") {
            let (digits, after) = hex.split_once('"').ok_or("a hash has no end")?;
            tokens.push(Token::Hash(from_hex(digits)?));
            after
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let (value, after) = unquote(quoted)?;
            tokens.push(Token::Text(value));
            after
        } else if let Some(sign) = SIGNS.into_iter().chain(["!"]).find(|sign| rest.starts_with(sign)) {
            tokens.push(Token::Word(sign.to_owned()));
            &rest[sign.len()..]
        } else {
            let end = rest.find(|c: char| !c.is_alphanumeric() && !"._-".contains(c)).unwrap_or(rest.len());
            if end == 0 {
                return Err(format!("`{}` is no sign of the language", rest.chars().next().unwrap_or_default()));
            }
            tokens.push(Token::Word(rest[..end].to_owned()));
            &rest[end..]
        };
        rest = after.trim_start();
    }
    Ok(tokens)
}

fn unquote(quoted: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next().ok_or("a text has no end")?.1),
            other => value.push(other),
        }
    }
    Err("a text has no end".to_owned())
}

fn from_hex(digits: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("`{digits}` is no hash: a SHA-1 has 40 hex digits");
    if digits.len() != 40 || !digits.is_ascii() {
        return Err(wrong());
    }
    (0..20).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).map_err(|_| wrong())).collect()
}

/// An expression in both forms.
struct Expression {
    bytes: Vec<u8>,
    text: String,
    /// Whether the text needs parentheses in an `and`.
    loose: bool,
}

impl Expression {
    fn new(opcode: u32, rest: &[u8], text: impl Into<String>) -> Self {
        Self { bytes: [&opcode.to_be_bytes()[..], rest].concat(), text: text.into(), loose: false }
    }

    fn tight(&self) -> String {
        if self.loose { format!("({})", self.text) } else { self.text.clone() }
    }
}

/// A length, the bytes, zeros up to a multiple of four.
fn data(bytes: &[u8]) -> Vec<u8> {
    let mut data = (bytes.len() as u32).to_be_bytes().to_vec();
    data.extend_from_slice(bytes);
    data.resize(data.len().next_multiple_of(4), 0);
    data
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What can stand in the brackets after `certificate`, by how it begins.
const FIELDS: [(&str, u32); 3] = [("field.", 14), ("policy.", 17), ("subject.", 11)];

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    /// Takes a word, if it is next.
    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(it)) if it == word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.word(word) {
            return Ok(());
        }
        Err(match self.peek() {
            Some(other) => format!("`{word}` should stand where `{other}` does"),
            None => format!("it ends where `{word}` should stand"),
        })
    }

    /// A text, in quotes or bare.
    fn text(&mut self, what: &str) -> Result<String, String> {
        let text = match self.peek() {
            Some(Token::Text(text)) => text.clone(),
            Some(Token::Word(word)) if !SIGNS.contains(&word.as_str()) && word != "!" => word.clone(),
            Some(other) => return Err(format!("{what} should stand where `{other}` does")),
            None => return Err(format!("it ends where {what} should stand")),
        };
        self.at += 1;
        Ok(text)
    }

    fn hash(&mut self) -> Result<Vec<u8>, String> {
        let Some(Token::Hash(hash)) = self.peek() else {
            return Err("a hash, H\"…\", is missing".to_owned());
        };
        let hash = hash.clone();
        self.at += 1;
        Ok(hash)
    }

    fn alternatives(&mut self) -> Result<Expression, String> {
        let mut left = self.conjunction()?;
        while self.word("or") {
            let right = self.conjunction()?;
            let text = format!("{} or {}", left.text, right.text);
            left = Expression { loose: true, ..Expression::new(7, &[left.bytes, right.bytes].concat(), text) };
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Expression, String> {
        let mut left = self.primary()?;
        while self.word("and") {
            let right = self.primary()?;
            let text = format!("{} and {}", left.tight(), right.tight());
            left = Expression::new(6, &[left.bytes, right.bytes].concat(), text);
        }
        Ok(left)
    }

    fn primary(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("it is nested deeper than {MAX_DEPTH} levels"));
        }
        let expression = self.primary_inner();
        self.depth -= 1;
        expression
    }

    fn primary_inner(&mut self) -> Result<Expression, String> {
        if self.word("(") {
            let mut inner = self.alternatives()?;
            self.expect(")")?;
            inner.loose = inner.loose || inner.text.contains(" and ");
            return Ok(inner);
        }
        if self.word("!") {
            let inner = self.primary()?;
            return Ok(Expression::new(9, &inner.bytes, format!("!({})", inner.text)));
        }
        if self.word("identifier") {
            self.word("=");
            let identifier = self.text("an identifier")?;
            return Ok(Expression::new(2, &data(identifier.as_bytes()), format!("identifier {}", quote(&identifier))));
        }
        if self.word("cdhash") {
            let hash = self.hash()?;
            return Ok(Expression::new(8, &data(&hash), format!("cdhash H\"{}\"", hex(&hash))));
        }
        for (word, opcode) in [("never", 0), ("false", 0), ("always", 1), ("true", 1), ("notarized", 21)] {
            if self.word(word) {
                return Ok(Expression::new(opcode, &[], word));
            }
        }
        for (word, opcode) in [("info", 10), ("entitlement", 16)] {
            if self.word(word) {
                self.expect("[")?;
                let key = self.text("a key")?;
                self.expect("]")?;
                let (matching, text) = self.matching()?;
                let text = format!("{word} [{}]{text}", quote(&key));
                return Ok(Expression::new(opcode, &[data(key.as_bytes()), matching].concat(), text));
            }
        }
        if self.word("anchor") {
            if self.word("apple") {
                let generic = self.word("generic");
                let (opcode, text) = if generic { (15, "anchor apple generic") } else { (3, "anchor apple") };
                return Ok(Expression::new(opcode, &[], text));
            }
            if self.word("trusted") {
                return Ok(Expression::new(13, &[], "anchor trusted"));
            }
            return self.certificate(-1, "root");
        }
        if self.word("certificate") || self.word("cert") {
            let slot = self.text("leaf, root or a number")?;
            let number = match slot.as_str() {
                "leaf" => 0,
                "root" | "anchor" => -1,
                other => other.parse().map_err(|_| format!("`{other}` is no certificate: leaf, root or a number"))?,
            };
            return self.certificate(number, &slot);
        }
        Err(match self.peek() {
            Some(other) => format!("a condition should stand where `{other}` does"),
            None => "it ends where a condition should stand".to_owned(),
        })
    }

    /// What is asked of the certificate in `slot`.
    fn certificate(&mut self, slot: i32, name: &str) -> Result<Expression, String> {
        let slot = slot.to_be_bytes();
        if self.word("trusted") {
            return Ok(Expression::new(12, &slot, format!("certificate {name} trusted")));
        }
        if self.word("=") {
            let hash = self.hash()?;
            let text = format!("certificate {name} = H\"{}\"", hex(&hash));
            return Ok(Expression::new(4, &[&slot[..], &data(&hash)].concat(), text));
        }
        self.expect("[")?;
        let field = self.text("a field")?;
        self.expect("]")?;
        let known = FIELDS.into_iter().find(|(prefix, _)| field.starts_with(prefix));
        let (prefix, opcode) = known.ok_or_else(|| {
            format!("`{field}` is no field of a certificate: subject.CN and the like, field.OID or policy.OID")
        })?;
        let value = if prefix == "subject." {
            field.clone().into_bytes()
        } else {
            let oid = &field[prefix.len()..];
            ObjectIdentifier::new(oid).map_err(|_| format!("`{oid}` is no object identifier"))?.as_bytes().to_vec()
        };
        let (matching, text) = self.matching()?;
        let text = format!("certificate {name}[{field}]{text}");
        Ok(Expression::new(opcode, &[&slot[..], &data(&value), &matching].concat(), text))
    }

    /// What follows a field: nothing, `exists`, or a comparison.
    fn matching(&mut self) -> Result<(Vec<u8>, String), String> {
        let operation = [("==", 1), ("=", 1), ("<=", 7), (">=", 8), ("<", 5), (">", 6)];
        let Some((sign, mut number)) = operation.into_iter().find(|(sign, _)| self.word(sign)) else {
            self.word("exists");
            return Ok((0_u32.to_be_bytes().to_vec(), " exists".to_owned()));
        };
        let starred = self.word("*");
        let value = self.text("a value")?;
        let stars = (starred, self.word("*"));
        if number != 1 && stars != (false, false) {
            return Err("`*` goes with `=` only".to_owned());
        }
        number = match stars {
            (true, true) => 2,
            (false, true) => 3,
            (true, false) => 4,
            (false, false) => number,
        };
        let star = |there| if there { "*" } else { "" };
        let sign = if sign == "==" { "=" } else { sign };
        let text = format!(" {sign} {}{}{}", star(stars.0), quote(&value), star(stars.1));
        Ok(([&u32::to_be_bytes(number)[..], &data(value.as_bytes())].concat(), text))
    }
}

#[cfg(test)]
mod tests {
    use apple_codesign::{CodeRequirementExpression, RequirementBlob};

    use super::*;

    /// What another reader understands.
    fn read_back(text: &str) -> String {
        let blob = Requirement::compile(text).unwrap().blob;
        assert_eq!(blob[4..8], (blob.len() as u32).to_be_bytes());
        let (expression, rest) = CodeRequirementExpression::from_bytes(&blob[12..]).unwrap();
        assert!(rest.is_empty(), "{text}");
        expression.to_string()
    }

    #[test]
    fn another_reader_understands_what_is_compiled() {
        let hash = "00112233445566778899aabbccddeeff00112233";
        for (text, expected) in [
            ("identifier com.example.a", "identifier \"com.example.a\"".to_owned()),
            ("designated => identifier = \"a b\"", "identifier \"a b\"".to_owned()),
            ("anchor apple or anchor apple generic", "(anchor apple) or (anchor apple generic)".to_owned()),
            ("anchor apple and !always or never", "((anchor apple) and (!(always))) or (never)".to_owned()),
            ("anchor apple and (always or never)", "(anchor apple) and ((always) or (never))".to_owned()),
            (&format!("certificate leaf = H\"{hash}\""), format!("certificate leaf = H\"{hash}\"")),
            (&format!("anchor = H\"{hash}\""), format!("certificate root = H\"{hash}\"")),
            (&format!("cdhash H\"{hash}\""), format!("cdhash H\"{hash}\"")),
            (
                "cert 1[field.1.2.840.113635.100.6.2.6] /* exists */ // and no more",
                "certificate 1[field.1.2.840.113635.100.6.2.6] /* exists */".to_owned(),
            ),
            ("certificate leaf[subject.OU] = TEAM123456", "certificate leaf[subject.OU] = \"TEAM123456\"".to_owned()),
            ("info [CFBundleVersion] >= \"2.0\"", "info [CFBundleVersion] >= \"2.0\"".to_owned()),
            ("info [CFBundleName] = \"De\"*", "info [CFBundleName] = \"De*\"".to_owned()),
            ("info [CFBundleName] = *mo", "info [CFBundleName] = \"*mo\"".to_owned()),
            ("entitlement [com.example.x] exists", "entitlement [com.example.x] /* exists */".to_owned()),
            ("anchor trusted and notarized", "(anchor trusted) and (notarized)".to_owned()),
        ] {
            assert_eq!(read_back(text), expected, "{text}");
            // In our own words it means the same.
            let words = Requirement::compile(text).unwrap();
            assert_eq!(Requirement::compile(&words.text).unwrap(), words);
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, says) in [
            ("", "it ends where a condition should stand"),
            ("identifier", "it ends where an identifier should stand"),
            ("identifier a identifier b", "`and` or `or` is missing"),
            ("(always", "it ends where `)` should stand"),
            ("certificate leaf = H\"00\"", "is no hash"),
            ("certificate middle = H\"\"", "is no hash"),
            ("certificate leaf[name] = x", "`name` is no field of a certificate"),
            ("certificate 1[field.x]", "`x` is no object identifier"),
            ("info [a] < \"b\"*", "`*` goes with `=` only"),
            ("identifier \"a", "a text has no end"),
            ("identifer a", "a condition should stand where `identifer` does"),
            ("always ; never", "`;` is no sign"),
        ] {
            let error = Requirement::compile(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        let deep = format!("{}always{}", "(".repeat(1000), ")".repeat(1000));
        assert!(Requirement::compile(&deep).unwrap_err().to_string().contains("nested deeper"));
    }

    #[test]
    fn a_blob_is_what_the_library_reads_as_one() {
        let blob = Requirement::compile("identifier abc").unwrap().blob;
        assert_eq!(blob.len() % 4, 0);
        let parsed = <RequirementBlob<'_> as apple_codesign::Blob<'_>>::from_blob_bytes(&blob).unwrap();
        assert_eq!(parsed.parse_expressions().unwrap().len(), 1);
    }
}
