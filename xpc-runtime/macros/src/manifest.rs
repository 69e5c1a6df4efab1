use std::fs;
use std::path::Path;

/// Where the name is written.
const TABLE: &str = "package.metadata.xpc.interface";

/// The service's name in this Cargo.toml, or what the compiler should say.
pub(crate) fn service_name(manifest: &Path) -> Result<String, String> {
    let file = manifest.display();
    let text = fs::read_to_string(manifest).map_err(|error| format!("cannot read {file}: {error}"))?;
    let table: toml::Table = text.parse().map_err(|error| format!("{file}: {error}"))?;
    let missing = || {
        format!("{file} has no `identifier` in [{TABLE}]. Add:\n\n[{TABLE}]\nidentifier = \"com.example.app.service\"")
    };
    let mut keys = TABLE.split('.');
    let first = keys.next().and_then(|key| table.get(key));
    let value = keys.chain(["identifier"]).fold(first, |value, key| value?.get(key)).ok_or_else(missing)?;
    let name = value
        .as_str()
        .ok_or_else(|| format!("{file}: `{TABLE}.identifier` must be a string, not {}", value.type_str()))?;
    if is_identifier(name) {
        Ok(name.to_owned())
    } else {
        Err(format!(
            "{file}: `{TABLE}.identifier` is \"{name}\"; a bundle identifier has parts of letters, digits and hyphens with dots between them, such as com.example.app.service"
        ))
    }
}

/// What Apple allows in a CFBundleIdentifier, which is the name that clients connect to.
fn is_identifier(name: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    name.contains('.') && name.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_in(text: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("Cargo.toml");
        fs::write(&manifest, text).unwrap();
        service_name(&manifest)
    }

    #[test]
    fn the_identifier_is_read() {
        assert_eq!(
            name_in("[package.metadata.xpc.interface]\nidentifier = \"com.example.a-1\"").unwrap(),
            "com.example.a-1"
        );
        assert_eq!(name_in("package = { metadata.xpc.interface.identifier = 'a.b' }").unwrap(), "a.b");
    }

    #[test]
    fn errors_name_the_file_and_the_key() {
        for (text, expected) in [
            ("", "has no `identifier` in [package.metadata.xpc.interface]"),
            ("[package.metadata.xpc.interface]\nidentifer = \"a.b\"", "has no `identifier`"),
            ("[package.metadata.xpc.interface]\nidentifier = 1", "must be a string, not integer"),
            ("[package.metadata.xpc.interface]\nidentifier = \"greeter\"", "\"greeter\"; a bundle identifier"),
            ("[package.metadata.xpc.interface]\nidentifier = \"a..b\"", "a bundle identifier"),
            ("[package", "Cargo.toml: "),
        ] {
            let error = name_in(text).unwrap_err();
            assert!(error.contains(expected) && error.contains("Cargo.toml"), "{text}: {error}");
        }
        assert!(
            service_name(Path::new("/nonexistent/Cargo.toml"))
                .unwrap_err()
                .starts_with("cannot read /nonexistent/Cargo.toml")
        );
    }
}
