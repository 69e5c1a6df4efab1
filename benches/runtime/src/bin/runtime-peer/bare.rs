//! Sockets and nothing else: the limit.

use std::io::{BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use runtime_bench::{Case, LARGE, SMALL, repeat, serve_batches};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, accept, bind, connect, listen, recv, send, socket,
};

use crate::{Server, listens};

/// The first byte of a message that asks for the number of messages before it.
const ASK: u8 = 1;

/// How much the server reads at a time.
const BUFFER: usize = 64 << 10;

pub fn stream_client(case: Case) -> Result<()> {
    if case == Case::Launch {
        return serve_batches(|count| (0..count).map(|_| launch_once()).sum());
    }
    let server = Server::start("stream", case)?;
    let open = || UnixStream::connect(&server.socket);
    match case {
        Case::RoundTrip(bytes) => {
            let mut stream = open()?;
            let (message, mut reply) = (vec![0; bytes.max(SMALL)], vec![0; bytes.max(SMALL)]);
            serve_batches(|count| {
                Ok(repeat(count, || stream.write_all(&message).and_then(|()| stream.read_exact(&mut reply)))?)
            })
        }
        Case::OneWay(connections) => {
            let mut streams = (0..connections).map(|_| open()).collect::<Result<Vec<_>, _>>()?;
            serve_batches(|count| {
                let (took, received) = measure::time(|| -> Result<u64> {
                    for number in 0..count {
                        streams[number as usize % connections].write_all(&[0; SMALL])?;
                    }
                    for stream in &mut streams {
                        stream.write_all(&[ASK; SMALL])?;
                    }
                    let mut sum = 0;
                    for stream in &mut streams {
                        let mut answer = [0; 8];
                        stream.read_exact(&mut answer)?;
                        sum += u64::from_le_bytes(answer);
                    }
                    Ok(sum)
                })?;
                ensure!(received == count, "{received} of {count} messages have arrived");
                Ok(took)
            })
        }
        Case::Bulk => {
            let mut stream = open()?;
            let message = vec![1; LARGE];
            serve_batches(|count| {
                Ok(repeat(count, || stream.write_all(&message).and_then(|()| stream.read_exact(&mut [0; SMALL])))?)
            })
        }
        other => bail!("a stream cannot do {other:?}"),
    }
}

pub fn stream_server(place: &Path, case: Case) -> Result<()> {
    let listener = UnixListener::bind(place)?;
    listens()?;
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || serve_stream(stream, case));
    }
    Ok(())
}

fn serve_stream(mut stream: UnixStream, case: Case) -> Result<()> {
    match case {
        Case::RoundTrip(bytes) => {
            let mut message = vec![0; bytes.max(SMALL)];
            loop {
                stream.read_exact(&mut message)?;
                stream.write_all(&message)?;
            }
        }
        Case::OneWay(_) => {
            let mut reader = BufReader::with_capacity(BUFFER, stream);
            let (mut message, mut received) = ([0; SMALL], 0_u64);
            loop {
                reader.read_exact(&mut message)?;
                if message[0] == ASK {
                    reader.get_mut().write_all(&std::mem::take(&mut received).to_le_bytes())?;
                } else {
                    received += 1;
                }
            }
        }
        Case::Bulk => {
            // Into memory of its own each time, as a receiver that keeps what it gets has to.
            loop {
                let mut message = Vec::with_capacity(LARGE);
                ensure!((&stream).take(LARGE as u64).read_to_end(&mut message)? == LARGE, "the client is gone");
                stream.write_all(&[0; SMALL])?;
            }
        }
        other => bail!("a stream cannot do {other:?}"),
    }
}

pub fn seqpacket_client(case: Case) -> Result<()> {
    let server = Server::start("seqpacket", case)?;
    let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
    connect(&socket, &SocketAddrUnix::new(&server.socket)?)?;
    match case {
        Case::RoundTrip(bytes) => {
            let (message, mut reply) = (vec![0; bytes.max(SMALL)], vec![0; bytes.max(SMALL)]);
            serve_batches(|count| {
                Ok(repeat(count, || {
                    send(&socket, &message, SendFlags::NOSIGNAL)?;
                    recv(&socket, &mut reply, RecvFlags::empty()).map(drop)
                })?)
            })
        }
        Case::OneWay(1) => serve_batches(|count| {
            let (took, received) = measure::time(|| -> Result<u64> {
                for _ in 0..count {
                    send(&socket, &[0; SMALL], SendFlags::NOSIGNAL)?;
                }
                send(&socket, &[ASK; SMALL], SendFlags::NOSIGNAL)?;
                let mut answer = [0; 8];
                recv(&socket, &mut answer, RecvFlags::empty())?;
                Ok(u64::from_le_bytes(answer))
            })?;
            ensure!(received == count, "{received} of {count} messages have arrived");
            Ok(took)
        }),
        other => bail!("seqpacket does not do {other:?}"),
    }
}

pub fn seqpacket_server(place: &Path, case: Case) -> Result<()> {
    let listener = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
    bind(&listener, &SocketAddrUnix::new(place)?)?;
    listen(&listener, 1)?;
    listens()?;
    let socket: OwnedFd = accept(&listener)?;
    let mut message = vec![0; BUFFER];
    let mut received = 0_u64;
    loop {
        let (read, _) = recv(&socket, message.as_mut_slice(), RecvFlags::empty())?;
        if read == 0 {
            return Ok(());
        }
        let answer: &[u8] = match case {
            Case::RoundTrip(_) => &message[..read],
            _ if message[0] == ASK => &std::mem::take(&mut received).to_le_bytes(),
            _ => {
                received += 1;
                continue;
            }
        };
        send(&socket, answer, SendFlags::NOSIGNAL)?;
    }
}

/// Forks and executes the least program, and reads its first byte.
fn launch_once() -> Result<Duration> {
    let program = std::env::current_exe()?.with_file_name("runtime-first-byte");
    let (took, mut child) = measure::time(|| -> Result<_> {
        let (mut ours, theirs) = UnixStream::pair()?;
        let child = Command::new(&program).stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
        ours.read_exact(&mut [0])?;
        Ok(child)
    })?;
    ensure!(child.wait()?.success(), "{} failed", program.display());
    Ok(took)
}
