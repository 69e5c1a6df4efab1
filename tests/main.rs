//! The whole way, on real binaries.

mod bindings;
mod building;
mod bundles;
mod details;
mod embed;
mod faults;
mod golden;
mod killed;
mod mistakes;
mod packages;
mod rustflags;
mod sandbox;
mod testing;
