//! Messages from and to types, against known bytes, against the encoding of values, and back again.

mod values;

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use values::objects;
use xpc_object::{
    Array, Bytes, Date, DecodeError, DecodeErrorKind, Dictionary, EncodeError, Flavour, Object, Type, Uuid, array,
    decode_message, dictionary, encode_message, from_message, limits, to_message, to_message_after,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    yes: bool,
    small: (i8, i16, i32, u8, u16, u32),
    signed: i64,
    unsigned: u64,
    single: f32,
    double: f64,
    letter: char,
    text: String,
    #[serde(with = "serde_bytes")]
    blob: Vec<u8>,
    shared: Bytes,
    plain: Vec<u8>,
    date: Date,
    uuid: Uuid,
    unit: (),
    maybe: Option<Box<Everything>>,
    list: Vec<Kind>,
    by_name: BTreeMap<String, Kind>,
    by_number: BTreeMap<i16, Wrapped>,
    by_kind: BTreeMap<Name, bool>,
    any: Object,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    Newtype(String),
    Tuple(i32, Option<u8>),
    Struct { id: Uuid, at: Date },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(i64);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Name {
    First,
    Second,
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Unit),
        "[^\0]{0,9}".prop_map(Kind::Newtype),
        any::<(i32, Option<u8>)>().prop_map(|(number, maybe)| Kind::Tuple(number, maybe)),
        any::<([u8; 16], i64)>().prop_map(|(id, at)| Kind::Struct { id: id.into(), at: Date::from_nanoseconds(at) }),
    ]
}

fn everything() -> impl Strategy<Value = Everything> {
    let scalars = (any::<(bool, (i8, i16, i32, u8, u16, u32), i64, u64)>(), -9e9..9e9_f32, -9e99..9e99_f64);
    let bytes = (vec(any::<u8>(), 0..9), vec(any::<u8>(), 0..9), vec(any::<u8>(), 0..9));
    let texts = (prop::char::range('a', '\u{ffff}'), "[^\0]{0,9}", any::<i64>(), any::<[u8; 16]>());
    let maps = (btree_map("[^\0]{0,9}", kinds(), 0..4), btree_map(any::<i16>(), any::<i64>(), 0..4), any::<bool>());
    let leaf = (scalars, bytes, texts, vec(kinds(), 0..4), maps, objects()).prop_map(
        |(((yes, small, signed, unsigned), single, double), (blob, shared, plain), texts, list, maps, any)| {
            let ((letter, text, date, uuid), (by_name, by_number, second)) = (texts, maps);
            let by_kind = [(Name::First, !second), (Name::Second, second)].into();
            let by_number = by_number.into_iter().map(|(key, value)| (key, Wrapped(value))).collect();
            let (date, uuid, shared) = (Date::from_nanoseconds(date), Uuid::from_bytes(uuid), Bytes::from(shared));
            let (unit, maybe) = ((), None);
            Everything {
                yes,
                small,
                signed,
                unsigned,
                single,
                double,
                letter,
                text,
                blob,
                shared,
                plain,
                date,
                uuid,
                unit,
                maybe,
                list,
                by_name,
                by_number,
                by_kind,
                any,
            }
        },
    );
    let leaf = leaf.boxed();
    (leaf.clone(), option::of(leaf)).prop_map(|(outer, inner)| Everything { maybe: inner.map(Box::new), ..outer })
}

