//! What the app has its services try, and what has to come of it.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;

use libc::{EACCES, EPERM};
use xpc_runtime::{Connection, Dictionary, Error, Listener, Message};

use crate::attempts;

const CLOSED: &str = "com.example.sandbox.closed";
const CLIENT: &str = "com.example.sandbox.client";
const SERVER: &str = "com.example.sandbox.server";
const PATHS: &str = "com.example.sandbox.paths";
const AGENTS: &str = "com.example.sandbox.agents";
const FREE: &str = "com.example.sandbox.free";

pub fn run(scenario: &str) {
    match scenario {
        "files" => files(),
        "network" => network(),
        "client" => client(),
        "server" => server(),
        "ways-round" => ways_round(),
        "paths" => paths(),
        "early-thread" => early_thread(),
        "descriptors" => descriptors(),
        "works" => works(),
        "unaffected" => unaffected(),
        "agents" => agents(),
        "hold" => {
            println!("{}", Service::new(CLOSED).ask("self", &[]).uint64("pid").unwrap());
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
        }
        other => panic!("unknown scenario {other}"),
    }
}

struct Service(Connection);

impl Service {
    fn new(name: &str) -> Self {
        Self(Connection::service(name).activate())
    }

    fn ask(&self, op: &str, texts: &[(&str, &str)]) -> Message {
        let message =
            texts.iter().fold(Dictionary::new().with("op", op), |message, (key, text)| message.with(*key, *text));
        self.0.send_with_reply_blocking(&message).expect("a reply")
    }

    fn errno(&self, what: &str, argument: &str) -> i64 {
        self.ask("try", &[("what", what), ("argument", argument)]).int64("errno").unwrap()
    }

    #[track_caller]
    fn expect(&self, error: i32, what: &str, argument: &str) {
        assert_eq!(self.errno(what, argument), i64::from(error), "{what} {argument}");
    }

    fn data(&self) -> String {
        self.ask("self", &[]).string("directory").unwrap().to_owned()
    }
}

/// A path outside of bundle and container.
fn outside(name: &str) -> String {
    format!("{}/{name}", std::env::var("ROOM").unwrap())
}

fn files() {
    let service = Service::new(CLOSED);
    let data = service.data();
    for denied in ["read", "append", "truncate", "remove", "cat"] {
        service.expect(EACCES, denied, &outside("file"));
    }
    service.expect(EACCES, "list", &outside(""));
    service.expect(EACCES, "create", &outside("new"));
    service.expect(EACCES, "make-folder", &outside("new"));
    service.expect(EACCES, "execute", &outside("program"));
    service.expect(EACCES, "read", "/etc/hosts");
    service.expect(EACCES, "list", "/");
    service.expect(EACCES, "list", "/proc");
    service.expect(EACCES, "create", &format!("{data}/../beside"));
    service.expect(0, "create", &format!("{data}/own"));
    assert_ne!(service.errno("rename", &format!("{data}/own {}", outside("moved"))), 0);
    assert_ne!(service.errno("rename", &format!("{} {data}/taken", outside("file"))), 0);
    assert_ne!(service.errno("link", &format!("{} {data}/taken", outside("file"))), 0);
    // A symlink in the container leads nowhere that its target does not.
    std::os::unix::fs::symlink(outside("file"), format!("{data}/link")).unwrap();
    service.expect(EACCES, "read", &format!("{data}/link"));
    assert_eq!(fs::read(outside("file")).unwrap(), b"content", "nothing was done to it");
    for allowed in ["append", "read", "truncate", "cat", "remove"] {
        service.expect(0, allowed, &format!("{data}/own"));
    }
    service.expect(0, "make-folder", &format!("{data}/folder"));
    service.expect(0, "create", &format!("{data}/folder/a"));
    service.expect(0, "rename", &format!("{data}/folder/a {data}/b"));
    service.expect(0, "list", &data);
    for readable in ["/proc/self/status", "/proc/cpuinfo", "/etc/ld.so.cache", "/etc/passwd"] {
        service.expect(0, "read", readable);
    }
    service.expect(EACCES, "append", "/etc/passwd");
    service.expect(0, "append", "/dev/null");
    let app = std::env::current_exe().unwrap();
    service.expect(0, "read", app.to_str().unwrap());
    // As root, the tests may write to it; in the sandbox it may not.
    service.expect(EACCES, "append", app.with_file_name("data").to_str().unwrap());
    service.expect(0, "execute", "/usr/bin/true");
}

/// Somebody to talk to.
fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn network() {
    let service = Service::new(CLOSED);
    let (_listener, address) = listener();
    for attempt in [
        "tcp-connect",
        "tcp-connect-fast-open",
        "tcp-connect-multipath",
        "tcp-bind",
        "tcp-listen",
        "udp-bind",
        "udp-send",
    ] {
        service.expect(EPERM, attempt, &address);
    }
    service.expect(0, "stream-pair", "");
}

