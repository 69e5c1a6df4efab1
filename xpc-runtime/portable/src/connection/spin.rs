//! Looking at a socket again and again for a moment, before sleeping until something comes.
//!
//! To sleep and to be woken takes longer than a small message and its answer. So whoever expects something soon *spins*: it
//! gives up its CPU to whoever wants it, which is the other side where both share one, looks, and does so again, for
//! [`SPIN`](settings::SPIN) at most. That pays only where the other side answers about as soon, and where nobody else
//! wants the CPU for long. Neither can be known beforehand, so each connection keeps an [`Account`].

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::RecvFlags;

use super::busy::MOMENT;
use super::core::{Core, Link};
use super::reader::Batch;
use crate::{lock, settings};

/// What a spin saves that brings something: about as long as it takes to sleep and to be woken.
const WORTH: Duration = Duration::from_micros(20);
/// What an account can hold.
const MOST: Duration = Duration::from_micros(400);
/// How long an account that is empty is closed for the first time; each further time it is twice as long.
const FIRST: Duration = Duration::from_millis(4);
/// After so many doublings no longer: a second.
const DOUBLINGS: u32 = 8;
/// So many spins that brought something, and the next time is the first one again.
const MANY: u32 = 1000;

/// What a connection's spins have saved, less what was lost by those that brought nothing in time: the CPU's time, or,
/// where others had the CPU meanwhile, the time until this side had it again. Once all is lost, waits begin with sleep
/// for a while.
pub(super) struct Account {
    saved: Duration,
    last_wait: Option<Instant>,
    closed_until: Option<Instant>,
    times_closed: u32,
    /// Spins since then that brought something.
    good: u32,
}

impl Default for Account {
    /// Enough to find out.
    fn default() -> Self {
        Self { saved: MOST / 2, last_wait: None, closed_until: None, times_closed: 0, good: 0 }
    }
}

impl Account {
    /// Which allows a spin soon.
    #[cfg(test)]
    pub fn open() -> Self {
        Self { last_wait: Some(Instant::now()), ..Self::default() }
    }

    /// Whether a wait that begins now may begin with a spin. The first one after a while may not: the other side sleeps.
    fn allows(&mut self, now: Instant) -> bool {
        let is_busy = self.last_wait.replace(now).is_some_and(|last| now.duration_since(last) < MOMENT);
        is_busy && self.closed_until.is_none_or(|until| until <= now)
    }

    /// A spin that has just ended, and should have taken at most so long, took so long, and brought something or not.
    fn settle(&mut self, most: Duration, took: Duration, brought: bool, now: Instant) {
        if brought && took <= 2 * most {
            self.saved = (self.saved + WORTH.saturating_sub(took)).min(MOST);
            self.good += 1;
            if self.good >= MANY {
                (self.times_closed, self.good) = (0, 0);
            }
            return;
        }
        // Where there was nothing to be had, nothing was lost while others had the CPU.
        let lost = if brought { took } else { took.min(most) };
        if lost > self.saved {
            self.closed_until = now.checked_add(FIRST * (1 << self.times_closed));
            self.times_closed = DOUBLINGS.min(self.times_closed + 1);
            self.good = 0;
        }
        self.saved = self.saved.saturating_sub(lost);
    }
}

impl Core {
    /// Spins, if that is likely to pay: what was read, if anything was. Needs the role.
    pub(super) fn read_soon(&self, link: &Link, deadline: Option<Instant>) -> Option<Batch> {
        self.may_spin(deadline).then(|| self.spin(link)).flatten()
    }

    /// Whether a wait that begins now, for something that matters until the deadline, should begin with a spin. Nobody
    /// may have the role but the caller.
    pub(super) fn may_spin(&self, deadline: Option<Instant>) -> bool {
        let Some(most) = settings::SPIN.unless_zero() else { return false };
        // Where a user's test holds messages up, that decides when they are read.
        if self.faults.get().is_some() {
            return false;
        }
        let now = Instant::now();
        let ends_late = deadline.is_some_and(|deadline| deadline < now + most);
        lock(&self.reader).spins.allows(now) && !ends_late
    }

