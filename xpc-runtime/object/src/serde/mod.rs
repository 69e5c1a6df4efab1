//! Messages from and to types that implement serde's traits, without an [`Object`](crate::Object) between.

mod de;
mod key;
mod ser;
mod values;

pub use de::from_message;
pub use ser::{to_message, to_message_after};

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

use crate::{DecodeError, Dictionary, EncodeError, Flavour, decode_message, encode_message};

/// A value as the dictionary that [`to_message`] makes of it, for those who send dictionaries. It takes the way through
/// bytes.
///
/// The value has to be a struct, a map, or a variant of an enum that holds something (`Ping {}` rather than `Ping`);
/// [`to_message`] has the table of what becomes of what. Bytes belong into [`Bytes`](crate::Bytes): a `Vec<u8>` is sent as
/// an array of numbers.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// # use xpc_object::{from_dictionary, to_dictionary};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct Job {
///     name: String,
///     tries: Option<u8>,
/// }
///
/// let job = Job { name: "build".into(), tries: Some(3) };
/// let message = to_dictionary(&job)?;
/// assert_eq!(message.uint64("tries")?, 3);
/// assert_eq!(from_dictionary::<Job>(&message)?, job);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`to_message`], and [`EncodeError::Serialize`] where a flattened field has the name of another one.
pub fn to_dictionary<T: Serialize + ?Sized>(value: &T) -> Result<Dictionary, EncodeError> {
    let message = to_message(value, Flavour::Mach)?;
    match decode_message(&message.into()) {
        Ok((dictionary, _)) => Ok(dictionary),
        Err(error) => Err(EncodeError::Serialize(error.to_string())),
    }
}

/// Reads a value from a dictionary, as [`from_message`] would from its bytes. It takes the way through them.
///
/// # Errors
/// As [`from_message`], and [`DecodeErrorKind::Deserialize`](crate::DecodeErrorKind::Deserialize) where the dictionary holds something that has no bytes.
pub fn from_dictionary<T: DeserializeOwned>(dictionary: &Dictionary) -> Result<T, DecodeError> {
    let message = encode_message(dictionary, Flavour::Mach).map_err(<DecodeError as serde_core::de::Error>::custom)?;
    from_message(&message)
}

/// Names of newtype structs by which the traits' implementations and this format know each other.
mod names {
    use crate::wire;

    pub const DATE: &str = "$xpc_object::Date";
    pub const UUID: &str = "$xpc_object::Uuid";
    pub const OBJECT: &str = "$xpc_object::Object";
    pub const FD: &str = "$xpc_object::Fd";
    pub const SHARED_MEMORY: &str = "$xpc_object::SharedMemory";
    pub const ENDPOINT: &str = "$xpc_object::Endpoint";

    /// The types that serde has no word for.
    pub fn of(tag: u32) -> Option<&'static str> {
        match tag {
            wire::DATE => Some(DATE),
            wire::UUID => Some(UUID),
            wire::FD => Some(FD),
            wire::SHARED_MEMORY => Some(SHARED_MEMORY),
            wire::ENDPOINT => Some(ENDPOINT),
            _ => None,
        }
    }
}
