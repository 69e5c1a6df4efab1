//! A running service, as its launcher sees it.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_send_signal, waitid};

use super::request::{Request, What};
use crate::bootstrap::{self, ACCEPTED, BUSY, CONNECT, IDLE, LEAVING, LOOK_UP, REACH, REACH_AGAIN};
use crate::sandbox::Policy;
use crate::socket::{self, Packet};
use crate::{mach, settings};

/// A connection that was sent to an instance which died before it accepted it is given to the next one, this many
/// times: its messages were never read, but a service that cannot start must not be started for ever.
const ATTEMPTS: u8 = 2;

pub(super) struct Instance {
    process: OwnedFd,
    /// Where it has a process group of its own, which is named as it is: what is left of it ends with it.
    group: Option<Pid>,
    bootstrap: OwnedFd,
    /// Not sent yet.
    waiting: VecDeque<Request>,
    /// Sent, and not yet accepted: kept open, so that they outlive an instance that dies first.
    sent: VecDeque<Request>,
    state: State,
    end: End,
    /// Where it is sandboxed. It may then start services, as any program of the app may, but not end them.
    sandbox: Option<Policy>,
    /// `/proc/<pid>` of a sandboxed one, kept open for its sake.
    _own_proc: Option<File>,
    /// Whom to tell that it is gone.
    witnesses: Vec<Request>,
}

#[derive(PartialEq)]
enum State {
    Ready,
    /// The kernel takes no more descriptors for now; polling would not wait.
    Throttled,
    /// Nothing more is sent; it is dying.
    Deaf,
}

/// How far its end has come, unless it crashes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// It is asked whether it is idle at this time.
    NotBefore(Option<Instant>),
    /// It was asked, for the sake of idle exit or of somebody who wants it to end, and has not answered: it gets no
    /// connection until then.
    Asked { to_end: bool },
    /// It ends by itself, or is killed at this time. It gets no connection any more.
    Leaving(Option<Instant>),
}

impl Instance {
    pub fn new(process: OwnedFd, bootstrap: OwnedFd) -> Self {
        Self {
            process,
            group: None,
            bootstrap,
            waiting: VecDeque::new(),
            sent: VecDeque::new(),
            state: State::Ready,
            end: End::NotBefore(idle_from_now()),
            sandbox: None,
            _own_proc: None,
            witnesses: Vec::new(),
        }
    }

    /// It leads this process group.
    pub fn leading(self, group: Pid) -> Self {
        Self { group: Some(group), ..self }
    }

    /// It runs in a sandbox.
    pub fn confined(self, policy: Policy, own_proc: Option<File>) -> Self {
        Self { sandbox: Some(policy), _own_proc: own_proc, ..self }
    }

    pub fn push(&mut self, request: Request) {
        match request.what {
            What::Connect => self.waiting.push_back(request),
            What::Kill => {
                self.end = End::Leaving(None);
                self.kill();
                self.witnesses.push(request);
            }
            What::Terminate => {
                if !matches!(self.end, End::Leaving(_)) {
                    self.ask(Duration::ZERO, true);
                }
                request.answer(true);
            }
        }
    }

    pub fn is_throttled(&self) -> bool {
        self.state == State::Throttled
    }

    /// Whether its end, if it comes now, is no crash.
    pub fn is_leaving(&self) -> bool {
        matches!(self.end, End::Leaving(_))
    }

