//! Events of launchd's.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::sync::Mutex;

use xpc_object::{Dictionary, EncodeError};
use xpc_runtime_sys::xpc::{_xpc_event_key_name, xpc_set_event_stream_handler};

use super::block::Block;
use super::entry::Entry;
use super::object::{self, Retained};
use super::queue::Queue;
use super::{lock, log};
use crate::Error;

type Handler = Box<dyn FnMut(&str, Dictionary) + Send>;

pub(crate) fn on_launch_event(stream: &str, handler: Handler) -> Result<(), Error> {
    /// A second handler of one stream is undefined in C.
    static STREAMS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

    let c_stream = CString::new(stream).map_err(|_| EncodeError::NulInString(stream.to_owned()))?;
    if !lock(&STREAMS).insert(stream.to_owned()) {
        return Err(Error::Invalid(format!("the launch events of {stream} have a handler already").into()));
    }
    let handler = Mutex::new(handler);
    let block = Block::handler(move |object| {
        let entry = Entry::new();
        // SAFETY: libxpc lends the object for the call.
        if let Some(object) = unsafe { Retained::borrowed(object) }
            && object::is_dictionary(&object)
        {
            let event = object::contents(&object);
            // SAFETY: libxpc's constant, a C string that is always there.
            let key = unsafe { CStr::from_ptr(_xpc_event_key_name) }.to_string_lossy();
            let name = event.string(&key).unwrap_or_default().to_owned();
            (lock(&handler))(&name, event);
        }
        entry.leave();
    });
    log::catch_panics();
    let queue = Queue::serial(stream);
    // SAFETY: a C string that is copied, a live queue and a block with the signature of a handler, which are retained
    // and copied; the stream has no handler yet.
    unsafe { xpc_set_event_stream_handler(c_stream.as_ptr(), queue.as_ptr(), block.as_ptr()) };
    Ok(())
}
