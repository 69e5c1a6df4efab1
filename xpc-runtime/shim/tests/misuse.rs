//! Whoever breaks one of C's rules is told which, and aborted.

#![cfg(target_os = "linux")]

#[path = "support/block.rs"]
mod block;
mod support;

use std::os::unix::process::ExitStatusExt;
use std::ptr;
use std::sync::{Barrier, OnceLock};
use std::thread;

use block::GlobalBlock;
use support::end_of;
// With the `cfg` the declarations are linked with `libxpc_shim.so`.
use xpc_runtime_sys::block::*;
use xpc_runtime_sys::connection::*;
use xpc_runtime_sys::dispatch::dispatch_queue_create;
use xpc_runtime_sys::endpoint::*;
use xpc_runtime_sys::session::*;
use xpc_runtime_sys::types::*;
use xpc_runtime_sys::xpc::*;
#[cfg(not(xpc_runtime_force_apple))]
use xpc_shim as _;

macro_rules! aborts {
    ($($name:ident: $message:literal, $mistake:expr;)*) => {$(
        #[test]
        fn $name() {
            // SAFETY: none: the rule that it breaks is what the test is about, and the shim ends the process.
            let output = end_of(stringify!($name), || unsafe { $mistake });
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains(concat!("libxpc-shim: API misuse: ", $message)), "{output:?}");
            assert_eq!(output.status.signal(), Some(6), "{output:?}");
        }
    )*};
}

