//! Dictionaries in DER, as signatures hold entitlements and launch constraints: what today's systems read, while people look at the
//! property list.

use plist::{Dictionary, Value};

/// Collections within collections.
const MAX_DEPTH: usize = 64;

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const DATA: u8 = 0x04;
const TEXT: u8 = 0x0c;
const SEQUENCE: u8 = 0x30;
/// `[16]`: a dictionary is a list of pairs.
const DICTIONARY: u8 = 0xb0;
/// `[APPLICATION 16]`, around a version and a dictionary.
const OUTER: u8 = 0x70;

/// Reads the content of a blob; there is one way to write each value, and no other is taken.
///
/// # Errors
/// In words that read on after *DER*.
pub(super) fn read(der: &[u8]) -> Result<Dictionary, String> {
    let mut rest = der;
    let mut inner = expect(&mut rest, OUTER)?;
    let version = expect(&mut inner, INTEGER)?;
    if version != [1] {
        return Err("of another version than 1".to_owned());
    }
    let pairs = expect(&mut inner, DICTIONARY)?;
    if !rest.is_empty() || !inner.is_empty() {
        return Err("with something after it".to_owned());
    }
    dictionary(pairs, 0)
}

/// The content of the next value, and its tag.
fn next<'a>(rest: &mut &'a [u8]) -> Result<(u8, &'a [u8]), String> {
    let cut = || "cut short".to_owned();
    let (&tag, after) = rest.split_first().ok_or_else(cut)?;
    let (&first, mut after) = after.split_first().ok_or_else(cut)?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let (bytes, following) = after.split_at_checked(usize::from(first & 0x7f)).ok_or_else(cut)?;
        let canonical = match bytes {
            [] | [0, ..] => false,
            [one] => *one >= 0x80,
            more => more.len() <= 4,
        };
        if !canonical {
            return Err("with a length that could be shorter".to_owned());
        }
        length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        after = following;
    }
    let (content, following) = after.split_at_checked(length).ok_or_else(cut)?;
    *rest = following;
    Ok((tag, content))
}

fn expect<'a>(rest: &mut &'a [u8], due: u8) -> Result<&'a [u8], String> {
    match next(rest)? {
        (tag, content) if tag == due => Ok(content),
        (tag, _) => Err(format!("with {tag:#x} where {due:#x} is due")),
    }
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "with text that is not UTF-8".to_owned())
}

fn dictionary(mut pairs: &[u8], depth: usize) -> Result<Dictionary, String> {
    let mut found = Dictionary::new();
    while !pairs.is_empty() {
        let mut pair = expect(&mut pairs, SEQUENCE)?;
        let key = text(expect(&mut pair, TEXT)?)?;
        let value = value(&mut pair, depth + 1)?;
        if !pair.is_empty() {
            return Err(format!("with more than a value for `{key}`"));
        }
        if found.insert(key.clone(), value).is_some() {
            return Err(format!("with `{key}` twice"));
        }
    }
    Ok(found)
}

fn value(rest: &mut &[u8], depth: usize) -> Result<Value, String> {
    if depth > MAX_DEPTH {
        return Err(format!("nested deeper than {MAX_DEPTH} levels"));
    }
    Ok(match next(rest)? {
        (BOOLEAN, [0]) => false.into(),
        (BOOLEAN, [0xff]) => true.into(),
        (INTEGER, bytes) => integer(bytes)?,
        (DATA, bytes) => Value::Data(bytes.to_vec()),
        (TEXT, bytes) => Value::String(text(bytes)?),
        (SEQUENCE, mut values) => {
            let mut list = Vec::new();
            while !values.is_empty() {
                list.push(value(&mut values, depth + 1)?);
            }
            Value::Array(list)
        }
        (DICTIONARY, pairs) => Value::Dictionary(dictionary(pairs, depth)?),
        (tag, _) => return Err(format!("with a value of kind {tag:#x} that cannot be read")),
    })
}

