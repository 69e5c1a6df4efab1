//! What the agent and its clients agree on: a name, and the keys of the messages.

/// The name that the agent serves.
pub const SERVICE_NAME: &str = xpc_runtime::service_name!();

/// The keys of messages.
pub mod keys {
    /// In a request: the text of one more note, a string. Requests without it change nothing.
    pub const ADD: &str = "add";
    /// In a request: whether to be told of notes that come later, a bool.
    pub const WATCH: &str = "watch";
    /// In a reply: all notes, an array of strings.
    pub const NOTES: &str = "notes";
    /// In a message to those who watch: the new note, a string.
    pub const NOTE: &str = "note";
}
