//! Starting a service's process.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, set_parent_process_death_signal, setsid};

use super::instance::Instance;
use super::log;
use crate::bootstrap;
use crate::bundle::{self, Service};
use crate::sandbox::{self, Sandbox};
use crate::{settings, socket};

/// What a service gets of the app's environment, besides every variable that starts with `LC_`. The rest is its own:
/// `EnvironmentVariables` of its Info.plist, and `XPC_SERVICE_NAME`.
pub const KEPT_VARIABLES: &[&str] =
    &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "LANG", "LANGUAGE", "TZ", "XDG_RUNTIME_DIR"];

/// Names a service that is to wait for a debugger at its start; several with commas between them.
pub const DEBUG_VARIABLE: &str = "XPC_RUNTIME_WAIT_FOR_DEBUGGER";

/// Must run on a thread that never ends: its end would kill the service.
pub(super) fn spawn(name: &Arc<str>, service: &Service) -> io::Result<Instance> {
    check_program(&service.executable)?;
    let sandbox =
        service.sandbox.as_ref().map(|policy| Sandbox::prepare(name, policy, bundle::path().ok())).transpose()?;
    let (ours, theirs) = socket::packet_pair()?;
    let (log, log_end) = io::pipe()?;
    let sandboxed = if sandbox.is_some() { bootstrap::SANDBOXED } else { "" };
    let mut command = Command::new(&service.executable);
    command
        .env_clear()
        .envs(env::vars_os().filter(|(key, _)| is_kept(key)))
        .envs(service.environment.iter().map(|(key, value)| (key, value)))
        .env("XPC_SERVICE_NAME", &**name)
        .env(bootstrap::VARIABLE, format!("{}:{}{sandboxed}", theirs.as_raw_fd(), getpid()))
        .current_dir("/")
        .envs(waits_for_debugger(name).then_some((DEBUG_VARIABLE, &**name)))
        .envs(settings::OF_SERVICES.iter().filter_map(|it| Some((it.variable, env::var_os(it.variable)?))))
        .stdin(Stdio::null())
        .stdout(log_end.try_clone()?)
        .stderr(log_end);
    if let Some(sandbox) = &sandbox {
        command.envs(sandbox.variables()).current_dir(sandbox.directory());
        for variable in sandbox::REMOVED_VARIABLES {
            command.env_remove(variable);
        }
        sandbox.unenforced.iter().for_each(|text| log::tell_once(text));
        sandbox.remarks.iter().for_each(|text| log::say_once(name, text));
    }
    prepare_child(&mut command, &theirs, service.joins_session, sandbox.map(|sandbox| sandbox.child));
    log::forward(name, log)?;
    let child = command.spawn()?;
    // `command` holds the write end of the log.
    drop(command);
    // Nobody else reaps this child; where the app ignores SIGCHLD and it is gone already, this fails, and so did the
    // start.
    let pid = Pid::from_child(&child);
    let mut instance = Instance::new(pidfd_open(pid, PidfdFlags::empty())?, ours);
    if !service.joins_session {
        instance = instance.leading(pid);
    }
    let Some(policy) = &service.sandbox else { return Ok(instance) };
    // A rule of the sandbox is about this folder's inode, which `/proc` makes anew where nobody holds it.
    let own_proc = File::options().read(true).custom_flags(libc::O_PATH).open(format!("/proc/{}", child.id()));
    Ok(instance.confined(policy.clone(), own_proc.ok()))
}

/// What the kernel would not execute is no program: `Command` would have a shell run it (`execvp(3)`), whatever it is.
fn check_program(path: &Path) -> io::Result<()> {
    let mut start = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(4).read_to_end(&mut start)?,
        // One may execute what one may not read.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        Err(error) => return Err(error),
    };
    if start == b"\x7fELF" || start.starts_with(b"#!") {
        return Ok(());
    }
    Err(io::Error::other("it is no program for this system: bundle the app for this machine"))
}

fn is_kept(key: &OsString) -> bool {
    key.to_str().is_some_and(|key| key.starts_with("LC_") || KEPT_VARIABLES.contains(&key))
}

fn waits_for_debugger(name: &str) -> bool {
    env::var(DEBUG_VARIABLE).is_ok_and(|names| names.split(',').any(|named| named.trim() == name))
}

/// What happens in the child between fork and exec. `Command` forks (it does not use posix_spawn with such a closure),
/// resets the signal mask, and reports a failure of the closure or of exec to `spawn`.
fn prepare_child(command: &mut Command, bootstrap: &OwnedFd, joins_session: bool, sandbox: Option<sandbox::Child>) {
    let app = getpid();
    let bootstrap = bootstrap.as_raw_fd();
    let prepare = move || {
        if !joins_session {
            setsid()?;
        }
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The app may have died before that call.
        if getppid() != Some(app) {
            return Err(io::ErrorKind::NotFound.into());
        }
        reset_signals();
        inherit_only(bootstrap)?;
        sandbox.as_ref().map_or(Ok(()), sandbox::Child::apply)
    };
    // SAFETY: the closure runs in the forked child of a process with other threads, so it may make async-signal-safe
    // calls only. It makes system calls on captured numbers and on the sandbox, which was made before; its errors are
    // made without allocating. What is captured is dropped in the parent alone: the child executes or exits.
    unsafe { command.pre_exec(prepare) };
}

/// Signals that the app ignores would stay ignored after exec.
fn reset_signals() {
    for signal in 1..32 {
        // SAFETY: setting the default action touches no memory of this process; it fails for SIGKILL and SIGSTOP, which
        // need none.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Marks everything above standard error close-on-exec (the app may hold descriptors that are not), and takes the mark
/// off the one to be inherited. Marking, not closing: `Command` reports through a descriptor of its own.
fn inherit_only(bootstrap: RawFd) -> io::Result<()> {
    // SAFETY: the three arguments are numbers; closing happens at exec, when no Rust object is left to notice.
    let marked = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if marked < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `bootstrap` is open in the child: the parent holds it until `spawn` has returned.
    let inherited = unsafe { libc::fcntl(bootstrap, libc::F_SETFD, 0) };
    if inherited < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
