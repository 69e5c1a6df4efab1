use std::fmt;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::mem;
use std::os::fd::OwnedFd;
use std::time::SystemTime;

use bytes::Bytes;

use crate::{Array, Date, Dictionary, Endpoint, ErrorValue, Fd, SharedMemory, Uuid};

/// One XPC value.
///
/// `From` turns Rust's own types into it, so that the methods which take `impl Into<Object>` can be given plain values:
/// `bool`, `i64`/`i32`, `u64`/`u32`, `f64`, `&str`/`String`, bytes, [`Uuid`], [`Date`]/`SystemTime`,
/// [`Fd`]/`OwnedFd`/`File`, [`SharedMemory`], [`Endpoint`], [`Array`], [`Dictionary`], and `()` for null.
///
/// `Debug` prints a value as `xpc_copy_description` does, without the addresses.
#[doc(alias = "xpc_object_t")]
#[doc(alias = "xpc_hash")]
#[doc(alias = "xpc_equal")]
#[doc(alias = "xpc_copy")]
#[doc(alias = "xpc_copy_description")]
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Object {
    /// Nothing.
    #[doc(alias = "xpc_null_create")]
    Null,
    /// True or false.
    #[doc(alias = "xpc_bool_create")]
    #[doc(alias = "xpc_bool_get_value")]
    #[doc(alias = "XPC_BOOL_TRUE")]
    #[doc(alias = "XPC_BOOL_FALSE")]
    Bool(bool),
    /// A signed number.
    #[doc(alias = "xpc_int64_create")]
    #[doc(alias = "xpc_int64_get_value")]
    Int64(i64),
    /// An unsigned number.
    #[doc(alias = "xpc_uint64_create")]
    #[doc(alias = "xpc_uint64_get_value")]
    Uint64(u64),
    /// A floating-point number.
    #[doc(alias = "xpc_double_create")]
    #[doc(alias = "xpc_double_get_value")]
    Double(f64),
    /// A point in time.
    #[doc(alias = "xpc_date_create")]
    Date(Date),
    /// Bytes; cloning shares them.
    #[doc(alias = "xpc_data_create")]
    #[doc(alias = "xpc_data_get_length")]
    #[doc(alias = "xpc_data_get_bytes_ptr")]
    #[doc(alias = "xpc_data_get_bytes")]
    Data(Bytes),
    /// Text. A NUL in it is an error when it is sent: XPC's strings are C strings.
    #[doc(alias = "xpc_string_create")]
    #[doc(alias = "xpc_string_get_length")]
    #[doc(alias = "xpc_string_get_string_ptr")]
    String(String),
    /// An identifier.
    #[doc(alias = "xpc_uuid_create")]
    Uuid(Uuid),
    /// A file descriptor.
    #[doc(alias = "xpc_fd_create")]
    Fd(Fd),
    /// Memory that sender and receiver see.
    #[doc(alias = "xpc_shmem_create")]
    SharedMemory(SharedMemory),
    /// The way to an anonymous listener.
    #[doc(alias = "xpc_endpoint_create")]
    Endpoint(Endpoint),
    /// An error object of libxpc's. Sending it is an error.
    Error(ErrorValue),
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
    #[doc(alias = "XPC_TYPE_NULL")]
    Null,
    #[doc(alias = "XPC_TYPE_BOOL")]
    Bool,
    #[doc(alias = "XPC_TYPE_INT64")]
    Int64,
    #[doc(alias = "XPC_TYPE_UINT64")]
    Uint64,
    #[doc(alias = "XPC_TYPE_DOUBLE")]
    Double,
    #[doc(alias = "XPC_TYPE_DATE")]
    Date,
    #[doc(alias = "XPC_TYPE_DATA")]
    Data,
    #[doc(alias = "XPC_TYPE_STRING")]
    String,
    #[doc(alias = "XPC_TYPE_UUID")]
    Uuid,
    #[doc(alias = "XPC_TYPE_FD")]
    Fd,
    #[doc(alias = "XPC_TYPE_SHMEM")]
    SharedMemory,
    #[doc(alias = "XPC_TYPE_ENDPOINT")]
    Endpoint,
    #[doc(alias = "XPC_TYPE_ERROR")]
    Error,
    #[doc(alias = "XPC_TYPE_ARRAY")]
    Array,
    #[doc(alias = "XPC_TYPE_DICTIONARY")]
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
            Self::Fd => "fd",
            Self::SharedMemory => "shmem",
            Self::Endpoint => "endpoint",
            Self::Error => "error",
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
            Self::Fd(_) => Type::Fd,
            Self::SharedMemory(_) => Type::SharedMemory,
            Self::Endpoint(_) => Type::Endpoint,
            Self::Error(_) => Type::Error,
            Self::Array(_) => Type::Array,
            Self::Dictionary(_) => Type::Dictionary,
            Self::Foreign(kind) => *kind,
        }
    }
}

