mod containers;
mod scalar;

use std::fmt::Display;

use serde_core::de::value::{BorrowedStrDeserializer, BytesDeserializer, SeqDeserializer};
use serde_core::de::{self, Deserialize, Expected, IntoDeserializer as _, Unexpected, Visitor};

use self::containers::{Map, Values};
use self::scalar::Scalar;
use super::names;
use crate::decode::Decoder;
use crate::limits::{MAX_DEPTH, MAX_VALUES};
use crate::reader::{Reader, Seen};
use crate::{DecodeError, DecodeErrorKind, Misfit, wire};

/// Decodes a message, straight from its bytes, as [`to_message`](crate::to_message) wrote it or as other peers would: in
/// either flavour, with keys in any order. Text and bytes may be borrowed from `input` (`&str`, `&[u8]`).
///
/// Integers are read from int64 and uint64 alike wherever they fit. Data is read as a sequence of bytes too, so that a plain
/// `Vec<u8>` takes what other peers send as data. Everything else has to be of the type in `to_message`'s table. Values under
/// keys that the type does not know are checked like all others, then dropped.
///
/// Types that ask for whatever there is (untagged and internally tagged enums, flattened structs) see a date as its
/// nanoseconds and a uuid as its bytes; [`Object`](crate::Object) tells them apart.
///
/// # Errors
/// As [`decode_message`](crate::decode_message), and [`DecodeErrorKind::Deserialize`], which says where; never a panic.
pub fn from_message<'de, T: Deserialize<'de>>(input: &'de [u8]) -> Result<T, DecodeError> {
    let mut reader = Reader::new(input)?;
    reader.header()?;
    if reader.peek_tag()? != wire::DICTIONARY {
        return Err(DecodeErrorKind::NotADictionary.into());
    }
    // Before it is read: a value that still has something done after it, were it this, would be moved once more.
    reader.nothing_follows()?;
    T::deserialize(Deserializer { reader: &mut reader, depth: 1, wrappers: 0 })
}

impl de::Error for DecodeError {
    #[cold]
    fn custom<T: Display>(reason: T) -> Self {
        DecodeErrorKind::Deserialize(Misfit { path: String::new(), reason: reason.to_string() }).into()
    }
}

pub(in crate::serde) fn invalid(found: &str, expected: &dyn Expected) -> DecodeError {
    de::Error::invalid_type(Unexpected::Other(found), expected)
}

/// The same error, seen from the container around the value.
#[cold]
fn within(mut error: DecodeError, step: impl Display) -> DecodeError {
    if let DecodeErrorKind::Deserialize(misfit) = error.kind_mut() {
        let separator = if misfit.path.is_empty() || misfit.path.starts_with('[') { "" } else { "." };
        misfit.path = format!("{step}{separator}{}", misfit.path);
    }
    error
}

struct Deserializer<'r, 'de> {
    reader: &'r mut Reader<'de>,
    /// How deep a container at this place would be.
    depth: usize,
    /// How many options and newtypes there are around this value. They take no bytes: a type that is nothing but itself in
    /// an option would never end.
    wrappers: usize,
}

impl<'r, 'de> Deserializer<'r, 'de> {
    #[inline]
    fn wrapped(self) -> Result<Self, DecodeError> {
        if self.wrappers == MAX_DEPTH {
            return Err(DecodeErrorKind::TooDeep.into());
        }
        Ok(Self { wrappers: self.wrappers + 1, ..self })
    }

    #[inline]
    fn values(self) -> Result<Values<'r, 'de>, DecodeError> {
        let container = self.reader.open(self.depth)?;
        Ok(Values { left: container.count, container, reader: self.reader, depth: self.depth, key: "", fields: &[] })
    }

