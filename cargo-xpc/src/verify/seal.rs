//! Reading `CodeResources`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use plist::{Dictionary, Value};

use super::code::short;
use super::rules::{KnownRules, Rules};
use crate::property_list;

/// A seal, read.
#[derive(Debug)]
pub(super) struct Seal {
    /// The first version's list: SHA-1 only.
    pub files: BTreeMap<String, OldEntry>,
    /// The second version's list, which is the one that counts.
    pub files2: BTreeMap<String, Entry>,
    /// The second version's rules.
    pub rules2: Arc<Rules>,
}

/// An entry of the first version.
#[derive(Debug)]
pub(super) struct OldEntry {
    pub sha1: Vec<u8>,
    pub optional: bool,
}

/// An entry of the second version.
#[derive(Clone, Debug, Default)]
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
        let root = property_list::read(bytes)?;
        let part = |key: &str| root.get(key).and_then(Value::as_dictionary);
        let rules2 = part("rules2").ok_or("it has no `rules2`: it was made by a system before 10.9.5; sign it anew")?;
        let files2 = part("files2").ok_or("it has no `files2`")?;
        let mut seal =
            Self { files: BTreeMap::new(), files2: BTreeMap::new(), rules2: KnownRules::parse(known, rules2)? };
        for (name, value) in part("files").into_iter().flatten() {
            seal.files
                .insert(name.clone(), OldEntry::parse(value).ok_or_else(|| format!("entry `{name}` of `files`"))?);
        }
        for (name, value) in files2 {
            seal.files2.insert(name.clone(), Entry::parse(value).ok_or_else(|| format!("entry `{name}` of `files2`"))?);
        }
        Ok(seal)
    }

    /// What the lists say of `name`, which is then no longer in them: what stays to the end was not met.
    pub(super) fn take(&mut self, name: &str) -> (Option<Entry>, Option<OldEntry>) {
        (self.files2.remove(name), self.files.remove(name))
    }
}

fn data(entry: &Dictionary, key: &str) -> Option<Vec<u8>> {
    entry.get(key)?.as_data().map(<[u8]>::to_vec)
}

fn is_optional(entry: &Dictionary) -> bool {
    entry.get("optional").and_then(Value::as_boolean) == Some(true)
}

impl OldEntry {
    fn parse(value: &Value) -> Option<Self> {
        match value {
            Value::Data(sha1) => Some(Self { sha1: sha1.clone(), optional: false }),
            Value::Dictionary(entry) => Some(Self { sha1: data(entry, "hash")?, optional: is_optional(entry) }),
            _ => None,
        }
    }
}

impl Entry {
    fn parse(value: &Value) -> Option<Self> {
        match value {
            Value::Data(sha1) => Some(Self { sha1: Some(sha1.clone()), ..Self::default() }),
            Value::Dictionary(entry) => {
                let string = |key: &str| entry.get(key)?.as_string().map(str::to_owned);
                Some(Self {
                    sha1: data(entry, "hash"),
                    sha256: data(entry, "hash2"),
                    symlink: string("symlink"),
                    cdhash: data(entry, "cdhash"),
                    requirement: string("requirement"),
                    optional: is_optional(entry),
                })
            }
            _ => None,
        }
    }
}