aborts! {
    an_object_is_released_too_often: "an object is released more often than it was retained", {
        let object = xpc_int64_create(1);
        xpc_release(object);
        xpc_release(object);
    };
    an_object_is_released_too_often_although_it_was_retained: "an object is released more often than it was retained", {
        let object = xpc_retain(xpc_null_create());
        (0..3).for_each(|_| xpc_release(object));
    };
    an_object_is_retained_that_is_gone: "an object is used that is gone", {
        let object = xpc_int64_create(1);
        xpc_release(object);
        xpc_retain(object);
    };
    an_object_is_used_that_is_gone: "an object is used that is gone", {
        let object = xpc_int64_create(1);
        xpc_release(object);
        xpc_int64_get_value(object);
    };
    a_value_goes_with_its_dictionary: "an object is used that is gone", {
        let dictionary = xpc_dictionary_create_empty();
        xpc_dictionary_set_int64(dictionary, c"key".as_ptr(), 1);
        let value = xpc_dictionary_get_value(dictionary, c"key".as_ptr());
        xpc_release(dictionary);
        xpc_int64_get_value(value);
    };
    a_value_is_read_as_another_type: "xpc_int64_get_value is called for a string", {
        xpc_int64_get_value(xpc_string_create(c"text".as_ptr()));
    };
    a_value_is_taken_for_a_dictionary: "xpc_dictionary_get_count is called for a array", {
        xpc_dictionary_get_count(xpc_array_create_empty());
    };
    a_message_is_no_dictionary: "xpc_connection_send_message is called for a int64", {
        xpc_connection_send_message(active(), xpc_int64_create(1));
    };
    a_message_holds_a_connection: "a value of type unknown cannot be sent", {
        let message = xpc_dictionary_create_empty();
        xpc_dictionary_set_value(message, c"key".as_ptr(), active());
        xpc_connection_send_message(active(), message);
    };
    an_index_is_outside_of_the_array: "xpc_array_get_value is called for index 0 of 0", {
        xpc_array_get_value(xpc_array_create_empty(), 0);
    };
    a_block_is_released_that_was_not_copied: "a block is released that was not copied", {
        let isa = (&raw const _NSConcreteStackBlock).cast();
        let block = GlobalBlock { isa, flags: 0, ..GlobalBlock::new(nothing) };
        _Block_release(ptr::from_ref(&block).cast());
    };
    memory_is_shared_that_is_private: "xpc_shmem_create is called for memory that was not mapped with MAP_SHARED", {
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        xpc_shmem_create(libc::mmap(ptr::null_mut(), 4096, access, flags, -1, 0), 4096);
    };
    a_transaction_ends_that_did_not_begin: "a transaction ends that did not begin", xpc_transaction_end();

    a_connection_is_resumed_too_often: "a connection is resumed that is not suspended", {
        let connection = active();
        xpc_connection_suspend(connection);
        xpc_connection_resume(connection);
        xpc_connection_resume(connection);
    };
    a_connection_is_released_while_it_is_suspended: "a connection is released while it is suspended", {
        let connection = active();
        xpc_connection_suspend(connection);
        xpc_release(connection);
    };
    a_connection_is_released_before_its_activation: "a connection is released that was never activated", {
        xpc_release(inactive());
    };
    a_listener_is_released_before_its_activation: "a connection is released that was never activated", {
        xpc_release(xpc_connection_create(ptr::null(), ptr::null_mut()));
    };
    a_connection_is_cancelled_before_its_activation: "a connection is cancelled before it is activated", {
        xpc_connection_cancel(inactive());
    };
    a_message_is_sent_before_the_activation: "xpc_connection_send_message is called before xpc_connection_activate", {
        xpc_connection_send_message(inactive(), xpc_dictionary_create_empty());
    };
    a_request_is_sent_before_the_activation:
        "xpc_connection_send_message_with_reply is called before xpc_connection_activate", {
        let (connection, message) = (inactive(), xpc_dictionary_create_empty());
        xpc_connection_send_message_with_reply(connection, message, ptr::null_mut(), NOTHING.as_ptr());
    };
    a_connection_is_activated_without_a_handler: "a connection is activated without a handler", {
        xpc_connection_activate(xpc_connection_create(c"nobody".as_ptr(), ptr::null_mut()));
    };
    a_connection_is_given_two_handlers: "a connection is given a second event handler", {
        xpc_connection_set_event_handler(inactive(), NOTHING.as_ptr());
    };
    an_endpoint_is_made_from_a_client: "an endpoint is made from what is no active anonymous listener", {
        xpc_endpoint_create(active());
    };
    an_endpoint_is_made_from_an_accepted_peer: "an endpoint is made from what is no active anonymous listener", {
        with_peer(|peer| {
            xpc_endpoint_create(peer);
        });
    };
    a_peer_is_neither_activated_nor_cancelled: "a peer was neither activated nor cancelled", {
        with_peer(|peer| {
            xpc_get_type(peer);
        });
    };

    two_replies_are_made_to_one_message: "a second reply is made to one message", {
        with_request(|request| {
            xpc_dictionary_create_reply(request);
            xpc_dictionary_create_reply(request);
        });
    };
    a_reply_is_sent_twice: "one reply is sent twice", {
        with_request(|request| {
            let reply = xpc_dictionary_create_reply(request);
            let connection = xpc_dictionary_get_remote_connection(request);
            xpc_connection_send_message(connection, reply);
            xpc_connection_send_message(connection, reply);
        });
    };
    a_reply_is_sent_over_another_connection: "a reply is sent over another connection than its request came by", {
        with_request(|request| {
            xpc_connection_send_message(active(), xpc_dictionary_create_reply(request));
        });
    };
    a_connection_is_waited_for_in_its_own_handler:
        "xpc_connection_send_message_with_reply_sync is called inside the connection's own handler", {
        with_request(|request| {
            let connection = xpc_dictionary_get_remote_connection(request);
            xpc_connection_send_message_with_reply_sync(connection, xpc_dictionary_create_empty());
        });
    };

    a_session_is_released_before_its_activation: "a session is released that was never activated", {
        xpc_release(inactive_session(ptr::null_mut()));
    };
    a_session_is_released_before_it_was_cancelled: "a session is released that was not cancelled", {
        // So that it does not hear that there is nobody of this name, after which it may go.
        let session = inactive_session(stuck_queue());
        xpc_session_activate().unwrap()(session, ptr::null_mut());
        xpc_release(session);
    };
    a_session_is_activated_twice: "a session is activated twice", {
        let session = inactive_session(ptr::null_mut());
        let activate = xpc_session_activate().unwrap();
        activate(session, ptr::null_mut());
        activate(session, ptr::null_mut());
    };
    a_message_is_sent_over_an_inactive_session: "xpc_session_send_message is called before xpc_session_activate", {
        xpc_session_send_message().unwrap()(inactive_session(ptr::null_mut()), xpc_dictionary_create_empty());
    };
    an_active_session_is_given_a_handler:
        "xpc_session_set_incoming_message_handler is called after xpc_session_activate", {
        let session = inactive_session(ptr::null_mut());
        xpc_session_activate().unwrap()(session, ptr::null_mut());
        xpc_session_set_incoming_message_handler().unwrap()(session, NOTHING.as_ptr());
    };
}

