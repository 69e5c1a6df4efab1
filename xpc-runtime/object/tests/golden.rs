//! The encoding against known bytes.

use xpc_object::{Array, Bytes, Date, DecodeErrorKind, Dictionary, EncodeError, Flavour, Object, Type, Uuid, limits};
use xpc_object::{decode_message, decode_message_lossy, decode_value, encode_message, encode_value};

fn bytes(hex: &str) -> Bytes {
    let digits: Vec<u8> =
        hex.bytes().filter(u8::is_ascii_hexdigit).map(|digit| char::from(digit).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect::<Vec<_>>().into()
}

fn check(value: impl Into<Object>, hex: &str) {
    let value = value.into();
    assert_eq!(Bytes::from(encode_value(&value).unwrap()), bytes(hex), "{value:?}");
    assert_eq!(decode_value(&bytes(hex)).unwrap(), value);
}

#[test]
fn every_type() {
    check((), "00100000");
    check(true, "00200000 01000000");
    check(false, "00200000 00000000");
    check(-2_i64, "00300000 feffffff ffffffff");
    check(7_u64, "00400000 07000000 00000000");
    check(1.5, "00500000 00000000 0000f83f");
    check(Date::from_nanoseconds(-1), "00700000 ffffffff ffffffff");
    check(vec![1_u8, 2, 3], "00800000 03000000 01020300");
    check("hi", "00900000 03000000 68690000");
    check("", "00900000 01000000 00000000");
    check(Uuid::from_bytes(*b"0123456789abcdef"), "00a00000 30313233 34353637 38396162 63646566");
    check(
        Array::from([Object::from(true), Object::from("a")]),
        "00e00000 18000000 02000000 00200000 01000000 00900000 02000000 61000000",
    );
    check(Dictionary::new().with("key", 7_u64), "00f00000 14000000 01000000 6b657900 00400000 07000000 00000000");
}

#[test]
fn both_headers() {
    let message = Dictionary::new().with("key", 7_u64);
    for (flavour, header) in [(Flavour::Mach, "43505840 05000000"), (Flavour::Remote, "42371342 05000000")] {
        let hex = format!("{header} 00f00000 14000000 01000000 6b657900 00400000 07000000 00000000");
        assert_eq!(Bytes::from(encode_message(&message, flavour).unwrap()), bytes(&hex));
        assert_eq!(decode_message(&bytes(&hex)).unwrap(), (message.clone(), flavour));
    }
    assert_eq!(decode_message(&bytes("43505841 05000000 00100000")), Err(DecodeErrorKind::BadMagic.into()));
    assert_eq!(decode_message(&bytes("43505840 06000000 00100000")), Err(DecodeErrorKind::BadVersion(6).into()));
    assert_eq!(decode_message(&bytes("43505840 05000000 00100000")), Err(DecodeErrorKind::NotADictionary.into()));
}

#[test]
fn text_of_foreign_peers_can_be_repaired() {
    let head = "43505840 05000000 00f00000";
    let input = bytes(&format!("{head} 14000000 01000000 ff000000 00900000 03000000 61ff0000"));
    assert_eq!(decode_message(&input), Err(DecodeErrorKind::BadString { offset: 20 }.into()));
    let repaired = Dictionary::new().with("\u{fffd}", "a\u{fffd}");
    assert_eq!(decode_message_lossy(&input), Ok((repaired, Flavour::Mach)));
    // Two keys that the repair makes equal; and what is no C string is refused as ever.
    let input = bytes(&format!("{head} 14000000 02000000 fe000000 00100000 ff000000 00100000"));
    assert_eq!(decode_message_lossy(&input), Err(DecodeErrorKind::DuplicateKey { offset: 28 }.into()));
    let input = bytes(&format!("{head} 14000000 01000000 61000000 00900000 02000000 61610000"));
    assert_eq!(decode_message_lossy(&input), Err(DecodeErrorKind::BadString { offset: 32 }.into()));
}

#[test]
fn malformed_input_is_refused() {
    use DecodeErrorKind::*;
    for (hex, error) in [
        ("", Truncated { offset: 0, needed: 4 }),
        ("00300000 feffffff", Truncated { offset: 4, needed: 4 }),
        ("00800000 ffffffff 01020300", Truncated { offset: 8, needed: 0xffff_ffff - 4 }),
        ("00800000 03000000 010203", Truncated { offset: 11, needed: 1 }),
        ("00900000 02000000 68690000", BadString { offset: 8 }),
        ("00900000 00000000", BadString { offset: 8 }),
        ("00900000 03000000 68000000", BadString { offset: 8 }),
        ("00900000 02000000 ff000000", BadString { offset: 8 }),
        ("00e00000 ffffffff 02000000", Truncated { offset: 8, needed: 0xffff_ffff - 4 }),
        ("00e00000 04000000 ffffffff", BadSize { offset: 4 }),
        ("00e00000 00000000 00000000", BadSize { offset: 4 }),
        ("00e00000 08000000 00000000 00100000", BadSize { offset: 4 }),
        // An inner value that reaches past the size of the array it is in.
        ("00e00000 08000000 01000000 00300000 00000000 00000000", BadSize { offset: 4 }),
        ("00f00000 18000000 02000000 61000000 00100000 61000000 00100000 00000000", DuplicateKey { offset: 20 }),
        ("00f00000 0c000000 01000000 61616161 61616161", BadString { offset: 12 }),
        ("00100000 00", TrailingBytes(1)),
        ("00b00000", Truncated { offset: 4, needed: 4 }),
        ("00c00000 00000000 00100000", Truncated { offset: 8, needed: 8 - 4 }),
        ("00d00000 00000000", UnknownType { offset: 0, tag: 0xd000 }),
        ("78563412", UnknownType { offset: 0, tag: 0x1234_5678 }),
    ] {
        assert_eq!(decode_value(&bytes(hex)), Err(error.into()), "{hex}");
    }
}

fn nested(depth: usize) -> Object {
    (0..depth).fold(Object::Null, |inner, _| Array::from([inner]).into())
}

#[test]
fn depth_is_limited_on_both_sides() {
    let deepest = encode_value(&nested(limits::MAX_DEPTH)).unwrap();
    assert_eq!(decode_value(&deepest.into()).unwrap(), nested(limits::MAX_DEPTH));
    assert_eq!(encode_value(&nested(limits::MAX_DEPTH + 1)), Err(EncodeError::TooDeep));

    let levels = u32::try_from(limits::MAX_DEPTH).unwrap() + 1;
    let mut hostile = Vec::new();
    for level in (0..levels).rev() {
        hostile.extend([0x00, 0xe0, 0, 0]);
        hostile.extend((level * 12 + 8).to_le_bytes());
        hostile.extend(1_u32.to_le_bytes());
    }
    hostile.extend([0x00, 0x10, 0, 0]);
    assert_eq!(decode_value(&hostile.into()), Err(DecodeErrorKind::TooDeep.into()));
}

#[test]
fn what_c_strings_cannot_hold_is_refused() {
    assert_eq!(encode_value(&"a\0b".into()), Err(EncodeError::NulInString("a\0b".into())));
    assert_eq!(encode_value(&Dictionary::new().with("a\0", ()).into()), Err(EncodeError::NulInKey("a\0".into())));
    assert_eq!(encode_value(&Object::Foreign(Type::Unknown)), Err(EncodeError::Unsendable(Type::Unknown)));
}

#[test]
fn data_is_not_copied() {
    let input = bytes("00800000 03000000 01020300");
    let Object::Data(data) = decode_value(&input).unwrap() else { panic!("not data") };
    assert_eq!(data.as_ptr(), input[8..].as_ptr());
}
