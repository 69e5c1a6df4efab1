//! The unified log, on standard error; and autorelease pools, which hold nothing.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_void};

use crate::text::Text;

struct Log {
    subsystem: CString,
    category: CString,
}

/// `os_log_t os_log_create(const char *, const char *)`: never given back.
#[unsafe(no_mangle)]
pub extern "C" fn os_log_create(subsystem: Text, category: Text) -> *mut c_void {
    let subsystem = subsystem.expect("the subsystem of a log").to_owned();
    let category = category.expect("the category of a log").to_owned();
    Box::into_raw(Box::new(Log { subsystem, category })).cast()
}

/// `void _os_log_impl(void *, os_log_t, os_log_type_t, const char *, uint8_t *, uint32_t)`, for one format.
///
/// # Safety
/// A log of `os_log_create`, a C string, and `size` bytes that are the arguments of the format, in clang's encoding.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _os_log_impl(
    image: *const c_void,
    log: *const c_void,
    kind: u8,
    format: Text,
    buffer: *const u8,
    size: u32,
) {
    if image.is_null() || log.is_null() {
        misuse!("_os_log_impl is called without an image or a log");
    }
    if format.expect("the format of a message") != c"%{public}s" {
        misuse!("the shim knows one format of messages");
    }
    // SAFETY: so many bytes, by this function's contract.
    let arguments = unsafe { std::slice::from_raw_parts(buffer, size as usize) };
    let Some(([2, 1, 0x22, 8], pointer)) = arguments.split_first_chunk() else {
        misuse!("the arguments of a message are not those of its format: {arguments:x?}");
    };
    let Ok(pointer) = pointer.try_into().map(usize::from_ne_bytes) else { misuse!("a pointer has eight bytes") };
    let text = std::ptr::with_exposed_provenance::<c_char>(pointer);
    // SAFETY: the argument of this format is a C string; and a log that is never given back.
    let (text, log) = unsafe { (CStr::from_ptr(text), &*log.cast::<Log>()) };
    let kind = match kind {
        0x00 => "warning",
        0x01 => "info",
        0x02 => "debug",
        0x10 => "error",
        0x11 => "fault",
        _ => misuse!("a message is of no type that there is: {kind}"),
    };
    let [subsystem, category, text] = [&*log.subsystem, &*log.category, text].map(CStr::to_string_lossy);
    eprintln!("[{subsystem}] {kind}: {category}: {text}");
}

thread_local! {
    static POOLS: Cell<usize> = const { Cell::new(0) };
}

/// Calls C, which is to leave as many pools as it found.
pub fn in_pools(call: impl FnOnce()) {
    let before = POOLS.get();
    call();
    if POOLS.get() != before {
        misuse!("a block leaves an autorelease pool behind");
    }
}

/// `void *objc_autoreleasePoolPush(void)`
#[unsafe(no_mangle)]
pub extern "C" fn objc_autoreleasePoolPush() -> *mut c_void {
    POOLS.set(POOLS.get() + 1);
    std::ptr::without_provenance_mut(POOLS.get())
}

/// `void objc_autoreleasePoolPop(void *)`
#[unsafe(no_mangle)]
pub extern "C" fn objc_autoreleasePoolPop(pool: *mut c_void) {
    if pool.addr() != POOLS.get() || pool.is_null() {
        misuse!("an autorelease pool is popped that is not the thread's innermost");
    }
    POOLS.set(POOLS.get() - 1);
}
