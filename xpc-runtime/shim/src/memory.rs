//! Shared memory.
//!
//! Linux cannot make a file of memory that is mapped already. Boxing a region therefore puts a memory file with the same
//! bytes in its place, under the same address. What another thread writes during that call may be lost: libxpc has no
//! such gap.

use std::ffi::c_void;
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::Mutex;

use xpc_object::{Memfd, SharedMemory};

use crate::lock;
use crate::object::{Lent, Object, Ref};
use crate::text::Out;
use crate::value::Value;

/// The memory files that stand behind regions of this process, by the number that the kernel's list of mappings has.
static BOXED: Mutex<Vec<(u64, SharedMemory)>> = Mutex::new(Vec::new());

/// One line of the kernel's list of mappings: `proc_pid_maps(5)`.
struct Mapped {
    start: usize,
    end: usize,
    shared: bool,
    inode: u64,
}

fn mappings() -> Vec<Mapped> {
    let list = fs::read_to_string("/proc/self/maps").expect("/proc is mounted");
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let shared = fields.next()?.ends_with('s');
        let address = |text| usize::from_str_radix(text, 16).ok();
        let inode = fields.nth(2)?.parse().ok()?;
        Some(Mapped { start: address(start)?, end: address(end)?, shared, inode })
    };
    list.lines().filter_map(line).collect()
}

fn map(file: BorrowedFd<'_>, at: *mut c_void, length: usize) -> *mut c_void {
    let place = if at.is_null() { 0 } else { libc::MAP_FIXED };
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | place);
    // SAFETY: at an address of the kernel's choice, or in the place of a mapping of the same length whose bytes the file
    // has, which its owner passed for that purpose.
    unsafe { libc::mmap(at, length, access, flags, file.as_raw_fd(), 0) }
}

fn file(memory: &SharedMemory) -> BorrowedFd<'_> {
    use std::os::fd::AsFd;
    memory.handle::<Memfd>().expect("the shim and its transport make no other").file().as_fd()
}

/// `xpc_object_t xpc_shmem_create(void *, size_t)`
///
/// # Safety
/// `length` bytes at `region` were mapped with `MAP_SHARED`, can be read and written, and nobody writes them meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpc_shmem_create(region: *mut c_void, length: usize) -> *mut Object {
    if region.is_null() || length == 0 {
        misuse!("xpc_shmem_create is called for {length} bytes at {region:p}");
    }
    let mappings = mappings();
    let last = region.addr() + (length - 1);
    let Some(there) = mappings.iter().find(|it| (it.start..it.end).contains(&region.addr()) && last < it.end) else {
        misuse!("xpc_shmem_create is called for memory that is not one mapping");
    };
    if !there.shared {
        misuse!("xpc_shmem_create is called for memory that was not mapped with MAP_SHARED");
    }
    let mut boxed = lock(&BOXED);
    boxed.retain(|(inode, _)| mappings.iter().any(|it| it.inode == *inode));
    if let Some((_, memory)) = boxed.iter().find(|(inode, _)| *inode == there.inode) {
        return Ref::new(Value::SharedMemory(memory.clone())).into_owned();
    }
    if there.start != region.addr() {
        misuse!("xpc_shmem_create is called for a part of a mapping, which the shim does not know");
    }
    let length = there.end - there.start;
    let memory = SharedMemory::from(Memfd::new(length).unwrap_or_else(|error| misuse!("no memory file: {error}")));
    let copy = map(file(&memory), ptr::null_mut(), length);
    if copy == libc::MAP_FAILED {
        misuse!("no room for a copy of {length} bytes");
    }
    // SAFETY: both are of this length: one was just mapped, the other is the caller's, who lets nobody write.
    unsafe { ptr::copy_nonoverlapping(region.cast::<u8>(), copy.cast(), length) };
    // SAFETY: just mapped, and known here only.
    unsafe { libc::munmap(copy, length) };
    if map(file(&memory), region, length) != region {
        misuse!("the region cannot be mapped anew");
    }
    let inode = self::mappings().iter().find(|it| it.start == region.addr()).map_or(0, |it| it.inode);
    boxed.push((inode, memory.clone()));
    Ref::new(Value::SharedMemory(memory)).into_owned()
}

/// `size_t xpc_shmem_map(xpc_object_t, void **)`: to be unmapped with `munmap`.
#[unsafe(no_mangle)]
pub extern "C" fn xpc_shmem_map(object: Lent, region: Out<*mut c_void>) -> usize {
    let Value::SharedMemory(memory) = object.value() else {
        misuse!("xpc_shmem_map is called for a {}", object.value().name())
    };
    let start = map(file(memory), ptr::null_mut(), memory.len());
    if start == libc::MAP_FAILED {
        return 0;
    }
    region.set(start);
    memory.len()
}
