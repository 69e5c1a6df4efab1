//! A running service, as its launcher sees it.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use crate::bootstrap::{ACCEPTED, CONNECT};
use crate::socket::{self, Packet};

/// A connection that was sent to an instance which died before it accepted it is given to the next one, this many
/// times: its messages were never read, but a service that cannot start must not be started for ever.
const ATTEMPTS: u8 = 2;

/// One end of a connection, on its way to a service.
pub(super) struct Request {
    pub name: Arc<str>,
    pub socket: OwnedFd,
    attempts: u8,
}

impl Request {
    pub fn new(name: Arc<str>, socket: OwnedFd) -> Self {
        Self { name, socket, attempts: 0 }
    }
}

pub(super) struct Instance {
    process: OwnedFd,
    bootstrap: OwnedFd,
    /// Not sent yet.
    waiting: VecDeque<Request>,
    /// Sent, and not yet accepted: kept open, so that they outlive an instance that dies first.
    sent: VecDeque<Request>,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Ready,
    /// The kernel takes no more descriptors for now; polling would not wait.
    Throttled,
    /// Nothing more is sent; it is dying.
    Deaf,
}

impl Instance {
    pub fn new(process: OwnedFd, bootstrap: OwnedFd) -> Self {
        Self { process, bootstrap, waiting: VecDeque::new(), sent: VecDeque::new(), state: State::Ready }
    }

    pub fn push(&mut self, request: Request) {
        self.waiting.push_back(request);
    }

    pub fn is_throttled(&self) -> bool {
        self.state == State::Throttled
    }

    /// What to wait for.
    pub fn sources(&self) -> impl Iterator<Item = PollFd<'_>> {
        let process = PollFd::new(&self.process, PollFlags::IN);
        let bootstrap = (self.state != State::Deaf).then(|| {
            let mut events = PollFlags::IN;
            events.set(PollFlags::OUT, !self.waiting.is_empty() && self.state == State::Ready);
            PollFd::new(&self.bootstrap, events)
        });
        std::iter::once(process).chain(bootstrap)
    }

    /// Takes in what the service says: that it accepted connections, or that it wants one itself.
    pub fn read_requests(&mut self) -> Vec<Request> {
        let mut requests = Vec::new();
        while self.state != State::Deaf {
            match socket::receive_packet(&self.bootstrap) {
                Ok(Packet::Received(bytes, None)) if bytes == ACCEPTED => drop(self.sent.pop_front()),
                Ok(Packet::Received(bytes, Some(socket))) => {
                    if let Some(Ok(name)) = bytes.strip_prefix(CONNECT).map(str::from_utf8) {
                        requests.push(Request::new(name.into(), socket));
                    }
                }
                Ok(Packet::Received(_, None)) => {}
                Err(Errno::AGAIN) => break,
                Ok(Packet::End) | Err(_) => self.give_up(),
            }
        }
        requests
    }

    /// If the process is dead, clears it away and gives back what it never accepted.
    pub fn reap(&mut self) -> Option<impl Iterator<Item = Request> + use<>> {
        match waitid(WaitId::PidFd(self.process.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(None) | Err(Errno::INTR) => return None,
            // Dead; or, where the app ignores SIGCHLD, cleared away by the kernel.
            Ok(Some(_)) | Err(_) => {}
        }
        let sent = std::mem::take(&mut self.sent).into_iter().filter(|request| request.attempts < ATTEMPTS);
        Some(sent.chain(std::mem::take(&mut self.waiting)))
    }

    /// Sends what waits.
    pub fn deliver(&mut self) {
        if self.state == State::Throttled {
            self.state = State::Ready;
        }
        while self.state == State::Ready
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
    /// a connection over again.
    fn give_up(&mut self) {
        self.state = State::Deaf;
        // It is dead already where this fails.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::event::poll;
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    #[expect(clippy::zombie_processes, reason = "`reap` waits for it")]
    fn start(command: &mut Command) -> OwnedFd {
        let child = command.spawn().unwrap();
        pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap()
    }

    #[test]
    fn a_service_that_takes_no_connections_any_more_makes_room_for_another() {
        let process = start(Command::new("sleep").arg("1000"));
        let (ours, theirs) = socket::bootstrap_pair().unwrap();
        let mut instance = Instance::new(process, ours);
        assert!(instance.reap().is_none());
        for sent in [true, false] {
            instance.push(Request::new("name".into(), socket::connection_pair().unwrap().0));
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
        let mut requests = vec![Request::new("name".into(), socket::connection_pair().unwrap().0)];
        for attempt in 1..=ATTEMPTS {
            let process = start(&mut Command::new("true"));
            let (ours, _theirs) = socket::bootstrap_pair().unwrap();
            let mut instance = Instance::new(process, ours);
            instance.push(requests.pop().unwrap());
            instance.deliver();
            poll(&mut [PollFd::new(&instance.process, PollFlags::IN)], None).unwrap();
            requests.extend(instance.reap().unwrap());
            assert_eq!(requests.len(), usize::from(attempt < ATTEMPTS));
        }
    }
}
