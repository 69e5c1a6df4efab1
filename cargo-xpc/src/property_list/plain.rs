//! Property lists in XML of the plain form that all tools write.
//!
//! Megabytes of it are the seal of some thousand files, and to be read in one go. Whatever is unusual (comments, attributes, dates, other
//! entities, names given twice) is left to the crate, whose reading of the rest is the same.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use plist::{Dictionary, Value};

use super::{MAX_DEPTH, MAX_MEMORY, VALUE};

const START: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
const TYPE: &str =
    r#"<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">"#;
/// `<dict/>`, in so many bytes.
const SHORTEST: usize = 7;

/// The dictionary in a plain list that is small enough and not too deep; `None` of any other.
pub(super) fn read(bytes: &[u8]) -> Option<Dictionary> {
    if bytes.len() / SHORTEST > MAX_MEMORY / (VALUE + SHORTEST) {
        return None;
    }
    let mut list = List(std::str::from_utf8(bytes).ok()?.strip_prefix(START)?);
    list.begins(TYPE);
    if !list.begins(r#"<plist version="1.0">"#) {
        return None;
    }
    let root = list.value(0)?.into_dictionary()?;
    let ends = list.begins("</plist>") && list.0.trim_ascii().is_empty();
    ends.then_some(root)
}

/// What is left of a list.
struct List<'a>(&'a str);

impl<'a> List<'a> {
    /// Passes white space, and `tag` if it comes next.
    fn begins(&mut self, tag: &str) -> bool {
        self.0 = self.0.trim_start_matches([' ', '\t', '\n']);
        let rest = self.0.strip_prefix(tag);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// The value that comes next, in so many collections.
    fn value(&mut self, depth: usize) -> Option<Value> {
        if !self.begins("<") {
            return None;
        }
        let (tag, rest) = self.0.split_once('>')?;
        self.0 = rest;
        Some(match tag {
            "dict" if depth < MAX_DEPTH => Value::Dictionary(self.dictionary(depth + 1)?),
            "array" if depth < MAX_DEPTH => {
                let mut values = Vec::new();
                while !self.begins("</array>") {
                    values.push(self.value(depth + 1)?);
                }
                Value::Array(values)
            }
            "dict/" if depth < MAX_DEPTH => Value::Dictionary(Dictionary::new()),
            "array/" if depth < MAX_DEPTH => Value::Array(Vec::new()),
            "true/" => Value::Boolean(true),
            "false/" => Value::Boolean(false),
            "string" => Value::String(unescaped(self.text("</string>")?)?),
            "data" => {
                let text = self.text("</data>")?;
                let lines: Vec<&str> = text.split_ascii_whitespace().collect();
                Value::Data(match lines.as_slice() {
                    [line] => BASE64.decode(line).ok()?,
                    lines => BASE64.decode(lines.concat()).ok()?,
                })
            }
            "integer" => {
                let digits = self.text("</integer>")?;
                let is_plain = digits.bytes().all(|digit| digit.is_ascii_digit());
                Value::Integer(digits.parse::<i64>().ok().filter(|_| is_plain)?.into())
            }
            "real" => {
                let digits = self.text("</real>")?;
                let is_plain = digits.bytes().all(|digit| digit.is_ascii_digit() || digit == b'.');
                Value::Real(digits.parse().ok().filter(|_| is_plain)?)
            }
            _ => return None,
        })
    }

    fn dictionary(&mut self, depth: usize) -> Option<Dictionary> {
        let mut values = Dictionary::new();
        while !self.begins("</dict>") {
            if !self.begins("<key>") {
                return None;
            }
            let key = unescaped(self.text("</key>")?)?;
            if values.insert(key, self.value(depth)?).is_some() {
                return None;
            }
        }
        Some(values)
    }

    /// As it stands, up to `end`.
    fn text(&mut self, end: &str) -> Option<&'a str> {
        let (text, rest) = self.0.split_at(self.0.find('<')?);
        self.0 = rest.strip_prefix(end)?;
        Some(text)
    }
}

/// Text whose entities are XML's own. A line that ends in the way of other systems is not plain.
fn unescaped(text: &str) -> Option<String> {
    if text.contains('\r') {
        return None;
    }
    let mut parts = text.split('&');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (entity, rest) = part.split_once(';')?;
        plain.push(match entity {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => return None,
        });
        plain.push_str(rest);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![r#"[a-c<>&;'" \t\n]{0,12}"#, r"\PC{0,12}", Just("&amp;lt;<![CDATA[a]]>".to_owned())]
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::Boolean),
            vec(any::<u8>(), 0..120).prop_map(Value::Data),
            text().prop_map(Value::String),
            (0..i64::MAX).prop_map(|number| Value::Integer(number.into())),
            (0.0..1e6).prop_map(Value::Real),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..6).prop_map(Value::Array),
                btree_map(text(), inner, 0..6).prop_map(|map| Value::Dictionary(map.into_iter().collect())),
            ]
        })
    }

    fn by_the_crate(bytes: &[u8]) -> Option<Value> {
        Value::from_reader_xml(bytes).ok()
    }

    proptest! {
        #[test]
        fn what_the_crate_writes_is_read(map in btree_map(text(), value(), 0..6)) {
            let list: Dictionary = map.into_iter().collect();
            let mut bytes = Vec::new();
            plist::to_writer_xml(&mut bytes, &list).unwrap();
            // As Apple writes it.
            let bytes = String::from_utf8(bytes).unwrap().replace(" />", "/>");
            prop_assert_eq!(read(bytes.as_bytes()), Some(list));
        }

        /// Whatever the list, nothing is read that the crate would read otherwise.
        #[test]
        fn what_is_read_is_what_the_crate_reads(
            pieces in vec(prop_oneof![
                prop::sample::select(vec![
                    "<dict>", "</dict>", "<dict/>", "<array>", "</array>", "<array/>", "<key>", "</key>", "<string>", "</string>",
                    "<string/>", "<data>", "</data>", "<true/>", "<false/>", "<integer>", "</integer>", "<real>", "</real>",
                    "<key>a</key>", "<string>b</string>", "<data>AAEC</data>", "<data>\nAA\n\tEC==</data>", "<integer>007</integer>",
                    "<integer>-1</integer>", "<integer></integer>", "<real>1.5</real>", "<real>.</real>", "<real>nan</real>", "<!-- -->",
                    "<date>2001-01-01T00:00:00Z</date>", "&lt;", "&#65;", "&amp", "&;", "\r\n", " ", "\n", "\u{c}", "\u{a0}", "AA==", "1", "é",
                    "</plist>", "<![CDATA[x]]>", "]]>", "<?a?>",
                ]).prop_map(str::to_owned),
                text(),
            ], 0..10),
        ) {
            for body in [pieces.concat(), format!("<dict><key>a</key>{}</dict>", pieces.concat())] {
                let list = format!("{START}\n<plist version=\"1.0\">{body}</plist>\n");
                if let Some(plain) = read(list.as_bytes()) {
                    prop_assert_eq!(Some(Value::Dictionary(plain)), by_the_crate(list.as_bytes()));
                }
            }
        }
    }
}
