//! No bytes make the reader of property lists panic, overflow the stack or set aside memory beyond its limits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reading::read_property_list;

fuzz_target!(|input: &[u8]| {
    let _ = read_property_list(input);
});
