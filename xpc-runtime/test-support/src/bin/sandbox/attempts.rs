//! What may be denied. Each attempt is told by a word and an argument, and gives 0 or an error's number.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};

use libc::c_long;

/// As [`attempt`], where `0` is success.
pub fn errno(what: &str, argument: &str) -> i64 {
    match attempt(what, argument) {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or_else(|| panic!("{what} {argument}: {error}")).into(),
    }
}

fn attempt(what: &str, argument: &str) -> io::Result<()> {
    let number = || argument.parse::<c_long>().expect("a number");
    match what {
        "read" => fs::read(argument).map(drop),
        "list" => fs::read_dir(argument).map(drop),
        "append" => OpenOptions::new().append(true).open(argument)?.write_all(b"x"),
        "create" => File::create_new(argument).map(drop),
        "truncate" => {
            let path = CString::new(argument)?;
            call(libc::SYS_truncate, [path.as_ptr().expose_provenance().cast_signed() as c_long, 0, 0, 0, 0, 0])
        }
        "make-folder" => fs::create_dir(argument),
        "remove" => fs::remove_file(argument),
        "rename" => {
            let (from, to) = argument.split_once(' ').expect("two paths");
            fs::rename(from, to)
        }
        "link" => {
            let (from, to) = argument.split_once(' ').expect("two paths");
            fs::hard_link(from, to)
        }
        "execute" => Command::new(argument).stdout(Stdio::null()).status().map(drop),
        "cat" => {
            let status = Command::new("cat").arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
            if status.success() { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EACCES)) }
        }
        "mount" => {
            let path = CString::new(argument)?;
            let text = |text: &std::ffi::CStr| text.as_ptr().expose_provenance().cast_signed() as c_long;
            call(libc::SYS_mount, [text(c"none"), text(&path), text(c"tmpfs"), 0, 0, 0])
        }
        "tcp-connect" => TcpStream::connect(address(argument)).map(drop),
        "tcp-connect-fast-open" => fast_open(address(argument)),
        "tcp-connect-multipath" => {
            let socket = socket([libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP])?;
            rustix::net::connect(&socket, &address(argument)).map_err(Into::into)
        }
        "tcp-bind" => TcpListener::bind("127.0.0.1:0").map(drop),
        "tcp-listen" => {
            let socket = socket([libc::AF_INET, libc::SOCK_STREAM, 0])?;
            rustix::net::listen(&socket, 1).map_err(Into::into)
        }
        "udp-bind" => UdpSocket::bind("127.0.0.1:0").map(drop),
        "udp-send" => {
            let socket = socket([libc::AF_INET, libc::SOCK_DGRAM, 0])?;
            rustix::net::sendto(&socket, b"x", rustix::net::SendFlags::empty(), &address(argument))?;
            Ok(())
        }
        "socket" => {
            let mut numbers = argument.split(' ').map(|number| number.parse().expect("a number"));
            socket(std::array::from_fn(|_| numbers.next().unwrap_or(0))).map(drop)
        }
        "datagram-pair" => std::os::unix::net::UnixDatagram::pair().map(drop),
        "stream-pair" => std::os::unix::net::UnixStream::pair().map(drop),
        "unix-connect" => std::os::unix::net::UnixStream::connect(argument).map(drop),
        "signal" => call(libc::SYS_kill, [number(), 0, 0, 0, 0, 0]),
        "ptrace" => {
            const SEIZE: c_long = 0x4206;
            call(libc::SYS_ptrace, [SEIZE, number(), 0, 0, 0, 0])
        }
        "read-memory" => {
            let mut buffer = [0_u8; 1];
            let part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: 1 };
            let part = (&raw const part).expose_provenance().cast_signed() as c_long;
            // Where the other's memory is does not matter to whether one may ask.
            match call(libc::SYS_process_vm_readv, [number(), part, 1, part, 1, 0]) {
                Err(error) if error.raw_os_error() == Some(libc::EFAULT) => Ok(()),
                other => other,
            }
        }
        "take-descriptor" => {
            use std::os::fd::AsRawFd;
            let process = rustix::process::pidfd_open(
                rustix::process::Pid::from_raw(number().try_into().unwrap()).unwrap(),
                rustix::process::PidfdFlags::empty(),
            )?;
            call(libc::SYS_pidfd_getfd, [process.as_raw_fd().into(), 0, 0, 0, 0, 0])
        }
        "limit" => call(libc::SYS_prlimit64, [number(), libc::RLIMIT_NOFILE as c_long, 0, 0, 0, 0]),
        "io-uring" => {
            let mut parameters = [0_u64; 32];
            let parameters = parameters.as_mut_ptr().expose_provenance().cast_signed() as c_long;
            call(libc::SYS_io_uring_setup, [1, parameters, 0, 0, 0, 0])
        }
        "keyring" => {
            const GET_KEYRING_ID: c_long = 0;
            const SESSION: c_long = -3;
            call(libc::SYS_keyctl, [GET_KEYRING_ID, SESSION, 1, 0, 0, 0])
        }
        "shared-memory" => call(libc::SYS_shmget, [0, 4096, 0o600, 0, 0, 0]),
        "message-queue" => {
            call(libc::SYS_mq_open, [c"absent".as_ptr().expose_provenance().cast_signed() as c_long, 0, 0, 0, 0, 0])
        }
        #[cfg(target_arch = "x86_64")]
        "x32-socket" => {
            call(0x4000_0000 | libc::SYS_socket, [libc::AF_INET.into(), libc::SOCK_DGRAM.into(), 0, 0, 0, 0])
        }
        #[cfg(target_arch = "x86_64")]
        "i386-getpid" => i386_getpid(),
        other => panic!("unknown attempt {other}"),
    }
}

fn address(argument: &str) -> SocketAddrV4 {
    argument.parse().expect("an address")
}

fn call(number: c_long, arguments: [c_long; 6]) -> io::Result<()> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: no attempt has the kernel write to memory but to buffers of its own that are large enough.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn socket([family, kind, protocol]: [i32; 3]) -> io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: three numbers.
    let socket = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just made, for nobody else.
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(socket) })
}

fn fast_open(address: SocketAddrV4) -> io::Result<()> {
    let socket = socket([libc::AF_INET, libc::SOCK_STREAM, 0])?;
    let flags = rustix::net::SendFlags::from_bits_retain(libc::MSG_FASTOPEN.cast_unsigned());
    rustix::net::sendto(&socket, b"x", flags, &address)?;
    Ok(())
}

/// A call by the ABI of 32-bit programs, where the number 20 is `getpid`.
#[cfg(target_arch = "x86_64")]
fn i386_getpid() -> io::Result<()> {
    let result: i64;
    // SAFETY: `getpid` touches no memory; the kernel may change these registers.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") 20_i64 => result, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    // Errors are 32 bits wide.
    #[expect(clippy::cast_possible_truncation, reason = "so wide is this ABI's result")]
    let result = result as i32;
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) }
}
