//! The types of the http and http-body crates: requests become theirs, and their responses ours.

mod loopback;

use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};

use coldstart::handler::{Outcome, incoming};
use coldstart::message::{HeaderName, HeaderValue, LocalBody};
use coldstart::server::ServerEvent;
use coldstart::{Body, Bytes, Response, Status, TestRequest};
use http::header::{CONNECTION, CONTENT_LENGTH, SET_COOKIE, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, Full};
use loopback::server::{Running, on_loopback};
use loopback::{Client, PATIENCE, get, pattern};

/// A body of these frames, of a length that it announces or does not.
struct Frames {
    frames: std::vec::IntoIter<Result<Frame<Bytes>, &'static str>>,
    len: Option<u64>,
    /// Notified of its drop.
    dropped: Option<Sender<()>>,
}

impl Frames {
    fn new(frames: Vec<Result<Frame<Bytes>, &'static str>>, len: Option<u64>) -> Self {
        let frames = frames.into_iter();
        let dropped = None;
        Self {
            frames,
            len,
            dropped,
        }
    }
}

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        match self.frames.next() {
            // It never ends by itself.
            None if self.dropped.is_some() => {
                context.waker().wake_by_ref();
                Poll::Ready(Some(Ok(piece("more "))))
            }
            next => Poll::Ready(next),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.len
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        if let Some(dropped) = &self.dropped {
            let _ = dropped.send(());
        }
    }
}

