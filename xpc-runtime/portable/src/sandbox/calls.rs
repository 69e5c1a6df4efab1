//! Which system calls fail in a sandboxed service: a filter of seccomp's. What fails gives EPERM, and ends nobody.

use std::collections::BTreeMap;
use std::io;

use libc::c_long;
use seccompiler::SeccompCmpOp::{Eq, Ge, MaskedEq, Ne};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};

use super::kernel::Kernel;
use super::policy::Policy;

/// Ways round the rules below, or to what is other processes': sockets and files without the calls that the filter
/// sees (io_uring), the kernel's keyrings, System V IPC and POSIX message queues (which have no paths that Landlock
/// sees), files by handle.
const NEVER: &[c_long] = &[
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_open_by_handle_at,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
];

/// The type of a socket without its flags.
const TYPE_MASK: u64 = 0xf;
/// `sizeof(struct sockaddr_in)`: no shorter address is one of IP's. Shorter ones are netlink's, which the C library
/// binds to list the machine's addresses.
const SHORTEST_IP_ADDRESS: u64 = 16;

/// One way for a call to be denied: all its conditions hold.
type Denial = Vec<(u8, SeccompCmpOp, u64)>;

/// The machine that this program is for, where a filter can be written for it.
pub(super) fn architecture() -> Option<TargetArch> {
    TargetArch::try_from(std::env::consts::ARCH).ok()
}

/// Makes the filter; `None` where the kernel takes none.
pub(super) fn filter(policy: &Policy, kernel: Kernel) -> io::Result<Option<BpfProgram>> {
    let Some(architecture) = architecture().filter(|_| kernel.seccomp) else { return Ok(None) };
    let mut rules = BTreeMap::new();
    for (call, denials) in denials(policy) {
        let mut conditions = Vec::new();
        for denial in denials {
            let denial = denial
                .into_iter()
                .map(|(argument, compare, value)| {
                    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compare, value)
                })
                .collect::<Result<_, _>>()
                .and_then(SeccompRule::new)
                .map_err(io::Error::other)?;
            conditions.push(denial);
        }
        rules.insert(call, conditions);
    }
    let denied = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, architecture).map_err(io::Error::other)?;
    let filter = BpfProgram::try_from(filter).map_err(io::Error::other)?;
    Ok(Some([own_calls_only(&filter), filter].concat()))
}

/// A call whose list is empty always fails.
fn denials(policy: &Policy) -> Vec<(c_long, Vec<Denial>)> {
    let mut all: Vec<(c_long, Vec<Denial>)> = NEVER.iter().map(|call| (*call, Vec::new())).collect();
    all.push((libc::SYS_socket, if policy.network() { sockets() } else { Vec::new() }));
    all.push((libc::SYS_socketpair, pairs()));
    // Limits of other processes of the user, the app among them.
    all.push((libc::SYS_prlimit64, vec![vec![(0, Ne, 0)]]));
    if !policy.server {
        all.push((libc::SYS_bind, vec![vec![(2, Ge, SHORTEST_IP_ADDRESS)]]));
        // Without a bind before it, it would choose a port by itself.
        all.push((libc::SYS_listen, Vec::new()));
    }
    if !policy.client {
        all.push((libc::SYS_connect, Vec::new()));
        // TCP connects by sending, too.
        let fast_open = libc::MSG_FASTOPEN.cast_unsigned().into();
        for (call, flags) in [(libc::SYS_sendto, 3), (libc::SYS_sendmsg, 2), (libc::SYS_sendmmsg, 3)] {
            all.push((call, vec![vec![(flags, MaskedEq(fast_open), fast_open)]]));
        }
    }
    all
}

/// Of `socket`, all but TCP and UDP, and what the C library asks for the machine's addresses. Raw and packet sockets,
/// VSOCK and the like are ways round; so are multipath TCP and SMC, which Landlock does not take for TCP. Unix sockets
/// would reach any daemon that listens at a path, which Landlock does not see: pairs are all there is.
fn sockets() -> Vec<Denial> {
    const INET: u64 = libc::AF_INET as u64;
    const INET6: u64 = libc::AF_INET6 as u64;
    const NETLINK: u64 = libc::AF_NETLINK as u64;
    const TCP: u64 = libc::IPPROTO_TCP as u64;
    const UDP: u64 = libc::IPPROTO_UDP as u64;
    let mut denials = vec![
        vec![(0, Ne, INET), (0, Ne, INET6), (0, Ne, NETLINK)],
        vec![(0, Ne, NETLINK), (2, Ne, 0), (2, Ne, TCP), (2, Ne, UDP)],
        vec![(0, Eq, NETLINK), (2, Ne, libc::NETLINK_ROUTE as u64)],
    ];
    denials.extend(other_types(&[libc::SOCK_STREAM, libc::SOCK_DGRAM]).map(|mut denial| {
        denial.push((0, Ne, NETLINK));
        denial
    }));
    denials
}

/// Of `socketpair`, all but connected Unix sockets. One for datagrams could still send to any address.
fn pairs() -> Vec<Denial> {
    let other_families = vec![(0, Ne, libc::AF_UNIX as u64)];
    std::iter::once(other_families).chain(other_types(&[libc::SOCK_STREAM, libc::SOCK_SEQPACKET])).collect()
}

fn other_types(allowed: &[i32]) -> impl Iterator<Item = Denial> {
    let allowed: Vec<_> = allowed.iter().map(|kind| u64::from(kind.cast_unsigned())).collect();
    (0..=TYPE_MASK).filter(move |kind| !allowed.contains(kind)).map(|kind| vec![(1, MaskedEq(TYPE_MASK), kind)])
}

/// Before the filter: the calls of other ABIs, whose numbers mean other things to it. seccompiler's own check, which
/// follows, ends the process.
fn own_calls_only(filter: &[sock_filter]) -> BpfProgram {
    const LOAD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const JUMP_IF_GREATER_OR_EQUAL: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const NUMBER: u32 = 0;
    const ARCHITECTURE: u32 = 4;
    /// From here on a number is one of x32's.
    const X32: u32 = 0x4000_0000;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    // The filter begins with the same question, so that it knows what the answer has to be.
    let architecture = filter[1].k;
    vec![
        step(LOAD, 0, 0, ARCHITECTURE),
        step(JUMP_IF_EQUAL, 0, 2, architecture),
        step(LOAD, 0, 0, NUMBER),
        step(JUMP_IF_GREATER_OR_EQUAL, 0, 1, X32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned()),
    ]
}
