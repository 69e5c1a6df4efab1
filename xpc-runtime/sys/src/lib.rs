//! libxpc's public C interface: one Rust declaration for each of C's, in a module for each header.
//!
//! Every function and constant that the headers declare is here, and each is compared with them: type, version and
//! presence in the list of libSystem's symbols (the repository's `tests/bindings.rs`). What a safe program uses is
//! `xpc-runtime`; this crate is for what that does not cover.
//!
//! **Versions.** What macOS 11 has is linked as usual. What is newer, functions and data, is a function here that looks
//! the symbol up in the running system and returns `None` where there is none, so that a program loads on every system
//! and finds out at run time:
//!
//! ```
//! # #[cfg(target_vendor = "apple")] {
//! use xpc_runtime_sys::connection::xpc_connection_set_peer_code_signing_requirement;
//!
//! if let Some(set_requirement) = xpc_connection_set_peer_code_signing_requirement() {
//!     // macOS 12 or newer: this is the C function.
//!     # let _ = set_requirement;
//! }
//! # }
//! ```
//!
//! **Ownership.** What C calls retained (`XPC_RETURNS_RETAINED`) is said to be owned: one reference is the caller's to
//! release. Other returned objects are borrowed from an argument, and live as long as that.
//!
//! Off Apple's systems the declarations compile, and link where something defines the symbols.

// For tests on Linux: the repository's `xpc-runtime/shim`, where `--cfg xpc_runtime_force_apple` asks for it. Miri links
// nothing, and finds the functions in the program itself.
#[cfg(all(xpc_runtime_force_apple, not(miri)))]
#[link(name = "xpc_shim")]
unsafe extern "C" {}

#[macro_use]
mod weak;

pub mod activity;
pub mod block;
pub mod connection;
pub mod debug;
pub mod dispatch;
pub mod endpoint;
pub mod listener;
pub mod peer_requirement;
pub mod rich_error;
pub mod session;
pub mod types;
pub mod xpc;

#[cfg(any(target_vendor = "apple", xpc_runtime_force_apple))]
#[doc(hidden)]
pub use weak::Symbol;
