use std::any::Any;
use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Shared memory in this process's address space, until it is dropped.
///
/// The other side may write at any time, so that there are no plain references to the bytes: copies, which a concurrent
/// write may show old or new bytes of in any mixture, atomic views, and for those who can rule out that anybody writes,
/// `unsafe` slices. Check what was *copied* out, not what is still in the memory.
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
    /// What unmaps it.
    _keep: Box<dyn Any + Send + Sync>,
}

// SAFETY: the memory stays mapped as long as `_keep` lives, on whatever thread.
unsafe impl Send for Mapping {}
// SAFETY: every access through a shared reference is atomic.
unsafe impl Sync for Mapping {}

/// A range that is not inside a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes at offset {offset} are not inside a mapping of {mapped} bytes")]
pub struct OutOfBounds {
    /// Where the range starts.
    pub offset: usize,
    /// How long it is.
    pub len: usize,
    /// How long the mapping is.
    pub mapped: usize,
}

impl Mapping {
    #[doc(hidden)]
    /// For backends.
    ///
    /// # Safety
    /// There are `len` bytes at `start`, at most `isize::MAX`, which can be read and written and stay there until `keep`
    /// is dropped; this process touches them in no other way than through mappings.
    pub unsafe fn from_raw(start: NonNull<u8>, len: usize, keep: impl Any + Send + Sync) -> Self {
        Self { start, len, _keep: Box::new(keep) }
    }

    /// Its size in bytes.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Where it is: for volatile accesses, and for calls that take addresses. Valid as long as the mapping.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Copies bytes out.
    ///
    /// # Errors
    /// A range that is not inside the mapping; nothing is copied.
    pub fn read(&self, offset: usize, buffer: &mut [u8]) -> Result<(), OutOfBounds> {
        let start = self.at(offset, buffer.len())?;
        let head = start.align_offset(size_of::<usize>()).min(buffer.len());
        let (first, rest) = buffer.split_at_mut(head);
        let (words, last) = rest.as_chunks_mut::<{ size_of::<usize>() }>();
        let tail = head + words.len() * size_of::<usize>();
        for (index, byte) in first.iter_mut().enumerate() {
            // SAFETY: `at` has checked the whole range, of which this byte is part; all accesses are atomic.
            *byte = unsafe { AtomicU8::from_ptr(start.add(index)) }.load(Relaxed);
        }
        for (index, word) in words.iter_mut().enumerate() {
            // SAFETY: as above, for a whole word, which is aligned since `head` bytes come before the first.
            let value = unsafe { AtomicUsize::from_ptr(start.add(head).cast::<usize>().add(index)) }.load(Relaxed);
            *word = value.to_ne_bytes();
        }
        for (index, byte) in last.iter_mut().enumerate() {
            // SAFETY: as above.
            *byte = unsafe { AtomicU8::from_ptr(start.add(tail + index)) }.load(Relaxed);
        }
        Ok(())
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// A range that is not inside the mapping; nothing is copied.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), OutOfBounds> {
        let start = self.at(offset, bytes.len())?;
        let head = start.align_offset(size_of::<usize>()).min(bytes.len());
        let (first, rest) = bytes.split_at(head);
        let (words, last) = rest.as_chunks::<{ size_of::<usize>() }>();
        let tail = head + words.len() * size_of::<usize>();
        for (index, byte) in first.iter().enumerate() {
            // SAFETY: as in `read`.
            unsafe { AtomicU8::from_ptr(start.add(index)) }.store(*byte, Relaxed);
        }
        for (index, word) in words.iter().enumerate() {
            // SAFETY: as in `read`.
            unsafe { AtomicUsize::from_ptr(start.add(head).cast::<usize>().add(index)) }
                .store(usize::from_ne_bytes(*word), Relaxed);
        }
        for (index, byte) in last.iter().enumerate() {
            // SAFETY: as in `read`.
            unsafe { AtomicU8::from_ptr(start.add(tail + index)) }.store(*byte, Relaxed);
        }
        Ok(())
    }

    /// A copy of `len` bytes.
    ///
    /// # Errors
    /// A range that is not inside the mapping; nothing is set aside for it.
    pub fn copy(&self, offset: usize, len: usize) -> Result<Vec<u8>, OutOfBounds> {
        self.at(offset, len)?;
        let mut bytes = vec![0; len];
        self.read(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// The byte at this offset; `None` outside the mapping.
    pub fn atomic_u8(&self, offset: usize) -> Option<&AtomicU8> {
        let byte = self.view(offset, 1)?;
        // SAFETY: inside the mapping, which lives as long as the reference; all accesses are atomic.
        Some(unsafe { AtomicU8::from_ptr(byte) })
    }

    /// The four bytes at this offset as a number; `None` outside the mapping, and for an offset that is no multiple of
    /// four.
    pub fn atomic_u32(&self, offset: usize) -> Option<&AtomicU32> {
        let number = self.view(offset, size_of::<u32>())?;
        // SAFETY: as in `atomic_u8`, and aligned.
        Some(unsafe { AtomicU32::from_ptr(number.cast()) })
    }

    /// The eight bytes at this offset as a number; `None` outside the mapping, and for an offset that is no multiple of
    /// eight.
    pub fn atomic_u64(&self, offset: usize) -> Option<&AtomicU64> {
        let number = self.view(offset, size_of::<u64>())?;
        // SAFETY: as in `atomic_u8`, and aligned.
        Some(unsafe { AtomicU64::from_ptr(number.cast()) })
    }

    /// All the bytes.
    ///
    /// # Safety
    /// Nobody writes to the memory while the slice lives: no other process, and no other mapping of this one's. A
    /// receiver cannot know that of a sender it does not trust.
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: mapped for as long as the reference; unchanged, by this function's contract.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len) }
    }

    /// All the bytes, to be written.
    ///
    /// # Safety
    /// Nobody else reads or writes the memory while the slice lives: no other process, and no other mapping of this
    /// one's.
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: mapped for as long as the reference; nobody else's, by this function's contract.
        unsafe { std::slice::from_raw_parts_mut(self.as_ptr(), self.len) }
    }

