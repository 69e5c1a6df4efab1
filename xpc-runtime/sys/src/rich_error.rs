//! `xpc/rich_error.h`: errors of sessions and listeners.

use std::ffi::c_char;

use crate::types::xpc_rich_error_t;

weak! {
    /// The header names no version; rich errors came with sessions: macOS 13.0. To be freed with `free`.
    fn xpc_rich_error_copy_description(error: xpc_rich_error_t) -> *mut c_char;
    /// The header names no version; rich errors came with sessions: macOS 13.0.
    fn xpc_rich_error_can_retry(error: xpc_rich_error_t) -> bool;
}
