//! The MCP server of the examples, called by the official clients for Python and TypeScript, and byte by byte.
//!
//! MCP has two eras: sessions until 2025-11-25, and requests that stand alone since 2026-07-28. `tower/ci-setup`
//! installs the clients.
#![expect(clippy::expect_used, reason = "a failed set-up must fail the test")]

#[path = "../../tests/loopback/mod.rs"]
mod loopback;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use loopback::process::{Process, can_run};
use loopback::{Client, HttpResponse, eventually};

const OLD: &str = "2025-06-18";
const NEW: &str = "2026-07-28";

/// The example's server, with sessions for clients of the old era or without.
fn start(mode: &str) -> (Process, SocketAddr) {
    Process::serve(|port| {
        let mut command = Command::new(example());
        command
            .env("FC_CUSTOM_LISTEN_PORT", port.to_string())
            .arg(mode);
        command
    })
}

/// The example as built by `cargo test`, in a folder above that of this test.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    let mut folders = test.ancestors().map(|folder| folder.join("examples/mcp"));
    let built = folders.find(|path| path.is_file());
    built.expect("run: cargo build -p coldstart-tower --features tokio --example mcp")
}

// The official clients.

/// A client's program, and how it names the two eras.
struct Official {
    program: PathBuf,
    script: &'static str,
    old: &'static str,
}

/// None is missing in CI.
fn official() -> Vec<Official> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mcp");
    let python = here.join("venv/bin/python");
    let node = PathBuf::from("node");
    let clients = here.join("node_modules/@modelcontextprotocol/client/package.json");
    let has_clients = format!("require({clients:?})");
    let mut found = Vec::new();
    if can_run(
        "MCP by its client for Python",
        &[python.as_os_str(), "-c".as_ref(), "import mcp".as_ref()],
    ) {
        found.push(Official {
            program: python,
            script: "client.py",
            old: "legacy",
        });
    }
    if can_run(
        "MCP by its clients for TypeScript",
        &["node", "-e", &has_clients],
    ) {
        found.push(Official {
            program: node.clone(),
            script: "client.mjs",
            old: "legacy",
        });
        found.push(Official {
            program: node,
            script: "client.mjs",
            old: "sdk",
        });
    }
    found
}

impl Official {
    fn command(&self, address: SocketAddr, rest: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(self.script)
            .arg(format!("http://{address}/mcp"))
            .args(rest)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mcp"))
            .stdin(Stdio::null());
        command
    }

    /// What it prints after every kind of call.
    fn transcript(&self, address: SocketAddr, era: &str) -> String {
        let done = self.command(address, &[era]).output().expect("it runs");
        let printed = String::from_utf8_lossy(&done.stdout).into_owned();
        let complained = String::from_utf8_lossy(&done.stderr);
        assert!(
            done.status.success(),
            "{} {era}: {printed}{complained}",
            self.script
        );
        printed
    }

