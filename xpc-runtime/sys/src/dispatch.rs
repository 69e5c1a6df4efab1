//! `dispatch/dispatch.h`: the few functions of libdispatch that connections and services need. Part of libSystem.

use std::ffi::{c_char, c_void};

use crate::types::{dispatch_function_t, dispatch_queue_attr_t, dispatch_queue_s, dispatch_queue_t, dispatch_time_t};

/// `dispatch_time`: now.
pub const DISPATCH_TIME_NOW: dispatch_time_t = 0;

unsafe extern "C" {
    /// macOS 10.6. Owned. A null attribute (`DISPATCH_QUEUE_SERIAL`) makes a serial queue; a null label is none.
    pub fn dispatch_queue_create(label: *const c_char, attr: dispatch_queue_attr_t) -> dispatch_queue_t;
    /// macOS 10.6. Runs `work(context)` later.
    pub fn dispatch_async_f(queue: dispatch_queue_t, context: *mut c_void, work: dispatch_function_t);
    /// macOS 10.6. Runs `work(context)` once it is `when`.
    pub fn dispatch_after_f(
        when: dispatch_time_t,
        queue: dispatch_queue_t,
        context: *mut c_void,
        work: dispatch_function_t,
    );
    /// macOS 10.6. So many nanoseconds after `when`; far enough away, that is never.
    pub fn dispatch_time(when: dispatch_time_t, delta: i64) -> dispatch_time_t;
    /// macOS 10.6. Runs `work(context)` and waits for it. On a queue that the caller runs on it deadlocks.
    pub fn dispatch_sync_f(queue: dispatch_queue_t, context: *mut c_void, work: dispatch_function_t);
    /// macOS 10.6. Gives the main thread to the main queue; never returns.
    pub fn dispatch_main() -> !;
    /// macOS 10.6. The main queue, whose address is `dispatch_get_main_queue()`.
    pub static _dispatch_main_q: dispatch_queue_s;
}
