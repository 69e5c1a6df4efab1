//! Folders that are not as they should be, and clients that are not; the rest is tried between processes, in
//! `test-support/tests/mach.rs`.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use rustix::net::{RecvFlags, bind, listen};
use xpc_object::Dictionary;

use super::*;
use crate::connection::Event;
use crate::endpoint::Listening;
use crate::frame::{HELLO, HELLO_BYTES};

const NAME: &str = "com.example.agent";

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn problem(runtime: &Path, name: &str) -> String {
    Folder::make_in(runtime.into(), name).err().expect("a problem").to_string()
}

/// A listener whose peers send back what they are sent.
fn serve(runtime: &Path, name: &str) -> Result<Arc<Listening>, Arc<str>> {
    let accept = |peer: crate::Inactive| {
        peer.activate(Box::new(|connection, event| {
            if let Event::Message(message) = event {
                connection.send(message.dictionary()).unwrap();
            }
        }));
    };
    let listening = Arc::new(Listening::new(None, Box::new(accept), None));
    Port::open_in(Folder::make_in(runtime.into(), name)?, name, &listening)?;
    Ok(listening)
}

fn hello() -> Vec<u8> {
    frame::control(Kind::Hello, 0, &HELLO)
}

fn read(socket: &OwnedFd, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length && matches!(socket::receive_more(socket, &mut bytes, RecvFlags::empty()), Ok(1..)) {}
    bytes
}

/// A client that behaves gets an answer.
fn expect_answer(folder: &Folder) {
    let rendezvous = dial(folder).unwrap();
    let (ours, theirs) = socket::connection_pair().unwrap();
    socket::send(&ours, &hello()).unwrap();
    socket::send_packet(&rendezvous, endpoint::CONNECT, Some(theirs.as_fd())).unwrap();
    drop(theirs);
    let message = frame::message(Kind::Message, 0, &Dictionary::new().with("n", 7_u64)).unwrap().bytes;
    socket::send(&ours, &message).unwrap();
    assert_eq!(read(&ours, HELLO_BYTES + message.len()), [hello(), message].concat());
}

#[test]
fn a_name_is_one_step_of_a_path_and_as_long_as_launchds() {
    let runtime = tempfile::tempdir().unwrap();
    for name in ["", ".", "..", "a/b", "/a", "a\0b", &"n".repeat(128)] {
        assert!(problem(runtime.path(), name).contains("is no name of a Mach service"), "{name}");
    }
    assert_eq!(fs::read_dir(runtime.path()).unwrap().count(), 0);
    for name in ["a", "com.example.\u{e9}", &"n".repeat(127)] {
        let listening = serve(runtime.path(), name).unwrap();
        expect_answer(&Folder::make_in(runtime.path().into(), name).unwrap());
        listening.end(None);
    }
}

#[test]
fn folders_are_their_users_alone_or_refused() {
    let runtime = tempfile::tempdir().unwrap();
    let (runtime, ours) = (runtime.path(), runtime.path().join("xpc-runtime"));
    serve(runtime, NAME).unwrap().end(None);
    for folder in [&ours, &ours.join(NAME)] {
        assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
        for open in [0o750, 0o705, 0o710] {
            mode(folder, open);
            let problem = problem(runtime, NAME);
            assert!(problem.starts_with(folder.to_str().unwrap()) && problem.contains("chmod 700"), "{problem}");
            mode(folder, 0o700);
        }
    }
    mode(runtime, 0o777);
    assert!(problem(runtime, NAME).contains("chmod 700"));
    mode(runtime, 0o755);
    serve(runtime, NAME).unwrap().end(None);

    fs::rename(&ours, runtime.join("elsewhere")).unwrap();
    symlink("elsewhere", &ours).unwrap();
    assert!(problem(runtime, NAME).starts_with(ours.to_str().unwrap()));
    fs::remove_file(&ours).unwrap();
    fs::write(&ours, "").unwrap();
    assert!(problem(runtime, NAME).starts_with(ours.to_str().unwrap()));
    assert!(problem(&runtime.join("none"), NAME).contains("there is no such folder"));
}

#[test]
fn a_folder_of_another_users_is_refused() {
    // `/proc/1` is its process's user's. Root, to whom it belongs too, gives a folder away.
    let (folder, runtime) = (tempfile::tempdir().unwrap(), PathBuf::from("/proc/1"));
    let foreign = if geteuid().is_root() {
        std::os::unix::fs::chown(folder.path(), Some(65534), None).unwrap();
        folder.path()
    } else {
        &runtime
    };
    assert!(problem(foreign, NAME).contains("belongs to another user"));
}

