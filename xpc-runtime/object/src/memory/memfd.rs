use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{self, NonNull};

use rustix::fs::{
    FsWord, MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, fstatfs, ftruncate, memfd_create,
};
use rustix::mm::{MapFlags, ProtFlags, mmap};

use super::{Mapping, MemoryHandle, SharedMemory};
use crate::Fd;

/// Where memfds of ordinary pages live, and no file that may end for other reasons.
const TMPFS_MAGIC: FsWord = 0x0102_1994;
/// The size of the smallest ordinary page, and of no huge one.
const PAGE_BYTES: u64 = 4096;

/// A memory file that cannot get shorter: whoever has mapped it can touch every byte, whatever the other side does.
#[derive(Debug)]
pub struct Memfd {
    file: Fd,
    len: usize,
    id: u64,
}

impl Memfd {
    /// A new one of this many bytes, all zero.
    ///
    /// # Errors
    /// What the system says: too many descriptors are open, or no memory is left.
    pub fn new(len: usize) -> io::Result<Self> {
        let file = memfd_create(c"xpc-shmem", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, u64::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?)?;
        // Nor longer, nor sealed any further: the memory stays as useful as it is.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let id = fstat(&file)?.st_ino;
        Ok(Self { file: file.into(), len, id })
    }

    /// Takes over memory that somebody else made.
    ///
    /// # Errors
    /// What is not a memory file of ordinary pages, may get shorter, or is shorter than `len` already: touching it could
    /// end this process. One that cannot be written is refused by the system when it is mapped.
    pub fn received(file: OwnedFd, len: u64) -> io::Result<Self> {
        let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        let len = usize::try_from(len).ok().filter(|len| (1..=isize::MAX.cast_unsigned()).contains(len));
        let Some(len) = len else { return refused("shared memory of an impossible size") };
        if !fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK)) {
            return refused("shared memory that its sender could truncate");
        }
        let stat = fstat(&file)?;
        // What has seals is a memory file. Huge pages may be missing when they are touched. The blocks of a file of theirs
        // are as large as they are, so that the file system need not be asked unless ordinary ones are large as well.
        if u64::try_from(stat.st_blksize) != Ok(PAGE_BYTES) && fstatfs(&file)?.f_type != TMPFS_MAGIC {
            return refused("shared memory of huge pages, which may be missing");
        }
        if !u64::try_from(stat.st_size).is_ok_and(|size| size >= len as u64) {
            return refused("shared memory that is shorter than its sender says");
        }
        Ok(Self { file: file.into(), len, id: stat.st_ino })
    }

    /// The descriptor to send.
    pub fn file(&self) -> &Fd {
        &self.file
    }
}

impl MemoryHandle for Memfd {
    fn size(&self) -> usize {
        self.len
    }

    fn map(&self) -> io::Result<Mapping> {
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of this process.
        let start = unsafe {
            mmap(ptr::null_mut(), self.len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, self.file.as_fd(), 0)
        }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::Other)?;
        // SAFETY: just mapped, and known here only. The file has `len` bytes and cannot lose them.
        Ok(unsafe { Mapping::from_mapped(start, self.len) })
    }

    fn id(&self) -> u64 {
        self.id
    }
}

impl From<Memfd> for SharedMemory {
    fn from(memfd: Memfd) -> Self {
        Self::from_handle(memfd)
    }
}

// Miri knows no memfd.
#[cfg(all(test, not(miri)))]
mod tests {
    use std::fs::File;

    use super::*;

    fn memfd(size: u64, seals: SealFlags) -> OwnedFd {
        memfd_of(MemfdFlags::empty(), size, seals)
    }

    fn memfd_of(kind: MemfdFlags, size: u64, seals: SealFlags) -> OwnedFd {
        let file = memfd_create(c"test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | kind).unwrap();
        ftruncate(&file, size).unwrap();
        fcntl_add_seals(&file, seals).unwrap();
        file
    }

    #[test]
    fn both_sides_see_the_same_bytes() {
        let ours = SharedMemory::new(10_000).unwrap();
        let file = ours.handle::<Memfd>().unwrap().file().try_clone_to_owned().unwrap();
        let theirs = SharedMemory::from(Memfd::received(file, 10_000).unwrap());
        assert_eq!((ours.len(), theirs.len()), (10_000, 10_000));
        assert_eq!(ours, theirs);
        assert_ne!(ours, SharedMemory::new(10_000).unwrap());
        let (first, second) = (ours.map().unwrap(), theirs.map().unwrap());
        assert_eq!(second.copy(0, 10_000).unwrap(), vec![0; 10_000]);
        first.write(9_997, b"abc").unwrap();
        assert_eq!(second.copy(9_997, 3).unwrap(), b"abc");
        // A mapping outlives what it was made from.
        drop((ours, theirs, first));
        second.write(0, b"still there").unwrap();
        assert_eq!(second.copy(9_997, 3).unwrap(), b"abc");
        assert_eq!(SharedMemory::new(0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn our_own_cannot_be_truncated() {
        let memory = SharedMemory::new(4096).unwrap();
        let file = memory.handle::<Memfd>().unwrap().file();
        assert!(ftruncate(file, 0).is_err());
    }

    #[test]
    fn memory_that_could_end_this_process_is_refused() {
        assert!(Memfd::received(memfd(4096, SealFlags::SHRINK), 4096).is_ok());
        let read_only = || {
            let file = memfd(4096, SealFlags::SHRINK);
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
            OwnedFd::from(File::open(path).unwrap())
        };
        for (what, file, len) in [
            ("no seal", memfd(4096, SealFlags::GROW), 4096),
            ("too short", memfd(4095, SealFlags::SHRINK), 4096),
            ("empty", memfd(4096, SealFlags::SHRINK), 0),
            ("too large", memfd(4096, SealFlags::SHRINK), u64::MAX),
            ("huge pages", memfd_of(MemfdFlags::HUGETLB, 2 << 20, SealFlags::SHRINK), 4096),
            ("a file", File::open("/proc/self/exe").unwrap().into(), 1),
            ("a device", File::open("/dev/zero").unwrap().into(), 1),
        ] {
            assert!(Memfd::received(file, len).is_err(), "{what}");
        }
        let error = Memfd::received(read_only(), 1).unwrap().map().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
