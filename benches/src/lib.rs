//! What the benchmarks of signing sign, and what they ask.

pub mod apps;
#[path = "../../cargo-xpc/tests/sign/stamping.rs"]
pub mod stamping;
