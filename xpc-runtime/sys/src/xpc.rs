//! `xpc/xpc.h`: values, messages, `xpc_main` and transactions.

use std::ffi::{c_char, c_int, c_uchar, c_void};

use crate::types::{
    block_t, dispatch_data_t, dispatch_queue_t, mach_port_t, va_list, xpc_bool_s, xpc_connection_handler_t,
    xpc_connection_t, xpc_object_t, xpc_type_s, xpc_type_t,
};

/// The index that appends, in every setter of an array.
pub const XPC_ARRAY_APPEND: usize = usize::MAX;
/// The version of the interface that the headers are of.
pub const XPC_API_VERSION: u32 = 20200610;

unsafe extern "C" {
    /// macOS 10.7.
    pub static _xpc_type_connection: xpc_type_s;
    /// macOS 10.7.
    pub static _xpc_type_endpoint: xpc_type_s;
    /// macOS 10.7.
    pub static _xpc_type_null: xpc_type_s;
    /// macOS 10.7.
    pub static _xpc_type_bool: xpc_type_s;
    /// macOS 10.7.
    pub static _xpc_bool_true: xpc_bool_s;
    /// macOS 10.7.
    pub static _xpc_bool_false: xpc_bool_s;
    /// macOS 10.7.
    pub static _xpc_type_int64: xpc_type_s;
    /// macOS 10.7.
    pub static _xpc_type_uint64: xpc_type_s;
    /// macOS 10.7.
    pub static _xpc_type_double: xpc_type_s;
    /// macOS 10.7.
    pub static _xpc_type_date: xpc_type_s;
    /// macOS 10.7.
    pub static _xpc_type_data: xpc_type_s;
    /// macOS 10.7.
    pub static _xpc_type_string: xpc_type_s;
    /// macOS 10.7.
    pub static _xpc_type_uuid: xpc_type_s;
    /// macOS 10.7.
    pub static _xpc_type_fd: xpc_type_s;
    /// macOS 10.7.
    pub static _xpc_type_shmem: xpc_type_s;
    /// macOS 10.7.
    pub static _xpc_type_array: xpc_type_s;
    /// macOS 10.7.
    pub static _xpc_type_dictionary: xpc_type_s;
    /// macOS 10.7.
    pub static _xpc_type_error: xpc_type_s;
    /// macOS 10.7.
    pub static _xpc_error_key_description: *const c_char;
    /// macOS 10.7.
    pub static _xpc_event_key_name: *const c_char;
    /// macOS 10.7. Returns its argument.
    pub fn xpc_retain(object: xpc_object_t) -> xpc_object_t;
    /// macOS 10.7.
    pub fn xpc_release(object: xpc_object_t);
    /// macOS 10.7.
    pub fn xpc_get_type(object: xpc_object_t) -> xpc_type_t;
    /// macOS 10.15.
    pub fn xpc_type_get_name(type_: xpc_type_t) -> *const c_char;
    /// macOS 10.7. Owned; null where the object cannot be copied, as a connection.
    pub fn xpc_copy(object: xpc_object_t) -> xpc_object_t;
    /// macOS 10.7.
    pub fn xpc_equal(object1: xpc_object_t, object2: xpc_object_t) -> bool;
    /// macOS 10.7. Equal objects have equal hashes, within one process.
    pub fn xpc_hash(object: xpc_object_t) -> usize;
    /// macOS 10.7. To be freed with `free`.
    pub fn xpc_copy_description(object: xpc_object_t) -> *mut c_char;
    /// macOS 10.7. Owned.
    pub fn xpc_null_create() -> xpc_object_t;
    /// macOS 10.7. Owned.
    pub fn xpc_bool_create(value: bool) -> xpc_object_t;
    /// macOS 10.7.
    pub fn xpc_bool_get_value(xbool: xpc_object_t) -> bool;
    /// macOS 10.7. Owned.
    pub fn xpc_int64_create(value: i64) -> xpc_object_t;
    /// macOS 10.7.
    pub fn xpc_int64_get_value(xint: xpc_object_t) -> i64;
    /// macOS 10.7. Owned.
    pub fn xpc_uint64_create(value: u64) -> xpc_object_t;
    /// macOS 10.7.
    pub fn xpc_uint64_get_value(xuint: xpc_object_t) -> u64;
    /// macOS 10.7. Owned.
    pub fn xpc_double_create(value: f64) -> xpc_object_t;
    /// macOS 10.7.
    pub fn xpc_double_get_value(xdouble: xpc_object_t) -> f64;
    /// macOS 10.7. Owned. Nanoseconds since 1970.
    pub fn xpc_date_create(interval: i64) -> xpc_object_t;
    /// macOS 10.7. Owned.
    pub fn xpc_date_create_from_current() -> xpc_object_t;
    /// macOS 10.7.
    pub fn xpc_date_get_value(xdate: xpc_object_t) -> i64;
    /// macOS 10.7. Owned.
    pub fn xpc_data_create(bytes: *const c_void, length: usize) -> xpc_object_t;
    /// macOS 10.7. Owned.
    pub fn xpc_data_create_with_dispatch_data(ddata: dispatch_data_t) -> xpc_object_t;
    /// macOS 10.7.
    pub fn xpc_data_get_length(xdata: xpc_object_t) -> usize;
    /// macOS 10.7.
    pub fn xpc_data_get_bytes_ptr(xdata: xpc_object_t) -> *const c_void;
    /// macOS 10.7. How many bytes were copied.
    pub fn xpc_data_get_bytes(xdata: xpc_object_t, buffer: *mut c_void, off: usize, length: usize) -> usize;
    /// macOS 10.7. Owned.
    pub fn xpc_string_create(string: *const c_char) -> xpc_object_t;
    /// macOS 10.7. Owned. Formats as `printf` does.
    pub fn xpc_string_create_with_format(fmt: *const c_char, ...) -> xpc_object_t;
    /// macOS 10.7. Owned.
    pub fn xpc_string_create_with_format_and_arguments(fmt: *const c_char, ap: va_list) -> xpc_object_t;
    /// macOS 10.7.
    pub fn xpc_string_get_length(xstring: xpc_object_t) -> usize;
    /// macOS 10.7.
    pub fn xpc_string_get_string_ptr(xstring: xpc_object_t) -> *const c_char;
    /// macOS 10.7. Owned. Sixteen bytes are read.
    pub fn xpc_uuid_create(uuid: *const c_uchar) -> xpc_object_t;
    /// macOS 10.7. Sixteen bytes, borrowed.
    pub fn xpc_uuid_get_bytes(xuuid: xpc_object_t) -> *const u8;
    /// macOS 10.7. Owned; null where `fd` is no open descriptor. Duplicates it.
    pub fn xpc_fd_create(fd: c_int) -> xpc_object_t;
    /// macOS 10.7. A new descriptor, the caller's to close; -1 where there can be none.
    pub fn xpc_fd_dup(xfd: xpc_object_t) -> c_int;
    /// macOS 10.7. Owned. `region` comes from `mmap` with `MAP_SHARED`, or from Mach.
    pub fn xpc_shmem_create(region: *mut c_void, length: usize) -> xpc_object_t;
    /// macOS 10.7. The length of the region, which is the caller's to `munmap`; 0 where it cannot be mapped.
    pub fn xpc_shmem_map(xshmem: xpc_object_t, region: *mut *mut c_void) -> usize;
    /// macOS 10.7. Owned.
    pub fn xpc_array_create(objects: *const xpc_object_t, count: usize) -> xpc_object_t;
    /// macOS 11.0. Owned.
    pub fn xpc_array_create_empty() -> xpc_object_t;
    /// macOS 10.7.
    pub fn xpc_array_set_value(xarray: xpc_object_t, index: usize, value: xpc_object_t);
    /// macOS 10.7.
    pub fn xpc_array_append_value(xarray: xpc_object_t, value: xpc_object_t);
    /// macOS 10.7.
    pub fn xpc_array_get_count(xarray: xpc_object_t) -> usize;
    /// macOS 10.7.
    pub fn xpc_array_get_value(xarray: xpc_object_t, index: usize) -> xpc_object_t;
    /// macOS 10.7. The block does not escape. True where it returned true for every value.
    pub fn xpc_array_apply(xarray: xpc_object_t, applier: block_t) -> bool;
    /// macOS 10.7.
    pub fn xpc_array_set_bool(xarray: xpc_object_t, index: usize, value: bool);
    /// macOS 10.7.
    pub fn xpc_array_set_int64(xarray: xpc_object_t, index: usize, value: i64);
    /// macOS 10.7.
    pub fn xpc_array_set_uint64(xarray: xpc_object_t, index: usize, value: u64);
    /// macOS 10.7.
    pub fn xpc_array_set_double(xarray: xpc_object_t, index: usize, value: f64);
    /// macOS 10.7.
    pub fn xpc_array_set_date(xarray: xpc_object_t, index: usize, value: i64);
    /// macOS 10.7.
    pub fn xpc_array_set_data(xarray: xpc_object_t, index: usize, bytes: *const c_void, length: usize);
    /// macOS 10.7.
    pub fn xpc_array_set_string(xarray: xpc_object_t, index: usize, string: *const c_char);
    /// macOS 10.7.
    pub fn xpc_array_set_uuid(xarray: xpc_object_t, index: usize, uuid: *const c_uchar);
    /// macOS 10.7.
    pub fn xpc_array_set_fd(xarray: xpc_object_t, index: usize, fd: c_int);
    /// macOS 10.7.
    pub fn xpc_array_set_connection(xarray: xpc_object_t, index: usize, connection: xpc_connection_t);
    /// macOS 10.7.
    pub fn xpc_array_get_bool(xarray: xpc_object_t, index: usize) -> bool;
    /// macOS 10.7.
    pub fn xpc_array_get_int64(xarray: xpc_object_t, index: usize) -> i64;
    /// macOS 10.7.
    pub fn xpc_array_get_uint64(xarray: xpc_object_t, index: usize) -> u64;
    /// macOS 10.7.
    pub fn xpc_array_get_double(xarray: xpc_object_t, index: usize) -> f64;
    /// macOS 10.7.
    pub fn xpc_array_get_date(xarray: xpc_object_t, index: usize) -> i64;
    /// macOS 10.7.
    pub fn xpc_array_get_data(xarray: xpc_object_t, index: usize, length: *mut usize) -> *const c_void;
    /// macOS 10.7.
    pub fn xpc_array_get_string(xarray: xpc_object_t, index: usize) -> *const c_char;
    /// macOS 10.7.
    pub fn xpc_array_get_uuid(xarray: xpc_object_t, index: usize) -> *const u8;
    /// macOS 10.7. A new descriptor, the caller's to close; -1 where the value is none.
    pub fn xpc_array_dup_fd(xarray: xpc_object_t, index: usize) -> c_int;
    /// macOS 10.7. Owned.
    pub fn xpc_array_create_connection(xarray: xpc_object_t, index: usize) -> xpc_connection_t;
    /// macOS 10.11.
    pub fn xpc_array_get_dictionary(xarray: xpc_object_t, index: usize) -> xpc_object_t;
    /// macOS 10.11.
    pub fn xpc_array_get_array(xarray: xpc_object_t, index: usize) -> xpc_object_t;
    /// macOS 10.7. Owned.
    pub fn xpc_dictionary_create(keys: *const *const c_char, values: *const xpc_object_t, count: usize)
    -> xpc_object_t;
    /// macOS 11.0. Owned.
    pub fn xpc_dictionary_create_empty() -> xpc_object_t;
    /// macOS 10.7. Owned; null where `original` was not received with a wish for a reply.
    pub fn xpc_dictionary_create_reply(original: xpc_object_t) -> xpc_object_t;
    /// macOS 10.7.
    pub fn xpc_dictionary_set_value(xdict: xpc_object_t, key: *const c_char, value: xpc_object_t);
    /// macOS 10.7.
    pub fn xpc_dictionary_get_value(xdict: xpc_object_t, key: *const c_char) -> xpc_object_t;
    /// macOS 10.7.
    pub fn xpc_dictionary_get_count(xdict: xpc_object_t) -> usize;
    /// macOS 10.7. The block does not escape. True where it returned true for every value.
    pub fn xpc_dictionary_apply(xdict: xpc_object_t, applier: block_t) -> bool;
    /// macOS 10.7. Borrowed; null where the dictionary was not received.
    pub fn xpc_dictionary_get_remote_connection(xdict: xpc_object_t) -> xpc_connection_t;
    /// macOS 10.7.
    pub fn xpc_dictionary_set_bool(xdict: xpc_object_t, key: *const c_char, value: bool);
    /// macOS 10.7.
    pub fn xpc_dictionary_set_int64(xdict: xpc_object_t, key: *const c_char, value: i64);
    /// macOS 10.7.
    pub fn xpc_dictionary_set_uint64(xdict: xpc_object_t, key: *const c_char, value: u64);
    /// macOS 10.7.
    pub fn xpc_dictionary_set_double(xdict: xpc_object_t, key: *const c_char, value: f64);
    /// macOS 10.7.
    pub fn xpc_dictionary_set_date(xdict: xpc_object_t, key: *const c_char, value: i64);
    /// macOS 10.7.
    pub fn xpc_dictionary_set_data(xdict: xpc_object_t, key: *const c_char, bytes: *const c_void, length: usize);
    /// macOS 10.7.
    pub fn xpc_dictionary_set_string(xdict: xpc_object_t, key: *const c_char, string: *const c_char);
    /// macOS 10.7.
    pub fn xpc_dictionary_set_uuid(xdict: xpc_object_t, key: *const c_char, uuid: *const c_uchar);
    /// macOS 10.7.
    pub fn xpc_dictionary_set_fd(xdict: xpc_object_t, key: *const c_char, fd: c_int);
    /// macOS 10.7.
    pub fn xpc_dictionary_set_connection(xdict: xpc_object_t, key: *const c_char, connection: xpc_connection_t);
    /// macOS 10.7.
    pub fn xpc_dictionary_set_mach_send(xdict: xpc_object_t, key: *const c_char, p: mach_port_t);
    /// macOS 10.7.
    pub fn xpc_dictionary_get_bool(xdict: xpc_object_t, key: *const c_char) -> bool;
    /// macOS 10.7.
    pub fn xpc_dictionary_get_int64(xdict: xpc_object_t, key: *const c_char) -> i64;
    /// macOS 10.7.
    pub fn xpc_dictionary_get_uint64(xdict: xpc_object_t, key: *const c_char) -> u64;
    /// macOS 10.7.
    pub fn xpc_dictionary_get_double(xdict: xpc_object_t, key: *const c_char) -> f64;
    /// macOS 10.7.
    pub fn xpc_dictionary_get_date(xdict: xpc_object_t, key: *const c_char) -> i64;
    /// macOS 10.7.
    pub fn xpc_dictionary_get_data(xdict: xpc_object_t, key: *const c_char, length: *mut usize) -> *const c_void;
    /// macOS 10.7.
    pub fn xpc_dictionary_get_string(xdict: xpc_object_t, key: *const c_char) -> *const c_char;
    /// macOS 10.7.
    pub fn xpc_dictionary_get_uuid(xdict: xpc_object_t, key: *const c_char) -> *const u8;
    /// macOS 10.7. A new descriptor, the caller's to close; -1 where the value is none.
    pub fn xpc_dictionary_dup_fd(xdict: xpc_object_t, key: *const c_char) -> c_int;
    /// macOS 10.7. Owned.
    pub fn xpc_dictionary_create_connection(xdict: xpc_object_t, key: *const c_char) -> xpc_connection_t;
    /// macOS 10.11.
    pub fn xpc_dictionary_get_dictionary(xdict: xpc_object_t, key: *const c_char) -> xpc_object_t;
    /// macOS 10.11.
    pub fn xpc_dictionary_get_array(xdict: xpc_object_t, key: *const c_char) -> xpc_object_t;
    /// macOS 10.7. A send right, the caller's to deallocate; `MACH_PORT_NULL` where there is none.
    pub fn xpc_dictionary_copy_mach_send(xdict: xpc_object_t, key: *const c_char) -> mach_port_t;
    /// macOS 10.7. Never returns; aborts where the process was not launched as an XPC service.
    pub fn xpc_main(handler: xpc_connection_handler_t) -> !;
    /// macOS 10.7.
    pub fn xpc_transaction_begin();
    /// macOS 10.7.
    pub fn xpc_transaction_end();
    /// macOS 10.7. For launchd's `LaunchEvents`.
    pub fn xpc_set_event_stream_handler(stream: *const c_char, targetq: dispatch_queue_t, handler: block_t);
}

weak! {
    /// The header names no version; rich errors came with sessions: macOS 13.0.
    static _xpc_type_rich_error: xpc_type_s;
}