    /// The address of an aligned view of `size` bytes.
    fn view(&self, offset: usize, size: usize) -> Option<*mut u8> {
        self.at(offset, size).ok().filter(|start| start.align_offset(size) == 0)
    }

    /// The address of a range that is inside the mapping.
    fn at(&self, offset: usize, len: usize) -> Result<*mut u8, OutOfBounds> {
        if offset > self.len || len > self.len - offset {
            return Err(OutOfBounds { offset, len, mapped: self.len });
        }
        // SAFETY: `offset` is at most the length of the mapping, which is one object of at most `isize::MAX` bytes.
        Ok(unsafe { self.start.as_ptr().add(offset) })
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Memory that the system mapped for this process; unmapped when it is dropped.
#[derive(Debug)]
pub(super) struct Mapped {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: an address and a length, of memory that belongs to the whole process.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// # Safety
    /// The system has mapped `len` bytes at `start`, and nobody else unmaps them.
    pub unsafe fn new(start: NonNull<u8>, len: usize) -> Self {
        Self { start, len }
    }

    #[cfg(any(not(target_os = "linux"), xpc_runtime_force_apple))]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped, by the contract of `new`; whatever gave its address away keeps this value.
        let result = unsafe { super::system::unmap(self.start, self.len) };
        debug_assert!(result.is_ok(), "{result:?}");
    }
}

impl Mapping {
    #[doc(hidden)]
    /// For backends: takes over memory that the system has mapped.
    ///
    /// # Safety
    /// `mmap` or its like has mapped `len` bytes at `start`, to be read and written; nobody else unmaps them, and this
    /// process touches them in no other way than through mappings.
    pub unsafe fn from_mapped(start: NonNull<u8>, len: usize) -> Self {
        // SAFETY: by this function's contract; the mapping keeps the value that unmaps it.
        unsafe { Self::from_raw(start, len, Mapped::new(start, len)) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    /// Aligned, and not a whole number of words.
    fn mapping(len: usize) -> Mapping {
        let words = vec![0_u64; len.div_ceil(8)].leak();
        let start = NonNull::new(words.as_mut_ptr()).unwrap().cast();
        /// The words, given back when the mapping goes.
        struct Owner(NonNull<u64>, usize);
        // SAFETY: the only owner of this memory.
        unsafe impl Send for Owner {}
        // SAFETY: as above.
        unsafe impl Sync for Owner {}
        impl Drop for Owner {
            fn drop(&mut self) {
                // SAFETY: leaked from a vector of this capacity, once.
                drop(unsafe { Vec::from_raw_parts(self.0.as_ptr(), self.1, self.1) });
            }
        }
        // SAFETY: `len` bytes at least, owned by `Owner`.
        unsafe { Mapping::from_raw(start, len, Owner(start.cast(), len.div_ceil(8))) }
    }

    #[test]
    fn copies_at_every_offset_and_length_and_nothing_beyond() {
        let mapping = mapping(37);
        let all: Vec<u8> = (1..=37).collect();
        for offset in 0..=37 {
            for len in 0..=37 - offset {
                mapping.write(0, &[0; 37]).unwrap();
                mapping.write(offset, &all[offset..offset + len]).unwrap();
                let expected: Vec<u8> =
                    (0..37).map(|n| if (offset..offset + len).contains(&n) { all[n] } else { 0 }).collect();
                assert_eq!(mapping.copy(0, 37).unwrap(), expected);
                assert_eq!(mapping.copy(offset, len).unwrap(), all[offset..offset + len]);
            }
        }
    }

    #[test]
    fn ranges_outside_are_refused() {
        let mut mapping = mapping(37);
        for (offset, len) in [(0, 38), (37, 1), (38, 0), (usize::MAX, 2), (2, usize::MAX)] {
            assert_eq!(mapping.copy(offset, len).unwrap_err(), OutOfBounds { offset, len, mapped: 37 });
        }
        assert!(mapping.write(36, &[0; 2]).is_err());
        assert!(mapping.atomic_u8(36).is_some() && mapping.atomic_u8(37).is_none());
        assert!(
            mapping.atomic_u32(32).is_some() && mapping.atomic_u32(36).is_none() && mapping.atomic_u32(2).is_none()
        );
        assert!(
            mapping.atomic_u64(24).is_some() && mapping.atomic_u64(32).is_none() && mapping.atomic_u64(4).is_none()
        );
        assert_eq!(mapping.copy(37, 0).unwrap(), []);
        // SAFETY: this test is the only user of the memory.
        unsafe { mapping.as_mut_slice()[36] = 9 };
        // SAFETY: as above.
        assert_eq!(unsafe { mapping.as_slice() }.last(), Some(&9));
    }

    #[test]
    fn threads_may_use_one_mapping_at_once() {
        let mapping = Arc::new(mapping(64));
        let other = mapping.clone();
        let thread = thread::spawn(move || {
            for n in 0..100 {
                other.write(8, &[n; 16]).unwrap();
            }
            other.atomic_u64(0).unwrap().store(1, std::sync::atomic::Ordering::Release);
        });
        while mapping.atomic_u64(0).unwrap().load(std::sync::atomic::Ordering::Acquire) == 0 {
            mapping.copy(8, 16).unwrap();
            thread::yield_now();
        }
        assert_eq!(mapping.copy(8, 16).unwrap(), [99; 16]);
        thread.join().unwrap();
    }
}
