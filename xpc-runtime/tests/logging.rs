//! What is logged arrives where people look for it: here, on the standard error of a process of the test's own.

use std::process::{Command, Stdio};

use tracing_subscriber::prelude::*;
use xpc_runtime::logging::{self, Layer, Level};

const CHILD: &str = "XPC_RUNTIME_TESTS_LOG";

#[test]
fn texts_records_and_events_are_written() {
    if std::env::var_os(CHILD).is_some() {
        return write();
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "texts_records_and_events_are_written", "--nocapture"]).env(CHILD, "1");
    let output = child.stdout(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines: Vec<_> = said.lines().filter(|line| line.contains("of the test")).collect();
    assert_eq!(lines.len(), 4, "{said}");
    for (line, (level, end)) in lines.iter().zip([
        ("error", "by hand: a text of the test"),
        ("warning", "logging: a record of the test, 7"),
        ("info", "elsewhere: an info of the test"),
        ("debug", "logging: outer: inner: an event of the test number=8 name=\"n\""),
    ]) {
        assert!(line.contains(level) && line.ends_with(end), "{line}");
    }
}

fn write() {
    logging::write(Level::Error, "by hand", "a text of the test");
    logging::init_log(log::LevelFilter::Info).unwrap();
    log::warn!("a record of the test, {}", 7);
    log::info!(target: "elsewhere", "an info of the test");
    log::debug!("too little of the test to be written");
    // Past the macro, which asks for the level first.
    let record = log::Record::builder().level(log::Level::Debug).args(format_args!("as little of the test")).build();
    log::logger().log(&record);
    assert!(logging::init_log(log::LevelFilter::Info).is_err(), "there is one");
    let subscriber = tracing_subscriber::registry().with(Layer);
    tracing::subscriber::with_default(subscriber, || {
        let _outer = tracing::error_span!("outer", ignored = 1).entered();
        let _inner = tracing::error_span!("inner").entered();
        tracing::debug!(number = 8, name = "n", "an event of the test");
    });
}
