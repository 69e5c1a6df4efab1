use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;

use crate::{Array, Date, Dictionary, Uuid};

/// One XPC value.
///
/// `From` turns Rust's own types into it, so that the methods which take `impl Into<Object>` can be given plain values:
/// `bool`, `i64`/`i32`, `u64`/`u32`, `f64`, `&str`/`String`, bytes, [`Uuid`], [`Date`]/`SystemTime`, [`Array`],
/// [`Dictionary`], and `()` for null.
///
/// `Debug` prints a value as `xpc_copy_description` does, without the addresses.
#[doc(alias = "xpc_object_t")]
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Object {
    /// Nothing.
    #[doc(alias = "xpc_null_create")]
    Null,
    /// True or false.
    #[doc(alias = "xpc_bool_create")]
    Bool(bool),
    /// A signed number.
    #[doc(alias = "xpc_int64_create")]
    Int64(i64),
    /// An unsigned number.
    #[doc(alias = "xpc_uint64_create")]
    Uint64(u64),
    /// A floating-point number.
    #[doc(alias = "xpc_double_create")]
    Double(f64),
    /// A point in time.
    #[doc(alias = "xpc_date_create")]
    Date(Date),
    /// Bytes; cloning shares them.
    #[doc(alias = "xpc_data_create")]
    Data(Bytes),
    /// Text. A NUL in it is an error when it is sent: XPC's strings are C strings.
    #[doc(alias = "xpc_string_create")]
    String(String),
    /// An identifier.
    #[doc(alias = "xpc_uuid_create")]
    Uuid(Uuid),
    /// A list.
    #[doc(alias = "xpc_array_create")]
    Array(Array),
    /// Values by key.
    #[doc(alias = "xpc_dictionary_create")]
    Dictionary(Dictionary),
    /// A received value of a type that this version can only name: a typed getter reports it as the wrong type, and
    /// sending it is an error.
    Foreign(Type),
}

/// The type of an [`Object`]; prints as in `xpc_copy_description`.
#[doc(alias = "xpc_type_t")]
#[doc(alias = "xpc_type_get_name")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the variant of `Object` with that name")]
pub enum Type {
    Null,
    Bool,
    Int64,
    Uint64,
    Double,
    Date,
    Data,
    String,
    Uuid,
    Array,
    Dictionary,
    /// A type that this version does not know.
    Unknown,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Int64 => "int64",
            Self::Uint64 => "uint64",
            Self::Double => "double",
            Self::Date => "date",
            Self::Data => "data",
            Self::String => "string",
            Self::Uuid => "uuid",
            Self::Array => "array",
            Self::Dictionary => "dictionary",
            Self::Unknown => "unknown",
        })
    }
}

impl Object {
    /// What kind of value this is.
    #[doc(alias = "xpc_get_type")]
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
            Self::Array(_) => Type::Array,
            Self::Dictionary(_) => Type::Dictionary,
            Self::Foreign(kind) => *kind,
        }
    }
}

macro_rules! from {
    ($($source:ty => |$value:ident| $object:expr;)*) => {$(
        impl From<$source> for Object {
            fn from($value: $source) -> Self {
                $object
            }
        }
    )*};
}

from! {
    () => |_unit| Self::Null;
    bool => |value| Self::Bool(value);
    i64 => |value| Self::Int64(value);
    i32 => |value| Self::Int64(value.into());
    u64 => |value| Self::Uint64(value);
    u32 => |value| Self::Uint64(value.into());
    f64 => |value| Self::Double(value);
    Date => |value| Self::Date(value);
    SystemTime => |value| Self::Date(value.into());
    Bytes => |value| Self::Data(value);
    Vec<u8> => |value| Self::Data(value.into());
    &[u8] => |value| Self::Data(Bytes::copy_from_slice(value));
    &str => |value| Self::String(value.to_owned());
    &String => |value| Self::String(value.clone());
    String => |value| Self::String(value);
    Uuid => |value| Self::Uuid(value);
    Array => |value| Self::Array(value);
    Dictionary => |value| Self::Dictionary(value);
}
