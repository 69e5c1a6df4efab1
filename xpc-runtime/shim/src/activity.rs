//! Background work, by the transport's clock.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_long};
use std::ptr;
use std::sync::{Arc, Mutex};

use xpc_portable::activity;

use crate::block::{Block, LentBlock};
use crate::convert;
use crate::dictionary::dictionary;
use crate::lock;
use crate::object::{Lent, Object, Ref};
use crate::pool;
use crate::text::Text;
use crate::value::Value;

const CHECK_IN: c_long = 0;
const RUN: c_long = 2;
const DEFER: c_long = 3;
const CONTINUE: c_long = 4;
const DONE: c_long = 5;

/// A pointer to a constant, as C has it.
#[repr(transparent)]
pub struct Constant<T>(*const T);

// SAFETY: it points to a constant that may be shared.
unsafe impl<T> Sync for Constant<T> {}

macro_rules! keys {
    ($($symbol:ident = $text:literal;)*) => {$(
        #[doc = concat!("`", stringify!($symbol), "`")]
        #[unsafe(no_mangle)]
        pub static $symbol: Constant<c_char> = Constant($text.as_ptr());
    )*};
}

const INTERVAL: &str = "Interval";
const DELAY: &str = "Delay";
const REPEATING: &str = "Repeating";

keys! {
    XPC_ACTIVITY_INTERVAL = c"Interval";
    XPC_ACTIVITY_DELAY = c"Delay";
    XPC_ACTIVITY_REPEATING = c"Repeating";
    XPC_ACTIVITY_GRACE_PERIOD = c"GracePeriod";
    XPC_ACTIVITY_PRIORITY = c"Priority";
    XPC_ACTIVITY_PRIORITY_MAINTENANCE = c"Maintenance";
    XPC_ACTIVITY_PRIORITY_UTILITY = c"Utility";
    XPC_ACTIVITY_ALLOW_BATTERY = c"AllowBattery";
    XPC_ACTIVITY_REQUIRE_SCREEN_SLEEP = c"RequireScreenSleep";
    XPC_ACTIVITY_PREVENT_DEVICE_SLEEP = c"PreventDeviceSleep";
}

static CHECK_IN_OBJECT: Object = Object::immortal(Value::Null);

/// `XPC_ACTIVITY_CHECK_IN`
#[unsafe(no_mangle)]
pub static XPC_ACTIVITY_CHECK_IN: Constant<Object> = Constant(&raw const CHECK_IN_OBJECT);

/// The criteria of what is registered, and was.
static CRITERIA: Mutex<Option<HashMap<CString, Ref>>> = Mutex::new(None);

/// An object of type `XPC_TYPE_ACTIVITY`.
pub struct Activity {
    identifier: CString,
    progress: Mutex<Progress>,
}

struct Progress {
    state: c_long,
    /// There is none at a check-in.
    run: Option<activity::Activity>,
    /// What is set at a check-in.
    criteria: Option<Ref>,
}

impl Activity {
    pub fn may_go(&self) {
        if lock(&self.progress).state == CONTINUE {
            misuse!("an activity is released that goes on: it was neither done nor deferred");
        }
    }
}

fn object(identifier: &CStr, state: c_long, run: Option<activity::Activity>) -> Ref {
    let progress = Mutex::new(Progress { state, run, criteria: None });
    Ref::new(Value::Activity(Activity { identifier: identifier.to_owned(), progress }))
}

fn activity<'a>(object: Lent, function: &str) -> &'a Activity {
    match object.value() {
        Value::Activity(activity) => activity,
        other => misuse!("{function} is called for a {}", other.name()),
    }
}

/// `void xpc_activity_register(const char *, xpc_object_t, xpc_activity_handler_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_activity_register(identifier: Text, criteria: Lent, handler: LentBlock) {
    let identifier = identifier.expect("the identifier of an activity").to_owned();
    let handler = Arc::new(handler.copy());
    if ptr::eq(criteria.get(), &raw const CHECK_IN_OBJECT) {
        return pool::submit(move || check_in(&identifier, handler));
    }
    dictionary(criteria, "xpc_activity_register");
    register(identifier, criteria.retained(), handler);
}

