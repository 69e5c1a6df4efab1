use std::fmt::Display;

use serde_core::ser::{self, Serialize};

use super::{key, names};
use crate::encode::Encoder;
use crate::wire::{self, Flavour};
use crate::{EncodeError, Type};

/// Encodes a value as a message, straight to its bytes. The value must become a dictionary: a struct, a map, or an enum's
/// variant that holds something.
///
/// | Rust | XPC |
/// |---|---|
/// | struct, map | dictionary; keys are strings, or integers, characters and variants without content as text |
/// | sequence, tuple, tuple struct | array |
/// | `i8`…`i64` | int64 |
/// | `u8`…`u64` | uint64 |
/// | `f32`, `f64` | double |
/// | `&str`, `String`, `char` | string |
/// | what serde calls bytes: [`Bytes`](crate::Bytes), the types of the crate `serde_bytes` | data |
/// | [`Date`](crate::Date), [`Uuid`](crate::Uuid) | date, uuid |
/// | `()`, unit struct, `None` | null |
/// | `Some(value)`, newtype struct | what is in it |
/// | enum's variant without content | its name, a string |
/// | any other variant | dictionary of one value, under its name |
/// | [`Object`](crate::Object), [`Dictionary`](crate::Dictionary), [`Array`](crate::Array) | themselves |
///
/// A field that is `None` is sent as null, and read back as `None`, as is one that is not there: with
/// `#[serde(skip_serializing_if = "Option::is_none")]` it is not sent at all. `Some(())` and `Some(None)` are null too, and
/// come back as `None`. A plain `Vec<u8>` is a sequence to serde and becomes an array of numbers, twelve bytes each; use
/// [`Bytes`](crate::Bytes) or `#[serde(with = "serde_bytes")]`.
///
/// Fields stand in the order of their declaration, where a [`Dictionary`](crate::Dictionary) sorts its keys. To XPC both
/// are the same message.
///
/// # Errors
/// As [`encode_message`](crate::encode_message), and [`EncodeError::Serialize`]: 128-bit integers, a key that cannot be
/// text, a value that does not become a dictionary.
pub fn to_message<T: Serialize + ?Sized>(value: &T, flavour: Flavour) -> Result<Vec<u8>, EncodeError> {
    to_message_after(Vec::with_capacity(256), value, flavour)
}

/// As [`to_message`], behind the bytes that `buffer` already holds: a transport's own frame header.
///
/// # Errors
/// As [`to_message`].
pub fn to_message_after<T: Serialize + ?Sized>(
    buffer: Vec<u8>,
    value: &T,
    flavour: Flavour,
) -> Result<Vec<u8>, EncodeError> {
    let mut encoder = Encoder::message_after(buffer, flavour);
    let start = encoder.buffer.len();
    value.serialize(Serializer { encoder: &mut encoder, depth: 1 })?;
    let tag = encoder.buffer.get(start..).and_then(<[u8]>::first_chunk);
    if tag != Some(&wire::DICTIONARY.to_le_bytes()) {
        let reason = "it has to be a struct, a map or a variant that holds something";
        return Err(ser::Error::custom(reason));
    }
    Ok(encoder.buffer)
}

impl ser::Error for EncodeError {
    fn custom<T: Display>(reason: T) -> Self {
        Self::Serialize(reason.to_string())
    }
}

struct Serializer<'a> {
    encoder: &'a mut Encoder<'static>,
    /// How deep a container at this place would be.
    depth: usize,
}

impl<'a> Serializer<'a> {
    fn fixed<const N: usize>(self, tag: u32, body: &[u8; N]) -> Result<(), EncodeError> {
        self.encoder.count_value()?;
        self.encoder.fixed(tag, body);
        Ok(())
    }

    fn open(self, tag: u32) -> Result<Container<'a>, EncodeError> {
        self.encoder.count_value()?;
        let start = self.encoder.open(tag, 0, self.depth)?;
        Ok(Container { encoder: self.encoder, start, count: 0, depth: self.depth, variant: None })
    }

    /// Opens the dictionary of a variant, and in it what the variant holds.
    fn variant(self, name: &str, tag: u32) -> Result<Container<'a>, EncodeError> {
        let mut outer = self.open(wire::DICTIONARY)?;
        outer.key(name)?;
        let variant = Some(outer.start);
        Ok(Container { variant, ..Serializer { encoder: outer.encoder, depth: outer.depth + 1 }.open(tag)? })
    }
}

/// An array or dictionary that is being written. Its count is written at its end, since not everything knows its own.
struct Container<'a> {
    encoder: &'a mut Encoder<'static>,
    /// Where its size goes.
    start: usize,
    count: usize,
    depth: usize,
    /// Where the size of the dictionary around it goes, whose only value it is.
    variant: Option<usize>,
}

impl Container<'_> {
    #[inline(always)]
    fn key(&mut self, key: &str) -> Result<(), EncodeError> {
        self.encoder.key(key)
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.count += 1;
        value.serialize(Serializer { encoder: self.encoder, depth: self.depth + 1 })
    }

    fn close(self) -> Result<(), EncodeError> {
        self.encoder.close_counted(self.start, self.count)?;
        self.variant.map_or(Ok(()), |outer| self.encoder.close_counted(outer, 1))
    }
}

macro_rules! numbers {
    ($($method:ident: $from:ty as $to:ty, $tag:ident;)*) => {$(
        fn $method(self, value: $from) -> Result<(), EncodeError> {
            self.fixed(wire::$tag, &<$to>::from(value).to_le_bytes())
        }
    )*};
}

