//! libxpc, as `xpc-runtime-sys` declares it.

pub use xpc_runtime_sys::block::_NSConcreteStackBlock;
pub use xpc_runtime_sys::connection::*;
pub use xpc_runtime_sys::endpoint::*;
pub use xpc_runtime_sys::types::*;
pub use xpc_runtime_sys::xpc::*;