/// Agrees with `==`: the two zeros of a double are equal, so they hash alike.
impl Hash for Object {
    fn hash<H: Hasher>(&self, state: &mut H) {
        mem::discriminant(self).hash(state);
        match self {
            Self::Null => {}
            Self::Bool(value) => value.hash(state),
            Self::Int64(value) => value.hash(state),
            Self::Uint64(value) => value.hash(state),
            Self::Double(value) => (if *value == 0.0 { 0.0 } else { *value }).to_bits().hash(state),
            Self::Date(value) => value.hash(state),
            Self::Data(value) => value.hash(state),
            Self::String(value) => value.hash(state),
            Self::Uuid(value) => value.hash(state),
            Self::Fd(value) => value.hash(state),
            Self::SharedMemory(value) => value.hash(state),
            Self::Endpoint(value) => value.hash(state),
            Self::Error(value) => value.hash(state),
            Self::Array(value) => value.hash(state),
            Self::Dictionary(value) => value.hash(state),
            Self::Foreign(kind) => kind.hash(state),
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
    Fd => |value| Self::Fd(value);
    &Fd => |value| Self::Fd(value.clone());
    OwnedFd => |value| Self::Fd(value.into());
    File => |value| Self::Fd(value.into());
    SharedMemory => |value| Self::SharedMemory(value);
    &SharedMemory => |value| Self::SharedMemory(value.clone());
    Endpoint => |value| Self::Endpoint(value);
    &Endpoint => |value| Self::Endpoint(value.clone());
    Array => |value| Self::Array(value);
    Dictionary => |value| Self::Dictionary(value);
}

macro_rules! try_from {
    ($($variant:ident => $target:ty;)*) => {$(
        /// Takes the value out; one of another type is given back.
        impl TryFrom<Object> for $target {
            type Error = Object;

            fn try_from(object: Object) -> Result<Self, Object> {
                match object {
                    Object::$variant(value) => Ok(value),
                    other => Err(other),
                }
            }
        }
    )*};
}

try_from! {
    Bool => bool;
    Int64 => i64;
    Uint64 => u64;
    Double => f64;
    Date => Date;
    Data => Bytes;
    String => String;
    Uuid => Uuid;
    Fd => Fd;
    SharedMemory => SharedMemory;
    Endpoint => Endpoint;
    Error => ErrorValue;
    Array => Array;
    Dictionary => Dictionary;
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

    use super::*;
    use crate::ValueError;

    fn hash(object: &Object) -> u64 {
        BuildHasherDefault::<DefaultHasher>::default().hash_one(object)
    }

    #[test]
    fn equal_values_hash_alike() {
        assert_eq!(Object::from(0.0), Object::from(-0.0));
        assert_eq!(hash(&0.0.into()), hash(&(-0.0).into()));
        let message = || Object::from(crate::dictionary! { "list" => crate::array![1_i64, "a"], "data" => vec![1_u8] });
        assert_eq!(hash(&message()), hash(&message()));
        assert_ne!(hash(&1_i64.into()), hash(&1_u64.into()));
    }

    #[test]
    fn values_are_taken_out_by_type() {
        assert_eq!(String::try_from(Object::from("a")), Ok("a".to_owned()));
        assert_eq!(i64::try_from(Object::from("a")), Err(Object::from("a")));
    }

    #[test]
    fn getters_of_arrays_tell_missing_from_wrong_type() {
        let list = crate::array![1_i64, "a", ()];
        assert_eq!((list.int64(0), list.string(1)), (Ok(1), Ok("a")));
        assert_eq!(list.bool(3), Err(ValueError::Missing { key: "[3]".into() }));
        let wrong = ValueError::WrongType { key: "[2]".into(), expected: Type::String, found: Type::Null };
        assert_eq!(list.string(2), Err(wrong));
        assert!(crate::array![].is_empty() && crate::dictionary! {}.is_empty());
    }
}
