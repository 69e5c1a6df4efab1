//! The half of cargo-xpc that reads what nobody vouches for, by itself: it needs a quarter of the packages that all of it needs, and
//! building those with the fuzzer's instrumentation would take the stage many minutes.
//!
//! That the half stands alone is so by design: `verify` shares no code with `sign`.
#![expect(dead_code, reason = "what only the other half uses")]

#[path = "../cargo-xpc/src/anatomy.rs"]
pub mod anatomy;
#[path = "../cargo-xpc/src/beneath/mod.rs"]
pub mod beneath;
#[path = "../cargo-xpc/src/exit.rs"]
pub mod exit;
#[path = "../cargo-xpc/src/faults.rs"]
pub mod faults;
#[path = "../cargo-xpc/src/macho/mod.rs"]
pub mod macho;
#[path = "../cargo-xpc/src/property_list/mod.rs"]
mod property_list;
#[path = "../cargo-xpc/src/provisioning.rs"]
pub mod provisioning;
#[path = "../cargo-xpc/src/verify/mod.rs"]
pub mod verify;

/// The reader of property lists, which is private to its crate.
///
/// # Errors
/// As there.
pub fn read_property_list(bytes: &[u8]) -> Result<plist::Dictionary, String> {
    property_list::read(bytes)
}
