//! Arrays.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::Mutex;

use crate::block::Applier;
use crate::connection::{xpc_connection_create_from_endpoint, xpc_endpoint_create};
use crate::lock;
use crate::object::{Lent, Object, Ref};
use crate::text::{Memory, Out, Text};
use crate::value::{
    Value, xpc_bool_create, xpc_data_create, xpc_date_create, xpc_double_create, xpc_fd_create, xpc_fd_dup,
};
use crate::value::{xpc_int64_create, xpc_string_create, xpc_uint64_create, xpc_uuid_create};

/// `XPC_ARRAY_APPEND`
const APPEND: usize = usize::MAX;

fn array<'a>(object: Lent, function: &str) -> &'a Mutex<Vec<Ref>> {
    match object.value() {
        Value::Array(values) => values,
        other => misuse!("{function} is called for a {}", other.name()),
    }
}

fn put(object: Lent, function: &str, index: usize, value: Ref) {
    let mut values = lock(array(object, function));
    if index == APPEND {
        values.push(value);
    } else if index < values.len() {
        let old = std::mem::replace(&mut values[index], value);
        drop(values);
        drop(old);
    } else {
        misuse!("{function} is called for index {index} of {}", values.len());
    }
}

/// `xpc_object_t xpc_array_create(const xpc_object_t *, size_t)`
///
/// # Safety
/// There are `count` objects.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpc_array_create(objects: *const Lent, count: usize) -> *mut Object {
    // SAFETY: within the array, by this function's contract.
    let values = (0..count).map(|index| unsafe { *objects.add(index) }.retained());
    Ref::new(Value::Array(Mutex::new(values.collect()))).into_owned()
}

/// `xpc_object_t xpc_array_create_empty(void)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_array_create_empty() -> *mut Object {
    Ref::new(Value::Array(Mutex::default())).into_owned()
}

/// `void xpc_array_set_value(xpc_object_t, size_t, xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_array_set_value(object: Lent, index: usize, value: Lent) {
    put(object, "xpc_array_set_value", index, value.retained());
}

/// `void xpc_array_append_value(xpc_object_t, xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_array_append_value(object: Lent, value: Lent) {
    put(object, "xpc_array_append_value", APPEND, value.retained());
}

/// `size_t xpc_array_get_count(xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_array_get_count(object: Lent) -> usize {
    lock(array(object, "xpc_array_get_count")).len()
}

/// `xpc_object_t xpc_array_get_value(xpc_object_t, size_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_array_get_value(object: Lent, index: usize) -> *mut Object {
    // The array keeps it.
    get(object, "xpc_array_get_value", index).lend()
}

/// `bool xpc_array_apply(xpc_object_t, xpc_array_applier_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_array_apply(object: Lent, applier: Applier<usize>) -> bool {
    let values = lock(array(object, "xpc_array_apply")).clone();
    values.iter().enumerate().all(|(index, value)| applier.call(index, value.lend()))
}

/// The value at an index, which has to be there.
fn get(object: Lent, function: &str, index: usize) -> Ref {
    let values = lock(array(object, function));
    match values.get(index) {
        Some(value) => value.clone(),
        None => misuse!("{function} is called for index {index} of {}", values.len()),
    }
}

macro_rules! elements {
    ($($set:ident($argument:ident: $type:ty) => $create:expr, $get:ident -> $result:ty, $pattern:pat => $read:expr, $none:expr;)*) => {$(
        #[doc = concat!("`", stringify!($set), "`")]
        #[unsafe(no_mangle)]
        pub extern "C" fn $set(object: Lent, index: usize, $argument: $type) {
            put(object, stringify!($set), index, Lent::owned($create));
        }

        #[doc = concat!("`", stringify!($get), "`")]
        #[unsafe(no_mangle)]
        pub extern "C" fn $get(object: Lent, index: usize) -> $result {
            // The array keeps it.
            match get(object, stringify!($get), index).value() {
                $pattern => $read,
                _ => $none,
            }
        }
    )*};
}

