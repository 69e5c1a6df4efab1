//! The waking of tasks under loom, which tries every order in which threads can act, and every value that they can read.

// A sanitizer does not follow how loom changes from one thread's stack to another's.
#![cfg(not(sanitizer))]

use loom::sync::atomic::AtomicBool;
use loom::sync::{Arc, Mutex, atomic};
use loom::thread;

#[path = "../src/executor/phase.rs"]
mod phase;

use phase::Phase;

/// A task that ends once `done` is set, and its executor's queue.
struct Task {
    phase: Phase,
    done: [AtomicBool; 2],
    queued: Mutex<usize>,
    ended: AtomicBool,
}

impl Task {
    fn wake(&self, who: usize) {
        // Nothing but the waking says that this was done.
        self.done[who].store(true, atomic::Ordering::Relaxed);
        if self.phase.wake() {
            *self.queued.lock().unwrap() += 1;
        }
    }

    /// A thread's turn, if something is queued.
    fn run(&self) -> bool {
        let mut queued = self.queued.lock().unwrap();
        if *queued == 0 {
            return false;
        }
        *queued -= 1;
        assert_eq!(*queued, 0, "it is queued once");
        drop(queued);
        self.phase.begin();
        if self.done.iter().all(|done| done.load(atomic::Ordering::Relaxed)) {
            self.ended.store(true, atomic::Ordering::Relaxed);
        } else if self.phase.end() {
            *self.queued.lock().unwrap() += 1;
        }
        true
    }
}

#[test]
fn no_waking_is_lost() {
    let mut builder = loom::model::Builder::new();
    // How often a thread is interrupted at most: without a bound there are too many orders.
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let task = Arc::new(Task {
            phase: Phase::queued(),
            done: [AtomicBool::new(false), AtomicBool::new(false)],
            queued: Mutex::new(1),
            ended: AtomicBool::new(false),
        });
        let wakers = [0, 1].map(|who| {
            let task = task.clone();
            thread::spawn(move || task.wake(who))
        });
        task.run();
        for waker in wakers {
            waker.join().unwrap();
        }
        while task.run() {}
        assert!(task.ended.load(atomic::Ordering::Relaxed));
    });
}
