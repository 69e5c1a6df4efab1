//! Which macOS this is: the newest, or an older one, which lacks what came later.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::OnceLock;

use crate::text::Text;

/// A version such as `12` or `14.3`, set by a test: what is newer is not found.
const VARIABLE: &str = "XPC_SHIM_MACOS";

/// The declarations, each with the version that its symbol came with.
const DECLARATIONS: &[&str] = &[
    include_str!("../../sys/src/activity.rs"),
    include_str!("../../sys/src/connection.rs"),
    include_str!("../../sys/src/debug.rs"),
    include_str!("../../sys/src/endpoint.rs"),
    include_str!("../../sys/src/listener.rs"),
    include_str!("../../sys/src/peer_requirement.rs"),
    include_str!("../../sys/src/rich_error.rs"),
    include_str!("../../sys/src/session.rs"),
    include_str!("../../sys/src/xpc.rs"),
];

type Version = (u32, u32);

fn version(text: &str) -> Option<Version> {
    let mut numbers = text.trim_end_matches('.').split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next().map_or(Ok(0), str::parse).ok()?))
}

/// What the documentation of this symbol's declaration says.
fn introduced(symbol: &str) -> Option<Version> {
    let declares = |line: &str| {
        let line = line.trim_start().trim_start_matches("pub ");
        let name = line.strip_prefix("fn ").or_else(|| line.strip_prefix("static "));
        name.and_then(|line| line.strip_prefix(symbol)).is_some_and(|rest| rest.starts_with(['(', ':']))
    };
    for text in DECLARATIONS {
        let mut before = "";
        for line in text.lines() {
            if declares(line) {
                let after = before.split("macOS ").nth(1)?;
                return version(after.split(|c: char| !c.is_ascii_digit() && c != '.').next()?);
            }
            before = line;
        }
    }
    None
}

/// `dlsym(3)` for the bindings, which look up by it what is newer than macOS 11.
#[unsafe(no_mangle)]
pub extern "C" fn xpc_shim_dlsym(handle: *mut c_void, symbol: Text) -> *mut c_void {
    static SYSTEM: OnceLock<Option<Version>> = OnceLock::new();
    let system = SYSTEM.get_or_init(|| {
        std::env::var(VARIABLE)
            .ok()
            .map(|text| version(&text).unwrap_or_else(|| misuse!("{VARIABLE}={text} is no version of macOS")))
    });
    let symbol = symbol.expect("the name of a symbol");
    let newer = |since| system.is_some_and(|system| since > system);
    if introduced(&symbol.to_string_lossy()).is_some_and(newer) {
        return ptr::null_mut();
    }
    let name: *const c_char = symbol.as_ptr();
    // SAFETY: a C string; the caller knows the handle.
    unsafe { libc::dlsym(handle, name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declarations_say_since_when_each_symbol_is_there() {
        assert_eq!(introduced("xpc_connection_create"), Some((10, 7)));
        assert_eq!(introduced("xpc_connection_copy_invalidation_reason"), Some((12, 0)));
        assert_eq!(introduced("_xpc_error_peer_code_signing_requirement"), Some((12, 0)));
        assert_eq!(introduced("xpc_session_set_peer_code_signing_requirement"), Some((14, 4)));
        assert_eq!(introduced("xpc_rich_error_can_retry"), Some((13, 0)));
        assert_eq!(introduced("xpc_rich_error"), None);
        assert_eq!(introduced("malloc"), None);
    }
}
