use std::fmt::Display;

use crate::logging::{self, Level};

/// What a message handler may return: nothing, or a `Result`, so that `?` can be used in it.
///
/// The error is of any type that can be printed: [`Error`](crate::Error), or `Box<dyn std::error::Error>` where others are
/// passed on too. It is no answer: what the client is to know of a failure belongs into the reply. An `Err` is written to the [log](crate::logging). If the message awaits a reply and got none, its sender is interrupted.
pub trait HandlerOutcome: sealed::Sealed {
    #[doc(hidden)]
    fn report(self);
}

impl HandlerOutcome for () {
    fn report(self) {}
}

impl<E: Display> HandlerOutcome for Result<(), E> {
    fn report(self) {
        if let Err(error) = self {
            let text = format!("XPC message handler failed: {error}");
            // On Apple platforms nobody sees a service's standard error, but an app's may be a terminal.
            if cfg!(any(target_vendor = "apple", xpc_runtime_force_apple)) {
                eprintln!("{text}");
            }
            logging::write(Level::Error, "handler", &text);
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<E> Sealed for Result<(), E> {}
}
