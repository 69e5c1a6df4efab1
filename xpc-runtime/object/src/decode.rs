//! Making values of an encoded message, and checking one without making any.

use bytes::Bytes;

use crate::limits::MAX_ATTACHMENTS;
use crate::reader::{Reader, Seen, Text};
use crate::wire::{self, Flavour};
use crate::{Array, Attachment, Date, DecodeError, DecodeErrorKind, Dictionary, Object, Type, Uuid, Wanted};

/// Decodes a message: header, then exactly one dictionary. Data values share `input`'s memory.
///
/// # Errors
/// Whatever is malformed or past one of the [`limits`](crate::limits); never a panic.
pub fn decode_message(input: &Bytes) -> Result<(Dictionary, Flavour), DecodeError> {
    message(input, |decoder| decoder)
}

/// As [`decode_message`], for peers that are not written in Rust: what is not UTF-8 in strings and keys becomes
/// U+FFFD. Keys that are equal afterwards are refused as duplicates.
///
/// # Errors
/// As [`decode_message`], but for text that is not UTF-8.
pub fn decode_message_lossy(input: &Bytes) -> Result<(Dictionary, Flavour), DecodeError> {
    message(input, |decoder| Decoder { lossy: true, ..decoder })
}

/// As [`decode_message`], for a transport that receives descriptors: `attachments` is asked for those that came with the
/// message, from the first on, each once. It answers `None` to what did not come or is not what the message says.
///
/// # Errors
/// As [`decode_message`], and [`DecodeErrorKind::BadAttachment`].
pub fn decode_message_with_attachments(
    input: &Bytes,
    attachments: &mut dyn FnMut(Wanted) -> Option<Attachment>,
) -> Result<(Dictionary, Flavour), DecodeError> {
    message(input, |decoder| Decoder { attachments: Some(attachments), ..decoder })
}

fn message<'a>(
    input: &'a Bytes,
    options: impl for<'r> FnOnce(Decoder<'r, 'a>) -> Decoder<'r, 'a>,
) -> Result<(Dictionary, Flavour), DecodeError> {
    let mut reader = Reader::new(input)?;
    let flavour = reader.header()?;
    let value = options(Decoder { owner: Some(input), ..Decoder::new(&mut reader) }).object(1)?;
    reader.end()?;
    match value {
        Object::Dictionary(dictionary) => Ok((dictionary, flavour)),
        _ => Err(DecodeErrorKind::NotADictionary.into()),
    }
}

/// Checks a message exactly as [`decode_message_with_attachments`] reads it. What came beside its bytes is returned, in
/// order.
pub(crate) fn check_message<'a>(
    input: &'a Bytes,
    attachments: Option<&'a mut dyn FnMut(Wanted) -> Option<Attachment>>,
) -> Result<(Flavour, Vec<Object>), DecodeError> {
    let mut reader = Reader::new(input)?;
    let flavour = reader.header()?;
    let is_dictionary = reader.rest().starts_with(&wire::DICTIONARY.to_le_bytes());
    let mut beside = Vec::new();
    Decoder { attachments, ..Decoder::new(&mut reader) }.check(1, &mut beside)?;
    reader.end()?;
    if is_dictionary { Ok((flavour, beside)) } else { Err(DecodeErrorKind::NotADictionary.into()) }
}

/// Decodes one value that stands without a header and fills `input`. Data values share `input`'s memory.
///
/// # Errors
/// As [`decode_message`].
pub fn decode_value(input: &Bytes) -> Result<Object, DecodeError> {
    let mut reader = Reader::new(input)?;
    let value = Decoder { owner: Some(input), ..Decoder::new(&mut reader) }.object(1)?;
    reader.end()?;
    Ok(value)
}

pub(crate) struct Decoder<'r, 'a> {
    reader: &'r mut Reader<'a>,
    /// What holds the input, where data values are to share it.
    owner: Option<&'a Bytes>,
    /// Whether text that is not UTF-8 is repaired rather than refused.
    lossy: bool,
    /// What came beside the bytes; `None` where nothing can.
    attachments: Option<&'a mut dyn FnMut(Wanted) -> Option<Attachment>>,
    attached: usize,
}

impl<'r, 'a> Decoder<'r, 'a> {
    /// Where nothing comes beside the bytes, and nobody shares them.
    pub fn new(reader: &'r mut Reader<'a>) -> Self {
        Self { reader, owner: None, lossy: false, attachments: None, attached: 0 }
    }

