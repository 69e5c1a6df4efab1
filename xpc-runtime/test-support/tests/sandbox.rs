//! The sandbox of services: a real app in a real bundle, whose services try what they must not.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sandbox");
const SANDBOX: &str = "<key>com.apple.security.app-sandbox</key><true/>";

/// The app, a room outside of it, and the user's home.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap() };
        for (folder, file) in [
            ("room", "file"),
            ("room/reading", "a"),
            ("room/writing", "a"),
            ("room/folder", "a"),
            ("home/Downloads", "a"),
            ("home/.config/own", "a"),
            ("Sandbox.app/Contents/MacOS", "data"),
        ] {
            fs::create_dir_all(world.path(folder)).unwrap();
            fs::write(world.path(folder).join(file), "content").unwrap();
        }
        fs::hard_link(PROGRAM, world.path("room/program")).unwrap();
        fs::hard_link(PROGRAM, world.app()).unwrap();
        let network = |direction| format!("{SANDBOX}<key>com.apple.security.network.{direction}</key><true/>");
        world.add("closed", Some(SANDBOX));
        world.add("client", Some(&network("client")));
        world.add("server", Some(&network("server")));
        world.add("free", None);
        world.add(
            "agents",
            Some(&format!(
                "{SANDBOX}<key>com.apple.security.temporary-exception.mach-lookup.global-name</key>
                 <array><string>com.example.sandbox.agent</string><string>com.example.sandbox.nobody</string></array>"
            )),
        );
        let room = world.path("room");
        let exceptions = "com.apple.security.temporary-exception.files";
        world.add(
            "paths",
            Some(&format!(
                "{SANDBOX}<key>com.apple.security.files.downloads.read-only</key><true/>
                 <key>com.apple.security.device.camera</key><true/>
                 <key>{exceptions}.absolute-path.read-only</key>
                 <array><string>{0}/file</string><string>{0}/reading/</string><string>{0}/folder</string></array>
                 <key>{exceptions}.absolute-path.read-write</key><string>{0}/writing/</string>
                 <key>{exceptions}.home-relative-path.read-write</key><array><string>/.config/own/</string></array>",
                room.display()
            )),
        );
        world
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn app(&self) -> PathBuf {
        self.path("Sandbox.app/Contents/MacOS/app")
    }

    fn add(&self, name: &str, entitlements: Option<&str>) {
        let contents = self.path(&format!("Sandbox.app/Contents/XPCServices/{name}.xpc/Contents"));
        fs::create_dir_all(contents.join("MacOS")).unwrap();
        fs::hard_link(PROGRAM, contents.join("MacOS/program")).unwrap();
        let plist = |content: &str| format!("<plist version=\"1.0\"><dict>{content}</dict></plist>");
        let info = format!(
            "<key>CFBundleIdentifier</key><string>com.example.sandbox.{name}</string>\
             <key>CFBundleExecutable</key><string>program</string>"
        );
        fs::write(contents.join("Info.plist"), plist(&info)).unwrap();
        if let Some(entitlements) = entitlements {
            fs::write(contents.join("Entitlements.plist"), plist(entitlements)).unwrap();
        }
    }

    fn command(&self, scenario: &str) -> Command {
        let mut command = Command::new(self.app());
        command
            .arg(scenario)
            .env("ROOM", self.path("room"))
            .env("HOME", self.path("home"))
            .env("XDG_DATA_HOME", self.path("home/data"))
            .env("XDG_RUNTIME_DIR", self.path("room"))
            .env("XPC_RUNTIME_THROTTLE", "0")
            .env_remove("XPC_RUNTIME_BUNDLE");
        command
    }

    fn run(&self, scenario: &str) -> Output {
        let output = self.command(scenario).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }
}

macro_rules! scenarios {
    ($($name:ident = $scenario:literal),* $(,)?) => {$(
        #[test]
        fn $name() {
            World::new().run($scenario);
        }
    )*};
}

scenarios! {
    files_outside_bundle_and_container_are_denied = "files",
    without_an_entitlement_there_is_no_network = "network",
    a_client_may_connect_and_not_listen = "client",
    a_server_may_listen_and_not_connect = "server",
    the_ways_round_are_closed = "ways-round",
    a_thread_from_before_main_is_in_the_sandbox_too = "early-thread",
    inheritable_descriptors_of_the_app_do_not_reach_it = "descriptors",
    a_service_without_the_entitlement_may_what_its_app_may = "unaffected",
    agents_are_reached_by_the_names_that_the_entitlements_list = "agents",
}

#[test]
fn a_sandboxed_service_works_in_its_container() {
    let output = World::new().run("works");
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("[com.example.sandbox.closed] printed in the sandbox\n"), "{log}");
    assert!(!log.contains("not enforced"), "this kernel enforces all of it: {log}");
}

#[test]
fn paths_are_granted_by_entitlements_and_what_is_not_granted_is_said_once() {
    let log = String::from_utf8(World::new().run("paths").stderr).unwrap();
    let said = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!(said("com.apple.security.device.camera"), 1, "{log}");
    assert_eq!(said("only a path that ends with `/`"), 1, "{log}");
}

#[test]
fn a_sandboxed_service_goes_with_its_app() {
    let world = World::new();
    let mut app = world.command("hold").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(app.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let service = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
    let service = pidfd_open(service, PidfdFlags::empty()).unwrap();
    app.kill().unwrap();
    app.wait().unwrap();
    poll(&mut [PollFd::new(&service, PollFlags::IN)], None).unwrap();
}

#[test]
fn entitlements_that_cannot_be_read_are_no_permission() {
    let world = World::new();
    let path = world.path("Sandbox.app/Contents/XPCServices/closed.xpc/Contents/Entitlements.plist");
    for content in ["", "<plist version=\"1.0\"><array/></plist>"] {
        fs::write(&path, content).unwrap();
        let output = world.command("hold").output().unwrap();
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("Entitlements.plist"), "{output:?}");
    }
}
