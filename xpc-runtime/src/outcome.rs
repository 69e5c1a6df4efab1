use std::fmt::Display;

/// What a message handler may return: nothing, or a `Result`, so that `?` can be used in it.
///
/// An `Err` is written to standard error (a service's log; on Apple platforms nobody sees a service's standard error so
/// far). If the message awaits a reply and got none, its sender is interrupted.
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
            eprintln!("XPC message handler failed: {error}");
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<E> Sealed for Result<(), E> {}
}
