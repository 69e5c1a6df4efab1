//! Requirements of peers. Nothing here is signed: `identifier "…"`, and what else names an identifier, is compared with
//! that of the bundle whose executable the peer runs; the same team is the same bundle; nobody has an entitlement or is
//! a part of the system.

use std::ffi::{CStr, c_int};
use std::ptr;

use xpc_portable::PeerRequirement;

use crate::connection;
use crate::dictionary::dictionary;
use crate::lock;
use crate::message;
use crate::object::{Lent, Object, Ref};
use crate::rich_error;
use crate::session;
use crate::text::{Out, Text};
use crate::value::Value;

fn nobody() -> PeerRequirement {
    PeerRequirement::identifier(&[])
}

/// Of Apple's language as much as tests need: identifiers, and `or` between them.
pub fn parse(requirement: &CStr) -> Option<PeerRequirement> {
    fn quoted(term: &str) -> Option<&str> {
        term.trim().strip_prefix("identifier")?.trim().strip_prefix('"')?.strip_suffix('"')
    }
    let identifiers: Option<Vec<_>> = requirement.to_str().ok()?.split(" or ").map(quoted).collect();
    Some(PeerRequirement::identifier(&identifiers?))
}

fn team(identifier: Text) -> Option<PeerRequirement> {
    match identifier.get() {
        Some(identifier) => Some(PeerRequirement::identifier(&[identifier.to_str().ok()?])),
        None => PeerRequirement::same_bundle().ok(),
    }
}

fn entitlement(name: Text) -> Option<PeerRequirement> {
    (!name.expect("an entitlement").is_empty()).then(nobody)
}

fn entitlement_value(name: Text, value: Lent) -> Option<PeerRequirement> {
    matches!(value.value(), Value::Bool(_) | Value::Int64(_) | Value::String(_)).then(|| entitlement(name)).flatten()
}

/// Of its constraints `signing-identifier` alone.
fn lightweight(requirement: Lent) -> Option<PeerRequirement> {
    let constraints = dictionary(requirement, "a lightweight code requirement");
    let identifier = lock(&constraints.entries).get(c"signing-identifier").cloned()?;
    match identifier.value() {
        Value::String(text) => Some(PeerRequirement::identifier(&[text.to_str().ok()?])),
        _ => None,
    }
}

fn set(connection: Lent, requirement: Option<PeerRequirement>, function: &str) -> c_int {
    match requirement {
        Some(requirement) => connection::require_peer(connection, requirement, function),
        None => return libc::EINVAL,
    }
    0
}

/// `int xpc_connection_set_peer_code_signing_requirement(xpc_connection_t, const char *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_set_peer_code_signing_requirement(connection: Lent, requirement: Text) -> c_int {
    let parsed = parse(requirement.expect("a code-signing requirement"));
    set(connection, parsed, "xpc_connection_set_peer_code_signing_requirement")
}

/// `int xpc_connection_set_peer_team_identity_requirement(xpc_connection_t, const char *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_set_peer_team_identity_requirement(connection: Lent, identifier: Text) -> c_int {
    set(connection, team(identifier), "xpc_connection_set_peer_team_identity_requirement")
}

/// `int xpc_connection_set_peer_platform_identity_requirement(xpc_connection_t, const char *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_set_peer_platform_identity_requirement(connection: Lent, _identifier: Text) -> c_int {
    set(connection, Some(nobody()), "xpc_connection_set_peer_platform_identity_requirement")
}

/// `int xpc_connection_set_peer_entitlement_exists_requirement(xpc_connection_t, const char *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_set_peer_entitlement_exists_requirement(connection: Lent, name: Text) -> c_int {
    set(connection, entitlement(name), "xpc_connection_set_peer_entitlement_exists_requirement")
}

/// `int xpc_connection_set_peer_entitlement_matches_value_requirement(xpc_connection_t, const char *, xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_set_peer_entitlement_matches_value_requirement(
    connection: Lent,
    name: Text,
    value: Lent,
) -> c_int {
    let requirement = entitlement_value(name, value);
    set(connection, requirement, "xpc_connection_set_peer_entitlement_matches_value_requirement")
}

