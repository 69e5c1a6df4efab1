//! `xpc/session.h`: sessions: connections whose every disconnect is final.

use std::ffi::{c_char, c_int};

use crate::types::{
    block_t, dispatch_queue_t, xpc_object_t, xpc_peer_requirement_t, xpc_rich_error_t, xpc_session_create_flags_t,
    xpc_session_t, xpc_type_s,
};

/// No flag.
pub const XPC_SESSION_CREATE_NONE: xpc_session_create_flags_t = 0;
/// The session waits for `xpc_session_activate`.
pub const XPC_SESSION_CREATE_INACTIVE: xpc_session_create_flags_t = 1 << 0;
/// The service is one of the system's domain.
pub const XPC_SESSION_CREATE_MACH_PRIVILEGED: xpc_session_create_flags_t = 1 << 1;

weak! {
    /// macOS 13.0. To be freed with `free`.
    fn xpc_session_copy_description(session: xpc_session_t) -> *mut c_char;
    /// macOS 13.0. Owned; null where `error_out` says why.
    fn xpc_session_create_xpc_service(name: *const c_char, target_queue: dispatch_queue_t, flags: xpc_session_create_flags_t, error_out: *mut xpc_rich_error_t) -> xpc_session_t;
    /// macOS 13.0. Owned; null where `error_out` says why.
    fn xpc_session_create_mach_service(mach_service: *const c_char, target_queue: dispatch_queue_t, flags: xpc_session_create_flags_t, error_out: *mut xpc_rich_error_t) -> xpc_session_t;
    /// macOS 13.0.
    fn xpc_session_set_incoming_message_handler(session: xpc_session_t, handler: block_t);
    /// macOS 13.0.
    fn xpc_session_set_cancel_handler(session: xpc_session_t, cancel_handler: block_t);
    /// macOS 14.0.
    fn xpc_session_set_target_queue(session: xpc_session_t, target_queue: dispatch_queue_t);
    /// macOS 13.0.
    fn xpc_session_activate(session: xpc_session_t, error_out: *mut xpc_rich_error_t) -> bool;
    /// macOS 13.0.
    fn xpc_session_cancel(session: xpc_session_t);
    /// macOS 13.0. Owned: null where the message was sent.
    fn xpc_session_send_message(session: xpc_session_t, message: xpc_object_t) -> xpc_rich_error_t;
    /// macOS 13.0. Owned; null where `error_out` says why.
    fn xpc_session_send_message_with_reply_sync(session: xpc_session_t, message: xpc_object_t, error_out: *mut xpc_rich_error_t) -> xpc_object_t;
    /// macOS 13.0.
    fn xpc_session_send_message_with_reply_async(session: xpc_session_t, message: xpc_object_t, reply_handler: block_t);
    /// macOS 14.4.
    fn xpc_session_set_peer_code_signing_requirement(session: xpc_session_t, requirement: *const c_char) -> c_int;
    /// macOS 26.0.
    fn xpc_session_set_peer_requirement(session: xpc_session_t, requirement: xpc_peer_requirement_t);
    /// The header names no version; sessions came with macOS 13.0.
    static _xpc_type_session: xpc_type_s;
}
