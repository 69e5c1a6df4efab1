//! What an older system lacks, and what a system refuses: over the shim of libxpc, which can be and do both.

#![cfg(xpc_runtime_force_apple)]

use std::env;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::mpsc::channel;

use xpc_runtime::{Connection, Dictionary, EncodeError, Error, PeerRequirement, Session};

/// What the shim reads.
const VARIABLE: &str = "XPC_SHIM_MACOS";

/// Runs the test in a copy of this program, for which the system is of this version.
fn on_macos(version: &str, test: &str, check: impl FnOnce()) {
    if env::var_os(VARIABLE).is_some() {
        return check();
    }
    let mut copy = Command::new(env::current_exe().unwrap());
    let output = copy.args(["--exact", test]).env(VARIABLE, version).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Why a connection with nobody is invalid.
fn reason() -> String {
    let (sender, reasons) = channel();
    let _connection = Connection::service("com.example.nobody")
        .on_invalid(move |_, error| sender.send(error.to_string()).unwrap_or_default())
        .activate();
    reasons.recv().unwrap()
}

#[test]
fn before_macos_13_a_session_says_what_it_needs() {
    on_macos("12.7", "before_macos_13_a_session_says_what_it_needs", || {
        assert!(needs(Session::service("com.example.nobody").activate()).contains("macOS 13"));
    });
}

#[test]
fn from_macos_13_on_there_are_sessions() {
    on_macos("13.0", "from_macos_13_on_there_are_sessions", || {
        Session::service("com.example.nobody").activate().unwrap();
    });
}

#[test]
fn before_macos_12_a_connection_has_a_reason_of_the_runtimes_own() {
    on_macos("11.0", "before_macos_12_a_connection_has_a_reason_of_the_runtimes_own", || {
        let reason = reason();
        assert!(reason.contains("no service named com.example.nobody can be reached"), "{reason}");
    });
}

#[test]
fn from_macos_12_on_a_connection_has_the_systems_reason() {
    on_macos("12.0", "from_macos_12_on_a_connection_has_the_systems_reason", || {
        let reason = reason();
        assert!(reason.contains("cannot connect to com.example.nobody"), "{reason}");
    });
}

/// What it says that it needs.
#[track_caller]
fn needs<T>(result: Result<T, Error>) -> &'static str {
    match result.err() {
        Some(Error::Unsupported(says)) => says,
        other => panic!("{other:?}"),
    }
}

#[test]
fn before_macos_12_no_peer_can_be_required() {
    on_macos("11.0", "before_macos_12_no_peer_can_be_required", || {
        assert!(needs(PeerRequirement::code_signing("identifier \"a\"")).contains("macOS 12"));
    });
}

#[test]
fn before_macos_14_4_connections_can_require_a_code_signature_alone() {
    on_macos("14.3", "before_macos_14_4_connections_can_require_a_code_signature_alone", || {
        let signed = PeerRequirement::code_signing("identifier \"a\"").unwrap();
        assert!(needs(PeerRequirement::team_identity(None)).contains("macOS 14.4"));
        assert!(needs(PeerRequirement::entitlement("com.example.entitled")).contains("macOS 14.4"));
        let session = Session::service("com.example.nobody").require_peer(&signed).activate();
        assert!(needs(session).contains("macOS 14.4"));
    });
}

#[test]
fn before_macos_26_sessions_can_require_a_code_signature_alone() {
    on_macos("14.4", "before_macos_26_sessions_can_require_a_code_signature_alone", || {
        let signed = PeerRequirement::code_signing("identifier \"a\"").unwrap();
        Session::service("com.example.nobody").require_peer(&signed).activate().unwrap();
        let entitled = PeerRequirement::entitlement("com.example.entitled").unwrap();
        let session = Session::service("com.example.nobody").require_peer(&entitled).activate();
        assert!(needs(session).contains("macOS 26"));
    });
}

#[test]
fn a_descriptor_without_room_for_a_second_one_is_refused() {
    const TEST: &str = "a_descriptor_without_room_for_a_second_one_is_refused";
    const FULL: &str = "XPC_RUNTIME_TEST_FULL";
    if env::var_os(FULL).is_none() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -n 64; exec \"$0\" --exact \"$1\""]).arg(env::current_exe().unwrap()).arg(TEST);
        let output = shell.env(FULL, "1").output().unwrap();
        return assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let connection = Connection::service("com.example.nobody").activate();
    let mut files: Vec<_> = std::iter::repeat_with(|| File::open("/dev/null")).map_while(Result::ok).collect();
    let message = Dictionary::new().with("fd", OwnedFd::from(files.pop().unwrap()));
    let error = connection.send(&message).err();
    assert!(matches!(error, Some(Error::Encode(EncodeError::Attachment { .. }))), "{error:?}");
}

#[test]
fn a_session_that_the_system_refuses_is_invalid() {
    for (name, why) in [
        ("libxpc-shim.cannot-be-created", "no such service"),
        ("libxpc-shim.cannot-be-activated", "the service is unavailable"),
    ] {
        let error = Session::service(name).activate().err();
        assert_eq!(error, Some(Error::Invalid(why.into())), "{name}");
    }
}