/// `int xpc_connection_set_peer_lightweight_code_requirement(xpc_connection_t, xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_set_peer_lightweight_code_requirement(connection: Lent, requirement: Lent) -> c_int {
    set(connection, lightweight(requirement), "xpc_connection_set_peer_lightweight_code_requirement")
}

/// `int xpc_session_set_peer_code_signing_requirement(xpc_session_t, const char *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_session_set_peer_code_signing_requirement(session: Lent, requirement: Text) -> c_int {
    match parse(requirement.expect("a code-signing requirement")) {
        Some(parsed) => session::require_peer(session, parsed, "xpc_session_set_peer_code_signing_requirement"),
        None => return libc::EINVAL,
    }
    0
}

fn object(requirement: Option<PeerRequirement>, error: &Out<*mut Object>) -> *mut Object {
    match requirement {
        Some(requirement) => Ref::new(Value::PeerRequirement(requirement)).into_owned(),
        None => {
            error.set_with(|| rich_error::new("the requirement is not valid", false).into_owned());
            ptr::null_mut()
        }
    }
}

pub fn requirement(object: Lent, function: &str) -> PeerRequirement {
    match object.value() {
        Value::PeerRequirement(requirement) => requirement.clone(),
        other => misuse!("{function} is called with a {} for a requirement", other.name()),
    }
}

/// `xpc_peer_requirement_t xpc_peer_requirement_create_entitlement_exists(const char *, xpc_rich_error_t *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_peer_requirement_create_entitlement_exists(name: Text, error: Out<*mut Object>) -> *mut Object {
    object(entitlement(name), &error)
}

/// `xpc_peer_requirement_t xpc_peer_requirement_create_entitlement_matches_value(const char *, xpc_object_t,
/// xpc_rich_error_t *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_peer_requirement_create_entitlement_matches_value(
    name: Text,
    value: Lent,
    error: Out<*mut Object>,
) -> *mut Object {
    object(entitlement_value(name, value), &error)
}

/// `xpc_peer_requirement_t xpc_peer_requirement_create_team_identity(const char *, xpc_rich_error_t *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_peer_requirement_create_team_identity(identifier: Text, error: Out<*mut Object>) -> *mut Object {
    object(team(identifier), &error)
}

/// `xpc_peer_requirement_t xpc_peer_requirement_create_platform_identity(const char *, xpc_rich_error_t *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_peer_requirement_create_platform_identity(
    _identifier: Text,
    error: Out<*mut Object>,
) -> *mut Object {
    object(Some(nobody()), &error)
}

/// `xpc_peer_requirement_t xpc_peer_requirement_create_lwcr(xpc_object_t, xpc_rich_error_t *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_peer_requirement_create_lwcr(constraints: Lent, error: Out<*mut Object>) -> *mut Object {
    object(lightweight(constraints), &error)
}

/// `bool xpc_peer_requirement_match_received_message(xpc_peer_requirement_t, xpc_object_t, xpc_rich_error_t *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_peer_requirement_match_received_message(
    peer_requirement: Lent,
    message: Lent,
    error: Out<*mut Object>,
) -> bool {
    let requirement = requirement(peer_requirement, "xpc_peer_requirement_match_received_message");
    let matched = message::require_sender(message, &requirement);
    if let Err(why) = &matched {
        error.set_with(|| rich_error::new(&why.to_string(), false).into_owned());
    }
    matched.is_ok()
}

/// `void xpc_connection_set_peer_requirement(xpc_connection_t, xpc_peer_requirement_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_connection_set_peer_requirement(connection: Lent, peer_requirement: Lent) {
    let requirement = requirement(peer_requirement, "xpc_connection_set_peer_requirement");
    connection::require_peer(connection, requirement, "xpc_connection_set_peer_requirement");
}

/// `void xpc_session_set_peer_requirement(xpc_session_t, xpc_peer_requirement_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_session_set_peer_requirement(session: Lent, peer_requirement: Lent) {
    let requirement = requirement(peer_requirement, "xpc_session_set_peer_requirement");
    session::require_peer(session, requirement, "xpc_session_set_peer_requirement");
}
