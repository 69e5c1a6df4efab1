//! The part of launchd that an app sees: finds services, starts them when the first message asks for one, and notices
//! their death.
//!
//! One thread does all of it, and never ends while the process lives: the kernel kills the services when the *thread*
//! that started them goes, and so they go with the app, however it ends.

mod domain;
mod instance;
mod log;
mod spawn;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{Errno, read, write};

use self::domain::Domain;
pub(crate) use self::domain::find_owner;
use self::instance::{Instance, Request};
pub use self::spawn::KEPT_VARIABLES;
use crate::frame::{self, Kind};
use crate::{bundle, lock, socket};

/// How often sockets are offered again to a service while the kernel's limit on descriptors in flight is reached.
const RETRY: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// The process's launcher; it exists from the first connection on.
pub(crate) struct Launcher {
    requests: Mutex<Vec<Request>>,
    wake: OwnedFd,
}

/// Starts the launcher at first use.
pub(crate) fn launcher() -> &'static Launcher {
    static LAUNCHER: OnceLock<&'static Launcher> = OnceLock::new();
    LAUNCHER.get_or_init(|| {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an eventfd can be created");
        let launcher: &'static Launcher = Box::leak(Box::new(Launcher { requests: Mutex::default(), wake }));
        thread::Builder::new()
            .name("xpc-launcher".into())
            .spawn(|| launcher.run())
            .expect("the thread that launches XPC services can be started");
        launcher
    })
}

impl Launcher {
    /// Hands one end of a connection to the service of this name. Never blocks; what goes wrong is said over the
    /// socket.
    pub(crate) fn connect(&self, name: Arc<str>, socket: OwnedFd) {
        lock(&self.requests).push(Request::new(name, socket));
        // The only failure is a full counter, and then a wake-up is under way.
        let _ = write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn run(&self) -> ! {
        let mut instances = HashMap::new();
        let mut domain = Domain::open(bundle::path());
        loop {
            let timeout = instances.values().any(Instance::is_throttled).then_some(RETRY);
            self.wait(&instances, &domain, timeout.as_ref());
            let _ = read(&self.wake, &mut [0_u8; 8]);
            let mut requests = domain.read_requests();
            // The dead first: what is asked for now is for their successors.
            instances.retain(|_, instance: &mut Instance| {
                requests.extend(instance.read_requests());
                match instance.reap() {
                    Some(undelivered) => {
                        requests.extend(undelivered);
                        false
                    }
                    None => true,
                }
            });
            requests.append(&mut lock(&self.requests));
            for request in requests {
                serve(&mut instances, request);
            }
            for instance in instances.values_mut() {
                instance.deliver();
            }
        }
    }

    fn wait(&self, instances: &HashMap<Arc<str>, Instance>, domain: &Domain, timeout: Option<&Timespec>) {
        let mut sources = vec![PollFd::new(&self.wake, PollFlags::IN)];
        sources.extend(domain.sources());
        for instance in instances.values() {
            sources.extend(instance.sources());
        }
        match poll(&mut sources, timeout) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("waiting for XPC services failed: {error}"),
        }
    }
}

fn serve(instances: &mut HashMap<Arc<str>, Instance>, request: Request) {
    if !instances.contains_key(&request.name) {
        let launched = bundle::find(&request.name).and_then(|service| {
            spawn::spawn(&request.name, &service).map_err(|error| {
                format!("cannot start {}: {}: {error}", request.name, service.executable.display()).into()
            })
        });
        match launched {
            Ok(instance) => instances.insert(request.name.clone(), instance),
            Err(reason) => return refuse(&request, &reason),
        };
    }
    if let Some(instance) = instances.get_mut(&request.name) {
        instance.push(request);
    }
}

/// Tells the client, over the connection it wanted, that it is invalid.
fn refuse(request: &Request, reason: &str) {
    // The socket is empty in this direction, so that a frame fits; a client that is gone needs no answer.
    let _ = socket::send(request.socket.as_fd(), &frame::control(Kind::Refused, 0, reason.as_bytes()));
}