    /// Calls a tool that never ends, and is killed once two of its reports have arrived.
    fn killed_in_a_call(&self, address: SocketAddr, era: &str, while_open: impl FnOnce()) {
        let mut command = self.command(address, &[era, "endless"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
        let output = child.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        for step in ["step 1", "step 2"] {
            assert_eq!(lines.next().as_deref(), Some(step), "{} {era}", self.script);
        }
        while_open();
        child.kill().expect("a child");
        child.wait().expect("a child");
    }
}

/// What every client prints.
fn expected(era: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/mcp/{era}.txt"));
    fs::read_to_string(path).expect("the transcript")
}

#[test]
fn the_official_clients_see_the_same_in_both_eras() {
    let (mut server, address) = start("sessions");
    for client in official() {
        let name = format!("{} {}", client.script, client.old);
        assert_eq!(
            client.transcript(address, client.old),
            expected(OLD),
            "{name}"
        );
        if client.old != "sdk" {
            assert_eq!(client.transcript(address, "auto"), expected(NEW), "{name}");
        }
    }
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn the_official_clients_need_no_session() {
    let (mut server, address) = start("stateless");
    for client in official() {
        // The session itself is all that is missing: nothing is ended by DELETE.
        let alone = expected(OLD).replace("methods DELETE GET POST", "methods GET POST");
        let printed = client
            .transcript(address, client.old)
            .replace("methods POST", "methods GET POST");
        assert_eq!(printed, alone, "{} {}", client.script, client.old);
        if client.old != "sdk" {
            assert_eq!(
                client.transcript(address, "auto"),
                expected(NEW),
                "{}",
                client.script
            );
        }
    }
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_client_that_is_killed_leaves_nothing_behind() {
    for client in official() {
        for era in [client.old, "auto"] {
            if era == "auto" && client.old == "sdk" {
                continue;
            }
            let (mut server, address) = start("sessions");
            let mut watched = Watched::new(&server, address);
            client.killed_in_a_call(address, era, || {
                assert_eq!(watched.running(), 1, "{} {era}", client.script);
            });
            eventually("its descriptors are closed", || watched.is_alone());
            if era == "auto" {
                eventually("its work is dropped", || watched.running() == 0);
                assert_eq!(
                    client.transcript(address, era),
                    expected(NEW),
                    "the next client"
                );
            } else {
                // The client may come back and resume the stream: that is what the session is for.
                assert_eq!(watched.running(), 1, "{} {era}", client.script);
            }
            assert_eq!(server.stop(), Some(0), "{} {era}", client.script);
        }
    }
}

// Byte by byte.

/// A request. `fields` end with CR LF each.
fn post(fields: &str, body: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A request of the new era, which says in its fields what it is and in its body who asks.
fn alone(method: &str, name: &str, params: &str) -> String {
    let key = "io.modelcontextprotocol";
    let meta = format!(
        r#""progressToken":7,"{key}/protocolVersion":"{NEW}","{key}/clientInfo":{{"name":"bytes","version":"1"}},"{key}/clientCapabilities":{{}}"#
    );
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":2,"method":"{method}","params":{{{params},"_meta":{{{meta}}}}}}}"#
    );
    let fields =
        format!("MCP-Protocol-Version: {NEW}\r\nMcp-Method: {method}\r\nMcp-Name: {name}\r\n");
    post(&fields, &body)
}

/// A call of `count`, in a session or alone.
fn count(session: Option<&str>, to: u32, pause: u32) -> String {
    let params = format!(r#""name":"count","arguments":{{"to":{to},"pause":{pause}}}"#);
    let Some(session) = session else {
        return alone("tools/call", "count", &params);
    };
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{{{params},"_meta":{{"progressToken":7}}}}}}"#
    );
    post(&of(session), &body)
}

fn of(session: &str) -> String {
    format!("Mcp-Session-Id: {session}\r\n")
}

/// Asks for what the server has to say without being asked.
fn listen(session: &str) -> String {
    format!(
        "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{}\r\n",
        of(session)
    )
}

fn end(session: &str) -> String {
    format!(
        "DELETE /mcp HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
        of(session)
    )
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"bytes","version":"1"}}}"#;

/// Begins a session, and returns its id.
fn open(address: SocketAddr) -> String {
    let (head, mut events) = Events::of(address, &post("", INITIALIZE));
    let session = head.field("mcp-session-id").expect("a session").to_owned();
    let hint = events.next().expect("the hint to come back").data;
    assert_eq!(hint, "", "it has no message");
    let answer = events.next().expect("the answer").data;
    assert!(
        answer.contains(OLD) && answer.contains("counter"),
        "{answer}"
    );
    assert_eq!(events.next(), None, "nothing follows the answer");
    let begun = post(
        &of(&session),
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
    );
    let taken = Client::connect(address).request(begun).status;
    assert_eq!(taken, 202, "a notification gets no answer");
    session
}

/// A server, and a connection that asks it what it does.
struct Watched {
    id: u32,
    client: Client,
    descriptors: usize,
}

impl Watched {
    fn new(server: &Process, address: SocketAddr) -> Self {
        let client = Client::connect(address);
        let mut watched = Self {
            id: server.id,
            client,
            descriptors: 0,
        };
        // The first request starts what stays: the runtime and its descriptors.
        assert_eq!(watched.running(), 0, "nothing is called yet");
        watched.descriptors = watched.descriptors();
        watched
    }

