//! The others in the race: `runtime-peer client NAME CASE…` is a contender, which starts its server.

mod bare;
mod ipc_channel;
mod tarpc;
mod zbus;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use runtime_bench::{Case, begin_session, say};
use rustix::process::{Signal, set_parent_process_death_signal};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [side, name, rest @ ..] = args.as_slice() else { bail!("which side, and which peer") };
    if side == "client" {
        begin_session()?;
        let case = Case::from_args(rest)?;
        return match name.as_str() {
            "stream" => bare::stream_client(case),
            "seqpacket" => bare::seqpacket_client(case),
            "zbus" => zbus::client(case),
            "tarpc" => tarpc::client(case),
            "ipc-channel" => ipc_channel::client(case),
            other => bail!("unknown peer {other}"),
        };
    }
    // However the client ends.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let (place, case) = rest.split_first().context("where, and which case")?;
    let case = Case::from_args(case)?;
    match name.as_str() {
        "stream" => bare::stream_server(place.as_ref(), case),
        "seqpacket" => bare::seqpacket_server(place.as_ref(), case),
        "zbus" => zbus::server(place.as_ref()),
        "tarpc" => tarpc::server(place.as_ref()),
        "ipc-channel" => ipc_channel::server(place, case),
        other => bail!("unknown peer {other}"),
    }
}

/// A server that listens, and where.
struct Server {
    process: Child,
    _folder: tempfile::TempDir,
    socket: PathBuf,
}

impl Server {
    /// Starts this program again as the other side.
    fn start(name: &str, case: Case) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("socket");
        let mut process = command(name, &socket, case)?.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("its output")?).read_line(&mut line)?;
        ensure!(line == LISTENS, "the server said {line:?}");
        Ok(Self { process, _folder: folder, socket })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It serves for good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const LISTENS: &str = "listens\n";

/// What a server says once it can be reached.
fn listens() -> Result<()> {
    say(LISTENS.trim_end())
}

fn command(name: &str, place: &Path, case: Case) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["server", name]).arg(place).args(case.to_args()).stdin(Stdio::null());
    Ok(command)
}
