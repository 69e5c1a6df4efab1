use std::fmt;

use xpc_object::Endpoint;

use crate::backend;
use crate::connection::{Accepted, Inactive};

/// Takes connections, in any process, from whoever has got its [`endpoint`](Self::endpoint). It ends when it is dropped,
/// or with its process.
///
/// ```
/// use xpc_runtime::{Connection, Dictionary, Error, Listener};
///
/// let listener = Listener::anonymous().activate(|peer| {
///     peer.on_message(|_, message| message.reply().with("answer", 42_u64).send()).activate();
/// });
/// // Usually the endpoint is sent to another process first.
/// let connection = Connection::from_endpoint(&listener.endpoint()).activate();
/// assert_eq!(connection.send_with_reply_blocking(&Dictionary::new())?.uint64("answer")?, 42);
/// # Ok::<(), Error>(())
/// ```
#[must_use = "a listener ends when it is dropped"]
pub struct Listener(backend::Listener);

/// A listener that takes no connections yet.
#[must_use = "a listener does nothing until `activate`"]
#[derive(Debug)]
pub struct InactiveListener {
    pub(crate) requirement: Option<backend::PeerRequirement>,
}

impl Listener {
    /// A listener without a name: it is found through its endpoint only.
    #[doc(alias = "xpc_connection_create")]
    pub fn anonymous() -> InactiveListener {
        InactiveListener { requirement: None }
    }

    /// The way to this listener. It can be kept, copied and put into messages; whoever receives it can connect and send
    /// it on. It does not keep the listener.
    #[doc(alias = "xpc_endpoint_create")]
    pub fn endpoint(&self) -> Endpoint {
        self.0.endpoint()
    }

    /// Ends the listener. Connections that were made from its endpoints become invalid, those that it accepted
    /// included. Cancelling again does nothing.
    #[doc(alias = "xpc_connection_cancel")]
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

impl InactiveListener {
    /// Starts listening.
    ///
    /// `accept` is called once for each connection that a client opens, one at a time. It sets the connection's handlers
    /// and activates it; a connection that it drops is rejected. A panic in `accept` ends the process.
    #[doc(alias = "xpc_connection_activate")]
    pub fn activate(self, mut accept: impl FnMut(Inactive<Accepted>) + Send + 'static) -> Listener {
        Listener(backend::Listener::requiring(self.requirement, move |peer| accept(Inactive::new(peer))))
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}
