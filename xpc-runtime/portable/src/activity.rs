//! Background work of this process, by the clock: what of `xpc_activity` needs no daemon that knows battery, screen and
//! load. Nothing survives the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::{Timer, Transaction, after, lock, settings, transaction};

/// When work is to be done, in [seconds](settings::ACTIVITY_SECOND).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// How long to wait from now, and at least between the end of one run and the beginning of the next.
    pub delay: u64,
    /// How far apart the beginnings are; `None`: there is one.
    pub interval: Option<u64>,
}

/// What runs for each time, one at a time. A panic in it aborts the process.
pub type Handler = Box<dyn FnMut(Activity) + Send>;

static ACTIVITIES: Mutex<Option<HashMap<Box<str>, Arc<Registration>>>> = Mutex::new(None);

struct Registration {
    identifier: Box<str>,
    schedule: Schedule,
    state: Mutex<State>,
    /// Locked while it runs.
    handler: Mutex<Handler>,
}

struct State {
    /// When it should begin, or should have begun.
    due: Instant,
    timer: Option<Timer>,
    running: bool,
    in_handler: bool,
    /// What came of the run, until the handler has returned.
    outcome: Option<Outcome>,
    asked_to_defer: bool,
    unregistered: bool,
}

#[derive(Clone, Copy)]
enum Outcome {
    Done,
    Deferred,
}

/// Has work done by this schedule, in place of what this identifier stood for.
pub fn register(identifier: &str, schedule: Schedule, handler: Handler) {
    let due = Instant::now().checked_add(span(schedule.delay));
    let registration = Arc::new(Registration {
        identifier: identifier.into(),
        schedule,
        state: Mutex::new(State {
            due: due.unwrap_or_else(Instant::now),
            timer: None,
            running: false,
            in_handler: false,
            outcome: None,
            asked_to_defer: false,
            unregistered: false,
        }),
        handler: Mutex::new(handler),
    });
    let before =
        lock(&ACTIVITIES).get_or_insert_default().insert(registration.identifier.clone(), registration.clone());
    if let Some(before) = before {
        before.end();
    }
    let state = lock(&registration.state);
    registration.wait(state, span(schedule.delay));
}

/// Nothing more is begun under this identifier. Says whether there was anything.
pub fn unregister(identifier: &str) -> bool {
    let found = lock(&ACTIVITIES).as_mut().and_then(|activities| activities.remove(identifier));
    let Some(found) = found else { return false };
    found.end();
    true
}

/// Whether something is still to be done under this identifier.
pub fn is_registered(identifier: &str) -> bool {
    find(identifier).is_some()
}

/// Has [`Activity::should_defer`] of a run that goes on say yes. Says whether one does.
pub(crate) fn ask_to_defer(identifier: &str) -> bool {
    find(identifier).is_some_and(|found| {
        let mut state = lock(&found.state);
        state.asked_to_defer |= state.running;
        state.running
    })
}

fn find(identifier: &str) -> Option<Arc<Registration>> {
    lock(&ACTIVITIES).as_ref()?.get(identifier).cloned()
}

fn span(seconds: u64) -> Duration {
    settings::ACTIVITY_SECOND.get().saturating_mul(u32::try_from(seconds).unwrap_or(u32::MAX))
}

impl Registration {
    fn end(&self) {
        let mut state = lock(&self.state);
        state.unregistered = true;
        let timer = state.timer.take();
        drop(state);
        drop(timer);
    }

    fn wait(self: &Arc<Self>, mut state: MutexGuard<'_, State>, delay: Duration) {
        if !state.unregistered {
            let registration = self.clone();
            state.timer = Some(after(delay, move || registration.run()));
        }
    }

    fn run(self: &Arc<Self>) {
        let transaction = Transaction::begin();
        let mut state = lock(&self.state);
        let timer = state.timer.take();
        if state.unregistered {
            drop(state);
            return drop(timer);
        }
        (state.running, state.in_handler) = (true, true);
        drop(state);
        drop(timer);
        let mut handler = lock(&self.handler);
        handler(Activity { registration: self.clone(), _transaction: transaction });
        let mut state = lock(&self.state);
        state.in_handler = false;
        self.settle(state);
    }

    /// Sees to what is next, once the handler has returned and something has come of the run.
    fn settle(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.in_handler {
            return;
        }
        let Some(outcome) = state.outcome.take() else { return };
        (state.running, state.asked_to_defer) = (false, false);
        let now = Instant::now();
        match (outcome, self.schedule.interval) {
            // It stays due; there is nothing here that would have to get better first.
            (Outcome::Deferred, _) => self.wait(state, span(1)),
            (Outcome::Done, Some(interval)) => {
                // From when it was due, not from when it was done: the average is kept. What was missed is not made up
                // for.
                let next = state.due.checked_add(span(interval)).unwrap_or(now).max(now);
                state.due = next.max(now.checked_add(span(self.schedule.delay)).unwrap_or(next));
                let delay = state.due.saturating_duration_since(now);
                self.wait(state, delay);
            }
            (Outcome::Done, None) => {
                drop(state);
                let mut activities = lock(&ACTIVITIES);
                let activities = activities.get_or_insert_default();
                if activities.get(&self.identifier).is_some_and(|current| Arc::ptr_eq(current, self)) {
                    activities.remove(&self.identifier);
                }
            }
        }
    }
}