impl<'a> ser::Serializer for Serializer<'a> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Container<'a>;
    type SerializeTuple = Container<'a>;
    type SerializeTupleStruct = Container<'a>;
    type SerializeTupleVariant = Container<'a>;
    type SerializeMap = Container<'a>;
    type SerializeStruct = Container<'a>;
    type SerializeStructVariant = Container<'a>;

    numbers! {
        serialize_i8: i8 as i64, INT64;
        serialize_i16: i16 as i64, INT64;
        serialize_i32: i32 as i64, INT64;
        serialize_i64: i64 as i64, INT64;
        serialize_u8: u8 as u64, UINT64;
        serialize_u16: u16 as u64, UINT64;
        serialize_u32: u32 as u64, UINT64;
        serialize_u64: u64 as u64, UINT64;
        serialize_f32: f32 as f64, DOUBLE;
        serialize_f64: f64 as f64, DOUBLE;
    }

    fn serialize_i128(self, _value: i128) -> Result<(), EncodeError> {
        Err(wide())
    }

    fn serialize_u128(self, _value: u128) -> Result<(), EncodeError> {
        Err(wide())
    }

    fn serialize_bool(self, value: bool) -> Result<(), EncodeError> {
        self.fixed(wire::BOOL, &[u8::from(value), 0, 0, 0])
    }

    fn serialize_char(self, value: char) -> Result<(), EncodeError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), EncodeError> {
        self.encoder.count_value()?;
        self.encoder.string(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), EncodeError> {
        self.encoder.count_value()?;
        self.encoder.data(value)
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        self.fixed(wire::NULL, &[])
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), EncodeError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<(), EncodeError> {
        let (place, kind) = (self.encoder.buffer.len(), name);
        let Self { encoder, depth } = self;
        value.serialize(Serializer { encoder: &mut *encoder, depth })?;
        match kind {
            names::DATE => encoder.retag_date(place),
            names::UUID => encoder.retag_uuid(place),
            _ => Ok(()),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        let mut outer = self.open(wire::DICTIONARY)?;
        outer.key(variant)?;
        outer.value(value)?;
        outer.close()
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Container<'a>, EncodeError> {
        self.open(wire::ARRAY)
    }

    fn serialize_tuple(self, _length: usize) -> Result<Container<'a>, EncodeError> {
        self.open(wire::ARRAY)
    }

    fn serialize_tuple_struct(self, _name: &'static str, _length: usize) -> Result<Container<'a>, EncodeError> {
        self.open(wire::ARRAY)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Container<'a>, EncodeError> {
        self.variant(variant, wire::ARRAY)
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Container<'a>, EncodeError> {
        self.open(wire::DICTIONARY)
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Container<'a>, EncodeError> {
        self.open(wire::DICTIONARY)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Container<'a>, EncodeError> {
        self.variant(variant, wire::DICTIONARY)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

fn wide() -> EncodeError {
    ser::Error::custom("XPC has no 128-bit integers: send text or data")
}

macro_rules! sequences {
    ($($trait:ident $method:ident;)*) => {$(
        impl ser::$trait for Container<'_> {
            type Ok = ();
            type Error = EncodeError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
                self.value(value)
            }

            fn end(self) -> Result<(), EncodeError> {
                self.close()
            }
        }
    )*};
}

sequences! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

macro_rules! structs {
    ($($trait:ident)*) => {$(
        impl ser::$trait for Container<'_> {
            type Ok = ();
            type Error = EncodeError;

            // The key is a constant, whose length and bytes need no look at run time once this is in its place.
            #[inline(always)]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), EncodeError> {
                self.key(key)?;
                self.value(value)
            }

            fn end(self) -> Result<(), EncodeError> {
                self.close()
            }
        }
    )*};
}

structs! { SerializeStruct SerializeStructVariant }

impl ser::SerializeMap for Container<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        key.serialize(key::Serializer { encoder: self.encoder })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.value(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close()
    }
}

impl Encoder<'_> {
    /// Writes a container's count and size, now that they are known.
    fn close_counted(&mut self, start: usize, count: usize) -> Result<(), EncodeError> {
        let count = u32::try_from(count).map_err(|_| EncodeError::TooManyValues)?;
        if let Some(place) = self.buffer.get_mut(start..).and_then(|rest| rest.get_mut(4..8)) {
            place.copy_from_slice(&count.to_le_bytes());
        }
        self.close(start)
    }

    /// Makes the int64 at `place` a date.
    fn retag_date(&mut self, place: usize) -> Result<(), EncodeError> {
        match self.buffer.get_mut(place..) {
            Some(value) if value.starts_with(&wire::INT64.to_le_bytes()) => {
                value[..4].copy_from_slice(&wire::DATE.to_le_bytes());
                Ok(())
            }
            _ => Err(foreign(Type::Date)),
        }
    }

    /// Makes the sixteen bytes of data at `place` a uuid, which states no length.
    fn retag_uuid(&mut self, place: usize) -> Result<(), EncodeError> {
        const DATA: [[u8; 4]; 2] = [wire::DATA.to_le_bytes(), 16_u32.to_le_bytes()];
        match self.buffer.get_mut(place..) {
            Some(value) if value.starts_with(DATA.as_flattened()) => {
                value[..4].copy_from_slice(&wire::UUID.to_le_bytes());
                value.copy_within(8.., 4);
                self.buffer.truncate(self.buffer.len() - 4);
                Ok(())
            }
            _ => Err(foreign(Type::Uuid)),
        }
    }
}

fn foreign(kind: Type) -> EncodeError {
    ser::Error::custom(format_args!("a newtype has the name that xpc-object keeps for its {kind}"))
}
