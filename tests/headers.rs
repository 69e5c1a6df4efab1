//! clang, and Apple's headers, as zig ships them.

use std::collections::BTreeMap;
use std::process::Command;

use integration_tests::{text, venv};

/// clang in this folder, where it has its cache and leaves what it writes.
pub fn clang(target: &str, folder: &std::path::Path) -> Command {
    let mut clang = Command::new(venv().join("python"));
    clang.args(["-m", "ziglang", "cc", "-target", target, "-fblocks", "-fno-color-diagnostics"]);
    clang.current_dir(folder).env("ZIG_GLOBAL_CACHE_DIR", folder).env("ZIG_LOCAL_CACHE_DIR", folder);
    clang
}

/// As [`clang`], for whole programs: what each of them is linked with, zig builds once.
#[cfg(target_os = "linux")]
pub fn linking_clang(target: &str, folder: &std::path::Path) -> Command {
    let mut clang = clang(target, folder);
    // Without optimisation zig adds a sanitizer's library, which takes long to build.
    clang.arg("-O1").env("ZIG_GLOBAL_CACHE_DIR", integration_tests::target_dir().join("tests-zig"));
    clang
}

/// Every function and variable that these headers declare, with the version of macOS that they name.
pub fn declared_in<'a>(headers: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, Option<String>> {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("headers.c");
    let includes: String = headers.into_iter().map(|header| format!("#include <{header}>\n")).collect();
    fs_err::write(&file, includes).expect("a temporary file can be written");
    let mut clang = clang("aarch64-macos", folder.path());
    clang.args(["-fsyntax-only", "-Xclang", "-ast-dump"]).arg(&file);
    let output = clang.output().expect("zig starts");
    // zig takes `-fsyntax-only` for a failure to write an object, after all was said.
    let said = text(&output.stderr);
    assert!(!said.contains("fatal error"), "{said}");
    let name = regex::Regex::new(r"^[|`]-(?:Function|Var)Decl .*? ([A-Za-z_]\w*) '").expect("a pattern");
    let since = regex::Regex::new(r"^[| ] [|`]-AvailabilityAttr .*? macos ([1-9]\d*(?:\.\d+)?) ").expect("a pattern");
    let mut declared = BTreeMap::new();
    let mut last = None;
    for line in text(&output.stdout).lines() {
        if line.starts_with("|-") || line.starts_with("`-") {
            last = name.captures(line).map(|found| found[1].to_owned());
            if let Some(name) = &last {
                declared.entry(name.clone()).or_insert(None);
            }
        } else if let (Some(name), Some(found)) = (&last, since.captures(line)) {
            let version = if found[1].contains('.') { found[1].to_owned() } else { format!("{}.0", &found[1]) };
            declared.insert(name.clone(), Some(version));
        }
    }
    declared
}
