//! An app and its services in one program: deaths at every moment, and hosts that do what they should not. Runs the
//! scenario that its first argument names.

#[cfg(target_os = "linux")]
fn main() {
    if std::env::var("XPC_SERVICE_NAME").is_ok() {
        service::serve();
    }
    app::run(&std::env::args().nth(1).expect("a scenario"));
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod service {
    use std::fs;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixStream};
    use std::process::Command;

    use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
    use xpc_runtime::{Error, xpc_main};

    /// Says over a socket of the app's, beside XPC, that it has come so far.
    fn call(name: &str) -> UnixStream {
        let mut app = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
        app.write_all(&std::process::id().to_le_bytes()).unwrap();
        app
    }

    /// A copy of this process, which has all that it has open and waits for a signal.
    fn copy() -> Pid {
        // SAFETY: the copy does nothing but wait.
        match unsafe { libc::fork() } {
            // ThreadSanitizer has signals wait for the next call that it knows, and it does not know `pause`.
            0 => loop {
                std::thread::sleep(std::time::Duration::from_millis(10));
            },
            copy => Pid::from_raw(copy).expect("a process"),
        }
    }

    /// Has a copy of this process wait for SIGTERM; says what ended it.
    fn end_a_copy() -> i64 {
        let copy = copy();
        kill_process(copy, Signal::TERM).unwrap();
        let (_, status) = waitpid(Some(copy), WaitOptions::empty()).unwrap().unwrap();
        status.terminating_signal().unwrap_or(0).into()
    }

    pub fn serve() -> ! {
        xpc_main(|peer| {
            let (watch, watched) = std::sync::mpsc::channel::<String>();
            peer.on_message(move |_, message| -> Result<(), Error> {
                match message.string("op")? {
                    "pid" => message.reply().with("pid", std::process::id()).send(),
                    "echo" => message.reply_with(message.clone()),
                    "hold" => {
                        // Nobody writes.
                        call(message.string("calls")?).read_to_end(&mut Vec::new()).unwrap();
                        Ok(())
                    }
                    "watch" => {
                        watch.send(message.string("calls")?.to_owned()).unwrap();
                        message.reply().send()
                    }
                    "print-for-ever" => {
                        // Faster than anybody copies it, since each line gets a name.
                        let (printed, printing) = std::sync::mpsc::channel();
                        for _ in 0..4 {
                            let mut out = fs::File::from(std::io::stdout().as_fd().try_clone_to_owned().unwrap());
                            let printed = printed.clone();
                            std::thread::spawn(move || {
                                while out.write_all(&[b'\n'; 64 << 10]).is_ok() {
                                    printed.send(()).unwrap_or_default();
                                }
                            });
                        }
                        assert_eq!(printing.iter().take(20).count(), 20);
                        message.reply().send()
                    }
                    "start" => {
                        #[expect(clippy::zombie_processes, reason = "it is to outlive this process")]
                        let child = Command::new("sleep").arg("1000").spawn().unwrap();
                        message.reply().with("pid", child.id()).send()
                    }
                    "die-and-leave-a-copy" => {
                        copy();
                        std::process::abort()
                    }
                    "end-a-copy" => message.reply().with("signal", end_a_copy()).send(),
                    op => panic!("unknown op {op}"),
                }
            })
            .on_invalid(move |_, _| {
                if let Ok(name) = watched.try_recv() {
                    call(&name);
                }
            })
            .activate();
        })
    }
}

#[cfg(target_os = "linux")]
mod app {
    use std::cell::RefCell;
    use std::fs;
    use std::io::Read;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;
    use std::time::Instant;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::FdFlags;
    use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
    use xpc_runtime::{Connection, Error, Listener, testing};
    use xpc_runtime_tests::process::{children, descriptors};
    use xpc_runtime_tests::{FOR_EVER, OTHER_SERVICE_NAME, SERVICE_NAME, block_on, op};