fn client() {
    let service = Service::new(CLIENT);
    let (_listener, address) = listener();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    service.expect(0, "tcp-connect", &address);
    service.expect(0, "udp-send", &udp.local_addr().unwrap().to_string());
    udp.recv(&mut [0; 8]).unwrap();
    for attempt in ["tcp-bind", "tcp-listen", "udp-bind", "tcp-connect-multipath"] {
        service.expect(EPERM, attempt, &address);
    }
    service.expect(0, "read", "/etc/hosts");
    other_sockets(&service);
}

fn server() {
    let service = Service::new(SERVER);
    let (_listener, address) = listener();
    for attempt in ["tcp-bind", "tcp-listen", "udp-bind"] {
        service.expect(0, attempt, "");
    }
    for attempt in ["tcp-connect", "tcp-connect-fast-open", "tcp-connect-multipath"] {
        service.expect(EPERM, attempt, &address);
    }
    other_sockets(&service);
}

/// Those that are ways round, whatever of the network is granted.
fn other_sockets(service: &Service) {
    let (stream, datagram, raw) = (libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_RAW);
    for (family, kind, protocol) in [
        (libc::AF_UNIX, stream, 0),
        (libc::AF_UNIX, datagram, 0),
        (libc::AF_INET, raw, libc::IPPROTO_ICMP),
        (libc::AF_INET, stream, libc::IPPROTO_MPTCP),
        (libc::AF_INET6, stream, libc::IPPROTO_SCTP),
        (libc::AF_PACKET, raw, 0),
        (libc::AF_VSOCK, stream, 0),
        (libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
        (libc::AF_NETLINK, raw, libc::NETLINK_KOBJECT_UEVENT),
    ] {
        service.expect(EPERM, "socket", &format!("{family} {kind} {protocol}"));
    }
    service.expect(EPERM, "datagram-pair", "");
    service.expect(0, "stream-pair", "");
}

fn ways_round() {
    let service = Service::new(CLOSED);
    let own = std::process::id().to_string();
    for attempt in ["signal", "ptrace", "read-memory", "take-descriptor", "limit"] {
        service.expect(EPERM, attempt, &own);
    }
    for attempt in ["io-uring", "keyring", "shared-memory", "message-queue"] {
        service.expect(EPERM, attempt, "");
    }
    service.expect(EPERM, "mount", &service.data());
    #[cfg(target_arch = "x86_64")]
    for attempt in ["x32-socket", "i386-getpid"] {
        service.expect(EPERM, attempt, "");
    }
    for file in ["environ", "maps", "cmdline", "mem"] {
        service.expect(EACCES, "read", &format!("/proc/{own}/{file}"));
    }
    other_sockets(&service);
    let path = outside("daemon");
    let _daemon = UnixListener::bind(&path).unwrap();
    service.expect(EPERM, "unix-connect", &path);
    let capabilities = service.ask("self", &[]).uint64("capabilities").unwrap();
    assert_eq!(capabilities & !0b110, 0, "root keeps two that are about files: {capabilities:x}");
    // It may not end what is not its own.
    let free = Service::new(FREE);
    let pid = free.ask("self", &[]).uint64("pid").unwrap();
    assert_eq!(service.ask("kill-service", &[("name", FREE)]).bool("killed"), Ok(false));
    assert_eq!(free.ask("self", &[]).uint64("pid"), Ok(pid));
}

/// Its entitlements grant `reading/`, `file` and, for writing, `writing/` in the room, `.config/own/` and `Downloads` in
/// the home.
fn paths() {
    let service = Service::new(PATHS);
    let home = std::env::var("HOME").unwrap();
    service.expect(0, "read", &outside("file"));
    service.expect(EACCES, "append", &outside("file"));
    service.expect(0, "read", &outside("reading/a"));
    service.expect(EACCES, "append", &outside("reading/a"));
    service.expect(EACCES, "create", &outside("reading/b"));
    service.expect(0, "append", &outside("writing/a"));
    service.expect(0, "create", &outside("writing/b"));
    service.expect(EACCES, "read", &outside("program"));
    service.expect(0, "create", &format!("{home}/.config/own/new"));
    service.expect(EACCES, "create", &format!("{home}/new"));
    service.expect(0, "read", &format!("{home}/Downloads/a"));
    service.expect(EACCES, "create", &format!("{home}/Downloads/new"));
    service.expect(EACCES, "read", &outside("folder/a"));
}

fn early_thread() {
    let (_listener, address) = listener();
    for (name, error) in [(CLOSED, EPERM), (FREE, 0)] {
        let service = Service::new(name);
        let early = |what, argument: &str| {
            service.ask("try-early", &[("what", what), ("argument", argument)]).int64("errno").unwrap()
        };
        assert_eq!(early("tcp-connect", &address), i64::from(error), "{name}");
        assert_eq!(early("read", &outside("file")), i64::from(if error == 0 { 0 } else { EACCES }), "{name}");
    }
}

/// What the app holds open and inheritable stays with the app.
fn descriptors() {
    let file = fs::File::open(outside("file")).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (tcp, _) = listener();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    rustix::io::fcntl_setfd(&udp, rustix::io::FdFlags::empty()).unwrap();
    rustix::io::fcntl_setfd(&tcp, rustix::io::FdFlags::empty()).unwrap();
    let seen = format!("{:?}", Service::new(CLOSED).ask("self", &[]).array("descriptors").unwrap());
    assert!(!seen.contains("/file"), "{seen}");
    assert!(!seen.contains("landlock"), "the rules themselves are nobody's: {seen}");
    // The bootstrap socket, and the connection.
    assert_eq!(seen.matches("socket:").count(), 2, "{seen}");
}

fn works() {
    let service = Service::new(CLOSED);
    let own = service.ask("self", &[]);
    let environment = own.dictionary("environment").unwrap();
    let data = environment.string("HOME").unwrap();
    let place = format!("{}/xpc-runtime/Containers/{CLOSED}/Data", std::env::var("XDG_DATA_HOME").unwrap());
    assert_eq!(data, place);
    assert_eq!(own.string("directory"), Ok(data));
    assert_eq!(environment.string("TMPDIR"), Ok(format!("{data}/tmp").as_str()));
    assert!(!environment.contains_key("XDG_RUNTIME_DIR"));
    service.expect(0, "create", &format!("{data}/tmp/new"));
    let large = Dictionary::new().with("op", "echo").with("data", vec![7_u8; 4 << 20]);
    assert!(*service.0.send_with_reply_blocking(&large).unwrap() == large);
    service.ask("print", &[]);
    let other = Service::new(CLIENT);
    let pid = other.ask("self", &[]).uint64("pid");
    assert_eq!(service.ask("forward", &[("to", CLIENT)]).uint64("pid"), pid, "one instance for both");
    assert_ne!(other.data(), data, "a container each");
    other.expect(EACCES, "create", &format!("{data}/foreign"));
    // It is started again as often as any other.
    let pid = own.uint64("pid").unwrap();
    assert_eq!(xpc_runtime::testing::kill_service(CLOSED), Ok(true));
    let service = Service::new(CLOSED);
    assert_ne!(service.ask("self", &[]).uint64("pid"), Ok(pid));
    service.expect(0, "read", &format!("{data}/tmp/new"));
    service.expect(EACCES, "read", &outside("file"));
}

/// The app is the agent. Of what a service hears from it, everything but the way there is as without a sandbox.
fn agents() {
    const NAME: &str = "com.example.sandbox.agent";
    let listen = || {
        Listener::mach_service(NAME).on_invalid(|_| {}).activate(|peer| {
            let client = peer.pid().expect("who connects");
            peer.on_message(move |_, message| message.reply().with("client", client).send()).activate();
        })
    };
    let listener = listen();
    let (granted, denied) = (Service::new(AGENTS), Service::new(CLOSED));
    let call = |service: &Service, name: &str| service.ask("call-agent", &[("name", name)]);
    let pid = granted.ask("self", &[]).uint64("pid");
    for _ in 0..2 {
        assert_eq!(call(&granted, NAME).uint64("client"), pid, "the service itself is the client");
    }
    let nobody = call(&granted, "com.example.sandbox.nobody");
    assert!(nobody.string("error").unwrap().contains("no process serves"), "{nobody:?}");
    for (service, name) in [(&denied, NAME), (&granted, "com.example.sandbox.agent.other")] {
        let reply = call(service, name);
        let error = reply.string("error").unwrap();
        assert!(error.contains("mach-lookup.global-name") && error.contains(name), "{error}");
        assert_eq!(reply.bool("at once"), Ok(true), "before any message");
    }
    let long = call(&granted, &"long".repeat(500));
    assert!(long.string("error").unwrap().contains("longer than"), "{long:?}");
    // One that goes interrupts, and is reached when it is back.
    let kept = |op: &str| granted.ask(op, &[("name", NAME)]);
    assert_eq!(kept("keep-agent").uint64("client"), pid);
    listener.cancel();
    assert_eq!(kept("call-kept").string("error"), Ok(Error::Interrupted.to_string().as_str()));
    let _listener = listen();
    assert_eq!(kept("call-kept").uint64("client"), pid);
}

/// Without the entitlement, a service may do what its app may do.
fn unaffected() {
    let service = Service::new(FREE);
    let (_listener, address) = listener();
    let own = std::process::id().to_string();
    for (what, argument) in [
        ("read", outside("file")),
        ("append", outside("file")),
        ("create", outside("by-both")),
        ("remove", outside("by-both")),
        ("list", "/".to_owned()),
        ("tcp-connect", address.clone()),
        ("tcp-bind", String::new()),
        ("tcp-listen", String::new()),
        ("udp-bind", String::new()),
        ("udp-send", address),
        ("datagram-pair", String::new()),
        ("io-uring", String::new()),
        ("keyring", String::new()),
        ("signal", own.clone()),
        ("limit", own.clone()),
    ] {
        let expected = match what {
            // The app has just done, or undone, the same.
            "create" | "remove" => 0,
            _ => attempts::errno(what, &argument),
        };
        assert_eq!(service.errno(what, &argument), expected, "{what} {argument}");
    }
    let described = service.ask("self", &[]);
    assert_eq!(described.string("directory"), Ok("/"));
    assert_eq!(described.dictionary("environment").unwrap().string("HOME").unwrap(), std::env::var("HOME").unwrap());
}
