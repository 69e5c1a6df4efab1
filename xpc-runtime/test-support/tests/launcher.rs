//! The runtime from outside: a real app in a real bundle, which launches real services.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use xpc_runtime_tests::{ABSENT_SERVICE_NAME, BROKEN_SERVICE_NAME, OTHER_SERVICE_NAME, SERVICE_NAME};

const APP: &str = env!("CARGO_BIN_EXE_test-app");
const SERVICE: &str = env!("CARGO_BIN_EXE_test-service");

struct Bundle {
    folder: tempfile::TempDir,
}

impl Bundle {
    fn new() -> Self {
        let bundle = Self { folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap() };
        fs::create_dir_all(bundle.path("Contents/MacOS")).unwrap();
        install(APP, &bundle.app());
        let environment = "<key>EnvironmentVariables</key><dict><key>GREETING</key><string>hello</string></dict>";
        bundle.add(SERVICE_NAME, Some("service"), environment);
        bundle.add(OTHER_SERVICE_NAME, Some("other"), "<key>JoinExistingSession</key><true/>");
        bundle.add(BROKEN_SERVICE_NAME, Some("broken"), "");
        bundle.add(ABSENT_SERVICE_NAME, None, "");
        bundle
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("Tests \u{e9}.app").join(path)
    }

    fn app(&self) -> PathBuf {
        self.path("Contents/MacOS/app")
    }

    fn add(&self, name: &str, program: Option<&str>, options: &str) {
        let contents = self.path("Contents/XPCServices").join(format!("{name}.xpc/Contents"));
        fs::create_dir_all(contents.join("MacOS")).unwrap();
        let executable = program.unwrap_or("no-such-program");
        let plist = format!(
            "<plist version=\"1.0\"><dict><key>CFBundleIdentifier</key><string>{name}</string><key>CFBundleExecutable</key><string>{executable}</string>\
             <key>CFBundlePackageType</key><string>XPC!</string><key>XPCService</key><dict>{options}</dict></dict></plist>"
        );
        fs::write(contents.join("Info.plist"), plist).unwrap();
        if program.is_some() {
            install(SERVICE, &contents.join("MacOS").join(executable));
        }
    }

    fn command(&self, scenario: &str) -> Command {
        command(&self.app(), scenario)
    }

    fn run(&self, scenario: &str) -> Output {
        finish(&mut self.command(scenario))
    }
}

/// A hard link, which the folder of the bundles is chosen for: a program that was just written cannot be executed while
/// another test's child, forked meanwhile, still holds it open for writing.
fn install(program: &str, destination: &Path) {
    fs::hard_link(program, destination).unwrap();
}

fn command(app: &Path, scenario: &str) -> Command {
    let mut command = Command::new(app);
    command
        .arg(scenario)
        .env("SECRET_OF_THE_APP", "1")
        .env("RUST_LOG", "trace")
        .env("LC_TIME", "C")
        // Tests kill services over and over.
        .env("XPC_RUNTIME_THROTTLE", "0")
        .env_remove("XPC_RUNTIME_BUNDLE");
    command
}

fn finish(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

macro_rules! scenarios {
    ($($name:ident = $scenario:literal),* $(,)?) => {$(
        #[test]
        fn $name() {
            Bundle::new().run($scenario);
        }
    )*};
}

scenarios! {
    a_service_replies_by_name = "reply-by-name",
    descriptors_and_shared_memory_cross = "attachments",
    an_endpoint_leads_to_its_listener_from_any_process = "endpoint",
    endpoints_leave_no_descriptor = "endpoint-descriptors",
    a_thousand_descriptors_come_back_and_none_stays = "many-descriptors",
    barriers_run_once_each_across_deaths = "barrier-across-deaths",
    only_a_message_launches = "launch-on-message",
    a_killed_service_interrupts_and_is_launched_again = "kill-while-pending",
    a_program_that_cannot_be_started_is_invalid = "absent-program",
    a_service_that_ends_at_once_interrupts = "broken-service",
    a_thousand_requests_from_several_threads = "concurrent-requests",
    a_dropped_connection_ends_quietly = "dropped-connection",
    there_is_one_instance = "one-instance",
    helper_processes_share_the_services = "helper-processes",
    a_service_reaches_another_service = "service-of-a-service",
    a_service_gets_a_clean_environment = "environment",
    at_the_descriptor_limit_others_go_on = "no-descriptors",
    each_death_is_one_interruption = "many-deaths",
}

#[test]
fn a_panicking_handler_ends_the_service_and_its_text_is_seen() {
    let output = Bundle::new().run("panic");
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(
        log.lines().any(|line| line.starts_with(&format!("[{SERVICE_NAME}] ")) && line.contains("panicked at")),
        "{log}"
    );
    assert!(log.contains(&format!("[{SERVICE_NAME}] told to panic")), "{log}");
}

#[test]
fn what_a_service_prints_is_seen_with_its_name() {
    let bundle = Bundle::new();
    // Standard error is read to its end, which comes when the app and the threads that forward to it are gone.
    let log = String::from_utf8(bundle.run("output").stderr).unwrap();
    assert!(log.contains(&format!("[{SERVICE_NAME}] on standard output\n")), "{log}");
}

#[test]
fn the_bundle_can_be_named_by_the_environment() {
    let bundle = Bundle::new();
    // Relative, and the service's own directory is another.
    finish(
        command(Path::new(APP), "reply-by-name")
            .env("XPC_RUNTIME_BUNDLE", bundle.path("").file_name().unwrap())
            .current_dir(bundle.folder.path()),
    );
}

#[test]
fn outside_a_bundle_the_error_says_what_to_do() {
    let output = command(Path::new(APP), "reply-by-name").output().unwrap();
    assert!(!output.status.success());
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("cargo xpc run") && log.contains("XPC_RUNTIME_BUNDLE="), "{log}");
}

