//! What the child does between fork and exec.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
use seccompiler::BpfProgram;

/// What root keeps: without these it may not even reach a bundle that is another user's. What they open is still the
/// ruleset's to decide.
const KEPT: CapabilitySet = CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::DAC_READ_SEARCH);

/// The rules, ready to be applied.
pub(crate) struct Child {
    /// Landlock's; for one start alone, since the child adds a rule of its own.
    pub ruleset: Option<OwnedFd>,
    /// seccomp's.
    pub filter: Option<BpfProgram>,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent_fd: i32,
}

/// `struct sock_fprog`.
#[repr(C)]
struct Program {
    length: u16,
    filter: *const seccompiler::sock_filter,
}

impl Child {
    /// Puts this thread, and whatever it executes, into the sandbox for good. System calls only: no allocation, no lock.
    pub fn apply(&self) -> io::Result<()> {
        // Nothing that is executed brings them back, since it gets no new privileges.
        let capabilities = rustix::thread::capabilities(None)?.permitted & KEPT;
        set_capabilities(
            None,
            CapabilitySets { effective: capabilities, permitted: capabilities, inheritable: CapabilitySet::empty() },
        )?;
        set_no_new_privs(true)?;
        if let Some(ruleset) = &self.ruleset {
            allow_own_proc(ruleset)?;
            // SAFETY: takes a descriptor, which is open, and flags.
            check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) })?;
        }
        if let Some(filter) = &self.filter {
            let length = u16::try_from(filter.len()).unwrap_or(u16::MAX);
            let program = Program { length, filter: filter.as_ptr() };
            // SAFETY: the kernel reads `program`, a local, and as many instructions as it says, which `filter` holds.
            check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) })?;
        }
        Ok(())
    }
}

/// A process may read what `/proc` says of itself. Only the child knows which folder that is.
fn allow_own_proc(ruleset: &OwnedFd) -> io::Result<()> {
    const READ_FILE: u64 = 1 << 2;
    const READ_DIR: u64 = 1 << 3;
    const RULE_PATH_BENEATH: i32 = 1;
    // Where there is no `/proc` there is nothing to read.
    let Ok(own) = openat(CWD, c"/proc/self", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else { return Ok(()) };
    let rule = PathBeneath { allowed_access: READ_FILE | READ_DIR, parent_fd: own.as_raw_fd() };
    // SAFETY: the kernel reads `rule`, a local with the layout of this kind of rule; both descriptors are open.
    check(unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), RULE_PATH_BENEATH, &raw const rule, 0_u32)
    })
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
