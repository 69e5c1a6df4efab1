//! What the benchmarks of signing sign.

pub mod apps;
