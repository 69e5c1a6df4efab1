//! The words and signs of requirements.

use super::RequirementError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word, with dots in it or without.
    Word(String),
    /// In quotes.
    Text(String),
    /// `H"…"`
    Hash(Vec<u8>),
    /// `0x…`
    Hex(Vec<u8>),
    Number(i32),
    Sign(&'static str),
    End,
}

/// The longer ones first.
const SIGNS: [&str; 16] = ["==", "=>", "<=", ">=", "(", ")", "[", "]", "!", "=", "*", "~", "<", ">", "-", ";"];

pub(super) fn failure(at: usize, why: impl Into<String>) -> RequirementError {
    RequirementError::Text { at: at + 1, why: why.into() }
}

fn bytes_of_hex(at: usize, digits: &str) -> Result<Vec<u8>, RequirementError> {
    let bytes = digits.as_bytes();
    if !bytes.len().is_multiple_of(2) || !bytes.iter().all(u8::is_ascii_hexdigit) {
        return Err(failure(at, "an even number of hex digits is expected"));
    }
    let pair = |pair: &[u8]| u8::from_str_radix(&String::from_utf8_lossy(pair), 16).unwrap_or_default();
    Ok(bytes.chunks(2).map(pair).collect())
}

/// Each token with the character that it begins at.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, RequirementError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let position = || text[..text.len() - rest.len()].chars().count();
        let Some(first) = rest.chars().next() else {
            tokens.push((position(), Token::End));
            return Ok(tokens);
        };
        if rest.starts_with('#') || rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        if let Some(comment) = rest.strip_prefix("/*") {
            let end = comment.split_once("*/").ok_or_else(|| failure(position(), "the comment does not end"))?;
            rest = end.1;
            continue;
        }
        let at = position();
        let (token, after) = if let Some(digits) = rest.strip_prefix("H\"") {
            let (digits, after) = digits.split_once('"').ok_or_else(|| failure(at, "the hash does not end"))?;
            (Token::Hash(bytes_of_hex(at, digits)?), after)
        } else if let Some(digits) = rest.strip_prefix("0x") {
            let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
            (Token::Hex(bytes_of_hex(at, &digits[..end])?), &digits[end..])
        } else if first == '"' {
            quoted(at, &rest[1..])?
        } else if first.is_ascii_digit() {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let number = rest[..end].parse().map_err(|_| failure(at, "the number is too large"))?;
            (Token::Number(number), &rest[end..])
        } else if first.is_ascii_alphabetic() {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
            (Token::Word(rest[..end].to_owned()), &rest[end..])
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            (Token::Sign(sign), &rest[sign.len()..])
        } else {
            return Err(failure(at, format!("`{first}` is not of the language; put text into quotes")));
        };
        tokens.push((at, token));
        rest = after;
    }
}

/// Text in quotes, in which a backslash takes the next character as it is.
fn quoted(at: usize, rest: &str) -> Result<(Token, &str), RequirementError> {
    let mut text = String::new();
    let mut chars = rest.char_indices();
    while let Some((index, char)) = chars.next() {
        match char {
            '"' => return Ok((Token::Text(text), &rest[index + 1..])),
            '\\' => text.extend(chars.next().map(|(_, next)| next)),
            other => text.push(other),
        }
    }
    Err(failure(at, "the quotes do not end"))
}
