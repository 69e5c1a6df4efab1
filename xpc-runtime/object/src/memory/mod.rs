//! Memory that two processes see.

mod mapping;
#[cfg(target_os = "linux")]
mod memfd;
#[cfg(any(not(target_os = "linux"), xpc_runtime_force_apple))]
mod region;
mod system;

use std::any::Any;
use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::Arc;

pub use self::mapping::{Mapping, OutOfBounds};
#[cfg(target_os = "linux")]
pub use self::memfd::Memfd;
#[cfg(any(not(target_os = "linux"), xpc_runtime_force_apple))]
pub use self::region::Region;

/// Memory that can be sent: whoever receives it sees the same bytes. Nothing is copied, whatever its size.
///
/// It is read and written through a [`Mapping`]. The other side can change every byte at any time.
#[doc(alias = "xpc_shmem_create")]
#[derive(Clone)]
pub struct SharedMemory(Arc<dyn MemoryHandle>);

/// What a backend keeps in a [`SharedMemory`].
pub trait MemoryHandle: Any + Debug + Send + Sync {
    /// Its size in bytes.
    fn size(&self) -> usize;

    /// Maps it, [`size`](Self::size) bytes at least.
    ///
    /// # Errors
    /// What the system says.
    fn map(&self) -> io::Result<Mapping>;

    /// The same for the same memory, as far as the backend can tell.
    fn id(&self) -> u64;
}

impl SharedMemory {
    /// New memory of this many bytes, all zero.
    ///
    /// # Errors
    /// `InvalidInput` for zero bytes; else what the system says: too many descriptors are open, or no memory is left.
    pub fn new(len: usize) -> io::Result<Self> {
        if len == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "shared memory has one byte at least"));
        }
        #[cfg(all(target_os = "linux", not(xpc_runtime_force_apple)))]
        return Ok(Self::from_handle(Memfd::new(len)?));
        #[cfg(any(not(target_os = "linux"), xpc_runtime_force_apple))]
        return Ok(Self::from_handle(Region::new(len)?));
    }

    #[doc(hidden)]
    /// For backends.
    pub fn from_handle(handle: impl MemoryHandle) -> Self {
        Self(Arc::new(handle))
    }

    #[doc(hidden)]
    /// For backends: what is in it, if it is of theirs.
    pub fn handle<T: MemoryHandle>(&self) -> Option<&T> {
        let handle: &dyn Any = &*self.0;
        handle.downcast_ref()
    }

    /// Its size in bytes; never zero. On Apple platforms its receiver sees whole pages.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.0.size()
    }

    /// Maps it into this process. It can be mapped more than once.
    ///
    /// # Errors
    /// What the system says: no address space or memory is left.
    #[doc(alias = "xpc_shmem_map")]
    pub fn map(&self) -> io::Result<Mapping> {
        self.0.map()
    }
}

impl Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<shmem>: {} bytes", self.len())
    }
}

impl PartialEq for SharedMemory {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

impl Eq for SharedMemory {}

impl Hash for SharedMemory {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id().hash(state);
    }
}
