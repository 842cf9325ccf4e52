//! Middleware over real sockets and under test: each way in which a response can come passes it once.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "handlers fail on purpose, and some respond from threads of their own"
)]

#[path = "../examples/middleware.rs"]
#[expect(dead_code, reason = "the program's `main` is not the test's")]
mod example;
mod loopback;

use core::time::Duration;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use coldstart::handler::{Accept, Demand, Next, Outcome, Upgrade, Upload, WhenHalfClosed};
use coldstart::message::Head;
use coldstart::server::{Limits, ServerEvent, Timeouts};
use coldstart::{
    Body, Function, Handler, Request, Response, Router, Status, TestRequest, blocking, yield_now,
};
use loopback::server::{Running, on_loopback};
use loopback::{Client, get, post};

/// What a middleware saw: its name, the request, and the status of the response.
type Seen = Arc<Mutex<Vec<String>>>;

/// Notes each request when its response comes, and adds its name to the field `seen`.
fn seeing(
    name: &'static str,
    seen: &Seen,
) -> impl FnMut(&Head<'_>) -> Next + Clone + Send + 'static {
    let seen = Arc::clone(seen);
    move |head| {
        let (seen, line) = (
            Arc::clone(&seen),
            format!("{name} {} {}", head.method(), head.target()),
        );
        Next::on_response(move |response| {
            let line = format!("{line} {}", response.head().status());
            lock(&seen).push(line);
            response.header("seen", name)
        })
    }
}

fn lock(seen: &Seen) -> std::sync::MutexGuard<'_, Vec<String>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A path of requests that no case looks at.
const PROBE: &str = "/probe";

/// What was seen since the last call.
fn take(seen: &Seen) -> Vec<String> {
    let mut lines = std::mem::take(&mut *lock(seen));
    lines.retain(|line| !line.contains(PROBE));
    lines
}

/// An upload that responds as its path says.
struct Taker(String);

impl Upload for Taker {
    fn body_len_max(&self) -> u64 {
        8
    }

    fn on_piece(&mut self, _: &[u8]) -> Demand {
        match &*self.0 {
            "/upload/early" => Demand::Respond(Response::new(Status::CONFLICT).into()),
            "/upload/panic" => panic!("in the middle of an upload"),
            _ => Demand::More,
        }
    }

    fn on_end(self: Box<Self>) -> Outcome {
        let (outcome, reply) = Outcome::promised();
        thread::spawn(move || reply.complete(Status::CREATED));
        outcome
    }
}

fn written() -> Response {
    Response::text(Body::writer(async |out| Ok(out.send("piece").await?)))
}

async fn panic_later() -> Status {
    yield_now().await;
    panic!("in a future")
}

fn router() -> Router {
    let pool = blocking(|request| format!("{} bytes\n", request.body().len()), 1);
    let shared = pool.clone();
    Router::new()
        .get("/text", |_| "text\n")
        .get("/large", |_| "large".repeat(60_000))
        .get("/invalid", |_| {
            Response::text("").header("x-a", "a\r\nb: c".to_owned())
        })
        .get("/promised", |_| {
            let (outcome, reply) = Outcome::promised();
            thread::spawn(move || reply.complete(Status::ACCEPTED));
            outcome
        })
        .get("/broken", |_| Outcome::promised().0)
        .get("/ready", |_| async { "ready\n" })
        .get("/later", |_| async {
            yield_now().await;
            Status::MULTI_STATUS
        })
        .get("/panic-later", |_| panic_later())
        .get("/panic", |_| -> Response { panic!("in a handler") })
        .get("/writer", |_| written())
        .get("/writer-later", |_| async {
            yield_now().await;
            written()
        })
        .get("/pool", move |request| pool.respond(request))
        .post("/pool", move |request| shared.respond(request))
        .post("/buffer", |request| {
            format!("{} bytes\n", request.body().len())
        })
        .body_len_max(8)
        .post("/panic", |_| -> Response { panic!("after a body") })
        .post("/discard", |_| Status::GONE)
        .without_body()
        .accept("POST", "/upload/{how}", |head| {
            Accept::Stream(Box::new(Taker(head.path().to_owned())))
        })
        .accept("POST", "/panic-early", |_| panic!("before a body"))
        .accept("POST", "/no", |_| {
            Accept::Respond(Response::new(Status::FORBIDDEN).into())
        })
        .post_incoming("/pull", |_, mut body| async move {
            body.collect(8)
                .await
                .map(|body| format!("{} bytes\n", body.len()))
        })
        .get("/upgrade", |_| "offer one\n")
        .accept("GET", "/upgrade", |_| {
            Accept::Upgrade(Upgrade::new("echo", |_, _| {}).header("x-a", "b"))
        })
}

/// A request, whether its body comes after its head was handled, and the status of its response.
type Case = (&'static str, &'static str, &'static str, u16);

/// What is understood as a request, under test as over sockets.
const CASES: &[Case] = &[
    ("GET", "/text", "", 200),
    ("HEAD", "/text", "", 200),
    ("GET", "/large", "", 200),
    ("GET", "/invalid", "", 500),
    ("GET", "/promised", "", 202),
    ("GET", "/broken", "", 500),
    ("GET", "/ready", "", 200),
    ("GET", "/later", "", 207),
    ("GET", "/panic-later", "", 500),
    ("GET", "/panic", "", 500),
    ("POST", "/panic", "abc", 500),
    ("POST", "/panic-early", "abc", 500),
    ("GET", "/pool", "", 200),
    ("POST", "/pool", "abc", 200),
    ("POST", "/buffer", "abc", 200),
    ("POST", "/buffer", "more than eight", 413),
    ("POST", "/discard", "abc", 410),
    ("POST", "/upload/whole", "abc", 201),
    ("POST", "/upload/whole", "", 201),
    ("POST", "/upload/early", "abc", 409),
    ("POST", "/upload/whole", "more than eight", 413),
    ("POST", "/no", "abc", 403),
    ("POST", "/pull", "abc", 200),
    ("POST", "/pull", "more than eight", 413),
    ("GET", "/upgrade", "", 200),
    ("GET", "/none", "", 404),
    ("BREW", "/none", "", 501),
    ("PUT", "/text", "", 405),
    ("OPTIONS", "/text", "", 204),
    ("OPTIONS", "*", "", 204),
    ("CONNECT", "a:1", "", 501),
];

fn expected(case: &Case) -> [String; 2] {
    let (method, target, _, status) = case;
    ["inner", "outer"].map(|name| format!("{name} {method} {target} {status}"))
}

#[test]
fn each_response_passes_once_from_the_inside_to_the_outside_under_test() {
    let seen = Seen::default();
    let mut handler = router()
        .with(seeing("inner", &seen))
        .with(seeing("outer", &seen));
    for case in CASES {
        let (method, target, body, status) = *case;
        let request = TestRequest::new(method, target).body(body);
        let response = request.run_handler(&mut handler);
        assert_eq!(response.status(), status, "{case:?}");
        let names: Vec<&str> = response.header_all("seen").collect();
        assert_eq!(names, ["inner", "outer"], "{case:?}");
        assert_eq!(take(&seen), expected(case));
    }
}

/// How the bytes of a request arrive.
#[derive(Clone, Copy, Debug)]
enum Arrival {
    Together,
    /// The handler decides before the body is there.
    HeadFirst,
    Chunked,
}

fn ask(client: &mut Client, case: &Case, arrival: Arrival) -> loopback::HttpResponse {
    let (method, target, body, _) = *case;
    let framing = match (arrival, body.len()) {
        (_, 0) => String::new(),
        (Arrival::Chunked, _) => "Transfer-Encoding: chunked\r\n".to_owned(),
        (Arrival::Together | Arrival::HeadFirst, len) => format!("Content-Length: {len}\r\n"),
    };
    let host = if method == "CONNECT" { target } else { "test" };
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{framing}\r\n");
    let body = match (arrival, body.len()) {
        (Arrival::Chunked, 1..) => format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
        _ => body.to_owned(),
    };
    match arrival {
        Arrival::Together | Arrival::Chunked => client.send([head, body].concat()),
        Arrival::HeadFirst => {
            client.send(&head);
            if !body.is_empty() {
                let address = client.stream().peer_addr().expect("a connection");
                let mut other = Client::connect(address);
                // The loop has handled the head in the turn of the first of these, or before it.
                for _ in 0..2 {
                    other.request(get(PROBE));
                }
                client.send(&body);
            }
        }
    }
    match method {
        "HEAD" => client.head(),
        _ => client.try_response(),
    }
    .unwrap_or_else(|error| panic!("{case:?}, {arrival:?}: {error}"))
}

fn check_over_sockets(server: &Running, seen: &Seen, cases: &[Case]) {
    for arrival in [Arrival::Together, Arrival::HeadFirst, Arrival::Chunked] {
        for case in cases {
            let response = ask(&mut Client::connect(server.address), case, arrival);
            assert_eq!(response.status, case.3, "{case:?}, {arrival:?}");
            assert_eq!(
                names(&response.head),
                ["inner", "outer"],
                "{case:?}, {arrival:?}"
            );
            assert_eq!(take(seen), expected(case), "{arrival:?}");
        }
    }
}

/// The values of the field `seen`, in their order.
fn names(head: &str) -> Vec<&str> {
    let lines = head.lines();
    lines
        .filter_map(|line| line.strip_prefix("seen: "))
        .collect()
}

fn watched(seen: &Seen) -> impl Handler + Clone + Send + 'static {
    router()
        .with(seeing("inner", seen))
        .with(seeing("outer", seen))
}

#[test]
fn each_response_passes_once_over_sockets() {
    let seen = Seen::default();
    let server = Running::start_handler(on_loopback(), watched(&seen));
    check_over_sockets(&server, &seen, CASES);
    server.stop();
}

#[test]
fn each_response_of_a_handler_in_a_router_passes_once() {
    let seen = Seen::default();
    let (fallback, any) = (Router::new(), Router::new());
    let fallback = fallback.fallback_handler(watched(&seen));
    let any = any.any_handler("/{*rest}", watched(&seen));
    // The outer router itself responds to `OPTIONS *`, and a pattern matches only paths.
    let (asterisk, no_path): (&[&str], &[&str]) = (&["*"], &["*", "a:1"]);
    for (router, skipped) in [
        (fallback.get("/other", |_| "other"), asterisk),
        (any, no_path),
    ] {
        let cases = CASES.iter().filter(|case| !skipped.contains(&case.1));
        let cases: Vec<Case> = cases.copied().collect();
        let outer = Router::new().merge(router).with_state(());
        let server = Running::start_handler(on_loopback(), outer);
        check_over_sockets(&server, &seen, &cases);
        server.stop();
    }
}

#[test]
fn each_response_of_a_function_passes_once_and_events_do_not() {
    let seen = Seen::default();
    for function in [Function::new(), Function::new().with_markers()] {
        let function = function
            .event(|_, payload| Ok(payload.to_vec()))
            .http_handler(watched(&seen));
        let server = Running::start_handler(on_loopback(), function.handler());
        check_over_sockets(&server, &seen, CASES);
        let mut client = Client::connect(server.address);
        assert_eq!(client.request(post("/invoke", b"abc")).text(), "abc");
        assert_eq!(take(&seen), [""; 0]);
        server.stop();
    }
}

#[test]
fn what_the_server_refuses_passes_as_far_as_it_has_a_head() {
    let seen = Seen::default();
    check_refusals(&seen, watched(&seen));
    // In a router it sees what the router would give it.
    let router = Router::new().fallback_handler(watched(&seen));
    check_refusals(&seen, router.clone());
    check_refusals(&seen, router.with_state(()));
}

fn check_refusals(seen: &Seen, handler: impl Handler + Send + 'static) {
    let limits = Limits::new().head_len_max(512).upgrades_max(0);
    let timeouts = Timeouts::new().body(Duration::from_millis(50));
    let server = on_loopback().limits(limits).timeouts(timeouts);
    let server = Running::start_handler(server, handler);
    let long = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n",
        "x".repeat(600)
    );
    let offer = "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    let cases: &[(&str, u16, &[&str])] = &[
        (
            "POST /text HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            400,
            &["POST /text"],
        ),
        ("GET /text HTTP/1.1\r\n\r\n", 400, &["GET /text"]),
        (
            "POST /text HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
            &["POST /text"],
        ),
        (
            "POST /buffer HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            400,
            &["POST /buffer"],
        ),
        // The body does not arrive in time.
        (
            "POST /buffer HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na",
            408,
            &["POST /buffer"],
        ),
        (
            "POST /upload/whole HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na",
            408,
            &["POST /upload/whole"],
        ),
        (offer, 503, &["GET /upgrade"]),
        (&long, 431, &[]),
        ("GET /text\r\n\r\n", 400, &[]),
        ("G@T /text HTTP/1.1\r\nHost: a\r\n\r\n", 400, &[]),
    ];
    for (request, status, passing) in cases {
        let response = Client::connect(server.address).request(request);
        assert_eq!(response.status, *status, "{request}");
        let lines = |name: &'static str| {
            passing
                .iter()
                .map(move |line| format!("{name} {line} {status}"))
        };
        let expected: Vec<String> = lines("inner").chain(lines("outer")).collect();
        assert_eq!(take(seen), expected, "{request}");
        assert_eq!(names(&response.head).len(), expected.len(), "{request}");
    }
    server.stop();
}

