//! The functions that set and get one type of value, in dictionaries and arrays.

#![cfg(target_os = "linux")]

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::{ptr, slice};

use xpc_runtime_sys::types::*;
use xpc_runtime_sys::xpc::*;
// With the `cfg` the declarations are linked with `libxpc_shim.so`.
#[cfg(not(xpc_runtime_force_apple))]
use xpc_shim as _;

/// `XPC_ARRAY_APPEND`
const APPEND: usize = usize::MAX;

#[test]
fn a_dictionary_gives_what_it_was_given_and_nothing_for_another_type() {
    let key = |text: &'static CStr| text.as_ptr();
    // SAFETY: a dictionary, keys that are C strings, and values of the types that the functions' names say.
    unsafe {
        let all = xpc_dictionary_create_empty();
        xpc_dictionary_set_bool(all, key(c"bool"), true);
        xpc_dictionary_set_int64(all, key(c"int64"), -1);
        xpc_dictionary_set_uint64(all, key(c"uint64"), 2);
        xpc_dictionary_set_double(all, key(c"double"), 0.5);
        xpc_dictionary_set_date(all, key(c"date"), 3);
        xpc_dictionary_set_string(all, key(c"string"), c"text".as_ptr());
        xpc_dictionary_set_uuid(all, key(c"uuid"), [7; 16].as_ptr());
        xpc_dictionary_set_data(all, key(c"data"), b"bytes".as_ptr().cast(), 5);
        assert!(xpc_dictionary_get_bool(all, key(c"bool")) && !xpc_dictionary_get_bool(all, key(c"int64")));
        assert_eq!(
            (xpc_dictionary_get_int64(all, key(c"int64")), xpc_dictionary_get_int64(all, key(c"uint64"))),
            (-1, 0)
        );
        assert_eq!(xpc_dictionary_get_uint64(all, key(c"uint64")), 2);
        assert_eq!(xpc_dictionary_get_double(all, key(c"double")), 0.5);
        assert_eq!(xpc_dictionary_get_date(all, key(c"date")), 3);
        assert_eq!(CStr::from_ptr(xpc_dictionary_get_string(all, key(c"string"))), c"text");
        assert!(xpc_dictionary_get_string(all, key(c"data")).is_null());
        assert_eq!(slice::from_raw_parts(xpc_dictionary_get_uuid(all, key(c"uuid")), 16), [7; 16]);
        let mut length = 0;
        let bytes = xpc_dictionary_get_data(all, key(c"data"), &raw mut length);
        assert_eq!(slice::from_raw_parts(bytes.cast::<u8>(), length), b"bytes");
        let (mut reader, writer) = std::io::pipe().unwrap();
        xpc_dictionary_set_fd(all, key(c"fd"), writer.as_raw_fd());
        drop(writer);
        File::from_raw_fd(xpc_dictionary_dup_fd(all, key(c"fd"))).write_all(b"through").unwrap();
        assert_eq!(xpc_dictionary_dup_fd(all, key(c"nothing")), -1);
        assert_eq!(xpc_dictionary_get_count(all), 9);
        xpc_release(all);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through", "nobody keeps the descriptor");
    }
}

#[test]
fn an_array_gives_what_it_was_given_and_nothing_for_another_type() {
    // SAFETY: an array with a value at each of these indices, and values of the types that the functions' names say.
    unsafe {
        let all = xpc_array_create_empty();
        xpc_array_set_bool(all, APPEND, true);
        xpc_array_set_int64(all, APPEND, -1);
        xpc_array_set_uint64(all, APPEND, 2);
        xpc_array_set_double(all, APPEND, 0.5);
        xpc_array_set_date(all, APPEND, 3);
        xpc_array_set_string(all, APPEND, c"text".as_ptr());
        xpc_array_set_uuid(all, APPEND, [7; 16].as_ptr());
        xpc_array_set_data(all, APPEND, b"bytes".as_ptr().cast(), 5);
        let file = File::open("/dev/null").unwrap();
        xpc_array_set_fd(all, APPEND, file.as_raw_fd());
        let inner: [xpc_object_t; 2] = [xpc_array_create(ptr::null(), 0), xpc_dictionary_create_empty()];
        inner.into_iter().for_each(|value| {
            xpc_array_append_value(all, value);
            xpc_release(value);
        });
        assert!(xpc_array_get_bool(all, 0) && !xpc_array_get_bool(all, 1));
        assert_eq!((xpc_array_get_int64(all, 1), xpc_array_get_int64(all, 2)), (-1, 0));
        assert_eq!(
            (xpc_array_get_uint64(all, 2), xpc_array_get_double(all, 3), xpc_array_get_date(all, 4)),
            (2, 0.5, 3)
        );
        assert_eq!(CStr::from_ptr(xpc_array_get_string(all, 5)), c"text");
        assert!(xpc_array_get_string(all, 6).is_null());
        assert_eq!(slice::from_raw_parts(xpc_array_get_uuid(all, 6), 16), [7; 16]);
        let mut length = 0;
        let bytes = xpc_array_get_data(all, 7, &raw mut length);
        assert_eq!(slice::from_raw_parts(bytes.cast::<u8>(), length), b"bytes");
        drop(File::from_raw_fd(xpc_array_dup_fd(all, 8)));
        assert_eq!(xpc_array_dup_fd(all, 7), -1);
        assert_eq!((xpc_array_get_array(all, 9), xpc_array_get_dictionary(all, 10)), (inner[0], inner[1]));
        assert!(xpc_array_get_array(all, 10).is_null());
        xpc_array_set_int64(all, 0, 9);
        assert_eq!((xpc_array_get_int64(all, 0), xpc_array_get_count(all)), (9, 11));
        xpc_release(all);
    }
}
