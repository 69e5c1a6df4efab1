//! `xpc/connection.h`: connections and listeners.

use std::ffi::{c_char, c_int, c_void};

use crate::types::{
    au_asid_t, block_t, dispatch_queue_t, gid_t, pid_t, uid_t, xpc_connection_t, xpc_dictionary_s, xpc_endpoint_t,
    xpc_finalizer_t, xpc_object_t, xpc_peer_requirement_t,
};

/// `xpc_connection_create_mach_service`: the caller is the service.
pub const XPC_CONNECTION_MACH_SERVICE_LISTENER: u64 = 1 << 0;
/// `xpc_connection_create_mach_service`: the service is one of the system's domain.
pub const XPC_CONNECTION_MACH_SERVICE_PRIVILEGED: u64 = 1 << 1;

unsafe extern "C" {
    /// macOS 10.7.
    pub static _xpc_error_connection_interrupted: xpc_dictionary_s;
    /// macOS 10.7.
    pub static _xpc_error_connection_invalid: xpc_dictionary_s;
    /// macOS 10.7.
    pub static _xpc_error_termination_imminent: xpc_dictionary_s;
    /// macOS 10.7. Owned, and inactive. A null name makes an anonymous listener.
    pub fn xpc_connection_create(name: *const c_char, targetq: dispatch_queue_t) -> xpc_connection_t;
    /// macOS 10.7. Owned, and inactive.
    pub fn xpc_connection_create_mach_service(
        name: *const c_char,
        targetq: dispatch_queue_t,
        flags: u64,
    ) -> xpc_connection_t;
    /// macOS 10.7. Owned, and inactive.
    pub fn xpc_connection_create_from_endpoint(endpoint: xpc_endpoint_t) -> xpc_connection_t;
    /// macOS 10.7.
    pub fn xpc_connection_set_target_queue(connection: xpc_connection_t, targetq: dispatch_queue_t);
    /// macOS 10.7.
    pub fn xpc_connection_set_event_handler(connection: xpc_connection_t, handler: block_t);
    /// macOS 10.12.
    pub fn xpc_connection_activate(connection: xpc_connection_t);
    /// macOS 10.7.
    pub fn xpc_connection_suspend(connection: xpc_connection_t);
    /// macOS 10.7.
    pub fn xpc_connection_resume(connection: xpc_connection_t);
    /// macOS 10.7.
    pub fn xpc_connection_send_message(connection: xpc_connection_t, message: xpc_object_t);
    /// macOS 10.7.
    pub fn xpc_connection_send_barrier(connection: xpc_connection_t, barrier: block_t);
    /// macOS 10.7.
    pub fn xpc_connection_send_message_with_reply(
        connection: xpc_connection_t,
        message: xpc_object_t,
        replyq: dispatch_queue_t,
        handler: block_t,
    );
    /// macOS 10.7. Owned: a dictionary or an error.
    pub fn xpc_connection_send_message_with_reply_sync(
        connection: xpc_connection_t,
        message: xpc_object_t,
    ) -> xpc_object_t;
    /// macOS 10.7.
    pub fn xpc_connection_cancel(connection: xpc_connection_t);
    /// macOS 10.7. Borrowed from the connection; null for an anonymous one.
    pub fn xpc_connection_get_name(connection: xpc_connection_t) -> *const c_char;
    /// macOS 10.7.
    pub fn xpc_connection_get_euid(connection: xpc_connection_t) -> uid_t;
    /// macOS 10.7.
    pub fn xpc_connection_get_egid(connection: xpc_connection_t) -> gid_t;
    /// macOS 10.7.
    pub fn xpc_connection_get_pid(connection: xpc_connection_t) -> pid_t;
    /// macOS 10.7.
    pub fn xpc_connection_get_asid(connection: xpc_connection_t) -> au_asid_t;
    /// macOS 10.7. Nothing is retained; see `xpc_connection_set_finalizer_f`.
    pub fn xpc_connection_set_context(connection: xpc_connection_t, context: *mut c_void);
    /// macOS 10.7.
    pub fn xpc_connection_get_context(connection: xpc_connection_t) -> *mut c_void;
    /// macOS 10.7.
    pub fn xpc_connection_set_finalizer_f(connection: xpc_connection_t, finalizer: xpc_finalizer_t);
}

weak! {
    /// macOS 12.0.
    static _xpc_error_peer_code_signing_requirement: xpc_dictionary_s;
    /// macOS 12.0.
    fn xpc_connection_set_peer_code_signing_requirement(connection: xpc_connection_t, requirement: *const c_char) -> c_int;
    /// macOS 14.4.
    fn xpc_connection_set_peer_entitlement_exists_requirement(connection: xpc_connection_t, entitlement: *const c_char) -> c_int;
    /// macOS 14.4.
    fn xpc_connection_set_peer_entitlement_matches_value_requirement(connection: xpc_connection_t, entitlement: *const c_char, value: xpc_object_t) -> c_int;
    /// macOS 14.4.
    fn xpc_connection_set_peer_team_identity_requirement(connection: xpc_connection_t, signing_identifier: *const c_char) -> c_int;
    /// macOS 14.4.
    fn xpc_connection_set_peer_platform_identity_requirement(connection: xpc_connection_t, signing_identifier: *const c_char) -> c_int;
    /// macOS 14.4.
    fn xpc_connection_set_peer_lightweight_code_requirement(connection: xpc_connection_t, lwcr: xpc_object_t) -> c_int;
    /// macOS 26.0.
    fn xpc_connection_set_peer_requirement(connection: xpc_connection_t, peer_requirement: xpc_peer_requirement_t);
    /// macOS 12.0. To be freed with `free`; null where there is none.
    fn xpc_connection_copy_invalidation_reason(connection: xpc_connection_t) -> *mut c_char;
}