#[test]
fn the_fields_of_an_upgrade_pass_and_its_status_stays() {
    let seen = Seen::default();
    let spoiling = |_: &Head<'_>| {
        Next::on_response(|response| {
            assert_eq!(response.head().header("x-a"), Some("b"));
            response.status(Status::OK).body("no")
        })
    };
    let handler = router().with(seeing("inner", &seen)).with(spoiling);
    let server = Running::start_handler(on_loopback(), handler.clone());
    let offer = "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    let mut client = Client::connect(server.address);
    client.send(offer);
    let response = client.head().expect("a response");
    assert_eq!(response.status, 101, "{}", response.head);
    assert_eq!(response.field("x-a"), Some("b"));
    assert_eq!(names(&response.head), ["inner"]);
    assert_eq!(take(&seen), ["inner GET /upgrade 101"]);
    let tested = TestRequest::get("/upgrade")
        .header("connection", "upgrade")
        .header("upgrade", "echo")
        .run_handler(&mut handler.clone());
    assert_eq!(tested.status().code(), 101);
    assert_eq!(
        (tested.header("x-a"), tested.header("seen")),
        (Some("b"), Some("inner"))
    );
    server.stop();
}

#[test]
fn pipelined_requests_pass_in_their_order() {
    let seen = Seen::default();
    let server = Running::start_handler(on_loopback(), watched(&seen));
    let paths = ["/text", "/promised", "/later", "/panic", "/text"];
    let mut client = Client::connect(server.address);
    client.send(paths.map(get).concat());
    for status in [200, 202, 207, 500, 200] {
        let response = client.response();
        assert_eq!(
            (response.status, names(&response.head)),
            (status, vec!["inner", "outer"])
        );
    }
    let both = |line: &str| ["inner", "outer"].map(|name| format!("{name} GET {line}"));
    let lines = [
        "/text 200",
        "/promised 202",
        "/later 207",
        "/panic 500",
        "/text 200",
    ];
    assert_eq!(take(&seen), lines.map(both).concat());
    server.stop();
}

