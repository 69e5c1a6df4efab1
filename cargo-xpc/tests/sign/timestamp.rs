//! Secure time stamps, from a server of our own on this machine.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use camino::Utf8Path;
use cryptographic_message_syntax::SignedData;

use crate::fixture::{App, TOOL_ARM, tool};
use crate::identity::{fixture, run, sign, signatures};
use crate::stamping::{Answer, Server};

fn server(answer: Answer) -> Server {
    Server::start(fixture("stamp.pem"), answer, Duration::ZERO)
}

/// The token in a signature, as it stands there: the only value of the attribute `id-aa-timeStampToken`.
fn token(cms: &[u8]) -> Vec<u8> {
    const ATTRIBUTE: [u8; 13] = [0x06, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 14];
    let at = cms.windows(13).position(|window| window == ATTRIBUTE).expect("no time stamp") + 13;
    // The set around it and the sequence itself have lengths of two bytes.
    assert_eq!((cms[at], cms[at + 1], cms[at + 4], cms[at + 5]), (0x31, 0x82, 0x30, 0x82));
    let length = usize::from(cms[at + 6]) << 8 | usize::from(cms[at + 7]);
    cms[at + 4..at + 8 + length].to_vec()
}

/// The token of each architecture is on its signature, and on nothing else.
pub fn openssl_believes_the_stamps(program: &Utf8Path) {
    for signature in signatures(program) {
        let cms = signature.cms().unwrap();
        let data = SignedData::parse_ber(cms).unwrap();
        let signer = data.signers().next().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(at("token"), token(cms)).unwrap();
        std::fs::write(at("signature"), signer.signature()).unwrap();
        let verify = |data: &str| {
            let args = ["ts", "-verify", "-token_in", "-in", &at("token"), "-data", data];
            Command::new("openssl").args(args).args(["-CAfile", &fixture("stamp.pem")]).output().unwrap()
        };
        let output = verify(&at("signature"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!verify(&at("token")).status.success(), "it stamps anything");
    }
}

#[test]
fn each_signature_is_stamped_and_openssl_believes_it() {
    let server = server(Answer::Stamp);
    let app = App::bare(&tool());
    app.service("greeter");
    let identity = fixture("plain.pem");
    let args = ["--identity", &identity, "--timestamp", &server.url];
    let (code, stdout, stderr) = run(&app, &[&["sign", "Demo.app", "--dry-run"], &args[..]].concat());
    assert_eq!(code, 0, "{stderr}");
    let plan: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((plan["timestamp"].as_str(), server.requests()), (Some(server.url.as_str()), 0));
    sign(&app, &args);
    // Two programs of two architectures.
    assert_eq!(server.requests(), 4);
    for program in ["MacOS/demo", "XPCServices/greeter.xpc/Contents/MacOS/greeter"] {
        openssl_believes_the_stamps(&app.path(program));
    }
}

#[test]
fn nobody_is_asked_by_default() {
    let app = App::bare(&tool());
    sign(&app, &["--identity", &fixture("plain.pem")]);
    let signature = &signatures(&app.path("MacOS/demo"))[0];
    let data = SignedData::parse_ber(signature.cms().unwrap()).unwrap();
    assert!(data.signers().all(|signer| signer.unsigned_attributes().is_none()));
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let server = server(Answer::Fail { times: 2 });
    let app = App::bare(&tool());
    sign(&app, &["--identity", &fixture("plain.pem"), "--timestamp", &server.url]);
    // Two failures for the first architecture, and a stamp for each.
    assert_eq!(server.requests(), 4);
}

#[test]
fn eight_are_asked_for_at_a_time() {
    let server = server(Answer::Together { count: 8 });
    let app = App::bare(&tool());
    for name in ["a", "b", "c", "d", "e"] {
        app.service(name);
    }
    sign(&app, &["--identity", &fixture("plain.pem"), "--timestamp", &server.url]);
    assert_eq!((server.requests(), server.most_at_once()), (12, 8));
}

#[test]
fn a_server_that_fails_is_named_and_the_bundle_left_alone() {
    let app = App::bare(TOOL_ARM);
    let before = app.content();
    let identity = fixture("plain.pem");
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    };
    let (busy, refuses) = (server(Answer::Fail { times: usize::MAX }), server(Answer::Refuse));
    for (url, requests, says) in [
        (&busy.url, Some((&busy, 3)), "it answered with something else than a time stamp"),
        (&refuses.url, Some((&refuses, 1)), "it refused: Rejection"),
        (&gone, None, "onnection refused"),
    ] {
        let (code, _, stderr) = run(&app, &["sign", "Demo.app", "--identity", &identity, "--timestamp", url]);
        assert_eq!(code, 69, "{stderr}");
        // Once, and without the names of a library's layers.
        let times =
            stderr.lines().filter(|line| line.starts_with("error")).flat_map(|line| line.matches(url.as_str())).count();
        assert!(times == 1 && !stderr.contains("client error"), "{stderr}");
        assert!(stderr.contains(&format!("the time-stamp server {url}")) && stderr.contains(says), "{says}: {stderr}");
        if let Some((server, expected)) = requests {
            assert_eq!(server.requests(), expected);
        }
        assert!(app.content() == before);
    }
    for (args, says) in [
        (&["--timestamp", "http://127.0.0.1/"][..], "an ad-hoc signature cannot be stamped"),
        (&["--identity", &identity, "--timestamp", "ftp://127.0.0.1/"], "is no URL of a time-stamp server"),
        (&["--identity", &identity, "--timestamp", "http://"], "is no URL of a time-stamp server"),
    ] {
        let (code, _, stderr) = run(&app, &[&["sign", "Demo.app"], args].concat());
        assert_eq!((code, stderr.contains(says)), (2, true), "{stderr}");
    }
}
