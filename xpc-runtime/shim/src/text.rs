//! Text and other memory that C passes, or is given.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

/// A parameter that is a C string, or null. Only C makes one.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Text(*const c_char);

impl Text {
    pub fn get<'a>(self) -> Option<&'a CStr> {
        // SAFETY: C promises that it is a C string, which lives for the call; nobody keeps the reference.
        (!self.0.is_null()).then(|| unsafe { CStr::from_ptr(self.0) })
    }

    pub fn expect<'a>(self, what: &str) -> &'a CStr {
        self.get().unwrap_or_else(|| misuse!("{what} is null"))
    }
}

/// A parameter that points to bytes. Only C makes one.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Memory(*const c_void);

impl Memory {
    pub fn bytes<'a>(self, length: usize) -> &'a [u8] {
        if length == 0 {
            return &[];
        }
        if self.0.is_null() {
            misuse!("{length} bytes at null");
        }
        // SAFETY: C promises that there are so many bytes, which live for the call; nobody keeps the reference.
        unsafe { std::slice::from_raw_parts(self.0.cast(), length) }
    }
}

/// A parameter by which C wants to be told something, or null. Only C makes one.
#[repr(transparent)]
pub struct Out<T>(*mut T);

impl<T> Out<T> {
    pub fn set(&self, value: T) {
        self.set_with(|| value);
    }

    /// As `set`, of what is made only where C wants it.
    pub fn set_with(&self, value: impl FnOnce() -> T) {
        if !self.0.is_null() {
            // SAFETY: C promises room for one value, which nobody else uses meanwhile. What is there is no value.
            unsafe { ptr::write(self.0, value()) };
        }
    }
}

/// A C string that its receiver frees with `free`.
pub fn to_be_freed(text: &CStr) -> *mut c_char {
    // SAFETY: a C string.
    unsafe { libc::strdup(text.as_ptr()) }
}
