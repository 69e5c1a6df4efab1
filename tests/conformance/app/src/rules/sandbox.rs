//! What a sandbox keeps a service from.

use std::net::TcpListener;

use conformance_service::{SANDBOXED, SERVICE};
use xpc_runtime::Connection;

use crate::case::{Case, Outcome};
use crate::client::{ask, connect, op};

pub const CASES: &[Case] = &[
    Case::new("22", "a_sandboxed_service_reads_no_file_outside", files),
    Case::new("22", "a_sandboxed_service_reaches_no_network", network),
];

fn both() -> (Connection, Connection) {
    (connect(SERVICE).0, connect(SANDBOXED).0)
}

fn files() -> Outcome {
    let path = std::env::temp_dir().join(format!("conformance-{}", std::process::id()));
    std::fs::write(&path, "outside").expect("the app may write here");
    let message = op("read").with("path", path.to_string_lossy().into_owned());
    let (free, sandboxed) = both();
    let replies = (ask(&free, &message), ask(&sandboxed, &message));
    std::fs::remove_file(&path).expect("it is there");
    assert_eq!(&replies.0?.data("content")?[..], b"outside");
    assert!(replies.1?.bool("denied")?);
    Ok(())
}

fn network() -> Outcome {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("the app may listen");
    let address = listener.local_addr().expect("it listens").to_string();
    let message = op("connect").with("address", address);
    let (free, sandboxed) = both();
    assert!(ask(&free, &message)?.bool("connected")?);
    assert!(ask(&sandboxed, &message)?.bool("denied")?);
    Ok(())
}
