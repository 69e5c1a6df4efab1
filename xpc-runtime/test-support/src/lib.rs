//! What the test app and its service agree on.

/// The service that both sides know.
pub const SERVICE_NAME: &str = xpc_runtime::service_name!();

/// A second service of the same app, run by the same program.
pub const OTHER_SERVICE_NAME: &str = "com.example.tests.other";

/// A service whose program ends before it serves anything.
pub const BROKEN_SERVICE_NAME: &str = "com.example.tests.broken";

/// A service whose program does not exist.
pub const ABSENT_SERVICE_NAME: &str = "com.example.tests.absent";

/// The session this process belongs to, by its leader's process id. 0, which `getsid` of rustix does not expect, when
/// the leader is outside this process's pid namespace, as it is in containers that are entered from outside.
#[cfg(target_os = "linux")]
#[must_use]
pub fn session() -> u64 {
    let status = std::fs::read_to_string("/proc/self/stat").expect("/proc is mounted");
    // proc_pid_stat(5): the name in parentheses may hold anything; state, ppid, pgrp and session follow it.
    let (_, after_the_name) = status.rsplit_once(')').expect("a name in parentheses");
    after_the_name.split_whitespace().nth(3).expect("a sixth field").parse().expect("a number")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_name_is_that_of_the_manifest() {
        assert_eq!(super::SERVICE_NAME, "com.example.tests.service");
    }
}
