//! Blocks, by clang's Block ABI: copying, releasing and calling them.

use std::ffi::{c_int, c_ulong, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::log;
use crate::object::Object;

/// Flags of the ABI, in `Layout::flags`.
const COUNT: c_int = 0xfffe;
const ONE: c_int = 2;
const NEEDS_FREE: c_int = 1 << 24;
const HAS_COPY_DISPOSE: c_int = 1 << 25;

/// A class of blocks: only its address means anything.
#[repr(transparent)]
pub struct Class([MaybeUninit<*mut c_void>; 32]);

// SAFETY: nobody reads or writes what is in it.
unsafe impl Sync for Class {}

/// The class of blocks on the stack.
#[unsafe(no_mangle)]
pub static _NSConcreteStackBlock: Class = Class([MaybeUninit::zeroed(); 32]);
/// The class of blocks that capture nothing.
#[unsafe(no_mangle)]
pub static _NSConcreteGlobalBlock: Class = Class([MaybeUninit::zeroed(); 32]);
/// The class of copies.
#[unsafe(no_mangle)]
pub static _NSConcreteMallocBlock: Class = Class([MaybeUninit::zeroed(); 32]);

#[repr(C)]
struct Layout {
    isa: *const Class,
    flags: c_int,
    reserved: c_int,
    invoke: *const c_void,
    descriptor: *const Descriptor,
}

/// Where a block is.
enum Place {
    Stack,
    Global,
    Heap,
}

/// Told by the class, which nobody changes: the flags of a copy are changed by other threads, and those of another
/// block may stand in memory that must not be written, where an atomic load is no plain one.
///
/// # Safety
/// A block.
unsafe fn place(block: *const Layout) -> Place {
    // SAFETY: by this function's contract.
    let class = unsafe { (*block).isa };
    if ptr::eq(class, &raw const _NSConcreteMallocBlock) {
        Place::Heap
    } else if ptr::eq(class, &raw const _NSConcreteGlobalBlock) {
        Place::Global
    } else {
        Place::Stack
    }
}

/// How many there are of a copy, among other flags.
///
/// # Safety
/// A block on the heap, whose memory is still there.
unsafe fn flags<'a>(block: *const Layout) -> &'a AtomicI32 {
    // SAFETY: written once, before the block was known to others, and by atomic accesses since.
    unsafe { AtomicI32::from_ptr((&raw const (*block).flags).cast_mut()) }
}

#[repr(C)]
struct Descriptor {
    reserved: c_ulong,
    size: c_ulong,
    /// These two are there where the flags say so.
    copy: unsafe extern "C" fn(*mut c_void, *const c_void),
    dispose: unsafe extern "C" fn(*const c_void),
}

/// `void *_Block_copy(const void *)`
///
/// # Safety
/// A block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _Block_copy(block: *const c_void) -> *mut c_void {
    if block.is_null() {
        return ptr::null_mut();
    }
    let layout = block.cast::<Layout>();
    // SAFETY: a block, by this function's contract.
    match unsafe { place(layout) } {
        Place::Global => return block.cast_mut(),
        Place::Heap => {
            // SAFETY: on the heap, and the caller counts on it.
            let before = unsafe { flags(layout) }.fetch_add(ONE, Ordering::Relaxed);
            if before & COUNT == 0 {
                misuse!("a block is copied that is gone");
            }
            return block.cast_mut();
        }
        Place::Stack => {}
    }
    // SAFETY: a block begins with this layout; nobody changes it.
    let (old, descriptor) = unsafe { ((*layout).flags, (*layout).descriptor) };
    // SAFETY: a descriptor lives as long as the program; its size is the block's.
    let size = unsafe { (*descriptor).size } as usize;
    // SAFETY: a block's size is not zero.
    let copy = unsafe { libc::malloc(size) };
    if copy.is_null() {
        return copy;
    }
    // SAFETY: both are of this size, the copy is new. The head is written again, with one count of its own, before the
    // block's own function is called for what it captured, which is there where the flags say so.
    unsafe {
        ptr::copy_nonoverlapping(block.cast::<u8>(), copy.cast(), size);
        let new = copy.cast::<Layout>();
        (&raw mut (*new).isa).write(&raw const _NSConcreteMallocBlock);
        (&raw mut (*new).flags).write(old & !COUNT | NEEDS_FREE | ONE);
        if old & HAS_COPY_DISPOSE != 0 {
            ((*descriptor).copy)(copy, block);
        }
    }
    copy
}

