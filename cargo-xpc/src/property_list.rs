//! Property lists from files that nobody vouches for.
//!
//! The `plist` crate builds values by recursion and follows every reference of the binary form: a file of a few kilobytes can overflow
//! the stack, or ask for all memory. So each list is first run through without keeping anything, under a limit for both.

use std::cell::Cell;
use std::fmt;

use plist::{Dictionary, Value};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Collections within collections. Real lists stay below ten.
const MAX_DEPTH: usize = 64;
/// What the values of one list may take in memory: a seal of some hundred thousand files fits.
const MAX_MEMORY: usize = 128 << 20;
/// What a value takes besides its text.
const VALUE: usize = 64;

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    static MEMORY: Cell<usize> = const { Cell::new(0) };
}

/// Reads a list of either form, whose root has to be a dictionary. The error is a fragment without the file's name.
pub(crate) fn read(bytes: &[u8]) -> Result<Dictionary, String> {
    DEPTH.set(0);
    MEMORY.set(0);
    plist::from_bytes::<Measured>(bytes).map_err(|error| {
        if DEPTH.get() > MAX_DEPTH {
            format!("it is nested deeper than {MAX_DEPTH} levels")
        } else if MEMORY.get() > MAX_MEMORY {
            "it is too large".to_owned()
        } else {
            error.to_string()
        }
    })?;
    let value = Value::from_reader(std::io::Cursor::new(bytes)).map_err(|error| error.to_string())?;
    value.into_dictionary().ok_or_else(|| "its root is no dictionary".to_owned())
}

/// A value that was looked at and not kept.
struct Measured;

impl<'de> Deserialize<'de> for Measured {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Measure)
    }
}

struct Measure;

fn take<E: Error>(bytes: usize) -> Result<Measured, E> {
    let taken = MEMORY.get().saturating_add(bytes).saturating_add(VALUE);
    MEMORY.set(taken);
    if taken > MAX_MEMORY { Err(E::custom("too large")) } else { Ok(Measured) }
}

fn deeper<R, E: Error>(work: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
    let depth = DEPTH.get() + 1;
    DEPTH.set(depth);
    if depth > MAX_DEPTH {
        return Err(E::custom("too deep"));
    }
    let result = work()?;
    DEPTH.set(depth - 1);
    Ok(result)
}

impl<'de> Visitor<'de> for Measure {
    type Value = Measured;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a property list")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Measured, E> {
        take(0)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Measured, E> {
        take(0)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Measured, E> {
        take(0)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Measured, E> {
        take(0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Measured, E> {
        take(text.len())
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Measured, E> {
        take(bytes.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Measured, A::Error> {
        deeper(|| {
            while values.next_element::<Measured>()?.is_some() {}
            take(0)
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut values: A) -> Result<Measured, A::Error> {
        deeper(|| {
            while values.next_entry::<Measured, Measured>()?.is_some() {}
            take(0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(body: &str) -> Result<Dictionary, String> {
        read(format!("<plist version=\"1.0\"><dict><key>a</key>{body}</dict></plist>").as_bytes())
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let text = "<array><true/><integer>-1</integer><integer>18446744073709551615</integer><real>1.5</real>\
                    <string>ä</string><data>AAEC</data><date>2024-01-02T03:04:05Z</date><dict/></array>";
        assert_eq!(xml(text).unwrap()["a"].as_array().unwrap().len(), 8);
        let mut binary = Vec::new();
        Value::Dictionary(xml(text).unwrap()).to_writer_binary(&mut binary).unwrap();
        assert_eq!(read(&binary).unwrap(), xml(text).unwrap());
    }

    #[test]
    fn a_deep_list_does_not_overflow_the_stack() {
        let deep = |levels: usize| xml(&format!("{}{}", "<array>".repeat(levels), "</array>".repeat(levels)));
        assert!(deep(60).is_ok());
        assert!(deep(300_000).unwrap_err().contains("nested deeper"));
    }

    /// Each of 40 arrays holds the next one twice.
    #[test]
    fn a_list_that_doubles_itself_does_not_fill_the_memory() {
        let mut bomb = b"bplist00".to_vec();
        let mut offsets = Vec::new();
        for level in 0..40_u8 {
            offsets.push(bomb.len() as u16);
            bomb.extend([0xa2, level + 1, level + 1]);
        }
        offsets.push(bomb.len() as u16);
        bomb.push(0x09);
        let table = bomb.len() as u64;
        bomb.extend(offsets.iter().flat_map(|offset| offset.to_be_bytes()));
        bomb.extend([0, 0, 0, 0, 0, 0, 2, 1]);
        for number in [offsets.len() as u64, 0, table] {
            bomb.extend(number.to_be_bytes());
        }
        assert!(read(&bomb).unwrap_err().contains("too large"));
    }
}