    #[inline]
    fn sequence<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let mut values = self.values()?;
        let value = visitor.visit_seq(&mut values)?;
        values.close()?;
        Ok(value)
    }

    /// Data, as a sequence of bytes. Each can take as much memory as any value.
    fn bytes_as_sequence<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let bytes = self.reader.data()?;
        if bytes.len() > MAX_VALUES {
            return Err(DecodeErrorKind::TooManyValues.into());
        }
        let mut values = SeqDeserializer::<_, DecodeError>::new(bytes.iter().copied());
        let value = visitor.visit_seq(&mut values)?;
        values.end()?;
        Ok(value)
    }

    /// A struct tells by itself which of its keys come twice.
    #[inline]
    fn structure<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, DecodeError> {
        let mut values = Values { fields, ..self.values()? };
        let value = visitor.visit_map(&mut values)?;
        values.close()?;
        Ok(value)
    }

    #[inline]
    fn map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let values = self.values()?;
        let mut map = Map { seen: Seen::of(values.reader), values };
        let value = visitor.visit_map(&mut map)?;
        map.values.close()?;
        Ok(value)
    }

    /// What comes is another type, or nothing that can be read.
    #[cold]
    fn unfit<T>(self, expected: &dyn Expected) -> Result<T, DecodeError> {
        let offset = self.reader.offset();
        let tag = self.reader.tag()?;
        match tag {
            wire::BOOL => drop(self.reader.array::<4>()?),
            wire::INT64 | wire::UINT64 | wire::DOUBLE => drop(self.reader.array::<8>()?),
            wire::STRING => drop(self.reader.string()?.utf8()?),
            _ => {}
        }
        Self::mismatch(tag, offset, expected)
    }

    #[cold]
    fn mismatch<T>(tag: u32, offset: usize, expected: &dyn Expected) -> Result<T, DecodeError> {
        let found = match tag {
            wire::NULL => "null",
            wire::BOOL => "bool",
            wire::INT64 => "int64",
            wire::UINT64 => "uint64",
            wire::DOUBLE => "double",
            wire::DATE => "date",
            wire::UUID => "uuid",
            wire::DATA => "data",
            wire::STRING => "string",
            wire::ARRAY => "array",
            wire::DICTIONARY => "dictionary",
            wire::FD => "fd",
            wire::SHARED_MEMORY => "shmem",
            wire::ENDPOINT => "endpoint",
            tag => return Err(DecodeErrorKind::UnknownType { offset, tag }.into()),
        };
        Err(invalid(found, expected))
    }
}

impl<'de> Reader<'de> {
    #[inline]
    fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_le_bytes)
    }

    #[inline]
    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    #[inline]
    fn f64(&mut self) -> Result<f64, DecodeError> {
        self.array().map(f64::from_le_bytes)
    }
}

