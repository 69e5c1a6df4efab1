//! `xpc/listener.h`: listeners for sessions.

use std::ffi::{c_char, c_int};

use crate::types::{
    block_t, dispatch_queue_t, xpc_listener_create_flags_t, xpc_listener_t, xpc_peer_requirement_t, xpc_rich_error_t,
    xpc_session_t,
};

/// No flag.
pub const XPC_LISTENER_CREATE_NONE: xpc_listener_create_flags_t = 0;
/// The listener waits for `xpc_listener_activate`.
pub const XPC_LISTENER_CREATE_INACTIVE: xpc_listener_create_flags_t = 1 << 0;
/// The name is one of a Mach service, whatever the process is.
pub const XPC_LISTENER_CREATE_FORCE_MACH: xpc_listener_create_flags_t = 1 << 1;
/// The name is this XPC service's own.
pub const XPC_LISTENER_CREATE_FORCE_XPCSERVICE: xpc_listener_create_flags_t = 1 << 2;

weak! {
    /// macOS 14.0. To be freed with `free`.
    fn xpc_listener_copy_description(listener: xpc_listener_t) -> *mut c_char;
    /// macOS 14.0. Owned; null where `error_out` says why.
    fn xpc_listener_create(service: *const c_char, target_queue: dispatch_queue_t, flags: xpc_listener_create_flags_t, incoming_session_handler: block_t, error_out: *mut xpc_rich_error_t) -> xpc_listener_t;
    /// macOS 14.0.
    fn xpc_listener_activate(listener: xpc_listener_t, error_out: *mut xpc_rich_error_t) -> bool;
    /// macOS 14.0.
    fn xpc_listener_cancel(listener: xpc_listener_t);
    /// macOS 14.0.
    fn xpc_listener_reject_peer(peer: xpc_session_t, reason: *const c_char);
    /// macOS 14.4.
    fn xpc_listener_set_peer_code_signing_requirement(listener: xpc_listener_t, requirement: *const c_char) -> c_int;
    /// macOS 26.0.
    fn xpc_listener_set_peer_requirement(listener: xpc_listener_t, requirement: xpc_peer_requirement_t);
}
