//! An app and its service in one program: as many connections as there may be, as many descriptors, and a client that
//! takes nothing. Runs the scenario that its first argument names.

#[cfg(target_os = "linux")]
fn main() {
    if std::env::var("XPC_SERVICE_NAME").is_ok() {
        service::serve();
    }
    app::run(&std::env::args().nth(1).expect("a scenario"));
}

#[cfg(not(target_os = "linux"))]
fn main() {}

/// What both sides say of themselves, and how many descriptors they may have.
#[cfg(target_os = "linux")]
mod process {
    use std::fs;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::FileExt;
    use std::path::PathBuf;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    /// Leaves this process no descriptor; those that are returned take the last ones.
    pub fn use_up_descriptors() -> Vec<fs::File> {
        let open = || fs::File::open("/dev/null");
        allow_descriptors(u64::from(open().unwrap().as_raw_fd().cast_unsigned()) + 1);
        std::iter::from_fn(|| open().ok()).collect()
    }

    pub fn allow_descriptors(count: u64) {
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum }).unwrap_or_else(|error| {
            panic!("{count} open files are needed ({error}): raise the hard limit, ulimit -Hn")
        });
    }

    /// Its thread of this name; this process must have been able to open files before.
    pub struct Thread(fs::File);

    impl Thread {
        pub fn find(name: &str) -> Self {
            let of_this_name = |task: &PathBuf| fs::read_to_string(task.join("comm")).unwrap().trim_end() == name;
            let mut tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
            Self(fs::File::open(tasks.find(of_this_name).expect("the thread").join("status")).unwrap())
        }

        /// How often it has begun to wait for something.
        pub fn sleeps(&self) -> u64 {
            let mut status = [0; 4096];
            let read = self.0.read_at(&mut status, 0).unwrap();
            let status = String::from_utf8_lossy(&status[..read]);
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.expect("the field").trim().parse().unwrap()
        }
    }
}

#[cfg(target_os = "linux")]
mod service {
    use std::fs::File;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};
    use std::thread;

    use xpc_runtime::{Budget, Connection, Dictionary, Error, Message, xpc_main};

    use xpc_runtime_tests::process::{number, threads};

    use crate::process;

    /// What one handler tells another, whichever connection it is of.
    struct Way<T> {
        sender: Sender<T>,
        receiver: Mutex<Receiver<T>>,
    }

    impl<T> Default for Way<T> {
        fn default() -> Self {
            let (sender, receiver) = channel();
            Self { sender, receiver: Mutex::new(receiver) }
        }
    }

    impl<T> Way<T> {
        fn send(&self, value: T) {
            self.sender.send(value).unwrap();
        }

        fn wait(&self) -> T {
            self.receiver.lock().unwrap().recv().unwrap()
        }
    }

    #[derive(Default)]
    struct Ways {
        ends: Way<String>,
        releases: Way<()>,
        used_up: Mutex<Vec<File>>,
    }

    pub fn serve() -> ! {
        let ways = Arc::new(Ways::default());
        xpc_main(move |peer| {
            let (for_messages, for_end) = (ways.clone(), ways.clone());
            peer.budget(Budget { bytes: 1 << 20, ..Budget::default() })
                .on_message(move |connection, message| answer(connection, &message, &for_messages))
                .on_invalid(move |_, error| for_end.ends.send(error.to_string()))
                .activate();
        })
    }

    fn answer(connection: &Connection, message: &Message, ways: &Ways) -> Result<(), Error> {
        match message.string("op")? {
            "echo" => message.reply_with(Dictionary::clone(message)),
            "number" => message.reply().with("n", message.uint64("n")?).send(),
            "large" => message.reply().with("data", vec![0_u8; 1 << 20]).send(),
            // As much as it may, for as long as it may.
            "push" => {
                let connection = connection.clone();
                let data = Dictionary::new().with("data", vec![0_u8; 1 << 16]);
                thread::spawn(move || while connection.send_blocking(&data).is_ok() {});
                Ok(())
            }
            // Waits for the next connection that ends.
            "end" => message.reply().with("reason", ways.ends.wait()).send(),
            "status" => message.reply().with("threads", threads()).with("memory", number("smaps_rollup", "Pss")).send(),
            "use up" => {
                *ways.used_up.lock().unwrap() = process::use_up_descriptors();
                message.reply().send()
            }
            "allow" => {
                process::allow_descriptors(message.uint64("descriptors")?);
                message.reply().send()
            }
            "hold" => {
                ways.releases.wait();
                Ok(())
            }
            "release" => {
                ways.releases.send(());
                message.reply().send()
            }
            op => panic!("unknown op {op}"),
        }
    }
}

