//! The folder that a sandboxed service has for itself, as `~/Library/Containers/<identifier>/Data` on macOS.

use std::env;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Makes `<data>/xpc-runtime/Containers/<name>/Data` where it is not there yet. `<data>` is `XDG_DATA_HOME`, or
/// `~/.local/share`.
pub(super) fn make(name: &str) -> io::Result<PathBuf> {
    let variable = env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let data = place(variable, env::home_dir(), name).map_err(io::Error::other)?;
    let cannot = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot make its container {}: {error}", data.display()))
    };
    DirBuilder::new().recursive(true).mode(0o700).create(temporary(&data)).map_err(cannot)?;
    // Rules and the service's own paths are about one and the same place.
    data.canonicalize().map_err(cannot)
}

/// Where its temporary files go.
pub(super) fn temporary(data: &Path) -> PathBuf {
    data.join("tmp")
}

fn place(variable: Option<PathBuf>, home: Option<PathBuf>, name: &str) -> Result<PathBuf, String> {
    // A name that led elsewhere would put the container around somebody else's files.
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if !name.bytes().all(harmless) || name.starts_with('.') {
        return Err(format!("{name:?} cannot be the name of its container"));
    }
    // The XDG specification has relative paths ignored.
    let data = variable.filter(|path| path.is_absolute()).or_else(|| Some(home?.join(".local/share")));
    let data = data
        .filter(|path| path.is_absolute())
        .ok_or("there is no place for its container: set HOME, or XDG_DATA_HOME, to an absolute path")?;
    Ok(data.join("xpc-runtime/Containers").join(name).join("Data"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_is_below_the_users_data_and_nowhere_else() {
        let at = |variable: Option<&str>, home: Option<&str>, name| {
            place(variable.map(PathBuf::from), home.map(PathBuf::from), name)
        };
        let default = "/home/u/.local/share/xpc-runtime/Containers/org.x/Data";
        assert_eq!(at(None, Some("/home/u"), "org.x"), Ok(default.into()));
        assert_eq!(at(Some("data"), Some("/home/u"), "org.x"), Ok(default.into()), "relative: not set");
        assert_eq!(at(Some("/d"), None, "org.x"), Ok("/d/xpc-runtime/Containers/org.x/Data".into()));
        assert!(at(None, None, "org.x").unwrap_err().contains("HOME"));
        for name in ["..", ".", "a/b", "../x", ".hidden", "a\0b"] {
            assert!(at(Some("/d"), None, name).is_err(), "{name}");
        }
    }
}
