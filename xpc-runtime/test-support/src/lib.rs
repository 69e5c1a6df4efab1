//! What the programs of the tests share, and what they agree on.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use xpc_runtime::Dictionary;

#[cfg(target_os = "linux")]
pub mod process;

/// Nothing here takes a second; whoever waits this long waits for ever.
pub const FOR_EVER: Duration = Duration::from_secs(60);

/// The service that both sides know.
pub const SERVICE_NAME: &str = xpc_runtime::service_name!();

/// A second service of the same app, run by the same program.
pub const OTHER_SERVICE_NAME: &str = "com.example.tests.other";

/// A service whose program ends before it serves anything.
pub const BROKEN_SERVICE_NAME: &str = "com.example.tests.broken";

/// A service whose program does not exist.
pub const ABSENT_SERVICE_NAME: &str = "com.example.tests.absent";

/// A message with this operation.
#[must_use]
pub fn op(name: &str) -> Dictionary {
    Dictionary::new().with("op", name)
}

/// Waits for a future on this thread.
///
/// # Panics
/// It never comes.
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    let deadline = Instant::now() + FOR_EVER;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        assert!(Instant::now() < deadline, "it never comes");
        thread::park_timeout(FOR_EVER);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_name_is_that_of_the_manifest() {
        assert_eq!(super::SERVICE_NAME, "com.example.tests.service");
    }
}
