//! Who is at the other end of a socket, as the kernel says.
//!
//! Through libc, not rustix: for a process that this one cannot see (of another pid namespace), or for bytes that were
//! sent before anyone asked for credentials, the kernel says process 0, which rustix 1.1 reads into a type that cannot
//! be zero.

use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{Errno, Result};
use rustix::net::RecvFlags;

use crate::socket;

/// Who is at the other end: what the kernel said of the process that sent its hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Process id.
    pub pid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Effective group id.
    pub egid: u32,
}

impl Credentials {
    /// The audit session of the process that has this id now, if it is in one, and the kernel has such sessions.
    pub fn asid(&self) -> Option<u32> {
        let session = std::fs::read_to_string(format!("/proc/{}/sessionid", self.pid)).ok()?;
        // The largest number stands for none.
        session.trim().parse().ok().filter(|session| *session != u32::MAX)
    }

    /// Process 0 is nobody.
    fn from_kernel(credentials: libc::ucred) -> Option<Self> {
        let pid = u32::try_from(credentials.pid).ok().filter(|pid| *pid != 0)?;
        Some(Self { pid, euid: credentials.uid, egid: credentials.gid })
    }
}

/// Who made the other end: who connected or listened, or for a socket pair who created the pair. That is not who holds
/// it now.
pub(crate) fn maker(socket: impl AsFd) -> Option<Credentials> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let size = size_of::<libc::ucred>();
    let mut length = libc::socklen_t::try_from(size).expect("a few bytes");
    // SAFETY: both pointers are to locals that live for the call, and `length` is the size of the first.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    if result == 0 && usize::try_from(length) == Ok(size) { Credentials::from_kernel(credentials) } else { None }
}

/// How much room ancillary data gets, in words so that it is aligned: one set of credentials, and as many descriptors as
/// one call can send.
const CONTROL_WORDS: usize = (64 + 4 * socket::MAX_DESCRIPTORS).div_ceil(8);

/// What one read brought.
pub(crate) struct Received {
    /// How many bytes; 0 is the end of the stream.
    pub read: usize,
    /// Who sent them, where the socket is set to say so.
    pub credentials: Option<Credentials>,
    /// Closed on exec.
    pub descriptors: Vec<OwnedFd>,
    /// Not all descriptors arrived: this process has too many open.
    pub cut: bool,
}

/// Reads once into `buffer`, with what came beside the bytes.
pub(crate) fn receive_message(socket: impl AsFd, buffer: &mut [u8], flags: RecvFlags) -> Result<Received> {
    let (start, room) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: a buffer of this length, borrowed by nothing else.
    unsafe { receive_at(socket, start, room, flags) }
}

/// As [`receive_message`], behind what `buffer` holds, at most `room` bytes.
pub(crate) fn receive_message_more(
    socket: impl AsFd,
    buffer: &mut Vec<u8>,
    room: usize,
    flags: RecvFlags,
) -> Result<Received> {
    buffer.reserve(room);
    let start = buffer.spare_capacity_mut().as_mut_ptr();
    // SAFETY: `reserve` has made room for as many bytes, and nothing else uses them.
    let received = unsafe { receive_at(socket, start.cast(), room, flags) }?;
    // SAFETY: the kernel has written `read` bytes, at most `room`, behind those that were there.
    unsafe { buffer.set_len(buffer.len() + received.read) };
    Ok(received)
}

/// # Safety
/// There are `room` bytes at `start` that can be written, and nothing else uses them meanwhile.
unsafe fn receive_at(socket: impl AsFd, start: *mut u8, room: usize, flags: RecvFlags) -> Result<Received> {
    let mut control = [const { MaybeUninit::<u64>::uninit() }; CONTROL_WORDS];
    let mut part = libc::iovec { iov_base: start.cast(), iov_len: room };
    // SAFETY: all zero is a valid message header: no address, no parts, no control data.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let flags = flags.bits().cast_signed() | libc::MSG_CMSG_CLOEXEC;
    let read = loop {
        // SAFETY: the header points to `part` and `control`, with their sizes, and `part` to the buffer, with its size;
        // all live and are used by nothing else.
        let read = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, flags) };
        match usize::try_from(read) {
            Ok(read) => break read,
            Err(_) => match Errno::from_io_error(&std::io::Error::last_os_error()) {
                Some(Errno::INTR) => {}
                error => return Err(error.unwrap_or(Errno::IO)),
            },
        }
    };
    let mut credentials = None;
    let mut descriptors = Vec::new();
    // SAFETY: the kernel has filled the header in: `msg_control` holds `msg_controllen` bytes of well-formed control
    // messages, which is what these macros walk over. Data is read unaligned, after its length was compared. Received
    // descriptors are this process's and owned by nothing else yet.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(current) = header.as_ref() {
            let data = libc::CMSG_DATA(header);
            // The length's type differs between C libraries.
            let length = (current.cmsg_len as u64).saturating_sub(libc::CMSG_LEN(0).into()) as usize;
            match (current.cmsg_level, current.cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if length >= size_of::<libc::ucred>() => {
                    credentials = Credentials::from_kernel(data.cast::<libc::ucred>().read_unaligned());
                }
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    for index in 0..length / size_of::<RawFd>() {
                        descriptors.push(OwnedFd::from_raw_fd(data.cast::<RawFd>().add(index).read_unaligned()));
                    }
                }
                _ => {}
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok(Received { read, credentials, descriptors, cut: message.msg_flags & libc::MSG_CTRUNC != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_session_is_the_kernels_unless_there_is_none() {
        let of = |pid| Credentials { pid, euid: 0, egid: 0 }.asid();
        let own = std::fs::read_to_string("/proc/self/sessionid").ok().and_then(|own| own.trim().parse().ok());
        assert_eq!(of(std::process::id()), own.filter(|own| *own != u32::MAX));
        assert_eq!(of(i32::MAX.cast_unsigned()), None);
    }
}
