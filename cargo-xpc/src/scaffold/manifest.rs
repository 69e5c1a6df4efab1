//! Edits of the user's manifests: what is added looks like what stands around it, and nothing else moves.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use toml_edit::{Array, Decor, DocumentMut, Item, RawString, Table, TableLike, Value};

use super::ScaffoldError;
use super::place::is_excluded;
use super::plan::Edit;

/// A manifest that is being edited in memory.
#[derive(Debug)]
pub(super) struct Manifest {
    path: Utf8PathBuf,
    before: String,
    document: DocumentMut,
    changes: Vec<String>,
    /// Headers of tables that were added.
    headers: Vec<String>,
}

const BYTE_ORDER_MARK: char = '\u{feff}';

impl Manifest {
    pub fn new(path: &Utf8Path, text: String) -> Result<Self, ScaffoldError> {
        let document = parse(path, &text)?;
        Ok(Self { path: path.to_owned(), before: text, document, changes: Vec::new(), headers: Vec::new() })
    }

    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// What stands under `keys`.
    pub fn at(&self, keys: &[&str]) -> Option<&Item> {
        at(self.document.as_item(), keys)
    }

    /// Adds the folder to `[workspace] members`, where no entry covers it.
    pub fn add_member(&mut self, folder: &Utf8Path) -> Result<(), ScaffoldError> {
        let root = self.path.parent().unwrap_or(Utf8Path::new("/")).to_owned();
        let relative = relative(&root, folder);
        if self.is_member(&root, folder) {
            return Ok(());
        }
        let path = self.path.clone();
        push(&path, self.table(&["workspace"])?, "members", relative.as_str())?;
        self.changes.push(format!("add `{relative}` to [workspace] members"));
        Ok(())
    }

    fn is_member(&self, root: &Utf8Path, folder: &Utf8Path) -> bool {
        let exact = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
        let members = self.at(&["workspace", "members"]).and_then(Item::as_array);
        members.into_iter().flatten().filter_map(Value::as_str).any(|entry| {
            let entry = normal(Utf8Path::new(entry));
            let relative = folder.strip_prefix(root).unwrap_or(folder);
            let by_pattern = || {
                glob::Pattern::new(entry.as_str()).is_ok_and(|pattern| pattern.matches_with(relative.as_str(), exact))
                    && !is_excluded(&self.document, root, folder)
            };
            entry == relative || by_pattern()
        })
    }

    /// Adds `service` to the app's list; `identifier` is written where the app has no table yet.
    pub fn add_service(&mut self, app: &str, service: &str, identifier: &str) -> Result<(), ScaffoldError> {
        let keys = ["package", "metadata", "xpc", "app", app];
        let is_new = self.at(&keys).is_none();
        if is_new {
            insert(self.table(&keys)?, "identifier", toml_edit::value(identifier));
            self.changes.push(format!("describe `{app}` as an app, with the identifier `{identifier}`"));
        }
        // Someone may have listed it before making it.
        let listed = self.at(&keys).and_then(|app| app.get("services")).and_then(Item::as_array);
        let is_it = |entry: &str| entry == service || entry == format!("{service}/{service}");
        if listed.into_iter().flatten().filter_map(Value::as_str).any(is_it) {
            return Ok(());
        }
        let path = self.path.clone();
        push(&path, self.table(&keys)?, "services", service)?;
        self.changes.push(format!("add `{service}` to the services of `{app}`"));
        Ok(())
    }

    /// Adds a dependency; `value` is TOML. One that is there already stays as it is.
    pub fn add_dependency(&mut self, name: &str, value: &Value) -> Result<(), ScaffoldError> {
        if self.at(&["dependencies", name]).is_some() {
            return Ok(());
        }
        let table = self.table(&["dependencies"])?;
        let is_sorted = |table: &dyn TableLike| table.iter().map(|(key, _)| key).is_sorted();
        let was_sorted = table.as_table_like().is_some_and(is_sorted);
        insert(table, name, Item::Value(value.clone()));
        if let Some(table) = table.as_table_like_mut().filter(|_| was_sorted) {
            table.sort_values();
        }
        self.changes.push(format!("add the dependency `{name} = {}`", value.to_string().trim()));
        Ok(())
    }

