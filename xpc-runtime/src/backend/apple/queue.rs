//! Serial queues of libdispatch.

use std::ffi::{CString, c_void};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use xpc_runtime_sys::dispatch::{
    _dispatch_main_q, DISPATCH_TIME_NOW, dispatch_after_f, dispatch_async_f, dispatch_queue_create, dispatch_time,
};
use xpc_runtime_sys::types::{dispatch_queue_s, dispatch_queue_t};

use super::connection::Inactive;
use super::entry::Entry;
use super::lock;
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

    pub(crate) fn main() -> Self {
        static MAIN: OnceLock<Queue> = OnceLock::new();
        // libdispatch's own, which is never released: this reference stays.
        let shared = || Shared { queue: NonNull::from(main_queue()), label: "com.apple.main-thread".into() };
        MAIN.get_or_init(|| Self(Arc::new(shared()))).clone()
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

fn main_queue() -> &'static dispatch_queue_s {
    // SAFETY: libdispatch's variable, of which only the address is used: the type has no bytes.
    unsafe { &_dispatch_main_q }
}

/// What libdispatch is to call once, by way of a C function.
struct Call(Run);

type Run = Box<dyn FnOnce() + Send>;

impl Call {
    fn into_context(call: impl FnOnce() + Send + 'static) -> *mut c_void {
        Box::into_raw(Box::new(Self(Box::new(call)))).cast()
    }

    /// # Safety
    /// `context` came from `into_context` and was not taken yet.
    unsafe extern "C" fn run(context: *mut c_void) {
        let entry = Entry::new();
        // SAFETY: this function's contract.
        let call = unsafe { Box::from_raw(context.cast::<Self>()) };
        (call.0)();
        entry.leave();
    }
}

impl Queue {
    /// Has this called when its turn has come; never inside this call. A panic in it aborts the process.
    pub(super) fn submit(&self, call: impl FnOnce() + Send + 'static) {
        // SAFETY: a live queue, which libdispatch retains until then, and a context that is `run`'s and is passed once.
        unsafe { dispatch_async_f(self.as_ptr(), Call::into_context(call), Call::run) };
    }

    fn submit_after(&self, delay: Duration, call: impl FnOnce() + Send + 'static) {
        let delay = i64::try_from(delay.as_nanos()).unwrap_or(i64::MAX);
        // SAFETY: as in `submit`; a moment takes any distance from now.
        unsafe {
            let when = dispatch_time(DISPATCH_TIME_NOW, delay);
            dispatch_after_f(when, self.as_ptr(), Call::into_context(call), Call::run);
        }
    }

    /// For what is the runtime's own and does not block.
    pub(super) fn own() -> &'static Self {
        static OWN: OnceLock<Queue> = OnceLock::new();
        OWN.get_or_init(|| Self::serial("xpc-runtime"))
    }
}

/// What [`after`] is to do; dropped before, it is not done.
pub(crate) struct Timer(Arc<Mutex<Option<Run>>>);

impl Drop for Timer {
    fn drop(&mut self) {
        let call = lock(&self.0).take();
        drop(call);
    }
}

pub(crate) fn after(delay: Duration, call: impl FnOnce() + Send + 'static) -> Timer {
    let call: Run = Box::new(call);
    let call = Arc::new(Mutex::new(Some(call)));
    let due = Arc::downgrade(&call);
    Queue::own().submit_after(delay, move || {
        let call = due.upgrade().and_then(|call| lock(&call).take());
        if let Some(call) = call {
            call();
        }
    });
    Timer(call)
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
