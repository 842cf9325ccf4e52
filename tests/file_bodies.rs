//! Bodies from files over real sockets: whole, in part, long, cut short, and of what is no ordinary file.
#![expect(
    clippy::expect_used,
    clippy::disallowed_types,
    reason = "a failed set-up must fail the test, which sets up sockets by hand"
)]

mod loopback;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use coldstart::server::{ServerEvent, Timeouts};
use coldstart::{Body, Request, Response, Status};
use socket2::{Domain, Socket, Type};

use loopback::server::{Running, on_loopback};
use loopback::{Client, PATIENCE, eventually, get, pattern};

/// More than a socket takes at once.
const LONG: usize = 9_000_000;

/// A file that is removed afterwards.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("file-{name}")))
    }

    fn with(name: &str, bytes: &[u8]) -> Self {
        let place = Self::new(name);
        fs::write(&place.0, bytes).expect("a file");
        place
    }

    /// Whether this process, which is the server, has it open.
    fn is_open(&self) -> bool {
        let descriptors = fs::read_dir("/proc/self/fd").expect("/proc").flatten();
        let mut open = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
        open.any(|path| path == self.0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// `/0-99` is the first hundred bytes of the file.
fn serve(server: coldstart::Server, path: &Path) -> Running {
    let path = path.to_owned();
    Running::start(server, move |request: &Request<'_>| {
        let range = request.path().trim_start_matches('/').split_once('-');
        let ends = range.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
        let Some((first, last)) = ends else {
            return Response::text("no file\n");
        };
        // A FIFO that is open for both directions waits for no writer.
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        match opened.or_else(|_| File::open(&path)) {
            Ok(file) => Response::bytes(Body::file(file, first..last)),
            Err(_) => Response::new(Status::NOT_FOUND),
        }
    })
}

/// A client with a tiny receive buffer.
fn narrow_client(server: &Running) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a socket");
    let connected = socket.connect(&server.address.into());
    connected.expect("the server listens");
    Client::over(socket.into())
}

/// The next event after that it listens.
fn reported(server: &Running) -> Option<ServerEvent> {
    let events = core::iter::from_fn(|| server.events.recv_timeout(PATIENCE).ok());
    let mut events = events.filter(|event| !matches!(event, ServerEvent::Listening(_)));
    events.next()
}

#[test]
fn parts_of_a_file_arrive_in_order_between_other_responses_whatever_their_length() {
    let bytes = pattern(LONG);
    let place = Place::with("order", &bytes);
    let server = serve(on_loopback(), &place.0);
    let parts = [
        0..LONG,
        0..0,
        5..6,
        100..16_484,
        100..16_485,
        1..65_537,
        0..65_536,
        LONG - 600_001..LONG,
    ];
    let mut client = narrow_client(&server);
    let mut requests = String::new();
    for part in &parts {
        requests += &get(&format!("/{}-{}", part.start, part.end));
        requests += &get("/other");
        let head = format!(
            "HEAD /{}-{} HTTP/1.1\r\nHost: test\r\n\r\n",
            part.start, part.end
        );
        requests += &head;
    }
    client.send(requests);
    for part in parts {
        let response = client.response();
        assert_eq!(response.status, 200);
        assert!(response.body == bytes[part.clone()], "{part:?}");
        assert_eq!(client.response().text(), "no file\n");
        let head = client.head().expect("a response to HEAD");
        let len = head.field("content-length").map(str::to_owned);
        assert_eq!(len, Some(part.len().to_string()));
    }
    eventually("the file is closed", || !place.is_open());
    server.stop();
}

#[test]
fn two_clients_get_a_long_file_each_while_a_third_is_served() {
    let bytes = pattern(LONG);
    let place = Place::with("several", &bytes);
    let server = serve(on_loopback(), &place.0);
    let whole = get(&format!("/0-{LONG}"));
    let mut clients = [Client::connect(server.address), narrow_client(&server)];
    for client in &clients {
        client.send(&whole);
    }
    let mut third = Client::connect(server.address);
    for _ in 0..20 {
        assert_eq!(third.request(get("/other")).status, 200);
    }
    for client in &mut clients {
        assert!(client.response().body == bytes, "the whole file");
    }
    server.stop();
}

#[test]
fn a_peer_that_leaves_within_a_file_costs_no_descriptor_and_disturbs_nobody() {
    let place = Place::with("leave", &pattern(LONG));
    let server = serve(on_loopback(), &place.0);
    let whole = get(&format!("/0-{LONG}"));
    for is_reset in [false, true] {
        let mut client = narrow_client(&server);
        client.send(&whole);
        assert_eq!(client.head().expect("a response").status, 200);
        assert!(place.is_open(), "it is sent");
        if !is_reset {
            // With bytes unread, a close alone is a reset as well.
            client.shut_down_output();
        }
        drop(client);
        eventually("the file is closed", || !place.is_open());
    }
    let mut other = Client::connect(server.address);
    assert_eq!(other.request(get("/other")).status, 200);
    server.stop();
}

