//! The examples, each in a process of its own: their curl lines as they stand in their comments, and what a curl line does not show.
#![expect(clippy::expect_used, reason = "a failed set-up must fail the test")]

#[path = "../../tests/loopback/mod.rs"]
mod loopback;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use loopback::process::{Process, can_run, example, signal, status};
use loopback::{Client, eventually, get, pattern};
use serde_json::{Value, json};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn start(arguments: &[&str]) -> (Process, SocketAddr) {
    let program = std::env::current_exe().expect("this program");
    Process::example(&example(&program, "axum"), arguments)
}

/// What the curl lines of a module's comment write, each of them, without `Date`. `None` if there is no curl.
fn play(module: &str, address: SocketAddr) -> Option<Vec<String>> {
    if !can_run("curl lines", &["curl", "--version"]) {
        return None;
    }
    let path = format!("{ROOT}/tower/examples/axum/{module}.rs");
    let source = fs::read_to_string(path).expect("a module");
    let lines = source
        .lines()
        .filter_map(|line| line.strip_prefix("//! curl "));
    let played = lines.map(|line| {
        let line = line.replace("localhost:9000", &address.to_string());
        let line = format!("curl --silent --show-error --max-time 30 --noproxy '*' {line}");
        let mut command = Command::new("sh");
        let output = command.current_dir(ROOT).args(["-c", &line]).output();
        let output = output.expect("a shell");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {complaint}");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let kept = text.split_inclusive('\n');
        kept.filter(|line| !line.to_lowercase().starts_with("date:"))
            .collect()
    });
    Some(played.collect())
}

fn values(texts: &[String]) -> Vec<Value> {
    let values = texts.iter().map(|text| serde_json::from_str(text));
    values.collect::<Result<_, _>>().expect("JSON")
}

fn post(path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let len = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

#[test]
fn todos_are_made_changed_listed_and_removed() {
    let (mut server, address) = start(&["todos"]);
    if let Some(played) = play("todos", address) {
        let (done, [.., removed]) = (values(&played[..3]), &played[..]) else {
            panic!("there are lines");
        };
        assert_eq!(
            done,
            [
                json!({ "id": 1, "text": "buy milk", "done": false }),
                json!({ "id": 1, "text": "buy milk", "done": true }),
                json!([{ "id": 1, "text": "buy milk", "done": true }]),
            ]
        );
        assert_eq!(removed, "HTTP/1.1 204 No Content\r\n\r\n");
    }
    let mut client = Client::connect(address);
    for (request, status) in [
        (post("/todos", "application/json", b"{}"), 422),
        (post("/todos", "application/json", b"{"), 400),
        (post("/todos", "text/plain", b"{\"text\":\"a\"}"), 415),
        (get("/todos?limit=many").into_bytes(), 400),
        (b"DELETE /todos/9 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 404),
        (b"PUT /todos HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 405),
    ] {
        let response = client.request(&request);
        let request = String::from_utf8_lossy(&request);
        assert_eq!(response.status, status, "{request}");
    }
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_form_is_shown_and_taken() {
    let (_server, address) = start(&["form"]);
    if let Some(played) = play("form", address) {
        assert!(played[0].contains("<form method=\"post\">"), "{played:?}");
        assert_eq!(played[1], "Ada gets mail at ada@example.com\n");
    }
    let form = "application/x-www-form-urlencoded";
    let mut client = Client::connect(address);
    assert_eq!(client.request(post("/", form, b"name=a")).status, 422);
    assert_eq!(client.request(post("/", "text/plain", b"")).status, 415);
}

const BOUNDARY: &str = "a-boundary";

fn part(name: &str) -> String {
    let disposition = format!("form-data; name=\"file\"; filename=\"{name}\"");
    format!("--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n")
}

#[test]
fn uploads_are_stored_as_they_arrive() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, address) = start(&["upload", folder.path().to_str().expect("UTF-8")]);
    if let Some(played) = play("upload", address) {
        for (name, said) in [("Cargo.toml", &played[0]), ("Cargo.lock", &played[1])] {
            let sent = fs::read(Path::new(ROOT).join(name)).expect("ours");
            let stored = fs::read(folder.path().join(name)).expect("stored");
            assert!(stored == sent, "another {name}");
            assert_eq!(*said, format!("{name}: {} bytes\n", sent.len()));
        }
    }
    // Far more than axum takes by itself, and not held.
    const LEN: usize = 64 * 1024 * 1024;
    let (begin, end) = (part("large.bin"), format!("\r\n--{BOUNDARY}--\r\n"));
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let len = begin.len() + LEN + end.len();
    let mut client = Client::connect(address);
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\n\r\n{begin}"
    ));
    let piece = pattern(1024 * 1024);
    client.send(&piece);
    let large = folder.path().join("large.bin");
    eventually("it is stored while it arrives", || {
        fs::metadata(&large).is_ok_and(|file| file.len() >= 512 * 1024)
    });
    for _ in 1..LEN / piece.len() {
        client.send(&piece);
    }
    client.send(&end);
    let said = client.response();
    assert_eq!(said.text(), format!("large.bin: {LEN} bytes\n"));
    let peak = status(server.id, "VmHWM").expect("a process");
    let peak: u64 = peak.trim_end_matches(" kB").parse().expect("a number");
    assert!(peak <= 24 * 1024, "{peak} KiB");
    // No name leads elsewhere.
    for name in ["../up", "/tmp/up", "..", ""] {
        let body = part(name) + "x" + &end;
        let refused = Client::connect(address).request(post("/", &content_type, body.as_bytes()));
        assert_eq!(refused.status, 422, "{name:?}: {}", refused.text());
    }
    let put = "PUT /file/..%2Fup HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(Client::connect(address).request(put).status, 422);
}

