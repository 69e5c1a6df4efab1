//! Whether a task waits to be polled: it is queued once, and polled again where it was woken meanwhile.
//!
//! Each step reads and writes at once, also where nothing changes: whoever wakes a task that is queued already has it see
//! what was done before the waking. `tests/phase.rs` tries every order.

use super::atomic::{AtomicU8, Ordering};

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const POLLED: u8 = 2;
const POLLED_AND_WOKEN: u8 = 3;

pub struct Phase(AtomicU8);

impl Phase {
    /// Of a task that is about to be queued.
    pub fn queued() -> Self {
        Self(AtomicU8::new(QUEUED))
    }

    /// The task was taken from the queue and is about to be polled.
    pub fn begin(&self) {
        self.0.swap(POLLED, Ordering::AcqRel);
    }

    /// It was polled and goes on later. Whether the caller has to queue it again.
    pub fn end(&self) -> bool {
        let idle = self.0.compare_exchange(POLLED, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !idle {
            self.0.swap(QUEUED, Ordering::AcqRel);
        }
        !idle
    }

    /// Whether the caller has to queue it.
    pub fn wake(&self) -> bool {
        let mut phase = self.0.load(Ordering::Acquire);
        loop {
            let woken = if matches!(phase, IDLE | QUEUED) { QUEUED } else { POLLED_AND_WOKEN };
            match self.0.compare_exchange_weak(phase, woken, Ordering::AcqRel, Ordering::Acquire) {
                Ok(before) => return before == IDLE,
                Err(now) => phase = now,
            }
        }
    }
}
