//! Messages from and to types that implement serde's traits, without an [`Object`](crate::Object) between.

mod de;
mod key;
mod ser;
mod values;

pub use de::from_message;
pub use ser::{to_message, to_message_after};

/// Names of newtype structs by which the traits' implementations and this format know each other.
mod names {
    pub const DATE: &str = "$xpc_object::Date";
    pub const UUID: &str = "$xpc_object::Uuid";
    pub const OBJECT: &str = "$xpc_object::Object";
}
