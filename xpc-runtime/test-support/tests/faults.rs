//! Deaths at every moment, and hosts that do what they should not.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use xpc_runtime_tests::{OTHER_SERVICE_NAME, SERVICE_NAME};

const PROGRAM: &str = env!("CARGO_BIN_EXE_faults");

struct App {
    folder: tempfile::TempDir,
}

impl App {
    fn new() -> Self {
        // Where a hard link to the program can stand: see `launcher.rs`.
        let app = Self { folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap() };
        let contents = app.folder.path().join("F.app/Contents");
        fs::create_dir_all(contents.join("MacOS")).unwrap();
        fs::hard_link(PROGRAM, app.program()).unwrap();
        for name in [SERVICE_NAME, OTHER_SERVICE_NAME] {
            let service = contents.join(format!("XPCServices/{name}.xpc/Contents"));
            fs::create_dir_all(service.join("MacOS")).unwrap();
            fs::hard_link(PROGRAM, service.join("MacOS/program")).unwrap();
            let plist = format!(
                "<plist version=\"1.0\"><dict><key>CFBundleIdentifier</key><string>{name}</string>\
                 <key>CFBundleExecutable</key><string>program</string></dict></plist>"
            );
            fs::write(service.join("Info.plist"), plist).unwrap();
        }
        app
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("F.app/Contents/MacOS/app")
    }

    fn command(&self, scenario: &str) -> Command {
        let mut command = Command::new(self.program());
        command.arg(scenario).env("XPC_RUNTIME_THROTTLE", "0").env_remove("XPC_RUNTIME_BUNDLE");
        command
    }

    fn run(&self, scenario: &str) {
        let output = self.command(scenario).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts it, and gives the process ids that it prints.
    fn hold(&self, scenario: &str) -> (Child, Vec<Pid>) {
        let mut app = self.command(scenario).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(app.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let pids = line.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap()).collect();
        (app, pids)
    }
}

/// Within a minute; nothing here takes a second.
fn expect_end(process: &OwnedFd) {
    let minute = Timespec { tv_sec: 60, tv_nsec: 0 };
    assert_eq!(poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&minute)), Ok(1), "it lives on");
}

#[test]
fn each_of_a_thousand_requests_has_one_outcome_whenever_the_service_is_killed() {
    App::new().run("thousand-kills");
}

#[test]
fn launches_and_deaths_leave_nothing_behind() {
    App::new().run("hundred-launches");
}

#[test]
fn a_service_outlives_the_thread_that_connected() {
    App::new().run("thread-that-connected");
}

#[test]
fn descriptors_leaked_to_a_helper_keep_nobody_from_hearing_of_an_end() {
    App::new().run("leaked-to-a-helper");
}

#[test]
fn services_go_with_their_app_also_when_it_aborts_or_becomes_another_program() {
    for end in ["abort", "exec", "exit", "kill"] {
        let application = App::new();
        let (mut app, pids) = application.hold("hold");
        let service = pidfd_open(pids[0], PidfdFlags::empty()).unwrap();
        if end == "kill" {
            app.kill().unwrap();
        } else {
            writeln!(app.stdin.as_mut().unwrap(), "{end}").unwrap();
        }
        expect_end(&service);
        // The program that it became runs on.
        let _ = app.kill();
        app.wait().unwrap();
    }
}

#[test]
fn services_go_with_their_app_although_a_helper_inherited_its_sockets() {
    let application = App::new();
    let (mut app, pids) = application.hold("hold-with-a-helper");
    let [service, helper] = pids[..] else { panic!("{pids:?}") };
    let service = pidfd_open(service, PidfdFlags::empty()).unwrap();
    app.kill().unwrap();
    app.wait().unwrap();
    expect_end(&service);
    kill_process(helper, Signal::KILL).unwrap();
}

#[test]
fn a_forked_copy_harms_nothing_of_its_original_and_is_told() {
    App::new().run("forked");
}

#[test]
fn what_a_dead_service_left_running_is_ended() {
    App::new().run("left-behind");
}

#[test]
fn an_app_ends_although_its_service_prints_for_ever() {
    let application = App::new();
    let mut app = application.command("beside-a-printer").stderr(Stdio::piped()).spawn().unwrap();
    let mut said = app.stderr.take().unwrap();
    let reading = thread::spawn(move || io::copy(&mut said, &mut io::sink()));
    let process = pidfd_open(Pid::from_child(&app), PidfdFlags::empty()).unwrap();
    expect_end(&process);
    assert!(app.wait().unwrap().success());
    reading.join().unwrap().unwrap();
}
