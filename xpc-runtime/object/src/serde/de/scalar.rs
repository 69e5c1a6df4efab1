use serde_core::de::value::BorrowedStrDeserializer;
use serde_core::de::{self, Deserialize as _, DeserializeSeed, EnumAccess, IgnoredAny, VariantAccess, Visitor};

use super::Deserializer;
use crate::DecodeError;
use crate::reader::Reader;
use crate::serde::names;

/// What serde has no word for, for an [`Object`](crate::Object), which has to know what it is.
pub(super) struct Scalar<'r, 'de> {
    pub reader: &'r mut Reader<'de>,
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
