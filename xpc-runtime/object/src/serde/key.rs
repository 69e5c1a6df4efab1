//! Keys of maps: text, or what has a plain textual form.

use std::fmt::Display;

use serde_core::de::{self, IntoDeserializer as _, Visitor};
use serde_core::forward_to_deserialize_any;
use serde_core::ser::{self, Impossible, Serialize};

use super::de::invalid;
use crate::encode::Encoder;
use crate::{DecodeError, EncodeError};

pub(super) struct Serializer<'a> {
    pub(super) encoder: &'a mut Encoder<'static>,
}

impl Serializer<'_> {
    fn text(self, key: impl Display) -> Result<(), EncodeError> {
        self.encoder.key(&key.to_string())
    }
}

type None = Impossible<(), EncodeError>;

fn not_text<T>() -> Result<T, EncodeError> {
    Err(ser::Error::custom("the keys of a map have to be text, integers or variants without content"))
}

macro_rules! texts {
    ($($method:ident: $type:ty;)*) => {$(
        fn $method(self, key: $type) -> Result<(), EncodeError> {
            self.text(key)
        }
    )*};
}

macro_rules! not_texts {
    ($($method:ident($($type:ty),*) -> $ok:ty;)*) => {$(
        fn $method(self, $(_: $type),*) -> Result<$ok, EncodeError> {
            not_text()
        }
    )*};
}

impl ser::Serializer for Serializer<'_> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = None;
    type SerializeTuple = None;
    type SerializeTupleStruct = None;
    type SerializeTupleVariant = None;
    type SerializeMap = None;
    type SerializeStruct = None;
    type SerializeStructVariant = None;

    texts! {
        serialize_i8: i8;
        serialize_i16: i16;
        serialize_i32: i32;
        serialize_i64: i64;
        serialize_u8: u8;
        serialize_u16: u16;
        serialize_u32: u32;
        serialize_u64: u64;
        serialize_char: char;
    }

    not_texts! {
        serialize_bool(bool) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_seq(Option<usize>) -> None;
        serialize_tuple(usize) -> None;
        serialize_tuple_struct(&'static str, usize) -> None;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> None;
        serialize_map(Option<usize>) -> None;
        serialize_struct(&'static str, usize) -> None;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> None;
    }

    fn serialize_str(self, key: &str) -> Result<(), EncodeError> {
        self.encoder.key(key)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), EncodeError> {
        self.encoder.key(variant)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _key: &T) -> Result<(), EncodeError> {
        not_text()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, key: &T) -> Result<(), EncodeError> {
        key.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<(), EncodeError> {
        not_text()
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

pub(super) struct Deserializer<'de>(pub(super) &'de str);

macro_rules! numbers {
    ($($method:ident: $visit:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            match self.0.parse() {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(invalid("key that is not such a number", &visitor)),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Deserializer<'de> {
    type Error = DecodeError;

    numbers! {
        deserialize_i8: visit_i8;
        deserialize_i16: visit_i16;
        deserialize_i32: visit_i32;
        deserialize_i64: visit_i64;
        deserialize_u8: visit_u8;
        deserialize_u16: visit_u16;
        deserialize_u32: visit_u32;
        deserialize_u64: visit_u64;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}
