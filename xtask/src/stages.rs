//! The stages of the tests, each a command or a few.

use crate::env::{Outcome, ask, command, host, root, run, target, tools, venv_bin};
use crate::sanitizer::Sanitizer;

/// The oldest Rust that the crates promise to build with; `rust-version` in their manifests says the same.
const MSRV: &str = "1.88.0";
const CARGO_DENY: &str = "0.20.2";
const APPLE_TARGETS: [&str; 2] = ["aarch64-apple-darwin", "x86_64-apple-darwin"];

/// Packages that are Linux's alone: the portable backend, the shim of libxpc over it, and the programs that test it.
const LINUX_ONLY: [&str; 3] = ["libxpc-shim", "xpc-portable", "xpc-runtime-tests"];

/// `--workspace`, as far as it can be built on this machine.
fn workspace() -> Vec<&'static str> {
    let mut args = vec!["--workspace"];
    if !cfg!(target_os = "linux") {
        args.extend(LINUX_ONLY.iter().flat_map(|package| ["--exclude", package]));
    }
    args
}

/// Rust's own parts.
pub fn rust() -> Outcome {
    let toolchain = active_toolchain();
    run(command("rustup", &["target", "add", "--toolchain", &toolchain]).args(APPLE_TARGETS))?;
    run(&mut command("rustup", &["component", "add", "--toolchain", &toolchain, "clippy", "rustfmt"]))?;
    if ask("rustc", &[&format!("+{MSRV}"), "--version"]).is_none() {
        run(&mut command("rustup", &["toolchain", "install", MSRV, "--profile", "minimal", "--no-self-update"]))?;
    }
    Ok(())
}

fn active_toolchain() -> String {
    let said = ask("rustup", &["show", "active-toolchain"]).unwrap_or_default();
    said.split_whitespace().next().unwrap_or("stable").to_owned()
}

/// zig, cargo-zigbuild and the peers that read what we write, in a virtual environment of their own.
pub fn python() -> Outcome {
    let requirements = root().join("xtask/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).map_err(|e| format!("{}: {e}", requirements.display()))?;
    let stamp = tools().join("venv/requirements.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        println!("{} is up to date", tools().join("venv").display());
        return Ok(());
    }
    std::fs::create_dir_all(tools()).map_err(|e| format!("{}: {e}", tools().display()))?;
    run(command("python3", &["-m", "venv"]).arg(tools().join("venv")))?;
    run(command(venv_bin().join("python"), &["-m", "pip", "install", "--quiet", "--requirement"]).arg(&requirements))?;
    std::fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))
}

/// Bundles that Apple's own codesign signed, which no test may do without: nobody here could make them.
pub fn apple_bundles() -> Outcome {
    let list = root().join("xtask/apple-bundles.txt");
    let wanted = std::fs::read_to_string(&list).map_err(|e| format!("{}: {e}", list.display()))?;
    let (folder, wheels) = (tools().join("apple"), tools().join("apple-wheels"));
    let stamp = folder.join("apple-bundles.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        println!("{} is up to date", folder.display());
        return Ok(());
    }
    for old in [&folder, &wheels] {
        if old.exists() {
            std::fs::remove_dir_all(old).map_err(|e| format!("{}: {e}", old.display()))?;
        }
        std::fs::create_dir_all(old).map_err(|e| format!("{}: {e}", old.display()))?;
    }
    let python = venv_bin().join("python");
    let download = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"];
    let mut download = command(&python, &download);
    // A server that does not answer fails the stage soon.
    download.args(["--timeout", "30", "--retries", "2", "--no-cache-dir"]);
    download.args(["--platform", "macosx_13_0_universal2", "--dest"]).arg(&wheels);
    run(download.arg("--requirement").arg(&list))?;
    run(command(&python, &["xtask/apple_bundles.py"]).arg(&wheels).arg(&folder))?;
    std::fs::remove_dir_all(&wheels).map_err(|e| format!("{}: {e}", wheels.display()))?;
    std::fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))
}

/// The linter of licences and sources.
pub fn install_cargo_deny() -> Outcome {
    let has = ask(tools().join("bin/cargo-deny"), &["--version"]).unwrap_or_default();
    if has.ends_with(CARGO_DENY) {
        println!("{has} is there");
        return Ok(());
    }
    let mut install = command("cargo", &["install", "--quiet", "--locked", "--version", CARGO_DENY, "cargo-deny"]);
    // Its own build, away from ours; without optimisation it is built in half the time.
    run(install.args(["--debug", "--root"]).arg(tools()).arg("--target-dir").arg(tools().join("build")))
}

/// Layout of the source.
pub fn fmt() -> Outcome {
    run(&mut command("cargo", &["fmt", "--all", "--check"]))
}

/// Lints, for this machine and for Apple's.
pub fn clippy() -> Outcome {
    let mut lint = command("cargo", &["clippy", "--locked", "--all-targets"]);
    lint.args(workspace());
    run(lint.args(["--", "-Dwarnings"]))?;
    for target in APPLE_TARGETS {
        let lint = ["clippy", "--locked", "--package", "xpc-runtime", "--target", target, "--", "-Dwarnings"];
        run(&mut command("cargo", &lint))?;
    }
    Ok(())
}

