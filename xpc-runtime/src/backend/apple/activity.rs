//! Background work, over `xpc_activity`.

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::sync::{Arc, Mutex};

use xpc_object::{Dictionary, EncodeError};
use xpc_runtime_sys::activity::*;

use super::block::Block;
use super::entry::Entry;
use super::lock;
use super::log;
use super::object::{self, Retained};
use super::raw::*;
use crate::activity::{Criteria, Priority};
use crate::{ActivityState, Error};

type Handler = Box<dyn FnMut(Activity) + Send>;
type CheckIn = Box<dyn FnOnce(Option<Criteria>) -> Option<Criteria> + Send>;

pub(crate) fn register(identifier: &str, criteria: &Criteria, handler: Handler) -> Result<(), Error> {
    let identifier = text(identifier)?;
    let criteria = to_dictionary(criteria)?;
    register_with(&identifier, criteria.as_ptr(), None, handler);
    Ok(())
}

pub(crate) fn check_in(identifier: &str, check_in: CheckIn, handler: Handler) -> Result<(), Error> {
    let identifier = text(identifier)?;
    // SAFETY: a constant of libxpc's, set before any code of this program's runs.
    let criteria = unsafe { XPC_ACTIVITY_CHECK_IN };
    register_with(&identifier, criteria, Some(check_in), handler);
    Ok(())
}

fn register_with(identifier: &CStr, criteria: xpc_object_t, check_in: Option<CheckIn>, handler: Handler) {
    let registered = Registered { check_in: Mutex::new(check_in), handler: Mutex::new(handler) };
    let block = Block::handler(move |activity| registered.handle(activity));
    log::catch_panics();
    // SAFETY: a C string that is copied, a dictionary that is read or the constant for checking in, and a block with the
    // signature of an activity's handler, which is copied.
    unsafe { xpc_activity_register(identifier.as_ptr(), criteria, block.as_ptr()) };
}

pub(crate) fn unregister(identifier: &str) {
    // With a NUL in it, it is nobody's.
    if let Ok(identifier) = text(identifier) {
        // SAFETY: a C string that is not kept.
        unsafe { xpc_activity_unregister(identifier.as_ptr()) };
    }
}

/// What the block of an activity owns.
struct Registered {
    check_in: Mutex<Option<CheckIn>>,
    /// libxpc calls one at a time; the lock costs nothing then.
    handler: Mutex<Handler>,
}

impl Registered {
    fn handle(&self, activity: xpc_object_t) {
        let entry = Entry::new();
        // SAFETY: libxpc lends the activity for the call, and passes no null.
        if let Some(object) = unsafe { Retained::borrowed(activity) } {
            // SAFETY: a live activity.
            match unsafe { xpc_activity_get_state(object.as_ptr()) } {
                XPC_ACTIVITY_STATE_CHECK_IN => self.check_in(&object),
                XPC_ACTIVITY_STATE_RUN => self.run(object),
                _ => {}
            }
        }
        entry.leave();
    }

    fn check_in(&self, object: &Retained) {
        let Some(check_in) = lock(&self.check_in).take() else { return };
        // SAFETY: a live activity. The result is owned, or null where there are no criteria.
        let current = unsafe { Retained::owned(xpc_activity_copy_criteria(object.as_ptr())) };
        let current =
            current.filter(object::is_dictionary).map(|criteria| from_dictionary(&object::contents(&criteria)));
        let Some(criteria) = check_in(current) else { return };
        match to_dictionary(&criteria) {
            // SAFETY: a live activity and a dictionary, which is read.
            Ok(criteria) => unsafe { xpc_activity_set_criteria(object.as_ptr(), criteria.as_ptr()) },
            Err(error) => eprintln!("XPC activity: the criteria were not changed: {error}"),
        }
    }

    fn run(&self, object: Retained) {
        let run = Arc::new(Run { object, progress: Mutex::new(Progress::InHandler) });
        (lock(&self.handler))(Activity { run: run.clone(), outcome: XPC_ACTIVITY_STATE_DONE });
        let mut progress = lock(&run.progress);
        if *progress == Progress::InHandler {
            *progress = Progress::Continues;
            // With the lock held: whoever ends the run does so after this.
            run.set(XPC_ACTIVITY_STATE_CONTINUE);
        }
    }
}

struct Run {
    object: Retained,
    progress: Mutex<Progress>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    InHandler,
    Continues,
    Over,
}

impl Run {
    fn set(&self, state: xpc_activity_state_t) {
        // SAFETY: a live activity. False says that the system has given the activity up meanwhile: there is nothing left
        // to say then.
        let _ = unsafe { xpc_activity_set_state(self.object.as_ptr(), state) };
    }
}

/// One run.
pub(crate) struct Activity {
    run: Arc<Run>,
    /// What its drop sets.
    outcome: xpc_activity_state_t,
}

