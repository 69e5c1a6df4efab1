//! Apps to sign.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use cargo_xpc::macho::universal;
use walkdir::WalkDir;

const TOOL_ARM: &[u8] = include_bytes!("../../cargo-xpc/tests/fixtures/macho/tool-aarch64");
const TOOL_INTEL: &[u8] = include_bytes!("../../cargo-xpc/tests/fixtures/macho/tool-x86_64");

/// What an app is made of.
#[derive(Clone, Copy)]
pub struct Shape {
    pub services: usize,
    pub files: usize,
    /// In bytes, of each of the files.
    pub size: usize,
}

impl Shape {
    /// Makes a universal app of this shape.
    pub fn make(&self, root: &Utf8Path) -> Result<()> {
        bundle(root, "demo", "com.example.demo", "APPL")?;
        for number in 0..self.services {
            let name = format!("service-{number}");
            let service = root.join(format!("Contents/XPCServices/{name}.xpc"));
            bundle(&service, &name, &format!("com.example.demo.{name}"), "XPC!")?;
        }
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut content = vec![0; self.size];
        for number in 0..self.files {
            for chunk in content.chunks_mut(8) {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                chunk.copy_from_slice(&random.to_le_bytes()[..chunk.len()]);
            }
            let folder = root.join(format!("Contents/Resources/{}", number / 100));
            fs_err::create_dir_all(&folder)?;
            fs_err::write(folder.join(format!("{number}.bin")), &content)?;
        }
        Ok(())
    }
}

fn bundle(root: &Utf8Path, name: &str, identifier: &str, package_type: &str) -> Result<()> {
    let contents = root.join("Contents");
    fs_err::create_dir_all(contents.join("MacOS"))?;
    fs_err::create_dir_all(contents.join("Resources"))?;
    let mut info = plist::Dictionary::new();
    for (key, value) in [
        ("CFBundleExecutable", name),
        ("CFBundleIdentifier", identifier),
        ("CFBundleName", name),
        ("CFBundlePackageType", package_type),
        ("CFBundleShortVersionString", "1.0"),
        ("CFBundleVersion", "1"),
    ] {
        info.insert(key.to_owned(), value.into());
    }
    plist::Value::Dictionary(info).to_file_xml(contents.join("Info.plist"))?;
    let executable = contents.join("MacOS").join(name);
    fs_err::write(&executable, universal::merge(&[TOOL_ARM, TOOL_INTEL])?)?;
    fs_err::set_permissions(&executable, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// A copy, written and in memory before anything is measured.
pub fn copy(from: &Utf8Path, to: &Utf8Path) -> Result<()> {
    cargo_xpc::bundle::tree::copy(from, to)?;
    Ok(())
}

/// Every file's mode and bytes, every symlink's target.
pub fn content(root: &Utf8Path) -> Result<BTreeMap<Utf8PathBuf, (u32, Vec<u8>)>> {
    let mut content = BTreeMap::new();
    for entry in WalkDir::new(root) {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let bytes = if metadata.is_symlink() {
            fs_err::read_link(entry.path())?.into_os_string().into_encoded_bytes()
        } else if metadata.is_file() {
            fs_err::read(entry.path())?
        } else {
            Vec::new()
        };
        let name = Utf8PathBuf::try_from(entry.path().strip_prefix(root)?.to_owned())?;
        content.insert(name, (metadata.permissions().mode(), bytes));
    }
    Ok(content)
}
