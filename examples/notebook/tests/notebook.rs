//! The agent and its client, as two processes.

#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

struct Agent(Child);

impl Agent {
    fn start(folder: &Path) -> Self {
        let agent = Command::new(env!("CARGO_BIN_EXE_notebook-agent")).env("XDG_RUNTIME_DIR", folder).spawn().unwrap();
        let agent = Self(agent);
        // What a client sees of it before it is ready is what it sees where there is none.
        while !notebook(folder, &[]).0 {}
        agent
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn client(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_notebook"));
    command.args(arguments).env("XDG_RUNTIME_DIR", folder);
    command
}

fn notebook(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = client(folder, arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn the_agent_keeps_notes_for_all_clients_and_tells_those_who_watch() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (answered, said) = notebook(folder, &[]);
    assert!(!answered && said.starts_with("error: no process serves com.example.notebook.agent: start"), "{said}");

    let agent = Agent::start(folder);
    assert_eq!(notebook(folder, &["buy milk"]), (true, "buy milk\n".into()));
    let mut watcher = client(folder, &["--watch"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut seen = BufReader::new(watcher.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(seen.next().unwrap(), "buy milk");
    assert_eq!(notebook(folder, &["water the plants"]), (true, "buy milk\nwater the plants\n".into()));
    assert_eq!(seen.next().unwrap(), "water the plants");

    agent.kill();
    // It asks once more, finds nobody, and says so.
    assert_eq!(watcher.wait().unwrap().code(), Some(1));
    assert_eq!(seen.next(), None);
}
