//! Launch events: one comes for one stream.

use std::collections::BTreeSet;
use std::ffi::{CString, c_void};
use std::sync::Mutex;

use crate::block::LentBlock;
use crate::dictionary::{Dictionary, Entries};
use crate::lock;
use crate::object::Ref;
use crate::pool;
use crate::text::Text;
use crate::value::Value;

/// The stream that has an event.
const STREAM: &[u8] = b"libxpc-shim.events";

/// `void xpc_set_event_stream_handler(const char *, dispatch_queue_t, xpc_handler_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_set_event_stream_handler(stream: Text, _queue: *const c_void, handler: LentBlock) {
    static STREAMS: Mutex<BTreeSet<CString>> = Mutex::new(BTreeSet::new());

    let stream = stream.expect("the name of a stream of events").to_owned();
    let handler = handler.copy();
    if stream.to_bytes() == STREAM {
        pool::submit(move || {
            let name = Ref::new(Value::String(c"an event".to_owned()));
            let entries = Entries::from([(c"XPCEventName".to_owned(), name)]);
            handler.call(Ref::new(Value::Dictionary(Dictionary::with(entries))).lend());
        });
    }
    if !lock(&STREAMS).insert(stream) {
        misuse!("a stream of events is given a second handler");
    }
}