/// The documentation, without a warning.
pub fn doc() -> Outcome {
    let mut doc = command("cargo", &["doc", "--locked", "--no-deps", "--quiet"]);
    run(doc.args(workspace()).env("RUSTDOCFLAGS", "-Dwarnings"))
}

/// Licences, bans and sources of every dependency. Advisories need the network and are a workflow of their own.
pub fn deny() -> Outcome {
    install_cargo_deny()?;
    let deny = tools().join("bin/cargo-deny");
    run(&mut command(deny, &["--locked", "--workspace", "check", "licenses", "bans", "sources"]))
}

/// The oldest Rust.
pub fn msrv() -> Outcome {
    let mut check = command("cargo", &[&format!("+{MSRV}"), "check", "--locked", "--all-targets", "--quiet"]);
    run(check.args(workspace()).env("CARGO_TARGET_DIR", target().join("msrv")))
}

/// Tests that stand beside the code.
pub fn unit() -> Outcome {
    let mut test = with_peers(&["test", "--locked", "--exclude", "integration-tests", "--no-fail-fast"]);
    run(test.args(workspace()))
}

/// Other people's implementations in Rust, each in a workspace of its own: what they need stays out of ours.
pub fn peers() -> Outcome {
    let mut test =
        command("cargo", &["test", "--locked", "--quiet", "--manifest-path", "tests/peers/idevice/Cargo.toml"]);
    run(test.env("CARGO_TARGET_DIR", target().join("peers")))
}

/// Nightly Rust with these components, which the sanitizers, the fuzzer and Miri need.
pub fn nightly(components: &[&str]) -> Outcome {
    let listed = ask("rustup", &["component", "list", "--installed", "--toolchain", "nightly"]);
    let has = |list: String| components.iter().all(|name| list.lines().any(|line| line.starts_with(name)));
    if listed.is_some_and(has) {
        return Ok(());
    }
    let mut install = command("rustup", &["toolchain", "install", "nightly", "--profile", "minimal"]);
    for component in components {
        install.args(["--component", component]);
    }
    run(install.arg("--no-self-update"))
}

/// The runtime under AddressSanitizer (with its leak detector) and ThreadSanitizer; the standard library is built with
/// them too.
pub fn sanitize() -> Outcome {
    if !cfg!(target_os = "linux") {
        println!("the portable backend, which this is about, is Linux's");
        return Ok(());
    }
    nightly(&["rust-src"])?;
    let host = host()?;
    for sanitizer in Sanitizer::ALL {
        let folder = target().join(sanitizer.name());
        let test =
            ["+nightly", "test", "--locked", "--quiet", "-Zbuild-std", "--target", &host, "--lib", "--bins", "--tests"];
        let mut test = command("cargo", &test);
        let packages = ["xpc-object", "xpc-portable", "xpc-runtime", "xpc-runtime-tests"];
        test.args(packages.iter().flat_map(|package| ["--package", package]));
        test.env("CARGO_ENCODED_RUSTFLAGS", sanitizer.flags(&folder)?.join("\x1f"));
        run(test.env("CARGO_TARGET_DIR", folder))?;
    }
    Ok(())
}

/// Values and codec under Miri, which sees undefined behaviour in what they use; and the Apple backend's objects and
/// blocks, over the shim's. A few cases a property: it is slow.
pub fn miri() -> Outcome {
    nightly(&["miri", "rust-src"])?;
    let interpret = |package, tests: &[&str]| {
        let test = ["+nightly", "miri", "test", "--locked", "--quiet", "--package", package, "--lib"];
        let mut test = command("cargo", &test);
        // proptest reads the environment and looks for its file of failures.
        test.args(tests).env("MIRIFLAGS", "-Zmiri-disable-isolation").env("PROPTEST_CASES", "4");
        test.env("CARGO_TARGET_DIR", target().join("miri"));
        test
    };
    run(&mut interpret("xpc-object", &["--test", "golden", "--test", "roundtrip", "--test", "view"]))?;
    if !cfg!(target_os = "linux") {
        println!("the shim of libxpc is Linux's");
        return Ok(());
    }
    let flags = "--cfg xpc_runtime_force_apple --cfg rustix_use_libc";
    // Only these: others start threads that live as long as the process.
    run(interpret("xpc-runtime", &["--", "backend::"]).env("RUSTFLAGS", flags))
}

/// The whole way, through the real binary.
pub fn whole_way() -> Outcome {
    run(&mut with_peers(&["test", "--locked", "--package", "integration-tests", "--no-fail-fast"]))
}

/// One test for each rule of XPC, out of a bundle that the tool made; and the table of them in the documentation.
pub fn conformance() -> Outcome {
    run(&mut crate::conformance::app(&[])?)?;
    crate::conformance::compare()
}

/// What the README promises.
pub fn demo() -> Outcome {
    crate::demo::run()
}

fn with_peers(args: &[&str]) -> std::process::Command {
    let mut command = command("cargo", args);
    command.env("CARGO_XPC_TEST_VENV", tools().join("venv"));
    command.env("CARGO_XPC_TEST_APPLE", tools().join("apple"));
    command
}
