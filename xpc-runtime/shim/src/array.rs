//! Arrays.

use std::ptr;
use std::sync::Mutex;

use crate::block::Applier;
use crate::lock;
use crate::object::{Lent, Object, Ref};
use crate::text::Text;
use crate::value::Value;

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

/// `void xpc_array_set_string(xpc_object_t, size_t, const char *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_array_set_string(object: Lent, index: usize, text: Text) {
    put(object, "xpc_array_set_string", index, Lent::owned(crate::value::xpc_string_create(text)));
}

/// `void xpc_array_set_int64(xpc_object_t, size_t, int64_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_array_set_int64(object: Lent, index: usize, value: i64) {
    put(object, "xpc_array_set_int64", index, Ref::new(Value::Int64(value)));
}

/// `size_t xpc_array_get_count(xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_array_get_count(object: Lent) -> usize {
    lock(array(object, "xpc_array_get_count")).len()
}

/// `xpc_object_t xpc_array_get_value(xpc_object_t, size_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_array_get_value(object: Lent, index: usize) -> *mut Object {
    let values = lock(array(object, "xpc_array_get_value"));
    match values.get(index) {
        // The array keeps it.
        Some(value) => value.lend(),
        None => misuse!("xpc_array_get_value is called for index {index} of {}", values.len()),
    }
}

/// `bool xpc_array_apply(xpc_object_t, xpc_array_applier_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_array_apply(object: Lent, applier: Applier<usize>) -> bool {
    let values = lock(array(object, "xpc_array_apply")).clone();
    values.iter().enumerate().all(|(index, value)| applier.call(index, value.lend()))
}

/// `const char *xpc_array_get_string(xpc_object_t, size_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_array_get_string(object: Lent, index: usize) -> *const std::ffi::c_char {
    match lock(array(object, "xpc_array_get_string")).get(index).map(|value| value.value()) {
        Some(Value::String(text)) => text.as_ptr(),
        _ => ptr::null(),
    }
}
