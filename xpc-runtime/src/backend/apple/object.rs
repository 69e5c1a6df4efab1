//! XPC objects with their reference count, and the way between them and plain values.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::slice;

use xpc_object::limits::MAX_DEPTH;
use xpc_object::{Array, Bytes, Date, Dictionary, EncodeError, Endpoint, Object, Type, Uuid};

use super::block::with_applier;
use super::listener::Boxed;
use super::memory;
use super::raw::*;

/// One reference to an XPC object.
#[derive(Debug)]
pub(super) struct Retained(NonNull<xpc_object_s>);

// SAFETY: XPC's reference counts are atomic. The objects here are connections, which are thread-safe, and messages,
// which nobody changes once they are shared: `set_value` happens only to one that this crate has just made.
unsafe impl Send for Retained {}
// SAFETY: as above.
unsafe impl Sync for Retained {}

impl Retained {
    /// Takes over a reference that C has returned as retained.
    ///
    /// # Safety
    /// `object` is null, or the caller owns one reference to it, and gives that away.
    pub unsafe fn owned(object: xpc_object_t) -> Option<Self> {
        NonNull::new(object).map(Self)
    }

    /// Adds a reference to an object that C has lent.
    ///
    /// # Safety
    /// `object` is null, or an object that is alive during the call.
    pub unsafe fn borrowed(object: xpc_object_t) -> Option<Self> {
        let object = NonNull::new(object)?;
        // SAFETY: alive, by this function's contract.
        unsafe { xpc_retain(object.as_ptr()) };
        Some(Self(object))
    }

    pub fn as_ptr(&self) -> xpc_object_t {
        self.0.as_ptr()
    }
}

impl Clone for Retained {
    fn clone(&self) -> Self {
        // SAFETY: this reference keeps the object alive.
        unsafe { xpc_retain(self.as_ptr()) };
        Self(self.0)
    }
}

impl Drop for Retained {
    fn drop(&mut self) {
        // SAFETY: this reference is given back once, here.
        unsafe { xpc_release(self.as_ptr()) };
    }
}

/// A dictionary with these contents.
pub(super) fn dictionary(contents: &Dictionary) -> Result<Retained, EncodeError> {
    // SAFETY: no keys and no values are read, since their number is zero. The result is owned and not null.
    let object = expect(unsafe { Retained::owned(xpc_dictionary_create(ptr::null(), ptr::null(), 0)) });
    fill(&object, contents, 1)?;
    Ok(object)
}

/// Puts these contents into a dictionary that nobody else has seen yet.
pub(super) fn fill(object: &Retained, contents: &Dictionary, depth: usize) -> Result<(), EncodeError> {
    if depth > MAX_DEPTH {
        return Err(EncodeError::TooDeep);
    }
    for (key, value) in contents.iter() {
        let key = CString::new(key).map_err(|_| EncodeError::NulInKey(key.to_owned()))?;
        let value = from_rust(value, depth + 1)?;
        // SAFETY: `object` is a dictionary, the key a C string that is copied, the value an object that is retained.
        unsafe { xpc_dictionary_set_value(object.as_ptr(), key.as_ptr(), value.as_ptr()) };
    }
    Ok(())
}

fn from_rust(value: &Object, depth: usize) -> Result<Retained, EncodeError> {
    // SAFETY: each constructor copies what it is given: numbers, a pointer with the length that it has, a C string,
    // sixteen bytes, a descriptor that is open as long as its value. Each returns an owned object.
    let object = unsafe {
        Retained::owned(match value {
            Object::Null => xpc_null_create(),
            Object::Bool(value) => xpc_bool_create(*value),
            Object::Int64(value) => xpc_int64_create(*value),
            Object::Uint64(value) => xpc_uint64_create(*value),
            Object::Double(value) => xpc_double_create(*value),
            Object::Date(value) => xpc_date_create(value.nanoseconds()),
            Object::Data(bytes) => xpc_data_create(bytes.as_ptr().cast(), bytes.len()),
            Object::String(text) => {
                let text = CString::new(text.as_str()).map_err(|_| EncodeError::NulInString(text.clone()))?;
                xpc_string_create(text.as_ptr())
            }
            Object::Uuid(uuid) => xpc_uuid_create(uuid.as_bytes().as_ptr()),
            Object::Array(values) => return array(values, depth),
            Object::Dictionary(contents) => {
                let object = expect(Retained::owned(xpc_dictionary_create(ptr::null(), ptr::null(), 0)));
                fill(&object, contents, depth)?;
                return Ok(object);
            }
            // Duplicated by libxpc, if there is room for one more.
            Object::Fd(fd) => {
                return Retained::owned(xpc_fd_create(fd.as_raw_fd())).ok_or_else(|| EncodeError::Attachment {
                    kind: Type::Fd,
                    reason: std::io::Error::last_os_error().to_string(),
                });
            }
            Object::Endpoint(endpoint) => {
                let boxed = endpoint.handle::<Boxed>().ok_or(EncodeError::Unsendable(Type::Endpoint))?;
                return Ok(boxed.0.clone());
            }
            Object::SharedMemory(value) => {
                return memory::boxed(value).ok_or(EncodeError::Unsendable(Type::SharedMemory));
            }
            other => return Err(EncodeError::Unsendable(other.kind())),
        })
    };
    Ok(expect(object))
}

