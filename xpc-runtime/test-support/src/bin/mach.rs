//! An agent, which is found by name, and its clients in one program. `agent NAME` is the agent; anything else is a
//! scenario, which starts agents as it needs them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use xpc_runtime::{Connection, Error, Listener, MachService, Message, Session, Transaction, dispatch_main};
use xpc_runtime_tests::{FOR_EVER, op};

const NAME: &str = "com.example.tests.agent";

static LISTENER: Mutex<Option<Listener<MachService>>> = Mutex::new(None);
static TRANSACTION: Mutex<Option<Transaction>> = Mutex::new(None);
/// Requests that are never answered.
static KEPT: Mutex<Vec<Message>> = Mutex::new(Vec::new());

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["agent", name] => agent(name),
        ["round-trip"] => round_trip(),
        ["not-running"] => not_running(),
        ["no-folder"] => no_folder(),
        ["restart"] => restart(),
        ["two-agents"] => two_agents(),
        ["cancelled-listener"] => cancelled_listener(),
        ["terminate"] => terminate(),
        ["session"] => session(),
        ["many-clients"] => many_clients(),
        ["full-queue"] => full_queue(),
        ["on-demand"] => on_demand(),
        ["strangers"] => strangers(),
        other => panic!("unknown scenario {other:?}"),
    }
}

fn agent(name: &str) -> ! {
    // A client may be there before the agent: whoever is to cancel the listener waits until it is kept.
    let mut kept = LISTENER.lock().unwrap();
    let listener = Listener::mach_service(name)
        .on_invalid(|error| {
            println!("{error}");
            std::process::exit(3);
        })
        .activate(|peer| {
            let (pid, euid) = (peer.pid(), peer.euid());
            peer.on_message(move |connection, message| -> Result<(), Error> {
                match message.string("op")? {
                    "who" => message
                        .reply()
                        .with("pid", std::process::id())
                        .with("client", pid.unwrap_or_default())
                        .with("euid", euid.unwrap_or(u32::MAX))
                        .send(),
                    "tell" => connection.send(&op("told")),
                    "keep" => {
                        KEPT.lock().unwrap().push(message);
                        connection.send(&op("kept"))
                    }
                    "begin" => {
                        *TRANSACTION.lock().unwrap() = Some(Transaction::begin());
                        message.reply().send()
                    }
                    "end" => {
                        message.reply().send()?;
                        *TRANSACTION.lock().unwrap() = None;
                        Ok(())
                    }
                    "cancel" => {
                        if let Some(listener) = LISTENER.lock().unwrap().take() {
                            listener.cancel();
                        }
                        Ok(())
                    }
                    op => panic!("unknown op {op}"),
                }
            })
            .on_termination_imminent(|connection| connection.send(&op("imminent")).unwrap())
            .activate();
        });
    *kept = Some(listener);
    drop(kept);
    println!("activated");
    dispatch_main()
}

/// A running agent, and what it prints.
struct Agent {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Agent {
    fn start() -> Self {
        let mut agent = Self::spawn();
        assert_eq!(agent.lines.next().unwrap().unwrap(), "activated");
        agent
    }

    fn spawn() -> Self {
        Self::run(Command::new(std::env::current_exe().unwrap()).args(["agent", NAME]))
    }

