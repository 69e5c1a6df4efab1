//! `cargo xpc`: XPC services for apps written in Rust.
//!
//! The library holds the stages; the program is `cli::run`. A bundle takes one way through them:
//! request → configuration → plan → built artifacts → unsigned bundle → signed bundle → read back → published path.
//! Each stage is a free function over owned data; only `cli` prints, reads the environment or ends the process.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod anatomy;
pub mod beneath;
pub mod build;
pub mod bundle;
mod child;
pub mod cli;
pub mod config;
pub mod exit;
pub mod faults;
pub mod inspect;
pub mod macho;
pub mod plan;
mod property_list;
pub mod provisioning;
pub mod scaffold;
pub mod sign;
pub mod toolchain;
pub mod verify;
pub mod workspace;
