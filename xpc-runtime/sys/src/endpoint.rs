//! `xpc/endpoint.h`: endpoints.

use crate::types::{xpc_connection_t, xpc_endpoint_t};

unsafe extern "C" {
    /// macOS 10.7. Owned.
    pub fn xpc_endpoint_create(connection: xpc_connection_t) -> xpc_endpoint_t;
}
