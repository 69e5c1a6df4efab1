//! What services print goes to the app's standard error, line by line, with the service's name before it.

use std::collections::BTreeSet;
use std::io::{self, PipeReader};
use std::sync::{Arc, Mutex, Once};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionbio, read, write};

use crate::{fork, lock};

/// A line is no longer than this, prefix apart: what a service prints without ever ending a line is broken up.
const MAX_LINE: usize = 64 << 10;

/// The logs of the services that run; for [`drain`].
static LOGS: Mutex<Vec<Arc<Log>>> = Mutex::new(Vec::new());

struct Log {
    pipe: PipeReader,
    prefix: String,
    /// A line whose end has not come yet.
    line: Mutex<Vec<u8>>,
}

/// What the launcher has to say of a service, in the same form.
pub(super) fn say(name: &str, text: &str) {
    write_all(format!("[{name}] {text}\n").as_bytes());
}

/// As [`say`], but each text once only, however often the service is started.
pub(super) fn say_once(name: &str, text: &str) {
    if is_new(name, text) {
        say(name, text);
    }
}

/// Tells the app something that is about none of its services, once.
pub(super) fn tell_once(text: &str) {
    if is_new("", text) {
        write_all(format!("{text}\n").as_bytes());
    }
}

fn is_new(name: &str, text: &str) -> bool {
    static SAID: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());
    lock(&SAID).insert((name.to_owned(), text.to_owned()))
}

/// Forwards until the service and its children have closed the other end.
pub(super) fn forward(name: &str, pipe: PipeReader) -> io::Result<()> {
    // The read end is this process's alone: this does not change what the service sees.
    ioctl_fionbio(&pipe, true)?;
    let log = Arc::new(Log { pipe, prefix: format!("[{name}] "), line: Mutex::default() });
    drain_at_exit();
    lock(&LOGS).push(log.clone());
    let thread = thread::Builder::new().name("xpc-log".into()).spawn({
        let log = log.clone();
        move || log.run()
    });
    thread.map(drop).inspect_err(|_| log.forget())
}

impl Log {
    fn run(self: &Arc<Self>) {
        while poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], None) == Err(Errno::INTR) || self.copy(false) {}
        self.forget();
    }

    fn forget(self: &Arc<Self>) {
        lock(&LOGS).retain(|log| !Arc::ptr_eq(log, self));
    }

    /// Copies what is there; says whether more may come. `last`: nobody will copy the rest of an unfinished line.
    fn copy(&self, last: bool) -> bool {
        let mut line = lock(&self.line);
        let mut buffer = [0; 4096];
        loop {
            let result = read(&self.pipe, &mut buffer);
            let ended = match result {
                Ok(length) => {
                    line.extend_from_slice(&buffer[..length]);
                    length == 0
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) if last => true,
                Err(Errno::AGAIN) => return true,
                Err(_) => true,
            };
            end_line(&mut line, ended);
            self.print_lines(&mut line);
            if ended {
                return false;
            }
        }
    }

    /// Prints the whole lines in one go: those of several services do not mix.
    fn print_lines(&self, line: &mut Vec<u8>) {
        let Some(end) = line.iter().rposition(|byte| *byte == b'\n') else { return };
        let rest = line.split_off(end + 1);
        let mut text = Vec::new();
        for whole in line.split_inclusive(|byte| *byte == b'\n') {
            text.extend_from_slice(self.prefix.as_bytes());
            text.extend_from_slice(whole);
        }
        *line = rest;
        write_all(&text);
    }
}

/// In one go where the kernel takes it in one.
fn write_all(mut left: &[u8]) {
    while !left.is_empty() {
        match write(io::stderr(), left) {
            Ok(written) => left = &left[written..],
            Err(Errno::INTR) => {}
            // Where standard error is closed or full there is no place to say so.
            Err(_) => return,
        }
    }
}

/// What a service printed before its last reply is still in the pipe when the app gets that reply and ends: it is
/// copied on the way out.
fn drain_at_exit() {
    extern "C" fn drain() {
        // What is in the pipes is the original's.
        if fork::is_copy() {
            return;
        }
        let logs = std::mem::take(&mut *lock(&LOGS));
        for log in logs {
            log.copy(true);
        }
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: `drain` is a function for the whole life of the program and does not unwind: it neither allocates
        // without bound nor panics. Failing to register it loses a line, nothing else.
        unsafe { libc::atexit(drain) };
    });
}

/// Ends what is open at the end of the text, where nothing more comes or it is too long.
fn end_line(text: &mut Vec<u8>, ended: bool) {
    let open = text.iter().rev().take_while(|byte| **byte != b'\n').count();
    if open >= MAX_LINE || (ended && open > 0) {
        text.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_a_line_does_not_fill_the_memory() {
        let ended = |mut text: Vec<u8>, ended| {
            let before = text.len();
            end_line(&mut text, ended);
            text.len() > before
        };
        assert!(ended(vec![b'\r'; MAX_LINE], false));
        assert!(!ended(vec![b'\r'; MAX_LINE - 1], false) && ended(vec![b'\r'; 1], true));
        let line = [vec![b'x'; MAX_LINE], b"\ny".to_vec()].concat();
        assert!(!ended(line.clone(), false) && ended(line, true), "the open line is short");
        assert!(!ended(b"x\n".to_vec(), true) && !ended(Vec::new(), true));
    }
}