    fn run(command: &mut Command) -> Self {
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    fn pid(&self) -> u64 {
        self.process.id().into()
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn end(&mut self) -> (ExitStatus, Vec<String>) {
        (self.process.wait().unwrap(), self.lines.by_ref().map(Result::unwrap).collect())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Debug, PartialEq)]
enum Event {
    Message(String),
    Interrupted,
    Invalid(Error),
}

fn connect() -> (Connection, Receiver<Event>) {
    let (sender, events) = channel();
    let (messages, interruptions) = (sender.clone(), sender.clone());
    let connection = Connection::mach_service(NAME)
        .on_message(move |_, message| {
            messages.send(Event::Message(message.string("op").unwrap().to_owned())).unwrap_or_default();
        })
        .on_interrupted(move |_| interruptions.send(Event::Interrupted).unwrap_or_default())
        .on_invalid(move |_, error| sender.send(Event::Invalid(error)).unwrap_or_default())
        .activate();
    (connection, events)
}

#[track_caller]
fn next(events: &Receiver<Event>) -> Event {
    events.recv_timeout(FOR_EVER).expect("an event")
}

#[track_caller]
fn invalid(events: &Receiver<Event>) -> String {
    match next(events) {
        Event::Invalid(error) => error.to_string(),
        other => panic!("invalid was due, not {other:?}"),
    }
}

fn ask(connection: &Connection, name: &str) -> Result<Message, Error> {
    connection.send_with_reply_timeout(&op(name), FOR_EVER)
}

#[track_caller]
fn agent_pid(connection: &Connection) -> u64 {
    ask(connection, "who").expect("a reply").uint64("pid").unwrap()
}

fn round_trip() {
    let agent = Agent::start();
    let (connection, events) = connect();
    assert_eq!(connection.name(), Some(NAME));
    assert_eq!(connection.pid(), None, "nobody is known before the first exchange");
    let who = ask(&connection, "who").unwrap();
    assert_eq!(who.uint64("pid"), Ok(agent.pid()));
    assert_eq!(who.uint64("client"), Ok(std::process::id().into()));
    assert_eq!(who.uint64("euid"), Ok(connection.euid().unwrap().into()));
    assert_eq!(connection.pid().map(u64::from), Some(agent.pid()));
    connection.send(&op("tell")).unwrap();
    assert_eq!(next(&events), Event::Message("told".into()));
    connection.cancel();
    assert!(matches!(next(&events), Event::Invalid(_)));
    assert!(events.recv().is_err(), "silence after the last event");
}

fn not_running() {
    let (connection, events) = connect();
    let socket = std::path::Path::new(&std::env::var_os("XDG_RUNTIME_DIR").unwrap())
        .join("xpc-runtime")
        .join(NAME)
        .join("socket");
    for problem in [invalid(&events), ask(&connection, "who").unwrap_err().to_string()] {
        assert!(problem.contains(&format!("no process serves {NAME}: start")), "{problem}");
        assert!(problem.contains(socket.to_str().unwrap()), "{problem}");
    }
    // Clients make nothing.
    assert!(!socket.parent().unwrap().exists());
    let _agent = Agent::start();
    assert!(matches!(ask(&connection, "who"), Err(Error::Invalid(_))), "invalid is final");
    agent_pid(&connect().0);
    // A name that is none.
    let (sender, invalid) = channel();
    let _none = Connection::mach_service("../a").on_invalid(move |_, error| sender.send(error).unwrap()).activate();
    assert!(invalid.recv_timeout(FOR_EVER).unwrap().to_string().contains("is no name of a Mach service"));
}

/// The test's environment does not name a folder.
fn no_folder() {
    let (_connection, events) = connect();
    let problem = invalid(&events);
    assert!(problem.contains("XDG_RUNTIME_DIR is not set"), "{problem}");
    let (sender, over) = channel();
    let _listener =
        Listener::mach_service(NAME).on_invalid(move |error| sender.send(error).unwrap()).activate(|_peer| {});
    assert!(over.recv_timeout(FOR_EVER).unwrap().to_string().contains("XDG_RUNTIME_DIR is not set"));
}

fn restart() {
    let mut agent = Agent::start();
    let (connection, events) = connect();
    for _ in 0..10 {
        assert_eq!(agent_pid(&connection), agent.pid());
        let pending = connection.send_with_reply(&op("keep"));
        assert_eq!(next(&events), Event::Message("kept".into()));
        agent.kill();
        assert_eq!(next(&events), Event::Interrupted);
        drop(pending);
        // Nobody is there: each message is an interruption, and the connection stays.
        for _ in 0..2 {
            assert_eq!(ask(&connection, "who").unwrap_err(), Error::Interrupted);
            assert_eq!(next(&events), Event::Interrupted);
        }
        agent = Agent::start();
    }
    assert_eq!(agent_pid(&connection), agent.pid());
    assert!(events.try_recv().is_err());
}

fn two_agents() {
    let first = Agent::start();
    let (connection, _events) = connect();
    let (status, mut lines) = Agent::spawn().end();
    assert_eq!(status.code(), Some(3));
    lines.retain(|line| line != "activated");
    assert!(lines[0].contains(&format!("{NAME} is served by process {} already", first.pid())), "{lines:?}");
    assert_eq!(agent_pid(&connection), first.pid());
    assert_eq!(agent_pid(&connect().0), first.pid());
}

fn cancelled_listener() {
    let mut agent = Agent::start();
    let (connection, events) = connect();
    agent_pid(&connection);
    connection.send(&op("cancel")).unwrap();
    let (status, lines) = agent.end();
    assert_eq!((status.code(), lines), (Some(3), vec!["the listener was cancelled".to_owned()]));
    assert_eq!(next(&events), Event::Interrupted);
}

fn terminate() {
    let mut agent = Agent::start();
    let (connection, events) = connect();
    ask(&connection, "begin").unwrap();
    let pid = rustix::process::Pid::from_raw(agent.process.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(next(&events), Event::Message("imminent".into()), "its peers are told");
    assert_eq!(agent_pid(&connection), agent.pid(), "until its last transaction ends it goes on");
    ask(&connection, "end").unwrap();
    assert_eq!(agent.end().0.code(), Some(0));
    assert_eq!(next(&events), Event::Interrupted);
    let next_agent = Agent::start();
    assert_eq!(agent_pid(&connection), next_agent.pid());
}

fn session() {
    let agent = Agent::start();
    let (sender, events) = channel();
    let session = Session::mach_service(NAME)
        .on_cancelled(move |_, error| sender.send(error).unwrap_or_default())
        .activate()
        .unwrap();
    let reply = session.send_with_reply_timeout(&op("who"), FOR_EVER).unwrap();
    assert_eq!(reply.uint64("pid"), Ok(agent.pid()));
    agent.kill();
    assert!(matches!(events.recv_timeout(FOR_EVER), Ok(Error::Invalid(_))));
    let _agent = Agent::start();
    assert!(matches!(session.send(&op("tell")), Err(Error::Invalid(_))), "a session does not come back");
}

fn many_clients() {
    let agent = Agent::start();
    let connections: Vec<_> = (0..300).map(|_| Connection::mach_service(NAME).activate()).collect();
    std::thread::scope(|scope| {
        for part in connections.chunks(30) {
            scope.spawn(|| part.iter().for_each(|connection| assert_eq!(agent_pid(connection), agent.pid())));
        }
    });
}

#[cfg(target_os = "linux")]
use by_hand::{full_queue, on_demand, strangers};

/// Sockets without the runtime.
#[cfg(target_os = "linux")]
mod by_hand {
    use std::io::IoSlice;
    use std::mem::MaybeUninit;
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};
    use std::os::unix::process::CommandExt;
    use std::path::PathBuf;
    use std::process::Command;

    use std::task::{Context, Poll, Waker};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
        SocketType, UCred, accept, bind, connect as connect_to, listen, recv, sendmsg, socket_with, socketpair,
    };
    use rustix::process::{Gid, Uid, geteuid, getpid};
    use xpc_runtime_tests::block_on;

    use super::{Agent, FOR_EVER, NAME, agent_pid, connect, invalid, op};

    const NOBODY: u32 = 65534;

    fn folder() -> PathBuf {
        PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").unwrap()).join("xpc-runtime").join(NAME)
    }

    fn packet_socket() -> OwnedFd {
        let flags = SocketFlags::CLOEXEC;
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
    }

    fn dial() -> rustix::io::Result<OwnedFd> {
        let socket = packet_socket();
        connect_to(&socket, &SocketAddrUnix::new(folder().join("socket"))?)?;
        Ok(socket)
    }

    /// A listener that lets nobody in: who would connect waits, and is not refused.
    pub fn full_queue() {
        // The folders have to be as an agent makes them.
        Agent::start().kill();
        std::fs::remove_file(folder().join("socket")).unwrap();
        let slow = packet_socket();
        bind(&slow, &SocketAddrUnix::new(folder().join("socket")).unwrap()).unwrap();
        listen(&slow, 0).unwrap();
        let first = dial().unwrap();
        let (connection, events) = connect();
        let mut pending = std::pin::pin!(connection.send_with_reply(&op("who")));
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(pending.as_mut().poll(&mut context), Poll::Pending));
        assert!(events.try_recv().is_err());
        // There is room for one now, and then for nobody ever.
        drop(accept(&slow).unwrap());
        wait_readable(&slow);
        let let_in = accept(&slow).unwrap();
        wait_readable(&let_in);
        let mut bytes = [0; 8];
        let (_, read) = recv(&let_in, &mut bytes, RecvFlags::empty()).unwrap();
        assert_eq!(&bytes[..read], b"\x01", "one end of a connection came");
        drop((let_in, first));
        assert_eq!(events.recv_timeout(FOR_EVER), Ok(super::Event::Interrupted), "it was not used");

        let _full = dial().unwrap();
        connection.send(&op("tell")).unwrap();
        drop(slow);
        let problem = invalid(&events);
        assert!(problem.contains("no process serves"), "{problem}");
    }