    /// The edit that was made, if any.
    pub fn finish(mut self) -> Option<Edit> {
        let end = text(Some(self.document.trailing()));
        self.document.set_trailing("");
        let mut after = self.document.to_string();
        after.insert_str(self.end_of_old(&after), &end);
        // toml_edit ends its own lines with `\n` and drops the mark.
        if self.before.contains("\r\n") {
            after = after.replace("\r\n", "\n").replace('\n', "\r\n");
        }
        if self.before.starts_with(BYTE_ORDER_MARK) && !after.starts_with(BYTE_ORDER_MARK) {
            after.insert(0, BYTE_ORDER_MARK);
        }
        let edited = !self.changes.is_empty();
        edited.then_some(Edit { path: self.path, changes: self.changes, before: self.before, after })
    }

    /// Where the text that ended the document belongs: before the tables that now stand last.
    fn end_of_old(&self, after: &str) -> usize {
        let mut end = after.len();
        while let Some(at) = after[..end].rfind("\n[") {
            let header = after[at + 1..].lines().next().unwrap_or_default();
            if !self.headers.iter().any(|added| added == header) {
                break;
            }
            end = at;
        }
        end
    }

    /// The table under `keys`, however it is written: `[a.b]`, `a = { b = … }` or `a.b.c = …`. Made where it is missing.
    fn table(&mut self, keys: &[&str]) -> Result<&mut Item, ScaffoldError> {
        let mut item = self.document.as_item_mut();
        for (depth, key) in keys.iter().enumerate() {
            if item.get(key).is_none() {
                let is_last = depth + 1 == keys.len();
                insert(item, key, new_table(!is_last));
                if is_last {
                    self.headers.push(format!("[{}]", keys.join(".")));
                }
            }
            item = item.get_mut(key).filter(|item| item.is_table_like()).ok_or_else(|| ScaffoldError::BadManifest {
                path: self.path.clone(),
                why: format!("`{}` is not a table", keys[..=depth].join(".")),
            })?;
        }
        Ok(item)
    }
}

/// Reads a manifest.
pub(super) fn parse(path: &Utf8Path, text: &str) -> Result<DocumentMut, ScaffoldError> {
    text.parse().map_err(|error: toml_edit::TomlError| ScaffoldError::BadManifest {
        path: path.to_owned(),
        why: error.to_string().trim_end().to_owned(),
    })
}

/// What stands under `keys`, however the tables on the way are written.
pub(super) fn at<'a>(item: &'a Item, keys: &[&str]) -> Option<&'a Item> {
    keys.iter().try_fold(item, |item, key| item.as_table_like()?.get(key))
}

