//! Blocks, by hand: the layout that clang's Block ABI fixes, for the four signatures that are needed here.
//!
//! libxpc copies a block that it keeps. A copy shares the closure, which is counted (`Arc`); it goes with the last
//! copy.

use std::ffi::{CStr, c_char, c_int, c_ulong, c_void};
use std::ptr;
use std::sync::Arc;

use super::raw::{_NSConcreteStackBlock, block_t, xpc_object_t, xpc_rich_error_t};

/// The descriptor starts with two numbers and has a copy and a dispose function after them.
const HAS_COPY_DISPOSE: c_int = 1 << 25;

#[repr(C)]
struct Layout<P> {
    isa: *const c_void,
    flags: c_int,
    reserved: c_int,
    /// A C function whose first argument is the block; which further ones it takes is the signature.
    invoke: *const c_void,
    descriptor: *const Descriptor,
    /// What the closure captured.
    capture: *const P,
}

#[repr(C)]
struct Descriptor {
    reserved: c_ulong,
    size: c_ulong,
    copy: unsafe extern "C" fn(*mut c_void, *const c_void),
    dispose: unsafe extern "C" fn(*const c_void),
}

fn layout<P>(flags: c_int, invoke: *const c_void, descriptor: &'static Descriptor, capture: *const P) -> Layout<P> {
    Layout { isa: (&raw const _NSConcreteStackBlock).cast(), flags, reserved: 0, invoke, descriptor, capture }
}

/// A closure in memory of its own. One that captures nothing would have no size, and a pointer to it would point behind
/// its allocation, where LeakSanitizer does not look for who uses it.
struct Captured<F> {
    closure: F,
    _place: u8,
}

/// A block that libxpc may copy and keep, and call on any thread.
pub(super) struct Block<F: Send + Sync + 'static>(Layout<Captured<F>>);

impl<F: Send + Sync + 'static> Block<F> {
    const DESCRIPTOR: Descriptor = Descriptor {
        reserved: 0,
        size: size_of::<Layout<Captured<F>>>() as c_ulong,
        copy: Self::copy,
        dispose: Self::dispose,
    };

    fn new(closure: F, invoke: *const c_void) -> Self {
        Self(layout(
            HAS_COPY_DISPOSE,
            invoke,
            const { &Self::DESCRIPTOR },
            Arc::into_raw(Arc::new(Captured { closure, _place: 0 })),
        ))
    }

    /// What to pass to C while `self` lives.
    pub fn as_ptr(&self) -> block_t {
        (&raw const self.0).cast()
    }

    /// The runtime has copied the bytes of one block to another place: one more block refers to the closure.
    unsafe extern "C" fn copy(_to: *mut c_void, from: *const c_void) {
        // SAFETY: the runtime calls this with a block that was made with this descriptor, so that it is a `Layout<Captured<F>>`
        // whose capture came from `Arc::into_raw` and has at least the count that this block holds.
        unsafe { Arc::increment_strong_count((*from.cast::<Layout<Captured<F>>>()).capture) };
    }

    /// A copy goes.
    unsafe extern "C" fn dispose(block: *const c_void) {
        // SAFETY: as in `copy`; the count that this block holds is given back once, here.
        unsafe { Arc::decrement_strong_count((*block.cast::<Layout<Captured<F>>>()).capture) };
    }
}

impl<F: Fn(xpc_object_t) + Send + Sync + 'static> Block<F> {
    /// `void (^)(xpc_object_t)`: `xpc_handler_t`.
    pub fn handler(closure: F) -> Self {
        unsafe extern "C" fn invoke<F: Fn(xpc_object_t)>(block: *const Layout<Captured<F>>, object: xpc_object_t) {
            // SAFETY: a block passes itself to its invoke function; its capture is alive while the block is.
            let closure = unsafe { &(*(*block).capture).closure };
            closure(object);
        }
        Self::new(closure, invoke::<F> as *const c_void)
    }
}

impl<F: Fn(xpc_object_t, xpc_object_t) + Send + Sync + 'static> Block<F> {
    /// `void (^)(xpc_object_t, xpc_rich_error_t)`: `xpc_session_reply_handler_t`.
    pub fn reply(closure: F) -> Self {
        unsafe extern "C" fn invoke<F: Fn(xpc_object_t, xpc_object_t)>(
            block: *const Layout<Captured<F>>,
            reply: xpc_object_t,
            error: xpc_rich_error_t,
        ) {
            // SAFETY: as in `handler`.
            let closure = unsafe { &(*(*block).capture).closure };
            closure(reply, error);
        }
        Self::new(closure, invoke::<F> as *const c_void)
    }
}

impl<F: Fn() + Send + Sync + 'static> Block<F> {
    /// `void (^)(void)`: `dispatch_block_t`.
    pub fn plain(closure: F) -> Self {
        unsafe extern "C" fn invoke<F: Fn()>(block: *const Layout<Captured<F>>) {
            // SAFETY: as in `handler`.
            let closure = unsafe { &(*(*block).capture).closure };
            closure();
        }
        Self::new(closure, invoke::<F> as *const c_void)
    }
}

impl<F: Send + Sync + 'static> Drop for Block<F> {
    fn drop(&mut self) {
        // SAFETY: `new` made this count with `Arc::into_raw`; copies hold counts of their own.
        drop(unsafe { Arc::from_raw(self.0.capture) });
    }
}

/// Calls `apply` with a block `bool (^)(const char *, xpc_object_t)` (`xpc_dictionary_applier_t`, which C declares not
/// to escape), which calls `visit` and returns true.
pub(super) fn with_applier<R>(mut visit: &mut dyn FnMut(&CStr, xpc_object_t), apply: impl FnOnce(block_t) -> R) -> R {
    type Visit<'a> = &'a mut dyn FnMut(&CStr, xpc_object_t);

    unsafe extern "C" fn invoke(block: *const Layout<Visit<'_>>, key: *const c_char, value: xpc_object_t) -> bool {
        // SAFETY: the block lives on the stack of `with_applier` and does not outlive it, nor is it called by two
        // threads: `apply` is synchronous. `visit` is borrowed by nothing else meanwhile.
        let visit = unsafe { &mut *(*block).capture.cast_mut() };
        // SAFETY: libxpc passes a key that is a C string and lives for the call.
        visit(unsafe { CStr::from_ptr(key) }, value);
        true
    }
    unsafe extern "C" fn nothing_to_copy(_to: *mut c_void, _from: *const c_void) {}
    unsafe extern "C" fn nothing_to_dispose(_block: *const c_void) {}
    static DESCRIPTOR: Descriptor = Descriptor {
        reserved: 0,
        size: size_of::<Layout<Visit<'static>>>() as c_ulong,
        copy: nothing_to_copy,
        dispose: nothing_to_dispose,
    };

    let block = layout(HAS_COPY_DISPOSE, invoke as *const c_void, &DESCRIPTOR, ptr::from_mut(&mut visit).cast_const());
    apply((&raw const block).cast())
}