    pub fn run(scenario: &str) {
        match scenario {
            "thousand-kills" => thousand_kills(),
            "hundred-launches" => hundred_launches(),
            "thread-that-connected" => thread_that_connected(),
            "leaked-to-a-helper" => leaked_to_a_helper(),
            "hold-with-a-helper" => hold_with_a_helper(),
            "forked" => forked(),
            "left-behind" => left_behind(),
            "beside-a-printer" => {
                let printer = connect(SERVICE_NAME).0;
                printer.send_with_reply_timeout(&op("print-for-ever"), FOR_EVER).unwrap();
            }
            "hold" => {
                println!("{}", pid(&connect(SERVICE_NAME).0));
                end_as_told();
            }
            other => panic!("unknown scenario {other}"),
        }
    }

    fn connect(name: &str) -> (Connection, Receiver<()>) {
        let (sender, interruptions) = channel();
        let connection = Connection::service(name)
            .on_interrupted(move |_| sender.send(()).unwrap_or_default())
            .on_invalid(|_, error| eprintln!("{error}"))
            .activate();
        (connection, interruptions)
    }

    fn pid(connection: &Connection) -> u32 {
        let reply = connection.send_with_reply_timeout(&op("pid"), FOR_EVER).expect("a reply");
        reply.uint64("pid").unwrap().try_into().unwrap()
    }

    fn kill(pid: u32) {
        kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
    }

    /// Where services call, beside XPC.
    struct Calls {
        listener: UnixListener,
        name: String,
    }

    impl Calls {
        fn new() -> Self {
            let name = format!("xpc-runtime-tests/{}", std::process::id());
            let address = SocketAddr::from_abstract_name(&name).unwrap();
            Self { listener: UnixListener::bind_addr(&address).unwrap(), name }
        }

        fn next(&self) -> (UnixStream, u32) {
            let (mut stream, _) = self.listener.accept().unwrap();
            let mut pid = [0; 4];
            stream.read_exact(&mut pid).unwrap();
            (stream, u32::from_le_bytes(pid))
        }
    }

    /// Whatever a service's end leaves for other threads to do is done, and nothing of it is left.
    fn expect_nothing_left(before: &[String]) {
        let deadline = Instant::now() + FOR_EVER;
        while descriptors().len() > before.len() || !children().is_empty() {
            assert!(Instant::now() < deadline, "{before:?} became {:?}; children {:?}", descriptors(), children());
            thread::yield_now();
        }
    }

    /// Before, while and after it handles each of a thousand requests. The moment is agreed on beside XPC.
    fn thousand_kills() {
        let calls = Calls::new();
        let (connection, interruptions) = connect(SERVICE_NAME);
        let hold = op("hold").with("calls", calls.name.as_str());
        // The app's own threads and descriptors are there from the first launch on.
        pid(&connection);
        assert_eq!(testing::kill_service(SERVICE_NAME), Ok(true));
        interruptions.recv_timeout(FOR_EVER).unwrap();
        let before = descriptors();
        let mut outcomes = [0, 0];
        for n in 0..1000_u64 {
            let request = op("echo").with("n", n);
            let outcome = match n % 3 {
                0 => {
                    // It is in the handler of what came before: the request is in its socket.
                    connection.send(&hold).unwrap();
                    let (_stream, service) = calls.next();
                    let pending = connection.send_with_reply(&request);
                    kill(service);
                    block_on(pending)
                }
                1 => {
                    let pending = connection.send_with_reply(&hold);
                    let (_stream, service) = calls.next();
                    kill(service);
                    block_on(pending)
                }
                _ => {
                    let outcome = connection.send_with_reply_timeout(&request, FOR_EVER);
                    assert_eq!(testing::kill_service(SERVICE_NAME), Ok(true));
                    outcome
                }
            };
            match outcome {
                Ok(reply) => {
                    assert_eq!((n % 3, reply.uint64("n")), (2, Ok(n)));
                    outcomes[0] += 1;
                }
                Err(error) => {
                    assert_eq!((n % 3 != 2, error), (true, Error::Interrupted), "request {n}");
                    outcomes[1] += 1;
                }
            }
            interruptions.recv_timeout(FOR_EVER).expect("each death is told");
        }
        assert_eq!(outcomes, [333, 667]);
        assert!(interruptions.try_recv().is_err(), "and told once");
        expect_nothing_left(&before);
    }

