//! Shared memory: a [`Region`] is boxed when it is sent, and a box is mapped when it is received.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use xpc_object::{Mapping, MemoryHandle, Region, SharedMemory};

use super::object::Retained;
use super::raw::{xpc_hash, xpc_shmem_create, xpc_shmem_map};

/// A shared memory object that was received. It is mapped at once: nothing else tells its size.
#[derive(Debug)]
struct Received {
    object: Retained,
    mapping: Arc<Mapping>,
}

impl MemoryHandle for Received {
    fn size(&self) -> usize {
        self.mapping.len()
    }

    fn map(&self) -> io::Result<Mapping> {
        let start = NonNull::new(self.mapping.as_ptr()).ok_or(io::ErrorKind::Other)?;
        // SAFETY: the mapping's own memory, which the new one keeps; both touch it by atomic accesses alone.
        Ok(unsafe { Mapping::from_raw(start, self.mapping.len(), self.mapping.clone()) })
    }

    fn id(&self) -> u64 {
        // SAFETY: the reference keeps the object.
        unsafe { xpc_hash(self.object.as_ptr()) as u64 }
    }
}

/// The object to send; `None` for memory that is not of this backend's.
pub(super) fn boxed(memory: &SharedMemory) -> Option<Retained> {
    if let Some(received) = memory.handle::<Received>() {
        return Some(received.object.clone());
    }
    let region = memory.handle::<Region>()?;
    // SAFETY: this process has mapped so many bytes there with MAP_SHARED, and nobody changes the mapping while
    // `memory` lives. The object refers to the memory, not to this mapping of it; it is owned.
    unsafe { Retained::owned(xpc_shmem_create(region.start().as_ptr().cast(), memory.len())) }
}

/// What a shared memory object holds; `None` where it cannot be mapped.
pub(super) fn received(object: Retained) -> Option<SharedMemory> {
    let mut start = ptr::null_mut();
    // SAFETY: a live shared memory object, and room for an address.
    let len = unsafe { xpc_shmem_map(object.as_ptr(), &raw mut start) };
    let start = NonNull::new(start.cast()).filter(|_| len > 0)?;
    // SAFETY: libxpc has mapped so many bytes there for this call alone, which are this program's to unmap; they are
    // known here only.
    let mapping = unsafe { Mapping::from_mapped(start, len) };
    Some(SharedMemory::from_handle(Received { object, mapping: Arc::new(mapping) }))
}
