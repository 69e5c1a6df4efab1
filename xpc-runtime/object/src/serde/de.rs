use std::collections::BTreeSet;
use std::fmt::Display;

use serde_core::de::value::{BorrowedStrDeserializer, BytesDeserializer, SeqDeserializer};
use serde_core::de::{
    self, Deserialize, DeserializeSeed, EnumAccess, Expected, IgnoredAny, IntoDeserializer as _, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};

use super::{key, names};
use crate::decode::{Container, Reader, utf8};
use crate::limits::{MAX_DEPTH, MAX_VALUES};
use crate::wire::padding;
use crate::{DecodeError, Misfit, wire};

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
/// As [`decode_message`](crate::decode_message), and [`DecodeError::Deserialize`], which says where; never a panic.
pub fn from_message<'de, T: Deserialize<'de>>(input: &'de [u8]) -> Result<T, DecodeError> {
    let mut reader = Reader::borrowed(input)?;
    reader.header()?;
    if reader.peek_tag()? != wire::DICTIONARY {
        return Err(DecodeError::NotADictionary);
    }
    let value = T::deserialize(Deserializer { reader: &mut reader, depth: 1, wrappers: 0 })?;
    reader.end()?;
    Ok(value)
}

impl de::Error for DecodeError {
    fn custom<T: Display>(reason: T) -> Self {
        Self::Deserialize(Box::new(Misfit { path: String::new(), reason: reason.to_string() }))
    }
}

pub(super) fn invalid(found: &str, expected: &dyn Expected) -> DecodeError {
    de::Error::invalid_type(Unexpected::Other(found), expected)
}

/// The same error, seen from the container around the value.
#[cold]
fn within(mut error: DecodeError, step: impl Display) -> DecodeError {
    if let DecodeError::Deserialize(misfit) = &mut error {
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
    fn wrapped(self) -> Result<Self, DecodeError> {
        if self.wrappers == MAX_DEPTH {
            return Err(DecodeError::TooDeep);
        }
        Ok(Self { wrappers: self.wrappers + 1, ..self })
    }

    fn values(self) -> Result<Values<'r, 'de>, DecodeError> {
        let container = self.reader.open(self.depth)?;
        Ok(Values { left: container.count, container, reader: self.reader, depth: self.depth, key: "", fields: &[] })
    }

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
            return Err(DecodeError::TooManyValues);
        }
        let mut values = SeqDeserializer::new(bytes.iter().copied());
        let value = visitor.visit_seq(&mut values)?;
        values.end()?;
        Ok(value)
    }

    /// A struct tells by itself which of its keys come twice.
    fn structure<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, DecodeError> {
        let mut values = Values { fields, ..self.values()? };
        let value = visitor.visit_map(&mut values)?;
        values.close()?;
        Ok(value)
    }

    fn map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let mut map = Map { values: self.values()?, seen: Seen::Ascending(Vec::new()) };
        let value = visitor.visit_map(&mut map)?;
        map.values.close()?;
        Ok(value)
    }

    fn text(self) -> Result<&'de str, DecodeError> {
        let (text, offset) = self.reader.string_bytes()?;
        utf8(text, offset)
    }

    /// What comes is another type, or an integer that ends early.
    #[cold]
    fn no_integer<T>(self, expected: &dyn Expected) -> Result<T, DecodeError> {
        let offset = self.reader.offset;
        match self.reader.tag()? {
            wire::INT64 | wire::UINT64 => self.reader.array::<8>().and_then(|_| Err(invalid("integer", expected))),
            tag => Self::mismatch(tag, offset, expected),
        }
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
            tag => return Err(DecodeError::UnknownType { offset, tag }),
        };
        Err(invalid(found, expected))
    }
}

impl<'de> Reader<'de> {
    fn peek_tag(&self) -> Result<u32, DecodeError> {
        match self.rest().first_chunk() {
            Some(tag) => Ok(u32::from_le_bytes(*tag)),
            None => Err(DecodeError::Truncated { offset: self.offset, needed: 4 - self.rest().len() }),
        }
    }