    fn hundred_launches() {
        let (connection, interruptions) = connect(SERVICE_NAME);
        let mut before = None;
        for _ in 0..101 {
            pid(&connection);
            assert_eq!(testing::kill_service(SERVICE_NAME), Ok(true));
            interruptions.recv_timeout(FOR_EVER).unwrap();
            let before = before.get_or_insert_with(descriptors);
            expect_nothing_left(before);
        }
    }

    /// The kernel kills a service when the thread that started it ends: that must not be the one that connected.
    fn thread_that_connected() {
        let (connection, interruptions) = thread::spawn(|| {
            let (connection, interruptions) = connect(SERVICE_NAME);
            pid(&connection);
            (connection, interruptions)
        })
        .join()
        .unwrap();
        let first = pid(&connection);
        for _ in 0..10 {
            let connection = connection.clone();
            assert_eq!(thread::spawn(move || pid(&connection)).join().unwrap(), first);
        }
        assert_eq!(pid(&connection), first);
        assert!(interruptions.try_recv().is_err());
    }

    /// Has whatever the app starts from now on inherit whatever it has open.
    fn leak_everything() {
        for entry in fs::read_dir("/proc/self/fd").unwrap() {
            let number: i32 = entry.unwrap().file_name().to_str().unwrap().parse().unwrap();
            // SAFETY: for the length of the call it is borrowed from this process, which has it open; the one that lists the
            // folder is closed by nobody else meanwhile.
            let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
            if number > 2 {
                rustix::io::fcntl_setfd(descriptor, FdFlags::empty()).unwrap();
            }
        }
    }

    /// A helper that inherits the app's sockets, and a second service that does not.
    fn leaked_to_a_helper() {
        let calls = Calls::new();
        let (connection, interruptions) = connect(SERVICE_NAME);
        let first = pid(&connection);
        let watched = connect(SERVICE_NAME).0;
        let watch = op("watch").with("calls", calls.name.as_str());
        watched.send_with_reply_timeout(&watch, FOR_EVER).unwrap();
        leak_everything();
        let mut helper = Command::new("sleep").arg("1000").spawn().unwrap();
        let (other, _other_interruptions) = connect(OTHER_SERVICE_NAME);
        let other_pid = pid(&other);
        // The helper has a copy of this connection; the service hears of its end all the same.
        watched.cancel();
        assert_eq!(calls.next().1, first);
        assert_eq!(pid(&connection), first);
        // And of the service's death nobody is kept from hearing.
        kill(first);
        interruptions.recv_timeout(FOR_EVER).unwrap();
        assert_ne!(pid(&connection), first);
        assert_eq!(pid(&other), other_pid);
        helper.kill().unwrap();
        helper.wait().unwrap();
    }

    /// What a service has started, and did not put into a process group of its own, ends with it.
    fn left_behind() {
        let (connection, interruptions) = connect(SERVICE_NAME);
        let started = connection.send_with_reply_timeout(&op("start"), FOR_EVER).unwrap();
        let started = Pid::from_raw(started.uint64("pid").unwrap().try_into().unwrap()).unwrap();
        let started = pidfd_open(started, PidfdFlags::empty()).unwrap();
        kill(pid(&connection));
        interruptions.recv_timeout(FOR_EVER).unwrap();
        let patience = Timespec::try_from(FOR_EVER).unwrap();
        assert_eq!(poll(&mut [PollFd::new(&started, PollFlags::IN)], Some(&patience)), Ok(1), "it lives on");
        // One that has the service's sockets would keep this process from hearing of the death.
        let outcome = connection.send_with_reply_timeout(&op("die-and-leave-a-copy"), FOR_EVER);
        assert_eq!(outcome.err(), Some(Error::Interrupted));
        interruptions.recv_timeout(FOR_EVER).unwrap();
        pid(&connection);
    }

