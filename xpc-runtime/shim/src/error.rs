//! The errors that connections are given instead of messages: constants, told apart by address.

use std::ffi::{CStr, c_char};

use crate::object::Object;
use crate::value::Value;

/// A pointer to text, as a constant of C's.
#[repr(transparent)]
pub struct Name(*const c_char);

// SAFETY: it points to a constant.
unsafe impl Sync for Name {}

/// The key of an error's text.
pub const DESCRIPTION: &CStr = c"XPCErrorDescription";
/// `XPC_ERROR_KEY_DESCRIPTION`
#[unsafe(no_mangle)]
pub static _xpc_error_key_description: Name = Name(DESCRIPTION.as_ptr());
/// `XPC_EVENT_KEY_NAME`
#[unsafe(no_mangle)]
pub static _xpc_event_key_name: Name = Name(c"XPCEventName".as_ptr());

const fn error(text: &'static CStr) -> Object {
    Object::immortal(Value::Error(text))
}

/// `XPC_ERROR_CONNECTION_INTERRUPTED`
#[unsafe(no_mangle)]
pub static _xpc_error_connection_interrupted: Object = error(c"Connection interrupted");
/// `XPC_ERROR_CONNECTION_INVALID`
#[unsafe(no_mangle)]
pub static _xpc_error_connection_invalid: Object = error(c"Connection invalid");
/// `XPC_ERROR_PEER_CODE_SIGNING_REQUIREMENT`
#[unsafe(no_mangle)]
pub static _xpc_error_peer_code_signing_requirement: Object = error(c"Peer does not meet code signing requirement");
/// `XPC_ERROR_TERMINATION_IMMINENT`
#[unsafe(no_mangle)]
pub static _xpc_error_termination_imminent: Object = error(c"Process termination imminent");
