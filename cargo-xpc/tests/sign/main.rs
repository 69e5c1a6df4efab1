//! Signing, reading back and inspecting, on real Mach-O files.
#![expect(clippy::disallowed_methods, reason = "tests keep no secrets")]

mod apple;
mod bombs;
mod certified;
mod changes;
mod command;
mod demands;
mod embedding;
mod every_change;
mod findings;
mod fixture;
mod forged;
mod gaps;
mod hostile;
mod hostile_bundles;
mod identity;
mod inspecting;
mod judge;
mod layouts;
mod limit;
mod mutation;
mod oracle;
#[cfg(target_os = "linux")]
mod outside;
mod peers;
mod profile;
mod pss;
mod refusals;
mod requests;
mod resigned;
mod seen;
mod stamping;
#[cfg(target_os = "linux")]
mod system;
mod third_party;
mod timestamp;
mod verifying;
