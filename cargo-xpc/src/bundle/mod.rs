//! From built programs to a bundle on disk: staging beside the destination, assembling, publishing.

pub mod assemble;
pub mod publish;
mod removal;
pub mod staging;
pub mod tree;
