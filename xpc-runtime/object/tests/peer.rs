//! The encoding against another implementation, in both directions: `pymobiledevice3`, which speaks RemoteXPC with
//! devices of Apple's.

mod values;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;
use values::objects;
use xpc_object::{Object, decode_value, encode_value};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// What `peer.py` makes the value from: JSON, in which text and bytes are hexadecimal digits.
fn describe(value: &Object) -> String {
    let list = |values: Vec<String>| format!("[{}]", values.join(","));
    let (kind, value) = match value {
        Object::Null => ("NULL", "null".to_owned()),
        Object::Bool(value) => ("BOOL", u8::from(*value).to_string()),
        Object::Int64(value) => ("INT64", value.to_string()),
        Object::Uint64(value) => ("UINT64", value.to_string()),
        Object::Double(value) => ("DOUBLE", value.to_bits().to_string()),
        Object::Date(value) => ("DATE", value.nanoseconds().to_string()),
        Object::Data(value) => ("DATA", format!("{:?}", hex(value))),
        Object::String(value) => ("STRING", format!("{:?}", hex(value.as_bytes()))),
        Object::Uuid(value) => ("UUID", format!("{:?}", hex(value.as_bytes()))),
        Object::Array(value) => ("ARRAY", list(value.iter().map(describe).collect())),
        Object::Dictionary(value) => {
            let pair = |(key, value): (&str, &Object)| format!("[{:?},{}]", hex(key.as_bytes()), describe(value));
            ("DICTIONARY", list(value.iter().map(pair).collect()))
        }
        other => panic!("the peer has no {other:?}"),
    };
    format!("[{kind:?},{value}]")
}

/// The peer's encodings of these values, once it has read ours.
fn ask(values: &[Object]) -> Result<Vec<Vec<u8>>, String> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR"));
    let venv = std::env::var_os("CARGO_XPC_TEST_VENV");
    let venv = venv.map_or_else(|| beside.join("../../target/xtask/venv"), Into::into);
    let python = venv.join("bin/python");
    let mut peer = Command::new(&python)
        .arg(beside.join("tests/peer.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot run `{}`: {e}; `cargo xtask setup` installs it", python.display()))?;
    let lines: String =
        values.iter().map(|value| format!("{}\t{}\n", describe(value), hex(&encode_value(value).unwrap()))).collect();
    let mut input = peer.stdin.take().unwrap();
    // Both pipes would fill otherwise, and both sides wait for ever. A peer that has ended says why on its own.
    let writer = thread::spawn(move || drop(input.write_all(lines.as_bytes())));
    let output = peer.wait_with_output().map_err(|e| e.to_string())?;
    writer.join().unwrap();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{said}(where a module is missing, `cargo xtask setup` installs it)"));
    }
    Ok(String::from_utf8(output.stdout).unwrap().lines().map(unhex).collect())
}

proptest! {
    // A peer that is missing is no input to keep.
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn pymobiledevice3_reads_what_we_write_and_writes_what_we_read(values in vec(objects(), 100)) {
        let theirs = ask(&values).map_err(TestCaseError::fail)?;
        prop_assert_eq!(theirs.len(), values.len());
        for (encoded, value) in theirs.into_iter().zip(&values) {
            prop_assert_eq!(&encoded, &encode_value(value).unwrap());
            prop_assert_eq!(&decode_value(&encoded.into()).unwrap(), value);
        }
    }
}
