//! What objects are, and the functions of those that hold one value.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::os::fd::{BorrowedFd, IntoRawFd};
use std::ptr;
use std::sync::Mutex;

use xpc_object::{Bytes, Date, Endpoint, Fd, SharedMemory};
use xpc_portable::PeerRequirement;

use crate::activity::Activity;
use crate::connection::Connection;
use crate::convert;
use crate::dictionary::Dictionary;
use crate::listener::Listener;
use crate::object::{Lent, Object, Ref};
use crate::rich_error::RichError;
use crate::session::Session;
use crate::text::{Memory, Text, to_be_freed};

/// What an object is.
pub enum Value {
    Null,
    Bool(bool),
    Int64(i64),
    Uint64(u64),
    Double(f64),
    Date(i64),
    Data(Bytes),
    String(CString),
    Uuid([u8; 16]),
    Array(Mutex<Vec<Ref>>),
    Dictionary(Dictionary),
    Connection(Connection),
    Activity(Activity),
    Endpoint(Endpoint),
    Fd(Fd),
    SharedMemory(SharedMemory),
    Session(Session),
    Listener(Listener),
    RichError(RichError),
    PeerRequirement(PeerRequirement),
    /// One of the constants; the text is what its description says.
    Error(&'static CStr),
}

/// What an `xpc_type_t` points to.
pub struct Type {
    name: &'static CStr,
}

macro_rules! types {
    ($($symbol:ident, $name:literal, $pattern:pat,)*) => {
        $(
            #[doc = concat!("`XPC_TYPE_…` of ", stringify!($name))]
            #[unsafe(no_mangle)]
            pub static $symbol: Type = Type { name: $name };
        )*

        impl Value {
            pub fn kind(&self) -> &'static Type {
                match self {
                    $($pattern => &$symbol,)*
                }
            }
        }
    };
}

types! {
    _xpc_type_null, c"null", Value::Null,
    _xpc_type_bool, c"bool", Value::Bool(_),
    _xpc_type_int64, c"int64", Value::Int64(_),
    _xpc_type_uint64, c"uint64", Value::Uint64(_),
    _xpc_type_double, c"double", Value::Double(_),
    _xpc_type_date, c"date", Value::Date(_),
    _xpc_type_data, c"data", Value::Data(_),
    _xpc_type_string, c"string", Value::String(_),
    _xpc_type_uuid, c"uuid", Value::Uuid(_),
    _xpc_type_array, c"array", Value::Array(_),
    _xpc_type_dictionary, c"dictionary", Value::Dictionary(_),
    _xpc_type_connection, c"connection", Value::Connection(_),
    _xpc_type_activity, c"activity", Value::Activity(_),
    _xpc_type_endpoint, c"endpoint", Value::Endpoint(_),
    _xpc_type_fd, c"fd", Value::Fd(_),
    _xpc_type_shmem, c"shmem", Value::SharedMemory(_),
    _xpc_type_listener, c"listener", Value::Listener(_),
    _xpc_type_session, c"session", Value::Session(_),
    _xpc_type_rich_error, c"rich error", Value::RichError(_),
    _xpc_type_peer_requirement, c"peer requirement", Value::PeerRequirement(_),
    _xpc_type_error, c"error", Value::Error(_),
}

impl Value {
    /// Aborts where the object must not go yet.
    pub fn may_go(&self) {
        match self {
            Self::Connection(connection) => connection.may_go(),
            Self::Session(session) => session.may_go(),
            Self::Listener(listener) => listener.may_go(),
            Self::Activity(activity) => activity.may_go(),
            _ => {}
        }
    }

    pub fn name(&self) -> std::borrow::Cow<'static, str> {
        self.kind().name.to_string_lossy()
    }
}

/// The boolean objects.
#[unsafe(no_mangle)]
pub static _xpc_bool_true: Object = Object::immortal(Value::Bool(true));
/// The boolean objects.
#[unsafe(no_mangle)]
pub static _xpc_bool_false: Object = Object::immortal(Value::Bool(false));

/// `xpc_type_t xpc_get_type(xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_get_type(object: Lent) -> *const Type {
    object.value().kind()
}

/// `const char *xpc_type_get_name(xpc_type_t)`
///
/// # Safety
/// A type that `xpc_get_type` returned, or one of the constants.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpc_type_get_name(kind: *const Type) -> *const c_char {
    // SAFETY: the types are constants.
    unsafe { (*kind).name.as_ptr() }
}

macro_rules! scalars {
    ($($create:ident($argument:ident: $type:ty) => $value:expr, $get:ident -> $result:ty, $pattern:pat => $read:expr;)*) => {$(
        #[doc = concat!("`", stringify!($create), "`")]
        #[unsafe(no_mangle)]
        pub extern "C" fn $create($argument: $type) -> *mut Object {
            Ref::new($value).into_owned()
        }

        #[doc = concat!("`", stringify!($get), "`")]
        #[unsafe(no_mangle)]
        pub extern "C" fn $get(object: Lent) -> $result {
            match object.value() {
                $pattern => $read,
                other => misuse!("{} is called for a {}", stringify!($get), other.name()),
            }
        }
    )*};
}

