//! The few socket calls that everything else is made of. Nothing here is ever set to non-blocking mode, which would be
//! shared with every other holder of the socket: calls that must not wait say so one by one.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::io::{Errno, Result};
use rustix::net::{
    self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sockopt,
};
use xpc_object::Fd;

use crate::frame::HEADER_BYTES;

/// Both ends of a connection. The kernel attaches the sender's credentials to whatever is sent from now on, until
/// [`stop_credentials`].
pub(crate) fn connection_pair() -> Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_passcred(&ours, true)?;
    sockopt::set_socket_passcred(&theirs, true)?;
    Ok((ours, theirs))
}

/// Once the peer is known, its credentials need not travel with every message.
pub(crate) fn stop_credentials(socket: impl AsFd) {
    // Failing costs time on later messages, nothing else.
    let _ = sockopt::set_socket_passcred(socket, false);
}

/// Both ends of what carries packets: the bootstrap socket between the launcher and one service, and a rendezvous.
pub(crate) fn packet_pair() -> Result<(OwnedFd, OwnedFd)> {
    net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Sends what fits without waiting; a gone peer is an error, not a signal.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8]) -> Result<usize> {
    retry(|| net::send(&socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT))
}

/// How many descriptors the kernel takes in one call (`SCM_MAX_FD`).
pub(crate) const MAX_DESCRIPTORS: usize = 253;

/// As [`send`], for what is left of a frame and its descriptors: those that leave are taken out. All arrive no later than
/// the frame's last byte: every part of them but the last takes one byte along, the first one the header.
pub(crate) fn send_frame(socket: impl AsFd, bytes: &[u8], descriptors: &mut Vec<Fd>) -> Result<usize> {
    if descriptors.is_empty() {
        return send(socket, bytes);
    }
    let count = descriptors.len().min(MAX_DESCRIPTORS);
    let bytes =
        if count < descriptors.len() { &bytes[..HEADER_BYTES.min(bytes.len() - descriptors.len())] } else { bytes };
    let part: Vec<_> = descriptors[..count].iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&part));
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = retry(|| net::sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, flags))?;
    descriptors.drain(..count);
    Ok(sent)
}

/// Reads once into `buffer`; 0 is the end of the stream.
pub(crate) fn receive(socket: impl AsFd, buffer: &mut [u8], flags: RecvFlags) -> Result<usize> {
    retry(|| net::recv(&socket, &mut *buffer, flags)).map(|(read, _)| read)
}

/// As [`receive`], into the spare capacity of `buffer`.
#[cfg(test)]
pub(crate) fn receive_more(socket: impl AsFd, buffer: &mut Vec<u8>, flags: RecvFlags) -> Result<usize> {
    retry(|| net::recv(&socket, rustix::buffer::spare_capacity(buffer), flags)).map(|(_, read)| read)
}

/// Sends one packet over the bootstrap socket, with one descriptor or none, without waiting.
pub(crate) fn send_packet(socket: impl AsFd, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.map(|descriptor| [descriptor]);
    if let Some(descriptors) = &descriptors {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    retry(|| net::sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT))
        .map(|_| ())
}

/// One packet of the bootstrap socket.
pub(crate) enum Packet {
    /// Its bytes, and the descriptor that came with it.
    Received(Vec<u8>, Option<OwnedFd>),
    /// The other side is gone.
    End,
}

/// Longer packets are not sent; a longer one that arrives is cut and refused by its reader.
const PACKET_BYTES: usize = 1024;

/// Takes the next packet off the bootstrap socket without waiting.
pub(crate) fn receive_packet(socket: impl AsFd) -> Result<Packet> {
    let mut bytes = [0; PACKET_BYTES];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = retry(|| {
        net::recvmsg(
            &socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
        )
    })?;
    if message.bytes == 0 {
        return Ok(Packet::End);
    }
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    // A descriptor that did not fit was closed by the kernel; a packet without what it is about is dropped by its
    // reader.
    let cut = message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
    let bytes = if cut { Vec::new() } else { bytes[..message.bytes].to_vec() };
    Ok(Packet::Received(bytes, descriptor))
}

fn retry<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}
