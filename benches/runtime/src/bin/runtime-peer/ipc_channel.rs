//! ipc-channel: its channels of bytes, which serialise nothing, one each way; for shared memory a typed one.

use std::process::Stdio;

use ::ipc_channel::ipc::{
    self, IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcReceiver, IpcSender, IpcSharedMemory,
};
use anyhow::{Result, bail, ensure};
use runtime_bench::{Case, LARGE, SMALL, repeat, serve_batches};
use serde::{Deserialize, Serialize};

use crate::command;

/// The first byte of a message that asks for the number of messages before it.
const ASK: u8 = 1;

/// The client's ends.
#[derive(Serialize, Deserialize)]
struct Channels {
    bytes: IpcBytesSender,
    memory: IpcSender<IpcSharedMemory>,
    answers: IpcBytesReceiver,
}

pub fn client(case: Case) -> Result<()> {
    let (rendezvous, name) = IpcOneShotServer::<Channels>::new()?;
    let mut server = command("ipc-channel", name.as_ref(), case)?.stdout(Stdio::null()).spawn()?;
    let (_, Channels { bytes: sender, memory, answers }) = rendezvous.accept()?;
    let done = match case {
        Case::RoundTrip(bytes) => {
            let data = vec![0; bytes];
            serve_batches(|count| {
                repeat(count, || -> Result<()> {
                    sender.send(&data)?;
                    ensure!(answers.recv()?.len() == bytes, "the echo differs");
                    Ok(())
                })
            })
        }
        Case::OneWay(1) => serve_batches(|count| {
            let (took, received) = measure::time(|| -> Result<Vec<u8>> {
                for _ in 0..count {
                    sender.send(&[0; SMALL])?;
                }
                sender.send(&[ASK; SMALL])?;
                Ok(answers.recv()?)
            })?;
            ensure!(received == count.to_le_bytes(), "of {count} messages some are lost");
            Ok(took)
        }),
        Case::Bulk => {
            let data = vec![1; LARGE];
            serve_batches(|count| {
                repeat(count, || -> Result<()> {
                    sender.send(&data)?;
                    answers.recv()?;
                    Ok(())
                })
            })
        }
        Case::SharedMemory => {
            let shared = IpcSharedMemory::from_byte(1, LARGE);
            serve_batches(|count| {
                repeat(count, || -> Result<()> {
                    memory.send(shared.clone())?;
                    answers.recv()?;
                    Ok(())
                })
            })
        }
        other => bail!("ipc-channel does not do {other:?}"),
    };
    server.kill()?;
    server.wait()?;
    done
}

pub fn server(name: &str, case: Case) -> Result<()> {
    let (bytes, receiver) = ipc::bytes_channel()?;
    let (memory, mappings): (_, IpcReceiver<IpcSharedMemory>) = ipc::channel()?;
    let (sender, answers) = ipc::bytes_channel()?;
    IpcSender::connect(name.to_owned())?.send(Channels { bytes, memory, answers })?;
    let mut received = 0_u64;
    loop {
        match case {
            Case::SharedMemory => {
                ensure!(mappings.recv()?.len() == LARGE, "the memory is cut");
                sender.send(&[])?;
            }
            Case::RoundTrip(_) => sender.send(&receiver.recv()?)?,
            Case::Bulk => {
                ensure!(receiver.recv()?.len() == LARGE, "the message is cut");
                sender.send(&[])?;
            }
            _ if receiver.recv()?[0] == ASK => sender.send(&std::mem::take(&mut received).to_le_bytes())?,
            _ => received += 1,
        }
    }
}