    /// When [`tick`](Self::tick) has something to do.
    pub fn due(&self) -> Option<Instant> {
        match self.end {
            End::NotBefore(due) | End::Leaving(due) => due,
            End::Asked { .. } => None,
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        match (self.end, settings::IDLE_EXIT.unless_zero()) {
            (End::Leaving(_), _) => {
                self.end = End::Leaving(None);
                self.kill();
            }
            // What it has not taken over yet is work.
            (_, Some(idle)) if self.waiting.is_empty() && self.sent.is_empty() => self.ask(idle, false),
            _ => self.end = End::NotBefore(idle_from_now()),
        }
    }

    fn ask(&mut self, idle: Duration, to_end: bool) {
        self.end = End::Asked { to_end };
        if socket::send_packet(&self.bootstrap, &bootstrap::with_time(IDLE, idle), None).is_err() {
            // It is dying, or does not read what was sent to it: then it is not idle either.
            if to_end { self.terminate() } else { self.end = End::NotBefore(idle_from_now()) }
        }
    }

    /// What to wait for.
    pub fn sources(&self) -> impl Iterator<Item = PollFd<'_>> {
        let process = PollFd::new(&self.process, PollFlags::IN);
        let bootstrap = (self.state != State::Deaf).then(|| {
            let mut events = PollFlags::IN;
            events.set(PollFlags::OUT, !self.waiting.is_empty() && self.takes_connections());
            PollFd::new(&self.bootstrap, events)
        });
        std::iter::once(process).chain(bootstrap)
    }

    fn takes_connections(&self) -> bool {
        self.state == State::Ready && matches!(self.end, End::NotBefore(_))
    }

    /// Takes in what the service says: that it accepted connections, whether it is idle, or that it wants something
    /// itself.
    pub fn read_requests(&mut self) -> Vec<Request> {
        let mut requests = Vec::new();
        while self.state != State::Deaf {
            match socket::receive_packet(&self.bootstrap) {
                Ok(Packet::Received(bytes, None)) => self.hear(&bytes),
                Ok(Packet::Received(bytes, Some(socket))) => match (&self.sandbox, bytes.get(..1)) {
                    (Some(policy), Some(LOOK_UP | REACH | REACH_AGAIN)) => {
                        mach::serve_sandboxed(policy, &bytes, socket);
                    }
                    _ => requests.extend(Request::from_packet(&bytes, socket).filter(|it| self.may_ask(it.what))),
                },
                Err(Errno::AGAIN) => break,
                Ok(Packet::End) | Err(_) => self.give_up(),
            }
        }
        requests
    }

    fn may_ask(&self, what: What) -> bool {
        what == What::Connect || self.sandbox.is_none()
    }

    fn hear(&mut self, packet: &[u8]) {
        match (packet.split_at_checked(1).map(|(word, _)| word), self.end) {
            (Some(ACCEPTED), _) => drop(self.sent.pop_front()),
            (Some(LEAVING), _) => self.end = End::Leaving(Instant::now().checked_add(settings::EXIT_TIMEOUT.get())),
            (Some(IDLE), End::Asked { to_end: false }) if !self.waiting.is_empty() => {
                // Somebody wants it meanwhile.
                self.end = End::NotBefore(idle_from_now());
                if socket::send_packet(&self.bootstrap, BUSY, None).is_err() {
                    self.give_up();
                }
            }
            (Some(IDLE), End::Asked { .. }) => {
                self.end = End::Leaving(None);
                self.give_up();
            }
            (Some(BUSY), End::Asked { to_end: true }) => self.terminate(),
            (Some(BUSY), End::Asked { to_end: false }) => {
                let left = bootstrap::time(packet).unwrap_or_default().max(settings::RETRY.get());
                self.end = End::NotBefore(Instant::now().checked_add(left));
            }
            _ => {}
        }
    }

    /// Asks it to end, with a time limit.
    fn terminate(&mut self) {
        self.end = End::Leaving(Instant::now().checked_add(settings::EXIT_TIMEOUT.get()));
        // It is dead already where this fails.
        let _ = pidfd_send_signal(&self.process, Signal::TERM);
    }

