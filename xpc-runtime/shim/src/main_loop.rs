//! `xpc_main`, `dispatch_main` and transactions.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use xpc_portable::Transaction;

use crate::connection;
use crate::lock;
use crate::object::Object;

static RUNS: AtomicBool = AtomicBool::new(false);
/// Those that the program began.
static TRANSACTIONS: Mutex<Vec<Transaction>> = Mutex::new(Vec::new());

/// `void xpc_main(xpc_connection_handler_t)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_main(handler: unsafe extern "C" fn(*mut Object)) -> ! {
    if RUNS.swap(true, Ordering::Relaxed) {
        misuse!("xpc_main is called twice");
    }
    xpc_portable::run_service(move |peer| {
        let connection = connection::accepted(peer);
        // SAFETY: a handler of this type, by this function's; the connection is there during the call.
        unsafe { handler(connection.lend()) };
        connection::handled(&connection);
    })
}

/// `void dispatch_main(void)`
#[unsafe(no_mangle)]
pub extern "C" fn dispatch_main() -> ! {
    xpc_portable::dispatch_main()
}

/// `void xpc_transaction_begin(void)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_transaction_begin() {
    let begun = Transaction::begin();
    lock(&TRANSACTIONS).push(begun);
}

/// `void xpc_transaction_end(void)`
#[unsafe(no_mangle)]
pub extern "C" fn xpc_transaction_end() {
    let ended = lock(&TRANSACTIONS).pop();
    if ended.is_none() {
        misuse!("a transaction ends that did not begin");
    }
}
