//! libxpc's rich errors.

use std::ffi::{CStr, c_char, c_void};
use std::sync::Arc;

use xpc_runtime_sys::rich_error::{xpc_rich_error_can_retry, xpc_rich_error_copy_description};
use xpc_runtime_sys::types::xpc_rich_error_t;

use super::object::Retained;

/// Why libxpc did not do something; nothing where it does not say.
pub(super) struct RichError(Option<Retained>);

impl RichError {
    /// # Safety
    /// As [`Retained::owned`].
    pub unsafe fn owned(error: xpc_rich_error_t) -> Self {
        // SAFETY: this function's contract.
        Self(unsafe { Retained::owned(error) })
    }

    /// # Safety
    /// As [`Retained::borrowed`].
    pub unsafe fn borrowed(error: xpc_rich_error_t) -> Self {
        // SAFETY: this function's contract.
        Self(unsafe { Retained::borrowed(error) })
    }

    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Whether what failed may be tried again.
    pub fn can_retry(&self) -> bool {
        self.0.as_ref().zip(xpc_rich_error_can_retry()).is_some_and(|(error, can_retry)| {
            // SAFETY: a live error.
            unsafe { can_retry(error.as_ptr()) }
        })
    }

    /// What libxpc says, or else this.
    pub fn description(&self, otherwise: &str) -> Arc<str> {
        let text = self.0.as_ref().zip(xpc_rich_error_copy_description()).and_then(|(error, copy)| {
            // SAFETY: a live error; the result is a C string that is this function's to free, or null.
            unsafe { take_text(copy(error.as_ptr())) }
        });
        text.unwrap_or_else(|| otherwise.into())
    }
}

/// Text that C gives away.
///
/// # Safety
/// `text` is null, or a C string from `malloc` that the caller owns, and gives up.
pub(super) unsafe fn take_text(text: *mut c_char) -> Option<Arc<str>> {
    unsafe extern "C" {
        /// free(3).
        fn free(memory: *mut c_void);
    }
    if text.is_null() {
        return None;
    }
    // SAFETY: by this function's contract.
    unsafe {
        let copy = CStr::from_ptr(text).to_string_lossy().into();
        free(text.cast());
        Some(copy)
    }
}
