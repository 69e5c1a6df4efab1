//! Requirements as text.

use super::tokens::{Token, failure, tokens};
use super::{Budget, DateMatch, EPOCH_2001, Expr, MAX_SIZE, Match, RequirementError, TextMatch, oid};
use crate::verify::time;

pub(super) fn requirement(text: &str) -> Result<Expr, RequirementError> {
    if text.len() > MAX_SIZE {
        return Err(RequirementError::TooLarge);
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, budget: Budget::default() };
    if parser.peek_after() == &Token::Sign("=>") {
        return parser.fail("this is a set of requirements; one is asked for");
    }
    let expr = parser.expression()?;
    while parser.eat(";") {}
    match parser.peek() {
        Token::End => Ok(expr),
        _ => parser.fail("`and`, `or` or the end is expected"),
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    budget: Budget,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(_, token)| token)
    }

    fn peek_after(&self) -> &Token {
        self.tokens.get(self.at + 1).map_or(&Token::End, |(_, token)| token)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn fail<T>(&self, why: impl Into<String>) -> Result<T, RequirementError> {
        let at = self.tokens.get(self.at.min(self.tokens.len() - 1)).map_or(0, |(at, _)| *at);
        Err(failure(at, why))
    }

    /// Takes a sign, if it stands here.
    fn eat(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(found) if *found == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), RequirementError> {
        if self.eat(sign) { Ok(()) } else { self.fail(format!("`{sign}` is expected")) }
    }

    /// Takes a word of the language, if it stands here.
    fn eat_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(found) if found == word);
        self.at += usize::from(found);
        found
    }

    /// `=`, `==` or nothing.
    fn equals(&mut self) -> bool {
        self.eat("=") || self.eat("==")
    }

    fn expression(&mut self) -> Result<Expr, RequirementError> {
        let mut left = self.term()?;
        while self.eat_word("or") {
            left = Expr::Or(Box::new(left), Box::new(self.term()?));
        }
        Ok(left)
    }

    fn term(&mut self) -> Result<Expr, RequirementError> {
        let mut left = self.primary()?;
        while self.eat_word("and") {
            left = Expr::And(Box::new(left), Box::new(self.primary()?));
        }
        Ok(left)
    }

    fn primary(&mut self) -> Result<Expr, RequirementError> {
        self.budget.take()?;
        if self.eat("!") {
            return Ok(Expr::Not(Box::new(self.primary()?)));
        }
        if self.eat("(") {
            // `(name)` calls a requirement that macOS keeps under that name.
            let is_name = match self.peek() {
                Token::Text(_) | Token::Hex(_) => true,
                Token::Word(word) => !WORDS.contains(&word.as_str()),
                _ => false,
            };
            let inner = if is_name { Expr::NamedCode(self.string()?) } else { self.expression()? };
            self.expect(")")?;
            return Ok(inner);
        }
        let Token::Word(word) = self.peek().clone() else {
            return self.fail("a condition is expected");
        };
        if !WORDS.contains(&word.as_str()) {
            return self.fail(format!("`{word}` is no condition; there are: {}", WORDS.join(", ")));
        }
        self.at += 1;
        match word.as_str() {
            "always" | "true" => Ok(Expr::Always),
            "never" | "false" => Ok(Expr::Never),
            "notarized" => Ok(Expr::Notarized),
            "legacy" => Ok(Expr::LegacyDeveloperId),
            "identifier" => {
                self.equals();
                Ok(Expr::Identifier(self.string()?))
            }
            "cdhash" => {
                self.equals();
                self.hash().map(Expr::CdHash)
            }
            "platform" => {
                self.equals();
                self.number().map(Expr::Platform)
            }
            "info" => Ok(Expr::Info(self.key()?.into_bytes(), self.suffix()?)),
            "entitlement" => Ok(Expr::Entitlement(self.key()?.into_bytes(), self.suffix()?)),
            "anchor" => self.anchor(),
            _ => self.certificate(),
        }
    }

    fn anchor(&mut self) -> Result<Expr, RequirementError> {
        if self.eat_word("trusted") {
            return Ok(Expr::TrustedAnchor);
        }
        if self.eat_word("generic") {
            return if self.eat_word("apple") {
                Ok(Expr::AppleGenericAnchor)
            } else {
                self.fail("`apple` is expected")
            };
        }
        if !self.eat_word("apple") {
            return self.of_certificate(-1);
        }
        if self.eat_word("generic") {
            return Ok(Expr::AppleGenericAnchor);
        }
        match self.peek() {
            Token::Text(_) | Token::Hex(_) => self.string().map(Expr::NamedAnchor),
            Token::Word(word) if !["and", "or"].contains(&word.as_str()) => self.string().map(Expr::NamedAnchor),
            _ => Ok(Expr::AppleAnchor),
        }
    }

    fn certificate(&mut self) -> Result<Expr, RequirementError> {
        if self.eat_word("trusted") {
            return Ok(Expr::TrustedAnchor);
        }
        let slot = if self.eat_word("leaf") {
            0
        } else if self.eat_word("root") {
            -1
        } else if self.eat("-") {
            -self.number()?
        } else {
            self.number()?
        };
        if self.eat_word("trusted") { Ok(Expr::TrustedCertificate(slot)) } else { self.of_certificate(slot) }
    }

    fn of_certificate(&mut self, slot: i32) -> Result<Expr, RequirementError> {
        if self.peek() != &Token::Sign("[") {
            self.equals();
            return Ok(Expr::CertificateHash(slot, self.hash()?));
        }
        let key = self.key()?;
        let oid = |parser: &Self, text: &str| match oid::from_text(text) {
            Some(oid) => Ok(oid),
            None => parser.fail(format!("`{text}` is no object identifier")),
        };
        if key.starts_with("subject.") {
            return Ok(Expr::CertificateSubject(slot, key.into_bytes(), self.suffix()?));
        }
        match key.split_once('.') {
            Some(("field" | "extension", name)) => Ok(Expr::CertificateField(slot, oid(self, name)?, self.suffix()?)),
            Some(("policy", name)) => Ok(Expr::CertificatePolicy(slot, oid(self, name)?, self.suffix()?)),
            Some(("timestamp", name)) => Ok(Expr::CertificateDate(slot, oid(self, name)?, self.suffix()?)),
            _ => self.fail(format!(
                "`{key}` is no field of certificates; there are: subject.…, field.…, policy.…, timestamp.…"
            )),
        }
    }

    fn suffix(&mut self) -> Result<Match, RequirementError> {
        if self.eat_word("absent") {
            return Ok(Match::Absent);
        }
        for (sign, text, date) in [
            ("=", TextMatch::Equal, Some(DateMatch::On)),
            ("==", TextMatch::Equal, Some(DateMatch::On)),
            ("~", TextMatch::Contains, None),
            ("<", TextMatch::Less, Some(DateMatch::Before)),
            (">", TextMatch::Greater, Some(DateMatch::After)),
            ("<=", TextMatch::LessEqual, Some(DateMatch::OnOrBefore)),
            (">=", TextMatch::GreaterEqual, Some(DateMatch::OnOrAfter)),
        ] {
            if !self.eat(sign) {
                continue;
            }
            if let Some(date) = date
                && self.peek() == &Token::Word("timestamp".to_owned())
                && matches!(self.peek_after(), Token::Text(_))
            {
                self.at += 1;
                return self.date().map(|seconds| Match::Date(date, seconds));
            }
            let is_equal = text == TextMatch::Equal;
            let ends = is_equal && self.eat("*");
            let value = self.string()?;
            let begins = is_equal && self.eat("*");
            let operation = match (ends, begins) {
                (true, true) => TextMatch::Contains,
                (true, false) => TextMatch::EndsWith,
                (false, true) => TextMatch::BeginsWith,
                (false, false) => text,
            };
            return Ok(Match::Text(operation, value));
        }
        self.eat_word("exists");
        Ok(Match::Exists)
    }

    fn key(&mut self) -> Result<String, RequirementError> {
        self.expect("[")?;
        let key = match self.next() {
            Token::Word(key) | Token::Text(key) => Some(key),
            Token::Hex(bytes) => String::from_utf8(bytes).ok(),
            _ => None,
        };
        let Some(key) = key else {
            self.at -= 1;
            return self.fail("a key is expected");
        };
        self.expect("]")?;
        Ok(key)
    }

    fn string(&mut self) -> Result<Vec<u8>, RequirementError> {
        match self.next() {
            Token::Word(text) | Token::Text(text) => Ok(text.into_bytes()),
            Token::Hex(bytes) => Ok(bytes),
            _ => {
                self.at -= 1;
                self.fail("text is expected, in quotes unless it is one word")
            }
        }
    }

    fn number(&mut self) -> Result<i32, RequirementError> {
        match self.peek() {
            Token::Number(number) => {
                let number = *number;
                self.at += 1;
                Ok(number)
            }
            _ => self.fail("a number is expected"),
        }
    }

    /// A hash of 20 bytes. Apple's tools take a certificate's path too; a requirement may come from anybody, and names no files here.
    fn hash(&mut self) -> Result<Vec<u8>, RequirementError> {
        match self.peek() {
            Token::Hash(hash) if hash.len() == 20 => {
                let hash = hash.clone();
                self.at += 1;
                Ok(hash)
            }
            _ => self.fail("a hash is expected: H\"…\" with 40 hex digits"),
        }
    }

    fn date(&mut self) -> Result<i64, RequirementError> {
        let Token::Text(text) = self.peek() else { return self.fail("a date is expected") };
        match time::from_compact(text) {
            Some(seconds) => {
                self.at += 1;
                Ok(seconds - EPOCH_2001)
            }
            None => self.fail("a date like \"20190408000000Z\" is expected"),
        }
    }
}

