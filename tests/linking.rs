//! What links for Apple targets without a Mac, and what the programs then ask of the system: the libraries that are meant,
//! and no symbol that the oldest system they promise lacks. There the program would not even start.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};
use integration_tests::{Xpc, checkout, clean, listing, must, path_with_zig, peer, target_dir, text, venv};
use serde_json::Value;

use crate::bindings::OLDEST;
use crate::headers::{declared_in, linking_clang};

const SYSTEM: &str = "/usr/lib/libSystem.B.dylib";

/// What crate `libc` asks for, which tests bring along and no app: libiconv, and what zig's libiconv needs. macOS has both.
const LIBC: [&str; 2] = ["/usr/lib/libcharset.1.dylib", "/usr/lib/libiconv.2.dylib"];

/// The parts of libSystem that programs use, as their headers have it.
const HEADERS: [&str; 56] = [
    "Block.h",
    "CommonCrypto/CommonRandom.h",
    "copyfile.h",
    "crt_externs.h",
    "dirent.h",
    "dispatch/dispatch.h",
    "dlfcn.h",
    "errno.h",
    "fcntl.h",
    "grp.h",
    "libkern/OSCacheControl.h",
    "mach-o/dyld.h",
    "mach/mach.h",
    "mach/mach_error.h",
    "mach/mach_time.h",
    "math.h",
    "netdb.h",
    "poll.h",
    "pthread.h",
    "pwd.h",
    "sched.h",
    "signal.h",
    "spawn.h",
    "stdio.h",
    "stdlib.h",
    "string.h",
    "strings.h",
    "sys/attr.h",
    "sys/clonefile.h",
    "sys/event.h",
    "sys/file.h",
    "sys/ioctl.h",
    "sys/mman.h",
    "sys/mount.h",
    "sys/random.h",
    "sys/resource.h",
    "sys/select.h",
    "sys/socket.h",
    "sys/stat.h",
    "sys/statvfs.h",
    "sys/sysctl.h",
    "sys/time.h",
    "sys/times.h",
    "sys/uio.h",
    "sys/utsname.h",
    "sys/wait.h",
    "termios.h",
    "time.h",
    "unistd.h",
    "unwind.h",
    // The first of its own, which the others need.
    "xpc/xpc.h",
    "xpc/activity.h",
    "xpc/endpoint.h",
    "xpc/listener.h",
    "xpc/peer_requirement.h",
    "xpc/session.h",
];

/// What no header declares, since the compiler or the linker asks for it, or since zig does not ship `os/log.h`; with the
/// first system that has it.
const OTHERS: [(&str, &str); 5] = [
    ("__bzero", "10.0"),
    ("dyld_stub_binder", "10.6"),
    ("_availability_version_check", "10.15"),
    ("os_log_create", "10.12"),
    ("_os_log_impl", "10.12"),
];

/// The system that every symbol came with.
fn versions() -> &'static BTreeMap<String, Vec<u32>> {
    static VERSIONS: OnceLock<BTreeMap<String, Vec<u32>>> = OnceLock::new();
    VERSIONS.get_or_init(|| {
        let declared = declared_in(HEADERS);
        assert!(declared.len() > 1500, "clang names {} only", declared.len());
        // What names no version is older than the habit of naming them.
        let named = declared.into_iter().map(|(name, version)| (name, version.unwrap_or_else(|| "10.0".to_owned())));
        let added = OTHERS.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned()));
        named.chain(added).map(|(name, version)| (name, number(&version))).collect()
    })
}

fn number(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().expect("a number")).collect()
}

/// What messages call a program, for tests by their package's folder, for others by their bundle; and where it is.
type Program = (String, Utf8PathBuf);

