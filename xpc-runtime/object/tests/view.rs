//! A message that is read where it lies says what the same message says as plain values, and is refused for the same reasons.

mod values;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use values::objects;
use xpc_object::{
    Bytes, DecodeError, DecodeErrorKind, Dictionary, Flavour, MessageView, ObjectView, Type, ValueError, array,
    decode_message, dictionary, encode_message,
};

fn encode(message: &Dictionary) -> Bytes {
    encode_message(message, Flavour::Mach).unwrap().into()
}

type Outcome = Result<(Dictionary, Flavour), DecodeError>;

/// What both ways of reading make of `input`, which has to be the same.
fn both(input: &Bytes) -> (Outcome, Outcome) {
    (MessageView::new(input).map(|view| (view.to_dictionary(), view.flavour())), decode_message(input))
}

proptest! {
    #[test]
    fn views_and_values_agree(values in btree_map("[^\0]{0,9}", objects(), 0..4)) {
        let message: Dictionary = values.into_iter().collect();
        let view = MessageView::new(&encode(&message)).unwrap();
        prop_assert_eq!(&view.to_dictionary(), &message);
        prop_assert_eq!(view.dictionary().len(), message.len());
        for ((key, value), (expected_key, expected)) in view.dictionary().iter().zip(message.iter()) {
            prop_assert_eq!(key, expected_key);
            prop_assert_eq!(value.kind(), expected.kind());
            prop_assert_eq!(format!("{:?}", view.dictionary().get(key).unwrap()), format!("{expected:?}"));
        }
    }

    #[test]
    fn damaged_messages_are_refused_alike(
        values in btree_map("[^\0]{0,3}", objects(), 0..4),
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut encoded = encode(&values.into_iter().collect()).to_vec();
        let position = position.index(encoded.len());
        encoded[position] = byte;
        // In half of the cases: where it is cut, nothing else is looked at.
        if byte % 2 == 0 {
            encoded.truncate(cut.index(encoded.len() + 1));
        }
        let (view, values) = both(&encoded.into());
        prop_assert_eq!(format!("{view:?}"), format!("{values:?}"));
    }

    #[test]
    fn arbitrary_bytes_are_refused_alike(rest in vec(any::<u8>(), 0..100)) {
        let input = [&b"CPX@\x05\0\0\0\0\xf0\0\0"[..], &rest].concat();
        let (view, values) = both(&input.into());
        prop_assert_eq!(format!("{view:?}"), format!("{values:?}"));
    }
}

#[test]
fn keys_may_come_in_any_order_but_once() {
    // Null under each key; the keys take four bytes each.
    let message = |keys: &[&str]| {
        let body: Vec<u8> = keys.iter().flat_map(|key| [key.as_bytes(), &[0; 2], &[0, 0x10, 0, 0]].concat()).collect();
        let size = u32::try_from(body.len() + 4).unwrap();
        let count = u32::try_from(keys.len()).unwrap();
        Bytes::from([&b"CPX@\x05\0\0\0\0\xf0\0\0"[..], &size.to_le_bytes(), &count.to_le_bytes(), &body].concat())
    };
    let (view, values) = both(&message(&["cc", "aa", "bb", "dd"]));
    assert_eq!(view, values);
    assert_eq!(view.unwrap().0.len(), 4);
    for keys in [&["aa", "aa"][..], &["bb", "aa", "bb"], &["bb", "aa", "cc", "aa"]] {
        let (view, values) = both(&message(keys));
        assert_eq!(view, values);
        let error = view.unwrap_err();
        assert!(matches!(error.kind(), DecodeErrorKind::DuplicateKey { .. }), "{keys:?}: {error:?}");
    }
}

/// Each level's keys are out of order, so that all of them are looked at again.
#[test]
fn nesting_does_not_multiply_the_work() {
    let mut message = Dictionary::new();
    for _ in 0..100 {
        message = dictionary! { "b" => (), "a" => message };
    }
    let mut bytes = encode(&message).to_vec();
    // `a` and the dictionary under it come first: made `c`, it comes before `b`.
    for at in 0..bytes.len() - 8 {
        if bytes[at..at + 8] == *b"a\0\0\0\0\xf0\0\0" {
            bytes[at] = b'c';
        }
    }
    let (view, values) = both(&bytes.into());
    assert_eq!(view, values);
    assert!(view.is_ok());
}

#[test]
fn text_and_bytes_are_the_messages_own() {
    let message = encode(&dictionary! { "data" => vec![7_u8; 9], "text" => "hello" });
    let view = MessageView::new(&message).unwrap();
    let inside = |part: &[u8]| message.as_ptr_range().contains(&part.as_ptr());
    assert!(inside(view.dictionary().data("data").unwrap()));
    assert!(inside(view.dictionary().string("text").unwrap().as_bytes()));
    assert!(inside(view.to_dictionary().data("data").unwrap()));
}

#[test]
fn getters_tell_missing_from_wrong_type() {
    let message = encode(&dictionary! { "n" => 3_u64, "list" => array![true, dictionary! { "x" => -1_i64 }] });
    let view = MessageView::new(&message).unwrap();
    let view = view.dictionary();
    assert_eq!(view.uint64("n"), Ok(3));
    assert_eq!(view.int64("m"), Err(ValueError::Missing { key: "m".into() }));
    let error = ValueError::WrongType { key: "n".into(), expected: Type::Int64, found: Type::Uint64 };
    assert_eq!(view.int64("n"), Err(error));
    let list = view.array("list").unwrap();
    assert_eq!((list.len(), list.bool(0)), (2, Ok(true)));
    assert_eq!(list.dictionary(1).unwrap().int64("x"), Ok(-1));
    assert_eq!(list.bool(2), Err(ValueError::Missing { key: "2".into() }));
    assert!(matches!(list.iter().last(), Some(ObjectView::Dictionary(last)) if last.contains_key("x")));
    assert_eq!(format!("{view:?}"), format!("{:?}", view.to_dictionary()));
}
