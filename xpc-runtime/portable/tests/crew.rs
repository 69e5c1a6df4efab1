//! The counts of the reactor's threads under loom, which tries every order in which threads can act.

// A sanitizer does not follow how loom changes from one thread's stack to another's.
#![cfg(all(target_os = "linux", not(sanitizer)))]

use loom::sync::{Arc, Condvar, Mutex, atomic};
use loom::thread;

#[expect(dead_code, reason = "what the reactor needs and this does not")]
#[path = "../src/reactor/crew.rs"]
mod crew;

use crew::Crew;

/// As many threads as there may be. Each event's handler waits until so many events are being handled.
const MAX: u16 = 2;

struct World {
    crew: Crew,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    events: u16,
    handled: u16,
}

impl World {
    fn new(threads: u16) -> Arc<Self> {
        let crew = Crew::new(MAX, 1);
        for _ in 0..threads {
            crew.join().unwrap();
        }
        Arc::new(Self { crew, state: Mutex::default(), changed: Condvar::new() })
    }

    /// All at once: one by one would be more orders than can be tried.
    fn announce(&self) {
        self.state.lock().unwrap().events = MAX;
        self.changed.notify_all();
    }

    /// Waits as the kernel would; `false` where nothing was there and the caller does not wait for ever.
    fn take_event(&self, patient: bool) -> bool {
        let mut state = self.state.lock().unwrap();
        while state.events == 0 {
            if !patient {
                return false;
            }
            state = self.changed.wait(state).unwrap();
        }
        state.events -= 1;
        true
    }

    /// Blocks until all have come.
    fn handle(&self) {
        let mut state = self.state.lock().unwrap();
        state.handled += 1;
        self.changed.notify_all();
        while state.handled < MAX {
            state = self.changed.wait(state).unwrap();
        }
    }
}

/// A thread of the reactor, for as long as this model needs one: it handles one event.
fn serve(world: &Arc<World>, mut may_retire: bool) {
    loop {
        world.crew.begin_waiting();
        if world.take_event(!may_retire) {
            break;
        }
        if world.crew.retire() {
            return;
        }
        // Once is enough.
        may_retire = false;
    }
    let helper = world.crew.got_event().map(|_| spawn(world, false));
    world.handle();
    if let Some(helper) = helper {
        helper.join().unwrap();
    }
}

fn spawn(world: &Arc<World>, may_retire: bool) -> thread::JoinHandle<()> {
    let world = world.clone();
    thread::spawn(move || serve(&world, may_retire))
}

/// Every order in which a thread is interrupted so often at most: where something is wrong, it is so within two.
fn try_all_orders(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn a_thread_that_retires_leaves_nobody_waiting_for_one() {
    try_all_orders(|| {
        let world = World::new(2);
        let threads = [true, false].map(|may_retire| spawn(&world, may_retire));
        world.announce();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(world.state.lock().unwrap().handled, MAX);
        assert!(world.crew.counts().threads <= MAX);
    });
}

#[test]
fn handlers_that_wait_for_each_other_each_get_a_thread() {
    try_all_orders(|| {
        let world = World::new(1);
        let first = spawn(&world, false);
        world.announce();
        first.join().unwrap();
        assert_eq!(world.state.lock().unwrap().handled, MAX);
    });
}

#[test]
fn no_more_stay_than_may_and_only_while_others_wait() {
    try_all_orders(|| {
        let world = World::new(2);
        assert!(!world.crew.stay(), "nobody waits");
        world.crew.begin_waiting();
        let other = thread::spawn({
            let world = world.clone();
            move || world.crew.stay()
        });
        let stays = [world.crew.stay(), other.join().unwrap()];
        assert_eq!(stays.iter().filter(|stays| **stays).count(), 1, "one may");
        world.crew.end_stay();
        assert!(world.crew.stay());
    });
}