scalars! {
    xpc_int64_create(value: i64) => Value::Int64(value), xpc_int64_get_value -> i64, Value::Int64(value) => *value;
    xpc_uint64_create(value: u64) => Value::Uint64(value), xpc_uint64_get_value -> u64, Value::Uint64(value) => *value;
    xpc_double_create(value: f64) => Value::Double(value), xpc_double_get_value -> f64, Value::Double(value) => *value;
    xpc_date_create(value: i64) => Value::Date(value), xpc_date_get_value -> i64, Value::Date(value) => *value;
    xpc_string_create(text: Text) => Value::String(text.expect("the string").to_owned()),
        xpc_string_get_length -> usize, Value::String(value) => value.as_bytes().len();
    xpc_uuid_create(bytes: Memory) => Value::Uuid(bytes.bytes(16).try_into().expect("sixteen")),
        xpc_uuid_get_bytes -> *const u8, Value::Uuid(value) => value.as_ptr();
}

/// `xpc_object_t xpc_null_create(void)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_null_create() -> *mut Object {
    Ref::new(Value::Null).into_owned()
}

/// `xpc_object_t xpc_bool_create(bool)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_bool_create(value: bool) -> *mut Object {
    Ref::constant(if value { &_xpc_bool_true } else { &_xpc_bool_false }).into_owned()
}

/// `bool xpc_bool_get_value(xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_bool_get_value(object: Lent) -> bool {
    match object.value() {
        Value::Bool(value) => *value,
        other => misuse!("xpc_bool_get_value is called for a {}", other.name()),
    }
}

/// `xpc_object_t xpc_date_create_from_current(void)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_date_create_from_current() -> *mut Object {
    xpc_date_create(Date::now().nanoseconds())
}

/// `const char *xpc_string_get_string_ptr(xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_string_get_string_ptr(object: Lent) -> *const c_char {
    match object.value() {
        Value::String(value) => value.as_ptr(),
        other => misuse!("xpc_string_get_string_ptr is called for a {}", other.name()),
    }
}

/// `xpc_object_t xpc_fd_create(int)`
///
/// # Safety
/// A number that is no open descriptor's, or one that stays open during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpc_fd_create(descriptor: c_int) -> *mut Object {
    if descriptor < 0 {
        return ptr::null_mut();
    }
    // SAFETY: as long as the call, by this function's contract.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned();
    descriptor.map_or(ptr::null_mut(), |descriptor| Ref::new(Value::Fd(descriptor.into())).into_owned())
}

/// `int xpc_fd_dup(xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_fd_dup(object: Lent) -> c_int {
    match object.value() {
        Value::Fd(fd) => fd.try_clone_to_owned().map_or(-1, IntoRawFd::into_raw_fd),
        other => misuse!("xpc_fd_dup is called for a {}", other.name()),
    }
}

/// `xpc_object_t xpc_data_create(const void *, size_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_data_create(bytes: Memory, length: usize) -> *mut Object {
    Ref::new(Value::Data(Bytes::copy_from_slice(bytes.bytes(length)))).into_owned()
}

pub(crate) fn data<'a>(object: Lent, function: &str) -> &'a Bytes {
    match object.value() {
        Value::Data(value) => value,
        other => misuse!("{function} is called for a {}", other.name()),
    }
}

/// `size_t xpc_data_get_length(xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_data_get_length(object: Lent) -> usize {
    data(object, "xpc_data_get_length").len()
}

/// `const void *xpc_data_get_bytes_ptr(xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_data_get_bytes_ptr(object: Lent) -> *const c_void {
    let data = data(object, "xpc_data_get_bytes_ptr");
    if data.is_empty() { ptr::null() } else { data.as_ptr().cast() }
}

/// `size_t xpc_data_get_bytes(xpc_object_t, void *, size_t, size_t)`
///
/// # Safety
/// There is room for `length` bytes at `buffer`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpc_data_get_bytes(object: Lent, buffer: *mut c_void, offset: usize, length: usize) -> usize {
    let data = data(object, "xpc_data_get_bytes");
    let part = &data[offset.min(data.len())..];
    let part = &part[..length.min(part.len())];
    // SAFETY: as much room as `length` says, by this function's contract, and no more bytes than that.
    unsafe { ptr::copy_nonoverlapping(part.as_ptr(), buffer.cast(), part.len()) };
    part.len()
}

/// `bool xpc_equal(xpc_object_t, xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_equal(one: Lent, other: Lent) -> bool {
    match (convert::to_rust(one.get()), convert::to_rust(other.get())) {
        (Ok(one), Ok(other)) => one == other,
        _ => ptr::eq(one.get(), other.get()),
    }
}

/// `size_t xpc_hash(xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_hash(object: Lent) -> usize {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let hash = match convert::to_rust(object.get()) {
        Ok(value) => hasher.hash_one(value),
        Err(_) => hasher.hash_one(object.as_ptr().addr()),
    };
    hash as usize
}

/// `xpc_object_t xpc_copy(xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_copy(object: Lent) -> *mut Object {
    match convert::to_rust(object.get()) {
        Ok(value) => convert::from_rust(&value).into_owned(),
        Err(_) => ptr::null_mut(),
    }
}

/// `char *xpc_copy_description(xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_copy_description(object: Lent) -> *mut c_char {
    let text = match (object.value(), convert::to_rust(object.get())) {
        (Value::Error(text), _) => text.to_string_lossy().into_owned(),
        (Value::RichError(error), _) => error.description.to_string_lossy().into_owned(),
        (_, Ok(value)) => format!("{value:?}"),
        (other, Err(_)) => format!("<{}: {:p}>", other.name(), object.as_ptr()),
    };
    to_be_freed(&CString::new(text.replace('\0', "")).expect("without NULs"))
}
