//! `docs/coverage.md`: what covers each of libxpc's functions, and what corresponds to each item of another crate's.
//!
//! The reasons in it are written by hand; which Rust items stand for a C name is what the source says by
//! `#[doc(alias = "…")]`, and `SNAPSHOTS=overwrite cargo test -p integration-tests coverage` writes that.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use integration_tests::{checkout, listing};
use syn::Item;

use crate::bindings::declared_names;

fn document() -> Utf8PathBuf {
    checkout().join("docs/coverage.md")
}

/// The public items of the runtime, each with the C names that its documentation can be found by.
type Items = BTreeMap<String, BTreeSet<String>>;

fn items() -> Items {
    let mut items = Items::new();
    for folder in ["xpc-runtime/src", "xpc-runtime/object/src", "xpc-runtime/macros/src"] {
        let folder = checkout().join(folder);
        for file in listing(&folder).into_keys() {
            if file.ends_with(".rs") && !file.starts_with("backend/") {
                read(&folder.join(file), &mut items);
            }
        }
    }
    items
}

fn read(file: &Utf8Path, items: &mut Items) {
    let source = fs_err::read_to_string(file).expect("the source is there");
    // A macro that makes methods says whose.
    let owner = regex::Regex::new(r"impl(?:<'a>)? (\w+)(?:<'a>)? \{\$\(").expect("a pattern");
    let owners: Vec<String> = owner.captures_iter(&source).map(|found| found[1].to_owned()).collect();
    // `#[doc(alias = "xpc_dictionary_get_bool")] bool: bool, …`
    let entry = regex::Regex::new(r"((?:# \[[^\]]*\] )+)(\w+) :").expect("a pattern");
    for item in syn::parse_file(&source).unwrap_or_else(|e| panic!("{file}: {e}")).items {
        let mut add = |name: String, attributes: &[syn::Attribute]| {
            items.entry(name).or_default().extend(attributes.iter().flat_map(|attribute| aliases(&words(attribute))));
        };
        match item {
            Item::Fn(item) => add(item.sig.ident.to_string(), &item.attrs),
            Item::Struct(item) => add(item.ident.to_string(), &item.attrs),
            Item::Trait(item) => add(item.ident.to_string(), &item.attrs),
            Item::Type(item) => add(item.ident.to_string(), &item.attrs),
            Item::Enum(item) => {
                add(item.ident.to_string(), &item.attrs);
                for variant in item.variants {
                    add(format!("{}::{}", item.ident, variant.ident), &variant.attrs);
                }
            }
            Item::Impl(block) => {
                let syn::Type::Path(ty) = &*block.self_ty else { continue };
                let owner = ty.path.segments.last().expect("a path has a segment").ident.to_string();
                for item in block.items {
                    if let syn::ImplItem::Fn(function) = item {
                        add(format!("{owner}::{}", function.sig.ident), &function.attrs);
                    }
                }
            }
            Item::Macro(call) if call.mac.path.is_ident("getters") => {
                assert!(!owners.is_empty(), "{file}: `getters` makes no `impl`");
                for found in entry.captures_iter(&words(&call.mac.tokens)) {
                    for owner in &owners {
                        items.entry(format!("{owner}::{}", &found[2])).or_default().extend(aliases(&found[1]));
                    }
                }
            }
            // What another crate has, or a module further down.
            Item::Use(item) if matches!(item.vis, syn::Visibility::Public(_)) => exported(&item.tree, items),
            // What is exported stands for itself.
            Item::Macro(item) => items.extend(item.ident.map(|name| (format!("{name}!"), BTreeSet::new()))),
            _ => {}
        }
    }
}

fn exported(tree: &syn::UseTree, items: &mut Items) {
    match tree {
        syn::UseTree::Path(path) => exported(&path.tree, items),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| exported(tree, items)),
        syn::UseTree::Name(name) => drop(items.entry(name.ident.to_string()).or_default()),
        syn::UseTree::Rename(name) => drop(items.entry(name.rename.to_string()).or_default()),
        syn::UseTree::Glob(_) => {}
    }
}

fn words(tokens: &impl quote::ToTokens) -> String {
    tokens.to_token_stream().to_string()
}

fn aliases(attributes: &str) -> Vec<String> {
    let alias = regex::Regex::new(r#"alias = "([^"]+)""#).expect("a pattern");
    alias.captures_iter(attributes).map(|found| found[1].to_owned()).collect()
}

/// The items that are found by a C name, or by the macro that stands for a variable: `XPC_TYPE_BOOL`, `_xpc_type_bool`.
fn items_of(name: &str, items: &Items) -> Vec<String> {
    let macro_name = name.trim_start_matches('_').to_uppercase();
    let stands = |(item, aliases): &(&String, &BTreeSet<String>)| {
        *item == name || aliases.contains(name) || name.starts_with('_') && aliases.contains(&macro_name)
    };
    items.iter().filter(stands).map(|(item, _)| item.clone()).collect()
}

/// A row of a table: what is covered, by what, and a remark.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    name: String,
    items: Vec<String>,
    remark: String,
}

impl Row {
    fn parse(line: &str) -> Option<Self> {
        let mut cells = line.strip_prefix("| `")?.strip_suffix('|')?.splitn(3, '|').map(str::trim);
        let name = cells.next()?.strip_suffix('`')?.to_owned();
        let items = cells.next()?.split(',').filter_map(|item| item.trim().strip_prefix('`')?.strip_suffix('`'));
        Some(Self { name, items: items.map(str::to_owned).collect(), remark: cells.next()?.to_owned() })
    }

