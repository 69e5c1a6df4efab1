//! What the app and its service agree on: the service's name, and what the messages hold.

/// The name under which the app finds the service: the identifier in this package's `Cargo.toml`.
pub const SERVICE_NAME: &str = xpc_runtime::service_name!();

/// Keys of the messages, which are dictionaries.
pub mod keys {
    /// In a request, a string: whom to greet.
    pub const NAME: &str = "name";

    /// In the reply, a string: the greeting.
    pub const GREETING: &str = "greeting";
}
