//! An app to sign: universal, two services, a framework, a library, resources, symlinks.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_xpc::macho::universal;
use cargo_xpc::sign::{SignRequest, execute, plan};

pub const TOOL_ARM: &[u8] = include_bytes!("../fixtures/macho/tool-aarch64");
pub const TOOL_INTEL: &[u8] = include_bytes!("../fixtures/macho/tool-x86_64");
pub const LIBRARY_ARM: &[u8] = include_bytes!("../fixtures/macho/libanswer-aarch64.dylib");
pub const LIBRARY_INTEL: &[u8] = include_bytes!("../fixtures/macho/libanswer-x86_64.dylib");

/// With a property list inside that says `com.example.tool`.
pub const TOOL_INFO: &[u8] = include_bytes!("../fixtures/macho/tool-info-x86_64");

pub struct App {
    _dir: tempfile::TempDir,
    pub root: Utf8PathBuf,
}

pub fn tool() -> Vec<u8> {
    universal::merge(&[TOOL_ARM, TOOL_INTEL]).unwrap()
}

pub fn library() -> Vec<u8> {
    universal::merge(&[LIBRARY_ARM, LIBRARY_INTEL]).unwrap()
}

pub fn write(path: &Utf8Path, bytes: impl AsRef<[u8]>) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, bytes).unwrap();
}

pub fn program(path: &Utf8Path, bytes: &[u8]) {
    write(path, bytes);
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

pub fn info(path: &Utf8Path, executable: &str, identifier: &str, package_type: &str) {
    let mut info = plist::Dictionary::new();
    for (key, value) in [
        ("CFBundleExecutable", executable),
        ("CFBundleIdentifier", identifier),
        ("CFBundleName", executable),
        ("CFBundlePackageType", package_type),
        ("CFBundleShortVersionString", "1.2.3"),
        ("CFBundleVersion", "7"),
    ] {
        if !value.is_empty() {
            info.insert(key.to_owned(), value.into());
        }
    }
    let mut bytes = Vec::new();
    plist::Value::Dictionary(info).to_writer_xml(&mut bytes).unwrap();
    write(path, bytes);
}

pub fn link(path: &Utf8Path, target: &str) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::os::unix::fs::symlink(target, path).unwrap();
}

impl App {
    /// An app with a main executable and nothing else.
    pub fn bare(executable: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap().join("Demo.app");
        info(&root.join("Contents/Info.plist"), "demo", "com.example.demo", "APPL");
        program(&root.join("Contents/MacOS/demo"), executable);
        Self { _dir: dir, root }
    }

    pub fn full() -> Self {
        let app = Self::bare(&tool());
        app.service("greeter");
        app.service("counter");
        program(&app.path("MacOS/helper"), &tool());
        program(&app.path("Frameworks/libanswer.1.2.dylib"), &library());
        let framework = app.path("Frameworks/Answer.framework");
        for version in ["A", "B"] {
            let version = framework.join("Versions").join(version);
            info(&version.join("Resources/Info.plist"), "Answer", "com.example.answer", "FMWK");
            program(&version.join("Answer"), &library());
            write(&version.join("Headers/answer.h"), "int answer(void);\n");
        }
        link(&framework.join("Versions/Current"), "B");
        link(&framework.join("Answer"), "Versions/Current/Answer");
        link(&framework.join("Resources"), "Versions/Current/Resources");
        write(&app.path("PkgInfo"), "APPL????");
        write(&app.path("Resources/data.bin"), vec![7; 10_000]);
        write(&app.path("Resources/en.lproj/Localizable.strings"), "\"a\" = \"b\";");
        write(&app.path("Resources/Base.lproj/Main.txt"), "main");
        write(&app.path("Resources/Ä & \"<b>\".txt"), "name");
        write(&app.path("Library/Notes/note.txt"), "outside of Resources");
        link(&app.path("Resources/link"), "data.bin");
        app
    }

    pub fn service(&self, name: &str) {
        let root = self.path("XPCServices").join(format!("{name}.xpc/Contents"));
        info(&root.join("Info.plist"), name, &format!("com.example.demo.{name}"), "XPC!");
        program(&root.join("MacOS").join(name), &tool());
        write(&root.join("Resources/hello.txt"), name);
    }

    /// A path in `Contents`.
    pub fn path(&self, name: &str) -> Utf8PathBuf {
        self.root.join("Contents").join(name)
    }

    pub fn sign(&self, request: &SignRequest) {
        execute(&plan(&self.root, request).unwrap(), &self.root, &mut |_| {}).unwrap();
    }

    pub fn copy(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap().join("Demo.app");
        cargo_xpc::bundle::tree::copy(&self.root, &root).unwrap();
        Self { _dir: dir, root }
    }

    /// A copy with all that stands beside it.
    pub fn with_neighbours(other: &Self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(dir.path().join("folder")).unwrap();
        cargo_xpc::bundle::tree::copy(other.root.parent().unwrap(), &folder).unwrap();
        Self { _dir: dir, root: folder.join("Demo.app") }
    }

    /// Every file's mode and bytes, every symlink's target.
    pub fn content(&self) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut content = BTreeMap::new();
        for entry in walkdir::WalkDir::new(&self.root) {
            let entry = entry.unwrap();
            let metadata = fs_err::symlink_metadata(entry.path()).unwrap();
            let bytes = if metadata.is_symlink() {
                fs_err::read_link(entry.path()).unwrap().into_os_string().into_encoded_bytes()
            } else if metadata.is_file() {
                fs_err::read(entry.path()).unwrap()
            } else {
                Vec::new()
            };
            let name = entry.path().strip_prefix(&self.root).unwrap().to_str().unwrap().to_owned();
            content.insert(name, (metadata.permissions().mode(), bytes));
        }
        content
    }
}

/// A program that links a library of its bundle: the fixture, with the name of the system's library replaced by a shorter one.
pub fn linked() -> Vec<u8> {
    let mut bytes = TOOL_INTEL.to_vec();
    let (old, new) = (b"/usr/lib/libSystem.B.dylib\0", b"@rpath/libanswer.dylib\0\0\0\0\0");
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
    bytes[at..at + old.len()].copy_from_slice(new);
    bytes
}

/// The Intel fixture, made for macOS 10.9, which understands SHA-1 only.
pub fn old() -> Vec<u8> {
    let mut bytes = TOOL_INTEL.to_vec();
    let (new, old) = (11_u32 << 16, (10 << 16 | 9 << 8) as u32);
    // LC_BUILD_VERSION: the command, its size, the platform, the minimum.
    let command = [0x32_u32, 32, 1, new].map(u32::to_le_bytes).concat();
    let at = bytes
        .windows(16)
        .position(|window| window == command || window[..4] == command[..4] && window[8..] == command[8..]);
    let at = at.unwrap() + 12;
    bytes[at..at + 4].copy_from_slice(&old.to_le_bytes());
    bytes
}
