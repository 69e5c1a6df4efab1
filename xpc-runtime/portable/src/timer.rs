//! What is done once some time has passed: one clock of the kernel's for all of it, in the reactor.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::reactor::reactor;
use crate::{fork, lock};

type Run = Box<dyn FnOnce() + Send>;
/// When, and which of those that are for the same moment.
type Key = (Instant, u64);

pub(crate) struct Clock {
    descriptor: OwnedFd,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<Key, Run>,
    last: u64,
}

impl Clock {
    pub fn new() -> Result<Self, Errno> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self { descriptor: timerfd_create(TimerfdClockId::Monotonic, flags)?, state: Mutex::default() })
    }

    /// What the reactor watches.
    pub fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// The reactor's call: takes out what it is time for.
    pub fn due(&self) -> Vec<Run> {
        let _ = read(&self.descriptor, &mut [0_u8; 8]);
        let mut state = lock(&self.state);
        let later = state.waiting.split_off(&(Instant::now(), u64::MAX));
        let due = std::mem::replace(&mut state.waiting, later);
        self.set(&state);
        due.into_values().collect()
    }

    fn add(&self, when: Instant, run: Run) -> Key {
        let mut state = lock(&self.state);
        state.last += 1;
        let key = (when, state.last);
        state.waiting.insert(key, run);
        if state.waiting.first_key_value().is_some_and(|(first, _)| *first == key) {
            self.set(&state);
        }
        key
    }

    fn remove(&self, key: Key) {
        let removed = lock(&self.state).waiting.remove(&key);
        // It may hold anything: not under the lock.
        drop(removed);
    }

    /// Has the kernel call at the first moment that something is to be done.
    fn set(&self, state: &State) {
        let Some(((when, _), _)) = state.waiting.first_key_value().filter(|_| !fork::is_copy()) else { return };
        // Zero would stop the clock.
        let left = when.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let farthest = Timespec { tv_sec: i64::MAX, tv_nsec: 0 };
        let it_value = Timespec::try_from(left).unwrap_or(farthest);
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value })
            .expect("a clock takes any time from now");
    }
}

/// What [`after`] is to do; dropped before, it is not done.
#[must_use = "what is to be done later is not done if this is dropped"]
pub struct Timer(Option<Key>);

impl Timer {
    /// It is done in any case.
    pub fn detach(mut self) {
        self.0 = None;
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(key) = self.0 {
            reactor().clock().remove(key);
        }
    }
}

/// Calls `run` once so much time has passed, on one of the threads that serve connections. A panic in it aborts the
/// process. A moment that the clock cannot express never comes.
pub fn after(delay: Duration, run: impl FnOnce() + Send + 'static) -> Timer {
    let Some(when) = Instant::now().checked_add(delay) else { return Timer(None) };
    reactor().start();
    Timer(Some(reactor().clock().add(when, Box::new(run))))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_is_due_first_is_done_first_and_what_was_dropped_is_not() {
        let (sender, done) = channel();
        let say = |what: &'static str| {
            let sender = sender.clone();
            move || sender.send(what).unwrap_or_default()
        };
        let started = Instant::now();
        let last = after(Duration::from_millis(30), say("last"));
        let dropped = after(Duration::from_millis(10), say("dropped"));
        after(Duration::from_millis(20), say("first")).detach();
        after(Duration::MAX, say("never")).detach();
        drop(dropped);
        assert_eq!(done.recv(), Ok("first"));
        assert!(started.elapsed() >= Duration::from_millis(20));
        assert_eq!(done.recv(), Ok("last"));
        assert!(started.elapsed() >= Duration::from_millis(30));
        drop(last);
        let at_once = after(Duration::ZERO, say("at once"));
        assert_eq!(done.recv(), Ok("at once"));
        drop(at_once);
    }
}