/// `path` without `.` and, where it can be seen, without `..`.
pub(super) fn normal(path: &Utf8Path) -> Utf8PathBuf {
    let mut normal = Utf8PathBuf::new();
    for part in path.components() {
        match part {
            Utf8Component::CurDir => {}
            Utf8Component::ParentDir if normal.file_name().is_some() => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

/// The way from one folder to another; both absolute and normal.
pub(super) fn relative(from: &Utf8Path, to: &Utf8Path) -> Utf8PathBuf {
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| Utf8Component::ParentDir);
    up.chain(to.components().skip(common)).collect()
}

/// A table in a document's own style: with a header, unless it only leads to another.
fn new_table(implicit: bool) -> Item {
    let mut table = Table::new();
    table.set_implicit(implicit);
    Item::Table(table)
}

/// Appends to the array under `key`, which is made where it is missing.
fn push(path: &Utf8Path, table: &mut Item, key: &str, entry: &str) -> Result<(), ScaffoldError> {
    if table.get(key).is_none() {
        insert(table, key, Item::Value(Value::Array(Array::from_iter([entry]))));
        return Ok(());
    }
    let array = table
        .get_mut(key)
        .and_then(Item::as_array_mut)
        .ok_or_else(|| ScaffoldError::BadManifest { path: path.to_owned(), why: format!("`{key}` is not an array") })?;
    push_in_style(array, entry);
    Ok(())
}

/// Inserts into a table of any kind.
fn insert(table: &mut Item, key: &str, mut item: Item) {
    if let Item::Value(Value::InlineTable(inline)) = table {
        // The blank before the brace is the last value's: it stays before the brace.
        if let Some((_, last)) = inline.iter_mut().last() {
            let blank = text(last.decor().suffix());
            last.decor_mut().set_suffix("");
            item = item.into_value().map_or_else(
                |item| item,
                |mut value| {
                    *value.decor_mut() = Decor::new(" ", blank);
                    Item::Value(value)
                },
            );
        }
    }
    if let Some(table) = table.as_table_like_mut() {
        table.insert(key, item);
    }
}

/// Appends the way the array is written: one line or several, with a last comma or without, comments kept by their entries.
fn push_in_style(array: &mut Array, entry: &str) {
    // Between the last entry, or its comma, and the bracket.
    let tail = match array.iter().last() {
        Some(last) if !array.trailing_comma() => text(last.decor().suffix()) + &text(Some(array.trailing())),
        _ => text(Some(array.trailing())),
    };
    let is_empty = array.is_empty();
    let (before, after) = match tail.rsplit_once('\n') {
        Some((above, closing)) => {
            let indent = indent(array, above).unwrap_or_else(|| format!("{closing}    "));
            (format!("{above}\n{indent}"), format!("\n{closing}"))
        }
        None if is_empty => (String::new(), String::new()),
        None => (" ".to_owned(), tail.clone()),
    };
    if let Some(last) = array.iter_mut().last() {
        last.decor_mut().set_suffix("");
    }
    let comma = array.trailing_comma() || (is_empty && tail.contains('\n'));
    let (inside, outside) = if comma { ("", after.as_str()) } else { (after.as_str(), "") };
    array.push_formatted(Value::from(entry).decorated(before, inside));
    array.set_trailing(outside);
    array.set_trailing_comma(comma);
}

/// The blanks before the last entry that begins a line, or before the last comment that stands `above` the bracket.
fn indent(array: &Array, above: &str) -> Option<String> {
    let entries = array.iter().map(|value| text(value.decor().prefix())).filter(|prefix| prefix.contains('\n'));
    let line = |text: &str| text.rsplit_once('\n').map(|(_, line)| line.to_owned());
    let line = entries.last().as_deref().or(Some(above)).and_then(line)?;
    Some(line.chars().take_while(|c| matches!(c, ' ' | '\t')).collect())
}

fn text(raw: Option<&RawString>) -> String {
    raw.and_then(RawString::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(before: &str, edit: impl FnOnce(&mut Manifest) -> Result<(), ScaffoldError>) -> String {
        let mut manifest = Manifest::new(Utf8Path::new("/ws/Cargo.toml"), before.to_owned()).unwrap();
        edit(&mut manifest).unwrap();
        let after = manifest.finish().map_or_else(|| before.to_owned(), |edit| edit.after);
        after.trim_start_matches(BYTE_ORDER_MARK).parse::<DocumentMut>().expect(&after);
        after
    }

    fn member(before: &str, folder: &str) -> String {
        edited(before, |manifest| manifest.add_member(&Utf8Path::new("/ws").join(folder)))
    }

    fn service(before: &str) -> String {
        edited(before, |manifest| manifest.add_service("demo", "new", "com.example.demo"))
    }

    #[test]
    fn arrays_keep_their_style() {
        for (before, after) in [
            ("[]", r#"["new"]"#),
            ("[ ]", r#"["new"]"#),
            (r#"["a"]"#, r#"["a", "new"]"#),
            (r#"["a",]"#, r#"["a", "new",]"#),
            (r#"[ "a", "b" ]"#, r#"[ "a", "b", "new" ]"#),
            (r#"[ 'a', ]"#, r#"[ 'a', "new", ]"#),
            (r#"["a"] # all"#, r#"["a", "new"] # all"#),
            ("[\n]", "[\n    \"new\",\n]"),
            ("[\n  # none yet\n]", "[\n  # none yet\n  \"new\",\n]"),
            ("[ # none yet\n]", "[ # none yet\n    \"new\",\n]"),
            ("[\n  \"a\",\n]", "[\n  \"a\",\n  \"new\",\n]"),
            ("[\n\t\"a\"\n]", "[\n\t\"a\",\n\t\"new\"\n]"),
            ("[\n    \"a\", # first\n]", "[\n    \"a\", # first\n    \"new\",\n]"),
            ("[\n    \"a\" # last\n]", "[\n    \"a\", # last\n    \"new\"\n]"),
            ("[\n    # above\n    \"a\",\n    # below\n]", "[\n    # above\n    \"a\",\n    # below\n    \"new\",\n]"),
            ("[\"a\",\n           \"b\"]", "[\"a\",\n           \"b\", \"new\"]"),
        ] {
            let wrap =
                |array: &str| format!("# top\n[workspace]\nmembers = {array}\n\n[profile.dev]\ndebug = 1 # why\n");
            assert_eq!(member(&wrap(before), "new"), wrap(after));
        }
    }

    #[test]
    fn a_member_that_is_covered_is_not_added() {
        for covered in [r#"["*"]"#, r#"["crates/*"]"#, r#"["./crates/new"]"#, r#"["crates/new/"]"#, r#"["**"]"#] {
            let folder = if covered == r#"["*"]"# { "new" } else { "crates/new" };
            let before = format!("[workspace]\nmembers = {covered}\n");
            assert_eq!(member(&before, folder), before);
        }
        let not = "[workspace]\nmembers = [\"*\"]\n";
        assert!(member(not, "crates/new").contains("\"crates/new\""), "`*` does not cross folders");
        let excluded = "[workspace]\nmembers = [\"crates/*\"]\nexclude = [\"crates/new\"]\n";
        assert!(member(excluded, "crates/new").contains("members = [\"crates/*\", \"crates/new\"]"));
    }

    #[test]
    fn members_are_made_where_there_are_none() {
        assert_eq!(
            member("[workspace]\n\n[package]\nname = \"a\"\n", "new"),
            "[workspace]\nmembers = [\"new\"]\n\n[package]\nname = \"a\"\n"
        );
    }

    #[test]
    fn services_are_added_in_every_spelling_of_the_table() {
        for (before, after) in [
            (
                "[package.metadata.xpc.app.demo] # the app\nidentifier = \"x.y\" # id\nservices = [\"a\"] # list\n",
                "[package.metadata.xpc.app.demo] # the app\nidentifier = \"x.y\" # id\nservices = [\"a\", \"new\"] # list\n",
            ),
            (
                "[package.metadata.xpc.app.demo]\nidentifier = \"x.y\"   # id\n\n[other]\n",
                "[package.metadata.xpc.app.demo]\nidentifier = \"x.y\"   # id\nservices = [\"new\"]\n\n[other]\n",
            ),
            (
                "[package.metadata.xpc.app]\ndemo = { identifier = \"x.y\", services = [\"a\"] }\n",
                "[package.metadata.xpc.app]\ndemo = { identifier = \"x.y\", services = [\"a\", \"new\"] }\n",
            ),
            (
                "[package.metadata]\nxpc = { app = { demo = { identifier = \"x.y\" } } }\n",
                "[package.metadata]\nxpc = { app = { demo = { identifier = \"x.y\", services = [\"new\"] } } }\n",
            ),
            (
                "[package]\nname = \"demo\"\nmetadata.xpc.app.demo.identifier = \"x.y\"\nversion = \"1.0.0\"\n",
                "[package]\nname = \"demo\"\nmetadata.xpc.app.demo.identifier = \"x.y\"\nmetadata.xpc.app.demo.services = [\"new\"]\nversion = \"1.0.0\"\n",
            ),
            (
                "[package]\nname = \"demo\"\n\n[dependencies]\n",
                "[package]\nname = \"demo\"\n\n[package.metadata.xpc.app.demo]\nidentifier = \"com.example.demo\"\nservices = [\"new\"]\n\n[dependencies]\n",
            ),
        ] {
            assert_eq!(service(before), after);
        }
    }

    #[test]
    fn a_service_that_is_listed_already_is_not_listed_twice() {
        for entry in ["new", "new/new"] {
            let before = format!("[package.metadata.xpc.app.demo]\nidentifier = \"x.y\"\nservices = [\"{entry}\"]\n");
            assert_eq!(service(&before), before);
        }
        let other = "[package.metadata.xpc.app.demo]\nidentifier = \"x.y\"\nservices = [\"newer\"]\n";
        assert_ne!(service(other), other);
    }

    #[test]
    fn dependencies_stay_sorted_if_they_were() {
        let add = |before: &str| {
            edited(before, |manifest| manifest.add_dependency("beta", &r#"{ path = "../beta" }"#.parse().unwrap()))
        };
        assert_eq!(
            add("[dependencies]\nalpha = \"1\" # a\n# c\ngamma = \"1\"\n"),
            "[dependencies]\nalpha = \"1\" # a\nbeta = { path = \"../beta\" }\n# c\ngamma = \"1\"\n"
        );
        assert_eq!(
            add("[dependencies]\ngamma = \"1\"\nalpha = \"1\"\n"),
            "[dependencies]\ngamma = \"1\"\nalpha = \"1\"\nbeta = { path = \"../beta\" }\n"
        );
        assert_eq!(add("[package]\n"), "[package]\n\n[dependencies]\nbeta = { path = \"../beta\" }\n");
        assert_eq!(
            add("dependencies = { a = \"1\" }\n"),
            "dependencies = { a = \"1\", beta = { path = \"../beta\" } }\n"
        );
        let there = "[dependencies]\nbeta.workspace = true\n";
        assert_eq!(add(there), there);
    }

    #[test]
    fn a_comment_at_the_end_stays_with_its_table() {
        let before = "[package]\nname = \"demo\"\n# about the package\n";
        let after = edited(before, |manifest| {
            manifest.add_service("demo", "new", "com.example.demo")?;
            manifest.add_dependency("beta", &"1".into())
        });
        let added = "\n[package.metadata.xpc.app.demo]\nidentifier = \"com.example.demo\"\nservices = [\"new\"]\n\n[dependencies]\nbeta = \"1\"\n";
        assert_eq!(after, format!("{before}{added}"));
        let before = "[dependencies]\n\n[package]\nname = \"demo\"\n# about the package\n";
        let after = edited(before, |manifest| manifest.add_dependency("beta", &"1".into()));
        assert_eq!(after, before.replace("dependencies]\n", "dependencies]\nbeta = \"1\"\n"));
    }

    #[test]
    fn line_endings_and_the_byte_order_mark_survive() {
        let after = member("\u{feff}[workspace]\r\nmembers = [\r\n  \"a\",\r\n]\r\n", "new");
        assert_eq!(after, "\u{feff}[workspace]\r\nmembers = [\r\n  \"a\",\r\n  \"new\",\r\n]\r\n");
    }

    #[test]
    fn what_is_not_a_table_or_not_an_array_is_named() {
        let mut manifest = Manifest::new(
            Utf8Path::new("/ws/Cargo.toml"),
            "[package]\nmetadata = 1\n[workspace]\nmembers = 2\n".into(),
        )
        .unwrap();
        let error = manifest.add_service("demo", "new", "x.y").unwrap_err().to_string();
        assert!(error.contains("`package.metadata` is not a table") && error.contains("/ws/Cargo.toml"), "{error}");
        let error = manifest.add_member(Utf8Path::new("/ws/new")).unwrap_err().to_string();
        assert!(error.contains("`members` is not an array"), "{error}");
    }

    #[test]
    fn relative_ways() {
        for (from, to, way) in [("/a/b", "/a/b/c", "c"), ("/a/b", "/a/c", "../c"), ("/a/b/c", "/d", "../../../d")] {
            assert_eq!(relative(Utf8Path::new(from), Utf8Path::new(to)), way);
        }
        assert_eq!(normal(Utf8Path::new("/a/./b/../c/")), "/a/c");
        assert_eq!(normal(Utf8Path::new("../c")), "../c");
    }
}
