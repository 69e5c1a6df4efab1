//! Property lists from files that nobody vouches for.
//!
//! The `plist` crate builds values by recursion and follows every reference of the binary form: a file of a few kilobytes can overflow
//! the stack, or ask for all memory. So each list is first run through without keeping anything, under a limit for both; but for the plain
//! ones, which are read here.

mod plain;

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
    static KEYS: Cell<usize> = const { Cell::new(0) };
}

/// Reads a list of either form, whose root has to be a dictionary. The error is a fragment without the file's name.
pub(crate) fn read(bytes: &[u8]) -> Result<Dictionary, String> {
    if let Some(plain) = plain::read(bytes) {
        return Ok(plain);
    }
    if has_impossible_date(bytes) {
        return Err("it has a date outside of the years 1 to 9999".to_owned());
    }
    if let Some(what) = lost_in_xml(bytes) {
        return Err(format!(
            "it has {what}, which property lists cannot rely on: `plutil -convert xml1` writes it anew"
        ));
    }
    let keys = measure(bytes)?;
    let value = Value::from_reader(std::io::Cursor::new(bytes)).map_err(|error| error.to_string())?;
    // Which of two would count depends on who reads.
    if keys != count_keys(&value) {
        return Err("it has a key twice in one dictionary".to_owned());
    }
    value.into_dictionary().ok_or_else(|| "its root is no dictionary".to_owned())
}

/// In all dictionaries of a value, which is not too deep.
fn count_keys(value: &Value) -> usize {
    match value {
        Value::Dictionary(inner) => inner.len() + inner.values().map(count_keys).sum::<usize>(),
        Value::Array(values) => values.iter().map(count_keys).sum(),
        _ => 0,
    }
}

/// Runs through a list without keeping anything, and counts its keys.
fn measure(bytes: &[u8]) -> Result<usize, String> {
    DEPTH.set(0);
    MEMORY.set(0);
    KEYS.set(0);
    let measured = plist::from_bytes::<Measured>(bytes).map_err(|error| {
        if DEPTH.get() > MAX_DEPTH {
            format!("it is nested deeper than {MAX_DEPTH} levels")
        } else if MEMORY.get() > MAX_MEMORY {
            "it is too large".to_owned()
        } else {
            error.to_string()
        }
    });
    measured.map(|Measured| KEYS.get())
}

/// Seconds from 1 January 2001, from which the binary form counts, back to the year 1 and on to the year 10000.
const DATES: std::ops::Range<f64> = -63_113_904_000.0..252_423_993_600.0;

/// The crate panics where it prints a date that has no four-digit year, and it prints those of the binary form to hand them on.
/// So the dates are looked for in the table of objects, at the end of the file. What is wrong with the table itself the
/// crate says.
fn has_impossible_date(bytes: &[u8]) -> bool {
    /// Marks an object that is a date: eight bytes follow.
    const DATE: u8 = 0x33;
    let Some(trailer) = bytes.last_chunk::<32>().filter(|_| bytes.starts_with(b"bplist")) else { return false };
    let [_, _, _, _, _, _, width, _, number @ ..] = trailer;
    let number = |at: usize| number.get(at..at + 8)?.iter().try_fold(0_usize, |value, byte| append(value, *byte));
    let (Some(count), Some(table)) = (number(0), number(16)) else { return false };
    let entries = bytes.get(table..).unwrap_or_default().chunks_exact(usize::from(*width).max(1)).take(count);
    let offsets = entries.filter_map(|entry| entry.iter().try_fold(0_usize, |value, byte| append(value, *byte)));
    let mut dates = offsets.filter_map(|offset| match bytes.get(offset..)? {
        [DATE, seconds @ ..] => seconds.first_chunk().map(|seconds| f64::from_be_bytes(*seconds)),
        _ => None,
    });
    dates.any(|seconds| !DATES.contains(&seconds))
}

/// The crate takes sections of CDATA, and entities that are not XML's own, for nothing, and would read another text than macOS does. So both
/// are looked for in what is XML, but for its comments.
fn lost_in_xml(bytes: &[u8]) -> Option<&'static str> {
    const KNOWN: [&[u8]; 5] = [b"lt", b"gt", b"amp", b"quot", b"apos"];
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let mut rest = text.starts_with(b"<").then_some(text)?;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'<' | b'&')) {
        rest = rest.get(at..)?;
        if let Some(comment) = rest.strip_prefix(b"<!--") {
            let end = comment.windows(3).position(|end| end == b"-->")?;
            rest = comment.get(end..)?;
        } else if rest.starts_with(b"<![CDATA[") {
            return Some("a section of CDATA");
        } else if let Some(reference) = rest.strip_prefix(b"&") {
            let name = reference.split(|byte| *byte == b';').next()?;
            if !name.starts_with(b"#") && !KNOWN.contains(&name) {
                return Some("an entity of its own");
            }
        }
        rest = rest.get(1..)?;
    }
    None
}

