//! No bytes make the decoder of messages or of single values panic, overflow, or set aside memory beyond its limits; and a
//! view of a message says what its values say, or is refused for the same reason.

#![no_main]

use libfuzzer_sys::fuzz_target;
use xpc_object::{Bytes, MessageView, decode_message, decode_value};

fuzz_target!(|input: &[u8]| {
    let input = Bytes::copy_from_slice(input);
    let values = decode_message(&input).map(|(values, _)| values);
    let view = MessageView::new(&input).map(|view| view.to_dictionary());
    // As text, since a double that is no number is not equal to itself.
    assert_eq!(format!("{view:?}"), format!("{values:?}"));
    let _ = decode_value(&input);
});