    /// Runs this in a copy of the process, and says whether it ended well.
    fn in_a_copy(run: impl FnOnce() -> bool) -> bool {
        // SAFETY: the copy has one thread, which uses what was at rest, and memory, whose allocator survives a fork.
        match unsafe { libc::fork() } {
            0 => {
                let status = i32::from(!run());
                if cfg!(sanitizer) {
                    // What threads own that are not here would look like leaks.
                    // SAFETY: it takes a number and does not return.
                    unsafe { libc::_exit(status) }
                }
                std::process::exit(status)
            }
            copy => {
                let copy = Pid::from_raw(copy).expect("a process");
                let status = rustix::process::waitpid(Some(copy), rustix::process::WaitOptions::empty());
                status.unwrap().expect("it has ended").1.exit_status() == Some(0)
            }
        }
    }

    /// Copies of the process that use and drop what they have from it, and end as programs do.
    fn forked() {
        let (connection, interruptions) = connect(SERVICE_NAME);
        let first = pid(&connection);
        let listener = Listener::anonymous().activate(|peer| {
            peer.on_message(|_, message| message.reply().send()).activate();
        });
        let endpoint = listener.endpoint();
        let direct = Connection::from_endpoint(&endpoint).activate();
        direct.send_with_reply_timeout(&op(""), FOR_EVER).unwrap();
        // What a copy takes out is there in the original.
        let all = RefCell::new(Some((connection, direct, listener)));
        for _ in 0..3 {
            assert!(in_a_copy(|| {
                let (connection, direct, listener) = all.take().unwrap();
                let (new, _) = connect(SERVICE_NAME);
                let late = Connection::from_endpoint(&endpoint).activate();
                let is_told = |outcome| matches!(outcome, Err(Error::Invalid(reason)) if reason.contains("forked"));
                let told = [&connection, &direct, &new, &late].map(|it| {
                    is_told(it.send(&op(""))) && is_told(it.send_with_reply_timeout(&op(""), FOR_EVER).map(drop))
                });
                direct.cancel();
                drop((connection, direct, listener));
                told == [true; 4]
            }));
            let all = all.borrow();
            let (connection, direct, _listener) = all.as_ref().unwrap();
            // By the reactor, and by this thread.
            assert_eq!(block_on(connection.send_with_reply(&op("pid"))).unwrap().uint64("pid"), Ok(first.into()));
            assert_eq!(pid(connection), first);
            direct.send_with_reply_timeout(&op(""), FOR_EVER).unwrap();
        }
        let connection = all.take().unwrap().0;
        let ended = connection.send_with_reply_timeout(&op("end-a-copy"), FOR_EVER).unwrap();
        assert_eq!(ended.int64("signal"), Ok(Signal::TERM.as_raw().into()));
        assert_eq!(pid(&connection), first, "who is told to end is the copy");
        assert!(interruptions.try_recv().is_err());
    }

    /// Prints the process ids of the service and of a helper that inherits everything, and waits to be killed.
    fn hold_with_a_helper() {
        let service = pid(&connect(SERVICE_NAME).0);
        leak_everything();
        let mut helper = Command::new("sleep").arg("1000").stdin(std::process::Stdio::null()).spawn().unwrap();
        println!("{service} {}", helper.id());
        helper.wait().unwrap();
    }

    /// As a line on standard input says.
    fn end_as_told() {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        match line.trim() {
            "abort" => std::process::abort(),
            "exec" => panic!("{}", Command::new("sleep").arg("1000").exec()),
            "exit" => std::process::exit(0),
            _ => {}
        }
    }
}
