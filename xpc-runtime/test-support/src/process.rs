//! What a process can say of itself.

use std::fs;

/// What this process has open, but for what shows it.
///
/// # Panics
/// `/proc` is not mounted.
#[must_use]
pub fn descriptors() -> Vec<String> {
    let open = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    open.map(|target| target.display().to_string()).filter(|target| !target.starts_with("/proc/")).collect()
}

/// The processes that this one has started and not cleared away.
///
/// # Panics
/// `/proc` is not mounted.
#[must_use]
pub fn children() -> Vec<String> {
    // A child belongs to the thread that made it. A thread may end while one looks; only the launcher's makes children,
    // and that one stays.
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let lists = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// A number of a file of `/proc/self`, in KiB where it is memory.
///
/// # Panics
/// There is no such field.
#[must_use]
pub fn number(file: &str, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/self/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).expect("the field");
    line.split_whitespace().next().expect("a value").parse().unwrap()
}

/// How many there are.
#[must_use]
pub fn threads() -> u64 {
    number("status", "Threads")
}

/// The session this process belongs to, by its leader's process id. 0, which `getsid` of rustix does not expect, when
/// the leader is outside this process's pid namespace, as it is in containers that are entered from outside.
#[must_use]
pub fn session() -> u64 {
    let status = fs::read_to_string("/proc/self/stat").expect("/proc is mounted");
    // proc_pid_stat(5): the name in parentheses may hold anything; state, ppid, pgrp and session follow it.
    let (_, after_the_name) = status.rsplit_once(')').expect("a name in parentheses");
    after_the_name.split_whitespace().nth(3).expect("a sixth field").parse().expect("a number")
}
