//! Reading a message where it lies: checked whole when it comes, and then read value by value, without a copy.

use std::fmt;

use bytes::Bytes;

use crate::decode::check_message;
use crate::dictionary::typed_value;
use crate::wire::{self, Flavour, padding};
use crate::{
    Array, Attachment, Date, DecodeError, Dictionary, Endpoint, Fd, Object, SharedMemory, Type, Uuid, ValueError,
    Wanted,
};

/// A received message that nothing was made of yet. It shares the memory of the bytes that it was read from.
///
/// ```
/// use xpc_object::{Bytes, Flavour, MessageView, array, dictionary, encode_message};
///
/// let sent = dictionary! { "name" => "Rust", "numbers" => array![1_u64, 2_u64] };
/// let bytes = Bytes::from(encode_message(&sent, Flavour::Mach)?);
/// let view = MessageView::new(&bytes)?;
/// assert_eq!(view.dictionary().string("name")?, "Rust");
/// assert_eq!(view.dictionary().array("numbers")?.uint64(1)?, 2);
/// assert_eq!(view.to_dictionary(), sent);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MessageView {
    message: Bytes,
    flavour: Flavour,
    /// What came beside the bytes, by its number; nothing where nothing can.
    beside: Vec<Object>,
}

/// Header, and the tag of the dictionary.
const START: usize = 12;

impl MessageView {
    /// Checks a message. Whatever [`decode_message`](crate::decode_message) refuses is refused here.
    ///
    /// # Errors
    /// As [`decode_message`](crate::decode_message).
    pub fn new(input: &Bytes) -> Result<Self, DecodeError> {
        Self::checked(input, None)
    }

    /// As [`new`](Self::new), for a transport that receives descriptors: see
    /// [`decode_message_with_attachments`](crate::decode_message_with_attachments).
    ///
    /// # Errors
    /// As [`decode_message_with_attachments`](crate::decode_message_with_attachments).
    pub fn with_attachments<'a>(
        input: &'a Bytes,
        attachments: &'a mut dyn FnMut(Wanted) -> Option<Attachment>,
    ) -> Result<Self, DecodeError> {
        Self::checked(input, Some(attachments))
    }

    fn checked<'a>(
        input: &'a Bytes,
        attachments: Option<&'a mut dyn FnMut(Wanted) -> Option<Attachment>>,
    ) -> Result<Self, DecodeError> {
        let (flavour, beside) = check_message(input, attachments)?;
        Ok(Self { message: input.clone(), flavour, beside })
    }

    /// Which header stands before it.
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// The encoded message.
    pub fn as_bytes(&self) -> &Bytes {
        &self.message
    }

    /// Whether descriptors, shared memory or endpoints came beside the bytes.
    pub fn has_attachments(&self) -> bool {
        !self.beside.is_empty()
    }

    /// What every message is.
    pub fn dictionary(&self) -> DictionaryView<'_> {
        let mut cursor = Cursor(self.message.get(START..).unwrap_or_default());
        DictionaryView(cursor.container(self).unwrap_or(Values { message: self, bytes: &[], count: 0 }))
    }

    /// All of it as plain values. Data shares the message's memory.
    pub fn to_dictionary(&self) -> Dictionary {
        self.dictionary().to_dictionary()
    }
}

impl fmt::Debug for MessageView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_dictionary(), f)
    }
}

