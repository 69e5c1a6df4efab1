//! libxpc, one declaration for one of C's. All of these exist on macOS 11 and are in public headers (`xpc/xpc.h`,
//! `xpc/connection.h`, `Block.h`). The repository's `tests/bindings.rs` compares each with the headers.
//!
//! What C calls retained (`XPC_RETURNS_RETAINED`) is said to be owned here; other returned objects are borrowed from an
//! argument.

#![expect(non_camel_case_types, reason = "C's names")]

use std::ffi::{c_char, c_int, c_void};
use std::marker::{PhantomData, PhantomPinned};

macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[repr(C)]
        pub struct $name {
            opaque: [u8; 0],
            not_send_sync_or_unpin: PhantomData<(*mut u8, PhantomPinned)>,
        }
    )*};
}

opaque! {
    /// Any XPC object.
    xpc_object_s;
    /// The type of an object; its address is what counts.
    xpc_type_s;
    /// `const struct _xpc_dictionary_s`: one of the error constants.
    xpc_dictionary_s;
    /// A dispatch queue.
    dispatch_queue_s;
}

pub type xpc_object_t = *mut xpc_object_s;
pub type xpc_connection_t = xpc_object_t;
pub type xpc_type_t = *const xpc_type_s;
pub type dispatch_queue_t = *mut dispatch_queue_s;
/// A pointer to a block; see `block.rs`.
pub type block_t = *const c_void;
pub type xpc_connection_handler_t = unsafe extern "C" fn(connection: xpc_connection_t);

// What these do and require is said where they are called: each call has its own SAFETY.
unsafe extern "C" {
    pub static _xpc_type_null: xpc_type_s;
    pub static _xpc_type_bool: xpc_type_s;
    pub static _xpc_type_int64: xpc_type_s;
    pub static _xpc_type_uint64: xpc_type_s;
    pub static _xpc_type_double: xpc_type_s;
    pub static _xpc_type_date: xpc_type_s;
    pub static _xpc_type_data: xpc_type_s;
    pub static _xpc_type_string: xpc_type_s;
    pub static _xpc_type_uuid: xpc_type_s;
    pub static _xpc_type_array: xpc_type_s;
    pub static _xpc_type_dictionary: xpc_type_s;
    pub static _xpc_error_connection_interrupted: xpc_dictionary_s;
    pub static _xpc_error_connection_invalid: xpc_dictionary_s;
    /// `void *_NSConcreteStackBlock[32]`, the class of blocks that were not copied yet.
    pub static _NSConcreteStackBlock: [*mut c_void; 32];

    pub fn xpc_retain(object: xpc_object_t) -> xpc_object_t;
    pub fn xpc_release(object: xpc_object_t);
    pub fn xpc_get_type(object: xpc_object_t) -> xpc_type_t;

    pub fn xpc_null_create() -> xpc_object_t;
    pub fn xpc_bool_create(value: bool) -> xpc_object_t;
    pub fn xpc_bool_get_value(xbool: xpc_object_t) -> bool;
    pub fn xpc_int64_create(value: i64) -> xpc_object_t;
    pub fn xpc_int64_get_value(xint: xpc_object_t) -> i64;
    pub fn xpc_uint64_create(value: u64) -> xpc_object_t;
    pub fn xpc_uint64_get_value(xuint: xpc_object_t) -> u64;
    pub fn xpc_double_create(value: f64) -> xpc_object_t;
    pub fn xpc_double_get_value(xdouble: xpc_object_t) -> f64;
    pub fn xpc_date_create(interval: i64) -> xpc_object_t;
    pub fn xpc_date_get_value(xdate: xpc_object_t) -> i64;
    pub fn xpc_data_create(bytes: *const c_void, length: usize) -> xpc_object_t;
    pub fn xpc_data_get_length(xdata: xpc_object_t) -> usize;
    pub fn xpc_data_get_bytes_ptr(xdata: xpc_object_t) -> *const c_void;
    pub fn xpc_string_create(string: *const c_char) -> xpc_object_t;
    pub fn xpc_string_get_length(xstring: xpc_object_t) -> usize;
    pub fn xpc_string_get_string_ptr(xstring: xpc_object_t) -> *const c_char;
    pub fn xpc_uuid_create(uuid: *const u8) -> xpc_object_t;
    pub fn xpc_uuid_get_bytes(xuuid: xpc_object_t) -> *const u8;

    pub fn xpc_array_create(objects: *const xpc_object_t, count: usize) -> xpc_object_t;
    pub fn xpc_array_append_value(xarray: xpc_object_t, value: xpc_object_t);
    pub fn xpc_array_get_count(xarray: xpc_object_t) -> usize;
    pub fn xpc_array_get_value(xarray: xpc_object_t, index: usize) -> xpc_object_t;

    pub fn xpc_dictionary_create(keys: *const *const c_char, values: *const xpc_object_t, count: usize)
    -> xpc_object_t;
    pub fn xpc_dictionary_create_reply(original: xpc_object_t) -> xpc_object_t;
    pub fn xpc_dictionary_set_value(xdict: xpc_object_t, key: *const c_char, value: xpc_object_t);
    pub fn xpc_dictionary_apply(xdict: xpc_object_t, applier: block_t) -> bool;
    pub fn xpc_dictionary_get_remote_connection(xdict: xpc_object_t) -> xpc_connection_t;

    pub fn xpc_connection_create(name: *const c_char, targetq: dispatch_queue_t) -> xpc_connection_t;
    pub fn xpc_connection_set_event_handler(connection: xpc_connection_t, handler: block_t);
    pub fn xpc_connection_activate(connection: xpc_connection_t);
    pub fn xpc_connection_send_message(connection: xpc_connection_t, message: xpc_object_t);
    pub fn xpc_connection_send_barrier(connection: xpc_connection_t, barrier: block_t);
    pub fn xpc_connection_send_message_with_reply(
        connection: xpc_connection_t,
        message: xpc_object_t,
        replyq: dispatch_queue_t,
        handler: block_t,
    );
    pub fn xpc_connection_send_message_with_reply_sync(
        connection: xpc_connection_t,
        message: xpc_object_t,
    ) -> xpc_object_t;
    pub fn xpc_connection_cancel(connection: xpc_connection_t);
    /// `pid_t`, a 32-bit signed number.
    pub fn xpc_connection_get_pid(connection: xpc_connection_t) -> c_int;
    pub fn xpc_connection_get_euid(connection: xpc_connection_t) -> u32;
    pub fn xpc_connection_get_egid(connection: xpc_connection_t) -> u32;

    pub fn xpc_main(handler: xpc_connection_handler_t) -> !;
}
