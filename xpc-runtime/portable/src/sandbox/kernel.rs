//! What the running kernel can enforce.

/// Support for the two means that a sandbox is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    /// The version of Landlock's ABI; 0 without Landlock.
    pub landlock: i64,
    /// Whether seccomp takes filters, on a machine that we can write them for.
    pub seccomp: bool,
}

/// What is denied from which version of Landlock's on, and by which Linux.
const LANDLOCK: &[(i64, &str)] = &[
    (1, "files outside the bundle and the container, memory of other processes"),
    (3, "truncating such files"),
    (5, "control of devices"),
    (6, "signals to other processes"),
];

impl Kernel {
    pub fn running() -> Self {
        const VERSION: u32 = 1;
        // SAFETY: with this flag the call takes no attributes: a null pointer of no length; it gives a number.
        let version =
            unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION) };
        let action = libc::SECCOMP_RET_ERRNO;
        // SAFETY: the call reads one number behind the pointer, which is to a local.
        let available =
            unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) };
        Self { landlock: version.max(0), seccomp: available == 0 && super::calls::architecture().is_some() }
    }

    /// What is not denied although it should be, in one line for the app; `None` where everything is.
    pub fn unenforced(self) -> Option<String> {
        let missing = LANDLOCK.iter().filter(|(since, _)| self.landlock < *since).map(|(_, what)| *what);
        // Ports of TCP are Landlock's too, from its fourth version on: all that is left of the network without seccomp.
        let network = match self.seccomp {
            true => None,
            false if self.landlock < 4 => Some("the network, keyrings, System V IPC"),
            false => Some("the network except for ports of TCP, Unix sockets, keyrings, System V IPC"),
        };
        let missing: Vec<_> = missing.chain(network).collect();
        if missing.is_empty() {
            return None;
        }
        let has = match self.landlock {
            0 => "no Landlock".to_owned(),
            version => format!("version {version} of Landlock's ABI"),
        };
        let filters = if self.seccomp { "" } else { " and no seccomp filters" };
        Some(format!(
            "the sandbox of XPC services is not enforced in full, since this kernel has {has}{filters}. Not denied: {}. Linux 6.12 and newer enforce all of it",
            missing.join("; ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unenforced(landlock: i64, seccomp: bool) -> String {
        Kernel { landlock, seccomp }.unenforced().unwrap_or_default()
    }

    #[test]
    fn an_old_kernel_is_said_with_what_it_does_not_deny() {
        assert_eq!(unenforced(6, true), "");
        assert_eq!(unenforced(99, true), "");
        let old = unenforced(2, true);
        assert!(old.contains("version 2") && old.contains("truncating") && old.contains("signals"), "{old}");
        assert!(!old.contains("files outside the bundle") && !old.contains("the network"), "{old}");
        let none = unenforced(0, true);
        assert!(none.contains("no Landlock") && none.contains("files outside the bundle"), "{none}");
        assert!(!none.contains("the network"), "{none}");
        assert!(unenforced(3, false).contains("no seccomp filters") && unenforced(3, false).contains("the network,"));
        assert!(unenforced(6, false).contains("except for ports of TCP"));
    }
}
