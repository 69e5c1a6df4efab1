use std::collections::{BTreeMap, btree_map};

use bytes::Bytes;

use crate::{Array, Date, Endpoint, Fd, Object, SharedMemory, Type, Uuid, ValueError};

/// Values by key: what every message is.
///
/// The order of keys means nothing to XPC; this type keeps them sorted, so that equal dictionaries have equal
/// encodings.
///
/// The typed getters ([`string`](Self::string), [`int64`](Self::int64) and so on) tell a missing key from a value of
/// another type, where C's return zero for both. [`get`](Self::get) gives whatever is there.
#[doc(alias = "xpc_dictionary_create")]
#[derive(Clone, PartialEq, Hash, Default)]
pub struct Dictionary(BTreeMap<String, Object>);

impl Dictionary {
    /// A dictionary without values.
    #[doc(alias = "xpc_dictionary_create_empty")]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The same with one more value, for building a message in one expression.
    #[must_use = "`with` returns the dictionary; `insert` changes it in place"]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Object>) -> Self {
        self.insert(key, value);
        self
    }

    /// Puts a value under a key and returns the one that was there.
    #[doc(alias = "xpc_dictionary_set_value")]
    #[doc(alias = "xpc_dictionary_set_bool")]
    #[doc(alias = "xpc_dictionary_set_int64")]
    #[doc(alias = "xpc_dictionary_set_uint64")]
    #[doc(alias = "xpc_dictionary_set_double")]
    #[doc(alias = "xpc_dictionary_set_date")]
    #[doc(alias = "xpc_dictionary_set_data")]
    #[doc(alias = "xpc_dictionary_set_string")]
    #[doc(alias = "xpc_dictionary_set_uuid")]
    #[doc(alias = "xpc_dictionary_set_fd")]
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Object>) -> Option<Object> {
        self.0.insert(key.into(), value.into())
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &str) -> Option<Object> {
        self.0.remove(key)
    }

    /// The value under this key, of whatever type.
    #[doc(alias = "xpc_dictionary_get_value")]
    pub fn get(&self, key: &str) -> Option<&Object> {
        self.0.get(key)
    }

    /// Whether there is a value under this key.
    pub fn contains_key(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// How many keys there are.
    #[doc(alias = "xpc_dictionary_get_count")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and values, sorted by key.
    #[doc(alias = "xpc_dictionary_apply")]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Object)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}

/// What every typed getter does: tells *missing* from *wrong type*.
pub(crate) fn typed<'a, T>(
    value: Option<&'a Object>,
    key: impl Fn() -> String,
    expected: Type,
    read: impl FnOnce(&'a Object) -> Option<T>,
) -> Result<T, ValueError> {
    typed_value(value, key, expected, |value| value.kind(), |value| read(value).ok_or(value))
}

/// The same for whatever stands for a value; what `read` does not want it gives back.
pub(crate) fn typed_value<V, T>(
    value: Option<V>,
    key: impl Fn() -> String,
    expected: Type,
    kind: impl FnOnce(&V) -> Type,
    read: impl FnOnce(V) -> Result<T, V>,
) -> Result<T, ValueError> {
    let value = value.ok_or_else(|| ValueError::Missing { key: key() })?;
    read(value).map_err(|value| ValueError::WrongType { key: key(), expected, found: kind(&value) })
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident: $type:ty, $variant:ident($value:ident) => $read:expr;)*) => {
        /// Typed getters. Each fails with [`ValueError::Missing`] where there is no such key and with
        /// [`ValueError::WrongType`] where its value is of another type.
        #[expect(clippy::missing_errors_doc, reason = "stated once, for all of them")]
        impl Dictionary {$(
            $(#[$doc])*
            pub fn $name(&self, key: &str) -> Result<$type, ValueError> {
                typed(self.get(key), || key.to_owned(), Type::$variant, |value| match value {
                    Object::$variant($value) => Some($read),
                    _ => None,
                })
            }
        )*}
    };
}

getters! {
    /// The truth value under this key.
    #[doc(alias = "xpc_dictionary_get_bool")]
    bool: bool, Bool(value) => *value;
    /// The signed number under this key.
    #[doc(alias = "xpc_dictionary_get_int64")]
    int64: i64, Int64(value) => *value;
    /// The unsigned number under this key.
    #[doc(alias = "xpc_dictionary_get_uint64")]
    uint64: u64, Uint64(value) => *value;
    /// The floating-point number under this key.
    #[doc(alias = "xpc_dictionary_get_double")]
    double: f64, Double(value) => *value;
    /// The date under this key.
    #[doc(alias = "xpc_dictionary_get_date")]
    date: Date, Date(value) => *value;
    /// The bytes under this key.
    #[doc(alias = "xpc_dictionary_get_data")]
    data: &Bytes, Data(value) => value;
    /// The text under this key.
    #[doc(alias = "xpc_dictionary_get_string")]
    string: &str, String(value) => value.as_str();
    /// The identifier under this key.
    #[doc(alias = "xpc_dictionary_get_uuid")]
    uuid: Uuid, Uuid(value) => *value;
    /// The file descriptor under this key.
    #[doc(alias = "xpc_dictionary_dup_fd")]
    fd: &Fd, Fd(value) => value;
    /// The shared memory under this key.
    shared_memory: &SharedMemory, SharedMemory(value) => value;
    /// The endpoint under this key.
    endpoint: &Endpoint, Endpoint(value) => value;
    /// The list under this key.
    #[doc(alias = "xpc_dictionary_get_array")]
    array: &Array, Array(value) => value;
    /// The dictionary under this key.
    #[doc(alias = "xpc_dictionary_get_dictionary")]
    dictionary: &Dictionary, Dictionary(value) => value;
}

impl<K: Into<String>, V: Into<Object>> FromIterator<(K, V)> for Dictionary {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl<K: Into<String>, V: Into<Object>, const N: usize> From<[(K, V); N]> for Dictionary {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl IntoIterator for Dictionary {
    type Item = (String, Object);
    type IntoIter = btree_map::IntoIter<String, Object>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