proptest! {
    #[test]
    fn types_round_trip(value in everything()) {
        for flavour in [Flavour::Mach, Flavour::Remote] {
            let message = to_message(&value, flavour).unwrap();
            prop_assert_eq!(&from_message::<Everything>(&message).unwrap(), &value);
            // It is a message to those that know nothing of the type, too, whatever the order of the keys.
            let (dictionary, of) = decode_message(&message.into()).unwrap();
            prop_assert_eq!(of, flavour);
            prop_assert_eq!(&from_message::<Everything>(&encode_message(&dictionary, of).unwrap()).unwrap(), &value);
        }
    }

    #[test]
    fn values_have_the_bytes_that_their_own_encoder_writes(values in btree_map("[^\0]{0,9}", objects(), 0..4)) {
        let message: Dictionary = values.into_iter().collect();
        let encoded = encode_message(&message, Flavour::Mach).unwrap();
        prop_assert_eq!(&to_message(&message, Flavour::Mach).unwrap(), &encoded);
        prop_assert_eq!(from_message::<Dictionary>(&encoded).unwrap(), message);
        prop_assert!(from_message::<IgnoredAny>(&encoded).is_ok());
    }

    #[test]
    fn damaged_messages_never_panic(value in everything(), position in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut encoded = to_message(&value, Flavour::Mach).unwrap();
        let position = position.index(encoded.len());
        encoded[position] = byte;
        encoded.truncate(cut.index(encoded.len() + 1));
        let _ = from_message::<Everything>(&encoded);
        // What is well-formed to one reader is so to the other.
        let strict = decode_message(&encoded.clone().into()).map(|(message, _)| message);
        prop_assert_eq!(from_message::<Dictionary>(&encoded).is_ok(), strict.is_ok());
        if let Ok(message) = strict {
            prop_assert!(from_message::<IgnoredAny>(&encoded).is_ok(), "{:?}", message);
        }
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.bytes().filter(u8::is_ascii_hexdigit).map(|digit| char::from(digit).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn a_struct_keeps_the_order_of_its_fields() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Job {
        name: String,
        at: Date,
        id: Uuid,
        done: Option<bool>,
        state: Kind,
    }
    let job = Job {
        name: "hi".into(),
        at: Date::from_nanoseconds(-1),
        id: Uuid::from_bytes(*b"0123456789abcdef"),
        done: None,
        state: Kind::Tuple(-2, Some(7)),
    };
    let expected = bytes(
        "43505840 05000000 00f00000 8c000000 05000000
         6e616d65 00000000 00900000 03000000 68690000
         61740000 00700000 ffffffff ffffffff
         69640000 00a00000 30313233 34353637 38396162 63646566
         646f6e65 00000000 00100000
         73746174 65000000 00f00000 30000000 01000000
         5475706c 65000000 00e00000 1c000000 02000000 00300000 feffffff ffffffff 00400000 07000000 00000000",
    );
    assert_eq!(to_message(&job, Flavour::Mach).unwrap(), expected);
    assert_eq!(from_message::<Job>(&expected).unwrap(), job);
    assert_eq!(to_message_after(vec![1, 2], &job, Flavour::Mach).unwrap(), [&[1, 2], &*expected].concat());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct One<T> {
    value: T,
}

fn message(value: impl Into<Object>) -> Vec<u8> {
    encode_message(&dictionary! { "value" => value }, Flavour::Mach).unwrap()
}

fn read<T: DeserializeOwned>(value: impl Into<Object>) -> Result<T, DecodeError> {
    from_message::<One<T>>(&message(value)).map(|one| one.value)
}

fn refused<T: DeserializeOwned>(value: impl Into<Object>) -> String {
    read::<T>(value).map(drop).unwrap_err().to_string()
}

fn sent<T: Serialize>(value: T) -> Result<Object, EncodeError> {
    let message = to_message(&One { value }, Flavour::Mach)?;
    Ok(decode_message(&message.into()).unwrap().0.remove("value").unwrap())
}

#[test]
fn every_kind_of_value_has_its_type() {
    assert_eq!(sent(-1_i8), Ok(Object::Int64(-1)));
    assert_eq!(sent(1_u8), Ok(Object::Uint64(1)));
    assert_eq!(sent(1.5_f32), Ok(Object::Double(1.5)));
    assert_eq!(sent('ü'), Ok("ü".into()));
    assert_eq!(sent(()), Ok(Object::Null));
    assert_eq!(sent(None::<u8>), Ok(Object::Null));
    assert_eq!(sent(Some(1_u64)), Ok(1_u64.into()));
    assert_eq!(sent(vec![1_u8]), Ok(array![1_u64].into()));
    assert_eq!(sent(Bytes::from_static(b"ab")), Ok(b"ab".as_slice().into()));
    assert_eq!(sent(Wrapped(3)), Ok(3_i64.into()));
    assert_eq!(sent(Kind::Unit), Ok("Unit".into()));
    assert_eq!(sent(Kind::Newtype("a".into())), Ok(dictionary! { "Newtype" => "a" }.into()));
    assert_eq!(sent(BTreeMap::from([(-3, true)])), Ok(dictionary! { "-3" => true }.into()));
}

#[test]
fn integers_are_read_from_either_type_where_they_fit() {
    assert_eq!(read::<u8>(255_i64), Ok(255));
    assert_eq!(read::<i8>(127_u64), Ok(127));
    assert_eq!(read::<u64>(u64::MAX), Ok(u64::MAX));
    assert_eq!(read::<i64>(i64::MIN), Ok(i64::MIN));
    for (what, error) in [
        ("u8", refused::<u8>(256_i64)),
        ("u64", refused::<u64>(-1_i64)),
        ("i64", refused::<i64>(u64::MAX)),
        ("i8", refused::<i8>(128_u64)),
    ] {
        assert!(error.contains("at `value`") && error.contains(what), "{error}");
    }
    assert!(refused::<f64>(1_i64).contains("int64"));
    assert!(refused::<i64>(Date::from_nanoseconds(1)).contains("date"));
    assert!(refused::<Date>(1_i64).contains("int64"));
    assert_eq!(read::<f32>(f64::INFINITY), Ok(f32::INFINITY));
    assert!(refused::<f32>(1e300).contains("1e300") || refused::<f32>(1e300).contains("floating"));
}

#[test]
fn wide_integers_are_refused_both_ways() {
    assert!(sent(1_i128).unwrap_err().to_string().contains("128-bit"));
    assert!(sent(1_u128).unwrap_err().to_string().contains("128-bit"));
    assert!(refused::<i128>(1_i64).contains("128-bit"));
    assert!(refused::<u128>(1_u64).contains("128-bit"));
}

#[test]
fn data_is_read_as_bytes_and_as_a_sequence() {
    assert_eq!(read::<Vec<u8>>(b"ab".as_slice()), Ok(b"ab".to_vec()));
    assert_eq!(read::<Bytes>(b"ab".as_slice()), Ok(Bytes::from_static(b"ab")));
    assert!(refused::<[u8; 1]>(b"ab".as_slice()).contains("length"));
    let error = refused::<[u8; 1]>(array![1_u64, 2_u64]);
    assert!(error.contains("invalid length 2, expected 1 fewer"), "{error}");
    let large = Bytes::from(vec![0; limits::MAX_VALUES + 1]);
    assert_eq!(read::<Vec<u8>>(large.clone()), Err(DecodeErrorKind::TooManyValues.into()));
    assert_eq!(read::<Bytes>(large.clone()), Ok(large));
}

#[test]
fn text_and_bytes_are_borrowed() {
    #[derive(Deserialize)]
    struct Borrowed<'a> {
        text: &'a str,
        data: &'a [u8],
    }
    let input = encode_message(&dictionary! { "text" => "abc", "data" => vec![1_u8] }, Flavour::Remote).unwrap();
    let borrowed: Borrowed<'_> = from_message(&input).unwrap();
    assert_eq!((borrowed.text, borrowed.data), ("abc", &[1][..]));
    assert!(input.as_ptr_range().contains(&borrowed.text.as_ptr()));
}

#[test]
fn errors_say_where() {
    let error = read::<Vec<One<u8>>>(array![dictionary! { "value" => 1_u64 }, dictionary! { "value" => "x" }]);
    let expected =
        "the message at `value[1].value` does not fit the type that is read: invalid type: string, expected u8";
    assert_eq!(error.unwrap_err().to_string(), expected);
    let error = from_message::<One<u8>>(&encode_message(&Dictionary::new(), Flavour::Mach).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "the message does not fit the type that is read: missing field `value`");
}

#[test]
fn what_is_not_a_dictionary_is_no_message() {
    for error in [to_message(&1, Flavour::Mach), to_message(&(), Flavour::Mach), to_message(&Kind::Unit, Flavour::Mach)]
    {
        assert!(matches!(error, Err(EncodeError::Serialize(_))), "{error:?}");
    }
    let mut list = bytes("43505840 05000000 00e00000 04000000 00000000");
    assert_eq!(from_message::<Vec<u8>>(&list), Err(DecodeErrorKind::NotADictionary.into()));
    list[9] = 0xf0;
    assert_eq!(from_message::<BTreeMap<String, u8>>(&list), Ok(BTreeMap::new()));
    list.push(0);
    assert_eq!(from_message::<BTreeMap<String, u8>>(&list), Err(DecodeErrorKind::TrailingBytes(1).into()));
}

#[test]
fn a_key_that_comes_twice_is_refused() {
    for keys in [["a", "a", "b"], ["b", "a", "b"], ["a", "b", "a"]] {
        let mut input = bytes("43505840 05000000 00f00000 28000000 03000000");
        for key in keys {
            input.extend([key.as_bytes(), &[0, 0, 0], &bytes("00200000 01000000")].concat());
        }
        let error = from_message::<BTreeMap<String, bool>>(&input).unwrap_err();
        assert!(matches!(error.kind(), DecodeErrorKind::DuplicateKey { .. }), "{error:?}");
    }
}

#[test]
fn limits_are_those_of_values() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Deep {
        inner: Option<Box<Deep>>,
    }
    let nested = |levels: usize| (1..levels).fold(Deep { inner: None }, |deep, _| Deep { inner: Some(Box::new(deep)) });
    let input = to_message(&nested(limits::MAX_DEPTH), Flavour::Mach).unwrap();
    assert!(from_message::<Deep>(&input).is_ok());
    assert!(from_message::<IgnoredAny>(&input).is_ok());
    assert_eq!(to_message(&nested(limits::MAX_DEPTH + 1), Flavour::Mach), Err(EncodeError::TooDeep));
    let many = One { value: vec![(); limits::MAX_VALUES] };
    assert_eq!(to_message(&many, Flavour::Mach), Err(EncodeError::TooManyValues));
    let count = u32::try_from(limits::MAX_VALUES).unwrap().to_le_bytes();
    let mut input = message(Array::from(vec![Object::Null; 3]));
    let place = input.len() - 16;
    input[place..place + 4].copy_from_slice(&count);
    let error = from_message::<One<Vec<()>>>(&input).unwrap_err();
    assert!(matches!(error.kind(), DecodeErrorKind::BadSize { .. }), "{error:?}");
}

#[test]
fn a_type_that_is_nothing_but_itself_ends() {
    #[derive(Debug, Deserialize)]
    struct Endless(#[expect(dead_code, reason = "it is only read")] Option<Box<Endless>>);
    assert_eq!(*read::<Endless>(1_u64).unwrap_err().kind(), DecodeErrorKind::TooDeep);
    assert!(read::<Endless>(()).is_ok());
}

#[test]
fn keys_that_are_no_text_are_refused() {
    let error = sent(BTreeMap::from([(vec![1], 1)])).unwrap_err();
    assert!(error.to_string().contains("keys"), "{error}");
    assert_eq!(sent(BTreeMap::from([("a\0", 1)])), Err(EncodeError::NulInKey("a\0".into())));
    assert!(read::<BTreeMap<u8, u8>>(dictionary! { "300" => 1_u64 }).is_err());
}

#[test]
fn flattened_and_untagged_types_are_read() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Outer {
        id: u64,
        #[serde(flatten)]
        inner: Inner,
        #[serde(flatten)]
        rest: BTreeMap<String, Object>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        at: Date,
        uuid: Uuid,
    }
    let inner = Inner { at: Date::from_nanoseconds(5), uuid: Uuid::from_bytes([7; 16]) };
    let outer = Outer { id: 1, inner, rest: [("more".to_owned(), "x".into())].into() };
    let message = to_message(&outer, Flavour::Mach).unwrap();
    assert_eq!(decode_message(&message.clone().into()).unwrap().0.date("at"), Ok(Date::from_nanoseconds(5)));
    assert_eq!(from_message::<Outer>(&message).unwrap(), outer);
}

#[test]
fn what_travels_beside_the_bytes_can_be_named_and_ignored() {
    let input = bytes("43505840 05000000 00f00000 14000000 01000000 76616c75 65000000 00b00000 00000000");
    assert_eq!(from_message::<One<Object>>(&input), Ok(One { value: Object::Foreign(Type::Fd) }));
    assert!(from_message::<IgnoredAny>(&input).is_ok());
    let error = from_message::<One<u8>>(&input).unwrap_err().to_string();
    assert!(error.contains("fd, expected u8"), "{error}");
    assert!(sent(Object::Foreign(Type::Fd)).is_err());
}

#[test]
fn a_key_is_not_taken_for_one_that_it_begins_with() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Two {
        a: u8,
        #[serde(default)]
        abcd: u8,
    }
    let read = |message: Dictionary| from_message::<Two>(&encode_message(&message, Flavour::Mach).unwrap());
    assert_eq!(read(dictionary! { "a" => 1_u64, "abcd" => 2_u64 }), Ok(Two { a: 1, abcd: 2 }));
    assert_eq!(read(dictionary! { "a" => 1_u64, "abcde" => 2_u64 }), Ok(Two { a: 1, abcd: 0 }));
    assert!(read(dictionary! { "abcd" => 2_u64 }).unwrap_err().to_string().contains("missing field `a`"));
}