/// What is wrong with the programs, each of which holds these architectures.
fn problems(programs: &[Program], architectures: &[&str]) -> Vec<String> {
    let paths: Vec<&str> = programs.iter().map(|(_, path)| path.as_str()).collect();
    let read = peer("imports.py", &paths);
    let mut problems = Vec::new();
    for (name, path) in programs {
        let slices = read[path.as_str()].as_array().expect("a list of slices");
        let found: Vec<_> = slices.iter().map(|slice| words(&slice["architecture"])).collect();
        if found.iter().map(String::as_str).ne(architectures.iter().copied()) {
            problems.push(format!("{name} is for {found:?}"));
        }
        for slice in slices {
            let at = format!("{name} ({})", words(&slice["architecture"]));
            problems.extend(problems_of(name, slice).into_iter().map(|problem| format!("{at} {problem}")));
        }
    }
    problems
}

fn problems_of(name: &str, slice: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let libraries: BTreeSet<String> = list(&slice["libraries"]).collect();
    let alone: BTreeSet<String> = [SYSTEM.to_owned()].into();
    let with_libc: BTreeSet<String> = LIBC.iter().chain(&[SYSTEM]).map(|library| (*library).to_owned()).collect();
    if libraries != alone && (name.contains(".app/") || libraries != with_libc) {
        problems.push(format!("uses {libraries:?}, not {SYSTEM} alone"));
    }
    let oldest: Vec<u32> = slice["minimum"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|part| part.as_u64().map_or(0, |part| part as u32))
        .collect();
    if oldest != number(OLDEST) {
        problems.push(format!("is for macOS {oldest:?}, not {OLDEST}"));
    }
    for symbol in list(&slice["symbols"]) {
        // C's underscore, and variants of one function: `_stat$INODE64`.
        let plain = symbol.strip_prefix('_').unwrap_or(&symbol).split('$').next().unwrap_or_default();
        match versions().get(if symbol.starts_with('_') { plain } else { &symbol }) {
            None => problems.push(format!("imports `{symbol}`, which no header declares: add its header to `HEADERS`")),
            Some(version) if *version > oldest => {
                problems.push(format!("imports `{symbol}`, which came with macOS {version:?}"));
            }
            Some(_) => {}
        }
    }
    problems
}

