//! Reading `CodeResources`.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use plist::{Dictionary, Value};

use super::code::short;
use super::rules::{KnownRules, Rules};
use crate::property_list;

/// A seal, read.
#[derive(Debug)]
pub(super) struct Seal {
    /// The first version's list: SHA-1 only.
    files: List<OldEntry>,
    /// The second version's list, which is the one that counts.
    files2: List<Entry>,
    /// The second version's rules.
    pub rules2: Arc<Rules>,
}

/// Entries by the names of what they are for.
#[derive(Debug)]
struct List<T>(HashMap<String, Listed<T>>);

#[derive(Debug)]
struct Listed<T> {
    entry: Arc<T>,
    /// Whether somebody asked for it.
    met: AtomicBool,
}

impl<T> List<T> {
    fn parse(values: Dictionary, entry: impl Fn(Value) -> Option<T>) -> Result<Self, String> {
        let listed = values.into_iter().map(|(name, value)| match entry(value) {
            Some(entry) => Ok((name, Listed { entry: Arc::new(entry), met: AtomicBool::new(false) })),
            None => Err(name),
        });
        listed.collect::<Result<_, _>>().map(Self)
    }

    fn meet(&self, name: &str) -> Option<Arc<T>> {
        let listed = self.0.get(name)?;
        listed.met.store(true, Ordering::Relaxed);
        Some(Arc::clone(&listed.entry))
    }

    fn not_met(&self) -> impl Iterator<Item = (&str, &T)> {
        let left = self.0.iter().filter(|(_, listed)| !listed.met.load(Ordering::Relaxed));
        left.map(|(name, listed)| (name.as_str(), &*listed.entry))
    }
}

/// An entry of the first version.
#[derive(Debug)]
pub(super) struct OldEntry {
    pub sha1: Vec<u8>,
    pub optional: bool,
}

/// An entry of the second version.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub sha1: Option<Vec<u8>>,
    pub sha256: Option<Vec<u8>>,
    pub symlink: Option<String>,
    pub cdhash: Option<Vec<u8>>,
    pub requirement: Option<String>,
    pub optional: bool,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.symlink, &self.cdhash, self.sha256.as_ref().or(self.sha1.as_ref())) {
            (Some(target), ..) => write!(f, "a symlink to {target}"),
            (None, Some(cdhash), _) => write!(f, "code {}", short(cdhash)),
            (None, None, Some(hash)) => write!(f, "a file {}", short(hash)),
            (None, None, None) => f.write_str("what no hash is given of"),
        }
    }
}

impl Seal {
    pub(super) fn parse(bytes: &[u8], known: &Mutex<KnownRules>) -> Result<Self, String> {
        let mut root = property_list::read(bytes)?;
        let mut part = |key: &str| root.remove(key).and_then(Value::into_dictionary);
        let rules2 = part("rules2").ok_or("it has no `rules2`: it was made by a system before 10.9.5; sign it anew")?;
        let files2 = part("files2").ok_or("it has no `files2`")?;
        let rules2 = KnownRules::parse(known, &rules2)?;
        let files = List::parse(part("files").unwrap_or_default(), OldEntry::parse)
            .map_err(|name| format!("entry `{name}` of `files`"))?;
        let files2 = List::parse(files2, Entry::parse).map_err(|name| format!("entry `{name}` of `files2`"))?;
        Ok(Self { files, files2, rules2 })
    }

    /// What the lists say of `name`, which then is not missing.
    pub(super) fn meet(&self, name: &str) -> (Option<Arc<Entry>>, Option<Arc<OldEntry>>) {
        (self.files2.meet(name), self.files.meet(name))
    }

    /// Of what nobody met and has to be there, the second version's entries.
    pub(super) fn missing(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.files2.not_met().filter(|(_, entry)| !entry.optional)
    }

    /// As [`Self::missing`], of the first version.
    pub(super) fn old_missing(&self) -> impl Iterator<Item = (&str, &OldEntry)> {
        self.files.not_met().filter(|(_, entry)| !entry.optional)
    }
}

fn data(entry: &mut Dictionary, key: &str) -> Option<Vec<u8>> {
    entry.remove(key)?.into_data()
}

fn is_optional(entry: &Dictionary) -> bool {
    entry.get("optional").and_then(Value::as_boolean) == Some(true)
}

impl OldEntry {
    fn parse(value: Value) -> Option<Self> {
        match value {
            Value::Data(sha1) => Some(Self { sha1, optional: false }),
            Value::Dictionary(mut entry) => {
                Some(Self { optional: is_optional(&entry), sha1: data(&mut entry, "hash")? })
            }
            _ => None,
        }
    }
}

impl Entry {
    fn parse(value: Value) -> Option<Self> {
        match value {
            Value::Data(sha1) => Some(Self { sha1: Some(sha1), ..Self::default() }),
            Value::Dictionary(mut entry) => {
                let string = |entry: &mut Dictionary, key: &str| entry.remove(key)?.into_string();
                Some(Self {
                    sha1: data(&mut entry, "hash"),
                    sha256: data(&mut entry, "hash2"),
                    symlink: string(&mut entry, "symlink"),
                    cdhash: data(&mut entry, "cdhash"),
                    requirement: string(&mut entry, "requirement"),
                    optional: is_optional(&entry),
                })
            }
            _ => None,
        }
    }
}
