//! Child processes under a time limit: a program that hangs fails its test, with a word on where, and does not hang the run.

use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Far beyond what any test needs on a machine that is busy.
pub const LIMIT: Duration = Duration::from_secs(300);

/// As [`Command::output`].
///
/// # Panics
/// Where the program has not ended within [`LIMIT`]; it is killed.
#[track_caller]
pub fn output(command: &mut Command) -> Output {
    output_within(command, LIMIT).unwrap_or_else(|hanging| panic!("{hanging}"))
}

enum Pipe {
    Out,
    Err,
}

/// A program has ended when both of its streams have: they are read on threads, and what those say is waited for, by the clock.
fn output_within(command: &mut Command, limit: Duration) -> Result<Output, String> {
    // Whatever it starts is in its group, and may hold its streams.
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
    let (done, ended) = channel();
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let readers = [read(out, Pipe::Out, done.clone()), read(err, Pipe::Err, done)];
    let until = Instant::now() + limit;
    let (mut stdout, mut stderr, mut hangs) = (Vec::new(), Vec::new(), false);
    for _ in 0..2 {
        let (pipe, bytes) = match ended.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(read) => read,
            Err(RecvTimeoutError::Timeout) => {
                // Not waited for yet, so that the number is still this child's. Then its streams end.
                hangs = true;
                kill_process_group(Pid::from_child(&child), Signal::KILL).unwrap();
                ended.recv().unwrap()
            }
            Err(RecvTimeoutError::Disconnected) => unreachable!("each reader says that it is done"),
        };
        match pipe {
            Pipe::Out => stdout = bytes,
            Pipe::Err => stderr = bytes,
        }
    }
    for reader in readers {
        reader.join().unwrap();
    }
    let status: ExitStatus = child.wait().unwrap();
    if hangs {
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        return Err(format!("{command:?} did not end within {limit:?} and was killed; it said: {stdout}{stderr}"));
    }
    Ok(Output { status, stdout, stderr })
}

fn read(
    mut pipe: impl Read + Send + 'static,
    which: Pipe,
    done: Sender<(Pipe, Vec<u8>)>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = done.send((which, bytes));
    })
}

#[test]
fn a_program_that_hangs_is_killed_and_named() {
    let mut command = Command::new("sh");
    command.args(["-c", "cat; true"]).stdin(Stdio::piped());
    let hanging = output_within(&mut command, Duration::from_millis(300)).unwrap_err();
    assert!(hanging.contains("cat; true") && hanging.contains("was killed"), "{hanging}");
}

#[test]
fn one_that_ends_is_read_to_its_end() {
    let done = output_within(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]), LIMIT).unwrap();
    assert_eq!(
        (done.status.code(), done.stdout.as_slice(), done.stderr.as_slice()),
        (Some(3), &b"out\n"[..], &b"err\n"[..])
    );
}