/// One run. It goes on until this is dropped, on whatever thread, and holds a transaction.
pub struct Activity {
    registration: Arc<Registration>,
    _transaction: Transaction,
}

impl Activity {
    /// Under what identifier it was registered.
    pub fn identifier(&self) -> &str {
        &self.registration.identifier
    }

    /// Whether the work should pause: the process is to end, or a test asks for it.
    pub fn should_defer(&self) -> bool {
        transaction::is_terminating() || lock(&self.registration.state).asked_to_defer
    }

    /// Whether its handler has not returned.
    pub fn is_in_handler(&self) -> bool {
        lock(&self.registration.state).in_handler
    }

    /// The work pauses; it is due again in a second.
    pub fn defer(self) {
        lock(&self.registration.state).outcome = Some(Outcome::Deferred);
    }
}

impl Drop for Activity {
    /// The work is done, where it does not pause.
    fn drop(&mut self) {
        let mut state = lock(&self.registration.state);
        state.outcome.get_or_insert(Outcome::Done);
        self.registration.settle(state);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    /// Registers work that hands its runs out.
    fn started(identifier: &str, schedule: Schedule) -> Receiver<Activity> {
        let (sender, runs) = channel();
        register(identifier, schedule, Box::new(move |activity| sender.send(activity).unwrap_or_default()));
        runs
    }

    fn due(registered: &str) -> Instant {
        lock(&find(registered).expect("registered").state).due
    }

    #[test]
    fn work_is_done_once_where_there_is_no_interval() {
        let runs = started("once", Schedule { delay: 0, interval: None });
        let run = runs.recv_timeout(SOON).unwrap();
        assert_eq!(run.identifier(), "once");
        assert!(is_registered("once"), "it goes on after its handler has returned");
        drop(run);
        assert!(runs.recv().is_err(), "the handler is gone");
        assert!(!is_registered("once"));
    }

    #[test]
    fn the_next_run_waits_for_the_end_of_the_one_before_and_for_its_interval() {
        let runs = started("again", Schedule { delay: 0, interval: Some(7200) });
        let first = due("again");
        let run = runs.recv_timeout(SOON).unwrap();
        assert!(lock(&find("again").unwrap().state).timer.is_none());
        drop(run);
        // The handler may not have returned.
        drop(lock(&find("again").unwrap().handler));
        assert_eq!(due("again"), first + span(7200), "from when it was due, not from when it was done");
        assert!(lock(&find("again").unwrap().state).timer.is_some());
        assert!(unregister("again") && !unregister("again"));
        assert!(runs.recv().is_err(), "the handler is gone");
    }

    #[test]
    fn the_delay_keeps_runs_apart() {
        let runs = started("apart", Schedule { delay: 0, interval: Some(1) });
        drop(runs.recv_timeout(SOON).unwrap());
        unregister("apart");
        let found = started("apart", Schedule { delay: 3600, interval: Some(1) });
        let registration = find("apart").unwrap();
        registration.run();
        drop(found.recv_timeout(SOON).unwrap());
        assert!(due("apart") > Instant::now() + span(3000));
        unregister("apart");
    }

    #[test]
    fn what_pauses_is_due_again_at_once_and_nothing_runs_beside_it() {
        let (sender, runs) = channel();
        let mut count = 0;
        let handler = move |activity: Activity| {
            count += 1;
            let asked = activity.should_defer();
            sender.send((count, asked, Instant::now())).unwrap();
            if count == 1 {
                assert!(ask_to_defer("pauses"));
                assert!(activity.should_defer() && activity.is_in_handler());
                activity.defer();
            }
        };
        register("pauses", Schedule { delay: 0, interval: None }, Box::new(handler));
        let (first, asked, _) = runs.recv_timeout(SOON).unwrap();
        assert!(first == 1 && !asked);
        let (second, asked, _) = runs.recv_timeout(SOON).unwrap();
        assert!(second == 2 && !asked, "nobody has asked this time");
        assert!(runs.recv().is_err(), "it was done, and the handler is gone");
        assert!(!ask_to_defer("pauses"));
    }

    #[test]
    fn who_is_registered_again_takes_the_place_of_the_one_before() {
        let before = started("taken", Schedule { delay: 3600, interval: None });
        let after = started("taken", Schedule { delay: 0, interval: None });
        assert!(before.recv().is_err(), "its handler is gone");
        let run = after.recv_timeout(SOON).unwrap();
        let last = started("taken", Schedule { delay: 3600, interval: None });
        drop(run);
        assert!(is_registered("taken"), "the end of a run is not that of its successor's");
        unregister("taken");
        assert!(last.recv().is_err());
    }
}
