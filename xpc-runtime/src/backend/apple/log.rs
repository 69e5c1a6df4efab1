//! The unified log, where people look for what a service says: its standard error goes nowhere on macOS.
//!
//! C's macros (`os/log.h`) have the compiler encode a message's arguments and call `_os_log_impl`. Here there is one
//! format, for one text that is shown to everybody, so that its encoding is a constant; `tests/oslog.rs` in the
//! repository compares it with what clang makes of the same format.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::PanicHookInfo;
use std::sync::{Mutex, Once, OnceLock};

use super::entry;
use super::{bundle, lock};
use crate::logging::Level;

unsafe extern "C" {
    /// `os/log.h`, macOS 10.12. Owned; the strings are copied.
    fn os_log_create(subsystem: *const c_char, category: *const c_char) -> *mut c_void;
    /// `os/log.h`, macOS 10.12: what its macros call.
    fn _os_log_impl(
        image: *const c_void,
        log: *mut c_void,
        kind: u8,
        format: *const c_char,
        buffer: *const u8,
        size: u32,
    );
    /// Made by the linker: its address tells which image the format is in.
    static __dso_handle: Image;
}

/// Only its address counts.
#[repr(C)]
struct Image([u8; 0]);

/// The log keeps not the text but where in which image it is, so that it must be in this one. The section is clang's; not
/// of its type, for then zig merges it with others.
#[used]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__TEXT,__oslogstring"))]
static FORMAT: [u8; 11] = *b"%{public}s\0";

/// What clang's `__builtin_os_log_format` makes of the format: not only scalars, one argument, a public string, of the
/// size of a pointer; and then the pointer.
const ARGUMENTS: [u8; 4] = [0x02, 0x01, 0x22, 0x08];

/// The log cuts a text off after 1024 bytes.
const MAX_BYTES: usize = 1000;
/// More categories than a program has modules are a mistake; the rest shares one.
const MAX_CATEGORIES: usize = 512;

#[derive(Clone, Copy)]
struct Log(*mut c_void);

// SAFETY: log objects may be used by any thread, and are never released here.
unsafe impl Send for Log {}

fn log(category: &str) -> Log {
    static SUBSYSTEM: OnceLock<CString> = OnceLock::new();
    static LOGS: Mutex<Option<HashMap<String, Log>>> = Mutex::new(None);

    let subsystem = SUBSYSTEM.get_or_init(|| c_string(&bundle::identifier()));
    let mut logs = lock(&LOGS);
    let logs = logs.get_or_insert_default();
    if let Some(log) = logs.get(category) {
        return *log;
    }
    let category = if logs.len() < MAX_CATEGORIES { category } else { "other" };
    *logs.entry(category.to_owned()).or_insert_with(|| {
        // SAFETY: two C strings, which are copied.
        Log(unsafe { os_log_create(subsystem.as_ptr(), c_string(category).as_ptr()) })
    })
}

fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "")).unwrap_or_default()
}

pub(crate) fn write(level: Level, category: &str, text: &str) {
    let log = log(category);
    // OS_LOG_TYPE_ERROR, _DEFAULT, _INFO, _DEBUG.
    let kind = match level {
        Level::Error => 0x10,
        Level::Warn => 0x00,
        Level::Info => 0x01,
        Level::Debug => 0x02,
    };
    for part in parts(text) {
        send(log, kind, &c_string(part));
    }
}

fn send(log: Log, kind: u8, text: &CStr) {
    #[repr(C, align(16))]
    struct Buffer([u8; 12]);
    let mut buffer = Buffer([0; 12]);
    buffer.0[..4].copy_from_slice(&ARGUMENTS);
    buffer.0[4..].copy_from_slice(&text.as_ptr().expose_provenance().to_ne_bytes());
    // SAFETY: the image that the format is in, a live log object, a format that is a C string, and its arguments in the
    // encoding of C's macros: one pointer to a C string that lives for the call.
    unsafe {
        _os_log_impl((&raw const __dso_handle).cast(), log.0, kind, FORMAT.as_ptr().cast(), buffer.0.as_ptr(), 12);
    }
}

/// In pieces that the log takes whole, by lines where it can be.
fn parts(mut text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    while text.len() > MAX_BYTES {
        let limit = (0..=MAX_BYTES).rfind(|index| text.is_char_boundary(*index)).unwrap_or(MAX_BYTES);
        let end = text[..limit].rfind('\n').map_or(limit, |line| line + 1);
        let (part, rest) = text.split_at(end);
        parts.push(part.trim_end_matches('\n'));
        text = rest;
    }
    parts.push(text);
    parts
}

/// Writes panics of handlers to the log too, and of every thread where the process is a service: before they are
/// printed, and before the process ends. Once; a hook that is set later takes its place.
pub(super) fn catch_panics() {
    static ONCE: Once = Once::new();
    // A hook cannot be set while one may run.
    if std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if entry::is_entered() || IS_SERVICE.get().is_some() {
                write_panic(info);
            }
            before(info);
        }));
    });
}

/// Set in processes whose standard error nobody sees.
static IS_SERVICE: OnceLock<()> = OnceLock::new();

pub(super) fn become_service() {
    let _ = IS_SERVICE.set(());
    catch_panics();
}

fn write_panic(info: &PanicHookInfo<'_>) {
    thread_local! {
        /// A panic while one is written would be another one, and so on.
        static WRITING: Cell<bool> = const { Cell::new(false) };
    }
    if !WRITING.replace(true) {
        let thread = std::thread::current();
        write(Level::Error, "panic", &format!("thread '{}': {info}", thread.name().unwrap_or("<unnamed>")));
        WRITING.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_lines_or_characters() {
        assert_eq!(parts("short"), ["short"]);
        let lines = format!("{}\n{}", "a".repeat(900), "b".repeat(900));
        assert_eq!(parts(&lines).iter().map(|part| part.len()).collect::<Vec<_>>(), [900, 900]);
        let one = "ä".repeat(1100);
        let cut = parts(&one);
        assert_eq!(cut.concat(), one);
        assert!(cut.iter().all(|part| part.len() <= MAX_BYTES));
    }
}