/// One value of a [`MessageView`]: an [`Object`] that was not made yet.
#[derive(Clone, Copy)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the variant of `Object` with that name")]
pub enum ObjectView<'a> {
    Null,
    Bool(bool),
    Int64(i64),
    Uint64(u64),
    Double(f64),
    Date(Date),
    Data(&'a [u8]),
    String(&'a str),
    Uuid(Uuid),
    Fd(&'a Fd),
    SharedMemory(&'a SharedMemory),
    Endpoint(&'a Endpoint),
    Array(ArrayView<'a>),
    Dictionary(DictionaryView<'a>),
    Foreign(Type),
}

impl ObjectView<'_> {
    /// What kind of value this is.
    pub fn kind(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int64(_) => Type::Int64,
            Self::Uint64(_) => Type::Uint64,
            Self::Double(_) => Type::Double,
            Self::Date(_) => Type::Date,
            Self::Data(_) => Type::Data,
            Self::String(_) => Type::String,
            Self::Uuid(_) => Type::Uuid,
            Self::Fd(_) => Type::Fd,
            Self::SharedMemory(_) => Type::SharedMemory,
            Self::Endpoint(_) => Type::Endpoint,
            Self::Array(_) => Type::Array,
            Self::Dictionary(_) => Type::Dictionary,
            Self::Foreign(kind) => *kind,
        }
    }

    fn to_object(self, message: &MessageView) -> Object {
        match self {
            Self::Null => Object::Null,
            Self::Bool(value) => Object::Bool(value),
            Self::Int64(value) => Object::Int64(value),
            Self::Uint64(value) => Object::Uint64(value),
            Self::Double(value) => Object::Double(value),
            Self::Date(value) => Object::Date(value),
            Self::Data(value) => Object::Data(message.message.slice_ref(value)),
            Self::String(value) => Object::String(value.to_owned()),
            Self::Uuid(value) => Object::Uuid(value),
            Self::Fd(value) => Object::Fd(value.clone()),
            Self::SharedMemory(value) => Object::SharedMemory(value.clone()),
            Self::Endpoint(value) => Object::Endpoint(value.clone()),
            Self::Array(value) => Object::Array(value.to_array()),
            Self::Dictionary(value) => Object::Dictionary(value.to_dictionary()),
            Self::Foreign(kind) => Object::Foreign(kind),
        }
    }
}

/// Values by key, in a [`MessageView`]. Finding one looks at all that stand before it.
#[derive(Clone, Copy)]
pub struct DictionaryView<'a>(Values<'a>);

impl<'a> DictionaryView<'a> {
    /// The value under this key, of whatever type.
    pub fn get(&self, key: &str) -> Option<ObjectView<'a>> {
        let mut cursor = Cursor(self.0.bytes);
        for _ in 0..self.0.count {
            if cursor.key()? == key.as_bytes() {
                return cursor.value(self.0.message);
            }
            cursor.pass()?;
        }
        None
    }

    /// Whether there is a value under this key.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.count == 0
    }

    /// Keys and values, as they stand in the message.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, ObjectView<'a>)> + use<'a> {
        let (mut cursor, message) = (Cursor(self.0.bytes), self.0.message);
        (0..self.0.count).map_while(move |_| {
            let key = std::str::from_utf8(cursor.key()?).ok()?;
            Some((key, cursor.value(message)?))
        })
    }

    /// All of it as plain values. Data shares the message's memory.
    pub fn to_dictionary(&self) -> Dictionary {
        self.iter().map(|(key, value)| (key, value.to_object(self.0.message))).collect()
    }
}

/// A list in a [`MessageView`]. Finding a value looks at all that stand before it.
#[derive(Clone, Copy)]
pub struct ArrayView<'a>(Values<'a>);

impl<'a> ArrayView<'a> {
    /// The value at this position, of whatever type.
    pub fn get(&self, index: usize) -> Option<ObjectView<'a>> {
        if index >= self.0.count {
            return None;
        }
        let mut cursor = Cursor(self.0.bytes);
        for _ in 0..index {
            cursor.pass()?;
        }
        cursor.value(self.0.message)
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.0.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.count == 0
    }

    /// The values, in order.
    pub fn iter(&self) -> impl Iterator<Item = ObjectView<'a>> + use<'a> {
        let (mut cursor, message) = (Cursor(self.0.bytes), self.0.message);
        (0..self.0.count).map_while(move |_| cursor.value(message))
    }

    /// All of it as plain values. Data shares the message's memory.
    pub fn to_array(&self) -> Array {
        self.iter().map(|value| value.to_object(self.0.message)).collect::<Vec<_>>().into()
    }
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident: $type:ty, $variant:ident;)*) => {
        /// Typed getters. Each fails with [`ValueError::Missing`] where there is no such key and with
        /// [`ValueError::WrongType`] where its value is of another type.
        #[expect(clippy::missing_errors_doc, reason = "stated once, for all of them")]
        impl<'a> DictionaryView<'a> {$(
            $(#[$doc])*
            pub fn $name(&self, key: &str) -> Result<$type, ValueError> {
                typed_value(self.get(key), || key.to_owned(), Type::$variant, ObjectView::kind, |value| match value {
                    ObjectView::$variant(value) => Ok(value),
                    other => Err(other),
                })
            }
        )*}

        /// Typed getters. Each fails with [`ValueError::Missing`] past the end and with [`ValueError::WrongType`] where the
        /// value is of another type.
        #[expect(clippy::missing_errors_doc, reason = "stated once, for all of them")]
        impl<'a> ArrayView<'a> {$(
            $(#[$doc])*
            pub fn $name(&self, index: usize) -> Result<$type, ValueError> {
                let place = || index.to_string();
                typed_value(self.get(index), place, Type::$variant, ObjectView::kind, |value| match value {
                    ObjectView::$variant(value) => Ok(value),
                    other => Err(other),
                })
            }
        )*}
    };
}

getters! {
    /// The truth value there.
    bool: bool, Bool;
    /// The signed number there.
    int64: i64, Int64;
    /// The unsigned number there.
    uint64: u64, Uint64;
    /// The floating-point number there.
    double: f64, Double;
    /// The date there.
    date: Date, Date;
    /// The bytes there.
    data: &'a [u8], Data;
    /// The text there.
    string: &'a str, String;
    /// The identifier there.
    uuid: Uuid, Uuid;
    /// The file descriptor there.
    fd: &'a Fd, Fd;
    /// The shared memory there.
    shared_memory: &'a SharedMemory, SharedMemory;
    /// The endpoint there.
    endpoint: &'a Endpoint, Endpoint;
    /// The list there.
    array: ArrayView<'a>, Array;
    /// The dictionary there.
    dictionary: DictionaryView<'a>, Dictionary;
}

macro_rules! debug {
    ($($view:ident: $owned:ident),*) => {$(
        impl fmt::Debug for $view<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.$owned(), f)
            }
        }
    )*};
}

