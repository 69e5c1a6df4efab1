//! Running the tool under test.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};

use camino::Utf8Path;
use rustix::process::{Pid, Signal, WaitOptions};

use crate::{clean, text, tool};

/// One call of `cargo xpc`.
#[derive(Debug)]
pub struct Xpc(Command);

/// What it said and how it ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; 128 + N for signal N.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Xpc {
    /// `cargo xpc ARGS` in `folder`.
    pub fn new(folder: &Utf8Path, args: &[&str]) -> Self {
        let mut command = Command::new(tool());
        clean(&mut command).arg("xpc").args(args).current_dir(folder).stdin(Stdio::null());
        Self(command)
    }

    /// With a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// With something to read on standard input.
    #[must_use]
    pub fn input(mut self, text: String) -> Self {
        let mut file = tempfile::tempfile().expect("a temporary file can be made");
        std::io::Write::write_all(&mut file, text.as_bytes()).expect("it can be written");
        std::io::Seek::rewind(&mut file).expect("it can be read from its beginning");
        self.0.stdin(file);
        self
    }

    /// With its standard output written to a file that is there.
    #[must_use]
    pub fn stdout(mut self, path: &str) -> Self {
        self.0.stdout(std::fs::OpenOptions::new().write(true).open(path).expect("the file can be written"));
        self
    }

    /// With cargo-zigbuild on the PATH.
    #[must_use]
    pub fn with_zig(self) -> Self {
        let path = crate::path_with_zig();
        self.env("PATH", &path)
    }

    /// As the user `nobody`, where the tests run as root. See [`unprivileged`].
    #[must_use]
    pub fn unprivileged(self) -> Self {
        Self(unprivileged(&self.0))
    }

    /// Inside another command, such as one that first mounts something.
    #[must_use]
    pub fn inside(self, mut outer: Command) -> Self {
        outer.arg(self.0.get_program()).args(self.0.get_args());
        Self(take_over(&self.0, outer))
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Finished {
        let output = self.0.output().unwrap_or_else(|e| panic!("{:?}: {e}", self.0));
        Finished { code: code(output.status), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Runs it, and it has to work.
    ///
    /// # Panics
    /// Where it does not, with what it said.
    pub fn ok(self) -> Finished {
        let call = format!("{:?}", self.0);
        let finished = self.run();
        assert_eq!(finished.code, 0, "{call}\n{}{}", finished.stdout, finished.stderr);
        finished
    }

    /// Runs it, and it has to fail as a user would wish: the code, one error that holds every one of `words`, nothing
    /// that looks like a crash.
    ///
    /// # Panics
    /// Where it does otherwise.
    pub fn fails(self, code: i32, words: &[&str]) -> Finished {
        let call = format!("{:?}", self.0);
        let finished = self.run();
        let said = &finished.stderr;
        assert_eq!(finished.code, code, "{call}\n{}{said}", finished.stdout);
        for word in words {
            assert!(said.contains(word), "{call}\nnothing about `{word}` in:\n{said}");
        }
        // cargo's own errors stand above ours.
        let cargo_spoke = code == 101 || said.contains("its message stands above");
        let errors = said.lines().filter(|line| line.starts_with("error: ")).count();
        assert!(errors == 1 || cargo_spoke, "{call}\n{errors} errors in:\n{said}");
        for crash in ["panicked at", "stack backtrace", "RUST_BACKTRACE", "a bug in cargo-xpc"] {
            assert!(!said.contains(crash), "{call}\n`{crash}` in:\n{said}");
        }
        finished
    }

    /// Starts it and waits until it has stopped itself at `point`.
    ///
    /// # Panics
    /// Where it ends without coming by.
    pub fn stop_at(mut self, point: &str) -> Stopped {
        self.0.env("CARGO_XPC_STOP_AT", point).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let child = self.0.spawn().unwrap_or_else(|e| panic!("{:?}: {e}", self.0));
        let pid = Pid::from_child(&child);
        let (_, status) = rustix::process::waitpid(Some(pid), WaitOptions::UNTRACED)
            .expect("the tool can be waited for")
            .expect("without NOHANG there is a status");
        assert!(status.stopped(), "the tool never came by `{point}`: {status:?}");
        Stopped { child, pid }
    }

    /// Starts it with its output thrown away.
    pub fn start(mut self) -> Child {
        self.0.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the tool starts")
    }
}

/// A run that has stopped itself.
#[derive(Debug)]
pub struct Stopped {
    child: Child,
    pid: Pid,
}

impl Stopped {
    /// `SIGKILL`.
    pub fn kill(mut self) {
        rustix::process::kill_process_group(self.pid, Signal::KILL).expect("the run is still there");
        let status = self.child.wait().expect("a killed process can be waited for");
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "it was to die by SIGKILL");
    }

    /// Lets it go on, and waits for its end.
    pub fn finish(mut self) -> i32 {
        rustix::process::kill_process(self.pid, Signal::CONT).expect("the run is still there");
        code(self.child.wait().expect("a process can be waited for"))
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// The same command as a user who may read everything but write only what is theirs.
///
/// Started by root, it becomes `nobody`, keeping of root's rights only that of reading (the toolchain stands in root's
/// home). Started by anybody else it stays as it is.
pub fn unprivileged(command: &Command) -> Command {
    if !rustix::process::geteuid().is_root() {
        let mut same = Command::new(command.get_program());
        same.args(command.get_args());
        return take_over(command, same);
    }
    let mut outer = Command::new("setpriv");
    outer.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    outer.args(["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search", "--"]);
    outer.arg(command.get_program()).args(command.get_args());
    take_over(command, outer)
}

/// Makes a folder and all that is in it the unprivileged user's.
///
/// # Panics
/// Where that is refused.
pub fn give_away(folder: &Utf8Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let give = |path: &Utf8Path| std::os::unix::fs::lchown(path, Some(65534), Some(65534)).expect("root may do that");
    give(folder);
    for name in crate::listing(folder).keys() {
        give(&folder.join(name));
    }
}

fn take_over(from: &Command, mut to: Command) -> Command {
    for (name, value) in from.get_envs() {
        match value {
            Some(value) => to.env(name, value),
            None => to.env_remove(name),
        };
    }
    if let Some(folder) = from.get_current_dir() {
        to.current_dir(folder);
    }
    to.stdin(Stdio::null());
    to
}