#[test]
fn a_service_run_by_hand_aborts() {
    for forged in [None, Some("3:1"), Some("0:0"), Some("x")] {
        let mut command = Command::new(SERVICE);
        command.env_remove("XPC_RUNTIME_BOOTSTRAP");
        if let Some(forged) = forged {
            command.env("XPC_RUNTIME_BOOTSTRAP", forged);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.signal(), Some(6), "{forged:?}: {output:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "An XPC Service cannot be run directly.\n");
    }
}

#[test]
fn services_go_with_their_app_however_it_ends() {
    for killed in [true, false] {
        let bundle = Bundle::new();
        let mut app = bundle.command("hold").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(app.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let service = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        let service = pidfd_open(service, PidfdFlags::empty()).unwrap();
        if killed {
            app.kill().unwrap();
        }
        // Closes its standard input.
        assert_eq!(app.wait().unwrap().success(), !killed);
        poll(&mut [PollFd::new(&service, PollFlags::IN)], None).unwrap();
    }
}

#[test]
fn an_app_that_ignores_dead_children_works() {
    let bundle = Bundle::new();
    let script = "trap '' CHLD; exec \"$0\" \"$1\"";
    for scenario in ["kill-while-pending", "many-deaths", "broken-service"] {
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(bundle.app()).arg(scenario);
        finish(command.env("XPC_RUNTIME_THROTTLE", "0"));
    }
}

#[test]
fn a_service_that_crashes_over_and_over_is_started_less_and_less_often() {
    let bundle = Bundle::new();
    let output = finish(bundle.command("crash-loop").env_remove("XPC_RUNTIME_THROTTLE"));
    let log = String::from_utf8(output.stderr).unwrap();
    let says =
        format!("[{SERVICE_NAME}] ended soon after its start, repeatedly: starts again in 250ms at the earliest");
    assert!(log.contains(&says), "{log}");
    let output = finish(&mut bundle.command("crash-loop"));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(!log.contains("250ms"), "{log}");
}

#[test]
fn a_service_waits_for_a_debugger_where_asked_to() {
    let bundle = Bundle::new();
    let names = format!("com.example.no-such-service, {SERVICE_NAME}");
    let mut app = bundle
        .command("reply-by-name")
        .env("XPC_RUNTIME_WAIT_FOR_DEBUGGER", names)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(app.stderr.as_mut().unwrap()).lines().map(Result::unwrap);
    let said = log.find(|line| line.contains("waits for a debugger")).unwrap();
    let pid = said.strip_prefix(&format!("[{SERVICE_NAME}] process ")).unwrap().split(' ').next().unwrap();
    let stopped = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ");
    while !stopped() {
        std::thread::yield_now();
    }
    assert!(app.try_wait().unwrap().is_none(), "its request has no answer yet");
    rustix::process::kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), rustix::process::Signal::CONT).unwrap();
    assert!(app.wait().unwrap().success());
}

#[test]
fn what_is_no_program_of_this_system_is_not_run_by_a_shell() {
    let bundle = Bundle::new();
    let program =
        bundle.path(&format!("Contents/XPCServices/{ABSENT_SERVICE_NAME}.xpc/Contents/MacOS/no-such-program"));
    // A Mach-O header, and what a shell would make of the rest.
    fs::write(&program, b"\xcf\xfa\xed\xfe\necho a shell runs it\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let said = bundle.run("foreign-program").stderr;
    assert!(!String::from_utf8_lossy(&said).contains("a shell"), "{}", String::from_utf8_lossy(&said));
}