/// What conditions begin with.
pub(super) const WORDS: [&str; 14] = [
    "always",
    "true",
    "never",
    "false",
    "identifier",
    "cdhash",
    "platform",
    "notarized",
    "legacy",
    "anchor",
    "certificate",
    "cert",
    "info",
    "entitlement",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::requirement::Requirement;

    #[track_caller]
    fn reads(text: &str, printed: &str) {
        let read = Requirement::from_text(text).unwrap();
        assert_eq!(read.to_string(), printed, "{text}");
        assert_eq!(Requirement::from_text(printed).unwrap(), read, "{printed}");
    }

    #[test]
    fn what_is_printed_reads_the_same() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        for text in [
            "identifier \"com.example.demo\" and anchor apple generic",
            "anchor apple",
            "anchor apple somebody",
            "anchor trusted",
            "certificate leaf trusted",
            "certificate 1[field.1.2.840.113635.100.6.2.6] /* exists */ or never",
            "certificate -2[subject.CN] = \"Apple Code Signing Certification Authority\"",
            "certificate root[policy.1.2.3.4] absent",
            "certificate leaf[timestamp.1.2.840.113635.100.6.1.33] < timestamp \"20190408000000Z\"",
            "info[CFBundleVersion] >= \"1.2\" and info[a] < b and info[a] > b and info[a] <= b",
            "info[a] = *b and info[a] = b* and info[a] ~ b",
            "entitlement[\"com.apple.security.app-sandbox\"] /* exists */",
            "(identifier a or identifier b) and ! (always or never)",
            "identifier \"say \\\"a\\\\b\\\"\"",
            "info[a] = 0x00ff",
            "(somebody)",
            "platform = 13 and notarized and legacy",
            &format!("certificate root = H\"{hash}\""),
            &format!("cdhash H\"{hash}\""),
        ] {
            reads(text, text);
        }
    }

    #[test]
    fn what_is_printed_in_hex_was_read_as_values_only() {
        reads("identifier \"Ä\"", "identifier 0xc384");
        reads("anchor apple \"Ä\"", "anchor apple 0xc384");
        reads("(\"Ä\")", "(0xc384)");
        reads("info[\"Ä\"]", "info[0xc384] /* exists */");
        reads("certificate leaf[\"subject.Ä\"] = a", "certificate leaf[0x7375626a6563742ec384] = a");
    }

    #[test]
    fn a_long_object_identifier_was_a_call_for_each_character() {
        let text = format!("certificate leaf[field.1.2.{}]", "0".repeat(60_000));
        reads(&text, "certificate leaf[field.1.2.0] /* exists */");
    }

    #[test]
    fn names_that_are_words_of_the_language_lost_their_quotes() {
        for word in ["generic", "and", "or"] {
            let text = format!("anchor apple \"{word}\"");
            reads(&text, &text);
        }
        for word in WORDS {
            let text = format!("(\"{word}\")");
            reads(&text, &text);
        }
    }

    #[test]
    fn other_spellings_are_read() {
        reads("=identifier com.example.demo", "identifier \"com.example.demo\"");
        reads("identifier == \"a\" // comment", "identifier a");
        reads("true and false # comment\n or (((always)));", "always and never or always");
        reads("anchor generic apple", "anchor apple generic");
        reads("cert leaf[extension.1.2.3.4] exists", "certificate leaf[field.1.2.3.4] /* exists */");
        reads("info [a] = *b*", "info[a] ~ b");
        reads("anchor[subject.O] = \"Ä\"", "certificate root[subject.O] = 0xc384");
        reads(&format!("anchor = H\"{}\"", "AB".repeat(20)), &format!("certificate root = H\"{}\"", "ab".repeat(20)));
        // As apple-codesign writes it.
        reads("(anchor apple generic) and (identifier \"a\")", "anchor apple generic and identifier a");
    }

    #[test]
    fn what_is_not_of_the_language_is_refused_at_its_place() {
        for (text, at) in [
            ("", 1),
            ("identifier", 11),
            ("identifier a b", 14),
            ("somebody", 1),
            ("anchor generic", 15),
            ("cdhash H\"00\"", 8),
            ("cdhash H\"0\"", 8),
            ("cdhash H\"00", 8),
            ("always and", 11),
            ("(always", 8),
            ("info[a", 7),
            ("certificate leaf[name]", 23),
            ("certificate leaf[field.x]", 26),
            ("certificate leaf[timestamp.1.2.3] < timestamp \"today\"", 47),
            ("certificate root = \"/etc/passwd\"", 20),
            ("certificate 99999999999 trusted", 13),
            ("identifier \"a", 12),
            ("/* always", 1),
            ("always § never", 8),
            ("designated => always", 1),
        ] {
            match Requirement::from_text(text) {
                Err(RequirementError::Text { at: found, .. }) => assert_eq!(found, at, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn long_and_deep_text_is_refused() {
        for text in ["(".repeat(50_000), "! ".repeat(20_000), "always or ".repeat(5_000), "a".repeat(100_000)] {
            assert_eq!(Requirement::from_text(&text), Err(RequirementError::TooLarge));
        }
        assert!(Requirement::from_text(&format!("{}always", "always or ".repeat(100))).is_ok());
    }
}
