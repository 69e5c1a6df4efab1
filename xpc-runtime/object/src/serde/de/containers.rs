//! Arrays, and dictionaries as what serde takes them for: structs, maps and enums' variants.

use serde_core::de::value::BorrowedStrDeserializer;
use serde_core::de::{self, DeserializeSeed, EnumAccess, Expected, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::{Deserializer, within};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::reader::{Container, Reader, Seen};
use crate::serde::key;

/// A container's values that are still to be read.
pub(super) struct Values<'r, 'de> {
    pub reader: &'r mut Reader<'de>,
    pub container: Container,
    pub left: usize,
    pub depth: usize,
    /// The key that was read last.
    pub key: &'de str,
    /// The keys that are likely to come next: a struct's fields in the order of their declaration.
    pub fields: &'static [&'static str],
}

impl<'de> Values<'_, 'de> {
    #[inline]
    fn inner(&mut self) -> Deserializer<'_, 'de> {
        Deserializer { reader: &mut *self.reader, depth: self.depth + 1, wrappers: 0 }
    }

    #[inline]
    fn read_key(&mut self) -> Result<Option<&'de str>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        self.key = match self.fields.split_first() {
            Some((field, fields)) if self.reader.skip_key(field) => {
                self.fields = fields;
                field
            }
            _ => self.other_key()?,
        };
        Ok(Some(self.key))
    }

    /// A key that is not the one expected: a later field's, where those between are not there, or any other.
    fn other_key(&mut self) -> Result<&'de str, DecodeError> {
        let key = self.reader.key()?;
        let mut fields = self.fields.iter();
        let Some(field) = fields.find(|field| field.as_bytes() == key.bytes) else { return key.utf8() };
        self.fields = fields.as_slice();
        Ok(field)
    }

    #[inline]
    fn value<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        let key = self.key;
        seed.deserialize(self.inner()).map_err(|error| within(error, key))
    }

    #[inline]
    pub fn close(&self) -> Result<(), DecodeError> {
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

    #[inline]
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

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        self.read_key()?.map(|key| seed.deserialize(key::Deserializer(key))).transpose()
    }

    #[inline]
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        self.value(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// A dictionary whose keys nobody else compares.
pub(super) struct Map<'r, 'de> {
    pub values: Values<'r, 'de>,
    pub seen: Seen<'de>,
}

impl<'de> MapAccess<'de> for &mut Map<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let Some(left) = self.values.left.checked_sub(1) else { return Ok(None) };
        self.values.left = left;
        let offset = self.values.reader.offset();
        let key = self.values.reader.key()?.utf8()?;
        self.values.key = key;
        if !self.seen.is_new(key.as_bytes()) {
            return Err(DecodeErrorKind::DuplicateKey { offset }.into());
        }
        seed.deserialize(key::Deserializer(key)).map(Some)
    }

    #[inline]
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

    #[inline]
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

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        self.value(seed)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        let key = self.key;
        de::Deserializer::deserialize_tuple(self.inner(), length, visitor).map_err(|error| within(error, key))
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let key = self.key;
        de::Deserializer::deserialize_struct(self.inner(), "", fields, visitor).map_err(|error| within(error, key))
    }
}
