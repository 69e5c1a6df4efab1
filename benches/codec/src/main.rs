//! `to_message` and `from_message` beside two other formats that describe themselves, MessagePack (`rmp_serde`, structs as
//! maps) and CBOR (`ciborium`): the same types, interleaved, in one process.

mod cases;

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Result, ensure};
use measure::{ROUNDS, machine, median, time};
use serde::Serialize;
use serde::de::DeserializeOwned;
use xpc_object::{Flavour, from_message, to_message};

/// What one turn takes about.
const TURN: Duration = Duration::from_millis(20);

struct Contender<T> {
    name: &'static str,
    encode: fn(&T) -> Result<Vec<u8>>,
    decode: fn(&[u8]) -> Result<T>,
}

fn contenders<T: Serialize + DeserializeOwned>() -> [Contender<T>; 3] {
    [
        Contender {
            name: "xpc-object",
            encode: |value| Ok(to_message(value, Flavour::Mach)?),
            decode: |bytes| Ok(from_message(bytes)?),
        },
        Contender {
            name: "rmp-serde",
            encode: |value| Ok(rmp_serde::to_vec_named(value)?),
            decode: |bytes| Ok(rmp_serde::from_slice(bytes)?),
        },
        Contender {
            name: "ciborium",
            encode: |value| {
                let mut bytes = Vec::new();
                ciborium::into_writer(value, &mut bytes)?;
                Ok(bytes)
            },
            decode: |bytes| Ok(ciborium::from_reader(bytes)?),
        },
    ]
}

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    println!("{}; {ROUNDS} rounds, interleaved, medians; a ratio above 1: xpc-object is faster\n", machine());
    println!("{:<24} {:<12} {:>8} {:>14} {:>7} {:>14} {:>7}", "", "", "bytes", "encode", "ratio", "decode", "ratio");
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str()));
    let run = |name: &str, measured: &dyn Fn(&str) -> Result<()>| if is_wanted(name) { measured(name) } else { Ok(()) };
    run("small request", &|name| measure_all(name, &cases::request()))?;
    run("100 records", &|name| measure_all(name, &cases::records(100)))?;
    run("10,000 numbers", &|name| measure_all(name, &cases::numbers(10_000)))?;
    run("map of 1,000 texts", &|name| measure_all(name, &cases::texts(1_000)))?;
    run("blob of 64 KiB", &|name| measure_all(name, &cases::blob(64 << 10)))
}

fn measure_all<T: Serialize + DeserializeOwned + PartialEq>(name: &str, value: &T) -> Result<()> {
    let contenders = contenders::<T>();
    let mut encoded = Vec::new();
    for contender in &contenders {
        let bytes = (contender.encode)(value)?;
        ensure!((contender.decode)(&bytes)? == *value, "{} does not read what it wrote", contender.name);
        encoded.push(bytes);
    }
    let mut times = [const { (Vec::new(), Vec::new()) }; 3];
    for _ in 0..ROUNDS {
        for ((contender, bytes), (encoding, decoding)) in contenders.iter().zip(&encoded).zip(&mut times) {
            encoding.push(each(|| (contender.encode)(black_box(value)))?);
            decoding.push(each(|| (contender.decode)(black_box(bytes)))?);
        }
    }
    let times = times.map(|(encoding, decoding)| (median(encoding), median(decoding)));
    let (encoding, decoding) = times[0];
    let ratio = |theirs: Duration, ours: Duration| theirs.as_secs_f64() / ours.as_secs_f64();
    for ((contender, bytes), (theirs, read)) in contenders.iter().zip(&encoded).zip(times) {
        println!(
            "{name:<24} {:<12} {:>8} {:>11} ns {:>6.2}× {:>11} ns {:>6.2}×",
            contender.name,
            bytes.len(),
            theirs.as_nanos(),
            ratio(theirs, encoding),
            read.as_nanos(),
            ratio(read, decoding),
        );
    }
    Ok(())
}

/// How long one call takes, as the mean of as many as fill a turn.
fn each<T>(work: impl Fn() -> Result<T>) -> Result<Duration> {
    let mut calls = 1;
    loop {
        let (took, ()) = time(|| (0..calls).try_for_each(|_| work().map(|done| drop(black_box(done)))))?;
        if took >= TURN {
            return Ok(took / calls);
        }
        calls *= 2;
    }
}
