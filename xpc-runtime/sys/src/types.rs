//! C's types.
//!
//! Every object of XPC's is an `xpc_object_t`, connections, sessions and the like too, since `xpc_retain` and
//! `xpc_release` take them all. C tells some apart by name alone, and so does this crate.

#![expect(non_camel_case_types, reason = "C's names")]

use std::ffi::{c_int, c_long, c_void};
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
    /// `struct _xpc_type_s`: the type of an object; its address is what counts.
    xpc_type_s;
    /// `struct _xpc_bool_s`: one of the two booleans.
    xpc_bool_s;
    /// `struct _xpc_dictionary_s`: one of the error constants.
    xpc_dictionary_s;
    /// A dispatch queue.
    dispatch_queue_s;
    /// A dispatch queue's attributes.
    dispatch_queue_attr_s;
    /// A dispatch data object.
    dispatch_data_s;
}

/// Any XPC object.
pub type xpc_object_t = *mut xpc_object_s;
/// An object of type `XPC_TYPE_CONNECTION`.
pub type xpc_connection_t = xpc_object_t;
/// An object of type `XPC_TYPE_ENDPOINT`.
pub type xpc_endpoint_t = xpc_object_t;
/// An object of type `XPC_TYPE_RICH_ERROR`.
pub type xpc_rich_error_t = xpc_object_t;
/// An object of type `XPC_TYPE_ACTIVITY`.
pub type xpc_activity_t = xpc_object_t;
/// An object of type `XPC_TYPE_SESSION`.
pub type xpc_session_t = xpc_object_t;
/// A listener for sessions.
pub type xpc_listener_t = xpc_object_t;
/// A requirement of peers.
pub type xpc_peer_requirement_t = xpc_object_t;
/// The type of an object.
pub type xpc_type_t = *const xpc_type_s;
/// A dispatch queue; null is the default one, where a queue may be null.
pub type dispatch_queue_t = *mut dispatch_queue_s;
/// A dispatch queue's attributes; null makes a serial one.
pub type dispatch_queue_attr_t = *mut dispatch_queue_attr_s;
/// A dispatch data object.
pub type dispatch_data_t = *mut dispatch_data_s;

/// A pointer to a block, of the type that the header says at the function.
pub type block_t = *const c_void;
/// What `xpc_main` calls for each new connection.
pub type xpc_connection_handler_t = unsafe extern "C" fn(connection: xpc_connection_t);
/// What a connection's context is given to once the connection is gone. Null is none.
pub type xpc_finalizer_t = Option<unsafe extern "C" fn(value: *mut c_void)>;
/// A function that a queue runs.
pub type dispatch_function_t = unsafe extern "C" fn(context: *mut c_void);

/// A moment, in units of libdispatch's own.
pub type dispatch_time_t = u64;

/// `XPC_SESSION_CREATE_…`.
pub type xpc_session_create_flags_t = u64;
/// `XPC_LISTENER_CREATE_…`.
pub type xpc_listener_create_flags_t = u64;
/// `XPC_ACTIVITY_STATE_…`.
pub type xpc_activity_state_t = c_long;

/// A process.
pub type pid_t = c_int;
/// A user.
pub type uid_t = u32;
/// A group.
pub type gid_t = u32;
/// An audit session.
pub type au_asid_t = pid_t;
/// A Mach port.
pub type mach_port_t = u32;
/// C's list of variable arguments: as a parameter it is one pointer, on both of Apple's architectures.
pub type va_list = *mut c_void;