/// `void _Block_release(const void *)`
///
/// # Safety
/// A block that was copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _Block_release(block: *const c_void) {
    if block.is_null() {
        return;
    }
    let layout = block.cast::<Layout>();
    // SAFETY: a block, by this function's contract.
    match unsafe { place(layout) } {
        Place::Global => return,
        Place::Heap => {}
        Place::Stack => misuse!("a block is released that was not copied"),
    }
    // SAFETY: on the heap, and the caller counts on it.
    let before = unsafe { flags(layout) }.fetch_sub(ONE, Ordering::AcqRel);
    match before & COUNT {
        0 => misuse!("a block is released more often than it was copied"),
        ONE => {
            // SAFETY: the last count is gone, so that nobody uses the copy, which came from `malloc`.
            unsafe {
                if before & HAS_COPY_DISPOSE != 0 {
                    ((*(*layout).descriptor).dispose)(block);
                }
                libc::free(block.cast_mut());
            }
        }
        _ => {}
    }
}

/// What a captured variable is, in the calls below.
const FIELD_IS_BLOCK: c_int = 7;

/// `void _Block_object_assign(void *, const void *, const int)`: for captured blocks. Captured objects are plain
/// pointers in C, and `__block` variables are not supported.
///
/// # Safety
/// As the compiler calls it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _Block_object_assign(to: *mut *const c_void, object: *const c_void, flags: c_int) {
    if flags & 0xf != FIELD_IS_BLOCK {
        misuse!("a block captures something of kind {flags}, which the shim does not know");
    }
    // SAFETY: the compiler passes a block, and where its copy goes.
    unsafe { *to = _Block_copy(object) };
}

/// `void _Block_object_dispose(const void *, const int)`
///
/// # Safety
/// As the compiler calls it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _Block_object_dispose(object: *const c_void, flags: c_int) {
    if flags & 0xf == FIELD_IS_BLOCK {
        // SAFETY: what `_Block_object_assign` has copied.
        unsafe { _Block_release(object) };
    }
}

/// A parameter that is a block. Only C makes one.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct LentBlock(*const Layout);

impl LentBlock {
    pub fn copy(self) -> Block {
        if self.0.is_null() {
            misuse!("a block is null");
        }
        // SAFETY: C promises that it is a block.
        Block(unsafe { _Block_copy(self.0.cast()) }.cast())
    }
}

/// A copy of a block that takes one object, or two, or nothing.
pub struct Block(*mut Layout);

// SAFETY: C passes blocks that may be called on any thread.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    /// Calls a block `void (^)(xpc_object_t)`.
    pub fn call(&self, object: *mut Object) {
        type Invoke = unsafe extern "C" fn(*const Layout, *mut Object);
        // SAFETY: the copy is alive; whoever copied it knows that it is of this type.
        unsafe {
            let invoke = std::mem::transmute::<*const c_void, Invoke>((*self.0).invoke);
            log::in_pools(|| invoke(self.0, object));
        }
    }

    /// Calls a block `void (^)(xpc_object_t, xpc_rich_error_t)`.
    pub fn call_two(&self, object: *mut Object, error: *mut Object) {
        type Invoke = unsafe extern "C" fn(*const Layout, *mut Object, *mut Object);
        // SAFETY: as in `call`.
        unsafe {
            let invoke = std::mem::transmute::<*const c_void, Invoke>((*self.0).invoke);
            log::in_pools(|| invoke(self.0, object, error));
        }
    }

    /// Calls a block `void (^)(void)`.
    pub fn call_plain(&self) {
        type Invoke = unsafe extern "C" fn(*const Layout);
        // SAFETY: as in `call`.
        unsafe {
            let invoke = std::mem::transmute::<*const c_void, Invoke>((*self.0).invoke);
            log::in_pools(|| invoke(self.0));
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: one copy, given back once.
        unsafe { _Block_release(self.0.cast()) };
    }
}

/// A parameter that is a block `bool (^)(K, xpc_object_t)`, which does not outlive the call. Only C makes one.
#[repr(transparent)]
pub struct Applier<K>(*const Layout, std::marker::PhantomData<K>);

impl<K> Applier<K> {
    pub fn call(&self, key: K, value: *mut Object) -> bool {
        type Invoke<K> = unsafe extern "C" fn(*const Layout, K, *mut Object) -> bool;
        if self.0.is_null() {
            misuse!("a block is null");
        }
        // SAFETY: C promises that it is a block of this type.
        unsafe {
            let invoke = std::mem::transmute::<*const c_void, Invoke<K>>((*self.0).invoke);
            invoke(self.0, key, value)
        }
    }
}
