//! An application of axum's on coldstart and on axum's own server: the same requests get the same responses.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "what a test cannot set up must fail it, and the bank has a thread of its own"
)]

#[path = "../../tests/loopback/mod.rs"]
mod loopback;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread;

use loopback::process::{Process, example};
use loopback::{Client, get, pattern};
use tempfile::TempDir;

/// Serves exchange rates to both, one request a connection, as long as the test runs.
fn bank() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let place = format!("http://{}", listener.local_addr().expect("a socket"));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut client = Client::over(stream.expect("a connection"));
            let head = client.request_head();
            let currency = head.split([' ', '/']).nth(2).expect("a path");
            let (status, body) = match currency {
                "EUR" => ("200 OK", r#"{"per_hundred":90}"#),
                "CUT" => continue,
                "ODD" => ("200 OK", "odd"),
                _ => ("404 Not Found", ""),
            };
            let len = body.len();
            client.send(format!(
                "HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}"
            ));
        }
    });
    place
}

struct Shop {
    process: Process,
    address: SocketAddr,
    client: Client,
    photos: TempDir,
}

/// The two of them.
fn shops() -> [Shop; 2] {
    let program = std::env::current_exe().expect("this program");
    let bank = bank();
    [true, false].map(|is_ours| {
        let photos = tempfile::tempdir().expect("a folder");
        let folder = photos.path().to_str().expect("UTF-8");
        let (process, address) = if is_ours {
            Process::example(&example(&program, "shop"), &[&bank, folder])
        } else {
            let mut command = Command::new(example(&program, "shop_on_hyper"));
            let process = Process::start(command.args([&bank, folder]));
            let line = process.line().expect("a line on stderr");
            let address = line.strip_prefix("listening on ").expect("an address");
            (process, address.parse().expect("an address"))
        };
        Shop {
            process,
            address,
            client: Client::connect(address),
            photos,
        }
    })
}

/// What is compared: the status, the fields but `Date`, the body.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: u16,
    fields: Vec<String>,
    body: Vec<u8>,
}

fn ask(client: &mut Client, request: &[u8]) -> Seen {
    client.send(request);
    let head = client.head().expect("a head");
    let has_body = !request.starts_with(b"HEAD") && ![204, 304].contains(&head.status);
    let body = match head.field("content-length") {
        _ if !has_body => Vec::new(),
        Some(len) => {
            let mut body = vec![0; len.parse().expect("a length")];
            client.read_exact(&mut body);
            body
        }
        None => client.chunked().expect("a whole body"),
    };
    let lines = head
        .head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "));
    let fields = lines.map(|(name, value)| format!("{}: {value}", name.to_lowercase()));
    let mut fields: Vec<String> = fields
        .filter(|field| !field.starts_with("date: "))
        .collect();
    if request.starts_with(b"HEAD") {
        // RFC 9112, section 6.1, lets a server say it of the body that GET would have: coldstart does, and hyper does not.
        fields.retain(|field| field != "transfer-encoding: chunked");
    }
    fields.sort();
    Seen {
        status: head.status,
        fields,
        body,
    }
}

/// Asks both, and returns what both have said.
fn ask_both(shops: &mut [Shop; 2], request: impl AsRef<[u8]>) -> Seen {
    let request = request.as_ref();
    let [ours, theirs] = shops.each_mut().map(|shop| ask(&mut shop.client, request));
    let head = request.split(|byte| *byte == b'\r').next();
    let head = String::from_utf8_lossy(head.unwrap_or_default());
    assert_eq!(ours, theirs, "{head}");
    ours
}

