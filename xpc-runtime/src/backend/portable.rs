//! `xpc-portable` has the shape of a backend already; only its errors are its own.

pub use xpc_portable::Budget;
pub(crate) use xpc_portable::{
    Connection, Event, Inactive, Listener, Message, Reply, ReplyFuture, SendReady, Suspension, Transaction, run_service,
};

use crate::Error;

impl From<xpc_portable::Error> for Error {
    fn from(error: xpc_portable::Error) -> Self {
        match error {
            xpc_portable::Error::Interrupted => Self::Interrupted,
            xpc_portable::Error::WouldDeadlock => Self::WouldDeadlock,
            xpc_portable::Error::Full => Self::Full,
            xpc_portable::Error::TimedOut => Self::TimedOut,
            xpc_portable::Error::Encode(error) => Self::Encode(error),
            xpc_portable::Error::Invalid(reason) => Self::Invalid(reason),
            other => Self::Invalid(other.to_string().into()),
        }
    }
}

/// The crate's own, with this crate's errors.
pub(crate) mod testing {
    use std::time::Duration;

    use super::Connection;
    use crate::Error;

    pub(crate) fn kill_service(name: &str) -> Result<bool, Error> {
        Ok(xpc_portable::testing::kill_service(name)?)
    }

    pub(crate) fn terminate_service(name: &str) -> Result<bool, Error> {
        Ok(xpc_portable::testing::terminate_service(name)?)
    }

    pub(crate) fn drop_replies(connection: &Connection, count: usize) -> Result<(), Error> {
        xpc_portable::testing::drop_replies(connection, count);
        Ok(())
    }

    pub(crate) fn delay_messages(connection: &Connection, delay: Duration) -> Result<(), Error> {
        xpc_portable::testing::delay_messages(connection, delay);
        Ok(())
    }
}