    /// How many calls of `count` are at work.
    fn running(&mut self) -> usize {
        let uri = "counter://running";
        let read = alone("resources/read", uri, &format!(r#""uri":"{uri}""#));
        let body = self.client.request(read).text();
        let text = body.split(r#""text":""#).nth(1).expect("a text");
        let digits = text.split('"').next().expect("its end");
        digits.parse().expect("a number")
    }

    fn descriptors(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.id));
        open.expect("a process").count()
    }

    /// Whether all connections but its own are closed.
    fn is_alone(&self) -> bool {
        self.descriptors() == self.descriptors
    }
}

/// The events of one response, as they arrive.
#[derive(Debug)]
struct Events {
    client: Client,
    text: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Event {
    id: Option<String>,
    data: String,
}

impl Events {
    fn of(address: SocketAddr, request: &str) -> (HttpResponse, Self) {
        let mut client = Client::connect(address);
        client.send(request);
        let head = client.head().expect("a head");
        assert_eq!(head.status, 200, "{}", head.head);
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("transfer-encoding", "chunked"),
        ] {
            assert_eq!(head.field(name), Some(value), "{}", head.head);
        }
        let text = String::new();
        (head, Self { client, text })
    }

    /// `None` after the last chunk.
    fn next(&mut self) -> Option<Event> {
        while !self.text.contains("\n\n") {
            let chunk = self.client.chunk().expect("a chunk")?;
            self.text.push_str(&String::from_utf8(chunk).expect("text"));
        }
        let (event, rest) = self.text.split_once("\n\n").expect("an end");
        let field = |name: &str| {
            let line = event.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim_start().to_owned())
        };
        let event = Event {
            id: field("id:"),
            data: field("data:").unwrap_or_default(),
        };
        self.text = rest.to_owned();
        Some(event)
    }

