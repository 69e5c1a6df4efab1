//! What the app and its service agree on: a name, and the keys of the messages.

/// The service's name.
pub const SERVICE_NAME: &str = xpc_runtime::service_name!();

/// The keys of requests and replies.
pub mod keys {
    /// In a request: the expression, a string.
    pub const EXPRESSION: &str = "expression";
    /// In a reply: the value, a double. Absent where there is none.
    pub const VALUE: &str = "value";
    /// In a reply without a value: why there is none, a string.
    pub const PROBLEM: &str = "problem";
}