    /// The eight bytes of the next value in one step, if it has this tag.
    #[inline]
    fn eight(&mut self, tag: u32) -> Option<[u8; 8]> {
        let (next, rest) = self.rest().split_first_chunk::<4>()?;
        let bytes = rest.first_chunk().filter(|_| *next == tag.to_le_bytes())?;
        self.offset += 12;
        Some(*bytes)
    }

    /// Steps over `key`, if it is what comes next.
    #[inline]
    fn skip_key(&mut self, key: &str) -> bool {
        let is_next = self.rest().strip_prefix(key.as_bytes()).is_some_and(|rest| rest.first() == Some(&0));
        is_next && self.take(key.len() + 1 + padding(key.len() + 1)).is_ok()
    }

    fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    fn f64(&mut self) -> Result<f64, DecodeError> {
        self.array().map(f64::from_le_bytes)
    }
}

/// One method for each hint: what is accepted under which tag.
macro_rules! hints {
    ($($method:ident($($name:ident: $type:ty),*) |$this:ident, $visitor:ident| { $($tag:pat => $read:expr),* $(,)? })*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $type,)* $visitor: V) -> Result<V::Value, DecodeError> {
            let $this = self;
            let offset = $this.reader.offset;
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
            if let Some(value) = self.reader.eight(wire::INT64) {
                return visitor.visit_i64(i64::from_le_bytes(value));
            }
            if let Some(value) = self.reader.eight(wire::UINT64) {
                return visitor.visit_u64(u64::from_le_bytes(value));
            }
            self.no_integer(&visitor)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Deserializer<'_, 'de> {
    type Error = DecodeError;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
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
            wire::STRING => visitor.visit_borrowed_str(this.text()?),
            wire::ARRAY => this.sequence(visitor),
            wire::DICTIONARY => this.map(visitor),
        }

        deserialize_bool() |this, visitor| {
            wire::BOOL => visitor.visit_bool(this.reader.array::<4>()?[0] != 0),
        }

        deserialize_f64() |this, visitor| {
            wire::DOUBLE => visitor.visit_f64(this.reader.f64()?),
        }

        deserialize_f32() |this, visitor| {
            wire::DOUBLE => {
                let value = this.reader.f64()?;
                if value.is_finite() && value.abs() > f64::from(f32::MAX) {
                    return Err(de::Error::invalid_value(Unexpected::Float(value), &visitor));
                }
                visitor.visit_f64(value)
            }
        }

        deserialize_str() |this, visitor| {
            wire::STRING => visitor.visit_borrowed_str(this.text()?),
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
            wire::STRING => visitor.visit_enum(BorrowedStrDeserializer::new(this.text()?)),
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

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.reader.peek_tag()? == wire::NULL {
            self.reader.tag()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self.wrapped()?)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let offset = self.reader.offset;
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

    fn deserialize_tuple<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

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
        self.reader.check(self.depth, &mut Vec::new())?;
        visitor.visit_unit()
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

fn wide() -> DecodeError {
    de::Error::custom("XPC has no 128-bit integers: read text or data")
}

/// A container's values that are still to be read.
struct Values<'r, 'de> {
    reader: &'r mut Reader<'de>,
    container: Container,
    left: usize,
    depth: usize,
    /// The key that was read last.
    key: &'de str,
    /// The keys that are likely to come next: a struct's fields in the order of their declaration.
    fields: &'static [&'static str],
}

impl<'de> Values<'_, 'de> {
    fn inner(&mut self) -> Deserializer<'_, 'de> {
        Deserializer { reader: &mut *self.reader, depth: self.depth + 1, wrappers: 0 }
    }

    fn read_key(&mut self) -> Result<Option<&'de str>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        if let Some((field, fields)) = self.fields.split_first() {
            self.fields = fields;
            if self.reader.skip_key(field) {
                self.key = field;
                return Ok(Some(field));
            }
        }
        let (key, offset) = self.reader.key_bytes()?;
        self.key = utf8(key, offset)?;
        Ok(Some(self.key))
    }

    fn value<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        let key = self.key;
        seed.deserialize(self.inner()).map_err(|error| within(error, key))
    }

    fn close(&self) -> Result<(), DecodeError> {
        if self.left != 0 {
            return Err(de::Error::invalid_length(self.container.count, &Fewer(self.left)));
        }
        self.reader.close(&self.container)
    }
}

