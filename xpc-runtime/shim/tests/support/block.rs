//! Blocks that C is given.

use std::ffi::{c_int, c_ulong, c_void};

use xpc_runtime_sys::block::_NSConcreteGlobalBlock;
use xpc_runtime_sys::types::{block_t, xpc_object_t};

/// A block without captures, `void (^)(xpc_object_t)`; other arguments and results go unnoticed.
#[repr(C)]
pub struct GlobalBlock {
    pub isa: *const c_void,
    pub flags: c_int,
    pub reserved: c_int,
    pub invoke: extern "C" fn(*const GlobalBlock, xpc_object_t),
    pub descriptor: &'static [c_ulong; 2],
}

// SAFETY: constant.
unsafe impl Sync for GlobalBlock {}

impl GlobalBlock {
    pub const fn new(invoke: extern "C" fn(*const Self, xpc_object_t)) -> Self {
        Self {
            isa: (&raw const _NSConcreteGlobalBlock).cast(),
            flags: 1 << 28,
            reserved: 0,
            invoke,
            descriptor: &[0, size_of::<Self>() as c_ulong],
        }
    }

    pub fn as_ptr(&'static self) -> block_t {
        (&raw const *self).cast()
    }
}
