//! Calls from C into this program: handlers, replies, barriers.

use std::cell::Cell;
use std::ffi::c_void;
use std::mem;

use xpc_runtime_sys::Symbol;

/// One such call. What Objective-C autoreleases during it goes with it: a thread of libdispatch's might keep that for
/// as long as it pleases. A panic must neither unwind into C nor be forgotten; the panic hook has said what it was.
#[must_use = "dropped instead of left, it ends the process"]
pub(super) struct Entry {
    pool: Option<*mut c_void>,
}

thread_local! {
    /// How many such calls this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Whether C has called this program on this thread.
pub(super) fn is_entered() -> bool {
    DEPTH.get() > 0
}

impl Entry {
    pub fn new() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self { pool: push() }
    }

    /// The call returns.
    pub fn leave(self) {
        if let Some(pool) = self.pool {
            pop(pool);
        }
        DEPTH.set(DEPTH.get() - 1);
        mem::forget(self);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        std::process::abort();
    }
}

/// Both are what compilers call for `@autoreleasepool`, by the Objective-C runtime's published ABI. Not linked: a program
/// needs libSystem alone, and where it has no Objective-C there is nothing to release.
static PUSH: Symbol = Symbol::new("objc_autoreleasePoolPush\0");
static POP: Symbol = Symbol::new("objc_autoreleasePoolPop\0");

fn push() -> Option<*mut c_void> {
    type Push = unsafe extern "C" fn() -> *mut c_void;
    let push = PUSH.address()?;
    POP.address()?;
    // SAFETY: the runtime's function of this name has this type. Each push is popped by `leave`, on the same thread and
    // in reverse order, since an `Entry` is a local of one call; or the process ends.
    unsafe { Some(mem::transmute::<*mut c_void, Push>(push.as_ptr())()) }
}

fn pop(pool: *mut c_void) {
    type Pop = unsafe extern "C" fn(*mut c_void);
    if let Some(pop) = POP.address() {
        // SAFETY: as in `push`; this pool is the thread's innermost.
        unsafe { mem::transmute::<*mut c_void, Pop>(pop.as_ptr())(pool) };
    }
}