#[test]
fn a_peer_that_reads_nothing_of_a_file_is_cut_after_its_time() {
    let place = Place::with("unread", &pattern(LONG));
    let timeouts = Timeouts::new().write(Duration::from_millis(300));
    let server = serve(on_loopback().timeouts(timeouts), &place.0);
    let mut client = narrow_client(&server);
    client.send(get(&format!("/0-{LONG}")));
    assert_eq!(client.head().expect("a response").status, 200);
    eventually("the file is closed", || !place.is_open());
    let rest = client.rest().map_or(0, |rest| rest.len());
    assert!(rest < LONG, "it is cut");
    server.stop();
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_cuts_the_response() {
    let place = Place::with("shrinks", &pattern(LONG));
    let server = serve(on_loopback(), &place.0);
    let mut client = narrow_client(&server);
    client.send([get(&format!("/0-{LONG}")), get("/other")].concat());
    assert_eq!(client.head().expect("a response").status, 200);
    let file = OpenOptions::new().write(true).open(&place.0);
    let cut = file.and_then(|file| file.set_len(70_000));
    cut.expect("the file can be cut");
    let rest = client.rest().map_or(0, |rest| rest.len());
    assert!(rest < LONG, "{rest} bytes");
    assert_eq!(reported(&server), Some(ServerEvent::BodyLengthWrong));
    server.stop();
}

#[test]
fn a_file_that_is_shorter_than_its_range_cuts_the_response_after_its_bytes() {
    let bytes = pattern(80_000);
    let place = Place::with("shorter", &bytes);
    let server = serve(on_loopback(), &place.0);
    for (first, last) in [
        (0, 80_001),
        (0, 9_000_000),
        (79_990, 80_100),
        (90_000, 190_000),
    ] {
        let mut client = Client::connect(server.address);
        client.send(get(&format!("/{first}-{last}")));
        let head = client.head().expect("a response");
        assert_eq!(
            head.field("content-length"),
            Some(&*(last - first).to_string())
        );
        let rest = client.rest().expect("an end, and no reset");
        let sent = bytes.get(first..).unwrap_or_default();
        assert!(rest == sent, "{} bytes of {first}-{last}", rest.len());
        assert_eq!(reported(&server), Some(ServerEvent::BodyLengthWrong));
    }
    server.stop();
}

#[test]
fn positions_beyond_four_gigabytes_are_sent_from_a_sparse_file() {
    let place = Place::new("sparse");
    let at = 5_u64 << 30;
    let bytes = pattern(100_000);
    let file = File::create(&place.0).expect("a file");
    file.set_len(at + 200_000).expect("a sparse file");
    file.write_all_at(&bytes, at).expect("it takes bytes");
    drop(file);
    let server = serve(on_loopback(), &place.0);
    let mut client = Client::connect(server.address);
    let part = client.request(get(&format!("/{at}-{}", at + 200_000)));
    assert!(part.body[..100_000] == bytes, "the bytes");
    assert!(part.body[100_000..].iter().all(|byte| *byte == 0), "zeroes");
    client.send(get(&format!("/0-{}", at + 200_000)));
    let head = client.head().expect("a response");
    let announced = (at + 200_000).to_string();
    assert_eq!(head.field("content-length"), Some(&*announced));
    let mut begin = vec![1; 3_000_000];
    client.read_exact(&mut begin);
    assert!(begin.iter().all(|byte| *byte == 0), "zeroes");
    drop(client);
    eventually("the file is closed", || !place.is_open());
    server.stop();
}

#[test]
fn what_the_kernel_does_not_send_itself_is_read() {
    // Without a length, and made while it is read.
    let path = Path::new("/proc/kallsyms");
    let read = fs::read(path).unwrap_or_default();
    if read.len() > 100_000 {
        let server = serve(on_loopback(), path);
        let mut client = Client::connect(server.address);
        let part = client.request(get("/0-100000"));
        assert!(part.body == read[..100_000], "the bytes of {path:?}");
        server.stop();
    }
    let place = Place::new("fifo");
    drop(fs::remove_file(&place.0));
    let made = Command::new("mkfifo").arg(&place.0).status();
    assert!(made.is_ok_and(|made| made.success()), "mkfifo");
    for path in [&*place.0, Path::new("/")] {
        let server = serve(on_loopback(), path);
        for len in [9, 100_000] {
            let mut client = Client::connect(server.address);
            client.send(get(&format!("/0-{len}")));
            assert_eq!(client.head().expect("a response").status, 200);
            assert!(client.is_at_end(), "{path:?} has no bytes at a position");
            assert_eq!(reported(&server), Some(ServerEvent::BodyLengthWrong));
        }
        let mut client = Client::connect(server.address);
        assert_eq!(client.request(get("/other")).status, 200);
        server.stop();
    }
}