#[cfg(target_os = "linux")]
mod app {
    use std::io::{BufRead, BufReader, Write};
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;
    use std::time::Instant;

    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    use xpc_runtime::{Connection, Dictionary, Error, Fd, Message};
    use xpc_runtime_tests::process::{number, threads};
    use xpc_runtime_tests::{FOR_EVER, SERVICE_NAME, block_on, op};

    use crate::process;

    pub fn run(scenario: &str) {
        match scenario {
            "never-reads" => never_reads(),
            "ten-thousand" => ten_thousand(),
            "full-service" => full_service(),
            "full-client" => full_client(),
            "full-kernel" => full_kernel(),
            "helper" => helper(),
            other => panic!("unknown scenario {other}"),
        }
    }

    fn connect() -> (Connection, Receiver<Error>) {
        let (sender, ends) = channel();
        let other = sender.clone();
        let connection = Connection::service(SERVICE_NAME)
            .on_interrupted(move |_| sender.send(Error::Interrupted).unwrap_or_default())
            .on_invalid(move |_, error| other.send(error).unwrap_or_default())
            .activate();
        (connection, ends)
    }

    fn ask(connection: &Connection, message: &Dictionary) -> Result<Message, Error> {
        connection.send_with_reply_timeout(message, FOR_EVER)
    }

    fn echo(connection: &Connection) {
        ask(connection, &op("echo")).expect("it goes on");
    }

