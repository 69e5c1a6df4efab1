use crate::Type;

/// Why a typed getter has no value to give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// There is nothing under this key.
    #[error("the message has no value for `{key}`")]
    Missing {
        /// The key that was asked for.
        key: String,
    },
    /// There is a value under this key, of another type.
    #[error("the value for `{key}` is of type {found}, not {expected}")]
    WrongType {
        /// The key that was asked for.
        key: String,
        /// The type that was asked for.
        expected: Type,
        /// The type that is there.
        found: Type,
    },
}

/// Why a value cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// XPC's strings are C strings: they end at the first NUL.
    #[error("the string {0:?} contains a NUL, which XPC strings cannot hold: send it as data")]
    NulInString(String),
    /// XPC's keys are C strings: they end at the first NUL.
    #[error("the key {0:?} contains a NUL, which XPC keys cannot hold")]
    NulInKey(String),
    /// Nested deeper than [`MAX_DEPTH`](crate::limits::MAX_DEPTH).
    #[error("the message is nested deeper than {} levels", crate::limits::MAX_DEPTH)]
    TooDeep,
    /// More values than [`MAX_VALUES`](crate::limits::MAX_VALUES).
    #[error("the message holds more than {} values", crate::limits::MAX_VALUES)]
    TooManyValues,
    /// More bytes than [`MAX_MESSAGE_BYTES`](crate::limits::MAX_MESSAGE_BYTES).
    #[error("the message is larger than {} bytes", crate::limits::MAX_MESSAGE_BYTES)]
    TooLarge,
    /// A value of a type that has no counterpart, or what the type's own `Serialize` says.
    #[cfg(feature = "serde")]
    #[error("the value cannot be a message: {0}")]
    Serialize(String),
    /// A value of a type that cannot be sent: one that this crate can only name, an error, or one that travels beside
    /// the bytes where there are bytes only.
    #[error("a value of type {0} cannot be sent")]
    Unsendable(Type),
    /// More descriptors, shared memories and endpoints than [`MAX_ATTACHMENTS`](crate::limits::MAX_ATTACHMENTS).
    #[error(
        "the message holds more than {} descriptors, shared memories and endpoints",
        crate::limits::MAX_ATTACHMENTS
    )]
    TooManyAttachments,
    /// The system has no room for what would have to be sent along.
    #[error("the {kind} cannot be sent: {reason}")]
    Attachment {
        /// Of which type the value is.
        kind: Type,
        /// What the system says.
        reason: String,
    },
}

/// Why bytes are not a message. A pointer, so that the results that it travels in are no larger than what they hold
/// otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct DecodeError(Box<DecodeErrorKind>);

impl DecodeError {
    /// What is wrong.
    pub fn kind(&self) -> &DecodeErrorKind {
        &self.0
    }

    #[cfg(feature = "serde")]
    pub(crate) fn kind_mut(&mut self) -> &mut DecodeErrorKind {
        &mut self.0
    }
}

impl From<DecodeErrorKind> for DecodeError {
    #[cold]
    fn from(kind: DecodeErrorKind) -> Self {
        Self(Box::new(kind))
    }
}

/// What a [`DecodeError`] is about. `offset` counts bytes from the start of what was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The input ends inside a value, or a size points past the end.
    #[error("the input ends early: {needed} more bytes are needed at offset {offset}")]
    Truncated {
        /// Where reading stopped.
        offset: usize,
        /// How many bytes are missing at least.
        needed: usize,
    },
    /// The first four bytes are no known header.
    #[error("the input does not start with an XPC header")]
    BadMagic,
    /// A version other than 5.
    #[error("encoding version {0} is not known, only version 5")]
    BadVersion(u32),
    /// A tag that is not in the table.
    #[error("unknown type {tag:#x} at offset {offset}")]
    UnknownType {
        /// Where the tag stands.
        offset: usize,
        /// The tag.
        tag: u32,
    },
    /// A descriptor, shared memory or endpoint that did not come with the message, or is not what the message says.
    #[error("the attachment at offset {offset} is missing, or of another kind than the message says")]
    BadAttachment {
        /// Where its tag stands.
        offset: usize,
    },
    /// A string or key without its final NUL, with a NUL inside, or not UTF-8.
    #[error("malformed string at offset {offset}")]
    BadString {
        /// Where its bytes start.
        offset: usize,
    },
    /// The size an array or dictionary states is not the size its values have.
    #[error("the container at offset {offset} states a wrong size")]
    BadSize {
        /// Where the container's size field stands.
        offset: usize,
    },
    /// One key twice in a dictionary.
    #[error("the key at offset {offset} appears twice")]
    DuplicateKey {
        /// Where the second one stands.
        offset: usize,
    },
    /// A top-level message that is not a dictionary.
    #[error("a message must be a dictionary")]
    NotADictionary,
    /// The message is well-formed, but not what the type that is read expects.
    #[cfg(feature = "serde")]
    #[error(transparent)]
    Deserialize(Misfit),
    /// Bytes follow the value.
    #[error("{0} bytes follow the value")]
    TrailingBytes(usize),
    /// Nested deeper than [`MAX_DEPTH`](crate::limits::MAX_DEPTH).
    #[error("the message is nested deeper than {} levels", crate::limits::MAX_DEPTH)]
    TooDeep,
    /// More values than [`MAX_VALUES`](crate::limits::MAX_VALUES).
    #[error("the message holds more than {} values", crate::limits::MAX_VALUES)]
    TooManyValues,
    /// More bytes than [`MAX_MESSAGE_BYTES`](crate::limits::MAX_MESSAGE_BYTES).
    #[error("the message is larger than {} bytes", crate::limits::MAX_MESSAGE_BYTES)]
    TooLarge,
}

/// What a type that is read does not take.
#[cfg(feature = "serde")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message{} does not fit the type that is read: {reason}", self.place())]
pub struct Misfit {
    /// Keys and positions that lead to the value, as in `jobs[3].name`; empty for the message itself.
    pub path: String,
    /// What was expected, and what is there.
    pub reason: String,
}

#[cfg(feature = "serde")]
impl Misfit {
    fn place(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!(" at `{}`", self.path) }
    }
}
