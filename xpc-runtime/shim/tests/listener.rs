//! Listeners for sessions, which the runtime does not use: for programs in C.

#![cfg(target_os = "linux")]

#[path = "support/block.rs"]
mod block;
mod support;

use std::ffi::CStr;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use block::GlobalBlock;
use support::end_of;
use xpc_runtime_sys::listener::*;
use xpc_runtime_sys::rich_error::*;
use xpc_runtime_sys::session::*;
use xpc_runtime_sys::types::*;
use xpc_runtime_sys::xpc::*;
// With the `cfg` the declarations are linked with `libxpc_shim.so`.
#[cfg(not(xpc_runtime_force_apple))]
use xpc_shim as _;

const NAME: &CStr = c"com.example.shim.listener";
static PEER: AtomicPtr<xpc_object_s> = AtomicPtr::new(ptr::null_mut());
static REJECTS: AtomicBool = AtomicBool::new(false);

extern "C" fn accept(_block: *const GlobalBlock, peer: xpc_object_t) {
    PEER.store(peer, Ordering::Release);
    // SAFETY: a new peer, and a block of a message handler's type.
    unsafe {
        if REJECTS.load(Ordering::Acquire) {
            xpc_listener_reject_peer().unwrap()(peer, c"no".as_ptr());
        } else {
            xpc_session_set_incoming_message_handler().unwrap()(peer, ANSWER.as_ptr());
        }
    }
}

extern "C" fn answer(_block: *const GlobalBlock, request: xpc_object_t) {
    // SAFETY: a request that was received, of which one reply is made, and the session that it came over.
    unsafe {
        let reply = xpc_dictionary_create_reply(request);
        xpc_dictionary_set_int64(reply, c"answer".as_ptr(), xpc_dictionary_get_int64(request, c"n".as_ptr()) * 2);
        assert!(xpc_session_send_message().unwrap()(PEER.load(Ordering::Acquire), reply).is_null());
        xpc_release(reply);
    }
}

static ACCEPT: GlobalBlock = GlobalBlock::new(accept);
static ANSWER: GlobalBlock = GlobalBlock::new(answer);

/// A session with the listener, and what is said to 21.
unsafe fn ask() -> Result<i64, String> {
    // SAFETY: a name, a session that is active until it is cancelled and released, dictionaries and errors that are
    // released once.
    unsafe {
        let create = xpc_session_create_mach_service().unwrap();
        let session = create(NAME.as_ptr(), ptr::null_mut(), XPC_SESSION_CREATE_NONE, ptr::null_mut());
        let message = xpc_dictionary_create_empty();
        xpc_dictionary_set_int64(message, c"n".as_ptr(), 21);
        let mut error = ptr::null_mut();
        let reply = xpc_session_send_message_with_reply_sync().unwrap()(session, message, &raw mut error);
        xpc_release(message);
        xpc_session_cancel().unwrap()(session);
        xpc_release(session);
        if reply.is_null() {
            return Err(take(error));
        }
        let answer = xpc_dictionary_get_int64(reply, c"answer".as_ptr());
        xpc_release(reply);
        Ok(answer)
    }
}

/// What an error says; it is released.
unsafe fn take(error: xpc_rich_error_t) -> String {
    // SAFETY: an error that the caller owns.
    unsafe {
        assert!(!xpc_rich_error_can_retry().unwrap()(error));
        let text = xpc_rich_error_copy_description().unwrap()(error);
        let said = CStr::from_ptr(text).to_string_lossy().into_owned();
        libc::free(text.cast());
        xpc_release(error);
        said
    }
}

#[test]
fn a_listener_accepts_sessions_and_rejects_some() {
    let output = end_of("a_listener_accepts_sessions_and_rejects_some", || {
        let create = xpc_listener_create().unwrap();
        // SAFETY: a name, a block of a handler's type, and a listener that is active until it is cancelled and released.
        unsafe {
            let name = NAME.as_ptr();
            let listener =
                create(name, ptr::null_mut(), XPC_LISTENER_CREATE_INACTIVE, ACCEPT.as_ptr(), ptr::null_mut());
            assert!(xpc_listener_activate().unwrap()(listener, ptr::null_mut()));
            assert_eq!(ask(), Ok(42));
            REJECTS.store(true, Ordering::Release);
            assert!(ask().is_err());
            xpc_listener_cancel().unwrap()(listener);
            xpc_release(listener);
        }
        println!("done");
    });
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("done"), "{output:?}");
}
