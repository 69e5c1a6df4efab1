//! Reading a TOML table of `[package.metadata]` with errors that name the place.

use std::cell::RefCell;
use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value};

use super::ConfigError;

/// Where a value stands: a manifest and a table in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub(crate) manifest: Utf8PathBuf,
    pub(crate) table: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] in {}", self.table, self.manifest)
    }
}

impl Place {
    pub(crate) fn new(manifest: &Utf8Path, table: impl Into<String>) -> Self {
        Self { manifest: manifest.to_owned(), table: table.into() }
    }

    /// An error about `key` of this table.
    pub(crate) fn wrong(&self, key: &str, why: impl fmt::Display) -> ConfigError {
        ConfigError::Value { place: self.clone(), key: key.to_owned(), why: why.to_string() }
    }
}

/// A table that knows which keys were asked for, so that what is left over is an error.
pub(crate) struct Table<'a> {
    map: &'a Map<String, Value>,
    pub(crate) place: Place,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(value: &'a Value, place: Place) -> Result<Self, ConfigError> {
        match value {
            Value::Object(map) => Ok(Self { map, place, known: RefCell::default() }),
            other => Err(ConfigError::NotATable { place, found: kind(other) }),
        }
    }

    fn value(&self, key: &'static str) -> Option<&'a Value> {
        self.known.borrow_mut().push(key);
        self.map.get(key)
    }

    fn wrong_type(&self, key: &str, wanted: &str, found: &Value) -> ConfigError {
        self.place.wrong(key, format_args!("must be {wanted}, not {}", kind(found)))
    }

    pub(crate) fn string(&self, key: &'static str) -> Result<Option<&'a str>, ConfigError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong_type(key, "a string", other)),
        }
    }

    /// A string that is parsed by its type's own rules.
    pub(crate) fn parsed<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        self.string(key)?.map(|text| parse(text).map_err(|why| self.place.wrong(key, why))).transpose()
    }

    pub(crate) fn bool(&self, key: &'static str) -> Result<Option<bool>, ConfigError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(self.wrong_type(key, "true or false", other)),
        }
    }

    pub(crate) fn strings(&self, key: &'static str) -> Result<Vec<String>, ConfigError> {
        Ok(self.strings_if_any(key)?.unwrap_or_default())
    }

    /// As [`Self::strings`], where an empty array says something else than none.
    pub(crate) fn strings_if_any(&self, key: &'static str) -> Result<Option<Vec<String>>, ConfigError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let Value::Array(items) = value else { return Err(self.wrong_type(key, "an array of strings", value)) };
        let one = |item: &Value| match item {
            Value::String(text) => Ok(text.clone()),
            other => Err(self.wrong_type(key, "an array of strings", other)),
        };
        items.iter().map(one).collect::<Result<_, _>>().map(Some)
    }

    /// A table of strings, in the order of its keys.
    pub(crate) fn string_table(&self, key: &'static str) -> Result<Vec<(String, String)>, ConfigError> {
        let Some(value) = self.value(key) else { return Ok(Vec::new()) };
        let Value::Object(map) = value else { return Err(self.wrong_type(key, "a table of strings", value)) };
        let one = |(name, item): (&String, &Value)| match item {
            Value::String(text) => Ok((name.clone(), text.clone())),
            other => Err(self.wrong_type(&format!("{key}.{name}"), "a string", other)),
        };
        map.iter().map(one).collect()
    }

    /// A path relative to the manifest's folder.
    pub(crate) fn path(&self, key: &'static str) -> Result<Option<Utf8PathBuf>, ConfigError> {
        let folder = self.place.manifest.parent().unwrap_or(Utf8Path::new("")).to_owned();
        Ok(self.string(key)?.map(|text| folder.join(text)))
    }

    /// The tables below `key`, with their names.
    pub(crate) fn tables(&self, key: &'static str) -> Result<Vec<(String, Table<'a>)>, ConfigError> {
        let Some(value) = self.value(key) else { return Ok(Vec::new()) };
        let below = |name: &str| Place::new(&self.place.manifest, format!("{}.{name}", self.place.table));
        let Value::Object(map) = value else {
            return Err(ConfigError::NotATable { place: below(key), found: kind(value) });
        };
        map.iter()
            .map(|(name, value)| Ok((name.clone(), Table::new(value, below(&format!("{key}.{name}")))?)))
            .collect()
    }

    /// The table below `key`.
    pub(crate) fn table(&self, key: &'static str) -> Result<Option<Table<'a>>, ConfigError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        Table::new(value, Place::new(&self.place.manifest, format!("{}.{key}", self.place.table))).map(Some)
    }

    /// A key that has to be there is not; or it is misspelled.
    pub(crate) fn missing(&self, key: &'static str, why: &'static str) -> ConfigError {
        let known = self.known.borrow();
        let misspelled = self.map.keys().find_map(|present| {
            let near = closest(present, &known).filter(|near| !self.map.contains_key(*near))?;
            (!known.contains(&present.as_str())).then(|| (present.clone(), near))
        });
        match misspelled {
            Some((key, near)) => {
                ConfigError::UnknownKey { place: self.place.clone(), hint: nearest(&key, [near]), key }
            }
            None => ConfigError::Missing { place: self.place.clone(), key, why },
        }
    }

    /// To be called when every key was asked for: what is left is a mistake.
    pub(crate) fn finish(self) -> Result<(), ConfigError> {
        let known = self.known.into_inner();
        match self.map.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(ConfigError::UnknownKey {
                place: self.place,
                key: key.clone(),
                hint: nearest(key, known.iter().copied()),
            }),
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "a table",
    }
}

/// `; did you mean …?`, or what there is to choose from, or nothing where there is nothing.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match closest(word, &known) {
        Some(candidate) => format!("; did you mean `{candidate}`?"),
        None if known.is_empty() => String::new(),
        None => format!("; there is: {}", known.join(", ")),
    }
}

/// The one that may have been meant, if there is one.
fn closest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().map(|candidate| (strsim::damerau_levenshtein(word, candidate), *candidate));
    let (distance, candidate) = distances.min()?;
    (distance <= 1 + candidate.len().min(word.len()) / 3).then_some(candidate)
}