    /// Clients that take nothing: one that asks for much, and one to which much is sent. The service's time for that is
    /// short here.
    fn never_reads() {
        let (hostile, ends) = connect();
        let (bystander, _) = connect();
        let (witness, _) = connect();
        echo(&bystander);
        echo(&hostile);
        let asked: Vec<_> = (0..64).map(|_| hostile.send_with_reply(&op("large"))).collect();
        let suspension = hostile.suspend();
        let end = witness.send_with_reply(&op("end"));
        for _ in 0..100 {
            echo(&bystander);
        }
        let end = block_on(end).unwrap();
        assert_eq!(end.string("reason"), Ok(CUT_OFF));
        echo(&bystander);
        drop(suspension);
        assert_eq!(ends.recv_timeout(FOR_EVER), Ok(Error::Interrupted));
        let outcomes: Vec<_> = asked.into_iter().map(|future| block_on(future).map(drop)).collect();
        assert!(outcomes.contains(&Err(Error::Interrupted)), "more than it took was asked for");
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(()) | Err(Error::Interrupted))), "{outcomes:?}");
        // It may come again.
        echo(&hostile);

        hostile.send(&op("push")).unwrap();
        let suspension = hostile.suspend();
        let end = block_on(witness.send_with_reply(&op("end"))).unwrap();
        assert_eq!(end.string("reason"), Ok(CUT_OFF));
        drop(suspension);
        assert_eq!(ends.recv_timeout(FOR_EVER), Ok(Error::Interrupted));
        echo(&hostile);
        echo(&bystander);
    }

    const CUT_OFF: &str = "the peer took too little of what waited for it, and was cut off";

    /// For what is not about descriptors.
    const ENOUGH: u64 = 1000;

    const CONNECTIONS: usize = 10_000;
    /// What each end of an idle connection may take; four times as much as was measured.
    const MOST_BYTES: u64 = 4 * 1024;
    /// Those that serve connections, and those beside them.
    const MOST_THREADS: u64 = 64 + 6;

    fn ten_thousand() {
        // Each has two descriptors in this process until the service has taken it over.
        let needed = CONNECTIONS as u64 + 1000;
        process::allow_descriptors(needed);
        let (first, _) = connect();
        ask(&first, &op("allow").with("descriptors", needed)).unwrap();
        let of_service = || {
            let status = ask(&first, &op("status")).unwrap();
            (status.uint64("memory").unwrap(), status.uint64("threads").unwrap())
        };
        let memory = || number("smaps_rollup", "Pss");
        let before = (of_service().0, memory());
        let connections: Vec<_> = (0..CONNECTIONS).map(|_| connect()).collect();
        for (connection, _) in &connections {
            echo(connection);
        }
        let (service, there) = of_service();
        let each = [service - before.0, memory() - before.1].map(|kib| kib * 1024 / CONNECTIONS as u64);
        println!("bytes for each connection: service {}, app {}; threads of the service {there}", each[0], each[1]);
        // A sanitizer keeps its own notes of each byte.
        assert!(cfg!(sanitizer) || each.iter().all(|bytes| *bytes <= MOST_BYTES), "{each:?}");
        // All at once: however many there are.
        let asked: Vec<_> = connections.iter().map(|(it, _)| it.send_with_reply(&op("echo"))).collect();
        for reply in asked {
            block_on(reply).unwrap();
        }
        let counts = [of_service().1, threads()];
        assert!(counts.iter().all(|count| *count <= MOST_THREADS), "{counts:?}");
        assert!(connections.iter().all(|(_, ends)| ends.try_recv().is_err()), "one ended");
    }

    /// The service has no descriptor left.
    fn full_service() {
        let (first, first_ends) = connect();
        let (second, second_ends) = connect();
        for connection in [&first, &second] {
            echo(connection);
        }
        ask(&first, &op("use up")).unwrap();
        let (new, ends) = connect();
        for _ in 0..3 {
            // For the moment: it may try again.
            assert_eq!(ask(&new, &op("echo")).err(), Some(Error::Interrupted));
            assert_eq!(ends.recv_timeout(FOR_EVER), Ok(Error::Interrupted));
            echo(&first);
            echo(&second);
        }
        // What brings a descriptor has no place; it is that connection's end, and no other's.
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(ask(&second, &op("echo").with("fd", file)).err(), Some(Error::Interrupted));
        assert_eq!(second_ends.recv_timeout(FOR_EVER), Ok(Error::Interrupted));
        echo(&first);
        // That end makes room for one, as soon as it is complete.
        let deadline = Instant::now() + FOR_EVER;
        while ask(&second, &op("echo")).err() == Some(Error::Interrupted) {
            assert_eq!(second_ends.recv_timeout(FOR_EVER), Ok(Error::Interrupted));
            assert!(Instant::now() < deadline, "there is room");
        }
        assert_eq!(ask(&new, &op("echo")).err(), Some(Error::Interrupted));
        ask(&first, &op("allow").with("descriptors", ENOUGH)).unwrap();
        echo(&new);
        assert!(first_ends.try_recv().is_err() && second_ends.try_recv().is_err());
    }

    /// This process has no descriptor left.
    fn full_client() {
        let (first, first_ends) = connect();
        echo(&first);
        let mut helper = Command::new(std::env::current_exe().unwrap())
            .arg("helper")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut tell, mut hear) = (helper.stdin.take().unwrap(), BufReader::new(helper.stdout.take().unwrap()));
        let launcher = process::Thread::find("xpc-launcher");
        let _used_up = process::use_up_descriptors();
        for _ in 0..3 {
            let (new, ends) = connect();
            let Err(Error::Invalid(reason)) = ask(&new, &op("echo")) else { panic!("it cannot be made") };
            assert!(reason.contains("ulimit -n"), "{reason}");
            assert!(matches!(ends.recv_timeout(FOR_EVER), Ok(Error::Invalid(_))));
            echo(&first);
        }
        // Another process of the app asks for the service, and cannot be let in for now.
        tell.write_all(b"go on\n").unwrap();
        expect_line(&mut hear, "asked");
        // A thread that tried over and over would never sleep again, but for what may have been under way.
        let (slept, deadline) = (launcher.sleeps(), Instant::now() + FOR_EVER);
        while launcher.sleeps() < slept + 5 {
            assert!(Instant::now() < deadline, "the launcher spins");
            thread::yield_now();
        }
        echo(&first);
        process::allow_descriptors(ENOUGH);
        expect_line(&mut hear, "answered");
        assert!(helper.wait().unwrap().success());
        let (new, _) = connect();
        echo(&new);
        assert!(first_ends.try_recv().is_err());
    }

    /// A process that the app has started, and that has no service of its own.
    fn helper() {
        std::io::stdin().read_line(&mut String::new()).unwrap();
        let (connection, _) = connect();
        let reply = connection.send_with_reply(&op("echo"));
        println!("asked");
        block_on(reply).unwrap();
        println!("answered");
    }

    fn expect_line(hear: &mut impl BufRead, expected: &str) {
        let mut line = String::new();
        hear.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), expected);
    }

    /// As many descriptors of this user's are on their way as may be: what would be one more waits.
    fn full_kernel() {
        let (held, ends) = connect();
        let (other, _) = connect();
        echo(&held);
        echo(&other);
        // Who has these may have more on its way.
        let mut sets = capabilities(None).unwrap();
        sets.effective -= CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_RESOURCE;
        set_capabilities(None, sets).unwrap();
        let file: Fd = OwnedFd::from(std::fs::File::open("/dev/null").unwrap()).into();
        let _used_up = process::use_up_descriptors();
        held.send(&op("hold")).unwrap();
        let asked: Vec<_> =
            (0..60_u64).map(|n| held.send_with_reply(&op("number").with("n", n).with("fd", &file))).collect();
        ask(&other, &op("release")).unwrap();
        process::allow_descriptors(ENOUGH);
        for (n, reply) in (0..).zip(asked) {
            assert_eq!(block_on(reply).unwrap().uint64("n"), Ok(n));
        }
        assert!(ends.try_recv().is_err(), "it has not ended");
    }
}
