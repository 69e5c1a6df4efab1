use std::ops::{Deref, DerefMut};

use crate::dictionary::typed;
use crate::{Bytes, Date, Dictionary, Endpoint, Fd, Object, SharedMemory, Type, Uuid, ValueError};

/// A list of values. It is a `Vec<Object>` in all but name; collect into it, or build it from an array of anything that
/// becomes an [`Object`].
///
/// ```
/// use xpc_object::{Array, Object};
/// let names = Array::from(["Ada", "Grace"]);
/// assert_eq!(names[1], Object::from("Grace"));
/// let squares: Array = (1..=3_u64).map(|n| n * n).collect();
/// assert_eq!(squares.len(), 3);
/// ```
#[doc(alias = "xpc_array_create")]
#[doc(alias = "xpc_array_set_value")]
#[doc(alias = "xpc_array_append_value")]
#[doc(alias = "xpc_array_get_count")]
#[doc(alias = "xpc_array_get_value")]
#[doc(alias = "xpc_array_apply")]
#[doc(alias = "xpc_array_set_bool")]
#[doc(alias = "xpc_array_set_int64")]
#[doc(alias = "xpc_array_set_uint64")]
#[doc(alias = "xpc_array_set_double")]
#[doc(alias = "xpc_array_set_date")]
#[doc(alias = "xpc_array_set_data")]
#[doc(alias = "xpc_array_set_string")]
#[doc(alias = "xpc_array_set_uuid")]
#[doc(alias = "xpc_array_set_fd")]
#[derive(Clone, PartialEq, Hash, Default)]
pub struct Array(Vec<Object>);

impl Array {
    /// An empty list.
    #[doc(alias = "xpc_array_create_empty")]
    pub const fn new() -> Self {
        Self(Vec::new())
    }
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident: $type:ty, $variant:ident($value:ident) => $read:expr;)*) => {
        /// Typed getters by position, like those of [`Dictionary`]: [`ValueError::Missing`] past the end,
        /// [`ValueError::WrongType`] for a value of another type. Their errors name the position as `[3]`.
        #[expect(clippy::missing_errors_doc, reason = "stated once, for all of them")]
        impl Array {$(
            $(#[$doc])*
            pub fn $name(&self, index: usize) -> Result<$type, ValueError> {
                typed(self.0.get(index), || format!("[{index}]"), Type::$variant, |value| match value {
                    Object::$variant($value) => Some($read),
                    _ => None,
                })
            }
        )*}
    };
}

getters! {
    /// The truth value at this position.
    #[doc(alias = "xpc_array_get_bool")]
    bool: bool, Bool(value) => *value;
    /// The signed number at this position.
    #[doc(alias = "xpc_array_get_int64")]
    int64: i64, Int64(value) => *value;
    /// The unsigned number at this position.
    #[doc(alias = "xpc_array_get_uint64")]
    uint64: u64, Uint64(value) => *value;
    /// The floating-point number at this position.
    #[doc(alias = "xpc_array_get_double")]
    double: f64, Double(value) => *value;
    /// The date at this position.
    #[doc(alias = "xpc_array_get_date")]
    date: Date, Date(value) => *value;
    /// The bytes at this position.
    #[doc(alias = "xpc_array_get_data")]
    data: &Bytes, Data(value) => value;
    /// The text at this position.
    #[doc(alias = "xpc_array_get_string")]
    string: &str, String(value) => value.as_str();
    /// The identifier at this position.
    #[doc(alias = "xpc_array_get_uuid")]
    uuid: Uuid, Uuid(value) => *value;
    /// The file descriptor at this position.
    #[doc(alias = "xpc_array_dup_fd")]
    fd: &Fd, Fd(value) => value;
    /// The shared memory at this position.
    shared_memory: &SharedMemory, SharedMemory(value) => value;
    /// The endpoint at this position.
    endpoint: &Endpoint, Endpoint(value) => value;
    /// The list at this position.
    #[doc(alias = "xpc_array_get_array")]
    array: &Array, Array(value) => value;
    /// The dictionary at this position.
    #[doc(alias = "xpc_array_get_dictionary")]
    dictionary: &Dictionary, Dictionary(value) => value;
}

impl From<Vec<Object>> for Array {
    fn from(values: Vec<Object>) -> Self {
        Self(values)
    }
}

impl<T: Into<Object>, const N: usize> From<[T; N]> for Array {
    fn from(values: [T; N]) -> Self {
        values.into_iter().collect()
    }
}

impl<T: Into<Object>> FromIterator<T> for Array {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self(values.into_iter().map(Into::into).collect())
    }
}

impl Deref for Array {
    type Target = Vec<Object>;

    fn deref(&self) -> &Vec<Object> {
        &self.0
    }
}

impl DerefMut for Array {
    fn deref_mut(&mut self) -> &mut Vec<Object> {
        &mut self.0
    }
}

impl IntoIterator for Array {
    type Item = Object;
    type IntoIter = std::vec::IntoIter<Object>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Array {
    type Item = &'a Object;
    type IntoIter = std::slice::Iter<'a, Object>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
