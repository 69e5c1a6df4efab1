//! What travels over a connection's socket: a header of sixteen bytes and a payload.
//!
//! | bytes | meaning |
//! |---|---|
//! | 0..4 | length of the payload, little-endian |
//! | 4 | kind |
//! | 5 | zero |
//! | 6..8 | how many descriptors come with it, little-endian |
//! | 8..16 | request number, little-endian; zero where the kind has none |

use std::ops::{AddAssign, SubAssign};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use rustix::io::Errno;
use xpc_object::{
    Attachment, Dictionary, EncodeError, Fd, Flavour, Memfd, MessageView, Type, Wanted,
    encode_message_with_attachments, limits,
};

use crate::{Error, endpoint};

pub(crate) const HEADER_BYTES: usize = 16;
/// Version 1 of this framing, the only payload of a hello.
pub(crate) const HELLO: [u8; 4] = 1_u32.to_le_bytes();
/// A hello with its header: what an accepting process reads before anything else.
pub(crate) const HELLO_BYTES: usize = HEADER_BYTES + HELLO.len();

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// First on a connection, once from each side: carries the version, and the sender's credentials beside it.
    Hello = 1,
    Message = 2,
    Request = 3,
    Reply = 4,
    /// The request was dropped without a reply.
    NoReply = 5,
    /// From the launcher, instead of a service's hello: there is no such service. The payload says why, in UTF-8.
    Refused = 6,
    /// So many bytes of messages and requests (the number) and so many descriptors (the payload) have been handled: as
    /// many more may be sent.
    Credit = 7,
}

/// How much a frame takes of a budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub bytes: usize,
    pub descriptors: usize,
}

impl Size {
    /// Of an encoded frame, as its header says, whatever has left already.
    pub fn of(frame: &[u8]) -> Self {
        Self { bytes: frame.len(), descriptors: usize::from(u16::from_le_bytes([frame[6], frame[7]])) }
    }
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.descriptors += other.descriptors;
    }
}

impl SubAssign for Size {
    fn sub_assign(&mut self, other: Self) {
        self.bytes -= other.bytes;
        self.descriptors -= other.descriptors;
    }
}

/// A frame to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub bytes: Vec<u8>,
    /// Those that have not left yet; they leave in order.
    pub descriptors: Vec<Fd>,
}

impl From<Vec<u8>> for Outgoing {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, descriptors: Vec::new() }
    }
}

/// A frame taken off the stream, its message checked.
#[derive(Debug)]
pub(crate) enum Frame {
    Hello,
    Message(MessageView),
    Request(u64, MessageView),
    Reply(u64, MessageView),
    NoReply(u64),
    Refused(Arc<str>),
    Credit(Size),
}

/// The peer does not speak this protocol; it is cut off.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// How many bytes the frame at the start of `bytes` has in all, once its header is there.
pub(crate) fn total_length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some(length) = bytes.first_chunk::<4>().filter(|_| bytes.len() >= HEADER_BYTES) else { return Ok(None) };
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Malformed)?;
    if length > limits::MAX_MESSAGE_BYTES { Err(Malformed) } else { Ok(Some(HEADER_BYTES + length)) }
}

/// How many descriptors belong to the frame at the start of `bytes`, once its header is there.
pub(crate) fn descriptors(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let count = usize::from(u16::from_le_bytes([header[6], header[7]]));
    if count > limits::MAX_ATTACHMENTS { Err(Malformed) } else { Ok(Some(count)) }
}

/// Reads one whole frame, as long as [`total_length`] says, with all the descriptors that belong to it.
pub(crate) fn decode(frame: Bytes, descriptors: Vec<OwnedFd>) -> Result<Frame, Malformed> {
    let (header, _) = frame.split_first_chunk::<HEADER_BYTES>().ok_or(Malformed)?;
    let [_, _, _, _, kind, 0, _, _, number @ ..] = *header else { return Err(Malformed) };
    let number = u64::from_le_bytes(number);
    let mut payload = frame;
    payload.advance(HEADER_BYTES);
    let mut descriptors = descriptors.into_iter();
    let mut message = || {
        MessageView::with_attachments(&payload, &mut |wanted| attachment(wanted, descriptors.next()?))
            .map_err(|_| Malformed)
    };
    let read = match kind {
        kind if kind == Kind::Hello as u8 && *payload == HELLO => Frame::Hello,
        kind if kind == Kind::Message as u8 => Frame::Message(message()?),
        kind if kind == Kind::Request as u8 => Frame::Request(number, message()?),
        kind if kind == Kind::Reply as u8 => Frame::Reply(number, message()?),
        kind if kind == Kind::NoReply as u8 && payload.is_empty() => Frame::NoReply(number),
        kind if kind == Kind::Refused as u8 => Frame::Refused(String::from_utf8_lossy(&payload).into()),
        kind if kind == Kind::Credit as u8 => Frame::Credit(Size {
            bytes: usize::try_from(number).map_err(|_| Malformed)?,
            descriptors: u32::from_le_bytes((*payload).try_into().map_err(|_| Malformed)?) as usize,
        }),
        _ => return Err(Malformed),
    };
    // Each was asked for by a value of the message.
    if descriptors.next().is_some() { Err(Malformed) } else { Ok(read) }
}

