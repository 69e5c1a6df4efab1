//! `xpc-portable` has the shape of a backend already; only its errors are its own.

pub(crate) use xpc_portable::{Connection, Event, Inactive, Message, Reply, ReplyFuture, run_service};

use crate::Error;

impl From<xpc_portable::Error> for Error {
    fn from(error: xpc_portable::Error) -> Self {
        match error {
            xpc_portable::Error::Interrupted => Self::Interrupted,
            xpc_portable::Error::WouldDeadlock => Self::WouldDeadlock,
            xpc_portable::Error::TimedOut => Self::TimedOut,
            xpc_portable::Error::Encode(error) => Self::Encode(error),
            xpc_portable::Error::Invalid(reason) => Self::Invalid(reason),
            other => Self::Invalid(other.to_string().into()),
        }
    }
}
