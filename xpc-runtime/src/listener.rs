use std::fmt;
use std::marker::PhantomData;

use xpc_object::Endpoint;

use crate::connection::{Accepted, Inactive};
use crate::{Error, backend};

/// How a listener is found: [`Anonymous`] or [`MachService`].
pub trait Kind: sealed::Sealed {}

/// A listener that is found through its [`Endpoint`] only.
pub enum Anonymous {}

/// A listener that is found by name.
pub enum MachService {}

impl Kind for Anonymous {}
impl Kind for MachService {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Anonymous {}
    impl Sealed for super::MachService {}
}

/// Takes connections. It ends when it is dropped, or with its process.
///
/// An anonymous one takes them, in any process, from whoever has got its [`endpoint`](Self::endpoint):
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
///
/// One with a name is what an agent or a daemon has; see [`mach_service`](Self::mach_service).
#[must_use = "a listener ends when it is dropped"]
pub struct Listener<K: Kind = Anonymous> {
    listener: backend::Listener,
    kind: PhantomData<fn() -> K>,
}

/// A listener that takes no connections yet.
#[must_use = "a listener does nothing until `activate`"]
pub struct InactiveListener<K: Kind = Anonymous> {
    /// `None` for an anonymous one.
    name: Option<Box<str>>,
    on_invalid: Option<InvalidHandler>,
    pub(crate) requirement: Option<backend::PeerRequirement>,
    kind: PhantomData<fn() -> K>,
}

type InvalidHandler = Box<dyn FnOnce(Error) + Send>;

impl Listener<Anonymous> {
    /// A listener without a name: it is found through its endpoint only.
    #[doc(alias = "xpc_connection_create")]
    pub fn anonymous() -> InactiveListener<Anonymous> {
        InactiveListener { name: None, on_invalid: None, requirement: None, kind: PhantomData }
    }

    /// The way to this listener. It can be kept, copied and put into messages; whoever receives it can connect and send
    /// it on. It does not keep the listener.
    #[doc(alias = "xpc_endpoint_create")]
    pub fn endpoint(&self) -> Endpoint {
        self.listener.endpoint()
    }
}

impl Listener<MachService> {
    /// A listener that other programs of the same user reach by this name, with
    /// [`Connection::mach_service`](crate::Connection::mach_service): an agent or a daemon, which is in no app's bundle
    /// and outlives apps. Its `main` ends with [`dispatch_main`](crate::dispatch_main), not with
    /// [`xpc_main`](crate::xpc_main).
    ///
    /// ```no_run
    /// use xpc_runtime::{Listener, dispatch_main};
    ///
    /// let _listener = Listener::mach_service("com.example.clock")
    ///     .on_invalid(|error| {
    ///         eprintln!("{error}");
    ///         std::process::exit(1);
    ///     })
    ///     .activate(|peer| {
    ///         peer.on_message(|_, message| message.reply().with("now", std::time::SystemTime::now()).send()).activate();
    ///     });
    /// dispatch_main()
    /// ```
    ///
    /// On Apple platforms the process is a job of launchd's, whose property list has the name among its `MachServices`;
    /// launchd starts it when the first message is sent to it. Elsewhere somebody starts it, and the name is a socket
    /// in `$XDG_RUNTIME_DIR/xpc-runtime/<name>`, which only its user may enter; other users' processes, root's too, are
    /// refused. systemd can have made that socket before (`ListenSequentialPacket=` of a socket unit), and then starts
    /// the process with its first client. A name is at most 127 bytes long and has no `/` in it. From its activation on, SIGTERM ends the process with
    /// its last [`Transaction`](crate::Transaction), unless the program handles that signal.
    #[doc(alias = "xpc_connection_create_mach_service")]
    #[doc(alias = "XPC_CONNECTION_MACH_SERVICE_LISTENER")]
    pub fn mach_service(name: &str) -> InactiveListener<MachService> {
        InactiveListener { name: Some(name.into()), on_invalid: None, requirement: None, kind: PhantomData }
    }
}

impl<K: Kind> Listener<K> {
    /// Ends the listener, and the connections that it accepted: they become invalid, and so do those of the clients of
    /// an anonymous one; the clients of one with a name are interrupted. Cancelling again does nothing.
    #[doc(alias = "xpc_connection_cancel")]
    pub fn cancel(&self) {
        self.listener.cancel();
    }
}

impl InactiveListener<MachService> {
    /// Sets what runs once when the listener is over without being dropped; the error is [`Error::Invalid`] and says
    /// why: the name is not this process's to serve (another one does, or launchd knows nothing of it), or it was
    /// cancelled. Without it, that it could not begin is written to standard error.
    #[doc(alias = "XPC_ERROR_CONNECTION_INVALID")]
    pub fn on_invalid(mut self, handler: impl FnOnce(Error) + Send + 'static) -> Self {
        self.on_invalid = Some(Box::new(handler));
        self
    }
}

impl<K: Kind> InactiveListener<K> {
    /// Starts listening.
    ///
    /// `accept` is called once for each connection that a client opens, one at a time. It sets the connection's handlers
    /// and activates it; a connection that it drops is rejected. A panic in `accept` ends the process.
    #[doc(alias = "xpc_connection_activate")]
    pub fn activate(self, mut accept: impl FnMut(Inactive<Accepted>) + Send + 'static) -> Listener<K> {
        let accept = move |peer| accept(Inactive::new(peer));
        let listener = match self.name {
            None => backend::Listener::requiring(self.requirement, accept),
            Some(name) => {
                let over: InvalidHandler = self.on_invalid.unwrap_or_else(|| Box::new(|error| eprintln!("{error}")));
                let over = move |reason| over(Error::Invalid(reason));
                backend::Listener::mach_service(&name, self.requirement, accept, over)
            }
        };
        Listener { listener, kind: PhantomData }
    }
}

impl<K: Kind> fmt::Debug for Listener<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

impl<K: Kind> fmt::Debug for InactiveListener<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InactiveListener").field("name", &self.name).finish_non_exhaustive()
    }
}
