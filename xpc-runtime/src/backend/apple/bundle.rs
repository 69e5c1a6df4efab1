//! What this program has to know of its own bundle before anything that could read a property list is loaded.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Whether the service's Info.plist asks for the run loop of Foundation. `xpc_main` decides, by the same key; this says
/// only whether Foundation may be needed, so that a property list in which the word means something else does no harm.
/// It is ASCII in both formats, text and binary.
pub(super) fn may_want_run_loop() -> bool {
    let word = b"NSRunLoop";
    info_plist().is_some_and(|info| info.windows(word.len()).any(|window| window == word))
}

/// The identifier of the bundle, or what else tells this program from others.
pub(super) fn identifier() -> String {
    launchd_name()
        .or_else(|| text(&info_plist()?, "CFBundleIdentifier"))
        .or_else(|| Some(env::current_exe().ok()?.file_name()?.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "xpc-runtime".to_owned())
}

/// launchd's name of a service is its identifier; an app's is between `application.` and two numbers.
fn launchd_name() -> Option<String> {
    let name = env::var("XPC_SERVICE_NAME").ok()?;
    match name.strip_prefix("application.") {
        // 0: not started by launchd.
        None if name == "0" || name.is_empty() => None,
        None => Some(name),
        Some(rest) => {
            let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let mut parts: Vec<_> = rest.split('.').collect();
            for _ in 0..2 {
                if parts.last().is_some_and(is_number) {
                    parts.pop();
                }
            }
            Some(parts.join(".")).filter(|identifier| !identifier.is_empty())
        }
    }
}

fn info_plist() -> Option<Vec<u8>> {
    fs::read(info_plist_of(&env::current_exe().ok()?)?).ok()
}

/// The property list of the bundle whose executable this is.
fn info_plist_of(executable: &Path) -> Option<PathBuf> {
    let contents = executable.parent().filter(|folder| folder.ends_with("MacOS"))?.parent()?;
    Some(contents.join("Info.plist"))
}

/// The string under a key of a property list in XML, which is what `cargo xpc` writes.
fn text(plist: &[u8], key: &str) -> Option<String> {
    let plist = std::str::from_utf8(plist).ok()?;
    let (_, after) = plist.split_once(&format!("<key>{key}</key>"))?;
    let (value, _) = after.trim_start().strip_prefix("<string>")?.split_once("</string>")?;
    // No identifier has a character that XML would write in another way.
    Some(value.trim().to_owned()).filter(|value| !value.is_empty() && !value.contains(['&', '<']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identifier_stands_in_the_property_list() {
        let plist =
            b"<plist><dict>\n\t<key>CFBundleIdentifier</key>\n\t<string>com.example.app</string>\n</dict></plist>";
        assert_eq!(text(plist, "CFBundleIdentifier").as_deref(), Some("com.example.app"));
        assert_eq!(text(plist, "CFBundleName"), None);
        assert_eq!(text(b"bplist00\xff", "CFBundleIdentifier"), None);
    }

    #[test]
    fn the_property_list_is_beside_the_folder_of_the_executable() {
        let of = |path: &str| info_plist_of(Path::new(path));
        assert_eq!(of("/A.app/Contents/MacOS/a"), Some("/A.app/Contents/Info.plist".into()));
        assert_eq!(of("/work/target/debug/a"), None);
    }
}
