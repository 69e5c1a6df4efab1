//! The two calls that mappings need. On Apple platforms by declarations of our own: the crates that have them link libiconv,
//! and programs are to need libSystem alone.

use std::io;
use std::ptr::NonNull;

#[cfg(target_vendor = "apple")]
mod apple {
    use std::ffi::{c_int, c_void};

    // <sys/mman.h>
    pub const PROT_READ: c_int = 1;
    pub const PROT_WRITE: c_int = 2;
    pub const MAP_SHARED: c_int = 1;
    pub const MAP_ANON: c_int = 0x1000;
    /// `MAP_FAILED`: -1 as an address.
    pub const MAP_FAILED: usize = usize::MAX;

    unsafe extern "C" {
        pub fn mmap(
            address: *mut c_void,
            len: usize,
            protection: c_int,
            flags: c_int,
            descriptor: c_int,
            offset: i64,
        ) -> *mut c_void;
        pub fn munmap(address: *mut c_void, len: usize) -> c_int;
    }
}

/// Maps fresh memory, shared with whoever it is sent to: `mmap(2)` with `MAP_SHARED | MAP_ANON`.
#[cfg(target_vendor = "apple")]
pub(super) fn map_anonymous(len: usize) -> io::Result<NonNull<u8>> {
    use apple::{MAP_ANON, MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE};
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory of this process; without a
    // descriptor, as MAP_ANON wants it.
    let start = unsafe { apple::mmap(std::ptr::null_mut(), len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANON, -1, 0) };
    if start.addr() == MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::ErrorKind::Other.into())
}

/// The same elsewhere.
#[cfg(all(not(target_vendor = "apple"), any(not(target_os = "linux"), xpc_runtime_force_apple)))]
pub(super) fn map_anonymous(len: usize) -> io::Result<NonNull<u8>> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory of this process.
    let start =
        unsafe { mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED) }?;
    NonNull::new(start.cast()).ok_or_else(|| io::ErrorKind::Other.into())
}

/// Takes a mapping away: `munmap(2)`.
///
/// # Safety
/// `len` bytes are mapped at `start`, and nobody uses them any more.
pub(super) unsafe fn unmap(start: NonNull<u8>, len: usize) -> io::Result<()> {
    #[cfg(target_vendor = "apple")]
    // SAFETY: by this function's contract.
    return match unsafe { apple::munmap(start.as_ptr().cast(), len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    #[cfg(not(target_vendor = "apple"))]
    // SAFETY: by this function's contract.
    return Ok(unsafe { rustix::mm::munmap(start.as_ptr().cast(), len) }?);
}