fn integer(bytes: &[u8]) -> Result<Value, String> {
    let longer = matches!(bytes, [0, next, ..] if *next < 0x80) || matches!(bytes, [0xff, next, ..] if *next >= 0x80);
    let number =
        bytes.iter().skip(1).fold(bytes.first().map_or(0, |first| i128::from(first.cast_signed())), |number, byte| {
            number << 8 | i128::from(*byte)
        });
    match (u64::try_from(number), i64::try_from(number)) {
        _ if bytes.is_empty() || longer || bytes.len() > 9 => {}
        (_, Ok(number)) => return Ok(number.into()),
        (Ok(number), _) => return Ok(number.into()),
        _ => {}
    }
    Err("with an integer that could be shorter, or is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, content.len() as u8], content].concat()
    }

    fn of(value: &[u8]) -> Result<Dictionary, String> {
        let pair = tlv(SEQUENCE, &[tlv(TEXT, b"a"), value.to_vec()].concat());
        read(&tlv(OUTER, &[tlv(INTEGER, &[1]), tlv(DICTIONARY, &pair)].concat()))
    }

    #[test]
    fn every_kind_of_value_is_read() {
        for (der, value) in [
            (tlv(BOOLEAN, &[0xff]), Value::from(true)),
            (tlv(BOOLEAN, &[0]), false.into()),
            (tlv(INTEGER, &[0x7f]), 127.into()),
            (tlv(INTEGER, &[0, 0x80]), 128.into()),
            (tlv(INTEGER, &[0xff]), Value::Integer((-1).into())),
            (tlv(INTEGER, &[0, 255, 255, 255, 255, 255, 255, 255, 255]), Value::Integer(u64::MAX.into())),
            (tlv(TEXT, "ä".as_bytes()), "ä".into()),
            (tlv(DATA, &[1, 2]), Value::Data(vec![1, 2])),
            (tlv(SEQUENCE, &tlv(TEXT, b"x")), Value::Array(vec!["x".into()])),
            (tlv(DICTIONARY, &[]), Value::Dictionary(Dictionary::new())),
        ] {
            assert_eq!(of(&der).unwrap()["a"], value);
        }
    }

    #[test]
    fn there_is_one_way_to_write_a_value() {
        for wrong in [
            tlv(BOOLEAN, &[1]),
            tlv(BOOLEAN, &[]),
            tlv(INTEGER, &[]),
            tlv(INTEGER, &[0, 1]),
            tlv(INTEGER, &[0xff, 0x80]),
            tlv(INTEGER, &[1, 0, 0, 0, 0, 0, 0, 0, 0]),
            vec![TEXT, 0x81, 1, b'x'],
            vec![TEXT, 0x80, b'x', 0, 0],
            vec![TEXT, 0x85, 0, 0, 0, 0, 1, b'x'],
            tlv(TEXT, &[0xff]),
            tlv(0x13, b"x"),
            [tlv(TEXT, b"x"), tlv(TEXT, b"y")].concat(),
            vec![],
        ] {
            assert!(of(&wrong).is_err(), "{wrong:x?}");
        }
        let pair = tlv(SEQUENCE, &[tlv(TEXT, b"a"), tlv(BOOLEAN, &[0xff])].concat());
        let twice = tlv(OUTER, &[tlv(INTEGER, &[1]), tlv(DICTIONARY, &pair.repeat(2))].concat());
        assert!(read(&twice).unwrap_err().contains("twice"));
        let deep = (0..40).fold(tlv(TEXT, b"x"), |inner, _| tlv(SEQUENCE, &inner));
        assert!(of(&deep).is_ok());
        let whole = tlv(OUTER, &[tlv(INTEGER, &[1]), tlv(DICTIONARY, &pair)].concat());
        assert!(read(&whole).is_ok() && read(&[&whole[..], &[0]].concat()).is_err());
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn depth_is_limited() {
        let long = |tag: u8, content: &[u8]| {
            let length = (content.len() as u32).to_be_bytes();
            let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
            match content.len() {
                0..0x80 => tlv(tag, content),
                _ => [&[tag, 0x80 | length.len() as u8], length, content].concat(),
            }
        };
        let deep = (0..10_000).fold(tlv(TEXT, b"x"), |inner, _| long(SEQUENCE, &inner));
        let pair = long(SEQUENCE, &[tlv(TEXT, b"a"), deep].concat());
        let whole = long(OUTER, &[tlv(INTEGER, &[1]), long(DICTIONARY, &pair)].concat());
        assert!(read(&whole).unwrap_err().contains("nested deeper"));
    }
}
