//! `xpc-portable` has the shape of a backend already; only its errors are its own.

use std::sync::Arc;
use std::time::Duration;

use xpc_object::Dictionary;
pub use xpc_portable::Budget;
pub(crate) use xpc_portable::{
    Connection, Event, Inactive, Listener, Message, PeerRequirement, Queue, Reply, ReplyFuture, SendReady, Suspension,
    Timer, Transaction, after, dispatch_main, run_service,
};

use crate::Error;

#[path = "portable_activity.rs"]
pub(crate) mod activity;

impl From<xpc_portable::Error> for Error {
    fn from(error: xpc_portable::Error) -> Self {
        match error {
            xpc_portable::Error::Interrupted => Self::Interrupted,
            xpc_portable::Error::WouldDeadlock => Self::WouldDeadlock,
            xpc_portable::Error::Full => Self::Full,
            xpc_portable::Error::TimedOut => Self::TimedOut,
            xpc_portable::Error::Encode(error) => Self::Encode(error),
            xpc_portable::Error::Invalid(reason) => Self::Invalid(reason),
            xpc_portable::Error::PeerRejected(reason) => Self::PeerRejected(reason),
            xpc_portable::Error::InvalidRequirement(reason) => Self::InvalidRequirement(reason),
            other => Self::Invalid(other.to_string().into()),
        }
    }
}

pub(crate) enum SessionEvent {
    Message(Message),
    Cancelled(Arc<str>),
}

#[derive(Default)]
pub(crate) struct SessionSettings {
    pub is_mach_service: bool,
    pub budget: Budget,
    pub queue: Option<Queue>,
    pub requirement: Option<PeerRequirement>,
}

type SessionHandler = Box<dyn FnMut(&Session, SessionEvent) + Send>;

/// A connection that no disconnection leaves alive.
#[derive(Clone)]
pub(crate) struct Session(Connection);

impl Session {
    pub(crate) fn activate(
        name: &str,
        settings: SessionSettings,
        mut handler: SessionHandler,
    ) -> Result<Self, xpc_portable::Error> {
        let mut inactive =
            if settings.is_mach_service { Inactive::mach_session(name) } else { Inactive::session(name) };
        inactive.set_budget(settings.budget);
        if let Some(queue) = &settings.queue {
            inactive.set_target_queue(queue);
        }
        if let Some(requirement) = &settings.requirement {
            inactive.require_peer(requirement);
        }
        Ok(Self(inactive.activate(Box::new(move |connection, event| {
            let event = match event {
                Event::Message(message) => SessionEvent::Message(message),
                Event::Invalid(reason) => SessionEvent::Cancelled(reason),
                Event::Interrupted | Event::TerminationImminent | Event::PeerRejected(_) => return,
            };
            handler(&Self(connection.clone()), event);
        }))))
    }

    pub(crate) fn send(&self, message: &Dictionary) -> Result<(), xpc_portable::Error> {
        self.0.send(message)
    }

    pub(crate) fn send_blocking(&self, message: &Dictionary) -> Result<(), xpc_portable::Error> {
        self.0.send_blocking(message)
    }

    pub(crate) fn send_ready(&self) -> SendReady {
        self.0.send_ready()
    }

    pub(crate) fn hold_messages(&self, hold: bool) {
        self.0.hold_messages(hold);
    }

    pub(crate) fn invalidation_reason(&self) -> Option<Arc<str>> {
        self.0.invalidation_reason()
    }

    pub(crate) fn send_with_reply(&self, message: &Dictionary) -> ReplyFuture {
        self.0.send_with_reply(message)
    }

    pub(crate) fn send_with_reply_on(
        &self,
        queue: &Queue,
        message: &Dictionary,
        handler: impl FnOnce(Result<Message, xpc_portable::Error>) + Send + 'static,
    ) {
        self.0.send_with_reply_on(queue, message, handler);
    }

    pub(crate) fn send_with_reply_blocking(
        &self,
        message: &Dictionary,
        timeout: Option<Duration>,
    ) -> Result<Message, xpc_portable::Error> {
        self.0.send_with_reply_blocking(message, timeout)
    }

    pub(crate) fn cancel(&self) {
        self.0.cancel();
    }

    pub(crate) fn name(&self) -> &str {
        self.0.name().expect("it was made with one")
    }
}

type LaunchHandler = Box<dyn FnMut(&str, Dictionary) + Send>;

/// There is no launchd.
pub(crate) fn on_launch_event(_stream: &str, _handler: LaunchHandler) -> Result<(), Error> {
    Err(Error::Unsupported("only launchd has launch events: there are none off Apple platforms"))
}

/// Standard error: the launcher forwards a service's, with its name.
pub(crate) mod log {
    use crate::logging::Level;

    pub(crate) fn write(level: Level, category: &str, text: &str) {
        let level = match level {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
            Level::Debug => "debug",
        };
        eprintln!("{level}: {category}: {text}");
    }
}

/// Nothing here has a signature; what Linux can say of a peer is the crate's own.
pub(crate) mod requirement {
    use std::path::Path;

    use xpc_object::Dictionary;

    use super::PeerRequirement;
    use crate::{EntitlementValue, Error};

    const UNSUPPORTED: Error = Error::Unsupported(
        "programs have no code signatures here that could be compared: use `same_user`, `same_bundle` or `executable` off Apple platforms",
    );

    pub(crate) fn code_signing(_requirement: &str) -> Result<PeerRequirement, Error> {
        Err(UNSUPPORTED)
    }

    pub(crate) fn entitlement(_name: &str) -> Result<PeerRequirement, Error> {
        Err(UNSUPPORTED)
    }

    pub(crate) fn entitlement_value(_name: &str, _value: &EntitlementValue) -> Result<PeerRequirement, Error> {
        Err(UNSUPPORTED)
    }

    pub(crate) fn team_identity(_identifier: Option<&str>) -> Result<PeerRequirement, Error> {
        Err(UNSUPPORTED)
    }

    pub(crate) fn platform_identity(_identifier: Option<&str>) -> Result<PeerRequirement, Error> {
        Err(UNSUPPORTED)
    }

    pub(crate) fn lightweight(_requirement: &Dictionary) -> Result<PeerRequirement, Error> {
        Err(UNSUPPORTED)
    }

    pub(crate) fn same_user() -> Result<PeerRequirement, Error> {
        Ok(PeerRequirement::same_user())
    }

    pub(crate) fn same_bundle() -> Result<PeerRequirement, Error> {
        Ok(PeerRequirement::same_bundle()?)
    }

    pub(crate) fn executable(path: &Path) -> Result<PeerRequirement, Error> {
        Ok(PeerRequirement::executable(path)?)
    }
}

/// The crate's own, with this crate's errors.
pub(crate) mod testing {
    use std::time::Duration;

    use super::Connection;
    use crate::Error;

    pub(crate) fn kill_service(name: &str) -> Result<bool, Error> {
        Ok(xpc_portable::testing::kill_service(name)?)
    }

    pub(crate) fn terminate_service(name: &str) -> Result<bool, Error> {
        Ok(xpc_portable::testing::terminate_service(name)?)
    }

    pub(crate) fn defer_activity(identifier: &str) -> Result<bool, Error> {
        Ok(xpc_portable::testing::defer_activity(identifier))
    }

    pub(crate) fn drop_replies(connection: &Connection, count: usize) -> Result<(), Error> {
        xpc_portable::testing::drop_replies(connection, count);
        Ok(())
    }

    pub(crate) fn delay_messages(connection: &Connection, delay: Duration) -> Result<(), Error> {
        xpc_portable::testing::delay_messages(connection, delay);
        Ok(())
    }
}
