//! How services end: idle, told to, or by a test's doing.

#![cfg(target_os = "linux")]

use std::fs;
use std::process::Command;

use xpc_runtime_tests::{OTHER_SERVICE_NAME, SERVICE_NAME};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lifetime");

fn run(scenario: &str, variables: &[(&str, &str)]) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let contents = folder.path().join("Lifetime.app/Contents");
    let services = [("service", SERVICE_NAME), ("other", OTHER_SERVICE_NAME)]
        .map(|(name, identifier)| (contents.join(format!("XPCServices/{name}.xpc/Contents")), identifier));
    for folder in services.iter().map(|(service, _)| service).chain([&contents]) {
        fs::create_dir_all(folder.join("MacOS")).unwrap();
        // A link: a copy could not be executed while another test's child holds it open for writing.
        fs::hard_link(PROGRAM, folder.join("MacOS/program")).unwrap();
    }
    for (service, identifier) in services {
        let plist = format!(
            "<plist version=\"1.0\"><dict><key>CFBundleIdentifier</key><string>{identifier}</string>\
             <key>CFBundleExecutable</key><string>program</string></dict></plist>"
        );
        fs::write(service.join("Info.plist"), plist).unwrap();
    }
    let mut command = Command::new(contents.join("MacOS/program"));
    command.arg(scenario).env_remove("XPC_RUNTIME_BUNDLE").env_remove("XPC_SERVICE_NAME");
    let output = command.envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_idle_service_is_ended_and_one_with_a_transaction_is_not() {
    // Throttling is on: idle exits are no crashes.
    run(
        "idle-exit",
        &[("XPC_RUNTIME_IDLE_EXIT", "0.1"), ("XPC_RUNTIME_THROTTLE_FIRST", "1000"), ("XPC_RUNTIME_THROTTLE", "1000")],
    );
}

#[test]
fn a_client_on_its_way_to_a_listener_keeps_its_service_from_being_ended() {
    run("idle-exit-of-a-listener", &[("XPC_RUNTIME_IDLE_EXIT", "0.1")]);
}

#[test]
fn a_busy_service_that_is_told_to_end_tells_its_peers_and_ends_with_its_last_transaction() {
    run("terminate", &[]);
}

#[test]
fn a_service_without_work_that_is_told_to_end_is_gone() {
    run("terminate-idle", &[]);
}

#[test]
fn a_service_that_is_called_without_a_pause_ends_when_it_is_told_to() {
    run("terminate-busy", &[("XPC_RUNTIME_THROTTLE", "0")]);
}

#[test]
fn a_test_can_kill_a_service_lose_replies_and_delay_messages() {
    run("faults", &[]);
}
