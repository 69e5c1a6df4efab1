//! Whatever is accepted can be sent on, but for descriptors, and is then read as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use xpc_object::{Bytes, EncodeError, Type, decode_message, encode_message};

fuzz_target!(|input: &[u8]| {
    let input = Bytes::copy_from_slice(input);
    let Ok((message, flavour)) = decode_message(&input) else { return };
    let encoded = match encode_message(&message, flavour) {
        // Descriptors that did not come along leave a mark of their kind.
        Err(EncodeError::Unsendable(Type::Fd | Type::SharedMemory | Type::Endpoint)) => return,
        encoded => Bytes::from(encoded.expect("what was read can be sent")),
    };
    let (again, of) = decode_message(&encoded).expect("what was sent can be read");
    assert_eq!(of, flavour);
    // `Debug` as well as bytes: a double that is no number is not equal to itself.
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
    assert_eq!(encode_message(&again, of).expect("what was read can be sent"), encoded);
});
