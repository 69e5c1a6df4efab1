use std::ops::{Deref, DerefMut};

use crate::Object;

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
#[derive(Clone, PartialEq, Default)]
pub struct Array(Vec<Object>);

impl Array {
    /// An empty list.
    pub const fn new() -> Self {
        Self(Vec::new())
    }
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
