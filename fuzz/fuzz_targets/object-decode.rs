//! No bytes make the decoder of messages or of single values panic, overflow, or set aside memory beyond its limits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use xpc_object::{Bytes, decode_message, decode_value};

fuzz_target!(|input: &[u8]| {
    let input = Bytes::copy_from_slice(input);
    let _ = decode_message(&input);
    let _ = decode_value(&input);
});