elements! {
    xpc_array_set_bool(value: bool) => xpc_bool_create(value),
        xpc_array_get_bool -> bool, Value::Bool(value) => *value, false;
    xpc_array_set_int64(value: i64) => xpc_int64_create(value),
        xpc_array_get_int64 -> i64, Value::Int64(value) => *value, 0;
    xpc_array_set_uint64(value: u64) => xpc_uint64_create(value),
        xpc_array_get_uint64 -> u64, Value::Uint64(value) => *value, 0;
    xpc_array_set_double(value: f64) => xpc_double_create(value),
        xpc_array_get_double -> f64, Value::Double(value) => *value, 0.0;
    xpc_array_set_date(value: i64) => xpc_date_create(value),
        xpc_array_get_date -> i64, Value::Date(value) => *value, 0;
    xpc_array_set_string(value: Text) => xpc_string_create(value),
        xpc_array_get_string -> *const c_char, Value::String(value) => value.as_ptr(), ptr::null();
    xpc_array_set_uuid(value: Memory) => xpc_uuid_create(value),
        xpc_array_get_uuid -> *const u8, Value::Uuid(value) => value.as_ptr(), ptr::null();
}

/// `void xpc_array_set_data(xpc_object_t, size_t, const void *, size_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_array_set_data(object: Lent, index: usize, bytes: Memory, length: usize) {
    put(object, "xpc_array_set_data", index, Lent::owned(xpc_data_create(bytes, length)));
}

/// `const void *xpc_array_get_data(xpc_object_t, size_t, size_t *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_array_get_data(object: Lent, index: usize, length: Out<usize>) -> *const c_void {
    match get(object, "xpc_array_get_data", index).value() {
        Value::Data(data) => {
            length.set(data.len());
            data.as_ptr().cast()
        }
        _ => ptr::null(),
    }
}

/// `void xpc_array_set_fd(xpc_object_t, size_t, int)`
///
/// # Safety
/// As for `xpc_fd_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpc_array_set_fd(object: Lent, index: usize, descriptor: c_int) {
    // SAFETY: by this function's contract.
    let value = unsafe { xpc_fd_create(descriptor) };
    if !value.is_null() {
        put(object, "xpc_array_set_fd", index, Lent::owned(value));
    }
}

/// `int xpc_array_dup_fd(xpc_object_t, size_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_array_dup_fd(object: Lent, index: usize) -> c_int {
    let value = get(object, "xpc_array_dup_fd", index);
    if matches!(value.value(), Value::Fd(_)) { xpc_fd_dup(Lent::of(&value)) } else { -1 }
}

/// `void xpc_array_set_connection(xpc_object_t, size_t, xpc_connection_t)`: its endpoint.
#[unsafe(no_mangle)]
pub extern "C" fn xpc_array_set_connection(object: Lent, index: usize, connection: Lent) {
    put(object, "xpc_array_set_connection", index, Lent::owned(xpc_endpoint_create(connection)));
}

/// `xpc_connection_t xpc_array_create_connection(xpc_object_t, size_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_array_create_connection(object: Lent, index: usize) -> *mut Object {
    let value = get(object, "xpc_array_create_connection", index);
    let is_endpoint = matches!(value.value(), Value::Endpoint(_));
    if is_endpoint { xpc_connection_create_from_endpoint(Lent::of(&value)) } else { ptr::null_mut() }
}

macro_rules! nested {
    ($($get:ident: $pattern:pat,)*) => {$(
        #[doc = concat!("`", stringify!($get), "`")]
        #[unsafe(no_mangle)]
        pub extern "C" fn $get(object: Lent, index: usize) -> *mut Object {
            let value = get(object, stringify!($get), index);
            if matches!(value.value(), $pattern) { value.lend() } else { ptr::null_mut() }
        }
    )*};
}

nested! {
    xpc_array_get_dictionary: Value::Dictionary(_),
    xpc_array_get_array: Value::Array(_),
}
