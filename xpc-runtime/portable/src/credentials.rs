//! Who is at the other end of a socket, as the kernel says.
//!
//! Through libc, not rustix: for a process that this one cannot see (of another pid namespace), or for bytes that were
//! sent before anyone asked for credentials, the kernel says process 0, which rustix 1.1 reads into a type that cannot
//! be zero.

use std::mem;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{Errno, Result};
use rustix::net::RecvFlags;

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

/// How much room ancillary data gets, in words so that it is aligned: one set of credentials, and more descriptors than
/// anyone may send unasked. What does not fit is closed by the kernel.
const CONTROL_WORDS: usize = 16;

/// Reads once into `buffer`, with the credentials of whoever sent these bytes. 0 is the end of the stream. Descriptors
/// that came along are closed.
pub(crate) fn receive_with_credentials(
    socket: impl AsFd,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<(usize, Option<Credentials>)> {
    let mut control = [0_u64; CONTROL_WORDS];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zero is a valid message header: no address, no parts, no control data.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let flags = flags.bits().cast_signed() | libc::MSG_CMSG_CLOEXEC;
    let read = loop {
        // SAFETY: the header points to `part` and `control`, with their sizes, and `part` to `buffer`, with its size;
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
                        drop(OwnedFd::from_raw_fd(data.cast::<RawFd>().add(index).read_unaligned()));
                    }
                }
                _ => {}
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok((read, credentials))
}
