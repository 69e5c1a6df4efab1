use std::fmt;
use std::ops::Deref;

use xpc_object::{Date, Dictionary, Endpoint, Fd, Object, SharedMemory, Uuid, ValueError};

use crate::error::neutral;
use crate::{Error, backend};

/// A received message or reply. It reads as the [`Dictionary`] that it holds.
///
/// If its sender awaits a reply and none has been sent when the message and every [`Reply`] made from it are gone, the
/// sender gets [`Error::Interrupted`]. A message may be kept and replied to after the handler has returned, on any
/// thread.
#[doc(alias = "xpc_object_t")]
pub struct Message(pub(crate) backend::Message);

impl Message {
    pub(crate) fn new(message: backend::Message) -> Self {
        Self(message)
    }

    /// Starts the reply. Nothing is sent before [`Reply::send`].
    ///
    /// There is one reply to a message: for a message that awaits none, and from the second call on, sending fails with
    /// [`Error::NotARequest`].
    #[doc(alias = "xpc_dictionary_create_reply")]
    pub fn reply(&self) -> Reply {
        Reply { right: self.0.reply(), contents: Dictionary::new() }
    }

    /// Replies with a dictionary that exists already.
    ///
    /// # Errors
    /// As [`Reply::send`].
    pub fn reply_with(&self, contents: Dictionary) -> Result<(), Error> {
        Reply { right: self.0.reply(), contents }.send()
    }
}

#[cfg(feature = "serde")]
impl Message {
    /// Reads the message as a type of your own that implements serde's `Deserialize`, as
    /// [`from_dictionary`](crate::from_dictionary) does; on Linux straight from its bytes, with no dictionary between. With
    /// the feature `serde`.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use xpc_runtime::{Error, Inactive, Accepted, to_dictionary};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// enum Request {
    ///     Add { a: i64, b: i64 },
    ///     Greet(String),
    /// }
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Answer {
    ///     text: String,
    /// }
    ///
    /// fn serve(peer: Inactive<Accepted>) {
    ///     peer.on_message(|_, message| -> Result<(), Error> {
    ///         let text = match message.decode()? {
    ///             Request::Add { a, b } => (a + b).to_string(),
    ///             Request::Greet(name) => format!("Hello, {name}!"),
    ///         };
    ///         message.reply_with(to_dictionary(&Answer { text })?)
    ///     })
    ///     .activate();
    /// }
    /// # let listener = xpc_runtime::Listener::anonymous().activate(serve);
    /// # let connection = xpc_runtime::Connection::from_endpoint(&listener.endpoint()).activate();
    ///
    /// let reply = connection.send_with_reply_blocking(&to_dictionary(&Request::Add { a: 2, b: 3 })?)?;
    /// assert_eq!(reply.decode::<Answer>()?.text, "5");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Decode`] where the message does not fit the type, or holds what has no bytes: a descriptor, shared memory
    /// or an endpoint.
    pub fn decode<T: serde_core::de::DeserializeOwned>(&self) -> Result<T, Error> {
        match self.0.bytes() {
            Some(bytes) => Ok(xpc_object::from_message(bytes)?),
            None => Ok(xpc_object::from_dictionary(self)?),
        }
    }
}

macro_rules! getters {
    ($($name:ident: $type:ty),*) => {
        /// The typed getters of [`Dictionary`], which here read the message where it lies, if it can be: nothing is made of
        /// the values that nobody asks for. Whatever else is asked of a message makes a dictionary of it first.
        #[expect(clippy::missing_errors_doc, reason = "each stands at the dictionary's getter of the same name")]
        impl Message {$(
            #[doc = concat!("As [`Dictionary::", stringify!($name), "`].")]
            pub fn $name(&self, key: &str) -> Result<$type, ValueError> {
                self.0.view().map_or_else(|| self.0.dictionary().$name(key), |view| view.$name(key))
            }
        )*}
    };
}

getters!(
    bool: bool, int64: i64, uint64: u64, double: f64, date: Date, string: &str, uuid: Uuid, fd: &Fd,
    shared_memory: &SharedMemory, endpoint: &Endpoint
);

impl Deref for Message {
    type Target = Dictionary;

    fn deref(&self) -> &Dictionary {
        self.0.dictionary()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// A reply under construction. Dropped unsent, it interrupts the requester.
#[must_use = "a reply is sent by `send`; dropped, it interrupts the requester"]
pub struct Reply {
    right: Option<backend::Reply>,
    contents: Dictionary,
}

impl Reply {
    /// The same with one more value.
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Object>) -> Self {
        self.contents.insert(key, value);
        self
    }

    /// Puts a value under a key.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Object>) {
        self.contents.insert(key, value);
    }

    /// Sends the reply. Never blocks. That the requester is gone is no error.
    ///
    /// # Errors
    /// [`Error::NotARequest`] where there is nobody to reply to; [`Error::Encode`] for what cannot be represented, and
    /// then the requester is interrupted.
    #[doc(alias = "xpc_connection_send_message")]
    pub fn send(self) -> Result<(), Error> {
        let right = self.right.ok_or(Error::NotARequest)?;
        neutral(right.send(&self.contents))
    }
}
