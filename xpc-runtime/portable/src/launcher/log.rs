//! What services print goes to the app's standard error, line by line, with the service's name before it.

use std::collections::BTreeSet;
use std::io::{self, PipeReader};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionbio, ioctl_fionread, read, write};

use crate::{fork, lock};

/// A line is no longer than this, prefix apart: what a service prints without ever ending a line is broken up.
const MAX_LINE: usize = 64 << 10;

/// The logs of the services that run; for [`drain_at_exit`].
static LOGS: Mutex<Vec<Arc<Log>>> = Mutex::new(Vec::new());

/// The process ends: whoever copies leaves the rest to [`drain_at_exit`].
static ENDING: AtomicBool = AtomicBool::new(false);

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
        while poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], None) == Err(Errno::INTR) || self.copy() {}
        self.forget();
    }

    fn forget(self: &Arc<Self>) {
        lock(&LOGS).retain(|log| !Arc::ptr_eq(log, self));
    }

    /// Copies what is there; says whether more may come.
    fn copy(&self) -> bool {
        self.copy_from(
            |buffer| {
                if ENDING.load(Ordering::Relaxed) { Err(Errno::CANCELED) } else { read(&self.pipe, buffer) }
            },
        )
    }

    /// Copies what is there now and no more, however fast more comes: nobody will copy the rest.
    fn copy_last(&self) {
        let mut left = ioctl_fionread(&self.pipe).map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        self.copy_from(|buffer| {
            let most = left.min(buffer.len());
            let length = read(&self.pipe, &mut buffer[..most])?;
            left -= length;
            Ok(length)
        });
    }

    /// Copies what is read until there is nothing for the moment; says whether that was not the end.
    fn copy_from(&self, mut read: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> bool {
        let mut line = lock(&self.line);
        let mut buffer = [0; 4096];
        loop {
            let ended = match read(&mut buffer) {
                Ok(length) => {
                    line.extend_from_slice(&buffer[..length]);
                    length == 0
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return true,
                // Somebody else goes on with the line.
                Err(Errno::CANCELED) => return false,
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
        ENDING.store(true, Ordering::Relaxed);
        let logs = std::mem::take(&mut *lock(&LOGS));
        for log in logs {
            log.copy_last();
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
    use std::io::Write;

    use super::*;

    #[test]
    fn what_is_printed_meanwhile_is_not_waited_for_at_the_end() {
        let (pipe, mut service) = io::pipe().unwrap();
        let log = Log { pipe, prefix: "[a service that goes on] ".into(), line: Mutex::default() };
        service.write_all(b"there").unwrap();
        // As long as it is open, and the pipe waits, a read of more than is there would never return.
        log.copy_last();
        assert!(lock(&log.line).is_empty(), "also a line that was not ended");
    }

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
