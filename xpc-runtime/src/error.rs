use std::fmt;
use std::sync::Arc;

use xpc_object::{EncodeError, ValueError};

/// Why something did not work.
///
/// `Debug` prints the same as `Display`, so that a `main` that returns it ends with a readable message.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The service went away before it replied, or dropped the request without a reply. The connection stays usable:
    /// sending again launches the service again if need be. Whether the request had an effect is not known.
    #[doc(alias = "XPC_ERROR_CONNECTION_INTERRUPTED")]
    #[error(
        "the service was interrupted before it replied: it crashed, was ended, or dropped the request; the message may be sent again"
    )]
    Interrupted,
    /// The connection is over for good: no such service, cancelled, or ended by the side that made it. The text says
    /// why; on Apple platforms it is the system's where that is new enough to have one (macOS 12; sessions 13).
    #[doc(alias = "XPC_ERROR_CONNECTION_INVALID")]
    #[doc(alias = "xpc_connection_copy_invalidation_reason")]
    #[doc(alias = "xpc_rich_error_copy_description")]
    #[error("{0}")]
    Invalid(Arc<str>),
    /// A blocking request inside a handler of its own connection.
    #[error(
        "a blocking request inside a handler of the same connection can never be answered: use `send_with_reply`, or another connection"
    )]
    WouldDeadlock,
    /// More waits to be sent than the connection's budget allows ([`Inactive::budget`](crate::Inactive::budget)). The
    /// message was not queued. Never on Apple platforms, where libxpc sets no limit.
    #[error(
        "the connection's budget is used up: await `send_ready`, use `send_blocking`, or give it a larger `budget`"
    )]
    Full,
    /// No reply within the time given to the request. A reply that arrives later is discarded.
    #[error("no reply came in time")]
    TimedOut,
    /// A reply to a message whose sender awaits none, or a second reply to the same message.
    #[error("the message awaits no reply, or has been replied to already")]
    NotARequest,
    /// This backend cannot do it; the text says which can.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The other side does not meet the [`PeerRequirement`](crate::PeerRequirement): the reply that came is not from whom
    /// it should be. The text says what is known.
    #[doc(alias = "XPC_ERROR_PEER_CODE_SIGNING_REQUIREMENT")]
    #[error("{0}")]
    PeerRejected(Arc<str>),
    /// No peer can be compared with such a requirement; the text says why.
    #[error("{0}")]
    InvalidRequirement(Arc<str>),
    /// The message cannot be sent as it is.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A received message does not hold what was asked of it.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// A received message does not fit the type that it is read as. With the feature `serde`.
    #[cfg(feature = "serde")]
    #[error(transparent)]
    Decode(#[from] xpc_object::DecodeError),
}

impl Error {
    /// Whether the same may be tried again on the same connection or session, and succeed without anything else having
    /// been done: after [`Interrupted`](Self::Interrupted), [`Full`](Self::Full) and [`TimedOut`](Self::TimedOut).
    /// Whether a first try had an effect is another matter.
    #[doc(alias = "xpc_rich_error_can_retry")]
    pub fn can_retry(&self) -> bool {
        matches!(self, Self::Interrupted | Self::Full | Self::TimedOut)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Backends have errors of their own, or use this crate's.
pub(crate) fn neutral<T, E: Into<Error>>(result: Result<T, E>) -> Result<T, Error> {
    result.map_err(Into::into)
}
