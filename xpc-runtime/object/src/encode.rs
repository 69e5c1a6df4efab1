use crate::limits::{MAX_ATTACHMENTS, MAX_DEPTH, MAX_MESSAGE_BYTES, MAX_VALUES};
use crate::wire::{self, Flavour, padding};
use crate::{Attachment, Dictionary, EncodeError, Object};

/// Encodes a message: header, then the dictionary.
///
/// # Errors
/// What cannot be represented (a NUL in a string or key, a foreign value) or is past one of the
/// [`limits`](crate::limits).
pub fn encode_message(message: &Dictionary, flavour: Flavour) -> Result<Vec<u8>, EncodeError> {
    encode_message_after(Vec::new(), message, flavour)
}

/// As [`encode_message`], behind the bytes that `buffer` already holds: a transport's own frame header.
///
/// # Errors
/// As [`encode_message`].
pub fn encode_message_after(buffer: Vec<u8>, message: &Dictionary, flavour: Flavour) -> Result<Vec<u8>, EncodeError> {
    encode(buffer, message, flavour, None)
}

/// As [`encode_message_after`], for a transport that can send descriptors: what is to travel beside the bytes is
/// appended to `attachments`, which was empty, in the order in which the bytes number it.
///
/// # Errors
/// As [`encode_message`]. What `attachments` holds then means nothing.
pub fn encode_message_with_attachments(
    buffer: Vec<u8>,
    message: &Dictionary,
    flavour: Flavour,
    attachments: &mut Vec<Attachment>,
) -> Result<Vec<u8>, EncodeError> {
    encode(buffer, message, flavour, Some(attachments))
}

fn encode(
    buffer: Vec<u8>,
    message: &Dictionary,
    flavour: Flavour,
    attachments: Option<&mut Vec<Attachment>>,
) -> Result<Vec<u8>, EncodeError> {
    let mut encoder = Encoder { attachments, ..Encoder::message_after(buffer, flavour) };
    encoder.count_value()?;
    encoder.dictionary(message, 1)?;
    Ok(encoder.buffer)
}

/// Encodes one value without a header.
///
/// # Errors
/// As [`encode_message`].
pub fn encode_value(value: &Object) -> Result<Vec<u8>, EncodeError> {
    let mut encoder = Encoder { buffer: Vec::new(), limit: MAX_MESSAGE_BYTES, values: 0, attachments: None };
    encoder.object(value, 1)?;
    Ok(encoder.buffer)
}

pub(crate) struct Encoder<'a> {
    pub(crate) buffer: Vec<u8>,
    /// How long the buffer may become.
    limit: usize,
    values: usize,
    /// `None` where nothing can be sent beside the bytes.
    attachments: Option<&'a mut Vec<Attachment>>,
}

