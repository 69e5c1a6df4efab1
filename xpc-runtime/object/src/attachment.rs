//! Values that do not travel in a message's bytes but beside them.

use std::any::Any;
use std::fmt::{self, Debug};
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use crate::{Object, SharedMemory};

/// A file descriptor. Clones are the same descriptor, which is closed with the last of them; the receiver of a message
/// gets a descriptor of its own for the same file.
///
/// Two are equal if they are the same descriptor, as clones are. Two descriptors of one file are not, as in libxpc.
#[doc(alias = "xpc_fd_create")]
#[derive(Clone, Debug)]
pub struct Fd(Arc<OwnedFd>);

impl Fd {
    /// A new descriptor of the same file, closed on exec.
    ///
    /// # Errors
    /// As `dup(2)`: the process has too many open.
    #[doc(alias = "xpc_fd_dup")]
    #[doc(alias = "xpc_dictionary_dup_fd")]
    #[doc(alias = "xpc_array_dup_fd")]
    pub fn try_clone_to_owned(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }

    /// The descriptor itself where this is the only clone of it, otherwise a new one.
    ///
    /// # Errors
    /// As [`try_clone_to_owned`](Self::try_clone_to_owned).
    pub fn into_owned(self) -> io::Result<OwnedFd> {
        Arc::try_unwrap(self.0).or_else(|shared| shared.try_clone())
    }
}

impl From<OwnedFd> for Fd {
    fn from(descriptor: OwnedFd) -> Self {
        Self(Arc::new(descriptor))
    }
}

impl From<File> for Fd {
    fn from(file: File) -> Self {
        OwnedFd::from(file).into()
    }
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl PartialEq for Fd {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Fd {}

impl Hash for Fd {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// Where an anonymous listener can be reached. It can be kept, and sent to any process, which can send it on.
///
/// Two are equal if they lead to the same listener, as far as the backend can tell.
#[doc(alias = "xpc_endpoint_t")]
#[derive(Clone, Debug)]
pub struct Endpoint(Arc<dyn EndpointHandle>);

/// What a backend keeps in an [`Endpoint`].
pub trait EndpointHandle: Any + Debug + Send + Sync {
    /// The same for endpoints of the same listener.
    fn id(&self) -> u64;
}

impl Endpoint {
    #[doc(hidden)]
    /// For backends.
    pub fn new(handle: impl EndpointHandle) -> Self {
        Self(Arc::new(handle))
    }

    #[doc(hidden)]
    /// For backends: what is in it, if it is of theirs.
    pub fn handle<T: EndpointHandle>(&self) -> Option<&T> {
        let handle: &dyn Any = &*self.0;
        handle.downcast_ref()
    }

    pub(crate) fn id(&self) -> u64 {
        self.0.id()
    }
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Endpoint {}

impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

/// What libxpc's error objects read as. It cannot be sent.
#[doc(alias = "XPC_TYPE_ERROR")]
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ErrorValue(Arc<str>);

impl ErrorValue {
    #[doc(hidden)]
    /// For backends.
    pub fn new(description: impl Into<Arc<str>>) -> Self {
        Self(description.into())
    }

    /// What it says.
    #[doc(alias = "XPC_ERROR_KEY_DESCRIPTION")]
    pub fn description(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ErrorValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One value that travels beside a message's bytes, in which it has a place by its number.
#[derive(Clone, Debug)]
pub enum Attachment {
    /// A file descriptor.
    Fd(Fd),
    /// Memory.
    SharedMemory(SharedMemory),
    /// The way to a listener.
    Endpoint(Endpoint),
}

/// What a message says of the attachment that it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A file descriptor.
    Fd,
    /// Memory of this many bytes. The sender says so, and may lie.
    SharedMemory {
        /// The size.
        len: u64,
    },
    /// The way to the listener that its process has given this number.
    Endpoint {
        /// See [`EndpointHandle::id`].
        id: u64,
    },
}

impl From<Attachment> for Object {
    fn from(attachment: Attachment) -> Self {
        match attachment {
            Attachment::Fd(value) => Self::Fd(value),
            Attachment::SharedMemory(value) => Self::SharedMemory(value),
            Attachment::Endpoint(value) => Self::Endpoint(value),
        }
    }
}