    /// Spins: what was read, if anything was. Needs the role.
    pub(super) fn spin(&self, link: &Link) -> Option<Batch> {
        let _place = Place::take()?;
        let mut reader = lock(&self.reader);
        let (most, begun) = (settings::SPIN.get(), Instant::now());
        loop {
            thread::yield_now();
            let batch = reader.read(&link.socket, RecvFlags::DONTWAIT);
            let now = Instant::now();
            let took = now.duration_since(begun);
            if !batch.is_nothing || took >= most {
                reader.spins.settle(most, took, !batch.is_nothing, now);
                return Some(batch).filter(|batch| !batch.is_nothing);
            }
        }
    }
}

/// No more threads of a process spin at once than it has CPUs: more would wait for one another.
struct Place;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

impl Place {
    fn take() -> Option<Self> {
        static PLACES: OnceLock<usize> = OnceLock::new();
        let places = *PLACES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from));
        let taken = TAKEN.fetch_add(1, Ordering::Relaxed);
        // One too many gives itself back.
        let place = Self;
        (taken < places).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROSECONDS: fn(u64) -> Duration = Duration::from_micros;
    const SHOULD: Duration = Duration::from_micros(30);

    /// Has the account settle spins that took so long for a second, in which a wait begins every ten microseconds where
    /// it does not spin; says how much time went into them.
    fn lost(account: &mut Account, took: Duration, brought: bool) -> Duration {
        let (begin, mut lost) = (Instant::now(), Duration::ZERO);
        let mut now = begin;
        while now < begin + Duration::from_secs(10) {
            if account.allows(now) {
                now += took;
                lost += took;
                account.settle(SHOULD, took, brought, now);
            }
            now += MICROSECONDS(10);
        }
        lost
    }

    #[test]
    fn spins_in_vain_become_seldom_and_never_cease() {
        for (took, brought, least, most) in [(30, false, 400, 1500), (3000, true, 20_000, 100_000)] {
            let lost = lost(&mut Account::default(), MICROSECONDS(took), brought);
            assert!(lost > MICROSECONDS(least), "{lost:?}: it tries again");
            assert!(lost < MICROSECONDS(most), "{lost:?} of 10 s");
        }
    }

    #[test]
    fn where_spins_bring_something_one_in_vain_now_and_then_does_no_harm() {
        let (mut account, mut now) = (Account::default(), Instant::now());
        account.allows(now);
        for turn in 0..1000 {
            now += MICROSECONDS(10);
            assert!(account.allows(now), "{turn}");
            let in_vain = turn % 10 == 9;
            account.settle(SHOULD, MICROSECONDS(if in_vain { 30 } else { 4 }), !in_vain, now);
        }
    }

    #[test]
    fn a_lost_cpu_closes_for_a_moment_and_one_that_is_lost_over_and_over_for_long() {
        let (mut account, mut now) = (Account::default(), Instant::now());
        for (good, expected) in [(0, 4), (25, 8), (25, 16), (MANY, 4)] {
            for _ in 0..good {
                account.settle(SHOULD, MICROSECONDS(4), true, now);
            }
            account.settle(SHOULD, MICROSECONDS(3000), true, now);
            let closed = account.closed_until.unwrap() - now;
            assert_eq!(closed, Duration::from_millis(expected), "after {good}");
            now += closed;
        }
    }

    #[test]
    fn the_first_wait_after_a_while_sleeps() {
        let (mut account, now) = (Account::default(), Instant::now());
        assert!(!account.allows(now));
        assert!(account.allows(now + MICROSECONDS(10)));
        assert!(!account.allows(now + 2 * MOMENT));
    }

    #[test]
    fn there_are_as_many_places_as_cpus() {
        let places: Vec<Place> = std::iter::from_fn(Place::take).take(10_000).collect();
        // Other tests spin, too.
        assert!(places.len() <= thread::available_parallelism().map_or(1, usize::from));
        drop(places);
    }
}
