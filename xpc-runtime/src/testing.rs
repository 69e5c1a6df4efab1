//! Faults for your own tests: a service that dies, a reply that gets lost, messages that take their time.
//!
//! The portable backend does these. On Apple platforms, where launchd and libxpc are the system's, they do nothing but
//! fail with [`Error::Unsupported`].

use std::time::Duration;

use crate::{Connection, Error, backend};

/// Kills the service of this name in the app of this process (SIGKILL), and returns when it is gone. Says whether it
/// ran. Its clients are interrupted.
///
/// # Errors
/// [`Error::Unsupported`]; [`Error::Invalid`] where the launcher cannot be asked.
pub fn kill_service(name: &str) -> Result<bool, Error> {
    backend::testing::kill_service(name)
}

/// Ends the service of this name as launchd ends one. Without an open transaction it is killed. Otherwise it is told that
/// its termination is imminent (SIGTERM), ends with its last transaction, and is killed if that takes longer than
/// `XPC_RUNTIME_EXIT_TIMEOUT`. Returns when the one or the other has begun, and says whether the service ran.
///
/// # Errors
/// As for [`kill_service`].
pub fn terminate_service(name: &str) -> Result<bool, Error> {
    backend::testing::terminate_service(name)
}

/// Has a run of this process's activity of this identifier be asked to pause:
/// [`Activity::should_defer`](crate::Activity::should_defer). Says whether one goes on.
///
/// # Errors
/// [`Error::Unsupported`].
pub fn defer_activity(identifier: &str) -> Result<bool, Error> {
    backend::testing::defer_activity(identifier)
}

/// Of the replies that arrive over the connection the next ones, so many, get lost: their requests fail with
/// [`Error::Interrupted`].
///
/// # Errors
/// [`Error::Unsupported`].
pub fn drop_replies(connection: &Connection, count: usize) -> Result<(), Error> {
    backend::testing::drop_replies(&connection.0, count)
}

/// What arrives over the connection from now on, replies too, is held up for so long each time something is read. Order
/// is kept. [`Duration::ZERO`] ends it.
///
/// # Errors
/// [`Error::Unsupported`].
pub fn delay_messages(connection: &Connection, delay: Duration) -> Result<(), Error> {
    backend::testing::delay_messages(&connection.0, delay)
}
