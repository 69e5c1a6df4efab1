//! serde's traits for the values of this crate. In formats of text, a uuid is text; a date is its nanoseconds everywhere.

use std::fmt;

use serde_core::de::{self, Deserialize, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde_core::ser::{self, Serialize, Serializer};

use super::names;
use crate::{Array, Date, Dictionary, Object, Type, Uuid};

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(names::DATE, &self.nanoseconds())
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DateVisitor;
        impl<'de> Visitor<'de> for DateVisitor {
            type Value = Date;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("date")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Date, D::Error> {
                i64::deserialize(deserializer).map(Date::from_nanoseconds)
            }
        }
        deserializer.deserialize_newtype_struct(names::DATE, DateVisitor)
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Raw<'a>(&'a [u8]);
        impl Serialize for Raw<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(self.0)
            }
        }
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        serializer.serialize_newtype_struct(names::UUID, &Raw(self.as_bytes()))
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UuidVisitor;
        impl<'de> Visitor<'de> for UuidVisitor {
            type Value = Uuid;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("uuid")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Uuid, D::Error> {
                deserializer.deserialize_bytes(self)
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Uuid, E> {
                let bytes: Result<[u8; 16], _> = bytes.try_into();
                bytes.map(Uuid::from_bytes).map_err(|_| E::invalid_length(16, &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Uuid, E> {
                text.parse().map_err(E::custom)
            }
        }
        if deserializer.is_human_readable() {
            return deserializer.deserialize_str(UuidVisitor);
        }
        deserializer.deserialize_newtype_struct(names::UUID, UuidVisitor)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int64(value) => serializer.serialize_i64(*value),
            Self::Uint64(value) => serializer.serialize_u64(*value),
            Self::Double(value) => serializer.serialize_f64(*value),
            Self::Date(value) => value.serialize(serializer),
            Self::Data(value) => serializer.serialize_bytes(value),
            Self::String(value) => serializer.serialize_str(value),
            Self::Uuid(value) => value.serialize(serializer),
            Self::Array(value) => value.serialize(serializer),
            Self::Dictionary(value) => value.serialize(serializer),
            other => Err(ser::Error::custom(format_args!("a value of type {} has no bytes", other.kind()))),
        }
    }
}

impl Serialize for Array {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl Serialize for Dictionary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(names::OBJECT, ObjectVisitor)
    }
}

impl<'de> Deserialize<'de> for Array {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

impl<'de> Deserialize<'de> for Dictionary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DictionaryVisitor;
        impl<'de> Visitor<'de> for DictionaryVisitor {
            type Value = Dictionary;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("dictionary")
            }

            fn visit_map<A: MapAccess<'de>>(self, values: A) -> Result<Dictionary, A::Error> {
                dictionary(values)
            }
        }
        deserializer.deserialize_map(DictionaryVisitor)
    }
}

fn dictionary<'de, A: MapAccess<'de>>(mut values: A) -> Result<Dictionary, A::Error> {
    let mut dictionary = Dictionary::new();
    while let Some((key, value)) = values.next_entry::<String, Object>()? {
        dictionary.insert(key, value);
    }
    Ok(dictionary)
}

struct ObjectVisitor;

macro_rules! scalars {
    ($($method:ident: $type:ty;)*) => {$(
        fn $method<E: de::Error>(self, value: $type) -> Result<Object, E> {
            Ok(value.into())
        }
    )*};
}

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    scalars! {
        visit_bool: bool;
        visit_i64: i64;
        visit_u64: u64;
        visit_f64: f64;
        visit_str: &str;
        visit_string: String;
        visit_bytes: &[u8];
        visit_byte_buf: Vec<u8>;
    }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("value that XPC knows")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Object, E> {
        Ok(Object::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Object, E> {
        Ok(Object::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Object, D::Error> {
        deserializer.deserialize_any(self)
    }

    /// Formats that know nothing of the name.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Object, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Object, A::Error> {
        let mut array = Vec::new();
        while let Some(value) = values.next_element()? {
            array.push(value);
        }
        Ok(Object::Array(array.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, values: A) -> Result<Object, A::Error> {
        dictionary(values).map(Object::Dictionary)
    }

    /// What this crate's own format says of what serde has no word for.
    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<Object, A::Error> {
        let (name, value) = variant.variant::<String>()?;
        let kind = match name.as_str() {
            names::DATE => return value.newtype_variant().map(Object::Date),
            names::UUID => return value.newtype_variant().map(Object::Uuid),
            names::FD => Type::Fd,
            names::SHARED_MEMORY => Type::SharedMemory,
            names::ENDPOINT => Type::Endpoint,
            name => return Err(de::Error::unknown_variant(name, &[])),
        };
        value.unit_variant().map(|()| Object::Foreign(kind))
    }
}