fn attachment(wanted: Wanted, descriptor: OwnedFd) -> Option<Attachment> {
    match wanted {
        Wanted::Fd => Some(Attachment::Fd(descriptor.into())),
        Wanted::SharedMemory { len } => {
            Memfd::received(descriptor, len).ok().map(|memfd| Attachment::SharedMemory(memfd.into()))
        }
        Wanted::Endpoint { id } => endpoint::received(descriptor, id).map(Attachment::Endpoint),
    }
}

/// The descriptor that stands for a value at the receiver's.
fn descriptor(attachment: Attachment) -> Result<Fd, Error> {
    match attachment {
        Attachment::Fd(fd) => Ok(fd),
        Attachment::SharedMemory(memory) => memory
            .handle::<Memfd>()
            .map(|memfd| memfd.file().clone())
            .ok_or(EncodeError::Unsendable(Type::SharedMemory).into()),
        Attachment::Endpoint(endpoint) => endpoint::hand_over(&endpoint).map_err(|error| match error {
            Errno::OPNOTSUPP => EncodeError::Unsendable(Type::Endpoint).into(),
            // The listener is behind, or the kernel has no room: as with other messages, later there may be some.
            _ => Error::Full,
        }),
    }
}

/// A frame with a short payload of its own.
pub(crate) fn control(kind: Kind, number: u64, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(kind, number).to_vec();
    frame.extend_from_slice(payload);
    finish(frame)
}

/// A frame that says how much more the peer may send.
pub(crate) fn credit(size: Size) -> Vec<u8> {
    let descriptors = u32::try_from(size.descriptors).unwrap_or(u32::MAX);
    control(Kind::Credit, size.bytes as u64, &descriptors.to_le_bytes())
}

/// A frame that carries a message.
pub(crate) fn message(kind: Kind, number: u64, message: &Dictionary) -> Result<Outgoing, Error> {
    let mut frame = Vec::with_capacity(256);
    frame.extend_from_slice(&header(kind, number));
    let mut attachments = Vec::new();
    let mut bytes = encode_message_with_attachments(frame, message, Flavour::Mach, &mut attachments).map(finish)?;
    let descriptors = attachments.into_iter().map(descriptor).collect::<Result<Vec<_>, _>>()?;
    let count = u16::try_from(descriptors.len()).expect("MAX_ATTACHMENTS fits 16 bits");
    bytes[6..8].copy_from_slice(&count.to_le_bytes());
    Ok(Outgoing { bytes, descriptors })
}

/// Whether an encoded frame ends a request.
pub(crate) fn is_reply(frame: &[u8]) -> bool {
    frame[4] == Kind::Reply as u8 || frame[4] == Kind::NoReply as u8
}

/// Whether an encoded frame may only be sent as far as the peer gives credit: what waits for a handler there.
pub(crate) fn needs_credit(frame: &[u8]) -> bool {
    frame[4] == Kind::Message as u8 || frame[4] == Kind::Request as u8
}

/// Changes the number of an encoded frame: numbers are given under the connection's lock, encoding happens outside it.
pub(crate) fn set_number(frame: &mut [u8], number: u64) {
    frame[8..HEADER_BYTES].copy_from_slice(&number.to_le_bytes());
}

fn header(kind: Kind, number: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[4] = kind as u8;
    set_number(&mut header, number);
    header
}

fn finish(mut frame: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(frame.len() - HEADER_BYTES).expect("MAX_MESSAGE_BYTES fits 32 bits");
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_round_trips() {
        let body = Dictionary::new().with("key", 7_u64);
        let read = |frame: Outgoing| {
            assert_eq!(total_length(&frame.bytes), Ok(Some(frame.bytes.len())));
            decode(frame.bytes.into(), Vec::new()).unwrap()
        };
        assert!(matches!(read(control(Kind::Hello, 0, &HELLO).into()), Frame::Hello));
        assert!(
            matches!(read(message(Kind::Message, 0, &body).unwrap()), Frame::Message(read) if read.to_dictionary() == body)
        );
        assert!(
            matches!(read(message(Kind::Request, 9, &body).unwrap()), Frame::Request(9, read) if read.to_dictionary() == body)
        );
        assert!(
            matches!(read(message(Kind::Reply, u64::MAX, &body).unwrap()), Frame::Reply(u64::MAX, read) if read.to_dictionary() == body)
        );
        assert!(matches!(read(control(Kind::NoReply, 3, &[]).into()), Frame::NoReply(3)));
        assert!(matches!(read(control(Kind::Refused, 0, b"why").into()), Frame::Refused(reason) if &*reason == "why"));
        let size = Size { bytes: 1 << 20, descriptors: 7 };
        assert!(matches!(read(credit(size).into()), Frame::Credit(read) if read == size));
    }

    #[test]
    fn malformed_frames_are_refused() {
        assert_eq!(total_length(&[0xff; HEADER_BYTES]), Err(Malformed));
        assert_eq!(total_length(&[0; HEADER_BYTES - 1]), Ok(None));
        for frame in [
            control(Kind::Hello, 0, &[2, 0, 0, 0]),
            control(Kind::Message, 0, b"CPX@"),
            control(Kind::NoReply, 1, b"x"),
            control(Kind::Credit, 1, b"x"),
            vec![0; HEADER_BYTES],
            vec![0; 3],
        ] {
            assert!(decode(frame.into(), Vec::new()).is_err());
        }
        let mut reserved = control(Kind::NoReply, 1, &[]);
        reserved[5] = 1;
        assert!(decode(reserved.into(), Vec::new()).is_err());
    }
}