#[test]
fn a_body_in_pieces_passes_when_it_begins() {
    let seen = Seen::default();
    let server = Running::start_handler(on_loopback(), watched(&seen));
    for path in ["/writer", "/writer-later"] {
        let mut client = Client::connect(server.address);
        client.send(get(path));
        let response = client.head().expect("a response");
        assert_eq!(names(&response.head), ["inner", "outer"], "{path}");
        assert_eq!(client.chunked().expect("a body"), b"piece", "{path}");
        assert_eq!(take(&seen).len(), 2, "{path}");
    }
    server.stop();
}

#[test]
fn on_threads_and_workers_each_response_passes_once() {
    let seen = Seen::default();
    let pool = coldstart::handler::Blocking::new(watched(&seen), 2);
    let server = Running::start_handler(on_loopback(), pool);
    // A handler on a thread calls no acceptor.
    check_over_sockets(&server, &seen, CASES);
    server.stop();
}

#[test]
fn a_middleware_that_responds_keeps_the_request_from_the_handler() {
    let (seen, calls) = (Seen::default(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&calls);
    let handler = Router::new()
        .any("/{*rest}", move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            "text"
        })
        .with(seeing("inner", &seen))
        .with(|head| match head.header("x-key") {
            Some("open") => Next::handle(),
            _ => Next::respond((Status::UNAUTHORIZED, "no")),
        })
        .with(seeing("outer", &seen));
    let server = Running::start_handler(on_loopback(), handler);
    let mut client = Client::connect(server.address);
    for request in [get("/").into_bytes(), post("/", b"abc")] {
        let response = client.request(request);
        assert_eq!(
            (response.status, names(&response.head)),
            (401, vec!["outer"])
        );
    }
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    let open = get("/").replacen("\r\n\r\n", "\r\nx-key: open\r\n\r\n", 1);
    assert_eq!(client.request(open).text(), "text");
    let lines = [
        "outer GET / 401",
        "outer POST / 401",
        "inner GET / 200",
        "outer GET / 200",
    ];
    assert_eq!(take(&seen), lines);
    // What the server refuses stays refused, although the middleware would respond itself.
    let refused = client.request("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(
        (refused.status, names(&refused.head)),
        (400, vec!["inner", "outer"])
    );
    server.stop();
}

