//! Dictionaries; those that were received, and those that reply, are messages too.

use std::collections::BTreeMap;
use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::Mutex;

use crate::block::Applier;
use crate::connection::{xpc_connection_create_from_endpoint, xpc_endpoint_create};
use crate::error::DESCRIPTION;
use crate::lock;
use crate::message::Origin;
use crate::object::{Lent, Object, Ref};
use crate::text::{Memory, Out, Text};
use crate::value::{
    Value, xpc_bool_create, xpc_data_create, xpc_date_create, xpc_double_create, xpc_fd_create, xpc_fd_dup,
};
use crate::value::{xpc_int64_create, xpc_string_create, xpc_uint64_create, xpc_uuid_create};

pub type Entries = BTreeMap<CString, Ref>;

#[derive(Default)]
pub struct Dictionary {
    pub entries: Mutex<Entries>,
    /// Where it comes from, or what it replies to.
    pub origin: Origin,
}

impl Dictionary {
    pub fn with(entries: Entries) -> Self {
        Self { entries: Mutex::new(entries), origin: Origin::default() }
    }

    fn get(&self, key: Text) -> Option<Ref> {
        lock(&self.entries).get(key.expect("the key")).cloned()
    }

    fn set(&self, key: Text, value: Ref) {
        let key = key.expect("the key").to_owned();
        let old = lock(&self.entries).insert(key, value);
        drop(old);
    }
}

/// The dictionary that C means.
pub fn dictionary<'a>(object: Lent, function: &str) -> &'a Dictionary {
    match object.value() {
        Value::Dictionary(dictionary) => dictionary,
        other => misuse!("{function} is called for a {}", other.name()),
    }
}

/// `xpc_object_t xpc_dictionary_create(const char *const *, const xpc_object_t *, size_t)`
///
/// # Safety
/// There are `count` keys and values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpc_dictionary_create(keys: *const Text, values: *const Lent, count: usize) -> *mut Object {
    let created = Dictionary::default();
    for index in 0..count {
        // SAFETY: within the arrays, by this function's contract.
        let (key, value) = unsafe { (*keys.add(index), *values.add(index)) };
        created.set(key, value.retained());
    }
    Ref::new(Value::Dictionary(created)).into_owned()
}

/// `xpc_object_t xpc_dictionary_create_empty(void)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_dictionary_create_empty() -> *mut Object {
    Ref::new(Value::Dictionary(Dictionary::default())).into_owned()
}

/// `void xpc_dictionary_set_value(xpc_object_t, const char *, xpc_object_t)`: null removes.
#[unsafe(no_mangle)]
pub extern "C" fn xpc_dictionary_set_value(object: Lent, key: Text, value: Lent) {
    let dictionary = dictionary(object, "xpc_dictionary_set_value");
    if value.is_null() {
        let old = lock(&dictionary.entries).remove(key.expect("the key"));
        drop(old);
    } else {
        if ptr::eq(object.get(), value.get()) {
            misuse!("a dictionary is put into itself");
        }
        dictionary.set(key, value.retained());
    }
}

/// `xpc_object_t xpc_dictionary_get_value(xpc_object_t, const char *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_dictionary_get_value(object: Lent, key: Text) -> *mut Object {
    // The dictionary keeps it.
    dictionary(object, "xpc_dictionary_get_value").get(key).map_or(ptr::null_mut(), |value| value.lend())
}

/// `size_t xpc_dictionary_get_count(xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_dictionary_get_count(object: Lent) -> usize {
    lock(&dictionary(object, "xpc_dictionary_get_count").entries).len()
}

/// `bool xpc_dictionary_apply(xpc_object_t, xpc_dictionary_applier_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_dictionary_apply(object: Lent, applier: Applier<*const c_char>) -> bool {
    let entries: Vec<_> = {
        let entries = lock(&dictionary(object, "xpc_dictionary_apply").entries);
        entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    entries.iter().all(|(key, value)| applier.call(key.as_ptr(), value.lend()))
}

macro_rules! entries {
    ($($set:ident($($argument:ident: $type:ty),*) => $create:expr, $get:ident -> $result:ty, $pattern:pat => $read:expr, $none:expr;)*) => {$(
        #[doc = concat!("`", stringify!($set), "`")]
        #[unsafe(no_mangle)]
        pub extern "C" fn $set(object: Lent, key: Text, $($argument: $type),*) {
            let value = Lent::owned($create);
            dictionary(object, stringify!($set)).set(key, value);
        }

        #[doc = concat!("`", stringify!($get), "`")]
        #[unsafe(no_mangle)]
        pub extern "C" fn $get(object: Lent, key: Text) -> $result {
            match dictionary(object, stringify!($get)).get(key).as_deref().map(Object::value) {
                Some($pattern) => $read,
                _ => $none,
            }
        }
    )*};
}

