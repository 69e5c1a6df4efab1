//! The part of launchd that an app sees: finds services, starts them when the first message asks for one, and notices
//! their death.
//!
//! One thread does all of it, and never ends while the process lives: the kernel kills the services when the *thread*
//! that started them goes, and so they go with the app, however it ends.

mod domain;
mod instance;
mod log;
mod request;
mod spawn;
mod throttle;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Instant;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{Errno, read, write};

use self::domain::Domain;
pub(crate) use self::domain::find_owner;
use self::instance::Instance;
pub(crate) use self::request::Request;
use self::request::What;
pub use self::spawn::{DEBUG_VARIABLE, KEPT_VARIABLES};
use self::throttle::Throttle;
use crate::error::explain;
use crate::frame::{self, Kind};
use crate::{bundle, lock, settings, socket};

/// The process's launcher; it exists from the first connection on.
pub(crate) struct Launcher {
    requests: Mutex<Vec<Request>>,
    wake: OwnedFd,
}

/// Starts the launcher at first use.
pub(crate) fn launcher() -> Result<&'static Launcher, Errno> {
    static LAUNCHER: OnceLock<&'static Launcher> = OnceLock::new();
    if let Some(launcher) = LAUNCHER.get() {
        return Ok(launcher);
    }
    let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    Ok(LAUNCHER.get_or_init(|| {
        let launcher: &'static Launcher = Box::leak(Box::new(Launcher { requests: Mutex::default(), wake }));
        thread::Builder::new()
            .name("xpc-launcher".into())
            .spawn(|| launcher.run())
            .expect("the thread that launches XPC services can be started");
        launcher
    }))
}

impl Launcher {
    /// Has something done with a service. Never blocks; what goes wrong is said over the request's socket.
    pub(crate) fn ask(&self, request: Request) {
        lock(&self.requests).push(request);
        // The only failure is a full counter, and then a wake-up is under way.
        let _ = write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn run(&self) -> ! {
        let mut services = Services::default();
        let mut domain = Domain::open(bundle::path().ok());
        loop {
            self.wait(&services.instances, &domain, services.timeout(Instant::now(), domain.is_starved()).as_ref());
            let _ = read(&self.wake, &mut [0_u8; 8]);
            // What waited for its service to be started again came before what is asked for now.
            let mut requests = std::mem::take(&mut services.delayed);
            requests.extend(domain.read_requests());
            // The dead first: what is asked for now is for their successors.
            requests.extend(services.clear_away());
            requests.append(&mut lock(&self.requests));
            for request in requests {
                services.serve(request);
            }
            let now = Instant::now();
            for instance in services.instances.values_mut() {
                instance.tick(now);
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

/// What runs, and what is to run again.
struct Services {
    instances: HashMap<Arc<str>, Instance>,
    throttle: Throttle,
    /// Requests for services that must not be started yet.
    delayed: Vec<Request>,
}

impl Default for Services {
    fn default() -> Self {
        Self { instances: HashMap::new(), throttle: Throttle::from_environment(), delayed: Vec::new() }
    }
}

impl Services {
    /// How long to wait at most, where something is to be done by itself.
    fn timeout(&self, now: Instant, starved: bool) -> Option<Timespec> {
        if starved || self.instances.values().any(Instance::is_throttled) {
            return Timespec::try_from(settings::RETRY.get()).ok();
        }
        let due = |request: &Request| self.throttle.not_before(&request.name, now);
        let delayed = self.delayed.iter().map(|request| due(request).unwrap_or(now));
        let earliest = delayed.chain(self.instances.values().filter_map(Instance::due)).min()?;
        // A moment more than is left: poll's clock is coarser than ours.
        let left = earliest.saturating_duration_since(now) + std::time::Duration::from_millis(1);
        Timespec::try_from(left).ok()
    }

    /// Forgets the services that ended, and gives back what they never took over.
    fn clear_away(&mut self) -> Vec<Request> {
        let mut requests = Vec::new();
        self.instances.retain(|name, instance: &mut Instance| {
            requests.extend(instance.read_requests());
            let Some(undelivered) = instance.reap() else { return true };
            requests.extend(undelivered);
            if instance.is_leaving() {
                self.throttle.left(name);
            } else if let Some(delay) = self.throttle.ended(name, Instant::now()) {
                log::say(
                    name,
                    &format!("ended soon after its start, repeatedly: starts again in {delay:?} at the earliest"),
                );
            }
            false
        });
        requests
    }

    fn serve(&mut self, request: Request) {
        if !self.instances.contains_key(&request.name) {
            if request.what != What::Connect {
                return request.answer(false);
            }
            if self.throttle.not_before(&request.name, Instant::now()).is_some() {
                return self.delayed.push(request);
            }
            let launched = bundle::find(&request.name).and_then(|service| {
                spawn::spawn(&request.name, &service).map_err(|error| {
                    let why = Errno::from_io_error(&error).map_or_else(|| error.to_string(), explain);
                    format!("cannot start {}: {}: {why}", request.name, service.executable.display()).into()
                })
            });
            match launched {
                Ok(instance) => {
                    self.throttle.started(&request.name, Instant::now());
                    self.instances.insert(request.name.clone(), instance)
                }
                Err(reason) => return refuse(&request, &reason),
            };
        }
        if let Some(instance) = self.instances.get_mut(&request.name) {
            instance.push(request);
        }
    }
}

/// Tells the client, over the connection it wanted, that it is invalid.
fn refuse(request: &Request, reason: &str) {
    // The socket is empty in this direction, so that a frame fits; a client that is gone needs no answer.
    let _ = socket::send(request.socket.as_fd(), &frame::control(Kind::Refused, 0, reason.as_bytes()));
}