    fn all(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

#[test]
fn a_session_is_begun_used_and_ended() {
    let (mut server, address) = start("sessions");
    let session = open(address);
    let (_, mut events) = Events::of(address, &count(Some(&session), 2, 1));
    let events = events.all();
    let ids: Vec<_> = events.iter().map(|event| event.id.as_deref()).collect();
    assert_eq!(ids, [Some("0/0"), Some("1/0"), Some("2/0"), Some("3/0")]);
    assert!(events[1].data.contains(r#""progress":1.0"#), "{events:?}");
    assert!(events[3].data.contains("counted to 2"), "{events:?}");

    let (_, mut unasked) = Events::of(address, &listen(&session));
    assert_eq!(unasked.next().expect("the hint to come back").data, "");

    let mut client = Client::connect(address);
    assert_eq!(client.request(end(&session)).status, 202);
    assert_eq!(unasked.next(), None, "the stream ends with its session");
    let gone = client.request(count(Some(&session), 2, 1));
    assert_eq!(
        (gone.status, gone.text()),
        (404, "Not Found: Session not found".to_owned())
    );
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_stream_that_was_cut_is_resumed_after_its_last_event() {
    let (mut server, address) = start("sessions");
    let session = open(address);
    let (_, mut cut) = Events::of(address, &count(Some(&session), 100, 5));
    let last = loop {
        let event = cut.next().expect("an event");
        if event.data.contains(r#""progress":3.0"#) {
            break event.id.expect("an id");
        }
    };
    drop(cut);
    let resume = format!(
        "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{}Last-Event-ID: {last}\r\n\r\n",
        of(&session)
    );
    let (_, mut events) = Events::of(address, &resume);
    for step in 4..=100 {
        let mut message = events.next().expect("the next event").data;
        // rmcp repeats the event that was named.
        if message.contains(r#""progress":3.0,"#) {
            message = events.next().expect("the next event").data;
        }
        assert!(
            message.contains(&format!(r#""progress":{step}.0,"#)),
            "{message}"
        );
    }
    let answer = events.next().expect("the answer").data;
    assert!(answer.contains("counted to 100"), "{answer}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn work_ends_with_its_session_or_its_request() {
    let (mut server, address) = start("sessions");
    let mut watched = Watched::new(&server, address);

    let session = open(address);
    let (_, mut in_session) = Events::of(address, &count(Some(&session), 1_000_000, 5));
    while in_session.next().expect("an event").data.is_empty() {}
    drop(in_session);
    eventually("its descriptor is closed", || watched.is_alone());
    assert_eq!(watched.running(), 1, "the stream may be resumed");
    assert_eq!(Client::connect(address).request(end(&session)).status, 202);
    eventually("its work is dropped", || watched.running() == 0);

    let (_, mut events) = Events::of(address, &count(None, 1_000_000, 5));
    assert!(events.next().expect("an event").data.contains("progress"));
    assert_eq!(watched.running(), 1, "the stream is open");
    drop(events);
    eventually("its work is dropped", || watched.running() == 0);
    eventually("its descriptor is closed", || watched.is_alone());
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn streams_end_when_the_server_stops() {
    let (mut server, address) = start("sessions");
    let session = open(address);
    let (_, mut listening) = Events::of(address, &listen(&session));
    let (_, mut in_session) = Events::of(address, &count(Some(&session), 1_000_000, 5));
    let (_, mut alone) = Events::of(address, &count(None, 1_000_000, 5));
    for events in [&mut listening, &mut in_session, &mut alone] {
        events.next().expect("an event");
    }
    server.signal("TERM");
    for events in [&mut listening, &mut in_session, &mut alone] {
        // Each has its last chunk.
        events.all();
    }
    assert_eq!(server.ended().code(), Some(0));
    let lines = server.lines_so_far();
    assert!(!lines.iter().any(|line| line.contains("cut")), "{lines:?}");
}

#[test]
fn requests_that_stand_alone_are_only_posted() {
    for mode in ["sessions", "stateless"] {
        let (mut server, address) = start(mode);
        let mut client = Client::connect(address);
        let add = alone(
            "tools/call",
            "add",
            r#""name":"add","arguments":{"a":2,"b":40}"#,
        );
        for _ in 0..3 {
            let sum = client.request(&add);
            assert_eq!(sum.field("content-type"), Some("application/json"));
            assert_eq!(sum.field("mcp-session-id"), None);
            assert!(
                sum.text().contains(r#""structuredContent":{"sum":42}"#),
                "{}",
                sum.text()
            );
        }
        for method in ["GET", "DELETE"] {
            let refused = client.request(format!(
                "{method} /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\
                 MCP-Protocol-Version: {NEW}\r\n\r\n"
            ));
            assert_eq!(
                (refused.status, refused.field("allow")),
                (405, Some("POST")),
                "{method}"
            );
        }
        // A client may pipeline; the server's loop is one thread.
        client.send([add.clone(), add.clone(), count(None, 2, 1), add].concat());
        for _ in 0..2 {
            assert_eq!(client.response().status, 200);
        }
        client.head().expect("a stream");
        let counted = String::from_utf8(client.chunked().expect("its end")).expect("text");
        assert!(counted.contains("counted to 2"), "{counted}");
        assert!(
            client.response().text().contains("42"),
            "the one after the stream"
        );
        assert_eq!(server.stop(), Some(0));
    }
}

#[test]
fn requests_that_break_a_rule_are_refused() {
    let (mut server, address) = start("sessions");
    let ping = r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#;
    let accept = "Accept: application/json, text/event-stream";
    let typed = "Content-Type: application/json";
    let good = post("", INITIALIZE);
    let long = format!("\"{}\"", "x".repeat(4 * 1024 * 1024));
    for (why, request, status) in [
        (
            "DNS rebinding: the host",
            good.replace("localhost", "evil.example"),
            403,
        ),
        (
            "DNS rebinding: the page",
            good.replace(accept, &format!("{accept}\r\nOrigin: http://evil.example")),
            403,
        ),
        (
            "no events accepted",
            good.replace(accept, "Accept: application/json"),
            406,
        ),
        (
            "no JSON accepted",
            good.replace(accept, "Accept: text/event-stream"),
            406,
        ),
        (
            "not JSON",
            good.replace(typed, "Content-Type: text/plain"),
            415,
        ),
        ("no session", post("", ping), 400),
        ("an unknown session", post(&of("nobody"), ping), 404),
        (
            "an unknown version",
            post("MCP-Protocol-Version: 1999-01-01\r\n", ping),
            400,
        ),
        (
            "a field that is not the body's",
            alone("tools/call", "subtract", r#""name":"add""#),
            400,
        ),
        ("no message", post("", "{}"), 415),
        ("a body that is too long", post("", &long), 413),
        ("another method", good.replacen("POST", "PUT", 1), 405),
        ("another path", good.replacen("/mcp", "/other", 1), 404),
    ] {
        let response = Client::connect(address).request(&request);
        assert_eq!(response.status, status, "{why}: {}", response.text());
    }
    assert_eq!(server.stop(), Some(0));
}
