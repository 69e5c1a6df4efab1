//! The values that XPC messages are made of, and their wire encoding.
//!
//! [`Object`] is one value, [`Dictionary`] what every message is. Both are plain owned Rust data: they can be built,
//! compared, cloned and stored without a connection. Bytes ([`Object::Data`]) are reference-counted slices, so that a
//! large blob decoded from a receive buffer is not copied.
//!
//! ```
//! use xpc_object::{Dictionary, ValueError};
//!
//! let message = Dictionary::new().with("name", "Rust").with("count", 3_u64);
//! assert_eq!(message.string("name")?, "Rust");
//!
//! // A getter tells a value that is not there from one of another type.
//! assert!(matches!(message.string("title"), Err(ValueError::Missing { .. })));
//! assert!(matches!(message.int64("count"), Err(ValueError::WrongType { .. })));
//! # Ok::<(), ValueError>(())
//! ```
//!
//! # Encoding
//! [`encode_message`] and [`decode_message`] write and read version 5 of XPC's encoding, in either of its two header
//! [`Flavour`]s ([`decode_message_lossy`] takes text that is not UTF-8 too); [`encode_value`] and [`decode_value`] do so for one value without a header. Decoding is safe on
//! hostile input: sizes are checked before anything is allocated for them, and the constants in [`limits`] bound the
//! rest.
//!
//! [`MessageView`] checks a message in the same way and then reads it where it lies, value by value, without a copy.
//!
//! Descriptors, shared memory and endpoints travel beside the bytes: [`encode_message_with_attachments`] hands them out,
//! [`decode_message_with_attachments`] asks for them. The other functions are for peers that are reached by bytes alone:
//! they refuse to send such values, and read them as [`Object::Foreign`].
//!
//! With the feature `serde`, `to_message` and `from_message` do so for any type that implements serde's traits, with no
//! [`Object`] between: about what `serde_json` does for JSON.

// `memory` is the only place with any.
#![deny(unsafe_code)]

mod array;
mod attachment;
mod debug;
mod decode;
mod dictionary;
mod encode;
mod error;
pub mod limits;
mod macros;
#[expect(unsafe_code, reason = "mapped memory is reached by its address")]
mod memory;
mod reader;
mod scalar;
#[cfg(feature = "serde")]
mod serde;
mod value;
mod view;
mod wire;

pub use array::Array;
pub use attachment::{Attachment, Endpoint, EndpointHandle, ErrorValue, Fd, Wanted};
pub use bytes::Bytes;
pub use decode::{decode_message, decode_message_lossy, decode_message_with_attachments, decode_value};
pub use dictionary::Dictionary;
pub use encode::{encode_message, encode_message_after, encode_message_with_attachments, encode_value};
#[cfg(feature = "serde")]
pub use error::Misfit;
pub use error::{DecodeError, DecodeErrorKind, EncodeError, ValueError};
pub use memory::*;
pub use scalar::{Date, ParseUuidError, Uuid};
#[cfg(feature = "serde")]
pub use serde::{from_dictionary, from_message, to_dictionary, to_message, to_message_after};
pub use value::{Object, Type};
pub use view::{ArrayView, DictionaryView, MessageView, ObjectView};
pub use wire::Flavour;
