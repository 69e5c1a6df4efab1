//! Any value.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use xpc_object::{Array, Date, Dictionary, Object, Uuid};

/// Any value but doubles that are no number, which are not equal to themselves.
pub fn objects() -> impl Strategy<Value = Object> {
    let leaf = prop_oneof![
        Just(Object::Null),
        any::<bool>().prop_map(Object::from),
        any::<i64>().prop_map(Object::from),
        any::<u64>().prop_map(Object::from),
        any::<f64>().prop_filter("not a number", |value| !value.is_nan()).prop_map(Object::from),
        any::<i64>().prop_map(|value| Date::from_nanoseconds(value).into()),
        vec(any::<u8>(), 0..40).prop_map(Object::from),
        "[^\0]{0,20}".prop_map(Object::from),
        any::<[u8; 16]>().prop_map(|value| Uuid::from_bytes(value).into()),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(|values| Array::from(values).into()),
            btree_map("[^\0]{0,9}", inner, 0..8).prop_map(|values| values.into_iter().collect::<Dictionary>().into()),
        ]
    })
}