struct Fewer(usize);

impl Expected for Fewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} fewer", self.0)
    }
}

impl<'de> SeqAccess<'de> for &mut Values<'_, 'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        match seed.deserialize(self.inner()) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(within(error, format_args!("[{}]", self.container.count - left - 1))),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for &mut Values<'_, 'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        self.read_key()?.map(|key| seed.deserialize(key::Deserializer(key))).transpose()
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        self.value(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// A dictionary whose keys nobody else compares.
struct Map<'r, 'de> {
    values: Values<'r, 'de>,
    seen: Seen<'de>,
}

/// The keys that were read. As long as they come sorted, which they mostly do, no search is needed.
enum Seen<'de> {
    Ascending(Vec<&'de str>),
    Any(BTreeSet<&'de str>),
}

impl<'de> Seen<'de> {
    /// Whether it is new.
    fn insert(&mut self, key: &'de str) -> bool {
        match self {
            Self::Ascending(keys) if keys.last().is_none_or(|last| *last < key) => {
                keys.push(key);
                true
            }
            Self::Ascending(keys) => {
                let mut keys: BTreeSet<&str> = keys.drain(..).collect();
                let new = keys.insert(key);
                *self = Self::Any(keys);
                new
            }
            Self::Any(keys) => keys.insert(key),
        }
    }
}

impl<'de> MapAccess<'de> for &mut Map<'_, 'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let offset = self.values.reader.offset;
        let Some(key) = self.values.read_key()? else { return Ok(None) };
        if !self.seen.insert(key) {
            return Err(DecodeError::DuplicateKey { offset });
        }
        seed.deserialize(key::Deserializer(key)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        self.values.value(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.values.left)
    }
}

impl<'de> EnumAccess<'de> for &mut Values<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), DecodeError> {
        let name = self.read_key()?.unwrap_or_default();
        Ok((seed.deserialize(BorrowedStrDeserializer::<DecodeError>::new(name))?, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Values<'_, 'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        self.value(std::marker::PhantomData::<()>)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        self.value(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        let key = self.key;
        de::Deserializer::deserialize_tuple(self.inner(), length, visitor).map_err(|error| within(error, key))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let key = self.key;
        de::Deserializer::deserialize_struct(self.inner(), "", fields, visitor).map_err(|error| within(error, key))
    }
}

/// What serde has no word for, for an [`Object`](crate::Object), which has to know what it is.
struct Scalar<'r, 'de> {
    reader: &'r mut Reader<'de>,
}

impl<'r, 'de> Scalar<'r, 'de> {
    fn value(self) -> Deserializer<'r, 'de> {
        Deserializer { reader: self.reader, depth: 1, wrappers: 0 }
    }
}

impl<'de> EnumAccess<'de> for Scalar<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), DecodeError> {
        let name = names::of(self.reader.peek_tag()?).unwrap_or_default();
        Ok((seed.deserialize(BorrowedStrDeserializer::<DecodeError>::new(name))?, self))
    }
}

impl<'de> VariantAccess<'de> for Scalar<'_, 'de> {
    type Error = DecodeError;

    /// A value of which only the type can be told.
    fn unit_variant(self) -> Result<(), DecodeError> {
        IgnoredAny::deserialize(self.value()).map(drop)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        seed.deserialize(self.value())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        de::Deserializer::deserialize_seq(self.value(), visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, DecodeError> {
        de::Deserializer::deserialize_map(self.value(), visitor)
    }
}
