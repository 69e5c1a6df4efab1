//! A server of secure time stamps (RFC 3161) on the loopback interface, for the tests and for the benchmark; OpenSSL makes the stamps.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// What the server does with a request.
#[derive(Clone, Copy, PartialEq)]
pub enum Answer {
    Stamp,
    /// The first requests are answered when so many of them are there. It gives up where they do not come.
    Together {
        count: usize,
    },
    /// The first requests get this HTTP status instead.
    Fail {
        times: usize,
    },
    /// A proper answer of the protocol: no.
    Refuse,
}

/// Answers each connection on a thread of its own.
pub struct Server {
    pub url: String,
    state: Arc<State>,
}

struct State {
    signer: String,
    answer: Answer,
    latency: Duration,
    count: Mutex<Count>,
    came: Condvar,
}

#[derive(Default)]
struct Count {
    requests: usize,
    open: usize,
    most: usize,
}

impl Server {
    /// `signer` is a PEM file with a certificate for time stamps and its key; `latency` is the least that an answer takes.
    pub fn start(signer: String, answer: Answer, latency: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/stamp", listener.local_addr().unwrap());
        let state = Arc::new(State { signer, answer, latency, count: Mutex::default(), came: Condvar::new() });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || state.serve(stream.unwrap()));
            }
        });
        Self { url, state }
    }

    /// How many came so far.
    pub fn requests(&self) -> usize {
        self.state.count.lock().unwrap().requests
    }

    /// How many waited for their answers at the same time.
    pub fn most_at_once(&self) -> usize {
        self.state.count.lock().unwrap().most
    }
}

impl State {
    fn serve(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let (mut length, mut line) = (0, String::new());
        while stream.read_line(&mut line).unwrap() > 2 {
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut query = vec![0; length];
        stream.read_exact(&mut query).unwrap();
        let came = Instant::now();
        let number = self.count();
        let (status, body) = match self.answer {
            Answer::Fail { times } if number < times => ("503 Busy", b"busy".to_vec()),
            // PKIStatusInfo { rejection }.
            Answer::Refuse => ("200 OK", vec![0x30, 5, 0x30, 3, 2, 1, 2]),
            _ => ("200 OK", stamp(&query, &self.signer)),
        };
        if let Answer::Together { count } = self.answer {
            let missing = |state: &mut Count| state.requests < count;
            drop(self.came.wait_timeout_while(self.count.lock().unwrap(), Duration::from_secs(20), missing).unwrap());
        }
        std::thread::sleep(self.latency.saturating_sub(came.elapsed()));
        self.count.lock().unwrap().open -= 1;
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/timestamp-reply\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let stream = stream.get_mut();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
    }

    /// Counts a request; gives how many there were before.
    fn count(&self) -> usize {
        let mut count = self.count.lock().unwrap();
        count.requests += 1;
        count.open += 1;
        count.most = count.most.max(count.open);
        self.came.notify_all();
        count.requests - 1
    }
}

fn stamp(query: &[u8], signer: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let folder = dir.path().display();
    let config = format!(
        "[tsa]\ndefault_tsa = server\n[server]\nserial = {folder}/serial\nsigner_digest = sha256\ndefault_policy = 1.2.3.4\n\
         digests = sha256\naccuracy = secs:1\nordering = yes\ness_cert_id_chain = no\n"
    );
    std::fs::write(at("config"), config).unwrap();
    std::fs::write(at("serial"), "01").unwrap();
    std::fs::write(at("query"), query).unwrap();
    let output = Command::new("openssl")
        .args(["ts", "-reply", "-section", "server", "-signer", signer, "-inkey", signer])
        .args(["-config", at("config").to_str().unwrap(), "-queryfile", at("query").to_str().unwrap()])
        .args(["-out", at("reply").to_str().unwrap()])
        .output()
        .expect("openssl, which makes time stamps here, is not there: `apt-get install openssl`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(at("reply")).unwrap()
}