fn piece(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

fn trailers(name: &'static str, value: &'static str) -> Frame<Bytes> {
    let mut fields = HeaderMap::new();
    fields.insert(name, http::HeaderValue::from_static(value));
    Frame::trailers(fields)
}

fn full(text: &'static str) -> Full<Bytes> {
    Full::new(Bytes::from_static(text.as_bytes()))
}

#[test]
fn a_request_has_the_same_parts_as_one_of_the_http_crate() {
    let response = TestRequest::new("PROPFIND", "http://there:81/a%20b?c=d")
        .header("X-A", "1")
        .header("x-b", " a\tb ")
        .header("x-a", "2")
        .header("transfer-encoding", "chunked")
        .body("3\r\nabc\r\n0\r\nSum: 9\r\n\r\n")
        .run(|request| {
            let theirs = request.to_http().expect("valid parts");
            assert_eq!(
                theirs.method(),
                Method::from_bytes(b"PROPFIND").expect("a method")
            );
            assert_eq!(theirs.uri().to_string(), "http://there:81/a%20b?c=d");
            assert_eq!(theirs.version(), Version::HTTP_11);
            let values: Vec<_> = theirs.headers().get_all("x-a").iter().collect();
            assert_eq!(values, ["1", "2"]);
            assert_eq!(theirs.headers()["X-B"], "a\tb");
            assert_eq!(theirs.headers().len(), request.headers().len());
            let body = theirs.into_body();
            assert_eq!(HttpBody::size_hint(&body).exact(), Some(3));
            async {
                let collected = body.collect().await.expect("it is whole");
                let sum = collected.trailers().map(|fields| fields["sum"].clone());
                assert_eq!(sum.expect("a trailer"), "9");
                collected.to_bytes()
            }
        });
    assert_eq!(response.text(), "abc");
}

/// RFC 9112 §3.2.2: otherwise code that checks one and uses the other is deceived.
#[test]
fn the_host_of_a_target_replaces_the_field() {
    let hosts = |target: &str| {
        let request = TestRequest::get(target).header("host", "forged");
        let response = request.run(|request| {
            let theirs = request.to_http().expect("valid parts");
            let hosts = theirs.headers().get_all("host").iter();
            let hosts: Vec<_> = hosts.map(|host| host.to_str().expect("text")).collect();
            hosts.join(" ")
        });
        response.text().to_owned()
    };
    assert_eq!(hosts("http://real:81/x"), "real:81");
    assert_eq!(hosts("/x"), "forged");
}

#[test]
fn the_head_of_a_request_is_copied_once() {
    let value = "v".repeat(100);
    let mut request = TestRequest::get("/");
    for name in ["x-a", "x-b", "x-c"] {
        request = request.header(name, &value);
    }
    let response = request.run(|request| {
        let theirs = request.head().to_http(()).expect("valid parts");
        let places = theirs
            .headers()
            .values()
            .map(|value| value.as_bytes().as_ptr() as usize);
        let (least, most) = places.fold((usize::MAX, 0), |(least, most), place| {
            (least.min(place), most.max(place))
        });
        assert!(most - least < 400, "{} bytes apart", most - least);
    });
    assert_eq!(response.status(), 200);
}

#[test]
fn each_form_of_a_target_is_a_uri_or_an_error() {
    for (method, target) in [
        ("GET", "/"),
        ("OPTIONS", "*"),
        ("GET", "http://a/b"),
        ("GET", "/a//b?c?d"),
    ] {
        let response = TestRequest::new(method, target)
            .run(|request| Response::text(request.to_http().expect("a URI").uri().to_string()));
        assert_eq!(response.text(), target);
    }
    let server = Running::start(on_loopback(), |request| match request.head().to_http(()) {
        Ok(request) => request.uri().to_string(),
        Err(error) => error.to_string(),
    });
    // No byte that the parser lets through is a panic.
    for byte in 0..=u8::MAX {
        let target = [
            b"GET /".as_slice(),
            &[byte],
            b" HTTP/1.1\r\nHost: a\r\n\r\n",
        ]
        .concat();
        assert!(
            Client::connect(server.address).request(target).status < 500,
            "{byte}"
        );
    }
    server.stop();
}

#[test]
fn a_response_of_the_http_crate_is_sent_as_it_is() {
    let response = TestRequest::get("/").run(|_| {
        let mut response = http::Response::new(full("made"));
        *response.status_mut() = StatusCode::CREATED;
        let fields = response.headers_mut();
        fields.append(SET_COOKIE, http::HeaderValue::from_static("a=1"));
        fields.append(SET_COOKIE, http::HeaderValue::from_static("b=2"));
        fields.append(
            "x-bytes",
            http::HeaderValue::from_bytes(b"\xff").expect("a value"),
        );
        fields.append("content-type", http::HeaderValue::from_static("text/x"));
        response
    });
    assert_eq!(response.status(), 201);
    let cookies: Vec<&str> = response.header_all("set-cookie").collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(response.header("content-type"), Some("text/x"));
    assert_eq!(response.text(), "made");
}

#[test]
fn a_body_that_is_here_is_whole_and_not_copied() {
    let bytes = Bytes::from(pattern(100_000));
    let body = Body::from_http(Full::new(bytes.clone()));
    assert_eq!(body.as_bytes().map(<[u8]>::as_ptr), Some(bytes.as_ptr()));
    assert_eq!(
        Body::from_http(Empty::<Bytes>::new()).as_bytes(),
        Some(&b""[..])
    );
    // One that does not say that it has ended may have trailers.
    let open = Frames::new(vec![Ok(piece("abc"))], Some(3));
    assert_eq!(Body::from_http(open).as_bytes(), None);
}

#[test]
fn a_body_that_is_not_send_stays_on_its_thread() {
    let held = Rc::new(());
    let mut response = TestRequest::get("/").run(|_| {
        let held = Rc::clone(&held);
        let frames = vec![Ok(piece("ab")), Ok(trailers("sum", "9"))];
        let body = Frames::new(frames, None).map_frame(move |frame| {
            let _ = &held;
            frame
        });
        Outcome::local(Response::text(""), LocalBody::from_http(body))
    });
    assert_eq!(response.next_piece().as_deref(), Some(&b"ab"[..]));
    assert_eq!(response.next_piece(), None);
    assert_eq!(response.trailer("sum"), Some("9"));
    assert_eq!(Rc::strong_count(&held), 1);
    let body = LocalBody::from_http(Frames::new(vec![Ok(piece("abc"))], Some(3)));
    let outcome = Outcome::local(Response::text(""), body);
    let len = outcome.response().map(|response| response.content().len());
    assert_eq!(len, Some(Some(3)));
}

#[test]
fn a_status_of_a_final_response_is_one_here_and_there() {
    assert_eq!(
        Status::try_from(StatusCode::IM_A_TEAPOT).map(Status::code),
        Ok(418)
    );
    assert_eq!(StatusCode::from(Status::GONE), StatusCode::GONE);
    let last = StatusCode::from_u16(999).expect("the http crate takes it");
    for status in [StatusCode::SWITCHING_PROTOCOLS, StatusCode::CONTINUE, last] {
        let error = Status::try_from(status).expect_err("not final");
        assert_eq!(error.status(), status);
        let response = TestRequest::get("/").run(|_| {
            let mut response = http::Response::new(full(""));
            *response.status_mut() = status;
            response
        });
        assert_eq!(response.status(), 500);
    }
}

#[test]
fn fields_compare_by_their_text_wherever_they_come_from() {
    assert_eq!(
        HeaderName::from(CONTENT_LENGTH),
        HeaderName::from("content-length")
    );
    assert_eq!(
        HeaderName::from("x-a"),
        HeaderName::parse("x-a").expect("a name")
    );
    let theirs = http::HeaderValue::from_static("a");
    assert_eq!(HeaderValue::from(theirs), HeaderValue::from("a"));
}

#[test]
fn a_response_of_ours_is_one_of_the_http_crate() {
    let response = Response::text("hello")
        .status(Status::ACCEPTED)
        .header("X-A", "1")
        .header(SET_COOKIE, http::HeaderValue::from_static("a=1"))
        .close();
    let theirs = response.into_http().expect("valid fields");
    assert_eq!(theirs.status(), StatusCode::ACCEPTED);
    assert_eq!(theirs.headers()["x-a"], "1");
    assert_eq!(theirs.headers()["set-cookie"], "a=1");
    assert_eq!(
        theirs.headers()["content-type"],
        "text/plain; charset=utf-8"
    );
    assert_eq!(theirs.headers()[CONNECTION], "close");
    assert_eq!(theirs.body().as_bytes(), Some(&b"hello"[..]));
    let split = Response::text("").header("x-a", format!("1\r\nx-b: {}", 2));
    assert!(split.into_http().is_err());
}

/// A server whose response is what `make` makes of the query.
fn serving<B: HttpBody + Send + 'static>(
    make: impl Fn(&str) -> http::Response<B> + Send + 'static,
) -> Running {
    Running::start(on_loopback(), move |request| {
        make(request.query().unwrap_or_default())
    })
}

