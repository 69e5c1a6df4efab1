//! Serial queues of libdispatch's: connections take turns by them, and calls.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

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

/// `_dispatch_main_q`, a queue like others: no thread is special here.
#[repr(transparent)]
pub struct MainQueue(UnsafeCell<MaybeUninit<portable::Queue>>);

// SAFETY: it is written once, before `main`, and a queue may be used by any thread.
unsafe impl Sync for MainQueue {}

#[unsafe(no_mangle)]
pub static _dispatch_main_q: MainQueue = MainQueue(UnsafeCell::new(MaybeUninit::uninit()));

/// The loader calls this before the program's `main`.
#[used]
#[unsafe(link_section = ".init_array")]
static MAKE_MAIN_QUEUE: extern "C" fn() = {
    extern "C" fn make() {
        // SAFETY: no other thread is there yet, and nobody has used the queue.
        unsafe { (*_dispatch_main_q.0.get()).write(portable::Queue::main()) };
    }
    make
};

/// `void dispatch_release(dispatch_object_t)`
///
/// # Safety
/// The queue is one of `dispatch_queue_create`, which was not released yet. Connections have clones of their own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dispatch_release(queue: *mut portable::Queue) {
    // SAFETY: by this function's contract.
    drop(unsafe { Box::from_raw(queue) });
}

/// A pointer that goes to the thread where it is used.
struct Context(*mut c_void);

// SAFETY: whoever submits a context means it for the thread that runs the work.
unsafe impl Send for Context {}

impl Context {
    /// # Safety
    /// `work` may be called with this context.
    unsafe fn give(self, work: unsafe extern "C" fn(*mut c_void)) {
        // SAFETY: by this function's contract.
        unsafe { work(self.0) }
    }
}

/// `void dispatch_async_f(dispatch_queue_t, void *, dispatch_function_t)`
///
/// # Safety
/// The queue is one of `dispatch_queue_create` that was not released yet; `work` may be called with the context, on any
/// thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dispatch_async_f(
    queue: *const portable::Queue,
    context: *mut c_void,
    work: unsafe extern "C" fn(*mut c_void),
) {
    // SAFETY: by this function's contract.
    let Some(queue) = (unsafe { queue.as_ref() }) else { misuse!("dispatch_async_f is called without a queue") };
    let context = Context(context);
    // SAFETY: by this function's contract.
    queue.submit(move || unsafe { context.give(work) });
}

/// When the shim's clock began.
fn epoch() -> Instant {
    static EPOCH: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// `dispatch_time_t dispatch_time(dispatch_time_t, int64_t)`. Nanoseconds since the shim's clock began.
#[unsafe(no_mangle)]
pub extern "C" fn dispatch_time(when: u64, delta: i64) -> u64 {
    const FOREVER: u64 = u64::MAX;
    if when == FOREVER {
        return FOREVER;
    }
    let start = if when == 0 { u64::try_from(epoch().elapsed().as_nanos()).unwrap_or(FOREVER) } else { when };
    // 0 would be now, whenever that is.
    start.saturating_add_signed(delta).max(1)
}

/// `void dispatch_after_f(dispatch_time_t, dispatch_queue_t, void *, dispatch_function_t)`
///
/// # Safety
/// As for `dispatch_async_f`; the queue is retained until then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dispatch_after_f(
    when: u64,
    queue: *const portable::Queue,
    context: *mut c_void,
    work: unsafe extern "C" fn(*mut c_void),
) {
    // SAFETY: by this function's contract.
    let Some(queue) = (unsafe { queue.as_ref() }) else { misuse!("dispatch_after_f is called without a queue") };
    let (queue, context) = (queue.clone(), Context(context));
    let delay = Duration::from_nanos(when).saturating_sub(epoch().elapsed());
    // SAFETY: by this function's contract.
    portable::after(delay, move || queue.submit(move || unsafe { context.give(work) })).detach();
}
