//! Background work.

use std::fmt;
use std::time::Duration;

use crate::{Error, backend};

/// When background work is to be done, and under what conditions. Times are whole seconds: parts of one count as one.
///
/// On Apple platforms the system finds an opportune time by all of this. On Linux a run begins at its time; the grace
/// period, the priority and the conditions are ignored there, since nothing knows of battery, screen and load, and
/// `XPC_RUNTIME_ACTIVITY_SECOND` sets how long a second is, for tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Criteria {
    pub(crate) interval: Option<u64>,
    pub(crate) delay: Option<u64>,
    pub(crate) grace_period: Option<u64>,
    pub(crate) repeating: Option<bool>,
    pub(crate) priority: Option<Priority>,
    pub(crate) allow_battery: Option<bool>,
    pub(crate) require_screen_sleep: Option<bool>,
    pub(crate) prevent_device_sleep: Option<bool>,
}

/// What kind of work it is; it decides on battery, heat and low power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// What users do not see: clearing away, optimising.
    #[doc(alias = "XPC_ACTIVITY_PRIORITY_MAINTENANCE")]
    Maintenance,
    /// What users see the results of: fetching, importing.
    #[doc(alias = "XPC_ACTIVITY_PRIORITY_UTILITY")]
    Utility,
}

impl Criteria {
    /// Once, after this time.
    #[doc(alias = "XPC_ACTIVITY_DELAY")]
    pub fn once(delay: Duration) -> Self {
        Self { delay: Some(seconds(delay)), repeating: Some(false), ..Self::default() }
    }

    /// Again and again, on average this far apart. Unless something else is said, two runs are at least half of that
    /// apart, and the first begins after half of it.
    #[doc(alias = "XPC_ACTIVITY_INTERVAL")]
    pub fn every(interval: Duration) -> Self {
        Self { interval: Some(seconds(interval)), ..Self::default() }
    }

    /// How long to wait before the first run, and at least between two.
    #[doc(alias = "XPC_ACTIVITY_DELAY")]
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay: Some(seconds(delay)), ..self }
    }

    /// How late a run may be before the system looks less closely for an opportune time. By default half of the
    /// interval.
    #[doc(alias = "XPC_ACTIVITY_GRACE_PERIOD")]
    pub fn grace_period(self, grace_period: Duration) -> Self {
        Self { grace_period: Some(seconds(grace_period)), ..self }
    }

    /// Whether there are further runs after the first; by default, where there is an interval.
    #[doc(alias = "XPC_ACTIVITY_REPEATING")]
    pub fn repeating(self, repeating: bool) -> Self {
        Self { repeating: Some(repeating), ..self }
    }

    /// What kind of work it is.
    #[doc(alias = "XPC_ACTIVITY_PRIORITY")]
    pub fn priority(self, priority: Priority) -> Self {
        Self { priority: Some(priority), ..self }
    }

    /// Whether it may run on battery; by default, where it is of [`Priority::Utility`].
    #[doc(alias = "XPC_ACTIVITY_ALLOW_BATTERY")]
    pub fn allow_battery(self, allow: bool) -> Self {
        Self { allow_battery: Some(allow), ..self }
    }

    /// Whether it runs only while the screen sleeps; by default not.
    #[doc(alias = "XPC_ACTIVITY_REQUIRE_SCREEN_SLEEP")]
    pub fn require_screen_sleep(self, require: bool) -> Self {
        Self { require_screen_sleep: Some(require), ..self }
    }

    /// Whether the device is kept from sleeping on battery while it runs; by default not. macOS 12.
    #[doc(alias = "XPC_ACTIVITY_PREVENT_DEVICE_SLEEP")]
    pub fn prevent_device_sleep(self, prevent: bool) -> Self {
        Self { prevent_device_sleep: Some(prevent), ..self }
    }
}

fn seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).min(i64::MAX.cast_unsigned())
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ActivityState {
    /// Its handler has not returned.
    #[doc(alias = "XPC_ACTIVITY_STATE_RUN")]
    Run,
    /// It goes on past its handler's return.
    #[doc(alias = "XPC_ACTIVITY_STATE_CONTINUE")]
    Continue,
    /// Any other state of C's.
    Other,
}