    /// If the process is dead, clears it away and gives back what it never accepted.
    pub fn reap(&mut self) -> Option<impl Iterator<Item = Request> + use<>> {
        let wait = |options| {
            waitid(WaitId::PidFd(self.process.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG | options)
        };
        match wait(WaitIdOptions::NOWAIT) {
            Ok(None) | Err(Errno::INTR) => return None,
            Ok(Some(_)) => {
                // As launchd does. Until it is cleared away, its number is nobody else's.
                if let Some(group) = self.group {
                    let _ = kill_process_group(group, Signal::KILL);
                }
                while wait(WaitIdOptions::empty()).is_err_and(|error| error == Errno::INTR) {}
            }
            // Where the app ignores SIGCHLD, the kernel has cleared it away.
            Err(_) => {}
        }
        for witness in self.witnesses.drain(..) {
            witness.answer(true);
        }
        let sent = std::mem::take(&mut self.sent).into_iter().filter(|request| request.attempts < ATTEMPTS);
        Some(sent.chain(std::mem::take(&mut self.waiting)))
    }

    /// Sends what waits.
    pub fn deliver(&mut self) {
        if self.state == State::Throttled {
            self.state = State::Ready;
        }
        while self.takes_connections()
            && let Some(mut request) = self.waiting.pop_front()
        {
            match socket::send_packet(&self.bootstrap, CONNECT, Some(request.socket.as_fd())) {
                Ok(()) => {
                    request.attempts += 1;
                    self.sent.push_back(request);
                }
                Err(error) => {
                    self.waiting.push_front(request);
                    match error {
                        Errno::AGAIN => return,
                        Errno::TOOMANYREFS | Errno::NOBUFS | Errno::NOMEM => self.state = State::Throttled,
                        _ => self.give_up(),
                    }
                }
            }
        }
    }

    /// The service has closed its end: it is dying, or has closed a descriptor that was not its own and will never take
    /// a connection over again. Or it is idle.
    fn give_up(&mut self) {
        self.state = State::Deaf;
        self.kill();
    }

    fn kill(&self) {
        // It is dead already where this fails.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
    }
}

fn idle_from_now() -> Option<Instant> {
    Instant::now().checked_add(settings::IDLE_EXIT.unless_zero()?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::event::poll;
    use rustix::process::{PidfdFlags, pidfd_open};

    use super::*;

    #[expect(clippy::zombie_processes, reason = "`reap` waits for it")]
    fn start(command: &mut Command) -> OwnedFd {
        let child = command.spawn().unwrap();
        pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap()
    }

    fn request() -> Request {
        Request::read(CONNECT, "name".into(), socket::connection_pair().unwrap().0).unwrap()
    }

    #[test]
    fn a_service_that_takes_no_connections_any_more_makes_room_for_another() {
        let process = start(Command::new("sleep").arg("1000"));
        let (ours, theirs) = socket::packet_pair().unwrap();
        let mut instance = Instance::new(process, ours);
        assert!(instance.reap().is_none());
        for sent in [true, false] {
            instance.push(request());
            if sent {
                instance.deliver();
            }
        }
        drop(theirs);
        // Another test's child may hold a copy of it for the moment between its fork and its exec.
        poll(&mut [PollFd::new(&instance.bootstrap, PollFlags::empty())], None).unwrap();
        instance.deliver();
        poll(&mut [PollFd::new(&instance.process, PollFlags::IN)], None).unwrap();
        assert_eq!(instance.reap().unwrap().count(), 2, "what was never accepted is for the next one");
    }

    #[test]
    fn a_connection_is_not_offered_for_ever() {
        let mut requests = vec![request()];
        for attempt in 1..=ATTEMPTS {
            let process = start(&mut Command::new("true"));
            let (ours, _theirs) = socket::packet_pair().unwrap();
            let mut instance = Instance::new(process, ours);
            instance.push(requests.pop().unwrap());
            instance.deliver();
            poll(&mut [PollFd::new(&instance.process, PollFlags::IN)], None).unwrap();
            requests.extend(instance.reap().unwrap());
            assert_eq!(requests.len(), usize::from(attempt < ATTEMPTS));
        }
    }
}