#[test]
fn a_panic_of_a_middleware_is_a_failure_that_those_around_it_see() {
    let seen = Seen::default();
    let handler = router()
        .with(|head| match head.query() {
            Some("request") => panic!("for a request"),
            Some("response") => Next::on_response(|_| panic!("for a response")),
            _ => Next::handle(),
        })
        .with(seeing("outer", &seen));
    let server = Running::start_handler(on_loopback(), handler);
    let mut client = Client::connect(server.address);
    for target in [
        "/text?request",
        "/text?response",
        "/promised?response",
        "/pool?response",
    ] {
        let response = client.request(get(target));
        assert_eq!(
            (response.status, names(&response.head)),
            (500, vec!["outer"]),
            "{target}"
        );
        assert_eq!(response.text(), "the handler failed\n");
        assert_eq!(take(&seen), [format!("outer GET {target} 500")]);
    }
    assert_eq!(client.request(get("/text")).text(), "text\n");
    server.stop();
}

#[test]
fn a_panic_of_a_handler_is_reported_once() {
    let seen = Seen::default();
    let server = Running::start_handler(on_loopback(), watched(&seen));
    let mut client = Client::connect(server.address);
    assert_eq!(client.request(get("/panic")).status, 500);
    assert_eq!(client.request(post("/panic", b"abc")).status, 500);
    server.begin_stop();
    server.ended().expect("it stops");
    let panics = server.events.try_iter();
    let panics = panics.filter(|event| matches!(event, ServerEvent::HandlerPanicked));
    assert_eq!(panics.count(), 2);
}