fn send(method: &str, path: &str, fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let len = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {len}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

const OWNER: &str = "Authorization: Bearer open-sesame\r\n";
const JSON: &str = "Content-Type: application/json\r\n";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

fn add(name: &str, cents: u64) -> Vec<u8> {
    let draft = format!(r#"{{"name":"{name}","cents":{cents}}}"#);
    send("POST", "/products", &format!("{OWNER}{JSON}"), draft)
}

#[test]
fn both_programs_have_one_application_that_names_no_server() {
    let read = |name: &str| {
        let path = format!("{}/examples/shop/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        fs::read_to_string(path).expect("a source")
    };
    let app = read("app");
    for server in ["coldstart", "hyper::", "axum::serve", "cfg("] {
        assert!(!app.contains(server), "{server}");
    }
    for main in [read("main"), read("on_hyper")] {
        assert!(
            main.contains("\nmod app;\n") && !main.contains("#[path"),
            "{main}"
        );
    }
}

#[test]
fn the_same_requests_get_the_same_responses() {
    let mut shops = shops();
    let both = &mut shops;
    for (request, status) in [
        (get("/").into_bytes(), 200),
        (get("/products").into_bytes(), 200),
        (send("POST", "/products", JSON, "{}"), 401),
        (add("tea", 450), 201),
        (add("pot", 2_000), 201),
        (add(" ", 1), 422),
        (
            send("POST", "/products", &format!("{OWNER}{JSON}"), "{"),
            400,
        ),
        (send("POST", "/products", OWNER, "{}"), 415),
        (get("/products?cents_max=1000").into_bytes(), 200),
        (get("/products?offset=x").into_bytes(), 400),
        (get("/products/2").into_bytes(), 200),
        (get("/products/two").into_bytes(), 400),
        (get("/products/9").into_bytes(), 404),
        (send("HEAD", "/products/2", "", ""), 200),
        (send("PUT", "/products/2", "", ""), 405),
        (get("/products/1/price/EUR").into_bytes(), 200),
        (get("/products/1/price/CUT").into_bytes(), 502),
        (get("/products/1/price/ODD").into_bytes(), 502),
        (get("/products/1/price/ZZZ").into_bytes(), 502),
        (send("DELETE", "/products/2", OWNER, ""), 204),
        (get("/export").into_bytes(), 200),
        (send("HEAD", "/export", "", ""), 200),
        (send("POST", "/orders", FORM, "product=1&count=2"), 303),
        (send("POST", "/orders", FORM, "product=1"), 422),
        (send("POST", "/orders", FORM, "product=7&count=2"), 404),
        (get("/thanks").into_bytes(), 200),
        (get("/whoami").into_bytes(), 200),
        (send("GET", "/whoami", "X-Request-Id: mine\r\n", ""), 200),
        (get("/broken").into_bytes(), 500),
        (get("/no/such/page").into_bytes(), 404),
        (
            send(
                "OPTIONS",
                "/products",
                "Origin: http://b\r\nAccess-Control-Request-Method: PUT\r\n",
                "",
            ),
            200,
        ),
        (send("GET", "/", "Origin: http://b\r\n", ""), 200),
        (send("GET", "/export", "Accept-Encoding: gzip\r\n", ""), 200),
        (get("/%ff?%").into_bytes(), 404),
    ] {
        let seen = ask_both(both, &request);
        let text = String::from_utf8_lossy(&seen.body);
        assert_eq!(
            seen.status,
            status,
            "{}: {text}",
            String::from_utf8_lossy(&request)
        );
    }
    let [ours, _theirs] = &mut shops;
    assert_eq!(ours.process.stop(), Some(0));
}

#[test]
fn uploads_and_files_are_the_same() {
    let mut shops = shops();
    let both = &mut shops;
    ask_both(both, add("tea", 450));
    let photo = pattern(3_000_000);
    let form = |name: &str| {
        let begin = format!(
            "--b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n"
        );
        [begin.as_bytes(), &photo, b"\r\n--b--\r\n"].concat()
    };
    let fields = format!("{OWNER}Content-Type: multipart/form-data; boundary=b\r\n");
    for (request, status) in [
        (
            send("POST", "/products/1/photo", &fields, form("photo")),
            201,
        ),
        (
            send("POST", "/products/1/photo", &fields, form("other")),
            422,
        ),
        (
            send("POST", "/products/1/photo", &fields, "--b\r\nodd"),
            400,
        ),
        (send("POST", "/products/1/photo", OWNER, "odd"), 400),
        (get("/photos/2.png").into_bytes(), 404),
        (get("/photos/..%2Fa").into_bytes(), 404),
    ] {
        let head = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
        assert_eq!(ask_both(both, request).status, status, "{head}");
    }
    for shop in &*both {
        let stored = fs::read(shop.photos.path().join("1.png")).expect("it is stored");
        assert!(stored == photo, "another photo");
    }
    for (range, status) in [("0-9", 206), ("2999990-", 206), ("4000000-", 416)] {
        let part = send(
            "GET",
            "/photos/1.png",
            &format!("Range: bytes={range}\r\n"),
            "",
        );
        // The files are of two moments.
        let [ours, theirs] = both.each_mut().map(|shop| {
            let mut seen = ask(&mut shop.client, &part);
            seen.fields
                .retain(|field| !field.starts_with("last-modified: "));
            seen
        });
        assert_eq!(ours, theirs, "{range}");
        assert_eq!(ours.status, status, "{range}");
    }
    let whole = both
        .each_mut()
        .map(|shop| ask(&mut shop.client, get("/photos/1.png").as_bytes()));
    for seen in whole {
        assert!(seen.body == photo, "another photo");
    }
}

#[test]
fn news_comes_as_it_happens() {
    let mut shops = shops();
    let mut streams = shops.each_ref().map(|shop| {
        let mut client = Client::connect(shop.address);
        client.send(get("/news"));
        let head = client.head().expect("a head");
        assert_eq!(head.field("content-type"), Some("text/event-stream"));
        client
    });
    ask_both(&mut shops, add("tea", 450));
    // This one is sent by a task, after a timer.
    ask_both(
        &mut shops,
        send("POST", "/orders", FORM, "product=1&count=2"),
    );
    for stream in &mut streams {
        for text in ["new: tea", "sent: 2 tea"] {
            let event = stream.chunk().expect("a chunk").expect("not the last");
            let expected = format!("event: news\ndata: {text}\n\n");
            assert_eq!(String::from_utf8_lossy(&event), expected);
        }
    }
}
