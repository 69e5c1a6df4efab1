//! `xpc/activity.h`: background work.

use std::ffi::c_char;

use crate::types::{block_t, xpc_activity_state_t, xpc_activity_t, xpc_object_t, xpc_type_s};

/// The criteria may be looked at, and set.
pub const XPC_ACTIVITY_STATE_CHECK_IN: xpc_activity_state_t = 0;
/// Waiting for the criteria to be met.
pub const XPC_ACTIVITY_STATE_WAIT: xpc_activity_state_t = 1;
/// They are met: the work may begin.
pub const XPC_ACTIVITY_STATE_RUN: xpc_activity_state_t = 2;
/// The work pauses, to be continued.
pub const XPC_ACTIVITY_STATE_DEFER: xpc_activity_state_t = 3;
/// The work goes on past the handler's return.
pub const XPC_ACTIVITY_STATE_CONTINUE: xpc_activity_state_t = 4;
/// The work is done.
pub const XPC_ACTIVITY_STATE_DONE: xpc_activity_state_t = 5;

unsafe extern "C" {
    /// macOS 10.9.
    pub static XPC_ACTIVITY_INTERVAL: *const c_char;
    /// macOS 10.9.
    pub static XPC_ACTIVITY_REPEATING: *const c_char;
    /// macOS 10.9.
    pub static XPC_ACTIVITY_DELAY: *const c_char;
    /// macOS 10.9.
    pub static XPC_ACTIVITY_GRACE_PERIOD: *const c_char;
    /// macOS 10.9.
    pub static XPC_ACTIVITY_INTERVAL_1_MIN: i64;
    /// macOS 10.9.
    pub static XPC_ACTIVITY_INTERVAL_5_MIN: i64;
    /// macOS 10.9.
    pub static XPC_ACTIVITY_INTERVAL_15_MIN: i64;
    /// macOS 10.9.
    pub static XPC_ACTIVITY_INTERVAL_30_MIN: i64;
    /// macOS 10.9.
    pub static XPC_ACTIVITY_INTERVAL_1_HOUR: i64;
    /// macOS 10.9.
    pub static XPC_ACTIVITY_INTERVAL_4_HOURS: i64;
    /// macOS 10.9.
    pub static XPC_ACTIVITY_INTERVAL_8_HOURS: i64;
    /// macOS 10.9.
    pub static XPC_ACTIVITY_INTERVAL_1_DAY: i64;
    /// macOS 10.9.
    pub static XPC_ACTIVITY_INTERVAL_7_DAYS: i64;
    /// macOS 10.9.
    pub static XPC_ACTIVITY_PRIORITY: *const c_char;
    /// macOS 10.9.
    pub static XPC_ACTIVITY_PRIORITY_MAINTENANCE: *const c_char;
    /// macOS 10.9.
    pub static XPC_ACTIVITY_PRIORITY_UTILITY: *const c_char;
    /// macOS 10.9.
    pub static XPC_ACTIVITY_ALLOW_BATTERY: *const c_char;
    /// macOS 10.9.
    pub static XPC_ACTIVITY_REQUIRE_SCREEN_SLEEP: *const c_char;
    /// macOS 10.9. Deprecated.
    pub static XPC_ACTIVITY_REQUIRE_BATTERY_LEVEL: *const c_char;
    /// macOS 10.9. Deprecated.
    pub static XPC_ACTIVITY_REQUIRE_HDD_SPINNING: *const c_char;
    /// macOS 10.9.
    pub static _xpc_type_activity: xpc_type_s;
    /// macOS 10.9.
    pub static XPC_ACTIVITY_CHECK_IN: xpc_object_t;
    /// macOS 10.9.
    pub fn xpc_activity_register(identifier: *const c_char, criteria: xpc_object_t, handler: block_t);
    /// macOS 10.9. Owned.
    pub fn xpc_activity_copy_criteria(activity: xpc_activity_t) -> xpc_object_t;
    /// macOS 10.9.
    pub fn xpc_activity_set_criteria(activity: xpc_activity_t, criteria: xpc_object_t);
    /// macOS 10.9.
    pub fn xpc_activity_get_state(activity: xpc_activity_t) -> xpc_activity_state_t;
    /// macOS 10.9.
    pub fn xpc_activity_set_state(activity: xpc_activity_t, state: xpc_activity_state_t) -> bool;
    /// macOS 10.9.
    pub fn xpc_activity_should_defer(activity: xpc_activity_t) -> bool;
    /// macOS 10.9.
    pub fn xpc_activity_unregister(identifier: *const c_char);
}

weak! {
    /// macOS 12.0.
    static XPC_ACTIVITY_PREVENT_DEVICE_SLEEP: *const c_char;
}
