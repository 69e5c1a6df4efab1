//! `xpc/debug.h`: what a debugger shows.

use std::ffi::c_char;

weak! {
    /// The header names no version. Why libxpc has just aborted, for a debugger to show.
    fn xpc_debugger_api_misuse_info() -> *const c_char;
}
