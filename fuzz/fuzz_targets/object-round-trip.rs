//! Whatever is accepted can be sent on, and is then read as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use xpc_object::{Bytes, decode_message, encode_message};

fuzz_target!(|input: &[u8]| {
    let input = Bytes::copy_from_slice(input);
    let Ok((message, flavour)) = decode_message(&input) else { return };
    let encoded = Bytes::from(encode_message(&message, flavour).expect("what was read can be sent"));
    let (again, of) = decode_message(&encoded).expect("what was sent can be read");
    assert_eq!(of, flavour);
    // `Debug` as well as bytes: a double that is no number is not equal to itself.
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
    assert_eq!(encode_message(&again, of).expect("what was read can be sent"), encoded);
});