fn array(values: &Array, depth: usize) -> Result<Retained, EncodeError> {
    if depth > MAX_DEPTH {
        return Err(EncodeError::TooDeep);
    }
    // SAFETY: no values are read, since their number is zero. The result is owned and not null.
    let object = expect(unsafe { Retained::owned(xpc_array_create(ptr::null(), 0)) });
    for value in values {
        let value = from_rust(value, depth + 1)?;
        // SAFETY: an array of this function's own, and an object that it retains.
        unsafe { xpc_array_append_value(object.as_ptr(), value.as_ptr()) };
    }
    Ok(object)
}

fn expect(object: Option<Retained>) -> Retained {
    object.expect("libxpc aborts where it cannot make an object")
}

/// Whether an object is of one of the types, given by the address of its constant.
pub(super) fn is_dictionary(object: &Retained) -> bool {
    // SAFETY: the reference keeps the object alive; the constant's address is taken, its contents are not touched.
    unsafe { ptr::eq(xpc_get_type(object.as_ptr()), &raw const _xpc_type_dictionary) }
}

/// As [`is_dictionary`], for a connection.
pub(super) fn is_connection(object: &Retained) -> bool {
    // SAFETY: as in `is_dictionary`.
    unsafe { ptr::eq(xpc_get_type(object.as_ptr()), &raw const _xpc_type_connection) }
}

/// The contents of a dictionary.
pub(super) fn contents(object: &Retained) -> Dictionary {
    debug_assert!(is_dictionary(object));
    // SAFETY: a live dictionary.
    unsafe { dictionary_to_rust(object.as_ptr(), 1) }
}

/// # Safety
/// `object` is a live dictionary.
unsafe fn dictionary_to_rust(object: xpc_object_t, depth: usize) -> Dictionary {
    let mut dictionary = Dictionary::new();
    let mut visit = |key: &CStr, value| {
        // SAFETY: a dictionary's values live as long as it does.
        let value = unsafe { to_rust(value, depth + 1) };
        dictionary.insert(key.to_string_lossy(), value);
    };
    // SAFETY: a live dictionary, by this function's contract, and a block with the signature of an applier.
    with_applier(&mut visit, |block| unsafe { xpc_dictionary_apply(object, block) });
    dictionary
}

/// # Safety
/// `object` is alive.
unsafe fn to_rust(object: xpc_object_t, depth: usize) -> Object {
    // SAFETY: alive, by this function's contract. A duplicated descriptor is the caller's. Each getter is called for an object of its own type only. Pointers
    // into an object are valid as long as it is, and the bytes behind them are copied at once; a null pointer comes
    // with a length of zero only.
    unsafe {
        let kind = xpc_get_type(object);
        let is = |constant: *const xpc_type_s| ptr::eq(kind, constant);
        if is(&raw const _xpc_type_null) {
            Object::Null
        } else if is(&raw const _xpc_type_bool) {
            Object::Bool(xpc_bool_get_value(object))
        } else if is(&raw const _xpc_type_int64) {
            Object::Int64(xpc_int64_get_value(object))
        } else if is(&raw const _xpc_type_uint64) {
            Object::Uint64(xpc_uint64_get_value(object))
        } else if is(&raw const _xpc_type_double) {
            Object::Double(xpc_double_get_value(object))
        } else if is(&raw const _xpc_type_date) {
            Object::Date(Date::from_nanoseconds(xpc_date_get_value(object)))
        } else if is(&raw const _xpc_type_data) {
            Object::Data(Bytes::copy_from_slice(bytes(
                xpc_data_get_bytes_ptr(object).cast(),
                xpc_data_get_length(object),
            )))
        } else if is(&raw const _xpc_type_string) {
            // A foreign sender's string may not be UTF-8.
            Object::String(
                String::from_utf8_lossy(bytes(xpc_string_get_string_ptr(object).cast(), xpc_string_get_length(object)))
                    .into_owned(),
            )
        } else if is(&raw const _xpc_type_uuid) {
            let mut uuid = [0; 16];
            uuid.copy_from_slice(bytes(xpc_uuid_get_bytes(object), 16));
            Object::Uuid(Uuid::from_bytes(uuid))
        } else if is(&raw const _xpc_type_array) {
            if depth > MAX_DEPTH {
                return Object::Foreign(Type::Array);
            }
            Object::Array(
                (0..xpc_array_get_count(object))
                    .map(|index| to_rust(xpc_array_get_value(object, index), depth + 1))
                    .collect(),
            )
        } else if is(&raw const _xpc_type_dictionary) {
            if depth > MAX_DEPTH {
                return Object::Foreign(Type::Dictionary);
            }
            Object::Dictionary(dictionary_to_rust(object, depth))
        } else if is(&raw const _xpc_type_fd) {
            match xpc_fd_dup(object) {
                // This process has too many open.
                ..0 => Object::Foreign(Type::Fd),
                descriptor => Object::Fd(OwnedFd::from_raw_fd(descriptor).into()),
            }
        } else if is(&raw const _xpc_type_shmem) {
            let memory = Retained::borrowed(object).and_then(memory::received);
            // This process has no room for it.
            memory.map_or(Object::Foreign(Type::SharedMemory), Object::SharedMemory)
        } else if is(&raw const _xpc_type_endpoint) {
            Retained::borrowed(object)
                .map_or(Object::Foreign(Type::Endpoint), |object| Object::Endpoint(Endpoint::new(Boxed(object))))
        } else {
            Object::Foreign(Type::Unknown)
        }
    }
}

/// # Safety
/// `pointer` is null and `length` zero, or there are `length` bytes at `pointer` that live and do not change for as
/// long as the result is used.
unsafe fn bytes<'a>(pointer: *const u8, length: usize) -> &'a [u8] {
    if pointer.is_null() {
        return &[];
    }
    // SAFETY: by this function's contract.
    unsafe { slice::from_raw_parts(pointer, length) }
}
