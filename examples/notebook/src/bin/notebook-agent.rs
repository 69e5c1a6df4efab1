//! The agent: it belongs to no app, lives as long as its user's session, and keeps the notes of all its clients.

use std::sync::{Mutex, PoisonError};

use notebook::{SERVICE_NAME, keys};
use xpc_runtime::{Array, Connection, Dictionary, Error, Listener, dispatch_main};

static NOTES: Mutex<Array> = Mutex::new(Array::new());
static WATCHERS: Mutex<Vec<Connection>> = Mutex::new(Vec::new());

fn main() -> ! {
    let _listener = Listener::mach_service(SERVICE_NAME)
        .on_invalid(|error| {
            eprintln!("error: {error}");
            std::process::exit(1);
        })
        .activate(|peer| {
            peer.on_message(|connection, message| -> Result<(), Error> {
                if let Ok(note) = message.string(keys::ADD) {
                    add(note);
                }
                if message.bool(keys::WATCH).unwrap_or(false) {
                    lock(&WATCHERS).push(connection.clone());
                }
                let notes = lock(&NOTES).clone();
                message.reply().with(keys::NOTES, notes).send()
            })
            .activate();
        });
    dispatch_main()
}

fn add(note: &str) {
    lock(&NOTES).push(note.into());
    // Who is gone cannot be told, and need not be any more.
    lock(&WATCHERS).retain(|watcher| watcher.send(&Dictionary::new().with(keys::NOTE, note)).is_ok());
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