    fn object(&mut self, depth: usize) -> Result<Object, DecodeError> {
        let offset = self.reader.offset();
        Ok(match self.reader.tag()? {
            wire::NULL => Object::Null,
            wire::BOOL => Object::Bool(self.reader.array::<4>()?[0] != 0),
            wire::INT64 => Object::Int64(i64::from_le_bytes(self.reader.array()?)),
            wire::UINT64 => Object::Uint64(u64::from_le_bytes(self.reader.array()?)),
            wire::DOUBLE => Object::Double(f64::from_le_bytes(self.reader.array()?)),
            wire::DATE => Object::Date(Date::from_nanoseconds(i64::from_le_bytes(self.reader.array()?))),
            wire::UUID => Object::Uuid(Uuid::from_bytes(self.reader.array()?)),
            wire::DATA => {
                let data = self.reader.data()?;
                Object::Data(self.owner.map_or_else(|| Bytes::copy_from_slice(data), |owner| owner.slice_ref(data)))
            }
            wire::STRING => {
                let text = self.reader.string()?;
                Object::String(self.text(text)?)
            }
            wire::ARRAY => Object::Array(self.container(depth, |decoder, count| {
                let mut values = Vec::with_capacity(count);
                for _ in 0..count {
                    values.push(decoder.object(depth + 1)?);
                }
                Ok(Array::from(values))
            })?),
            wire::DICTIONARY => Object::Dictionary(self.container(depth, |decoder, count| {
                let mut dictionary = Dictionary::new();
                for _ in 0..count {
                    let offset = decoder.reader.offset();
                    let key = decoder.reader.key()?;
                    let key = decoder.text(key)?;
                    let value = decoder.object(depth + 1)?;
                    if dictionary.insert(key, value).is_some() {
                        return Err(DecodeErrorKind::DuplicateKey { offset }.into());
                    }
                }
                Ok(dictionary)
            })?),
            tag => self.object_beside(tag, offset)?,
        })
    }

    /// Checks the next value exactly as [`object`](Self::object) reads it, and makes nothing of it. What came beside the
    /// bytes goes into `beside`, in order.
    pub fn check(&mut self, depth: usize, beside: &mut Vec<Object>) -> Result<(), DecodeError> {
        let offset = self.reader.offset();
        match self.reader.tag()? {
            wire::NULL => {}
            wire::BOOL => drop(self.reader.array::<4>()?),
            wire::INT64 | wire::UINT64 | wire::DOUBLE | wire::DATE => drop(self.reader.array::<8>()?),
            wire::UUID => drop(self.reader.array::<16>()?),
            wire::DATA => drop(self.reader.data()?),
            wire::STRING => {
                self.reader.string()?.utf8()?;
            }
            wire::ARRAY => self.container(depth, |decoder, count| {
                for _ in 0..count {
                    decoder.check(depth + 1, beside)?;
                }
                Ok(())
            })?,
            wire::DICTIONARY => self.container(depth, |decoder, count| {
                let mut seen = Seen::of(decoder.reader);
                for _ in 0..count {
                    let offset = decoder.reader.offset();
                    let key = decoder.reader.key()?.utf8()?;
                    decoder.check(depth + 1, beside)?;
                    if !seen.is_new(key.as_bytes()) {
                        return Err(DecodeErrorKind::DuplicateKey { offset }.into());
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
            wire::SHARED_MEMORY => self.attachment(offset, Type::SharedMemory, |decoder| {
                Ok(Wanted::SharedMemory { len: u64::from_le_bytes(decoder.reader.array()?) })
            }),
            wire::ENDPOINT => self.attachment(offset, Type::Endpoint, |decoder| {
                Ok(Wanted::Endpoint { id: u64::from_le_bytes(decoder.reader.array()?) })
            }),
            tag => Err(DecodeErrorKind::UnknownType { offset, tag }.into()),
        }
    }

    /// A value that travels beside the bytes. They are numbered as they come, so that each is asked for once.
    fn attachment(
        &mut self,
        offset: usize,
        kind: Type,
        wanted: impl FnOnce(&mut Self) -> Result<Wanted, DecodeError>,
    ) -> Result<Object, DecodeError> {
        let number = self.reader.length()?;
        let wanted = wanted(self)?;
        let Some(attachments) = &mut self.attachments else { return Ok(Object::Foreign(kind)) };
        if number != self.attached || number == MAX_ATTACHMENTS {
            return Err(DecodeErrorKind::BadAttachment { offset }.into());
        }
        self.attached += 1;
        let value = attachments(wanted).map(Object::from).filter(|value| value.kind() == kind);
        value.ok_or_else(|| DecodeErrorKind::BadAttachment { offset }.into())
    }

    /// Reads size and count, then the values, which must fill the size exactly and cannot reach beyond it.
    fn container<T>(
        &mut self,
        depth: usize,
        values: impl FnOnce(&mut Self, usize) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let container = self.reader.open(depth)?;
        let values = values(self, container.count)?;
        self.reader.close(&container)?;
        Ok(values)
    }

    fn text(&self, text: Text<'_>) -> Result<String, DecodeError> {
        if self.lossy {
            return Ok(String::from_utf8_lossy(text.bytes).into_owned());
        }
        text.utf8().map(str::to_owned)
    }
}
