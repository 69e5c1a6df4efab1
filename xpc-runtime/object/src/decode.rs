use std::collections::BTreeSet;

use bytes::Bytes;

use crate::limits::{MAX_ATTACHMENTS, MAX_DEPTH, MAX_MESSAGE_BYTES, MAX_VALUES};
use crate::wire::{self, Flavour, padding};
use crate::{Array, Attachment, Date, DecodeError, Dictionary, Object, Type, Uuid, Wanted, view};

/// Decodes a message: header, then exactly one dictionary. Data values share `input`'s memory.
///
/// # Errors
/// Whatever is malformed or past one of the [`limits`](crate::limits); never a panic.
pub fn decode_message(input: &Bytes) -> Result<(Dictionary, Flavour), DecodeError> {
    message(Reader::new(input)?)
}

/// As [`decode_message`], for peers that are not written in Rust: what is not UTF-8 in strings and keys becomes
/// U+FFFD. Keys that are equal afterwards are refused as duplicates.
///
/// # Errors
/// As [`decode_message`], but for text that is not UTF-8.
pub fn decode_message_lossy(input: &Bytes) -> Result<(Dictionary, Flavour), DecodeError> {
    message(Reader { lossy: true, ..Reader::new(input)? })
}

/// As [`decode_message`], for a transport that receives descriptors: `attachments` is asked for those that came with the
/// message, from the first on, each once. It answers `None` to what did not come or is not what the message says.
///
/// # Errors
/// As [`decode_message`], and [`DecodeError::BadAttachment`].
pub fn decode_message_with_attachments(
    input: &Bytes,
    attachments: &mut dyn FnMut(Wanted) -> Option<Attachment>,
) -> Result<(Dictionary, Flavour), DecodeError> {
    message(Reader { attachments: Some(attachments), ..Reader::new(input)? })
}

fn message(mut reader: Reader<'_>) -> Result<(Dictionary, Flavour), DecodeError> {
    let flavour = reader.header()?;
    let value = reader.object(1)?;
    reader.end()?;
    match value {
        Object::Dictionary(dictionary) => Ok((dictionary, flavour)),
        _ => Err(DecodeError::NotADictionary),
    }
}

/// Checks a message exactly as [`decode_message_with_attachments`] reads it. What came beside its bytes is returned, in
/// order.
pub(crate) fn check_message<'a>(
    input: &'a Bytes,
    attachments: Option<&'a mut dyn FnMut(Wanted) -> Option<Attachment>>,
) -> Result<(Flavour, Vec<Object>), DecodeError> {
    let mut reader = Reader { attachments, ..Reader::borrowed(input)? };
    let flavour = reader.header()?;
    let is_dictionary = reader.rest().starts_with(&wire::DICTIONARY.to_le_bytes());
    let mut beside = Vec::new();
    reader.check(1, &mut beside)?;
    reader.end()?;
    if is_dictionary { Ok((flavour, beside)) } else { Err(DecodeError::NotADictionary) }
}

/// Decodes one value that stands without a header and fills `input`. Data values share `input`'s memory.
///
/// # Errors
/// As [`decode_message`].
pub fn decode_value(input: &Bytes) -> Result<Object, DecodeError> {
    let mut reader = Reader::new(input)?;
    let value = reader.object(1)?;
    reader.end()?;
    Ok(value)
}

pub(crate) struct Reader<'a> {
    input: &'a [u8],
    /// What holds `input`, where data values are to share it.
    owner: Option<&'a Bytes>,
    pub(crate) offset: usize,
    values: usize,
    /// Whether text that is not UTF-8 is repaired rather than refused.
    lossy: bool,
    /// What came beside the bytes; `None` where nothing can.
    attachments: Option<&'a mut dyn FnMut(Wanted) -> Option<Attachment>>,
    attached: usize,
}

impl<'a> Reader<'a> {
    fn new(owner: &'a Bytes) -> Result<Self, DecodeError> {
        Ok(Self { owner: Some(owner), ..Self::borrowed(owner)? })
    }

    /// Reads what nobody shares.
    pub(crate) fn borrowed(input: &'a [u8]) -> Result<Self, DecodeError> {
        if input.len() > MAX_MESSAGE_BYTES {
            return Err(DecodeError::TooLarge);
        }
        Ok(Self { input, owner: None, offset: 0, values: 1, lossy: false, attachments: None, attached: 0 })
    }

