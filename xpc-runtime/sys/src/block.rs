//! `Block.h`: blocks that outlive the function that made them.

use std::ffi::c_void;

use crate::types::block_t;

unsafe extern "C" {
    /// macOS 10.6. A block on the heap, or one more reference to one that is there; null where there is no memory.
    pub fn _Block_copy(block: block_t) -> *mut c_void;
    /// macOS 10.6. Takes back one `_Block_copy`.
    pub fn _Block_release(block: block_t);
    /// macOS 10.6. `void *_NSConcreteStackBlock[32]`, the class of blocks that were not copied yet.
    pub static _NSConcreteStackBlock: [*mut c_void; 32];
    /// macOS 10.6. `void *_NSConcreteGlobalBlock[32]`, the class of blocks that are never copied.
    pub static _NSConcreteGlobalBlock: [*mut c_void; 32];
}