#[test]
fn a_damaged_value_is_refused_as_the_decoder_of_values_does() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Typed {
        yes: bool,
        number: u64,
        real: f64,
        text: String,
        list: Vec<String>,
        map: BTreeMap<String, i8>,
    }
    let (text, list) = ("longer than eight".to_owned(), vec!["äö".to_owned(), String::new()]);
    let map = [("one".to_owned(), 1), ("two".to_owned(), 2)].into();
    let whole = to_message(&Typed { yes: true, number: 1, real: 0.5, text, list, map }, Flavour::Mach).unwrap();
    let mut seen = BTreeMap::<_, usize>::new();
    let mut compare = |damaged: Vec<u8>| {
        let (typed, plain) = (from_message::<Typed>(&damaged), decode_message(&damaged.into()));
        let Err(plain) = plain else { return };
        let typed = typed.unwrap_err();
        use DecodeErrorKind::{BadString, Deserialize, NotADictionary, TrailingBytes, Truncated};
        // Another type, or bytes that follow the whole, may be noticed first.
        let other = match typed.kind() {
            Deserialize(_) => !matches!(plain.kind(), BadString { .. } | Truncated { .. }),
            NotADictionary | TrailingBytes(_) => true,
            _ => false,
        };
        if !other {
            assert_eq!(typed, plain);
            *seen.entry(format!("{:?}", std::mem::discriminant(typed.kind()))).or_default() += 1;
        }
    };
    for position in 0..whole.len() {
        for byte in [0, 1, 0x61, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[position] = byte;
            compare(damaged);
        }
        compare(whole[..position].to_vec());
    }
    // Truncated, BadMagic, BadVersion, UnknownType, BadString, BadSize.
    assert!(seen.len() >= 6 && seen.values().sum::<usize>() > whole.len(), "{seen:?}");
}

