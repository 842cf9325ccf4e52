//! A rollout as an engine does it: a new version is ready, the proxy sends to it, the old one gets SIGTERM. No request is lost.
#![expect(
    clippy::expect_used,
    clippy::missing_assert_message,
    clippy::disallowed_methods,
    reason = "a failed set-up must fail the test, and a server has its version from the environment"
)]

mod loopback;

use std::fs;
use std::io::{self, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use coldstart::{Request, Response, Router, sleep};
use loopback::process::{Process, can_run, command_again, is_again, signal};
use loopback::{Client, HttpResponse, eventually, free_port, get, post};

const REQUESTS: usize = 10_000;
const CLIENTS: usize = 8;
/// How often a new version takes the place of an old one meanwhile.
const SWAPS: usize = 3;
const VERSION: &str = "COLDSTART_TEST_VERSION";

/// The server of one version: what an engine starts, in a process of its own.
fn serve_version() {
    let version = std::env::var(VERSION).expect("a version");
    let respond = move |request: &Request<'_>| {
        let text = format!("{version} {} {}", request.path(), request.body().len());
        async move {
            // So that requests are always in flight.
            sleep(Duration::from_millis(1)).await;
            Response::text(text)
        }
    };
    let router = Router::new()
        .get("/healthz", |_| "ok")
        .any("/{*path}", respond);
    assert!(coldstart::serve(router) == ExitCode::SUCCESS, "it serves");
}

/// Starts a version on the port in `PORT`, and waits until it is ready as an engine sees it.
fn start(test: &str, version: usize) -> (Process, SocketAddr) {
    let (server, address) = Process::serve(|port| {
        let mut command = command_again(test);
        for other in [
            "FC_CUSTOM_LISTEN_PORT",
            "FC_SERVER_PORT",
            "_FAAS_RUNTIME_PORT",
            "AWS_LWA_PORT",
        ] {
            command.env_remove(other);
        }
        command
            .env("PORT", port.to_string())
            .env(VERSION, version.to_string())
            .stdout(Stdio::null());
        command
    });
    // The first probe after the port accepts succeeds.
    let probe = Client::connect(address).request(get("/healthz"));
    assert_eq!((probe.status, probe.text().as_str()), (200, "ok"));
    (server, address)
}

/// What stands in front of the versions.
trait Proxy {
    fn address(&self) -> SocketAddr;
    /// Sends all new requests to this address, and returns once the address of before may go.
    fn switch(&mut self, to: SocketAddr);
    /// Whether `switch` waits for responses of the address of before.
    fn waits_for_responses(&self) -> bool;
}

/// Sends one request in each of the ways that clients have, and says what came back.
fn exchange(
    client: &mut Option<Client>,
    proxy: SocketAddr,
    number: usize,
) -> io::Result<HttpResponse> {
    let path = format!("/{number}");
    let request = match number % 3 {
        0 => post(&path, &vec![b'x'; number % 2000]),
        _ => get(&path).into_bytes(),
    };
    let kept = client.get_or_insert_with(|| Client::connect(proxy));
    let response = kept
        .stream()
        .write_all(&request)
        .and_then(|()| kept.try_response());
    let is_last = match &response {
        Ok(response) => response.field("connection") == Some("close"),
        Err(_) => true,
    };
    if is_last {
        *client = None;
    }
    response
}

/// Sends requests until all are sent, each on the connection of the one before, and returns how many were not served.
fn load(proxy: SocketAddr, next: &AtomicUsize, done: &AtomicUsize) -> Vec<String> {
    let mut lost = Vec::new();
    let mut client = None;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= REQUESTS {
            return lost;
        }
        let was_kept = client.is_some();
        let mut response = exchange(&mut client, proxy, number);
        if was_kept && response.is_err() {
            // A proxy may close a connection that waits for a request (RFC 9112 §9.3.1), and a reload of nginx does. What the
            // servers do shows as 502 and not as this.
            response = exchange(&mut client, proxy, number);
        }
        let len = if number.is_multiple_of(3) {
            number % 2000
        } else {
            0
        };
        let expected = format!(" /{number} {len}");
        match response {
            Ok(response) if response.status == 200 && response.text().ends_with(&expected) => {}
            Ok(response) => lost.push(format!("{number}: {} {}", response.status, response.text())),
            Err(error) => lost.push(format!("{number}: {error}")),
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Swaps versions while requests arrive, as soon as the proxy allows it.
fn roll_out(test: &str, start_proxy: impl FnOnce(SocketAddr) -> Box<dyn Proxy>) {
    let (mut server, mut address) = start(test, 0);
    let mut proxy = start_proxy(address);
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let front = proxy.address();
    let lost: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| load(front, &next, &done)))
            .collect();
        for version in 1..=SWAPS {
            let begin = REQUESTS * version / (SWAPS + 1);
            eventually("the next part of the requests", || {
                next.load(Ordering::Relaxed) >= begin
            });
            let (newer, newer_address) = start(test, version);
            if proxy.waits_for_responses() {
                proxy.switch(newer_address);
            } else {
                // It has read none of the requests, nor accepted the last connection, when SIGTERM comes.
                server.freeze();
                eventually("each client waits", || {
                    next.load(Ordering::Relaxed) == done.load(Ordering::Relaxed) + CLIENTS
                });
                proxy.switch(newer_address);
            }
            let mut late = Client::connect(address);
            late.send(get("/late"));
            let mut old = std::mem::replace(&mut server, newer);
            old.signal("TERM");
            old.thaw();
            assert_eq!(late.response().text(), format!("{} /late 0", version - 1));
            assert_eq!(old.ended().code(), Some(0), "version {}", version - 1);
            address = newer_address;
            // The new one serves as soon as the old one is gone.
            let response = Client::connect(front).request(get("/after"));
            assert_eq!(response.text(), format!("{version} /after 0"));
        }
        let ended = clients
            .into_iter()
            .map(|client| client.join().expect("a client"));
        ended.flatten().collect()
    });
    assert!(lost.is_empty(), "{} lost: {lost:#?}", lost.len());
    assert_eq!(server.stop(), Some(0));
}