#[test]
fn events_come_one_by_one() {
    let (server, address) = start(&["sse"]);
    let event = |number| format!("id: {number}\ndata: tick {number}\n\n");
    if let Some(played) = play("sse", address) {
        assert_eq!(played, [event(1) + &event(2) + &event(3)]);
    }
    let mut client = Client::connect(address);
    client.send(get("/events?count=4000000000"));
    let head = client.head().expect("a head");
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    assert_eq!(head.field("cache-control"), Some("no-cache"));
    for number in 1..=2 {
        let chunk = client.chunk().expect("a chunk").expect("not the last");
        assert_eq!(String::from_utf8_lossy(&chunk), event(number));
    }
    // A stream of which the peer has gone holds nothing up.
    drop(client);
    let mut server = server;
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn errors_are_json() {
    let (_server, address) = start(&["error_handling"]);
    let Some(played) = play("error_handling", address) else {
        return;
    };
    let cut = "Failed to parse the request body as JSON: name: EOF while parsing a value at line 1 column 8";
    assert_eq!(
        values(&played),
        [
            json!({ "name": "Ada" }),
            json!({ "problem": "a user has a name" }),
            json!({ "problem": cut }),
            json!({ "problem": "no user has the number 7" }),
        ]
    );
    let mut client = Client::connect(address);
    let response = client.request(post("/users", "application/json", b"{\"name\":"));
    assert_eq!(response.status, 400);
    assert_eq!(client.request(get("/users/7")).status, 404);
}

#[test]
fn bodies_stream_both_ways_at_once() {
    let (_server, address) = start(&["streaming"]);
    if let Some(played) = play("streaming", address) {
        assert_eq!(played, ["1\n2\n3\n", "SHOUT"]);
    }
    let mut client = Client::connect(address);
    client.send("POST /loud HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.head().expect("a head").status, 200);
    for word in ["one", "three"] {
        client.send(format!("{:x}\r\n{word}\r\n", word.len()));
        let piece = client.chunk().expect("a chunk").expect("not the last");
        assert_eq!(piece, word.to_uppercase().as_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.chunk().expect("the last chunk"), None);
}

#[test]
fn a_request_has_an_id() {
    let (_server, address) = start(&["request_id"]);
    if let Some(played) = play("request_id", address) {
        assert!(
            played[0].contains("\r\nx-request-id: mine\r\n"),
            "{played:?}"
        );
        assert!(played[0].ends_with("\r\n\r\nrequest mine\n"), "{played:?}");
    }
    let mut client = Client::connect(address);
    let [first, second] = [(); 2].map(|()| client.request(get("/")));
    for response in [&first, &second] {
        let id = response.field("x-request-id").expect("an id");
        assert_eq!((id.len(), response.text()), (36, format!("request {id}\n")));
    }
    assert_ne!(first.body, second.body);
}

#[test]
fn requests_and_responses_are_logged_on_stderr() {
    let (server, address) = start(&["logging"]);
    let client = Client::connect(address).request(get("/hello/you"));
    assert_eq!(client.text(), "hello, you\n");
    let span = "request{method=GET uri=/hello/you version=HTTP/1.1}";
    for rest in [
        "tower_http::trace::on_request: started processing request",
        "axum::logging: greeting name=\"you\"",
        "tower_http::trace::on_response: finished processing request latency=",
    ] {
        let line = server.line().expect("a line");
        let expected = format!(" INFO {span}: {rest}");
        assert!(line.starts_with(&expected), "{line}");
    }
    if let Some(played) = play("logging", address) {
        assert_eq!(played, ["hello, you\n"]);
    }
}

#[test]
fn a_stop_waits_for_responses_and_ends_a_stream() {
    let (mut server, address) = start(&["shutdown"]);
    if let Some(played) = play("shutdown", address) {
        assert_eq!(played[0], "done\n");
        assert!(played[1].starts_with("tick 1\ntick 2\n"), "{played:?}");
    }
    let mut endless = Client::connect(address);
    endless.send(get("/clock"));
    assert_eq!(endless.head().expect("a head").status, 200);
    assert!(endless.chunk().expect("a chunk").is_some(), "it runs");
    let mut idle = Client::connect(address);
    let mut busy = Client::connect(address);
    busy.send(get("/slow"));
    // The loop has read it: it has read what was sent after it.
    assert_eq!(idle.request(get("/nowhere")).status, 404);
    signal(server.id, "TERM");
    let response = busy.response();
    assert_eq!(
        (response.status, response.text()),
        (200, "done\n".to_owned())
    );
    assert_eq!(response.field("connection"), Some("close"));
    assert!(idle.is_at_end(), "an idle connection is closed");
    let end = endless.chunked().expect("it ends as it should");
    let end = String::from_utf8(end).expect("UTF-8");
    assert!(end.ends_with("good-bye\n"), "{end}");
    assert_eq!(server.ended().code(), Some(0));
}

#[cfg(feature = "tokio")]
#[test]
fn files_of_a_folder_come_with_types_and_ranges() {
    let (_server, address) = start(&["static_files", ROOT]);
    if let Some(played) = play("static_files", address) {
        assert!(played[0].starts_with("HTTP/1.1 206 "), "{played:?}");
        assert!(
            played[0].contains("content-range: bytes 0-7/"),
            "{played:?}"
        );
        assert!(played[0].ends_with("\r\n\r\n[workspa"), "{played:?}");
        assert_eq!(played[1], "no such page\n");
    }
    let mut client = Client::connect(address);
    let page = client.request(get("/assets/benches/report/index.html"));
    assert_eq!(page.field("content-type"), Some("text/html"));
    let sent = fs::read(Path::new(ROOT).join("benches/report/index.html"));
    assert!(page.body == sent.expect("ours"), "another page");
    let since = page.field("last-modified").expect("a date");
    let again = format!(
        "GET /assets/benches/report/index.html HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: {since}\r\n\r\n"
    );
    assert_eq!(client.request(again).status, 304);
    assert_eq!(client.request(get("/assets/..%2Fsecret")).status, 404);
}
