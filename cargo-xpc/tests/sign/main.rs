//! Signing, reading back and inspecting, on real Mach-O files.

mod apple;
mod command;
mod demands;
mod embedding;
mod fixture;
mod hostile;
mod identity;
mod inspecting;
mod mutation;
mod oracle;
mod peers;
mod profile;
mod refusals;
mod requests;
mod third_party;
mod timestamp;
mod verifying;