#[test]
fn what_waits_for_a_response_is_dropped_when_its_peer_leaves() {
    struct Dropped(std::sync::mpsc::Sender<()>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (dropped_in, dropped) = std::sync::mpsc::channel();
    let handler = Router::new()
        .get("/", |_| {
            Outcome::future(core::future::pending::<Response>())
                .when_half_closed(WhenHalfClosed::Cancel)
        })
        .with(move |_| {
            let dropped = Dropped(dropped_in.clone());
            Next::on_response(move |response| {
                let _kept = &dropped;
                response
            })
        });
    let server = Running::start_handler(on_loopback(), handler);
    let client = Client::connect(server.address);
    client.send(get("/"));
    client.shut_down_output();
    dropped
        .recv_timeout(loopback::PATIENCE)
        .expect("the closure is dropped");
}

#[test]
fn the_example_s_middleware_sees_each_kind_of_response() {
    let server = Running::start_handler(on_loopback(), example::function().handler());
    let key = "authorization: Bearer open sesame\r\n";
    let preflight = "access-control-request-method: GET\r\n";
    let hurried = "authorization: Bearer open sesame\r\nx-fc-function-timeout: 1\r\n";
    let cases = [
        ("GET / HTTP/1.1\r\nHost: a", key, 200),
        ("GET /slow HTTP/1.1\r\nHost: a", hurried, 504),
        ("GET /none HTTP/1.1\r\nHost: a", key, 404),
        ("POST / HTTP/1.1\r\nHost: a", key, 405),
        ("GET / HTTP/1.1\r\nHost: a", "", 401),
        ("OPTIONS / HTTP/1.1\r\nHost: a", preflight, 204),
        ("GET / HTTP/1.1", "", 400),
    ];
    for (head, fields, status) in cases {
        let request = format!("{head}\r\nx-fc-request-id: 7\r\n{fields}\r\n");
        let response = Client::connect(server.address).request(request);
        assert_eq!(response.status, status, "{head}");
        assert_eq!(response.field("x-request-id"), Some("7"), "{head}");
        assert_eq!(
            response.field("access-control-allow-origin"),
            Some("*"),
            "{head}"
        );
    }
    server.stop();
}

/// Makes a tunnel, or responds in HTTP.
#[derive(Clone, Copy)]
enum Tunnel {
    Open,
    /// Without looking at the request.
    Closed,
    /// After the request.
    Ignored,
}

impl Handler for Tunnel {
    fn accept(&mut self, _: &Head<'_>) -> Accept {
        match self {
            Self::Open => Accept::Upgrade(Upgrade::new("tunnel", |_, _| {})),
            Self::Closed => Accept::Respond(Response::text("in HTTP").into()),
            Self::Ignored => Accept::Buffer,
        }
    }

    fn call(&mut self, _: &Request<'_>) -> Outcome {
        Response::text("in HTTP").into()
    }
}

#[test]
fn a_tunnel_passes_as_200_and_a_response_that_makes_none_as_501() {
    let tunnels = [
        (Tunnel::Open, 200),
        (Tunnel::Closed, 501),
        (Tunnel::Ignored, 501),
    ];
    for (tunnel, status) in tunnels {
        let seen = Seen::default();
        let handler = tunnel.with(seeing("inner", &seen));
        let server = Running::start_handler(on_loopback(), handler);
        let mut client = Client::connect(server.address);
        client.send("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
        let response = client.head().expect("a response");
        assert_eq!(
            (response.status, names(&response.head)),
            (status, vec!["inner"])
        );
        assert_eq!(take(&seen), [format!("inner CONNECT a:1 {status}")]);
        server.stop();
    }
}

#[test]
fn a_response_that_does_not_fit_into_memory_passes_as_503() {
    let seen = Seen::default();
    let bounded = on_loopback().limits(Limits::new().memory_max(200_000));
    let server = Running::start_handler(bounded, watched(&seen));
    let mut client = Client::connect(server.address);
    let response = client.request(get("/large"));
    assert_eq!(
        (response.status, names(&response.head)),
        (503, vec!["inner", "outer"])
    );
    assert_eq!(response.field("retry-after"), Some("1"));
    assert_eq!(
        take(&seen),
        ["inner GET /large 503", "outer GET /large 503"]
    );
    server.stop();
}

#[test]
fn a_panic_for_a_refused_request_leaves_it_refused() {
    let seen = Seen::default();
    let handler = router()
        .with(seeing("inner", &seen))
        .with(|head| match head.query() {
            Some("panic") => panic!("for a refused request"),
            _ => Next::handle(),
        })
        .with(seeing("outer", &seen));
    let server = Running::start_handler(on_loopback(), handler);
    let response = Client::connect(server.address).request("GET /text?panic HTTP/1.1\r\n\r\n");
    assert_eq!(
        (response.status, names(&response.head)),
        (400, vec!["inner"])
    );
    assert_eq!(take(&seen), ["inner GET /text?panic 400"]);
    server.begin_stop();
    server.ended().expect("it stops");
    let mut panics = server.events.try_iter();
    assert!(panics.any(|event| matches!(event, ServerEvent::HandlerPanicked)));
}
