//! Every value that can be encoded is read back as it was, and no input makes the decoder panic.

mod values;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use values::objects;
use xpc_object::{
    Bytes, Dictionary, Flavour, Object, decode_message, decode_message_lossy, decode_value, encode_message,
    encode_value,
};

proptest! {
    #[test]
    fn values_round_trip(value in objects()) {
        let encoded = Bytes::from(encode_value(&value).unwrap());
        prop_assert_eq!(encoded.len() % 4, 0);
        prop_assert_eq!(decode_value(&encoded).unwrap(), value);
    }

    #[test]
    fn messages_round_trip(values in btree_map("[^\0]{0,9}", objects(), 0..4)) {
        let message: Dictionary = values.into_iter().collect();
        for flavour in [Flavour::Mach, Flavour::Remote] {
            let encoded = encode_message(&message, flavour).unwrap();
            let encoded = Bytes::from(encoded);
            prop_assert_eq!(decode_message_lossy(&encoded), decode_message(&encoded));
            prop_assert_eq!(decode_message(&encoded).unwrap(), (message.clone(), flavour));
        }
    }

    #[test]
    fn every_bit_of_a_double_survives(bits in any::<u64>()) {
        let encoded = encode_value(&f64::from_bits(bits).into()).unwrap();
        let Object::Double(value) = decode_value(&encoded.into()).unwrap() else { panic!("not a double") };
        prop_assert_eq!(value.to_bits(), bits);
    }

    #[test]
    fn damaged_messages_never_panic(value in objects(), position in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut encoded = encode_value(&value).unwrap();
        let position = position.index(encoded.len());
        encoded[position] = byte;
        encoded.truncate(cut.index(encoded.len() + 1));
        if let Ok(read) = decode_value(&encoded.into()) {
            // Whatever is accepted can be sent on, and means the same again.
            let again = encode_value(&read).unwrap();
            prop_assert_eq!(encode_value(&decode_value(&again.clone().into()).unwrap()).unwrap(), again);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(input in vec(any::<u8>(), 0..200)) {
        let _ = decode_value(&input.clone().into());
        let _ = decode_message(&input.clone().into());
        let _ = decode_message_lossy(&input.into());
    }
}
