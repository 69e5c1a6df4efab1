//! Which files a sandboxed service may use: a ruleset of Landlock's.

use std::env;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    RulesetError, Scope,
};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;

use super::policy::{Base, Grant, Policy};

/// The newest version whose rights are asked for; an older kernel leaves out what it does not know.
const VERSION: ABI = ABI::V6;

/// Programs, libraries, and what the C library and those of TLS, time and language read by themselves.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/locale.conf",
    "/etc/locale.alias",
    "/etc/default/locale",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/os-release",
    "/etc/machine-id",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
];

/// What names are resolved with, where there is a network.
const RESOLVER: &[&str] = &[
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
];

/// Devices that are nobody's.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// What `/proc` says of the machine, not of processes.
const MACHINE: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/version",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/filesystems",
    "/proc/sys",
];

/// Makes the ruleset; `None` where the kernel has no Landlock.
pub(super) fn ruleset(
    policy: &Policy,
    bundle: Option<&Path>,
    data: &Path,
    remarks: &mut Vec<String>,
) -> io::Result<Option<OwnedFd>> {
    let mut rules = create(policy).map_err(io::Error::other)?;
    let executable = AccessFs::from_read(VERSION);
    let readable = AccessFs::ReadFile | AccessFs::ReadDir;
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
    let writable = AccessFs::from_all(VERSION) & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev);
    let resolver = if policy.network() { RESOLVER } else { &[] };
    for (paths, access) in [(SYSTEM, executable), (resolver, readable), (DEVICES, device)] {
        for path in paths {
            // Not every system has all of them.
            if let Ok(file) = find(Path::new(path)) {
                rules = allow(rules, &file, access)?;
            }
        }
    }
    for file in machine() {
        rules = allow(rules, file, readable)?;
    }
    if let Some(bundle) = bundle {
        rules = allow(rules, &find(bundle)?, executable)?;
    }
    rules = allow(rules, &find(data)?, writable)?;
    for grant in &policy.paths {
        match resolve(grant) {
            Ok(file) => rules = allow(rules, &file, if grant.writes { writable } else { readable })?,
            Err(why) => remarks.push(format!("{} does not grant `{}`: {why}", grant.entitlement, grant.path)),
        }
    }
    Ok(rules.into())
}

fn create(policy: &Policy) -> Result<RulesetCreated, RulesetError> {
    let mut rules = Ruleset::default().handle_access(AccessFs::from_all(VERSION))?.scope(Scope::from_all(VERSION))?;
    // What is not granted to any port; seccomp denies it as well, but for sockets that Landlock knows to be TCP's there
    // are two locks.
    if !policy.client {
        rules = rules.handle_access(AccessNet::ConnectTcp)?;
    }
    if !policy.server {
        rules = rules.handle_access(AccessNet::BindTcp)?;
    }
    rules.create()
}

fn allow(rules: RulesetCreated, file: &OwnedFd, access: BitFlags<AccessFs>) -> io::Result<RulesetCreated> {
    let possible = if is_folder(file)? { access } else { access & AccessFs::from_file(VERSION) };
    rules.add_rule(PathBeneath::new(file.as_fd(), possible)).map_err(io::Error::other)
}

fn find(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

fn is_folder(file: &OwnedFd) -> Result<bool, Errno> {
    Ok(FileType::from_raw_mode(fstat(file)?.st_mode) == FileType::Directory)
}

/// Kept open: a rule is about an inode, and `/proc` makes another one where nobody holds the first.
fn machine() -> &'static [OwnedFd] {
    static FILES: OnceLock<Vec<OwnedFd>> = OnceLock::new();
    FILES.get_or_init(|| MACHINE.iter().filter_map(|path| find(Path::new(path)).ok()).collect())
}

fn resolve(grant: &Grant) -> Result<OwnedFd, String> {
    let relative = grant.path.strip_prefix('/').ok_or("the path does not begin with `/`")?;
    let base = match grant.base {
        Base::Root => PathBuf::from("/"),
        Base::Home => env::home_dir().ok_or("HOME is not set")?,
    };
    let file = find(&base.join(relative)).map_err(|error| error.to_string())?;
    if is_folder(&file).map_err(|error| error.to_string())? && !grant.path.ends_with('/') {
        return Err("it is a folder, and only a path that ends with `/` grants what is in it".to_owned());
    }
    Ok(file)
}