struct Go {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Go {
    fn start(program: &Path, target: SocketAddr) -> Self {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut input = child.stdin.take().expect("its input");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        writeln!(input, "{target}").expect("it reads");
        let address = line(&mut output).parse().expect("its address");
        Self {
            child,
            input,
            output,
            address,
        }
    }
}

fn line(from: &mut impl io::BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).expect("a line");
    line.trim_end().to_owned()
}

impl Proxy for Go {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn switch(&mut self, to: SocketAddr) {
        writeln!(self.input, "{to}").expect("it reads");
        assert_eq!(line(&mut self.output), "switched");
    }

    fn waits_for_responses(&self) -> bool {
        false
    }
}

impl Drop for Go {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_proxy_in_go_swaps_versions_with_requests_in_flight_and_loses_none() {
    const NAME: &str = "a_proxy_in_go_swaps_versions_with_requests_in_flight_and_loses_none";
    if is_again() {
        return serve_version();
    }
    if !can_run("a proxy in Go", &["go", "version"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("proxy");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rollout/proxy.go");
    let built = Command::new("go")
        .args(["build", "-o"])
        .args([&program, &source])
        .env("CGO_ENABLED", "0")
        .status();
    assert!(built.is_ok_and(|status| status.success()), "it compiles");
    roll_out(NAME, |target| Box::new(Go::start(&program, target)));
}

struct Nginx {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Nginx {
    fn start(folder: &Path, target: SocketAddr) -> Self {
        let port = free_port();
        configure(folder, port, target);
        let child = Command::new("nginx")
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let nginx = Self {
            child,
            folder: folder.to_owned(),
            port,
        };
        eventually("nginx listens", || {
            TcpStream::connect(nginx.address()).is_ok()
        });
        nginx
    }

    fn workers(&self) -> Vec<u32> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.expect("nginx runs");
        let ids = children.split_whitespace().map(str::parse);
        ids.map(|id| id.expect("an id")).collect()
    }
}

fn configure(folder: &Path, port: u16, target: SocketAddr) {
    let here = folder.display();
    let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {here}/{kind};\n"))
        .collect();
    // Whatever goes wrong with a server is seen, and not tried again.
    let text = format!(
        "daemon off; pid {here}/pid; error_log {here}/errors; worker_processes 2;\n\
         events {{ worker_connections 128; }}\n\
         http {{ access_log off; {places}\n\
         keepalive_requests 100000;\n\
         upstream version {{ server {target}; keepalive 16; keepalive_requests 100000; }}\n\
         server {{ listen 127.0.0.1:{port}; location / {{\n\
         proxy_pass http://version; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         proxy_next_upstream off; }} }} }}\n"
    );
    fs::write(folder.join("nginx.conf"), text).expect("written");
}

impl Proxy for Nginx {
    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    fn switch(&mut self, to: SocketAddr) {
        let before = self.workers();
        configure(&self.folder, self.port, to);
        signal(self.child.id(), "HUP");
        // The workers of before end after the requests that they have.
        eventually("nginx has reloaded", || {
            let now = self.workers();
            !now.is_empty() && before.iter().all(|id| !now.contains(id))
        });
    }

    fn waits_for_responses(&self) -> bool {
        true
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that it ends its workers.
        signal(self.child.id(), "TERM");
        drop(self.child.wait());
    }
}

#[test]
fn nginx_swaps_versions_and_loses_no_request() {
    const NAME: &str = "nginx_swaps_versions_and_loses_no_request";
    if is_again() {
        return serve_version();
    }
    if !can_run("nginx as a proxy", &["nginx", "-v"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    roll_out(NAME, |target| Box::new(Nginx::start(folder.path(), target)));
}