fn check_in(identifier: &CStr, handler: Arc<Block>) {
    let checked_in = object(identifier, CHECK_IN, None);
    handler.call(checked_in.lend());
    let Value::Activity(activity) = checked_in.value() else { return };
    let given = lock(&activity.progress).criteria.take();
    if let Some(criteria) = given.or_else(|| known(identifier)) {
        register(identifier.to_owned(), criteria, handler);
    }
}

/// The criteria of what is still to be done.
fn known(identifier: &CStr) -> Option<Ref> {
    if !activity::is_registered(&identifier.to_string_lossy()) {
        return None;
    }
    lock(&CRITERIA).as_ref()?.get(identifier).cloned()
}

fn register(identifier: CString, criteria: Ref, handler: Arc<Block>) {
    let Value::Dictionary(entries) = criteria.value() else { misuse!("criteria are a dictionary") };
    let entries = convert::contents(entries).unwrap_or_else(|error| misuse!("{error}"));
    let seconds = |key| match entries.int64(key) {
        Ok(seconds) => Some(seconds.unsigned_abs()),
        Err(_) if entries.get(key).is_none() => None,
        Err(error) => misuse!("the criteria of an activity: {error}"),
    };
    let interval = seconds(INTERVAL);
    let delay = seconds(DELAY).or(interval.map(|interval| interval / 2)).unwrap_or(0);
    let repeating = entries.bool(REPEATING).unwrap_or(interval.is_some());
    let schedule = activity::Schedule { delay, interval: repeating.then(|| interval.unwrap_or(delay.max(1))) };
    lock(&CRITERIA).get_or_insert_default().insert(identifier.clone(), criteria);
    let name = identifier.to_string_lossy().into_owned();
    let run = move |run: activity::Activity| {
        let activity = object(&identifier, RUN, Some(run));
        handler.call(activity.lend());
        let Value::Activity(handled) = activity.value() else { return };
        let mut progress = lock(&handled.progress);
        if progress.state == RUN {
            // Whoever says nothing is done.
            progress.state = DONE;
            let run = progress.run.take();
            drop(progress);
            drop(run);
        }
    };
    activity::register(&name, schedule, Box::new(run));
}

/// `void xpc_activity_unregister(const char *)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_activity_unregister(identifier: Text) {
    activity::unregister(&identifier.expect("the identifier of an activity").to_string_lossy());
}

/// `xpc_object_t xpc_activity_copy_criteria(xpc_activity_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_activity_copy_criteria(object: Lent) -> *mut Object {
    known(&activity(object, "xpc_activity_copy_criteria").identifier).map_or(ptr::null_mut(), Ref::into_owned)
}

/// `void xpc_activity_set_criteria(xpc_activity_t, xpc_object_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_activity_set_criteria(object: Lent, criteria: Lent) {
    dictionary(criteria, "xpc_activity_set_criteria");
    let mut progress = lock(&activity(object, "xpc_activity_set_criteria").progress);
    if progress.state != CHECK_IN {
        misuse!("the shim knows new criteria at a check-in only");
    }
    progress.criteria = Some(criteria.retained());
}

/// `xpc_activity_state_t xpc_activity_get_state(xpc_activity_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_activity_get_state(object: Lent) -> c_long {
    lock(&activity(object, "xpc_activity_get_state").progress).state
}

/// `bool xpc_activity_set_state(xpc_activity_t, xpc_activity_state_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_activity_set_state(object: Lent, state: c_long) -> bool {
    let mut progress = lock(&activity(object, "xpc_activity_set_state").progress);
    match (progress.state, state) {
        (RUN, CONTINUE) => progress.state = CONTINUE,
        (RUN | CONTINUE, DEFER | DONE) => {
            progress.state = state;
            let run = progress.run.take();
            drop(progress);
            match run {
                Some(run) if state == DEFER => run.defer(),
                run => drop(run),
            }
        }
        _ => return false,
    }
    true
}

/// `bool xpc_activity_should_defer(xpc_activity_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_activity_should_defer(object: Lent) -> bool {
    let progress = lock(&activity(object, "xpc_activity_should_defer").progress);
    progress.run.as_ref().is_some_and(activity::Activity::should_defer)
}