impl Encoder<'_> {
    /// Writes the header.
    pub(crate) fn message_after(mut buffer: Vec<u8>, flavour: Flavour) -> Self {
        let limit = buffer.len().saturating_add(MAX_MESSAGE_BYTES);
        buffer.extend_from_slice(&flavour.magic());
        buffer.extend_from_slice(&wire::VERSION.to_le_bytes());
        Self { buffer, limit, values: 0, attachments: None }
    }

    fn object(&mut self, value: &Object, depth: usize) -> Result<(), EncodeError> {
        self.count_value()?;
        match value {
            Object::Null => self.tag(wire::NULL),
            Object::Bool(value) => self.fixed(wire::BOOL, &[u8::from(*value), 0, 0, 0]),
            Object::Int64(value) => self.fixed(wire::INT64, &value.to_le_bytes()),
            Object::Uint64(value) => self.fixed(wire::UINT64, &value.to_le_bytes()),
            Object::Double(value) => self.fixed(wire::DOUBLE, &value.to_le_bytes()),
            Object::Date(value) => self.fixed(wire::DATE, &value.nanoseconds().to_le_bytes()),
            Object::Uuid(value) => self.fixed(wire::UUID, value.as_bytes()),
            Object::Data(bytes) => self.data(bytes)?,
            Object::String(text) => self.string(text)?,
            Object::Array(array) => {
                let size = self.open(wire::ARRAY, array.len(), depth)?;
                for value in array {
                    self.object(value, depth + 1)?;
                }
                self.close(size)?;
            }
            Object::Dictionary(dictionary) => self.dictionary(dictionary, depth)?,
            Object::Fd(fd) => self.attach(wire::FD, value, || Attachment::Fd(fd.clone()))?,
            Object::SharedMemory(memory) => {
                self.attach(wire::SHARED_MEMORY, value, || Attachment::SharedMemory(memory.clone()))?;
                self.buffer.extend_from_slice(&(memory.len() as u64).to_le_bytes());
            }
            Object::Endpoint(endpoint) => {
                self.attach(wire::ENDPOINT, value, || Attachment::Endpoint(endpoint.clone()))?;
                self.buffer.extend_from_slice(&endpoint.id().to_le_bytes());
            }
            Object::Error(_) | Object::Foreign(_) => return Err(EncodeError::Unsendable(value.kind())),
        }
        Ok(())
    }

    /// Tag and number of a value that travels beside the bytes.
    fn attach(&mut self, tag: u32, value: &Object, attachment: impl FnOnce() -> Attachment) -> Result<(), EncodeError> {
        let Some(attachments) = &mut self.attachments else { return Err(EncodeError::Unsendable(value.kind())) };
        if attachments.len() == MAX_ATTACHMENTS {
            return Err(EncodeError::TooManyAttachments);
        }
        let number = attachments.len();
        attachments.push(attachment());
        self.tag(tag);
        self.buffer.extend_from_slice(&length(number)?);
        Ok(())
    }

    fn dictionary(&mut self, dictionary: &Dictionary, depth: usize) -> Result<(), EncodeError> {
        let size = self.open(wire::DICTIONARY, dictionary.len(), depth)?;
        for (key, value) in dictionary.iter() {
            self.key(key)?;
            self.object(value, depth + 1)?;
        }
        self.close(size)
    }

    #[inline]
    pub(crate) fn data(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.fixed(wire::DATA, &length(bytes.len())?);
        self.padded(bytes, 0)
    }

    #[inline]
    pub(crate) fn string(&mut self, text: &str) -> Result<(), EncodeError> {
        self.fixed(wire::STRING, &length(text.len().saturating_add(1))?);
        if self.terminated(text)? { Ok(()) } else { Err(EncodeError::NulInString(text.to_owned())) }
    }

    #[inline(always)]
    pub(crate) fn key(&mut self, key: &str) -> Result<(), EncodeError> {
        if self.terminated(key)? { Ok(()) } else { Err(nul_in_key(key)) }
    }

    /// Writes text with its NUL; the answer is whether it has no other.
    #[inline(always)]
    fn terminated(&mut self, text: &str) -> Result<bool, EncodeError> {
        self.padded(text.as_bytes(), 1)?;
        Ok(!wire::has_nul(text.as_bytes()))
    }

    /// There can be so few values that those of a fixed size are not weighed before their container is closed.
    #[inline]
    pub(crate) fn count_value(&mut self) -> Result<(), EncodeError> {
        self.values += 1;
        if self.values > MAX_VALUES { Err(EncodeError::TooManyValues) } else { Ok(()) }
    }

    /// Fails before anything larger than the limit is allocated.
    #[inline(always)]
    fn check_size(&self, more: usize) -> Result<(), EncodeError> {
        if self.buffer.len().saturating_add(more) > self.limit { Err(EncodeError::TooLarge) } else { Ok(()) }
    }

    #[inline]
    pub(crate) fn tag(&mut self, tag: u32) {
        self.buffer.extend_from_slice(&tag.to_le_bytes());
    }

    #[inline]
    pub(crate) fn fixed<const N: usize>(&mut self, tag: u32, body: &[u8; N]) {
        // One copy of a known length looks for room once.
        let mut value = [0; 20];
        value[..4].copy_from_slice(&tag.to_le_bytes());
        value[4..4 + N].copy_from_slice(body);
        self.buffer.extend_from_slice(&value[..4 + N]);
    }

    /// Bytes, `nul` (0 or 1) terminators, and zeros up to a multiple of four.
    #[inline(always)]
    fn padded(&mut self, bytes: &[u8], nul: usize) -> Result<(), EncodeError> {
        let zeros = nul + padding(bytes.len() + nul);
        self.check_size(bytes.len().saturating_add(zeros))?;
        self.buffer.extend_from_slice(bytes);
        // Four zeros, and back: one store, where as many as are needed would be a call.
        let end = self.buffer.len() + zeros;
        self.buffer.extend_from_slice(&[0; 4]);
        self.buffer.truncate(end);
        Ok(())
    }

    /// Starts a container; the returned offset is where its size goes once it is known.
    #[inline]
    pub(crate) fn open(&mut self, tag: u32, count: usize, depth: usize) -> Result<usize, EncodeError> {
        if depth > MAX_DEPTH {
            return Err(EncodeError::TooDeep);
        }
        self.tag(tag);
        let size = self.buffer.len();
        let [a, b, c, d] = length(count)?;
        self.buffer.extend_from_slice(&[0, 0, 0, 0, a, b, c, d]);
        Ok(size)
    }

    #[inline]
    pub(crate) fn close(&mut self, size: usize) -> Result<(), EncodeError> {
        self.check_size(0)?;
        let bytes = u32::try_from(self.buffer.len() - size - 4).map_err(|_| EncodeError::TooLarge)?;
        self.buffer[size..size + 4].copy_from_slice(&bytes.to_le_bytes());
        Ok(())
    }
}

#[inline]
fn length(length: usize) -> Result<[u8; 4], EncodeError> {
    u32::try_from(length).map(u32::to_le_bytes).map_err(|_| EncodeError::TooLarge)
}

#[cold]
fn nul_in_key(key: &str) -> EncodeError {
    EncodeError::NulInKey(key.to_owned())
}
