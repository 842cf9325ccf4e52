//! The proxy example: what it passes on, both bodies at both sides' pace, and what it says if the upstream fails.
#![expect(clippy::disallowed_types, reason = "a peer that resets its connection")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use crate::loopback::process::Process;
use crate::loopback::{Client, eventually, get, pattern};
use crate::{resident_peak, start};

/// An upstream that the test plays, and the proxy in front of it.
fn proxy() -> (TcpListener, Process, SocketAddr) {
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let place = format!("http://{}", upstream.local_addr().expect("a socket"));
    let (server, address) = start("proxy", &[&place]);
    (upstream, server, address)
}

fn accept(upstream: &TcpListener) -> Client {
    Client::over(upstream.accept().expect("the proxy connects").0)
}

#[test]
fn it_passes_on_what_is_not_of_one_hop() {
    let (upstream, mut server, address) = proxy();
    let mut client = Client::connect(address);
    client.send(
        "POST /a%20b?c=d HTTP/1.1\r\nHost: site\r\nX-A: 1\r\nX-Hop: 1\r\nConnection: x-hop, keep-alive\r\n\
         Keep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\nProxy-Connection: close\r\nContent-Length: 3\r\n\r\nabc",
    );
    let mut asked = accept(&upstream);
    let head = asked.request_head();
    let first = head.lines().next();
    assert_eq!(first, Some("POST /a%20b?c=d HTTP/1.1"));
    let mut body = [0; 3];
    asked.read_exact(&mut body);
    assert_eq!(&body, b"abc");
    let head = head.to_lowercase();
    for line in [
        "host: site",
        "x-a: 1",
        "content-length: 3",
        "via: 1.1 coldstart",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
    }
    for name in [
        "x-hop",
        "connection",
        "keep-alive",
        "te",
        "upgrade",
        "proxy-connection",
    ] {
        assert!(!head.contains(&format!("\r\n{name}:")), "{name}: {head}");
    }
    asked.send(
        "HTTP/1.1 203 Odd\r\nX-B: 2\r\nX-Own: 1\r\nConnection: x-own\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
         Content-Length: 4\r\n\r\ndone",
    );
    let response = client.response();
    assert_eq!((response.status, response.text()), (203, "done".to_owned()));
    assert_eq!(response.field("x-b"), Some("2"));
    assert_eq!(response.field("x-own"), None);
    assert_eq!(
        response.head.to_lowercase().matches("set-cookie").count(),
        2
    );
    // The next request goes over the same connection.
    client.send("HEAD / HTTP/1.1\r\nHost: site\r\n\r\n");
    assert!(asked.request_head().starts_with("HEAD / HTTP/1.1\r\n"));
    asked.send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
    let head = client.head().expect("a head");
    assert_eq!(head.field("content-length"), Some("7"));
    drop((client, asked));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn both_bodies_stream_at_once() {
    let (upstream, _server, address) = proxy();
    let mut client = Client::connect(address);
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut asked = accept(&upstream);
    assert!(
        asked
            .request_head()
            .to_lowercase()
            .contains("transfer-encoding: chunked")
    );
    asked.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.head().expect("a head").status, 200);
    for word in ["one", "three"] {
        let chunk = format!("{:x}\r\n{word}\r\n", word.len());
        client.send(&chunk);
        let up = asked.chunk().expect("a chunk").expect("not the last");
        assert_eq!(up, word.as_bytes());
        asked.send(&chunk);
        let down = client.chunk().expect("a chunk").expect("not the last");
        assert_eq!(down, word.as_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(asked.chunk().expect("the last chunk"), None);
    asked.send("0\r\n\r\n");
    assert_eq!(client.chunk().expect("the last chunk"), None);
}

/// In KiB; this program is not optimized.
const RESIDENT_MAX: u64 = 16 * 1024;
const LEN: usize = 256 * 1024 * 1024;

#[test]
fn neither_body_is_held_for_a_side_that_does_not_read() {
    let (upstream, server, address) = proxy();
    let client = Client::connect(address);
    client.send(format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {LEN}\r\n\r\n"
    ));
    let mut asked = accept(&upstream);
    asked.request_head();
    let piece = pattern(1024 * 1024);
    // What no side reads stays with its sender.
    let sent_until_full = |side: &Client| {
        let mut stream = side.stream();
        let patience = Some(Duration::from_millis(500));
        stream.set_write_timeout(patience).expect("a socket");
        let mut sent = 0;
        while sent < LEN {
            match stream.write(&piece[sent % piece.len()..]) {
                Ok(len) => sent += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("it goes on: {error}"),
            }
        }
        sent
    };
    let up = sent_until_full(&client);
    assert!(up < LEN, "all of it was taken");
    asked.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n"));
    let down = sent_until_full(&asked);
    assert!(down < LEN, "all of it was taken");
    // Both go on where they have stopped.
    let finish = |side: &Client, sent: usize| {
        let mut writing = side.stream().try_clone().expect("a descriptor");
        let piece = piece.clone();
        writing.set_write_timeout(None).expect("a socket");
        thread::Builder::new().spawn(move || {
            let mut sent = sent;
            while sent < LEN {
                let rest = &piece[sent % piece.len()..];
                sent += writing.write(rest).expect("it goes on");
            }
        })
    };
    let writers = [finish(&client, up), finish(&asked, down)];
    let reader = {
        let mut asked = asked.stream().try_clone().expect("a descriptor");
        thread::Builder::new().spawn(move || {
            let mut body = vec![0; 1024 * 1024];
            for _ in 0..LEN / body.len() {
                asked.read_exact(&mut body).expect("the body");
            }
            body
        })
    };
    let mut client = client;
    assert_eq!(client.head().expect("a head").status, 200);
    let mut body = vec![0; piece.len()];
    for _ in 0..LEN / piece.len() {
        client.read_exact(&mut body);
        assert!(body == piece, "another piece");
    }
    let last = reader.expect("a thread").join().expect("no panic");
    assert!(last == piece, "another piece");
    for writer in writers {
        writer.expect("a thread").join().expect("no panic");
    }
    let peak = resident_peak(&server);
    assert!(peak <= RESIDENT_MAX, "{peak} KiB");
}

#[test]
fn an_upstream_that_fails_is_a_bad_gateway() {
    let (upstream, _server, address) = proxy();
    let mut client = Client::connect(address);
    // Not HTTP at all, and an end in place of a response.
    for said in ["what?\r\n\r\n", ""] {
        client.send(get("/"));
        let mut asked = accept(&upstream);
        asked.request_head();
        asked.send(said);
        asked.stream().shutdown(Shutdown::Both).expect("a socket");
        assert_eq!(client.response().status, 502, "{said:?}");
    }
    // A response that is cut stays incomplete.
    client.send(get("/"));
    let mut asked = accept(&upstream);
    asked.request_head();
    asked.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    assert_eq!(client.head().expect("a head").status, 200);
    assert_eq!(client.chunk().expect("a chunk"), Some(b"abc".to_vec()));
    drop(asked);
    assert!(client.chunk().is_err(), "the end is not faked");
    // Nothing listens any more.
    drop(upstream);
    let mut client = Client::connect(address);
    assert_eq!(client.request(get("/")).status, 502);
}

#[test]
fn an_upstream_that_does_nothing_has_timed_out() {
    // It is in the backlog of a socket that accepts nothing: the example waits ten seconds.
    let (_upstream, _server, address) = proxy();
    let response = Client::connect(address).request(get("/"));
    assert_eq!(response.status, 504);
}

#[test]
fn a_client_that_leaves_ends_the_request_to_the_upstream() {
    let (upstream, _server, address) = proxy();
    let client = Client::connect(address);
    client.send(get("/"));
    let mut asked = accept(&upstream);
    asked.request_head();
    // A reset; after an end alone, a client may still read.
    socket2::SockRef::from(client.stream())
        .set_linger(Some(Duration::ZERO))
        .expect("a socket");
    drop(client);
    eventually("the proxy hangs up", || {
        matches!(asked.stream().read(&mut [0; 1]), Ok(0) | Err(_))
    });
}
