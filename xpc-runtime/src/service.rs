use crate::backend;
use crate::connection::{Accepted, Inactive};

/// Runs the service: the last thing its `main` calls.
///
/// `accept` is called once for each connection that a client opens, one at a time. It sets the connection's handlers
/// and activates it; a connection that it drops is rejected. The process ends when the system ends it; this function
/// never returns. A panic in `accept` ends the process.
///
/// A service that is started by hand rather than by its app prints `An XPC Service cannot be run directly.` and aborts
/// (SIGABRT).
pub fn xpc_main(mut accept: impl FnMut(Inactive<Accepted>) + Send + 'static) -> ! {
    backend::run_service(move |peer| accept(Inactive::new(peer)))
}