    /// Plays systemd, which listens and starts the agent with its first client.
    pub fn on_demand() {
        Agent::start().kill();
        std::fs::remove_file(folder().join("socket")).unwrap();
        let socket = packet_socket();
        bind(&socket, &SocketAddrUnix::new(folder().join("socket")).unwrap()).unwrap();
        listen(&socket, 16).unwrap();
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty()).unwrap();
        let start = || {
            let script = "exec 3<&$SOCKET; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" agent \"$1\"";
            let mut command = Command::new("sh");
            command.args(["-c", script]).arg(std::env::current_exe().unwrap()).arg(NAME);
            Agent::run(command.env("SOCKET", socket.as_raw_fd().to_string()))
        };
        let (connection, events) = connect();
        for _ in 0..2 {
            let reply = connection.send_with_reply(&op("who")).with_timeout(FOR_EVER);
            wait_readable(&socket);
            let agent = start();
            assert_eq!(block_on(reply).unwrap().uint64("pid"), Ok(agent.pid()));
            assert_eq!(agent_pid(&connection), agent.pid());
            agent.kill();
            assert_eq!(events.recv_timeout(FOR_EVER), Ok(super::Event::Interrupted));
        }
        // Who comes on its own would take the name away from those that are started.
        let (status, lines) = Agent::spawn().end();
        assert_eq!(status.code(), Some(3));
        let this = format!("{NAME} is served by process {} already", std::process::id());
        // The Apple backend says what launchd would want.
        assert!(cfg!(xpc_runtime_force_apple) || lines.iter().any(|line| line.contains(&this)), "{lines:?}");
        let mut agent = start();
        let (last, _events) = connect();
        last.send(&op("cancel")).unwrap();
        assert_eq!(agent.end().0.code(), Some(3));
        assert!(folder().join("socket").exists(), "it is not the agent's to remove");
    }

