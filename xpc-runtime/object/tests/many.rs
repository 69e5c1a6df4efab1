//! The limit on the number of values, which takes a million of them: too many for Miri, which runs the other tests.

use xpc_object::{Array, DecodeErrorKind, EncodeError, Object, decode_value, encode_value, limits};

#[test]
fn the_number_of_values_is_limited_on_both_sides() {
    let many: Array = (0..limits::MAX_VALUES).map(|_| Object::Null).collect();
    assert_eq!(encode_value(&many.clone().into()), Err(EncodeError::TooManyValues));

    let count = u32::try_from(limits::MAX_VALUES).unwrap();
    let mut hostile = vec![0x00, 0xe0, 0, 0];
    hostile.extend((4 + 4 * count).to_le_bytes());
    hostile.extend(count.to_le_bytes());
    hostile.extend([0x00, 0x10, 0, 0].repeat(limits::MAX_VALUES));
    assert_eq!(decode_value(&hostile.into()), Err(DecodeErrorKind::TooManyValues.into()));
}
