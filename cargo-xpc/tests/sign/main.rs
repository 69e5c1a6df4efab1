//! Signing, reading back and inspecting, on real Mach-O files.

mod changes;
mod command;
mod embedding;
mod every_change;
mod fixture;
mod gaps;
mod hostile;
mod inspecting;
mod judge;
mod layouts;
mod mutation;
mod oracle;
mod peers;
mod refusals;
mod requests;
mod third_party;