/// One more byte of a big-endian number.
fn append(value: usize, byte: u8) -> Option<usize> {
    value.checked_mul(256)?.checked_add(byte.into())
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
            while values.next_entry::<Measured, Measured>()?.is_some() {
                KEYS.set(KEYS.get() + 1);
            }
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

    #[test]
    fn a_date_beyond_all_years_made_the_reader_panic() {
        let list = |seconds: f64| {
            let mut list = b"bplist00\xd1\x01\x02\x51a\x33".to_vec();
            list.extend(seconds.to_be_bytes());
            let table = list.len() as u64;
            list.extend([8, 11, 13, 0, 0, 0, 0, 0, 0, 1, 1]);
            for number in [3, 0, table] {
                list.extend(number.to_be_bytes());
            }
            read(&list)
        };
        for seconds in [0.0, -1.5, DATES.start, DATES.end - 1.0] {
            assert!(list(seconds).unwrap()["a"].as_date().is_some(), "{seconds}");
        }
        for seconds in [DATES.start - 1.0, DATES.end, 1e18, -1e300, f64::INFINITY, f64::NAN] {
            assert!(list(seconds).unwrap_err().contains("date"), "{seconds}");
        }
    }

    #[test]
    fn text_that_the_reader_would_drop_is_refused() {
        assert_eq!(xml("<string>&lt;&#x41;&amp;<!-- & <![CDATA[ -->&quot;</string>").unwrap()["a"], "<A&\"".into());
        assert!(xml("<string><![CDATA[text]]></string>").unwrap_err().contains("CDATA"));
        for entity in ["&text;", "&lt &gt;", "&", "&l;t;"] {
            assert!(xml(&format!("<string>{entity}</string>")).unwrap_err().contains("an entity"), "{entity}");
        }
        // What is no XML knows neither.
        assert_eq!(read(b"{ a = \"&text;\"; }").unwrap()["a"], "&text;".into());
    }

    #[test]
    fn what_is_plain_is_read_here_and_nothing_beyond_the_limits() {
        let list = |body: &str| {
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\"><dict><key>a</key>{body}</dict></plist>"
            )
        };
        let deep =
            |open: &str, close: &str, levels: usize| list(&format!("{}{}", open.repeat(levels), close.repeat(levels)));
        for (list, is_plain) in [
            (list("<array><true/><dict/><array/><data>AAEC</data></array>"), true),
            (deep("<array>", "</array>", MAX_DEPTH - 1), true),
            (deep("<array>", "</array>", MAX_DEPTH), false),
            // None of these closes an array.
            (deep("<array><!--</array>-->", "</array>", 100_000), false),
            (deep("<array><?a </array>?>", "</array>", 100_000), false),
            (deep("<array></dict>", "</array>", 100_000), false),
            (deep("<array ><array>", "</array></array>", 100_000), false),
            (deep("<array a=\"/>\">", "</array>", 100_000), false),
            (list(&"<true/>".repeat(MAX_MEMORY / VALUE)), false),
        ] {
            assert_eq!(plain::read(list.as_bytes()).is_some(), is_plain, "{}", &list[..100]);
            assert!(!is_plain || measure(list.as_bytes()).is_ok(), "{}", &list[..100]);
            assert!(is_plain || read(list.as_bytes()).is_err());
        }
    }

    #[test]
    fn of_two_equal_keys_the_last_one_was_taken() {
        let start = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\">";
        for body in ["<key>b</key>", "<key/>", "<key>&#98;</key>", "<key >b</key>", "<!-- --><key>b</key>"] {
            for start in [start, "<plist version=\"1.0\">"] {
                let list =
                    |more: &str| format!("{start}<dict><key>a</key><dict>{body}<true/>{more}</dict></dict></plist>");
                assert!(read(list("").as_bytes()).is_ok(), "{body}");
                let name = if body == "<key/>" { body } else { "<key>b</key>" };
                let twice = list(&format!("{name}<false/>"));
                assert!(read(twice.as_bytes()).unwrap_err().contains("twice"), "{twice}");
            }
        }
        // Two references to one string.
        let mut binary = b"bplist00\xd2\x01\x01\x02\x03\x51a\x09\x08".to_vec();
        binary.extend([8, 13, 15, 16, 0, 0, 0, 0, 0, 0, 1, 1]);
        for number in [4_u64, 0, 17] {
            binary.extend(number.to_be_bytes());
        }
        assert!(read(&binary).unwrap_err().contains("twice"));
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
