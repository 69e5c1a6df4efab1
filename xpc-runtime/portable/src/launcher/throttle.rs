//! Services that end soon after their start again and again are started at longer and longer intervals.
//!
//! launchd does the same, by an interval of its own (`ThrottleInterval` in `launchd.plist(5)`: ten seconds by default).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::settings;

/// So many early ends in a row are forgiven: one that is being worked on crashes now and then.
const FORGIVEN: u32 = 3;

pub(super) struct Throttle {
    /// Who ended after a shorter life ended early; and the longest delay.
    interval: Duration,
    /// Each further delay is twice as long, up to the interval.
    first_delay: Duration,
    histories: HashMap<Arc<str>, History>,
}

struct History {
    started: Instant,
    early_ends: u32,
    not_before: Option<Instant>,
}

impl Throttle {
    pub fn from_environment() -> Self {
        Self::new(settings::THROTTLE.get(), settings::FIRST_DELAY.get())
    }

    fn new(interval: Duration, first_delay: Duration) -> Self {
        Self { interval, first_delay, histories: HashMap::new() }
    }

    /// When the service may be started, if not now.
    pub fn not_before(&self, name: &str, now: Instant) -> Option<Instant> {
        self.histories.get(name)?.not_before.filter(|due| *due > now)
    }

    pub fn started(&mut self, name: &Arc<str>, now: Instant) {
        let history =
            self.histories.entry(name.clone()).or_insert(History { started: now, early_ends: 0, not_before: None });
        history.started = now;
    }

    /// It was idle, or told to end: no crash.
    pub fn left(&mut self, name: &str) {
        self.histories.remove(name);
    }

    /// Gives the delay until its next start, if there is one.
    pub fn ended(&mut self, name: &str, now: Instant) -> Option<Duration> {
        let history = self.histories.get_mut(name)?;
        if now.duration_since(history.started) >= self.interval {
            history.early_ends = 0;
            history.not_before = None;
            return None;
        }
        history.early_ends = history.early_ends.saturating_add(1);
        let doublings = history.early_ends.checked_sub(FORGIVEN + 1)?;
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        let delay = self.first_delay.saturating_mul(factor).min(self.interval);
        history.not_before = now.checked_add(delay);
        Some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service that lives for `life`, and is wanted again at once; the delays before each further start.
    fn delays(throttle: &mut Throttle, lives: &[Duration]) -> Vec<u128> {
        let name: Arc<str> = "name".into();
        let mut now = Instant::now();
        let mut delays = Vec::new();
        for life in lives {
            now = throttle.not_before(&name, now).unwrap_or(now);
            throttle.started(&name, now);
            now += *life;
            let delay = throttle.ended(&name, now);
            assert_eq!(throttle.not_before(&name, now), delay.map(|delay| now + delay));
            delays.push(delay.map_or(0, |delay| delay.as_millis()));
        }
        delays
    }

    #[test]
    fn a_crash_loop_slows_down_and_a_long_life_is_a_new_start() {
        let short = Duration::from_millis(5);
        let mut throttle = Throttle::new(Duration::from_secs(1), Duration::from_millis(250));
        let seen = delays(&mut throttle, &[short; 7]);
        assert_eq!(seen, [0, 0, 0, 250, 500, 1000, 1000]);
        let seen = delays(&mut throttle, &[Duration::from_secs(1), short, short, short, short]);
        assert_eq!(seen, [0, 0, 0, 0, 250]);
    }

    #[test]
    fn services_are_throttled_apart_and_not_at_all_with_an_interval_of_zero() {
        let mut throttle = Throttle::new(Duration::from_secs(1), Duration::from_millis(250));
        delays(&mut throttle, &[Duration::ZERO; 5]);
        assert_eq!(throttle.not_before("another", Instant::now()), None);
        throttle.left("name");
        assert_eq!(throttle.not_before("name", Instant::now()), None, "who was idle did not crash");
        let mut off = Throttle::new(Duration::ZERO, Duration::from_millis(250));
        assert_eq!(delays(&mut off, &[Duration::ZERO; 20]), [0; 20]);
    }
}
