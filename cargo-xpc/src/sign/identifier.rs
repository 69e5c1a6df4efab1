//! The identifier of code that has no Info.plist.

/// The name by which a bare file is signed: its file name, without the extension of a library and without the tail of its version.
///
/// `libfoo.1.2.dylib` is `libfoo.1`: a seal that names the library should survive its updates, and this is what `codesign` derives.
/// Unlike `codesign`, a tool that is called `com.example.helper` keeps its last part, which is no extension.
pub(super) fn from_file_name(name: &str) -> String {
    let stem = ["dylib", "so", "bundle", "node"]
        .iter()
        .find_map(|extension| name.strip_suffix(extension)?.strip_suffix('.'))
        .unwrap_or(name);
    let is_version = |c: char| c == '.' || c.is_ascii_digit();
    if stem.starts_with(is_version) {
        return stem.to_owned();
    }
    let base = stem.trim_end_matches(is_version);
    let version = &stem[base.len()..];
    let (dot, digits) = match version.strip_prefix('.') {
        Some(rest) => (".", rest),
        None => ("", version),
    };
    let first: String = digits.chars().take_while(char::is_ascii_digit).collect();
    format!("{base}{dot}{first}")
}

/// Whether `text` can be an identifier. It becomes part of requirements and of launchd's names.
pub(super) fn is_valid(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_become_identifiers() {
        for (name, identifier) in [
            ("helper", "helper"),
            ("com.example.helper", "com.example.helper"),
            ("libfoo.dylib", "libfoo"),
            ("libfoo.1.2.dylib", "libfoo.1"),
            ("libfoo1.2.3.dylib", "libfoo1"),
            ("libfoo.1.2", "libfoo.1"),
            ("42.dylib", "42"),
            ("Python3.9", "Python3"),
        ] {
            assert_eq!(from_file_name(name), identifier, "{name}");
        }
    }

    /// The signing library's own rule, which follows Apple's, is the oracle where ours does not mean to differ.
    #[test]
    fn libraries_are_named_as_codesign_names_them() {
        for name in
            ["foo", "foo.dylib", "123", ".foo.dylib", "123.dylib", "foo1.2.3.4.dylib", "foo.1.2.3", "foo1", "a.b.1.so"]
        {
            assert_eq!(from_file_name(name), apple_codesign::path_identifier(name).unwrap(), "{name}");
        }
    }
}
