//! The whole way, on real binaries.

mod bindings;
mod building;
mod bundles;
#[cfg(target_os = "linux")]
mod c_programs;
mod coverage;
mod details;
mod embed;
#[cfg(target_os = "linux")]
mod facts;
mod faults;
mod golden;
mod headers;
mod killed;
// Of what zig links: on a Mac it is Apple's linker, and the programs run.
#[cfg(target_os = "linux")]
mod linking;
mod mistakes;
mod oslog;
mod packages;
mod rustflags;
mod sandbox;
mod shells;
mod testing;
