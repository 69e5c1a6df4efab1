//! Serial queues of libdispatch.

use std::ffi::{CString, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use xpc_runtime_sys::dispatch::dispatch_queue_create;
use xpc_runtime_sys::types::{dispatch_queue_s, dispatch_queue_t};

use super::connection::Inactive;
use super::raw::xpc_connection_set_target_queue;

#[derive(Clone)]
pub(crate) struct Queue(Arc<Shared>);

struct Shared {
    queue: NonNull<dispatch_queue_s>,
    label: Box<str>,
}

// SAFETY: a dispatch queue may be used by any thread; its reference count is atomic.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Queue {
    pub(crate) fn serial(label: &str) -> Self {
        // Debuggers do without a label that C cannot hold.
        let c_label = CString::new(label).unwrap_or_default();
        // SAFETY: the label is a C string, which is copied; no attributes make a serial queue. The result is owned.
        let queue = unsafe { dispatch_queue_create(c_label.as_ptr(), ptr::null_mut()) };
        let queue = NonNull::new(queue).expect("libdispatch makes queues or aborts");
        Self(Arc::new(Shared { queue, label: label.into() }))
    }

    pub(crate) fn label(&self) -> &str {
        &self.0.label
    }

    pub(super) fn as_ptr(&self) -> dispatch_queue_t {
        self.0.queue.as_ptr()
    }

    pub(super) fn address(&self) -> *const c_void {
        self.as_ptr().cast_const().cast()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        unsafe extern "C" {
            /// `dispatch_release(3)`.
            fn dispatch_release(object: *mut dispatch_queue_s);
        }
        // SAFETY: the reference that `serial` took over, given back once. Connections hold references of their own.
        unsafe { dispatch_release(self.queue.as_ptr()) };
    }
}

impl Inactive {
    pub(crate) fn set_target_queue(&mut self, queue: &Queue) {
        let Some(connection) = &self.connection else { return };
        // SAFETY: a connection that was not activated, and a live queue, which it retains.
        unsafe { xpc_connection_set_target_queue(connection.as_ptr(), queue.as_ptr()) };
        self.queue = Some(queue.clone());
    }
}
