//! What is encoded and decoded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, PartialEq)]
pub struct Request {
    operation: String,
    id: u64,
    retries: Option<u32>,
    verbose: bool,
    timeout: f64,
    target: Target,
    arguments: Vec<String>,
}

#[derive(Serialize, Deserialize, PartialEq)]
enum Target {
    Everything,
    Named { name: String, group: i32 },
}

pub fn request() -> Request {
    Request {
        operation: "evaluate".to_owned(),
        id: 4711,
        retries: Some(3),
        verbose: false,
        timeout: 2.5,
        target: Target::Named { name: "com.example.demo.worker".to_owned(), group: -4 },
        arguments: vec!["--all".to_owned(), "--output".to_owned(), "/tmp/result.json".to_owned()],
    }
}

#[derive(Serialize, Deserialize, PartialEq)]
pub struct Records {
    records: Vec<Record>,
}

#[derive(Serialize, Deserialize, PartialEq)]
struct Record {
    name: String,
    size: u64,
    modified: i64,
    mode: u16,
    owner: Option<String>,
    target: Target,
    position: (f64, f64),
    #[serde(with = "serde_bytes")]
    digest: Vec<u8>,
}

pub fn records(count: u64) -> Records {
    let record = |number: u64| Record {
        name: format!("file-{number}.dat"),
        size: number * 977,
        modified: 1_700_000_000 + number as i64,
        mode: 0o644,
        owner: number.is_multiple_of(3).then(|| "somebody".to_owned()),
        target: Target::Everything,
        position: (number as f64 / 3.0, -1.5),
        digest: vec![number as u8; 32],
    };
    Records { records: (0..count).map(record).collect() }
}

#[derive(Serialize, Deserialize, PartialEq)]
pub struct Numbers {
    numbers: Vec<i64>,
}

pub fn numbers(count: i64) -> Numbers {
    Numbers { numbers: (0..count).map(|number| number * number * 7919 - 1_000_000).collect() }
}

pub fn texts(count: usize) -> BTreeMap<String, String> {
    (0..count).map(|number| (format!("key-{number:05}"), format!("the value of number {number}"))).collect()
}

#[derive(Serialize, Deserialize, PartialEq)]
pub struct Blob {
    name: String,
    #[serde(with = "serde_bytes")]
    content: Vec<u8>,
}

pub fn blob(size: usize) -> Blob {
    Blob { name: "blob".to_owned(), content: (0..size).map(|index| (index * 31) as u8).collect() }
}
