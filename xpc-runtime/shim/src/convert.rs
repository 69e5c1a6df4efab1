//! Between objects and the plain values that `xpc-portable` sends.

use std::ffi::CString;
use std::sync::Mutex;

use xpc_object::{Date, Dictionary, EncodeError, Object as Plain, Type, Uuid};

use crate::dictionary;
use crate::lock;
use crate::object::{Object, Ref};
use crate::value::{self, Value};

/// What the object holds. Objects that are no values are an error.
pub fn to_rust(object: &Object) -> Result<Plain, EncodeError> {
    Ok(match object.value() {
        Value::Null => Plain::Null,
        Value::Bool(value) => Plain::Bool(*value),
        Value::Int64(value) => Plain::Int64(*value),
        Value::Uint64(value) => Plain::Uint64(*value),
        Value::Double(value) => Plain::Double(*value),
        Value::Date(value) => Plain::Date(Date::from_nanoseconds(*value)),
        Value::Data(value) => Plain::Data(value.clone()),
        Value::String(value) => Plain::String(value.to_string_lossy().into_owned()),
        Value::Uuid(value) => Plain::Uuid(Uuid::from_bytes(*value)),
        Value::Array(values) => {
            Plain::Array(lock(values).iter().map(|value| to_rust(value)).collect::<Result<Vec<_>, _>>()?.into())
        }
        Value::Dictionary(dictionary) => Plain::Dictionary(contents(dictionary)?),
        Value::Endpoint(value) => Plain::Endpoint(value.clone()),
        Value::Fd(value) => Plain::Fd(value.clone()),
        Value::SharedMemory(value) => Plain::SharedMemory(value.clone()),
        Value::Activity(_)
        | Value::Connection(_)
        | Value::Session(_)
        | Value::Listener(_)
        | Value::RichError(_)
        | Value::PeerRequirement(_)
        | Value::Error(_) => return Err(EncodeError::Unsendable(Type::Unknown)),
    })
}

pub fn contents(dictionary: &dictionary::Dictionary) -> Result<Dictionary, EncodeError> {
    let entry = |(key, value): (&CString, &Ref)| Ok((key.to_string_lossy().into_owned(), to_rust(value)?));
    lock(&dictionary.entries).iter().map(entry).collect()
}

/// An object that holds the value.
pub fn from_rust(value: &Plain) -> Ref {
    Ref::new(match value {
        Plain::Null => Value::Null,
        Plain::Bool(true) => return Ref::constant(&value::_xpc_bool_true),
        Plain::Bool(false) => return Ref::constant(&value::_xpc_bool_false),
        Plain::Int64(value) => Value::Int64(*value),
        Plain::Uint64(value) => Value::Uint64(*value),
        Plain::Double(value) => Value::Double(*value),
        Plain::Date(value) => Value::Date(value.nanoseconds()),
        Plain::Data(value) => Value::Data(value.clone()),
        Plain::String(value) => Value::String(c_string(value)),
        Plain::Uuid(value) => Value::Uuid(*value.as_bytes()),
        Plain::Array(values) => Value::Array(Mutex::new(values.iter().map(from_rust).collect())),
        Plain::Dictionary(contents) => Value::Dictionary(dictionary(contents)),
        Plain::Endpoint(value) => Value::Endpoint(value.clone()),
        Plain::Fd(value) => Value::Fd(value.clone()),
        Plain::SharedMemory(value) => Value::SharedMemory(value.clone()),
        other => misuse!("the transport delivered a value of type {}, which the shim does not know", other.kind()),
    })
}

pub fn dictionary(contents: &Dictionary) -> dictionary::Dictionary {
    let entries = contents.iter().map(|(key, value)| (c_string(key), from_rust(value)));
    dictionary::Dictionary::with(entries.collect())
}

fn c_string(text: &str) -> CString {
    CString::new(text).expect("the wire has no text with a NUL in it")
}