debug!(DictionaryView: to_dictionary, ArrayView: to_array);

impl fmt::Debug for ObjectView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Array(array) => fmt::Debug::fmt(array, f),
            Self::Dictionary(dictionary) => fmt::Debug::fmt(dictionary, f),
            Self::Data(data) => fmt::Debug::fmt(&Object::Data(Bytes::copy_from_slice(data)), f),
            // The others hold nothing of a message.
            other => fmt::Debug::fmt(&other.to_object(&MessageView::EMPTY), f),
        }
    }
}

impl MessageView {
    const EMPTY: Self = Self { message: Bytes::new(), flavour: Flavour::Mach, beside: Vec::new() };
}

/// The values of a container: what follows its count.
#[derive(Clone, Copy)]
struct Values<'a> {
    message: &'a MessageView,
    bytes: &'a [u8],
    count: usize,
}

/// Walks over bytes that were checked: `None` does not come, and were it to, would read as the end.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.u32()?).ok()
    }

    fn data(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        let data = self.take(length)?;
        self.take(padding(length))?;
        Some(data)
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let end = wire::first_nul(self.0)?;
        let key = self.take(end)?;
        self.take(1 + padding(end + 1))?;
        Some(key)
    }

    /// Size, count and values.
    fn container(&mut self, message: &'a MessageView) -> Option<Values<'a>> {
        let size = self.length()?;
        let mut inside = Cursor(self.take(size)?);
        let count = inside.length()?;
        Some(Values { message, bytes: inside.0, count })
    }

    fn value(&mut self, message: &'a MessageView) -> Option<ObjectView<'a>> {
        Some(match self.u32()? {
            wire::NULL => ObjectView::Null,
            wire::BOOL => ObjectView::Bool(self.array::<4>()?[0] != 0),
            wire::INT64 => ObjectView::Int64(i64::from_le_bytes(self.array()?)),
            wire::UINT64 => ObjectView::Uint64(u64::from_le_bytes(self.array()?)),
            wire::DOUBLE => ObjectView::Double(f64::from_le_bytes(self.array()?)),
            wire::DATE => ObjectView::Date(Date::from_nanoseconds(i64::from_le_bytes(self.array()?))),
            wire::UUID => ObjectView::Uuid(Uuid::from_bytes(self.array()?)),
            wire::DATA => ObjectView::Data(self.data()?),
            wire::STRING => {
                let (_nul, text) = self.data()?.split_last()?;
                ObjectView::String(std::str::from_utf8(text).ok()?)
            }
            wire::ARRAY => ObjectView::Array(ArrayView(self.container(message)?)),
            wire::DICTIONARY => ObjectView::Dictionary(DictionaryView(self.container(message)?)),
            wire::FD => self.beside(message, 0, Type::Fd)?,
            wire::SHARED_MEMORY => self.beside(message, 8, Type::SharedMemory)?,
            wire::ENDPOINT => self.beside(message, 8, Type::Endpoint)?,
            _ => return None,
        })
    }

    /// What came beside the bytes; `more` bytes follow its number.
    fn beside(&mut self, message: &'a MessageView, more: usize, kind: Type) -> Option<ObjectView<'a>> {
        let number = self.length()?;
        self.take(more)?;
        Some(match message.beside.get(number) {
            Some(Object::Fd(fd)) => ObjectView::Fd(fd),
            Some(Object::SharedMemory(memory)) => ObjectView::SharedMemory(memory),
            Some(Object::Endpoint(endpoint)) => ObjectView::Endpoint(endpoint),
            _ => ObjectView::Foreign(kind),
        })
    }

    /// Goes past a value, whatever is in it.
    fn pass(&mut self) -> Option<()> {
        match self.u32()? {
            wire::NULL => {}
            wire::BOOL | wire::FD => drop(self.take(4)?),
            wire::INT64 | wire::UINT64 | wire::DOUBLE | wire::DATE => drop(self.take(8)?),
            wire::SHARED_MEMORY | wire::ENDPOINT => drop(self.take(12)?),
            wire::UUID => drop(self.take(16)?),
            wire::DATA | wire::STRING => drop(self.data()?),
            wire::ARRAY | wire::DICTIONARY => {
                let size = self.length()?;
                self.take(size)?;
            }
            _ => return None,
        }
        Some(())
    }

    /// The keys of the first `count` values of a dictionary.
    fn keys(mut self, count: usize) -> impl Iterator<Item = &'a [u8]> {
        (0..count).map_while(move |_| {
            let key = self.key()?;
            self.pass()?;
            Some(key)
        })
    }
}

/// The keys of the first `count` values of a dictionary whose values start with `bytes`, and were checked.
pub(crate) fn keys(bytes: &[u8], count: usize) -> impl Iterator<Item = &[u8]> {
    Cursor(bytes).keys(count)
}
