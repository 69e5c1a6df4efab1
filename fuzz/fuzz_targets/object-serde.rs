//! No bytes make the reader of types panic or overflow; what is read can be sent on, and is then read as the same; and it
//! accepts as values what the decoder of values does.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use xpc_object::{Bytes, Date, Dictionary, Flavour, Uuid, decode_message, from_message, to_message};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Nested {
    a: Option<Box<Nested>>,
    b: Vec<Kind>,
    c: BTreeMap<String, Nested>,
    d: Option<(i8, u16, f32, char)>,
    e: BTreeMap<i16, String>,
    f: Bytes,
    g: Vec<u8>,
    h: Option<Uuid>,
    i: Option<Date>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Kind {
    A,
    B(u64),
    C(bool, ()),
    D { a: i64 },
}

fuzz_target!(|input: &[u8]| {
    if let Ok(value) = from_message::<Nested>(input) {
        // `Debug`: a double that is no number is not equal to itself.
        let message = to_message(&value, Flavour::Mach).expect("what was read can be sent");
        let again: Nested = from_message(&message).expect("what was sent can be read");
        assert_eq!(format!("{again:?}"), format!("{value:?}"));
    }
    let decoded = decode_message(&Bytes::copy_from_slice(input)).is_ok();
    assert_eq!(from_message::<Dictionary>(input).is_ok(), decoded);
    assert!(from_message::<IgnoredAny>(input).is_ok() || !decoded);
});
