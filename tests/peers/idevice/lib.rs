//! The encoding against another implementation in Rust, in both directions: crate `idevice`, which speaks RemoteXPC with
//! devices of Apple's. `cargo xtask test peers` runs it.

#[cfg(test)]
#[path = "../../../xpc-runtime/object/tests/values/mod.rs"]
mod values;

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use idevice::xpc::XPCObject;
    use proptest::prelude::*;
    use xpc_object::{Date, Object, decode_value, encode_value};

    use crate::values::objects;

    /// What stands before a value in RemoteXPC: the magic number, and the version.
    const HEAD: [u8; 8] = [0x42, 0x37, 0x13, 0x42, 5, 0, 0, 0];

    /// The peer's value. It cannot write dates before 1970, so that ours are changed to later ones first.
    fn theirs(value: &Object) -> XPCObject {
        match value {
            Object::Null => XPCObject::Null,
            Object::Bool(value) => XPCObject::Bool(*value),
            Object::Int64(value) => XPCObject::Int64(*value),
            Object::Uint64(value) => XPCObject::UInt64(*value),
            Object::Double(value) => XPCObject::Double(*value),
            Object::Date(value) => {
                let since = u64::try_from(value.nanoseconds()).expect("a date after 1970");
                XPCObject::Date(UNIX_EPOCH + Duration::from_nanos(since))
            }
            Object::Data(value) => XPCObject::Data(value.to_vec()),
            Object::String(value) => XPCObject::String(value.clone()),
            Object::Uuid(value) => XPCObject::Uuid(uuid::Uuid::from_bytes(*value.as_bytes())),
            Object::Array(values) => XPCObject::Array(values.iter().map(theirs).collect()),
            Object::Dictionary(values) => {
                let pairs = values.iter().map(|(key, value)| (key.to_owned(), theirs(value)));
                XPCObject::Dictionary(pairs.collect())
            }
            other => panic!("the peer has no {other:?}"),
        }
    }

    fn after_1970(value: Object) -> Object {
        match value {
            Object::Date(value) if value.nanoseconds() < 0 => Date::from_nanoseconds(!value.nanoseconds()).into(),
            Object::Array(values) => Object::Array(values.into_iter().map(after_1970).collect()),
            Object::Dictionary(values) => {
                Object::Dictionary(values.into_iter().map(|(key, value)| (key, after_1970(value))).collect())
            }
            other => other,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn idevice_reads_what_we_write_and_writes_what_we_read(value in objects().prop_map(after_1970)) {
            let ours = [&HEAD[..], &encode_value(&value).unwrap()].concat();
            let theirs = theirs(&value);
            prop_assert_eq!(&XPCObject::decode(&ours).unwrap(), &theirs);
            let encoded = theirs.encode().unwrap();
            prop_assert_eq!(&encoded, &ours);
            prop_assert_eq!(decode_value(&bytes::Bytes::from(encoded).slice(HEAD.len()..)).unwrap(), value);
        }
    }
}
