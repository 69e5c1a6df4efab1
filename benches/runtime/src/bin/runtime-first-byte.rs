//! The least that a launched program can do: one byte through the socket that it was started with.

use std::io::{self, Write as _};

fn main() -> io::Result<()> {
    // A socket: it can be written as well as read, but as standard input nothing buffers it.
    let socket = std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned()?;
    std::os::unix::net::UnixStream::from(socket).write_all(&[1])
}