fn words(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = String> {
    value.as_array().into_iter().flatten().map(words)
}

/// Where these programs are built: without debug information and caches of the compiler, to save time and room.
fn target() -> Utf8PathBuf {
    target_dir().join("tests-apple")
}

/// The packages of this workspace that hold an app.
fn apps() -> Vec<String> {
    let mut cargo = Command::new("cargo");
    clean(&mut cargo).args(["metadata", "--locked", "--no-deps", "--format-version=1"]).current_dir(checkout());
    let metadata: Value = serde_json::from_slice(&must(&mut cargo).stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages").iter();
    packages
        .filter(|package| package["metadata"]["xpc"]["app"].is_object())
        .map(|package| words(&package["name"]))
        .collect()
}

/// The programs of a bundle.
fn programs_in(app: &Utf8Path) -> Vec<Program> {
    let files = listing(app).into_keys().filter(|name| name.contains("/MacOS/"));
    files.map(|name| (format!("{}/{name}", app.file_name().expect("a bundle has a name")), app.join(&name))).collect()
}

#[test]
fn every_app_links_for_apple_targets() {
    let apps = apps();
    assert!(apps.iter().any(|app| app == "conformance") && apps.len() > 1, "{apps:?}");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let out = folder.path().to_str().expect("UTF-8");
    let target = target();
    for app in apps {
        let args =
            ["bundle", "--locked", "--package", &app, "--universal", "--target-dir", target.as_str(), "--out", out];
        Xpc::new(checkout(), &args).with_zig().env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0").ok();
    }
    let mut programs = Vec::new();
    for entry in Utf8Path::new(out).read_dir_utf8().expect("bundles are published there") {
        programs.extend(programs_in(entry.expect("it can be read").path()));
    }
    // Conformance.app alone has five.
    assert!(programs.len() >= 7, "{programs:?}");
    assert_eq!(problems(&programs, &["X86_64", "ARM64"]), [""; 0]);
}

#[test]
fn the_runtimes_tests_link_for_apple_targets() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for (target, architecture) in [("aarch64-apple-darwin", "ARM64"), ("x86_64-apple-darwin", "X86_64")] {
        let mut cargo = Command::new(venv().join("cargo-zigbuild"));
        clean(&mut cargo).args(["zigbuild", "--locked", "--all-targets", "--message-format=json", "--target", target]);
        for package in ["xpc-runtime", "xpc-runtime-sys", "xpc-object"] {
            cargo.args(["--package", package]);
        }
        cargo.args(["--target-dir", self::target().as_str()]).current_dir(checkout());
        // As the tool does it.
        cargo.env("PATH", path_with_zig()).env("SDKROOT", folder.path()).env("MACOSX_DEPLOYMENT_TARGET", OLDEST);
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
        let said = text(&must(&mut cargo).stdout);
        let messages = said.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let programs: Vec<Program> = messages
            .filter_map(|message| {
                let executable = message["executable"].as_str()?.into();
                let manifest = Utf8PathBuf::from(message["manifest_path"].as_str()?);
                let package = manifest.parent().and_then(Utf8Path::file_name).unwrap_or_default();
                Some((format!("{package}/{}", words(&message["target"]["name"])), executable))
            })
            .collect();
        assert!(programs.len() >= 8, "{programs:?}");
        assert_eq!(problems(&programs, &[architecture]), [""; 0]);
    }
}

/// A program in C for this system, which declares for itself what it uses.
fn program(folder: &Utf8Path, name: &str, code: &str, more: &[&str]) -> Program {
    let (source, path) = (folder.join(format!("{name}.c")), folder.join(name));
    fs_err::write(&source, code).expect("a temporary file can be written");
    let mut clang = linking_clang(&format!("aarch64-macos.{OLDEST}"), folder.as_std_path());
    must(clang.arg(source).arg("-o").arg(&path).args(more));
    (name.to_owned(), path)
}

#[test]
fn what_is_newer_or_not_meant_is_found() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let folder = Utf8Path::from_path(folder.path()).expect("UTF-8");
    let old = program(folder, "old", "void xpc_release(void *); int main(void) { xpc_release(0); }", &[]);
    let newer =
        program(folder, "newer", "void xpc_session_cancel(void *); int main(void) { xpc_session_cancel(0); }", &[]);
    // By Apple's headers it is linked weakly: null where it is missing. That starts, but nothing of ours is to do it.
    let weak = "#include <xpc/xpc.h>\n#include <xpc/session.h>\nint main(void) { xpc_session_cancel(0); }";
    let weak = program(folder, "weak", weak, &["-Wno-unguarded-availability-new"]);
    let data = "extern char _xpc_error_peer_code_signing_requirement; int main(void) { return _xpc_error_peer_code_signing_requirement; }";
    let data = program(folder, "data", data, &[]);
    let private = program(folder, "private", "void xpc_pipe_create(void); int main(void) { xpc_pipe_create(); }", &[]);
    let (_, library) = program(folder, "libmore.dylib", "int more;", &["-shared"]);
    let more = program(folder, "more", "int main(void) { return 0; }", &[library.as_str()]);
    let session = "imports `_xpc_session_cancel`, which came with macOS [13, 0]";
    for (program, said) in [
        (newer, session),
        (weak, session),
        (data, "imports `__xpc_error_peer_code_signing_requirement`, which came with macOS [12, 0]"),
        (private, "imports `_xpc_pipe_create`, which no header declares"),
        (more, "uses {"),
    ] {
        let found = problems(&[program], &["ARM64"]);
        assert!(found.len() == 1 && found[0].contains(said), "{found:?}");
    }
    assert_eq!(problems(std::slice::from_ref(&old), &["ARM64"]), [""; 0]);
    assert_eq!(problems(&[old], &["X86_64"]), ["old is for [\"ARM64\"]"]);
    let with_libc = serde_json::json!({ "libraries": [SYSTEM, LIBC[0], LIBC[1]], "minimum": [11, 0], "symbols": [] });
    assert_eq!(problems_of("object/roundtrip", &with_libc), [""; 0]);
    assert_eq!(problems_of("Demo.app/Contents/MacOS/demo", &with_libc).len(), 1);
}