entries! {
    xpc_dictionary_set_bool(value: bool) => xpc_bool_create(value),
        xpc_dictionary_get_bool -> bool, Value::Bool(value) => *value, false;
    xpc_dictionary_set_int64(value: i64) => xpc_int64_create(value),
        xpc_dictionary_get_int64 -> i64, Value::Int64(value) => *value, 0;
    xpc_dictionary_set_uint64(value: u64) => xpc_uint64_create(value),
        xpc_dictionary_get_uint64 -> u64, Value::Uint64(value) => *value, 0;
    xpc_dictionary_set_double(value: f64) => xpc_double_create(value),
        xpc_dictionary_get_double -> f64, Value::Double(value) => *value, 0.0;
    xpc_dictionary_set_date(value: i64) => xpc_date_create(value),
        xpc_dictionary_get_date -> i64, Value::Date(value) => *value, 0;
    xpc_dictionary_set_uuid(value: Memory) => xpc_uuid_create(value),
        xpc_dictionary_get_uuid -> *const u8, Value::Uuid(value) => value.as_ptr(), ptr::null();
}

/// `void xpc_dictionary_set_string(xpc_object_t, const char *, const char *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_dictionary_set_string(object: Lent, key: Text, value: Text) {
    dictionary(object, "xpc_dictionary_set_string").set(key, Lent::owned(xpc_string_create(value)));
}

/// `const char *xpc_dictionary_get_string(xpc_object_t, const char *)`: an error is a dictionary too, with a description.
#[unsafe(no_mangle)]
pub extern "C" fn xpc_dictionary_get_string(object: Lent, key: Text) -> *const c_char {
    if let Value::Error(description) = object.value() {
        return if key.expect("the key") == DESCRIPTION { description.as_ptr() } else { ptr::null() };
    }
    match dictionary(object, "xpc_dictionary_get_string").get(key).as_deref().map(Object::value) {
        Some(Value::String(value)) => value.as_ptr(),
        _ => ptr::null(),
    }
}

/// `void xpc_dictionary_set_data(xpc_object_t, const char *, const void *, size_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_dictionary_set_data(object: Lent, key: Text, bytes: Memory, length: usize) {
    dictionary(object, "xpc_dictionary_set_data").set(key, Lent::owned(xpc_data_create(bytes, length)));
}

/// `const void *xpc_dictionary_get_data(xpc_object_t, const char *, size_t *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_dictionary_get_data(object: Lent, key: Text, length: Out<usize>) -> *const c_void {
    match dictionary(object, "xpc_dictionary_get_data").get(key).as_deref().map(Object::value) {
        Some(Value::Data(data)) => {
            length.set(data.len());
            data.as_ptr().cast()
        }
        _ => ptr::null(),
    }
}

macro_rules! nested {
    ($($get:ident: $pattern:pat,)*) => {$(
        #[doc = concat!("`", stringify!($get), "`")]
        #[unsafe(no_mangle)]
        pub extern "C" fn $get(object: Lent, key: Text) -> *mut Object {
            match dictionary(object, stringify!($get)).get(key) {
                Some(value) if matches!(value.value(), $pattern) => value.lend(),
                _ => ptr::null_mut(),
            }
        }
    )*};
}

nested! {
    xpc_dictionary_get_dictionary: Value::Dictionary(_),
    xpc_dictionary_get_array: Value::Array(_),
}

/// `void xpc_dictionary_set_fd(xpc_object_t, const char *, int)`
///
/// # Safety
/// As for `xpc_fd_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpc_dictionary_set_fd(object: Lent, key: Text, descriptor: c_int) {
    // SAFETY: by this function's contract.
    let value = unsafe { xpc_fd_create(descriptor) };
    if !value.is_null() {
        dictionary(object, "xpc_dictionary_set_fd").set(key, Lent::owned(value));
    }
}

/// `int xpc_dictionary_dup_fd(xpc_object_t, const char *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_dictionary_dup_fd(object: Lent, key: Text) -> c_int {
    match dictionary(object, "xpc_dictionary_dup_fd").get(key) {
        Some(value) if matches!(value.value(), Value::Fd(_)) => xpc_fd_dup(Lent::of(&value)),
        _ => -1,
    }
}

/// `void xpc_dictionary_set_connection(xpc_object_t, const char *, xpc_connection_t)`: its endpoint.
#[unsafe(no_mangle)]
pub extern "C" fn xpc_dictionary_set_connection(object: Lent, key: Text, connection: Lent) {
    let endpoint = Lent::owned(xpc_endpoint_create(connection));
    dictionary(object, "xpc_dictionary_set_connection").set(key, endpoint);
}

/// `xpc_connection_t xpc_dictionary_create_connection(xpc_object_t, const char *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_dictionary_create_connection(object: Lent, key: Text) -> *mut Object {
    match dictionary(object, "xpc_dictionary_create_connection").get(key) {
        Some(value) if matches!(value.value(), Value::Endpoint(_)) => {
            xpc_connection_create_from_endpoint(Lent::of(&value))
        }
        _ => ptr::null_mut(),
    }
}
