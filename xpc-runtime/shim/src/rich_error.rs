//! The errors of sessions and listeners.

use std::ffi::{CString, c_char};

use crate::object::{Lent, Ref};
use crate::text::to_be_freed;
use crate::value::Value;

pub struct RichError {
    pub description: CString,
    can_retry: bool,
}

pub fn new(description: &str, can_retry: bool) -> Ref {
    let description = CString::new(description.replace('\0', "")).expect("without NULs");
    Ref::new(Value::RichError(RichError { description, can_retry }))
}

fn error<'a>(object: Lent, function: &str) -> &'a RichError {
    match object.value() {
        Value::RichError(error) => error,
        other => misuse!("{function} is called for a {}", other.name()),
    }
}

/// `char *xpc_rich_error_copy_description(xpc_rich_error_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_rich_error_copy_description(object: Lent) -> *mut c_char {
    to_be_freed(&error(object, "xpc_rich_error_copy_description").description)
}

/// `bool xpc_rich_error_can_retry(xpc_rich_error_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_rich_error_can_retry(object: Lent) -> bool {
    error(object, "xpc_rich_error_can_retry").can_retry
}
