//! The time constants, each with the environment variable that sets it.

use std::env;
use std::sync::OnceLock;
use std::time::Duration;

/// One time constant: a number of seconds, fractions allowed, in the environment of the app. It is read once.
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// What holds where the variable is not set, or is no number.
    pub default: Duration,
    value: OnceLock<Duration>,
}

impl Setting {
    const fn new(variable: &'static str, milliseconds: u64) -> Self {
        Self::of_microseconds(variable, 1000 * milliseconds)
    }

    const fn of_microseconds(variable: &'static str, microseconds: u64) -> Self {
        Self { variable, default: Duration::from_micros(microseconds), value: OnceLock::new() }
    }

    /// What is in force.
    pub(crate) fn get(&self) -> Duration {
        *self.value.get_or_init(|| {
            let Some(text) = env::var_os(self.variable) else { return self.default };
            let text = text.to_string_lossy();
            parse(&text).unwrap_or_else(|| {
                eprintln!("{}={text} is no number of seconds; {:?} are taken", self.variable, self.default);
                self.default
            })
        })
    }

    /// As [`get`](Self::get), where 0 means never.
    pub(crate) fn unless_zero(&self) -> Option<Duration> {
        Some(self.get()).filter(|value| !value.is_zero())
    }
}

fn parse(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()
}

/// Who lived shorter ended early, and the longest delay between two starts of such a service; 0 turns throttling off.
/// As long as launchd's (`ThrottleInterval` of `launchd.plist(5)`).
pub static THROTTLE: Setting = Setting::new("XPC_RUNTIME_THROTTLE", 10_000);
/// The first delay of a service that ends early over and over; each further one is twice as long.
pub static FIRST_DELAY: Setting = Setting::new("XPC_RUNTIME_THROTTLE_FIRST", 250);
/// How long a service without an open transaction is left running; 0 means for ever.
pub static IDLE_EXIT: Setting = Setting::new("XPC_RUNTIME_IDLE_EXIT", 60_000);
/// How long a service that was told to end may take to end its transactions. As long as launchd's (`ExitTimeOut`).
pub static EXIT_TIMEOUT: Setting = Setting::new("XPC_RUNTIME_EXIT_TIMEOUT", 20_000);
/// How long a thread that nothing needs any more waits for work before it ends; services have this, the next two and
/// [`SPIN`] from their app.
pub static IDLE_THREAD: Setting = Setting::new("XPC_RUNTIME_IDLE_THREAD", 10_000);
/// In what time the peer of an accepted connection has to take [`STALL_BYTES`] while the connection's budget is used up;
/// otherwise it is cut off. 0 means that it may take for ever. As long as servers of other kinds wait by default.
pub static STALL_TIMEOUT: Setting = Setting::new("XPC_RUNTIME_STALL_TIMEOUT", 60_000);
/// How much that is, unless less waits; a descriptor counts as 16 KiB. A kibibyte a second by default: less than any
/// program takes that goes on, and enough that nobody holds 64 MiB for longer than a day by taking a byte now and then.
pub const STALL_BYTES: u64 = 64 << 10;
/// How long a second of an activity's criteria is.
pub static ACTIVITY_SECOND: Setting = Setting::new("XPC_RUNTIME_ACTIVITY_SECOND", 1000);
/// How soon something is tried again that the kernel has no room for at the moment.
pub static RETRY: Setting = Setting::new("XPC_RUNTIME_RETRY", 10);
/// How long a thread that expects a reply, or the next request, looks for it again and again before it sleeps; between
/// two looks it gives its CPU to whoever wants it. The first poll of a reply's future does so, too. Connections where
/// that saves no time do without by themselves. 0 means that threads sleep at once.
pub static SPIN: Setting = Setting::of_microseconds("XPC_RUNTIME_SPIN", 30);

/// What holds in services as in their app.
pub(crate) static OF_SERVICES: [&Setting; 4] = [&IDLE_THREAD, &STALL_TIMEOUT, &ACTIVITY_SECOND, &SPIN];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_have_fractions_and_nothing_else() {
        assert_eq!(parse(" 0.25 "), Some(Duration::from_millis(250)));
        assert_eq!(parse("0"), Some(Duration::ZERO));
        for text in ["", "-1", "1s", "inf", "NaN"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
