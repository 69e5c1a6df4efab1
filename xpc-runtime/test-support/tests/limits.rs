//! Many connections, no descriptors left, and a client that takes nothing.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use xpc_runtime_tests::SERVICE_NAME;

const PROGRAM: &str = env!("CARGO_BIN_EXE_limits");

/// A bundle whose app and service are one program.
struct App {
    folder: tempfile::TempDir,
}

impl App {
    fn new() -> Self {
        // Where a hard link to the program can stand: see `launcher.rs`.
        let app = Self { folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap() };
        let contents = app.folder.path().join("L.app/Contents");
        let service = contents.join(format!("XPCServices/{SERVICE_NAME}.xpc/Contents"));
        for folder in [&contents, &service] {
            fs::create_dir_all(folder.join("MacOS")).unwrap();
            fs::hard_link(PROGRAM, folder.join("MacOS/program")).unwrap();
        }
        let plist = format!(
            "<plist version=\"1.0\"><dict><key>CFBundleIdentifier</key><string>{SERVICE_NAME}</string>\
             <key>CFBundleExecutable</key><string>program</string></dict></plist>"
        );
        fs::write(service.join("Info.plist"), plist).unwrap();
        app
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("L.app/Contents/MacOS/program")
    }

    /// What it prints, and what is said beside it.
    fn run(&self, scenario: &str, settings: &[(&str, &str)]) -> String {
        let mut command = Command::new(self.program());
        command.arg(scenario).envs(settings.iter().copied()).env_remove("XPC_RUNTIME_BUNDLE");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        print!("{}", String::from_utf8_lossy(&output.stdout));
        said
    }
}

#[test]
fn a_client_that_never_reads_is_cut_off_and_nobody_else() {
    App::new().run("never-reads", &[("XPC_RUNTIME_STALL_TIMEOUT", "0.2")]);
}

#[test]
fn ten_thousand_connections_need_few_threads_and_little_memory() {
    App::new().run("ten-thousand", &[]);
}

#[test]
fn a_service_without_descriptors_serves_its_connections_and_no_new_ones_until_some_are_free() {
    let said = App::new().run("full-service", &[]);
    assert!(said.contains("ulimit -n"), "the service says what is wrong: {said}");
}

#[test]
fn an_app_without_descriptors_keeps_its_connections_and_makes_no_new_ones_until_some_are_free() {
    App::new().run("full-client", &[]);
}

#[test]
fn descriptors_that_the_kernel_has_no_room_for_wait() {
    App::new().run("full-kernel", &[]);
}
