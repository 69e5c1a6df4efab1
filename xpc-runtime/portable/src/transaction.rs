//! Whether this service has work: what keeps it from being ended while it is idle, and what ends it when it was told to
//! end.
//!
//! A transaction is open from the receipt of a message until its reply is sent, or, where it awaits none, until the
//! message is dropped; users open others with [`Transaction::begin`]. Besides, whoever reads a connection holds one, so
//! that no message is on its way from a socket to a handler while none is open.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::lock;

static ACTIVITY: Mutex<Activity> =
    Mutex::new(Activity { open: 0, idle_since: None, frozen: false, terminating: false });
/// The last transaction ended, or the process was thawed.
static CHANGED: Condvar = Condvar::new();
/// In other processes than services nobody asks, and messages are not counted.
static IS_SERVICE: AtomicBool = AtomicBool::new(false);

struct Activity {
    open: usize,
    /// When the last transaction ended.
    idle_since: Option<Instant>,
    /// Nothing may begin: the launcher has been told that the process may be ended.
    frozen: bool,
    terminating: bool,
}

/// While it lives, the launcher does not end the service because it is idle. In other processes it does nothing.
#[doc(alias = "xpc_transaction_begin")]
#[must_use = "a transaction ends when it is dropped"]
#[derive(Debug)]
pub struct Transaction(());

impl Transaction {
    /// Opens a transaction.
    pub fn begin() -> Self {
        let mut activity = lock(&ACTIVITY);
        while activity.frozen {
            // A moment: the launcher either ends this process or lets it go on.
            activity = wait(activity);
        }
        activity.open += 1;
        Self(())
    }

    /// For whoever reads a connection of a service, before the first read.
    pub(crate) fn of_service() -> Option<Self> {
        IS_SERVICE.load(Ordering::Relaxed).then(Self::begin)
    }

    /// For a message. Whoever reads it holds a transaction, so that there is nothing to wait for; and nothing may be
    /// waited for, since its connection is locked.
    pub(crate) fn of_message() -> Option<Self> {
        IS_SERVICE.load(Ordering::Relaxed).then(|| {
            lock(&ACTIVITY).open += 1;
            Self(())
        })
    }
}

impl Drop for Transaction {
    #[doc(alias = "xpc_transaction_end")]
    fn drop(&mut self) {
        let mut activity = lock(&ACTIVITY);
        activity.open -= 1;
        if activity.open == 0 {
            activity.idle_since = Some(Instant::now());
            if activity.terminating {
                CHANGED.notify_all();
            }
        }
    }
}

/// From now on messages are counted.
pub(crate) fn become_service() {
    lock(&ACTIVITY).idle_since = Some(Instant::now());
    IS_SERVICE.store(true, Ordering::Relaxed);
}

/// No transaction begins while it lives.
pub(crate) struct Frozen(());

/// Holds everything up if the process has had no transaction for so long; otherwise says how long it takes at least
/// until that may be so.
pub(crate) fn freeze(idle: Duration) -> Result<Frozen, Duration> {
    let mut activity = lock(&ACTIVITY);
    if activity.open > 0 || activity.terminating {
        return Err(idle);
    }
    let left = idle.saturating_sub(activity.idle_since.map_or(Duration::MAX, |since| since.elapsed()));
    if !left.is_zero() {
        return Err(left);
    }
    activity.frozen = true;
    Ok(Frozen(()))
}

impl Drop for Frozen {
    fn drop(&mut self) {
        lock(&ACTIVITY).frozen = false;
        CHANGED.notify_all();
    }
}

/// The process is to end with its last transaction.
pub(crate) fn terminate() {
    lock(&ACTIVITY).terminating = true;
}

pub(crate) fn is_terminating() -> bool {
    IS_SERVICE.load(Ordering::Relaxed) && lock(&ACTIVITY).terminating
}

/// Waits for the end of the last transaction.
pub(crate) fn wait_until_none_is_open() {
    let mut activity = lock(&ACTIVITY);
    while activity.open > 0 {
        activity = wait(activity);
    }
}

fn wait(activity: MutexGuard<'_, Activity>) -> MutexGuard<'_, Activity> {
    CHANGED.wait(activity).unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, since the state is the process's own.
    #[test]
    fn a_process_is_idle_only_between_transactions_and_then_nothing_begins() {
        assert!(Transaction::of_service().is_none(), "this is no service");
        let (first, second) = (Transaction::begin(), Transaction::begin());
        drop(first);
        assert_eq!(freeze(Duration::from_secs(7)).err(), Some(Duration::from_secs(7)));
        drop(second);
        let left = freeze(Duration::from_secs(3600)).err().unwrap();
        assert!(left <= Duration::from_secs(3600) && left > Duration::from_secs(3000), "{left:?}");
        // Work of other tests' may have one open for a moment.
        let frozen = loop {
            match freeze(Duration::ZERO) {
                Ok(frozen) => break frozen,
                Err(_) => std::thread::yield_now(),
            }
        };
        let (sender, begun) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let transaction = Transaction::begin();
            sender.send(()).unwrap();
            drop(transaction);
        });
        assert!(begun.recv_timeout(Duration::from_millis(20)).is_err(), "it waits");
        drop(frozen);
        begun.recv().unwrap();
        thread.join().unwrap();
        // The last end is told where the process is to end, and nowhere else.
        terminate();
        wait_until_none_is_open();
    }
}
