//! What the user has told another bundler already: cargo-bundle, cargo-packager, Tauri.

use std::cell::OnceCell;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use super::names::BundleName;
use super::table::Place;
use super::{BundleId, ConfigError, Program, SystemVersion};

/// What another tool was told, with the names of its keys. Each key is read when it is asked for, which is when ours is
/// not there: what is wrong in a key that nobody needs is that tool's business.
#[derive(Debug)]
pub(super) struct Elsewhere<'a> {
    table: Table<'a>,
    place: Place,
    folder: &'a Utf8Path,
    name: &'static [&'static str],
    icons: &'static [&'static str],
    minimum: &'static [&'static str],
}

/// Where the values are.
#[derive(Debug)]
enum Table<'a> {
    /// No other tool is in use.
    None,
    /// In the package's metadata.
    Metadata(&'a Value),
    /// In a file of Tauri's.
    File(Utf8PathBuf, OnceCell<Value>),
}

impl<'a> Elsewhere<'a> {
    /// The first that is there: Tauri's file, `[package.metadata.packager]`, `[package.metadata.bundle]`.
    pub(super) fn of(program: &'a Program, metadata: &'a Value) -> Self {
        let folder = program.folder();
        let place = |name: &str| Place::new(&program.manifest, format!("package.metadata.{name}"));
        if let Some(path) = tauri_file(folder) {
            return Self {
                place: Place::new(&path, "bundle"),
                table: Table::File(path, OnceCell::new()),
                folder,
                name: &["productName"],
                icons: &["bundle", "icon"],
                minimum: &["bundle", "macOS", "minimumSystemVersion"],
            };
        }
        if let Some(value) = metadata.get("packager") {
            return Self {
                place: place("packager"),
                table: Table::Metadata(value),
                folder,
                name: &["product-name"],
                icons: &["icons"],
                minimum: &["macos", "minimum-system-version"],
            };
        }
        // cargo-bundle describes a program of several in a table of its own.
        let whole = metadata.get("bundle");
        let own = whole.and_then(|value| value.get("bin")?.get(&program.bin));
        let name = if own.is_some() { format!("bundle.bin.{}", program.bin) } else { "bundle".to_owned() };
        Self {
            place: place(&name),
            table: own.or(whole).map_or(Table::None, Table::Metadata),
            folder,
            name: &["name"],
            icons: &["icon"],
            minimum: &["osx_minimum_system_version"],
        }
    }

    pub(super) fn identifier(&self) -> Result<Option<BundleId>, ConfigError> {
        self.parsed(&["identifier"], |text| BundleId::new(text).map_err(|e| e.to_string()))
    }

    pub(super) fn name(&self) -> Result<Option<BundleName>, ConfigError> {
        self.parsed(self.name, BundleName::parse)
    }

    /// The first `.icns` of the list that is there.
    pub(super) fn icon(&self) -> Result<Option<Utf8PathBuf>, ConfigError> {
        let icons = self.at(self.icons)?.and_then(Value::as_array).into_iter().flatten();
        let icns = icons.filter_map(Value::as_str).find(|path| path.ends_with(".icns"));
        Ok(icns.map(|path| self.folder.join(path)).filter(|path| path.is_file()))
    }

    pub(super) fn minimum_system_version(&self) -> Result<Option<SystemVersion>, ConfigError> {
        self.parsed(self.minimum, SystemVersion::parse)
    }

    /// Tauri's file, where there is one.
    pub(super) fn tauri(&self) -> Option<Utf8PathBuf> {
        if let Table::File(path, _) = &self.table { Some(path.clone()) } else { None }
    }

    fn at(&self, path: &[&str]) -> Result<Option<&Value>, ConfigError> {
        let table = match &self.table {
            Table::None => return Ok(None),
            Table::Metadata(value) => *value,
            Table::File(file, value) => match value.get() {
                Some(value) => value,
                None => {
                    let read = read(file)?;
                    value.get_or_init(|| read)
                }
            },
        };
        Ok(path.iter().try_fold(table, |value, key| value.get(key)))
    }

    /// A text that is there; what is there and no text is the other tool's to complain of.
    fn parsed<T>(&self, path: &[&str], parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.at(path)?.and_then(Value::as_str) else { return Ok(None) };
        parse(text).map(Some).map_err(|why| self.place.wrong(&path.join("."), why))
    }
}

/// `tauri.conf.json`, `tauri.conf.json5` or `Tauri.toml`, beside the manifest, as Tauri looks for them.
fn tauri_file(folder: &Utf8Path) -> Option<Utf8PathBuf> {
    let names = ["tauri.conf.json", "tauri.conf.json5", "Tauri.toml"];
    names.into_iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

fn read(path: &Utf8Path) -> Result<Value, ConfigError> {
    let wrong = |why: String| ConfigError::Foreign { path: path.to_owned(), why };
    let text = fs_err::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    if path.extension() == Some("toml") {
        toml_edit::de::from_str(&text).map_err(|e| wrong(e.to_string()))
    } else {
        // JSON is JSON5 too, and people do put comments into the former.
        json5::from_str(&text).map_err(|e| wrong(e.to_string()))
    }
}
