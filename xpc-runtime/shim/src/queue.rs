//! Serial queues of libdispatch's, as far as connections take turns by them. They run nothing else.

use std::ffi::c_void;

use xpc_portable as portable;

use crate::text::Text;

/// `dispatch_queue_t dispatch_queue_create(const char *, dispatch_queue_attr_t)`
#[unsafe(no_mangle)]
pub extern "C" fn dispatch_queue_create(label: Text, attributes: *mut c_void) -> *mut portable::Queue {
    if !attributes.is_null() {
        misuse!("the shim's queues are serial ones");
    }
    let label = label.get().unwrap_or_default().to_string_lossy();
    Box::into_raw(Box::new(portable::Queue::serial(&label)))
}

/// `void dispatch_release(dispatch_object_t)`
///
/// # Safety
/// The queue is one of `dispatch_queue_create`, which was not released yet. Connections have clones of their own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dispatch_release(queue: *mut portable::Queue) {
    // SAFETY: by this function's contract.
    drop(unsafe { Box::from_raw(queue) });
}