    /// Needs root, who alone can be somebody else; what decides has a test of its own in `xpc-portable`.
    pub fn strangers() {
        if std::env::var_os("STRANGER").is_some() {
            // As nobody, to whom the folders were opened: the listener itself lets go of the connection.
            let socket = dial().unwrap();
            wait_readable(&socket);
            assert_eq!(recv(&socket, &mut [0; 8], RecvFlags::empty()).unwrap(), (0, 0));
            // And the runtime does not even try.
            let problem = invalid(&connect().1);
            assert!(problem.contains("belongs to another user"), "{problem}");
            return;
        }
        if !geteuid().is_root() {
            return;
        }
        let agent = Agent::start();
        // So that it is ours that keep strangers out, not those around them.
        let runtime = folder().parent().unwrap().parent().unwrap().to_owned();
        std::fs::set_permissions(runtime, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let stranger = |refused: &str| {
            let output = Command::new(std::env::current_exe().unwrap())
                .arg(refused)
                .env("STRANGER", "1")
                .uid(NOBODY)
                .gid(NOBODY)
                .output()
                .unwrap();
            (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (passed, said) = stranger("not-running");
        assert!(!passed && said.contains("belongs to another user"), "{said}");
        for path in [folder(), folder().parent().unwrap().into(), folder().join("socket")] {
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        }
        let (passed, said) = stranger("strangers");
        assert!(passed, "{said}");
        for path in [folder(), folder().parent().unwrap().into()] {
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        }
        // Who says hello counts, not who connected: root may say hello as anybody.
        for (uid, welcome) in [(0, true), (NOBODY, false)] {
            let rendezvous = dial().unwrap();
            let (ours, theirs) =
                socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
            for socket in [&ours, &theirs] {
                rustix::net::sockopt::set_socket_passcred(socket, true).unwrap();
            }
            let hello = [4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
            let me = UCred { pid: getpid(), uid: Uid::from_raw(uid), gid: Gid::from_raw(uid) };
            send(&ours, &hello, SendAncillaryMessage::ScmCredentials(me));
            send(&rendezvous, b"\x01", SendAncillaryMessage::ScmRights(&[theirs.as_fd()]));
            drop(theirs);
            // Both are greeted; who is not welcome is let go.
            assert_eq!(recv(&ours, &mut [0; 20], RecvFlags::WAITALL).unwrap().1, 20);
            if !welcome {
                wait_readable(&ours);
            }
            let rest = recv(&ours, &mut [0; 1], RecvFlags::DONTWAIT);
            assert_eq!(rest.map(|(_, read)| read), if welcome { Err(rustix::io::Errno::AGAIN) } else { Ok(0) });
        }
        assert_eq!(agent_pid(&connect().0), agent.pid());
    }

    fn wait_readable(socket: &OwnedFd) {
        let timeout = Timespec::try_from(FOR_EVER).unwrap();
        assert_eq!(poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&timeout)), Ok(1));
    }

    fn send(socket: &OwnedFd, bytes: &[u8], message: SendAncillaryMessage<'_, '_>) {
        let mut space = [MaybeUninit::uninit(); 64];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(message));
        assert_eq!(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::empty()), Ok(bytes.len()));
    }
}

#[cfg(not(target_os = "linux"))]
fn full_queue() {}
#[cfg(not(target_os = "linux"))]
fn on_demand() {}
#[cfg(not(target_os = "linux"))]
fn strangers() {}
