//! The one switch between the backends, and what each must provide.
//!
//! | item | contract |
//! |---|---|
//! | `Inactive` | `service(&str) -> Self` always succeeds; `credentials(&self) -> Option<_>` with `pid`, `euid`, `egid`, `asid()`, known for accepted peers; `activate(self, Handler) -> Connection`. Dropped inactive, it is legal, and an accepted one rejects its client |
//! | `Handler` | `Box<dyn FnMut(&Connection, Event) + Send>`; called for one event at a time. Its panics end the process |
//! | `Event` | `Message(Message)`, `Interrupted` (connections made by name only), `PeerRejected(Arc<str>)`, `TerminationImminent` (accepted ones only), `Invalid(Arc<str>)` once and last; the handler is dropped after it |
//! | `Connection` | `Clone` of one reference, `Send + Sync`; `send`, `send_with_reply`, `send_with_reply_blocking(&Dictionary, Option<Duration>)`, `cancel`, `credentials`, `name`, `invalidation_reason -> Option<Arc<str>>`. The last clone of a named one ends it after what was queued has left; an accepted one keeps itself alive |
//! | `Inactive`, endpoints | `from_endpoint(&Endpoint) -> Self` always succeeds; never interrupted, invalid when the listener goes; otherwise as one made by name |
//! | `requirement`, `PeerRequirement` | a function for each requirement, which makes one or refuses to: what exists is valid, and can be compared. `Inactive::require_peer(&mut self, &PeerRequirement)`, the last one counts; `Message::require_sender(&self, &PeerRequirement)` |
//! | `Listener` | `requiring(Option<PeerRequirement>, FnMut(Inactive) + Send + 'static) -> Self` listens at once; `endpoint(&self) -> Endpoint`; `cancel(&self)`, and its drop, end it and what it accepted |
//! | `Listener`, names | `mach_service(&str, Option<PeerRequirement>, FnMut(Inactive) + Send + 'static, FnOnce(Arc<str>) + Send + 'static) -> Self`; the last is called once where it cannot begin or was cancelled, never inside another call. `Inactive::mach_service(&str)`: as `service`, for what `Listener::mach_service` serves |
//! | `on_launch_event` | `fn(&str, Box<dyn FnMut(&str, Dictionary) + Send>) -> Result<(), Error>`, once for a stream, or its refusal |
//! | `dispatch_main` | `fn() -> !`, on the main thread |
//! | `Inactive`, flow | `set_budget(&mut self, Budget)`; a backend without limits ignores it |
//! | `Connection`, flow | `send_blocking`, `send_ready -> SendReady`, a `Future<Output = Result<(), _>>`; `send_barrier(FnOnce() + Send)`, which runs in any case; `suspend -> Suspension`, whose drop resumes and which is a clone of the connection; `set_context(Arc<dyn Any + Send + Sync>)`, `context`, dropped with the last clone; `hold_messages(bool)`: what comes from the peer, replies apart, waits for the handler, in order, until it is called again; inside a handler, too |
//! | `Queue` | `serial(&str) -> Self`, `main() -> Self`, `label`; `Clone` of one reference. `Inactive::set_target_queue(&mut self, &Queue)`: one handler at a time of all connections of a queue, and a blocking request in one, on any of them, is an error. `Connection::send_with_reply_on(&Queue, &Dictionary, FnOnce(Result<Message, _>) + Send + 'static)`: the last is called once, in turn, never inside the call, and under the same rule; the connection is kept until then |
//! | `after` | `fn(Duration, FnOnce() + Send + 'static) -> Timer`, which is called once unless `Timer` was dropped before; it must not block |
//! | `Session` | `activate(&str, SessionSettings, Box<dyn FnMut(&Session, SessionEvent) + Send>) -> Result<Self, _>`; `Clone` of one reference, `Send + Sync`; `send`, `send_with_reply -> ReplyFuture`, `send_with_reply_blocking`, `send_with_reply_on`, `send_blocking`, `send_ready`, `hold_messages`, `invalidation_reason`, `cancel`, `name`, as a `Connection`'s. `SessionEvent`: `Message(Message)`, `Cancelled(Arc<str>)` once and last. `SessionSettings`, `Default`: `is_mach_service`, `budget`, `queue: Option<Queue>`, `requirement: Option<PeerRequirement>`. No event and no error of a session's is an interruption, but for a request that was dropped |
//! | `ReplyFuture` | `Future<Output = Result<Message, _>>`, `Unpin + Send`; the request has left the caller before it is first polled; keeps the connection alive |
//! | `Message` | `dictionary(&self) -> &Dictionary`; `view(&self) -> Option<DictionaryView>`, where values can be read without making a dictionary; `bytes(&self) -> Option<&[u8]>`, its encoding, if that is all of it; `reply(&self) -> Option<Reply>` gives the right to reply once, to whoever asks first. Dropped with that right in it, it interrupts the requester |
//! | `Reply` | `send(self, &Dictionary)`; dropped unsent, it interrupts the requester |
//! | `run_service` | `fn(impl FnMut(Inactive) + Send + 'static) -> !`; not launched by the system: the message and SIGABRT of `xpc_main` |
//! | `Transaction` | `begin() -> Self`; its drop ends it |
//! | `activity` | `register(&str, &Criteria, Box<dyn FnMut(Activity) + Send>)`, `check_in(&str, Box<dyn FnOnce(Option<Criteria>) -> Option<Criteria> + Send>, …)`, `unregister(&str)`, `state(&Activity)`. `Activity`: `Send`; `should_defer`, `defer(self)`; its drop ends the run |
//! | `log` | `write(Level, category, text)`, to where people look for it; panics in handlers get there by themselves |
//! | `testing` | the functions of [`testing`](crate::testing), or their refusal |
//! | errors | convert into [`Error`](crate::Error) |

#[cfg_attr(
    any(all(target_vendor = "apple", not(xpc_runtime_force_portable)), xpc_runtime_force_apple),
    path = "apple/mod.rs"
)]
#[cfg_attr(
    not(any(all(target_vendor = "apple", not(xpc_runtime_force_portable)), xpc_runtime_force_apple)),
    path = "portable.rs"
)]
mod chosen;

pub use chosen::Budget;
pub(crate) use chosen::{
    Connection, Event, Inactive, Listener, Message, PeerRequirement, Queue, Reply, ReplyFuture, SendReady, Session,
    SessionEvent, SessionSettings, Suspension, Timer, Transaction, activity, after, dispatch_main, log,
    on_launch_event, requirement, run_service, testing,
};

const _: () = {
    const fn send<T: Send>() {}
    const fn sync<T: Sync>() {}
    const fn unpin<T: Unpin>() {}
    send::<Connection>();
    sync::<Connection>();
    send::<Inactive>();
    send::<Listener>();
    sync::<Listener>();
    send::<PeerRequirement>();
    sync::<PeerRequirement>();
    send::<Message>();
    sync::<Message>();
    send::<Reply>();
    send::<Timer>();
    sync::<Timer>();
    send::<ReplyFuture>();
    unpin::<ReplyFuture>();
    send::<SendReady>();
    unpin::<SendReady>();
    send::<Queue>();
    sync::<Queue>();
    send::<activity::Activity>();
    send::<Session>();
    sync::<Session>();
    send::<Suspension>();
    sync::<Suspension>();
};
