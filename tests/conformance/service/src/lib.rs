//! What Conformance.app and its services agree on, and what the services do.

mod operations;

pub use operations::serve;

/// The service that most tests ask.
pub const SERVICE: &str = xpc_runtime::service_name!();
/// A second service of the same app, which joins the app's session.
pub const OTHER: &str = "com.example.conformance.other";
/// A service with the entitlement `com.apple.security.app-sandbox`, and no other.
pub const SANDBOXED: &str = "com.example.conformance.sandboxed";
/// A service with the run loop of Foundation.
pub const RUN_LOOP: &str = "com.example.conformance.run-loop";
/// A service that ends at its start.
pub const BROKEN: &str = "com.example.conformance.broken";
