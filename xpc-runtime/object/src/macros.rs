/// A [`Dictionary`](crate::Dictionary) from keys and anything that becomes an [`Object`](crate::Object).
///
/// ```
/// # use xpc_object::{array, dictionary};
/// let message = dictionary! { "name" => "Rust", "years" => array![2015_u64, 2018_u64] };
/// assert_eq!(message.array("years")?.uint64(1), Ok(2018));
/// # Ok::<(), xpc_object::ValueError>(())
/// ```
#[macro_export]
macro_rules! dictionary {
    ($($key:expr => $value:expr),* $(,)?) => { $crate::Dictionary::new()$(.with($key, $value))* };
}

/// An [`Array`](crate::Array) of values that need not be of one type; see [`dictionary!`](crate::dictionary).
#[macro_export]
macro_rules! array {
    ($($value:expr),* $(,)?) => { $crate::Array::from(::std::vec![$($crate::Object::from($value)),*]) };
}