#[test]
fn the_server_frames_whatever_the_fields_say() {
    let server = serving(|query| {
        let mut response = http::Response::new(full("hello"));
        let (name, value) = query.split_once('=').expect("a field");
        let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
        response
            .headers_mut()
            .insert(name, value.parse().expect("a value"));
        response
    });
    let mut client = Client::connect(server.address);
    let is_report = |event| matches!(event, ServerEvent::FieldsLeftOut(1));
    for query in ["content-length=5", "connection=keep-alive"] {
        let response = client.request(get(&format!("/?{query}")));
        assert_eq!(response.text(), "hello", "{query}");
    }
    assert!(!server.events.try_iter().any(is_report), "all is well");
    for query in [
        "content-length=5",
        "content-length=6",
        "content-length=five",
        "transfer-encoding=chunked",
        "date=today",
        "connection=keep-alive",
    ] {
        let response = client.request(get(&format!("/?{query}")));
        assert_eq!(response.text(), "hello", "{query}");
        assert_eq!(response.field("content-length"), Some("5"), "{query}");
        assert_eq!(response.field("transfer-encoding"), None, "{query}");
        assert_eq!(response.field("connection"), None, "{query}");
    }
    let response = client.request(get("/?connection=foo,Close"));
    assert_eq!(response.field("connection"), Some("close"));
    assert!(client.is_at_end());
    assert!(server.events.try_iter().any(is_report));
    server.stop();
}

#[test]
fn an_announced_length_holds_for_a_body_that_has_none() {
    let server = serving(|query| {
        let body = match query {
            "exact" => Frames::new(vec![Ok(piece("he")), Ok(piece("llo"))], Some(5)),
            "long" => Frames::new(vec![Ok(piece("hello, you"))], None),
            _ => Frames::new(vec![Ok(piece("he")), Ok(piece("")), Ok(piece("llo"))], None),
        };
        let mut response = http::Response::new(body);
        if query == "announced" || query == "long" {
            response.headers_mut().insert(CONTENT_LENGTH, 5.into());
        }
        response
    });
    let mut client = Client::connect(server.address);
    for query in ["exact", "announced"] {
        let response = client.request(get(&format!("/?{query}")));
        assert_eq!(response.field("content-length"), Some("5"), "{query}");
        assert_eq!(response.text(), "hello", "{query}");
    }
    client.send(get("/?none"));
    assert_eq!(client.head().expect("a head").field("content-length"), None);
    assert_eq!(client.chunked().expect("a whole body"), b"hello");
    client.send(get("/?long"));
    assert_eq!(
        client.head().expect("a head").field("content-length"),
        Some("5")
    );
    assert_eq!(client.rest().unwrap_or_default(), b"", "it is cut");
    let is_wrong = |event| matches!(event, ServerEvent::BodyLengthWrong);
    assert!(server.events.try_iter().any(is_wrong));
    server.stop();
}

