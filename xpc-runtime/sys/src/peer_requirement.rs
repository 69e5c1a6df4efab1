//! `xpc/peer_requirement.h`: requirements of peers, as objects.

use std::ffi::c_char;

use crate::types::{xpc_object_t, xpc_peer_requirement_t, xpc_rich_error_t};

weak! {
    /// macOS 26.0. Owned; null where `error_out` says why.
    fn xpc_peer_requirement_create_entitlement_exists(entitlement: *const c_char, error_out: *mut xpc_rich_error_t) -> xpc_peer_requirement_t;
    /// macOS 26.0. Owned; null where `error_out` says why.
    fn xpc_peer_requirement_create_entitlement_matches_value(entitlement: *const c_char, value: xpc_object_t, error_out: *mut xpc_rich_error_t) -> xpc_peer_requirement_t;
    /// macOS 26.0. Owned; null where `error_out` says why.
    fn xpc_peer_requirement_create_team_identity(signing_identifier: *const c_char, error_out: *mut xpc_rich_error_t) -> xpc_peer_requirement_t;
    /// macOS 26.0. Owned; null where `error_out` says why.
    fn xpc_peer_requirement_create_platform_identity(signing_identifier: *const c_char, error_out: *mut xpc_rich_error_t) -> xpc_peer_requirement_t;
    /// macOS 26.0. Owned; null where `error_out` says why.
    fn xpc_peer_requirement_create_lwcr(lwcr: xpc_object_t, error_out: *mut xpc_rich_error_t) -> xpc_peer_requirement_t;
    /// macOS 26.0. Whether the sender of a received message meets the requirement.
    fn xpc_peer_requirement_match_received_message(peer_requirement: xpc_peer_requirement_t, message: xpc_object_t, error_out: *mut xpc_rich_error_t) -> bool;
}
