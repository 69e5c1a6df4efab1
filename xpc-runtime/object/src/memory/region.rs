use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

use super::mapping::Mapped;
use super::{Mapping, MemoryHandle, system};

/// Memory of this process that libxpc can box (`xpc_shmem_create`): mapped with `MAP_SHARED`.
#[derive(Debug)]
pub struct Region {
    mapped: Arc<Mapped>,
    len: usize,
}

impl Region {
    pub(super) fn new(len: usize) -> io::Result<Self> {
        let start = system::map_anonymous(len)?;
        // SAFETY: just mapped, and known here only.
        let mapped = unsafe { Mapped::new(start, len) };
        Ok(Self { mapped: Arc::new(mapped), len })
    }

    /// Where it starts; valid as long as `self`.
    pub fn start(&self) -> NonNull<u8> {
        self.mapped.start()
    }
}

impl MemoryHandle for Region {
    fn size(&self) -> usize {
        self.len
    }

    fn map(&self) -> io::Result<Mapping> {
        // SAFETY: the region's own memory, which the mapping keeps. It is touched through mappings only: all of them
        // atomic.
        Ok(unsafe { Mapping::from_raw(self.start(), self.len, self.mapped.clone()) })
    }

    fn id(&self) -> u64 {
        self.start().addr().get() as u64
    }
}
