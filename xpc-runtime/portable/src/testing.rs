//! Faults for users' own tests: a service that dies, a reply that gets lost, messages that take their time.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};

use crate::bootstrap::{self, KILL, TERMINATE};
use crate::{Connection, Error, activity, lock, socket};

/// Kills the service of this name in the app of this process (SIGKILL), and returns when it is gone. Says whether it
/// ran.
///
/// # Errors
/// [`Error::Invalid`] where the launcher cannot be asked.
pub fn kill_service(name: &str) -> Result<bool, Error> {
    ask(KILL, name)
}

/// Ends the service of this name as launchd ends one: without an open transaction it is killed, otherwise it is told
/// that its termination is imminent (SIGTERM), ends with its last transaction, and is killed if that takes longer than
/// [`EXIT_TIMEOUT`](crate::settings::EXIT_TIMEOUT). Returns when the one or the other has begun, and says whether it
/// ran.
///
/// # Errors
/// [`Error::Invalid`] where the launcher cannot be asked.
pub fn terminate_service(name: &str) -> Result<bool, Error> {
    ask(TERMINATE, name)
}

/// Has a run of the activity of this identifier be asked to pause. Says whether one goes on.
pub fn defer_activity(identifier: &str) -> bool {
    activity::ask_to_defer(identifier)
}

fn ask(what: &[u8], name: &str) -> Result<bool, Error> {
    let cannot =
        |error: rustix::io::Errno| Error::Invalid(format!("cannot ask the launcher of {name}: {error}").into());
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).map_err(cannot)?;
    bootstrap::ask(what, &name.into(), theirs).map_err(cannot)?;
    let mut answer = [0];
    // 0 bytes: the launcher, another process, is gone, and the services with it.
    let read = socket::receive(&ours, &mut answer, RecvFlags::empty()).map_err(cannot)?;
    Ok(read == 1 && answer == [1])
}

/// The next replies that arrive over the connection, so many, get lost: their requests are interrupted.
pub fn drop_replies(connection: &Connection, count: usize) {
    lock(&connection.faults().0).replies = count;
}

/// What arrives over the connection from now on, replies too, is held up for so long each time something is read. Order
/// is kept. Zero ends it.
pub fn delay_messages(connection: &Connection, delay: Duration) {
    lock(&connection.faults().0).delay = delay;
}

/// What is done to a connection.
#[derive(Default)]
pub(crate) struct Faults(Mutex<Planned>);

#[derive(Default)]
struct Planned {
    replies: usize,
    delay: Duration,
}

impl Faults {
    pub(crate) fn drops_this_reply(&self) -> bool {
        let mut planned = lock(&self.0);
        let drops = planned.replies > 0;
        planned.replies = planned.replies.saturating_sub(1);
        drops
    }

    /// On the thread that reads, which holds the connection up and no other. Says whether the whole delay is over; it
    /// is not where the deadline comes first.
    pub(crate) fn delay(&self, deadline: Option<Instant>) -> bool {
        let delay = lock(&self.0).delay;
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        std::thread::sleep(left.map_or(delay, |left| left.min(delay)));
        left.is_none_or(|left| left >= delay)
    }
}
