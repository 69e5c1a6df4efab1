//! Agents, which are found by name, and their clients.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

fn run_in(folder: Option<&Path>, scenario: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mach"));
    command.arg(scenario).env_remove("XDG_RUNTIME_DIR").env_remove("STRANGER");
    if let Some(folder) = folder {
        command.env("XDG_RUNTIME_DIR", folder);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn run(scenario: &str) {
    run_in(Some(tempfile::tempdir().unwrap().path()), scenario);
}

#[test]
fn an_agent_answers_by_name_and_knows_who_asks() {
    run("round-trip");
}

#[test]
fn an_agent_that_does_not_run_makes_its_clients_invalid_and_they_say_what_to_do() {
    run("not-running");
}

// The Apple backend says what launchd would want; the shim is not asked.
#[cfg(not(xpc_runtime_force_apple))]
#[test]
fn without_a_folder_to_meet_in_both_sides_say_so() {
    run_in(None, "no-folder");
    run_in(Some(Path::new("relative")), "no-folder");
}

#[test]
fn an_agent_that_is_killed_interrupts_and_is_reached_again_when_it_is_back() {
    run("restart");
}

// As above.
#[cfg(not(xpc_runtime_force_apple))]
#[test]
fn a_second_agent_of_the_same_name_is_refused() {
    run("two-agents");
}

#[test]
fn a_cancelled_listener_is_told_and_interrupts_its_clients() {
    run("cancelled-listener");
}

#[test]
fn an_agent_that_is_told_to_end_tells_its_peers_and_ends_with_its_last_transaction() {
    run("terminate");
}

#[test]
fn a_session_with_an_agent_ends_with_it() {
    run("session");
}

#[test]
fn many_clients_connect_at_once() {
    run("many-clients");
}

#[test]
fn a_full_queue_of_an_agents_is_waited_for() {
    run("full-queue");
}

// As above.
#[cfg(not(xpc_runtime_force_apple))]
#[test]
fn an_agent_whose_socket_is_there_before_it_is_started_by_its_first_client() {
    run("on-demand");
}

#[test]
fn other_users_are_refused() {
    run("strangers");
}