/// One run of background work. It goes on as long as this lives: dropped, or given to [`done`](Self::done), it is over.
/// To go on past its handler's return, move it to another thread or into a future.
///
/// ```no_run
/// use std::time::Duration;
/// use xpc_runtime::{Activity, Criteria, Error};
/// # fn next_piece() -> bool { false }
///
/// Activity::register("com.example.demo.tidy", &Criteria::every(Duration::from_secs(24 * 60 * 60)), |activity| {
///     while next_piece() {
///         if activity.should_defer() {
///             return activity.defer();
///         }
///     }
///     activity.done();
/// })?;
/// # Ok::<(), Error>(())
/// ```
#[doc(alias = "xpc_activity_t")]
#[must_use = "a run is over when it is dropped"]
pub struct Activity(backend::activity::Activity);

impl Activity {
    /// Has `handler` called whenever it is time, in place of what the identifier stood for. One run goes on at a time. A
    /// panic in the handler ends the process.
    ///
    /// The identifier is for the kind of work, and the same after every start of the app; each app has identifiers of
    /// its own. On Apple platforms the system knows it from then on; on Linux it is the process's, and what was
    /// registered goes with it. While it waits, a service may be ended for being idle, and what only Apple's launchd
    /// does, for jobs of its own, is to start it again for that.
    ///
    /// # Errors
    /// [`Error::Encode`] for an identifier with a NUL in it; [`Error::Unsupported`] for
    /// [`Criteria::prevent_device_sleep`] before macOS 12.
    #[doc(alias = "xpc_activity_register")]
    pub fn register(
        identifier: &str,
        criteria: &Criteria,
        mut handler: impl FnMut(Self) + Send + 'static,
    ) -> Result<(), Error> {
        backend::activity::register(identifier, criteria, Box::new(move |activity| handler(Self(activity))))
    }

    /// Takes over work that is registered already: by the `LaunchEvents` of a launchd job, or by an earlier start.
    ///
    /// `check_in` is told the criteria, `None` where there are none (any more), and may give others in their place. It is
    /// called once, perhaps after this function has returned; then `handler`, as for [`register`](Self::register). On
    /// Linux there is only what this process has registered.
    ///
    /// # Errors
    /// As for [`register`](Self::register), but new criteria with
    /// [`prevent_device_sleep`](Criteria::prevent_device_sleep) are not set where the system does not know it, which is
    /// written to standard error.
    #[doc(alias = "XPC_ACTIVITY_CHECK_IN")]
    #[doc(alias = "XPC_ACTIVITY_STATE_CHECK_IN")]
    #[doc(alias = "xpc_activity_copy_criteria")]
    #[doc(alias = "xpc_activity_set_criteria")]
    pub fn check_in(
        identifier: &str,
        check_in: impl FnOnce(Option<Criteria>) -> Option<Criteria> + Send + 'static,
        mut handler: impl FnMut(Self) + Send + 'static,
    ) -> Result<(), Error> {
        let handler = Box::new(move |activity| handler(Self(activity)));
        backend::activity::check_in(identifier, Box::new(check_in), handler)
    }

    /// Ends what was registered: no further run begins. One that goes on is not touched.
    #[doc(alias = "xpc_activity_unregister")]
    pub fn unregister(identifier: &str) {
        backend::activity::unregister(identifier);
    }

    /// Whether the conditions have changed and the work should pause: then [`defer`](Self::defer). On Linux, when the
    /// process was told to end, and where [`testing::defer_activity`](crate::testing::defer_activity) asked for it.
    #[doc(alias = "xpc_activity_should_defer")]
    pub fn should_defer(&self) -> bool {
        self.0.should_defer()
    }

    /// Where the run is.
    #[doc(alias = "xpc_activity_get_state")]
    pub fn state(&self) -> ActivityState {
        backend::activity::state(&self.0)
    }

    /// The work pauses, because of [`should_defer`](Self::should_defer): the handler is called again as soon as the
    /// conditions allow it. Work that cannot be done for reasons of its own is [`done`](Self::done).
    #[doc(alias = "XPC_ACTIVITY_STATE_DEFER")]
    #[doc(alias = "xpc_activity_set_state")]
    pub fn defer(self) {
        self.0.defer();
    }

    /// The work is done, until the next time. So it is when this is dropped.
    #[doc(alias = "XPC_ACTIVITY_STATE_DONE")]
    #[doc(alias = "xpc_activity_set_state")]
    pub fn done(self) {
        drop(self);
    }
}

impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activity").field("state", &self.state()).finish_non_exhaustive()
    }
}
