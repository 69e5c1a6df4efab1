//! How many threads there are and what they do, in one word, so that each decision is made on one true state.
//!
//! It promises: where an event comes and nobody waits for events, a thread is on its way, or there are as many as there
//! may be. `tests/crew.rs` tries it with every order in which threads can do these things.

use super::atomic::{AtomicU64, Ordering};

/// Numbers of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// In all, those on their way included.
    pub threads: u16,
    /// That wait for any event.
    pub waiting: u16,
    /// That wait for one connection alone.
    pub staying: u16,
}

impl Counts {
    fn read(word: u64) -> Self {
        let [a, b, c, d, e, f, _, _] = word.to_le_bytes();
        let number = |low, high| u16::from_le_bytes([low, high]);
        Self { threads: number(a, b), waiting: number(c, d), staying: number(e, f) }
    }

    fn word(self) -> u64 {
        let Self { threads, waiting, staying } = self;
        u64::from(threads) | u64::from(waiting) << 16 | u64::from(staying) << 32
    }
}

pub struct Crew {
    word: AtomicU64,
    max_threads: u16,
    max_staying: u16,
}

impl Crew {
    pub fn new(max_threads: u16, max_staying: u16) -> Self {
        Self { word: AtomicU64::new(0), max_threads, max_staying }
    }

    pub fn counts(&self) -> Counts {
        Counts::read(self.word.load(Ordering::Acquire))
    }

    /// Makes the change, if it is one; says what was before it, or why it is none.
    fn change(&self, change: impl Fn(Counts) -> Option<Counts>) -> Result<Counts, Counts> {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let before = Counts::read(word);
            let after = change(before).ok_or(before)?.word();
            match self.word.compare_exchange_weak(word, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(before),
                Err(now) => word = now,
            }
        }
    }

    /// One more thread; says how many there were before. `None` where there are as many as there may be.
    pub fn join(&self) -> Option<u16> {
        let joined = self.change(|counts| {
            (counts.threads < self.max_threads).then_some(Counts { threads: counts.threads + 1, ..counts })
        });
        joined.ok().map(|before| before.threads)
    }

    /// A thread that joined is not coming, or goes.
    pub fn leave(&self) {
        let _ = self.change(|counts| Some(Counts { threads: counts.threads - 1, ..counts }));
    }

    /// The calling thread waits for any event from now on.
    pub fn begin_waiting(&self) {
        let _ = self.change(|counts| Some(Counts { waiting: counts.waiting + 1, ..counts }));
    }

    /// It has got an event. Where nobody else waits for the next one, another thread joins, which the caller has to
    /// start: how many there were before.
    pub fn got_event(&self) -> Option<u16> {
        let joins = |counts: Counts| counts.waiting == 1 && counts.threads < self.max_threads;
        let before = self.change(|counts| {
            let threads = counts.threads + u16::from(joins(counts));
            Some(Counts { threads, waiting: counts.waiting - 1, ..counts })
        });
        before.ok().filter(|before| joins(*before)).map(|before| before.threads)
    }

    /// It has waited for long, and would go. Says whether it may, which it must do then: others wait.
    pub fn retire(&self) -> bool {
        let left = self.change(|counts| {
            let (threads, waiting) = (counts.threads - 1, counts.waiting - 1);
            (waiting > 0).then_some(Counts { threads, waiting, ..counts })
        });
        left.is_ok() || {
            self.stop_waiting();
            false
        }
    }

    /// It has got nothing.
    pub fn stop_waiting(&self) {
        let _ = self.change(|counts| Some(Counts { waiting: counts.waiting - 1, ..counts }));
    }

    /// The calling thread may wait for one connection alone, until it [ends its stay](Self::end_stay): others wait for the
    /// rest, and few do so already.
    pub fn stay(&self) -> bool {
        let stayed = self.change(|counts| {
            let may = counts.waiting > 0 && counts.staying < self.max_staying;
            may.then_some(Counts { staying: counts.staying + 1, ..counts })
        });
        stayed.is_ok()
    }

    pub fn end_stay(&self) {
        let _ = self.change(|counts| Some(Counts { staying: counts.staying - 1, ..counts }));
    }
}
