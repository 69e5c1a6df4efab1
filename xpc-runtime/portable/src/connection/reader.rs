//! Turning what a socket gives into frames.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::spin::Account;
use crate::credentials::{Credentials, Received, receive_message, receive_message_more};
use crate::frame::{self, Frame, Malformed, Size};
use crate::socket;

/// How much one call reads at most into the thread's own buffer.
const SCRATCH_BYTES: usize = 64 << 10;
/// By how much the buffer of a large message grows at a time: a peer that announces much and sends nothing gets no
/// memory.
const GROWTH_BYTES: usize = 1 << 20;

thread_local! {
    /// Idle connections own no buffer: threads do, and there are few of them.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The receiving half of one link; used by one thread at a time.
#[derive(Default)]
pub(super) struct Reader {
    /// A frame that has not arrived whole.
    partial: Vec<u8>,
    /// Descriptors that belong to it.
    descriptors: VecDeque<OwnedFd>,
    greeted: bool,
    pub spins: Account,
}

/// What one read brought.
#[derive(Default)]
pub(super) struct Batch {
    /// With the size that each had on its way.
    pub frames: Vec<(Frame, Size)>,
    /// Who sent the hello, if it is among the frames.
    pub credentials: Option<Credentials>,
    /// Nothing more is there right now.
    pub drained: bool,
    /// And nothing was.
    pub is_nothing: bool,
    /// The stream is at its end, or broken, or the peer does not keep the protocol: no more frames will come.
    pub ended: bool,
    /// And that is so because no descriptor was free for what came.
    pub starved: bool,
}

impl Reader {
    /// For a connection whose hello was already read.
    pub fn greeted() -> Self {
        Self { greeted: true, ..Self::default() }
    }

    /// Whether a frame has arrived in part.
    pub fn has_part(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Reads once.
    pub fn read(&mut self, socket: impl AsFd, flags: RecvFlags) -> Batch {
        let mut batch = Batch::default();
        match self.receive(socket, flags, &mut batch) {
            Ok(()) => {}
            Err(ReadError::Io(Errno::AGAIN)) => (batch.drained, batch.is_nothing) = (true, true),
            Err(ReadError::Starved) => (batch.ended, batch.starved) = (true, true),
            Err(ReadError::Io(_) | ReadError::Malformed(Malformed)) => batch.ended = true,
        }
        if batch.ended {
            // The connection may be kept for long; what came for a frame that will not be whole is closed now.
            self.descriptors.clear();
        }
        batch
    }

    fn receive(&mut self, socket: impl AsFd, flags: RecvFlags, batch: &mut Batch) -> Result<(), ReadError> {
        if self.partial.is_empty() {
            // A handler that runs on this thread may itself read another connection: the buffer is free again by then.
            let mut scratch = SCRATCH.take();
            scratch.resize(SCRATCH_BYTES, 0);
            let result = self.receive_fresh(socket, flags, &mut scratch, batch);
            SCRATCH.set(scratch);
            return result;
        }
        let missing = match frame::total_length(&self.partial)? {
            Some(total) => total - self.partial.len(),
            None => frame::HEADER_BYTES - self.partial.len(),
        };
        let room = missing.min(GROWTH_BYTES);
        let received = receive_message_more(&socket, &mut self.partial, room, flags)?;
        match self.keep_descriptors(received)?.read {
            0 => batch.ended = true,
            read => batch.drained = read < room,
        }
        match frame::total_length(&self.partial)? {
            None => Ok(self.check_descriptors()?),
            Some(total) if self.partial.len() < total => Ok(self.check_descriptors()?),
            Some(total) => {
                let received = std::mem::take(&mut self.partial);
                if received.len() == total {
                    // The usual end of a large message: no copy.
                    self.accept(received.into(), batch)?;
                } else {
                    self.split(&received, batch)?;
                }
                Ok(self.check_descriptors()?)
            }
        }
    }

    fn receive_fresh(
        &mut self,
        socket: impl AsFd,
        flags: RecvFlags,
        scratch: &mut [u8],
        batch: &mut Batch,
    ) -> Result<(), ReadError> {
        let greeted = self.greeted;
        let received = self.keep_descriptors(receive_message(&socket, scratch, flags)?)?;
        if !greeted {
            batch.credentials = received.credentials;
            socket::stop_credentials(socket);
        }
        let read = received.read;
        batch.ended = read == 0;
        batch.drained = read < scratch.len();
        self.split(&scratch[..read], batch)?;
        Ok(self.check_descriptors()?)
    }

    /// Without all that came along a message means nothing.
    fn keep_descriptors(&mut self, mut received: Received) -> Result<Received, ReadError> {
        self.descriptors.extend(std::mem::take(&mut received.descriptors));
        if received.cut { Err(ReadError::Starved) } else { Ok(received) }
    }

    /// A peer sends no more descriptors than belong to the frame that it is sending.
    fn check_descriptors(&self) -> Result<(), Malformed> {
        let allowed = match frame::descriptors(&self.partial)? {
            _ if self.partial.is_empty() => 0,
            Some(count) => count,
            // The header has not arrived whole: what came with its first byte.
            None => socket::MAX_DESCRIPTORS,
        };
        if self.descriptors.len() > allowed { Err(Malformed) } else { Ok(()) }
    }

    /// Decodes the whole frames at the start of `bytes` and keeps the rest.
    fn split(&mut self, mut bytes: &[u8], batch: &mut Batch) -> Result<(), ReadError> {
        while let Some((frame, rest)) = frame::total_length(bytes)?.and_then(|total| bytes.split_at_checked(total)) {
            self.accept(Bytes::copy_from_slice(frame), batch)?;
            bytes = rest;
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn accept(&mut self, frame: Bytes, batch: &mut Batch) -> Result<(), ReadError> {
        let count = frame::descriptors(&frame)?.ok_or(Malformed)?;
        if count > self.descriptors.len() {
            return Err(Malformed.into());
        }
        let size = Size::of(&frame);
        let frame = frame::decode(frame, self.descriptors.drain(..count).collect())?;
        // A hello comes first and once; a refusal comes instead of it.
        if self.greeted == matches!(frame, Frame::Hello | Frame::Refused(_)) {
            return Err(Malformed.into());
        }
        self.greeted = true;
        batch.frames.push((frame, size));
        Ok(())
    }
}

enum ReadError {
    Starved,
    Io(Errno),
    Malformed(Malformed),
}

impl From<Errno> for ReadError {
    fn from(error: Errno) -> Self {
        Self::Io(error)
    }
}

impl From<Malformed> for ReadError {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}
