//! Threads for what libdispatch's default queue would run: handlers of replies, and barriers.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use crate::lock;

type Job = Box<dyn FnOnce() + Send>;

static POOL: Mutex<Pool> = Mutex::new(Pool { jobs: VecDeque::new(), idle: 0 });
static MORE: Condvar = Condvar::new();

struct Pool {
    jobs: VecDeque<Job>,
    idle: usize,
}

/// Runs a job soon, on some thread. A job that waits holds no other up.
pub fn submit(job: impl FnOnce() + Send + 'static) {
    let mut pool = lock(&POOL);
    pool.jobs.push_back(Box::new(job));
    if pool.idle >= pool.jobs.len() {
        MORE.notify_one();
    } else {
        drop(pool);
        // A thread that cannot be started leaves the job to those that are there.
        let _ = thread::Builder::new().name("xpc-shim".into()).spawn(work);
    }
}

fn work() {
    let mut pool = lock(&POOL);
    loop {
        if let Some(job) = pool.jobs.pop_front() {
            drop(pool);
            job();
            pool = lock(&POOL);
        } else {
            pool.idle += 1;
            pool = MORE.wait(pool).unwrap_or_else(PoisonError::into_inner);
            pool.idle -= 1;
        }
    }
}
