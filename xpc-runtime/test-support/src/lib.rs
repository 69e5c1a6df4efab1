//! What the test app and its service agree on.

/// The service that both sides know.
pub const SERVICE_NAME: &str = xpc_runtime::service_name!();

/// A second service of the same app, run by the same program.
pub const OTHER_SERVICE_NAME: &str = "com.example.tests.other";

/// A service whose program ends before it serves anything.
pub const BROKEN_SERVICE_NAME: &str = "com.example.tests.broken";

/// A service whose program does not exist.
pub const ABSENT_SERVICE_NAME: &str = "com.example.tests.absent";

#[cfg(test)]
mod tests {
    #[test]
    fn the_name_is_that_of_the_manifest() {
        assert_eq!(super::SERVICE_NAME, "com.example.tests.service");
    }
}