#[test]
fn fields_that_are_not_there_hide_no_later_ones() {
    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Sparse {
        #[serde(skip_serializing_if = "Option::is_none")]
        a: Option<u8>,
        b: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        c: Option<u8>,
        d: u8,
        e: u8,
    }
    for (a, c) in [(None, None), (Some(1), None), (None, Some(3)), (Some(1), Some(3))] {
        let sparse = Sparse { a, b: 2, c, d: 4, e: 5 };
        assert_eq!(from_message::<Sparse>(&to_message(&sparse, Flavour::Mach).unwrap()).unwrap(), sparse);
    }
    let read = |keys: &[&str]| {
        let mut body = Vec::new();
        for key in keys {
            body.extend([key.as_bytes(), &[0; 3], &bytes("00400000 07000000 00000000")].concat());
        }
        let head = [(body.len() as u32 + 4).to_le_bytes(), (keys.len() as u32).to_le_bytes()].concat();
        from_message::<Sparse>(&[bytes("43505840 05000000 00f00000"), head, body].concat())
    };
    assert_eq!(read(&["e", "x", "b"]), Ok(Sparse { b: 7, e: 7, ..Sparse::default() }));
    assert!(read(&["b", "d", "b"]).unwrap_err().to_string().contains("duplicate field `b`"));
}
