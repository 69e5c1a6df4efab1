//! The decoder that repairs text accepts whatever the strict one does, reads it alike, and reads nothing that cannot be
//! sent on, but for descriptors.

#![no_main]

use libfuzzer_sys::fuzz_target;
use xpc_object::{Bytes, EncodeError, Type, decode_message, decode_message_lossy, encode_message};

fuzz_target!(|input: &[u8]| {
    let input = Bytes::copy_from_slice(input);
    let lossy = decode_message_lossy(&input);
    if let Ok((message, flavour)) = decode_message(&input) {
        let (repaired, of) = lossy.as_ref().expect("what the strict decoder accepts");
        // Encodings are compared, since a double that is no number is not equal to itself.
        assert_eq!((encode_message(repaired, *of), *of), (encode_message(&message, flavour), flavour));
    }
    if let Ok((message, flavour)) = lossy {
        let encoded = match encode_message(&message, flavour) {
            // Descriptors that did not come along leave a mark of their kind.
            Err(EncodeError::Unsendable(Type::Fd | Type::SharedMemory | Type::Endpoint)) => return,
            encoded => Bytes::from(encoded.expect("a repaired message can be sent")),
        };
        decode_message(&encoded).expect("what was sent can be read");
    }
});