extern "C" fn nothing(_block: *const GlobalBlock, _object: xpc_object_t) {}
static NOTHING: GlobalBlock = GlobalBlock::new(nothing);

/// With nobody, and a handler.
fn inactive() -> xpc_connection_t {
    // SAFETY: a name, no queue, and a block of an event handler's type.
    unsafe {
        let connection = xpc_connection_create(c"nobody".as_ptr(), ptr::null_mut());
        xpc_connection_set_event_handler(connection, NOTHING.as_ptr());
        connection
    }
}

fn active() -> xpc_connection_t {
    let connection = inactive();
    // SAFETY: it has a handler.
    unsafe { xpc_connection_activate(connection) };
    connection
}

fn inactive_session(queue: dispatch_queue_t) -> xpc_session_t {
    let create = xpc_session_create_xpc_service().expect("the shim has sessions");
    // SAFETY: a name, a queue or none, and nobody who wants to know of errors.
    unsafe { create(c"nobody".as_ptr(), queue, XPC_SESSION_CREATE_INACTIVE, ptr::null_mut()) }
}

/// A queue on which nothing else runs any more: a handler on it does not return.
fn stuck_queue() -> dispatch_queue_t {
    static STUCK: Barrier = Barrier::new(2);
    extern "C" fn wait(_block: *const GlobalBlock, _object: xpc_object_t) {
        STUCK.wait();
        loop {
            thread::park();
        }
    }
    static WAIT: GlobalBlock = GlobalBlock::new(wait);
    // SAFETY: a label, and no attributes; a name; an inactive connection, which is given a queue, and a block of an event
    // handler's type.
    let queue = unsafe {
        let queue = dispatch_queue_create(c"stuck".as_ptr(), ptr::null_mut());
        let connection = xpc_connection_create(c"nobody".as_ptr(), ptr::null_mut());
        xpc_connection_set_target_queue(connection, queue);
        xpc_connection_set_event_handler(connection, WAIT.as_ptr());
        xpc_connection_activate(connection);
        queue
    };
    // It is told that there is nobody of this name.
    STUCK.wait();
    queue
}

/// What the listener does with a peer, and with a request.
static ACCEPT: OnceLock<fn(xpc_object_t)> = OnceLock::new();
static ANSWER: OnceLock<fn(xpc_object_t)> = OnceLock::new();

/// Has a listener in this process accept a client that sends one request, and returns when that is over.
fn with_peer(accept: fn(xpc_object_t)) {
    extern "C" fn accepted(_block: *const GlobalBlock, peer: xpc_object_t) {
        ACCEPT.get().expect("it was set")(peer);
    }
    static ACCEPTED: GlobalBlock = GlobalBlock::new(accepted);
    ACCEPT.set(accept).expect("once a process");
    // SAFETY: a listener with a handler, an endpoint of it, a client of that with a handler, and a dictionary.
    unsafe {
        let listener = xpc_connection_create(ptr::null(), ptr::null_mut());
        xpc_connection_set_event_handler(listener, ACCEPTED.as_ptr());
        xpc_connection_activate(listener);
        let client = xpc_connection_create_from_endpoint(xpc_endpoint_create(listener));
        xpc_connection_set_event_handler(client, NOTHING.as_ptr());
        xpc_connection_activate(client);
        xpc_connection_send_message_with_reply_sync(client, xpc_dictionary_create_empty());
    }
}

/// The same, where the listener does this with the request.
fn with_request(answer: fn(xpc_object_t)) {
    extern "C" fn received(_block: *const GlobalBlock, event: xpc_object_t) {
        // SAFETY: an object that the shim lends.
        if unsafe { ptr::eq(xpc_get_type(event), &raw const _xpc_type_dictionary) } {
            ANSWER.get().expect("it was set")(event);
        }
    }
    static RECEIVED: GlobalBlock = GlobalBlock::new(received);
    ANSWER.set(answer).expect("once a process");
    // SAFETY: a peer that was not activated, and a block of an event handler's type.
    with_peer(|peer| unsafe {
        xpc_connection_set_event_handler(peer, RECEIVED.as_ptr());
        xpc_connection_activate(peer);
    });
}