#[test]
fn a_socket_is_found_however_long_its_path_is_and_has_its_users_mode() {
    let root = tempfile::tempdir().unwrap();
    let runtime = root.path().join("long".repeat(30));
    fs::create_dir(&runtime).unwrap();
    let listening = serve(&runtime, NAME).unwrap();
    let folder = Folder::make_in(runtime, NAME).unwrap();
    assert!(folder.path_of_socket().as_os_str().len() > 108);
    assert_eq!(fs::metadata(folder.path_of_socket()).unwrap().permissions().mode() & 0o777, 0o600);
    expect_answer(&folder);
    listening.end(None);
    assert!(!folder.path_of_socket().exists());
}

#[test]
fn what_a_dead_listener_left_is_replaced_and_a_live_one_is_not() {
    let runtime = tempfile::tempdir().unwrap();
    let folder = Folder::make_in(runtime.path().into(), NAME).unwrap();
    // A socket that nobody listens on any more.
    let stale = new_socket().unwrap();
    bind(&stale, &folder.address().unwrap()).unwrap();
    listen(&stale, 1).unwrap();
    drop(stale);
    assert!(folder.path_of_socket().exists());
    assert_eq!(dial(&folder).err(), Some(Errno::CONNREFUSED));

    let first = serve(runtime.path(), NAME).unwrap();
    expect_answer(&folder);
    let refused = serve(runtime.path(), NAME).expect_err("the name is taken");
    let this = format!("is served by process {} already", std::process::id());
    assert!(refused.contains(&this), "{refused}");
    expect_answer(&folder);
    first.end(None);
    let second = serve(runtime.path(), NAME).expect("the name is free again");
    expect_answer(&folder);
    second.end(None);
}

#[test]
fn of_many_listeners_that_begin_at_once_one_does() {
    let runtime = tempfile::tempdir().unwrap();
    for _ in 0..20 {
        let (sender, results): (_, Receiver<_>) = channel();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let (sender, runtime) = (sender.clone(), runtime.path());
                scope.spawn(move || sender.send(serve(runtime, NAME)).unwrap());
            }
        });
        drop(sender);
        let served: Vec<_> = results.iter().filter_map(Result::ok).collect();
        assert_eq!(served.len(), 1);
        expect_answer(&Folder::make_in(runtime.path().into(), NAME).unwrap());
        served[0].end(None);
    }
}

#[test]
fn hostile_clients_harm_themselves_alone() {
    let runtime = tempfile::tempdir().unwrap();
    let listening = serve(runtime.path(), NAME).unwrap();
    let folder = Folder::make_in(runtime.path().into(), NAME).unwrap();
    let (pipe, _other) = rustix::pipe::pipe().unwrap();
    let (rendezvous_of_endpoint, listener_end) = socket::packet_pair().unwrap();
    let (_kept, silent) = socket::connection_pair().unwrap();
    let idle = dial(&folder).unwrap();
    for packet in [&b"\xff"[..], b"\x01", b"\x02", b"\x01\x01", &[1; 5000]] {
        for descriptor in [None, Some(pipe.as_fd()), Some(listener_end.as_fd()), Some(silent.as_fd())] {
            let hostile = dial(&folder).unwrap();
            socket::send_packet(&hostile, packet, descriptor).unwrap();
            expect_answer(&folder);
        }
    }
    // What stands in for a hello.
    for bytes in [&b""[..], b"GET / HTTP/1.1\r\n", &[0; 64], &hello()[1..], &[hello(), vec![0xff; 64]].concat()] {
        let hostile = dial(&folder).unwrap();
        let (ours, theirs) = socket::connection_pair().unwrap();
        socket::send(&ours, bytes).unwrap_or_default();
        socket::send_packet(&hostile, endpoint::CONNECT, Some(theirs.as_fd())).unwrap();
        drop(theirs);
        let answer = read(&ours, 1000);
        assert!(answer.is_empty() || answer == hello(), "{answer:?}");
        expect_answer(&folder);
    }
    // The way of endpoints, on which a hand-over makes further ways, is none of a name's.
    drop(listener_end);
    let packet = socket::receive(&rendezvous_of_endpoint, &mut [0; 1], RecvFlags::empty());
    assert_eq!(packet, Ok(0), "the listener has let go of it");
    // A stream is no rendezvous.
    let stream = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    assert_eq!(connect_to(&stream, &folder.address().unwrap()), Err(Errno::PROTOTYPE));
    drop(idle);
    expect_answer(&folder);
    listening.end(None);
    assert_eq!(dial(&folder).err(), Some(Errno::NOENT));
}

#[test]
fn nobody_but_this_user_is_let_in() {
    let me = Credentials { pid: 1, euid: geteuid().as_raw(), egid: 0 };
    assert!(is_this_user(&me));
    for euid in [me.euid + 1, 65534 + u32::from(me.euid == 65534)] {
        assert!(!is_this_user(&Credentials { euid, ..me }));
    }
}
