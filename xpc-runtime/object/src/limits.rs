//! What a message may weigh. Encoder and decoder keep the same limits, so that whatever is sent can be received.

/// How deep arrays and dictionaries may nest, the message itself included. Reading a value recurses once a level:
/// this bounds the stack that a hostile message can use.
pub const MAX_DEPTH: usize = 128;

/// How many values one message may hold, at every depth together. A null takes four bytes on the wire and some ten
/// times that in memory: this bounds the amplification.
pub const MAX_VALUES: usize = 1 << 20;

/// How many bytes one encoded message may have, header included. Larger payloads belong in shared memory or a file.
pub const MAX_MESSAGE_BYTES: usize = 256 << 20;

/// How many descriptors, shared memories and endpoints one message may hold, at every depth together. Each takes a
/// descriptor of the receiver's, of which a process has a thousand or so unless it asks for more.
pub const MAX_ATTACHMENTS: usize = 4096;