    fn line(&self) -> String {
        let items: Vec<String> = self.items.iter().map(|item| format!("`{item}`")).collect();
        let items = if items.is_empty() { "–".to_owned() } else { items.join(", ") };
        format!("| `{}` | {items} | {} |", self.name, self.remark).replace("|  |", "| |")
    }
}

const OTHERS: &str = "\n## rama-net-apple-xpc";

/// The rows about C, and those about the other crate.
fn rows(document: &str) -> (Vec<Row>, Vec<Row>) {
    let (ours, others) = document.split_once(OTHERS).expect("two parts");
    let read = |part: &str| part.lines().filter_map(Row::parse).collect();
    (read(ours), read(others))
}

/// What is wrong with the tables.
fn problems(document: &str, declared: &BTreeSet<String>, items: &Items) -> Vec<String> {
    let (ours, others) = rows(document);
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for row in &ours {
        let name = &row.name;
        if !seen.insert(name.clone()) {
            problems.push(format!("{name} has two rows"));
        }
        if !declared.contains(name) {
            problems.push(format!("{name} is nothing of libxpc's"));
        }
        let found = items_of(name, items);
        for item in row.items.iter().filter(|item| !found.contains(item)) {
            problems.push(format!("{name}: `{item}` is not found by that name: it has no such alias"));
        }
        if row.items.is_empty() && !found.is_empty() {
            problems.push(format!("{name} is said to be covered by nothing, and is by {found:?}"));
        }
        if row.items.is_empty() && row.remark.is_empty() {
            problems.push(format!("{name}: nothing covers it, and no reason is given"));
        }
    }
    problems.extend(declared.difference(&seen).map(|name| format!("{name} has no row")));
    for row in &others {
        for item in row.items.iter().filter(|item| !items.contains_key(*item)) {
            problems.push(format!("{}: there is no `{item}`", row.name));
        }
        if row.items.is_empty() && row.remark.is_empty() {
            problems.push(format!("{}: nothing corresponds to it, and no reason is given", row.name));
        }
    }
    problems
}

/// The document, with the items that the source has.
fn rewritten(document: &str, items: &Items) -> String {
    let (ours, others) = document.split_once(OTHERS).expect("two parts");
    let line = |line: &str| match Row::parse(line) {
        Some(row) => Row { items: items_of(&row.name, items), ..row }.line() + "\n",
        None => format!("{line}\n"),
    };
    ours.lines().map(line).collect::<String>() + OTHERS + others
}

#[test]
fn every_function_is_covered_or_it_is_said_why_not() {
    let (items, declared) = (items(), declared_names());
    let text = fs_err::read_to_string(document()).expect("the document is there");
    if std::env::var_os("SNAPSHOTS").is_some_and(|value| value == "overwrite") {
        fs_err::write(document(), rewritten(&text, &items)).expect("the document can be written");
    }
    let text = fs_err::read_to_string(document()).expect("the document is there");
    assert_eq!(problems(&text, &declared, &items), [""; 0]);
    assert!(rows(&text).1.len() > 90, "the other crate has more");
}

#[test]
fn what_the_tables_may_not_say_is_found() {
    let items = Items::from([
        ("Connection::service".to_owned(), BTreeSet::from(["xpc_connection_create".to_owned()])),
        ("Type::Bool".to_owned(), BTreeSet::from(["XPC_TYPE_BOOL".to_owned()])),
        ("xpc_main".to_owned(), BTreeSet::new()),
    ]);
    let declared = ["xpc_connection_create", "_xpc_type_bool", "xpc_main", "xpc_copy"].map(str::to_owned).into();
    let found = |rows: &[&str], others: &[&str]| {
        problems(&format!("{}\n{OTHERS}\n{}\n", rows.join("\n"), others.join("\n")), &declared, &items)
    };
    let right = [
        "| `xpc_connection_create` | `Connection::service` | |",
        "| `_xpc_type_bool` | `Type::Bool` | a type |",
        "| `xpc_main` | `xpc_main` | |",
        "| `xpc_copy` | – | values are owned |",
    ];
    assert_eq!(found(&right, &["| `XpcCall` | `xpc_main` | |", "| `XpcServer` | – | why not |"]), [""; 0]);
    assert_eq!(found(&right[1..], &[]), ["xpc_connection_create has no row"]);
    assert_eq!(found(&[&right[..], &right[3..]].concat(), &[]), ["xpc_copy has two rows"]);
    for (at, wrong, said) in [
        (0, "| `xpc_connection_create` | `Connection::named` | |", "no such alias"),
        (0, "| `xpc_connection_create` | – | why not |", "and is by"),
        (1, "| `_xpc_type_bool` | `Connection::service` | |", "no such alias"),
        (3, "| `xpc_copy` | – | |", "no reason"),
        (3, "| `xpc_copie` | – | why not |", "nothing of libxpc's"),
    ] {
        let mut rows = right;
        rows[at] = wrong;
        let found = found(&rows, &[]);
        assert!(found.iter().any(|problem| problem.contains(said)), "{wrong}: {found:?}");
    }
    assert_eq!(found(&right, &["| `XpcCall` | `Nothing` | |"]), ["XpcCall: there is no `Nothing`"]);
}
