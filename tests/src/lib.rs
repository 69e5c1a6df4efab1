//! What the tests share: the tool under test, projects for it to work on, and the peers that read its results.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};

mod project;
mod run;

pub use project::{Plain, Project, host};
pub use run::{Finished, Stopped, Xpc, give_away, unprivileged};

/// The checkout.
pub fn checkout() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests stand in the checkout")
}

/// Cargo's target directory, found from the running test's own place in it.
pub fn target_dir() -> Utf8PathBuf {
    let test = Utf8PathBuf::from_path_buf(std::env::current_exe().expect("a running test is a file")).expect("UTF-8");
    let debug = test.ancestors().find(|folder| folder.ends_with("deps")).and_then(Utf8Path::parent);
    debug.and_then(Utf8Path::parent).expect("tests stand in <target>/<profile>/deps").to_owned()
}

/// The tool under test, built once for each run of the tests.
pub fn tool() -> &'static Utf8Path {
    static TOOL: OnceLock<Utf8PathBuf> = OnceLock::new();
    TOOL.get_or_init(|| {
        let target = target_dir();
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--quiet", "--package", "cargo-xpc", "--target-dir", target.as_str()]);
        let status = clean(&mut cargo).current_dir(checkout()).status().expect("cargo starts");
        assert!(status.success(), "cargo-xpc does not build");
        target.join("debug/cargo-xpc")
    })
}

/// The folder of `python`, `cargo-zigbuild` and the peers' packages.
///
/// # Panics
/// Where it was not made: with the command that does.
pub fn venv() -> Utf8PathBuf {
    let folder = std::env::var("CARGO_XPC_TEST_VENV")
        .map_or_else(|_| target_dir().join("xtask/venv"), Utf8PathBuf::from)
        .join("bin");
    assert!(
        folder.join("cargo-zigbuild").exists(),
        "{folder} has no cargo-zigbuild: run `cargo xtask test`, which makes it"
    );
    folder
}

/// `PATH` with the virtual environment's programs first.
pub fn path_with_zig() -> String {
    format!("{}:{}", venv(), std::env::var("PATH").unwrap_or_default())
}

/// Takes away what the cargo that runs the tests left in the environment: the tool must not see it.
pub fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let cargos = name.starts_with("CARGO") && name != "CARGO_HOME" || name == "RUSTUP_TOOLCHAIN";
        if cargos || name == "RUST_BACKTRACE" || name == "RUSTFLAGS" || name.starts_with("XPC_") {
            command.env_remove(&name);
        }
    }
    // A person who debugs has this set; no message may hold a backtrace for it.
    command.env("RUST_BACKTRACE", "1")
}

/// Runs a peer, a Python program of `tests/peers`, and reads the JSON that it prints.
///
/// # Panics
/// Where it fails, with what it said.
pub fn peer(script: &str, args: &[&str]) -> serde_json::Value {
    let program = checkout().join("tests/peers").join(script);
    let output =
        Command::new(venv().join("python")).arg(program).args(args).output().expect("the peer's Python starts");
    assert!(output.status.success(), "{script} failed:\n{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{script}: {e}\n{}", text(&output.stdout)))
}

/// Bytes as text, for messages.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every file, folder and symlink below a folder: what it is, its mode, and its content or target.
///
/// Two trees are equal when their listings are.
pub fn listing(folder: &Utf8Path) -> BTreeMap<String, String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in at.read_dir_utf8().expect("the folder can be listed") {
            let path = entry.expect("the entry can be read").into_path();
            let meta = fs_err::symlink_metadata(&path).expect("the entry is there");
            let mode = meta.permissions().mode() & 0o777;
            let what = if meta.is_symlink() {
                format!("-> {}", path.read_link_utf8().expect("a symlink has a target"))
            } else if meta.is_dir() {
                open.push(path.clone());
                "folder".to_owned()
            } else {
                let content = fs_err::read(&path).expect("the file can be read");
                format!("{mode:o} {} {:016x}", content.len(), fingerprint(&content))
            };
            let name = path.strip_prefix(folder).expect("it is below the folder").as_str().to_owned();
            found.insert(name, what);
        }
    }
    found
}

/// FNV-1a: enough to tell two files apart in a message.
fn fingerprint(content: &[u8]) -> u64 {
    content.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Runs a command that has to work.
///
/// # Panics
/// Where it does not, with what it said.
pub fn must(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}:\n{}{}", text(&output.stdout), text(&output.stderr));
    output
}