    pub(crate) fn header(&mut self) -> Result<Flavour, DecodeError> {
        let magic = self.take(4)?;
        let flavour = [Flavour::Mach, Flavour::Remote].into_iter().find(|flavour| flavour.magic() == *magic);
        let flavour = flavour.ok_or(DecodeError::BadMagic)?;
        match self.u32()? {
            wire::VERSION => Ok(flavour),
            version => Err(DecodeError::BadVersion(version)),
        }
    }

    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.input.get(self.offset..).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let rest = self.rest();
        let taken = rest.get(..length).ok_or_else(|| self.truncated(length))?;
        self.offset += length;
        Ok(taken)
    }

    #[cold]
    fn truncated(&self, wanted: usize) -> DecodeError {
        DecodeError::Truncated { offset: self.offset, needed: wanted.saturating_sub(self.rest().len()) }
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let array = *self.rest().first_chunk().ok_or_else(|| self.truncated(N))?;
        self.offset += N;
        Ok(array)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A 32-bit length or count. `usize` has at least 32 bits wherever this crate builds.
    #[inline]
    fn length(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(self.u32()?).map_err(|_| DecodeError::TooLarge)
    }

    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        match self.rest().len() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes(left)),
        }
    }

    /// The tag that the next value starts with.
    #[inline]
    pub(crate) fn tag(&mut self) -> Result<u32, DecodeError> {
        self.u32()
    }

    fn object(&mut self, depth: usize) -> Result<Object, DecodeError> {
        let offset = self.offset;
        Ok(match self.tag()? {
            wire::NULL => Object::Null,
            wire::BOOL => Object::Bool(self.array::<4>()?[0] != 0),
            wire::INT64 => Object::Int64(i64::from_le_bytes(self.array()?)),
            wire::UINT64 => Object::Uint64(u64::from_le_bytes(self.array()?)),
            wire::DOUBLE => Object::Double(f64::from_le_bytes(self.array()?)),
            wire::DATE => Object::Date(Date::from_nanoseconds(i64::from_le_bytes(self.array()?))),
            wire::UUID => Object::Uuid(Uuid::from_bytes(self.array()?)),
            wire::DATA => {
                let data = self.data()?;
                Object::Data(self.owner.map_or_else(|| Bytes::copy_from_slice(data), |owner| owner.slice_ref(data)))
            }
            wire::STRING => Object::String(self.string()?),
            wire::ARRAY => Object::Array(self.container(depth, |reader, count| {
                let mut values = Vec::with_capacity(count);
                for _ in 0..count {
                    values.push(reader.object(depth + 1)?);
                }
                Ok(Array::from(values))
            })?),
            wire::DICTIONARY => Object::Dictionary(self.container(depth, |reader, count| {
                let mut dictionary = Dictionary::new();
                for _ in 0..count {
                    let offset = reader.offset;
                    let key = reader.key()?;
                    let value = reader.object(depth + 1)?;
                    if dictionary.insert(key, value).is_some() {
                        return Err(DecodeError::DuplicateKey { offset });
                    }
                }
                Ok(dictionary)
            })?),
            tag => self.object_beside(tag, offset)?,
        })
    }

    /// Checks the next value exactly as [`object`](Self::object) reads it, and makes nothing of it. What came beside the
    /// bytes goes into `beside`, in order.
    pub(crate) fn check(&mut self, depth: usize, beside: &mut Vec<Object>) -> Result<(), DecodeError> {
        let offset = self.offset;
        match self.tag()? {
            wire::NULL => {}
            wire::BOOL => drop(self.array::<4>()?),
            wire::INT64 | wire::UINT64 | wire::DOUBLE | wire::DATE => drop(self.array::<8>()?),
            wire::UUID => drop(self.array::<16>()?),
            wire::DATA => drop(self.data()?),
            wire::STRING => {
                let (text, offset) = self.string_bytes()?;
                utf8(text, offset)?;
            }
            wire::ARRAY => self.container(depth, |reader, count| {
                for _ in 0..count {
                    reader.check(depth + 1, beside)?;
                }
                Ok(())
            })?,
            wire::DICTIONARY => self.container(depth, |reader, count| {
                let mut seen = Seen { values: reader.rest(), count: 0, last: None, others: BTreeSet::new() };
                for _ in 0..count {
                    let (key, offset) = reader.key_bytes()?;
                    utf8(key, offset)?;
                    reader.check(depth + 1, beside)?;
                    if !seen.is_new(key) {
                        return Err(DecodeError::DuplicateKey { offset });
                    }
                }
                Ok(())
            })?,
            tag => match self.object_beside(tag, offset)? {
                Object::Foreign(_) => {}
                value => beside.push(value),
            },
        }
        Ok(())
    }

    /// What follows the tag of a value that travels beside the bytes. No other tags are left.
    fn object_beside(&mut self, tag: u32, offset: usize) -> Result<Object, DecodeError> {
        match tag {
            wire::FD => self.attachment(offset, Type::Fd, |_| Ok(Wanted::Fd)),
            wire::SHARED_MEMORY => self.attachment(offset, Type::SharedMemory, |reader| {
                Ok(Wanted::SharedMemory { len: u64::from_le_bytes(reader.array()?) })
            }),
            wire::ENDPOINT => self.attachment(offset, Type::Endpoint, |reader| {
                Ok(Wanted::Endpoint { id: u64::from_le_bytes(reader.array()?) })
            }),
            tag => Err(DecodeError::UnknownType { offset, tag }),
        }
    }

    /// A value that travels beside the bytes. They are numbered as they come, so that each is asked for once.
    fn attachment(
        &mut self,
        offset: usize,
        kind: Type,
        wanted: impl FnOnce(&mut Self) -> Result<Wanted, DecodeError>,
    ) -> Result<Object, DecodeError> {
        let number = self.length()?;
        let wanted = wanted(self)?;
        let Some(attachments) = &mut self.attachments else { return Ok(Object::Foreign(kind)) };
        if number != self.attached || number == MAX_ATTACHMENTS {
            return Err(DecodeError::BadAttachment { offset });
        }
        self.attached += 1;
        let value = attachments(wanted).map(Object::from).filter(|value| value.kind() == kind);
        value.ok_or(DecodeError::BadAttachment { offset })
    }

    #[inline]
    pub(crate) fn data(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        self.take(padding(length))?;
        Ok(bytes)
    }

    /// The bytes of a string, and where they start.
    #[inline]
    pub(crate) fn string_bytes(&mut self) -> Result<(&'a [u8], usize), DecodeError> {
        let offset = self.offset.saturating_add(4);
        match self.data()?.split_last() {
            Some((0, text)) if !wire::has_nul(text) => Ok((text, offset)),
            _ => Err(DecodeError::BadString { offset }),
        }
    }

    /// The bytes of a key, and where they start. A key has no length of its own: it ends at its NUL.
    #[inline]
    pub(crate) fn key_bytes(&mut self) -> Result<(&'a [u8], usize), DecodeError> {
        let offset = self.offset;
        let end = wire::first_nul(self.rest()).ok_or(DecodeError::BadString { offset })?;
        let text = self.take(end)?;
        self.take(1 + padding(end + 1))?;
        Ok((text, offset))
    }

    fn string(&mut self) -> Result<String, DecodeError> {
        let (text, offset) = self.string_bytes()?;
        self.text(text, offset)
    }

    fn key(&mut self) -> Result<String, DecodeError> {
        let (text, offset) = self.key_bytes()?;
        self.text(text, offset)
    }

    /// Reads size and count, then the values, which must fill the size exactly and cannot reach beyond it.
    fn container<T>(
        &mut self,
        depth: usize,
        values: impl FnOnce(&mut Self, usize) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let container = self.open(depth)?;
        let values = values(self, container.count)?;
        self.close(&container)?;
        Ok(values)
    }

    /// Reads size and count.
    #[inline]
    pub(crate) fn open(&mut self, depth: usize) -> Result<Container, DecodeError> {
        if depth > MAX_DEPTH {
            return Err(DecodeError::TooDeep);
        }
        let offset = self.offset;
        let size = self.length()?;
        let start = self.offset;
        let available = self.rest().len();
        if size > available {
            return Err(DecodeError::Truncated { offset: start, needed: size - available });
        }
        let count = self.length()?;
        // Every value takes at least its tag, so a count that the size cannot hold is refused before memory is set
        // aside.
        if size < 4 || count > (size - 4) / 4 {
            return Err(DecodeError::BadSize { offset });
        }
        // The values of a container are counted when it opens: reading one needs to count no more.
        self.values = self.values.saturating_add(count);
        if self.values > MAX_VALUES {
            return Err(DecodeError::TooManyValues);
        }
        Ok(Container { offset, end: start + size, count })
    }

    /// The values must have filled the size exactly.
    #[inline]
    pub(crate) fn close(&self, container: &Container) -> Result<(), DecodeError> {
        if self.offset == container.end { Ok(()) } else { Err(DecodeError::BadSize { offset: container.offset }) }
    }

    fn text(&self, bytes: &[u8], offset: usize) -> Result<String, DecodeError> {
        if self.lossy {
            return Ok(String::from_utf8_lossy(bytes).into_owned());
        }
        utf8(bytes, offset).map(str::to_owned)
    }
}

pub(crate) fn utf8(text: &[u8], offset: usize) -> Result<&str, DecodeError> {
    std::str::from_utf8(text).map_err(|_| DecodeError::BadString { offset })
}

/// The keys of a dictionary so far. While each comes after the one before, as this crate writes them, none is kept.
struct Seen<'a> {
    /// Where the dictionary's values start.
    values: &'a [u8],
    count: usize,
    last: Option<&'a [u8]>,
    /// All of them, once they were out of order.
    others: BTreeSet<&'a [u8]>,
}

impl<'a> Seen<'a> {
    fn is_new(&mut self, key: &'a [u8]) -> bool {
        let in_order = self.last.is_none_or(|last| last < key);
        if self.others.is_empty() && in_order {
            self.last = Some(key);
            self.count += 1;
            return true;
        }
        if self.others.is_empty() {
            self.others = view::keys(self.values, self.count).collect();
        }
        self.others.insert(key)
    }
}

/// An array or a dictionary that is being read.
pub(crate) struct Container {
    /// Where its size stands.
    offset: usize,
    end: usize,
    pub(crate) count: usize,
}
