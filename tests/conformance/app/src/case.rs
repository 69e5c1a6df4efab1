//! What a test is.

use xpc_runtime::Error;

/// A test's own failure, in words; `?` works on what the runtime says, and assertions are failures too.
pub type Outcome = Result<(), Error>;

/// One test.
pub struct Case {
    /// The number of the rule in the table, or of the feature.
    pub rule: &'static str,
    pub name: &'static str,
    pub run: fn() -> Outcome,
    pub needs: Needs,
    /// What the app's environment sets: time constants of the portable backend's launcher.
    pub environment: &'static [(&'static str, &'static str)],
    /// Apple says so nowhere; found in other people's code, or by trying.
    pub unverified: bool,
}

/// What a test needs besides what every backend has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    /// Times that can be set, faults that can be caused, or output that is forwarded: the portable backend's launcher. launchd
    /// has none of these.
    PortableLauncher,
    /// Seconds of a length that can be set, which all backends but libxpc have.
    ShortSeconds,
}

impl Needs {
    /// Whether it is there.
    pub fn are_met(self) -> bool {
        match self {
            Self::Nothing => true,
            Self::PortableLauncher => cfg!(not(any(target_vendor = "apple", xpc_runtime_force_apple))),
            Self::ShortSeconds => cfg!(not(target_vendor = "apple")),
        }
    }
}

impl Case {
    /// A test that runs everywhere.
    pub const fn new(rule: &'static str, name: &'static str, run: fn() -> Outcome) -> Self {
        Self { rule, name, run, needs: Needs::Nothing, environment: &[], unverified: false }
    }

    /// The same, on the portable backend's launcher only.
    pub const fn portable(mut self, environment: &'static [(&'static str, &'static str)]) -> Self {
        self.needs = Needs::PortableLauncher;
        self.environment = environment;
        self
    }

    /// The same, where a second of an activity's is short.
    pub const fn in_short_seconds(mut self) -> Self {
        self.needs = Needs::ShortSeconds;
        self.environment = &[("XPC_RUNTIME_ACTIVITY_SECOND", "0.02")];
        self
    }

    /// The same, of a rule that nobody has seen written down.
    pub const fn unverified(mut self) -> Self {
        self.unverified = true;
        self
    }
}
