//! Signing, reading back and inspecting, on real Mach-O files.

mod apple;
mod command;
mod embedding;
mod fixture;
mod hostile;
mod inspecting;
mod mutation;
mod oracle;
mod peers;
mod refusals;
mod requests;
mod third_party;
mod verifying;
