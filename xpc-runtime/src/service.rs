use xpc_object::Dictionary;

use crate::connection::{Accepted, Inactive};
use crate::{Error, backend};

/// Runs the service: the last thing its `main` calls.
///
/// `accept` is called once for each connection that a client opens, one at a time. It sets the connection's handlers
/// and activates it; a connection that it drops is rejected. The process ends when the system ends it; this function
/// never returns. A panic in `accept` ends the process.
///
/// On Apple platforms it has to be called on the main thread, which then is the run loop's or libdispatch's, as
/// `RunLoopType` of the service's Info.plist says (`run-loop-type` in `[package.metadata.xpc.service.…]`): with
/// `NSRunLoop` Foundation is loaded first, and `xpc_main` runs the main thread's run loop. Handlers run on other threads
/// all the same, in an autorelease pool each, unless the [`target_queue`](Inactive::target_queue) is [`Queue::main`](crate::Queue::main). On Linux there is
/// no such run loop, and the key means nothing.
///
/// A service that is started by hand rather than by its app prints `An XPC Service cannot be run directly.` and aborts
/// (SIGABRT).
///
/// Agents and daemons, which launchd starts or somebody does, have a listener with a name and [`dispatch_main`] instead.
pub fn xpc_main(mut accept: impl FnMut(Inactive<Accepted>) + Send + 'static) -> ! {
    backend::run_service(move |peer| accept(Inactive::new(peer)))
}

/// Gives the main thread to the runtime: the last thing that the `main` of an agent or a daemon calls, after it has
/// activated its [listener](crate::Listener::mach_service). It never returns.
///
/// # Panics
/// On any other thread than the main one.
#[doc(alias = "dispatch_main(3)")]
pub fn dispatch_main() -> ! {
    backend::dispatch_main()
}

/// Has `handler` called for each event of one of launchd's streams that the job's `LaunchEvents` names, with the name that
/// the event has there and all that is known of it; launchd starts the job for it. To be called before
/// [`dispatch_main`]. Events come one at a time, and cannot be put off; a panic in the handler ends the process.
///
/// # Errors
/// [`Error::Unsupported`] off Apple platforms, where nobody has such events; [`Error::Invalid`] for a stream that has a
/// handler; [`Error::Encode`] for a name with a NUL in it.
#[doc(alias = "xpc_set_event_stream_handler")]
#[doc(alias = "XPC_EVENT_KEY_NAME")]
pub fn on_launch_event(stream: &str, handler: impl FnMut(&str, Dictionary) + Send + 'static) -> Result<(), Error> {
    backend::on_launch_event(stream, Box::new(handler))
}