impl Activity {
    pub(crate) fn should_defer(&self) -> bool {
        // SAFETY: a live activity.
        unsafe { xpc_activity_should_defer(self.run.object.as_ptr()) }
    }

    pub(crate) fn defer(mut self) {
        self.outcome = XPC_ACTIVITY_STATE_DEFER;
    }
}

pub(crate) fn state(activity: &Activity) -> ActivityState {
    // SAFETY: a live activity.
    match unsafe { xpc_activity_get_state(activity.run.object.as_ptr()) } {
        XPC_ACTIVITY_STATE_RUN => ActivityState::Run,
        XPC_ACTIVITY_STATE_CONTINUE => ActivityState::Continue,
        _ => ActivityState::Other,
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        let mut progress = lock(&self.run.progress);
        *progress = Progress::Over;
        self.run.set(self.outcome);
    }
}

fn text(identifier: &str) -> Result<CString, Error> {
    CString::new(identifier).map_err(|_| EncodeError::NulInString(identifier.to_owned()).into())
}

/// The key that C's constant is.
///
/// # Safety
/// A constant of libxpc's: a C string that is always there.
unsafe fn key(constant: *const c_char) -> String {
    // SAFETY: by this function's contract.
    unsafe { CStr::from_ptr(constant) }.to_string_lossy().into_owned()
}

/// The keys of the criteria.
struct Keys {
    interval: String,
    delay: String,
    grace_period: String,
    repeating: String,
    priority: String,
    maintenance: String,
    utility: String,
    allow_battery: String,
    require_screen_sleep: String,
    /// macOS 12's.
    prevent_device_sleep: Option<String>,
}

impl Keys {
    fn new() -> Self {
        // SAFETY: libxpc's constants; what is looked up at run time is a pointer to one.
        unsafe {
            Self {
                interval: key(XPC_ACTIVITY_INTERVAL),
                delay: key(XPC_ACTIVITY_DELAY),
                grace_period: key(XPC_ACTIVITY_GRACE_PERIOD),
                repeating: key(XPC_ACTIVITY_REPEATING),
                priority: key(XPC_ACTIVITY_PRIORITY),
                maintenance: key(XPC_ACTIVITY_PRIORITY_MAINTENANCE),
                utility: key(XPC_ACTIVITY_PRIORITY_UTILITY),
                allow_battery: key(XPC_ACTIVITY_ALLOW_BATTERY),
                require_screen_sleep: key(XPC_ACTIVITY_REQUIRE_SCREEN_SLEEP),
                prevent_device_sleep: XPC_ACTIVITY_PREVENT_DEVICE_SLEEP().map(|constant| key(ptr::read(constant))),
            }
        }
    }
}

fn to_dictionary(criteria: &Criteria) -> Result<Retained, Error> {
    let keys = Keys::new();
    let mut dictionary = Dictionary::new();
    let times =
        [(keys.interval, criteria.interval), (keys.delay, criteria.delay), (keys.grace_period, criteria.grace_period)];
    for (key, seconds) in times {
        if let Some(seconds) = seconds {
            dictionary.insert(key, i64::try_from(seconds).unwrap_or(i64::MAX));
        }
    }
    let conditions = [
        (keys.repeating, criteria.repeating),
        (keys.allow_battery, criteria.allow_battery),
        (keys.require_screen_sleep, criteria.require_screen_sleep),
    ];
    for (key, value) in conditions {
        if let Some(value) = value {
            dictionary.insert(key, value);
        }
    }
    if let Some(prevent) = criteria.prevent_device_sleep {
        let key = keys.prevent_device_sleep.ok_or(Error::Unsupported("`prevent_device_sleep` needs macOS 12"))?;
        dictionary.insert(key, prevent);
    }
    match criteria.priority {
        Some(Priority::Maintenance) => dictionary.insert(keys.priority, keys.maintenance),
        Some(Priority::Utility) => dictionary.insert(keys.priority, keys.utility),
        None => None,
    };
    Ok(object::dictionary(&dictionary)?)
}

fn from_dictionary(dictionary: &Dictionary) -> Criteria {
    let keys = Keys::new();
    let seconds = |key: &str| dictionary.int64(key).ok().and_then(|seconds| u64::try_from(seconds).ok());
    let condition = |key: &str| dictionary.bool(key).ok();
    Criteria {
        interval: seconds(&keys.interval),
        delay: seconds(&keys.delay),
        grace_period: seconds(&keys.grace_period),
        repeating: condition(&keys.repeating),
        priority: match dictionary.string(&keys.priority) {
            Ok(priority) if *priority == *keys.maintenance => Some(Priority::Maintenance),
            Ok(priority) if *priority == *keys.utility => Some(Priority::Utility),
            _ => None,
        },
        allow_battery: condition(&keys.allow_battery),
        require_screen_sleep: condition(&keys.require_screen_sleep),
        prevent_device_sleep: keys.prevent_device_sleep.as_deref().and_then(condition),
    }
}
