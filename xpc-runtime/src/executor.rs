//! The small executor that is there without another: threads that poll what was woken, in the order of waking.

mod phase;

use std::collections::VecDeque;
use std::sync::atomic;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use self::phase::Phase;
use crate::spawn::{Spawn, Task};

/// How long a thread without work waits for some before it ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs tasks on a few threads of its own, which are started when they are needed. Clones are the same executor.
#[derive(Clone)]
pub(crate) struct Executor(Arc<Shared>);

struct Shared {
    limit: usize,
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Arc<Job>>,
    threads: usize,
    waiting: usize,
}

/// A task is polled by one thread at a time, and once more where it was woken meanwhile.
struct Job {
    phase: Phase,
    task: Mutex<Option<Task>>,
    executor: Executor,
}

impl Executor {
    pub fn new(threads: usize) -> Self {
        Self(Arc::new(Shared { limit: threads.max(1), state: Mutex::default(), woken: Condvar::new() }))
    }

    /// The process's own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Executor> = OnceLock::new();
        SHARED.get_or_init(|| Self::new(thread::available_parallelism().map_or(2, |cpus| cpus.get().clamp(2, 8))))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Arc<Job>) {
        let mut state = self.lock();
        state.ready.push_back(job);
        if state.waiting > 0 {
            self.0.woken.notify_one();
        } else if state.threads < self.0.limit {
            state.threads += 1;
            drop(state);
            self.start_thread();
        }
    }

    fn start_thread(&self) {
        let executor = self.clone();
        let started = thread::Builder::new().name("xpc-tasks".into()).spawn(move || executor.serve());
        if let Err(error) = started {
            let mut state = self.lock();
            state.threads -= 1;
            assert!(state.threads > 0, "cannot start a thread for asynchronous handlers: {error}");
        }
    }

    fn serve(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.ready.pop_front() {
                drop(state);
                job.run();
                state = self.lock();
                continue;
            }
            state.waiting += 1;
            let (guard, waited) = self.0.woken.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            state.waiting -= 1;
            if waited.timed_out() && state.ready.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

impl Spawn for Executor {
    fn spawn(&self, task: Task) {
        let job = Job { phase: Phase::queued(), task: Mutex::new(Some(task)), executor: self.clone() };
        self.push(Arc::new(job));
    }
}

impl Job {
    fn run(self: Arc<Self>) {
        self.phase.begin();
        let waker = Waker::from(self.clone());
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(polled) = task.as_mut() else { return };
        if polled.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            let finished = task.take();
            drop(task);
            return drop(finished);
        }
        drop(task);
        if self.phase.end() {
            self.executor.clone().push(self);
        }
    }
}

impl Wake for Job {
    fn wake(self: Arc<Self>) {
        if self.phase.wake() {
            self.executor.clone().push(self);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::future::poll_fn;
    use std::sync::mpsc::channel;
    use std::task::Poll;

    use super::*;

    /// Nothing here takes a second; whoever waits this long waits for ever.
    const FOR_EVER: Duration = Duration::from_secs(60);

    /// Pending once for each number, woken by itself or by a thread of its own.
    async fn turns(count: u32) {
        for n in 0..count {
            let mut waited = false;
            poll_fn(|context| {
                if std::mem::replace(&mut waited, true) {
                    return Poll::Ready(());
                }
                let waker = context.waker().clone();
                match n % 3 {
                    0 => waker.wake(),
                    1 => drop(thread::spawn(move || waker.wake())),
                    _ => {
                        waker.wake_by_ref();
                        waker.wake();
                    }
                }
                Poll::Pending
            })
            .await;
        }
    }

    #[test]
    fn every_task_ends_however_it_is_woken() {
        let executor = Executor::new(3);
        let (sender, ends) = channel();
        for n in 0..100_u32 {
            let sender = sender.clone();
            executor.spawn(Box::pin(async move {
                turns(n % 13).await;
                sender.send((n, thread::current().id())).unwrap();
            }));
        }
        let ended: Vec<_> = (0..100).map(|_| ends.recv_timeout(FOR_EVER).unwrap()).collect();
        assert_eq!(ended.iter().map(|(n, _)| n).collect::<BTreeSet<_>>().len(), 100);
        let threads = ended.iter().map(|(_, thread)| format!("{thread:?}")).collect::<BTreeSet<_>>();
        assert!(threads.len() <= 3, "{threads:?}");
    }

    #[test]
    fn a_task_that_blocks_leaves_the_other_threads_to_others() {
        let executor = Executor::new(2);
        let (go_on, may_go_on) = channel::<()>();
        let (sender, ends) = channel();
        let blocked = sender.clone();
        executor.spawn(Box::pin(async move {
            may_go_on.recv().unwrap();
            blocked.send("blocked").unwrap();
        }));
        executor.spawn(Box::pin(async move {
            turns(5).await;
            sender.send("free").unwrap();
        }));
        assert_eq!(ends.recv_timeout(FOR_EVER), Ok("free"));
        go_on.send(()).unwrap();
        assert_eq!(ends.recv_timeout(FOR_EVER), Ok("blocked"));
    }

    #[test]
    fn a_task_is_dropped_when_it_is_done_though_its_waker_lives() {
        let executor = Executor::new(1);
        let (sender, wakers) = channel();
        let held = Arc::new(());
        let kept = held.clone();
        executor.spawn(Box::pin(async move {
            poll_fn(|context| {
                sender.send(context.waker().clone()).unwrap();
                Poll::Ready(())
            })
            .await;
            drop(kept);
        }));
        let waker = wakers.recv_timeout(FOR_EVER).unwrap();
        assert!(wakers.recv_timeout(FOR_EVER).is_err(), "its sender went with it");
        waker.wake();
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
