use std::sync::Arc;

use rustix::io::Errno;
use xpc_object::EncodeError;

/// Why a message was not sent or has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer went away or dropped the request. The connection can be used again.
    #[error("the service was interrupted before it replied")]
    Interrupted,
    /// The connection is over for good; the text says why.
    #[error("{0}")]
    Invalid(Arc<str>),
    /// A blocking request inside the handler of its own connection could never be answered.
    #[error("a blocking request inside a handler of the same connection can never be answered")]
    WouldDeadlock,
    /// More waits to be sent than the connection's budget allows. The message was not queued.
    #[error("the connection's budget is used up: the peer takes messages more slowly than they are sent")]
    Full,
    /// The time given to the request is over.
    #[error("no reply came in time")]
    TimedOut,
    /// The other side does not meet the connection's requirement; the text says what it is.
    #[error("{0}")]
    PeerRejected(Arc<str>),
    /// A requirement that no peer could be compared with.
    #[error("{0}")]
    InvalidRequirement(Arc<str>),
    /// The message cannot be represented on the wire.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// What a failed system call means to the user, and what to do about it.
pub(crate) fn explain(error: Errno) -> String {
    if is_out_of_descriptors(error) {
        "no descriptor is free: raise the limit (ulimit -n), or close some".into()
    } else {
        error.to_string()
    }
}

/// Whether it may be otherwise soon: others use what is lacking.
pub(crate) fn is_transient(error: Errno) -> bool {
    is_out_of_descriptors(error) || matches!(error, Errno::NOMEM | Errno::NOBUFS | Errno::TOOMANYREFS | Errno::AGAIN)
}

fn is_out_of_descriptors(error: Errno) -> bool {
    matches!(error, Errno::MFILE | Errno::NFILE)
}