/// One method for each hint: what is accepted under which tag.
macro_rules! hints {
    ($($method:ident($($name:ident: $type:ty),*) |$this:ident, $visitor:ident| { $($tag:pat => $read:expr),* $(,)? })*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, $($name: $type,)* $visitor: V) -> Result<V::Value, DecodeError> {
            let $this = self;
            let offset = $this.reader.offset();
            match $this.reader.tag()? {
                $($tag => $read,)*
                tag => Deserializer::mismatch(tag, offset, &$visitor),
            }
        }
    )*};
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            if let Some(value) = self.reader.fixed(wire::INT64) {
                return visitor.visit_i64(i64::from_le_bytes(value));
            }
            if let Some(value) = self.reader.fixed(wire::UINT64) {
                return visitor.visit_u64(u64::from_le_bytes(value));
            }
            self.unfit(&visitor)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Deserializer<'_, 'de> {
    type Error = DecodeError;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.reader.fixed::<4>(wire::BOOL) {
            Some(value) => visitor.visit_bool(value[0] != 0),
            None => self.unfit(&visitor),
        }
    }

    #[inline]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.reader.fixed(wire::DOUBLE) {
            Some(value) => visitor.visit_f64(f64::from_le_bytes(value)),
            None => self.unfit(&visitor),
        }
    }

    #[inline]
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let Some(value) = self.reader.fixed(wire::DOUBLE) else { return self.unfit(&visitor) };
        let value = f64::from_le_bytes(value);
        if value.is_finite() && value.abs() > f64::from(f32::MAX) {
            return Err(de::Error::invalid_value(Unexpected::Float(value), &visitor));
        }
        visitor.visit_f64(value)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.reader.text() {
            Some(text) => visitor.visit_borrowed_str(text),
            None => self.unfit(&visitor),
        }
    }

    hints! {
        deserialize_any() |this, visitor| {
            wire::NULL => visitor.visit_unit(),
            wire::BOOL => visitor.visit_bool(this.reader.array::<4>()?[0] != 0),
            wire::INT64 | wire::DATE => visitor.visit_i64(this.reader.i64()?),
            wire::UINT64 => visitor.visit_u64(this.reader.u64()?),
            wire::DOUBLE => visitor.visit_f64(this.reader.f64()?),
            wire::UUID => visitor.visit_bytes(&this.reader.array::<16>()?),
            wire::DATA => visitor.visit_borrowed_bytes(this.reader.data()?),
            wire::STRING => visitor.visit_borrowed_str(this.reader.string()?.utf8()?),
            wire::ARRAY => this.sequence(visitor),
            wire::DICTIONARY => this.map(visitor),
        }

        deserialize_bytes() |this, visitor| {
            wire::DATA => visitor.visit_borrowed_bytes(this.reader.data()?),
            wire::ARRAY => this.sequence(visitor),
        }

        deserialize_unit() |this, visitor| {
            wire::NULL => visitor.visit_unit(),
        }

        deserialize_seq() |this, visitor| {
            wire::ARRAY => this.sequence(visitor),
            wire::DATA => this.bytes_as_sequence(visitor),
        }

        deserialize_map() |this, visitor| {
            wire::DICTIONARY => this.map(visitor),
        }

        deserialize_struct(_name: &'static str, fields: &'static [&'static str]) |this, visitor| {
            wire::DICTIONARY => this.structure(fields, visitor),
        }

        deserialize_enum(_name: &'static str, _variants: &'static [&'static str]) |this, visitor| {
            wire::STRING => visitor.visit_enum(BorrowedStrDeserializer::new(this.reader.string()?.utf8()?)),
            wire::DICTIONARY => {
                let mut values = this.values()?;
                if values.left != 1 {
                    return Err(invalid("dictionary that has not exactly one value", &visitor));
                }
                let value = visitor.visit_enum(&mut values)?;
                values.close()?;
                Ok(value)
            }
        }
    }

    fn deserialize_i128<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, DecodeError> {
        Err(wide())
    }

    fn deserialize_u128<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, DecodeError> {
        Err(wide())
    }

    #[inline]
    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.reader.peek_tag()? == wire::NULL {
            self.reader.tag()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self.wrapped()?)
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_unit(visitor)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let offset = self.reader.offset();
        match (name, self.reader.peek_tag()?) {
            (names::DATE, wire::DATE) => {
                self.reader.tag()?;
                visitor.visit_newtype_struct(self.reader.i64()?.into_deserializer())
            }
            (names::UUID, wire::UUID) => {
                self.reader.tag()?;
                let bytes = self.reader.array::<16>()?;
                visitor.visit_newtype_struct(BytesDeserializer::new(&bytes))
            }
            (names::DATE | names::UUID, tag) => Self::mismatch(tag, offset, &visitor),
            (names::OBJECT, tag) if names::of(tag).is_some() => visitor.visit_enum(Scalar { reader: self.reader }),
            (names::OBJECT, _) => self.deserialize_any(visitor),
            _ => visitor.visit_newtype_struct(self.wrapped()?),
        }
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        // Nothing comes beside bytes that are read here.
        Decoder::new(self.reader).check(self.depth, &mut Vec::new())?;
        visitor.visit_unit()
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

fn wide() -> DecodeError {
    de::Error::custom("XPC has no 128-bit integers: read text or data")
}