#[test]
fn responses_without_a_body_keep_their_announced_length() {
    let server = serving(|query| {
        let mut response = http::Response::new(full(if query == "full" { "hello" } else { "" }));
        match query {
            "absent" => drop(response.headers_mut().insert(CONTENT_LENGTH, 1234.into())),
            "204" => *response.status_mut() = StatusCode::NO_CONTENT,
            "304" => {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                response.headers_mut().insert(CONTENT_LENGTH, 1234.into());
            }
            _ => {}
        }
        response
    });
    let mut client = Client::connect(server.address);
    for (method, query, len) in [
        ("HEAD", "full", Some("5")),
        ("HEAD", "absent", Some("1234")),
        ("GET", "204", None),
        ("GET", "304", None),
    ] {
        client.send(format!("{method} /?{query} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = client.head().expect("a head");
        assert_eq!(head.field("content-length"), len, "{query}");
        assert_eq!(head.field("transfer-encoding"), None, "{query}");
    }
    assert_eq!(client.request(get("/?full")).text(), "hello");
    server.stop();
}

fn assert_follows(client: &mut Client, text: &str) {
    let mut found = vec![0; text.len()];
    client.read_exact(&mut found);
    assert_eq!(String::from_utf8_lossy(&found), text, "what follows");
}

#[test]
fn trailers_pass_in_both_directions() {
    // The body that arrives is the body that is sent, whether it is complete when the handler is called or not.
    let handler = incoming(|_, body| {
        let mut response = http::Response::new(body);
        response
            .headers_mut()
            .insert(TRAILER, http::HeaderValue::from_static("sum"));
        response
    });
    let server = Running::start_handler(on_loopback(), handler);
    let mut client = Client::connect(server.address);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(format!("{head}5\r\nhello\r\n0\r\nsum: 9\r\n\r\n"));
    let response = client.head().expect("a head");
    assert_eq!(response.field("trailer"), Some("sum"));
    assert_eq!(
        client.chunk().expect("a chunk").as_deref(),
        Some(&b"hello"[..])
    );
    assert_follows(&mut client, "0\r\nsum: 9\r\n\r\n");
    client.send(head);
    client.head().expect("the response begins before the body");
    client.send("2\r\nhe\r\n");
    assert_eq!(
        client.chunk().expect("a chunk").as_deref(),
        Some(&b"he"[..])
    );
    client.send("0\r\n\r\n");
    assert_eq!(client.chunk().expect("the end"), None);
    server.stop();
}

#[test]
fn a_response_with_trailers_of_a_known_length_is_sent_in_chunks() {
    let server = serving(|_| {
        let fields = trailers("sum", "9").into_trailers().expect("trailers");
        let body = full("hello").with_trailers(async { Some(Ok::<_, Infallible>(fields)) });
        let mut response = http::Response::new(body);
        response
            .headers_mut()
            .insert(TRAILER, http::HeaderValue::from_static("sum"));
        response
    });
    let mut client = Client::connect(server.address);
    client.send(get("/"));
    let head = client.head().expect("a head");
    assert_eq!(head.field(TRANSFER_ENCODING.as_str()), Some("chunked"));
    assert_eq!(
        client.chunk().expect("a chunk").as_deref(),
        Some(&b"hello"[..])
    );
    assert_follows(&mut client, "0\r\nsum: 9\r\n\r\n");
    server.stop();
}

#[test]
fn an_error_of_a_body_cuts_its_response() {
    let server = serving(|query| {
        let frames = vec![Ok(piece("he")), Err("it broke")];
        http::Response::new(match query {
            "first" => Frames::new(vec![Err("it broke")], Some(5)),
            "exact" => Frames::new(frames, Some(5)),
            _ => Frames::new(frames, None),
        })
    });
    for query in ["first", "exact", "chunked"] {
        let mut client = Client::connect(server.address);
        client.send(get(&format!("/?{query}")));
        let head = client.head().expect("a head");
        let is_cut = match head.field("content-length") {
            Some(len) => client.rest().unwrap_or_default().len() < len.parse().expect("a length"),
            None => client.chunked().is_err(),
        };
        assert!(is_cut, "{query}");
    }
    server.stop();
}

#[test]
fn a_body_whose_peer_has_left_is_dropped() {
    let (dropped_in, dropped) = channel();
    let server = serving(move |_| {
        let mut body = Frames::new(Vec::new(), None);
        body.dropped = Some(dropped_in.clone());
        http::Response::new(body)
    });
    let mut client = Client::connect(server.address);
    client.send(get("/"));
    client.head().expect("a head");
    drop(client);
    dropped.recv_timeout(PATIENCE).expect("it is dropped");
    server.stop();
}
