//! The socket of a listener that is found by name.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::epoll::EventFlags;
use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with, bind, listen};

use super::folder::Folder;
use super::{is_this_user, new_socket, passed};
use crate::endpoint::{Listening, Way};
use crate::error::explain;
use crate::reactor::{Source, reactor};
use crate::{credentials, settings, termination, timer, transaction};

/// How many may wait to be let in; the kernel makes less of it (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
/// How many are let in before the thread looks at other things.
const TURNS: usize = 64;

pub(crate) struct Port {
    token: u64,
    socket: OwnedFd,
    /// It was there before this process, and stays.
    is_passed: bool,
    /// Whose lock is this process's claim to the name.
    folder: Folder,
    listening: Arc<Listening>,
}

/// A fresh socket in the folder that this process has claimed.
fn make(folder: &Folder) -> Result<OwnedFd, Errno> {
    // Whoever made the one that may be there is gone: the lock went with its process.
    folder.remove_socket()?;
    let socket = new_socket()?;
    // The file gets this mode from its first moment on.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &folder.address()?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

impl Port {
    /// Makes the listener the one that serves this name.
    pub fn open(name: &str, listening: &Arc<Listening>) -> Result<(), Arc<str>> {
        let folder = Folder::make(name)?;
        // Before the first message can come.
        transaction::become_service();
        termination::watch();
        Self::open_in(folder, name, listening)
    }

    pub(super) fn open_in(folder: Folder, name: &str, listening: &Arc<Listening>) -> Result<(), Arc<str>> {
        let path = folder.path_of_socket();
        let cannot = |error: Errno| -> Arc<str> {
            format!("cannot serve {name}: {}: {}", path.display(), explain(error)).into()
        };
        // Where somebody listens without the claim, it is for agents that this process is none of: systemd does.
        if !folder.claim().map_err(cannot)? || (!passed::is_there(&path) && super::server(&folder).is_some()) {
            let other = super::server(&folder).map_or_else(|| "another process".into(), |pid| format!("process {pid}"));
            return Err(
                format!("{name} is served by {other} already: a name has one listener ({})", path.display()).into()
            );
        }
        let passed = passed::take(&path);
        let is_passed = passed.is_some();
        let socket = match passed {
            Some(socket) => socket,
            None => make(&folder).map_err(cannot)?,
        };
        let port =
            Arc::new(Self { token: reactor().new_token(), socket, is_passed, folder, listening: listening.clone() });
        listening.found_at(port.clone());
        reactor().add(port.token, &port.socket, Source::Port(port.clone()), EventFlags::IN).map_err(cannot)?;
        reactor().start();
        Ok(())
    }

    /// The reactor's call: somebody wants to be let in.
    pub(crate) fn ready(self: Arc<Self>) {
        for _ in 0..TURNS {
            if transaction::is_terminating() {
                // Who is not let in is interrupted by the end of this process.
                return;
            }
            match accept_with(&self.socket, SocketFlags::CLOEXEC) {
                Ok(socket) if credentials::maker(&socket).is_some_and(|peer| is_this_user(&peer)) => {
                    // Where that fails the socket is closed, and who connected is interrupted.
                    let _ = self.listening.add(socket, Way::ByName);
                }
                Ok(_) | Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => break,
                // No descriptor is free, or no memory: it is readable still, and would be at once again.
                Err(_) => return timer::after(settings::RETRY.get(), move || self.arm()).detach(),
            }
        }
        self.arm();
    }

    fn arm(&self) {
        self.listening.unless_ended(|| reactor().arm(self.token, &self.socket, EventFlags::IN));
    }

    /// Nobody finds it any more.
    pub(crate) fn close(&self) {
        let source = reactor().remove(self.token, self.socket.as_fd());
        // While the lock is this process's still. A child that was forked at this moment may have a copy of it.
        if !self.is_passed {
            let _ = self.folder.remove_socket();
        }
        self.folder.give_up();
        drop(source);
    }
}
