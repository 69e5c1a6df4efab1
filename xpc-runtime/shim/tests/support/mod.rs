//! A mistake is made by a copy of the test program, which it ends.

use std::env;
use std::ffi::{c_int, c_ulong, c_void};
use std::process::{Command, Output};

use xpc_runtime_sys::block::{_NSConcreteGlobalBlock, _NSConcreteStackBlock};
use xpc_runtime_sys::types::{block_t, xpc_object_t};

const VARIABLE: &str = "XPC_SHIM_TEST_MISTAKE";

/// Runs `mistake` in a copy of this program, which it is to end, and returns what became of that.
pub fn end_of(test: &str, mistake: impl FnOnce()) -> Output {
    if env::var_os(VARIABLE).is_some() {
        mistake();
        println!("the mistake was not noticed");
        std::process::exit(0);
    }
    let program = env::current_exe().expect("its path is known");
    let mut copy = Command::new(program);
    copy.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(VARIABLE, "1");
    copy.output().expect("it starts")
}

/// A block without captures, `void (^)(xpc_object_t)`; other arguments and results go unnoticed.
#[repr(C)]
pub struct GlobalBlock {
    isa: *const c_void,
    flags: c_int,
    reserved: c_int,
    invoke: extern "C" fn(*const GlobalBlock, xpc_object_t),
    descriptor: &'static [c_ulong; 2],
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

    /// The same, but it has to be copied by who keeps it.
    pub const fn on_the_stack(invoke: extern "C" fn(*const Self, xpc_object_t)) -> Self {
        Self { isa: (&raw const _NSConcreteStackBlock).cast(), flags: 0, ..Self::new(invoke) }
    }

    pub fn as_ptr(&'static self) -> block_t {
        (&raw const *self).cast()
    }
}
