//! The layers of tower and tower-http that need no runtime, around an axum router.
#![expect(clippy::expect_used, reason = "what a test cannot set up must fail it")]

use core::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, StatusCode};
use axum::routing::{get, post};
use coldstart::{Function, TestRequest};
use coldstart_tower::{Incoming, ServiceHandler};
use loopback::gate::Gate;
use loopback::server::{Running, on_loopback};
use loopback::{Client, PATIENCE, get as get_request};
use tower::buffer::Buffer;
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{Any, CorsLayer};
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;

#[path = "../../tests/loopback/mod.rs"]
mod loopback;

#[test]
fn the_layers_of_tower_http_see_requests_and_responses() {
    let id = HeaderName::from_static("x-request-id");
    let ended = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ended);
    let layers = ServiceBuilder::new()
        .layer(SetRequestIdLayer::new(id.clone(), MakeRequestUuid))
        .layer(TraceLayer::new_for_http().on_eos(()).on_response(
            move |_: &http::Response<_>, _, _: &tracing::Span| {
                counted.fetch_add(1, Ordering::Relaxed);
            },
        ))
        .layer(PropagateRequestIdLayer::new(id))
        .layer(CorsLayer::new().allow_origin(Any))
        .layer(CatchPanicLayer::new())
        .layer(CompressionLayer::new().gzip(true))
        .layer(RequestBodyLimitLayer::new(10));
    let router = Router::new()
        .route("/", get(async || "hello ".repeat(1000)))
        .route(
            "/panic",
            get(async || -> &'static str { panic!("on purpose") }),
        )
        .route("/len", post(async |body: String| body.len().to_string()))
        .layer(layers);
    let mut handler = ServiceHandler::new(router);
    let plain = TestRequest::get("/")
        .header("origin", "http://elsewhere")
        .run_handler(&mut handler);
    assert_eq!(plain.header("access-control-allow-origin"), Some("*"));
    assert_eq!(plain.header("x-request-id").map(str::len), Some(36));
    assert_eq!(plain.text().len(), 6000);
    let packed = TestRequest::get("/")
        .header("accept-encoding", "gzip")
        .run_handler(&mut handler);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let packed = packed.body();
    assert!(
        packed.starts_with(&[0x1f, 0x8b]) && packed.len() < 600,
        "{} bytes",
        packed.len()
    );
    let preflight = TestRequest::new("OPTIONS", "/").header("origin", "http://elsewhere");
    let preflight = preflight.header("access-control-request-method", "GET");
    assert_eq!(preflight.run_handler(&mut handler).status(), 200);
    assert_eq!(
        TestRequest::get("/panic")
            .run_handler(&mut handler)
            .status(),
        500
    );
    let small = TestRequest::post("/len").body("ten bytes!");
    assert_eq!(small.run_handler(&mut handler).text(), "10");
    let large = TestRequest::post("/len").body("eleven bytes");
    assert_eq!(large.run_handler(&mut handler).status(), 413);
    assert!(
        ended.load(Ordering::Relaxed) >= 5,
        "each response is traced"
    );
}

#[test]
fn a_compressed_stream_arrives_piece_by_piece() {
    let gate = Gate::default();
    let opened = gate.clone();
    let router = Router::new().route(
        "/",
        get(async move || {
            let mut pieces = 0_usize;
            let mut waits = Box::pin({
                let gate = gate.clone();
                async move { gate.pass().await }
            });
            let body = tower_stream(move |context| {
                if pieces == 1 && waits.as_mut().poll(context).is_pending() {
                    return core::task::Poll::Pending;
                }
                pieces += 1;
                core::task::Poll::Ready((pieces < 3).then(|| "piece ".repeat(100)))
            });
            Body::new(body)
        }),
    );
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(router));
    let mut client = Client::connect(server.address);
    client.send(get_request("/"));
    client.head().expect("a head");
    assert_eq!(
        client.chunk().expect("a chunk").map(|chunk| chunk.len()),
        Some(600)
    );
    opened.open();
    assert_eq!(
        client.chunk().expect("a chunk").map(|chunk| chunk.len()),
        Some(600)
    );
    assert_eq!(client.chunk().expect("the end"), None);
    server.stop();
}

/// A body of the texts that a function yields.
fn tower_stream(
    mut next: impl FnMut(&mut core::task::Context<'_>) -> core::task::Poll<Option<String>>
    + Send
    + Unpin
    + 'static,
) -> impl http_body::Body<Data = bytes::Bytes, Error = Infallible> + Send + 'static {
    struct Texts<F>(F);
    impl<F> http_body::Body for Texts<F>
    where
        F: FnMut(&mut core::task::Context<'_>) -> core::task::Poll<Option<String>> + Unpin,
    {
        type Data = bytes::Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: core::pin::Pin<&mut Self>,
            context: &mut core::task::Context<'_>,
        ) -> core::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Infallible>>> {
            (self.0)(context).map(|text| Some(Ok(http_body::Frame::data(text?.into()))))
        }
    }
    Texts(move |context: &mut core::task::Context<'_>| next(context))
}

/// A service that works on one request until the gate is opened, and says which it works on.
fn slow(
    gate: &Gate,
    called: std::sync::mpsc::Sender<String>,
) -> impl Service<
    http::Request<Incoming>,
    Response = http::Response<String>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ use<> {
    let gate = gate.clone();
    service_fn(move |request: http::Request<Incoming>| {
        let (gate, called) = (gate.clone(), called.clone());
        async move {
            let path = request.uri().path().to_owned();
            called.send(path.clone()).expect("the test waits");
            gate.pass().await;
            Ok(http::Response::new(path))
        }
    })
}

#[test]
fn more_requests_than_permits_wait_and_none_that_has_left_is_waited_for() {
    let (called_in, called) = channel();
    let gate = Gate::default();
    let service = ServiceBuilder::new()
        .concurrency_limit(1)
        .service(slow(&gate, called_in));
    let function = Function::new().health("/health");
    let handler = function.http_handler(ServiceHandler::new(service));
    let server = Running::start_handler(on_loopback(), handler.handler());
    let mut clients = Vec::new();
    for number in 0..4 {
        let mut client = Client::connect(server.address);
        client.send(get_request("/health") + &get_request(&format!("/{number}")));
        if number != 1 {
            assert_eq!(client.response().text(), "ok\n");
        }
        clients.push(client);
        if number == 0 {
            assert_eq!(called.recv_timeout(PATIENCE).as_deref(), Ok("/0"));
        }
    }
    // One of those that wait leaves: what it has not read resets its connection.
    let gone = clients.remove(1);
    gone.stream().peek(&mut [0]).expect("a response");
    drop(gone);
    for _ in &clients {
        gate.open();
    }
    let responses = clients.iter_mut().map(|client| client.response().text());
    let mut seen: Vec<String> = responses.collect();
    seen.sort();
    assert_eq!(seen, ["/0", "/2", "/3"]);
    server.stop();
}

#[test]
fn load_is_shed_where_a_layer_says_so() {
    let (called_in, called) = channel();
    let gate = Gate::default();
    let service = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(1)
        .service(slow(&gate, called_in));
    let handler = Function::new()
        .http_handler(ServiceHandler::new(service))
        .handler();
    let server = Running::start_handler(on_loopback(), handler);
    let first = Client::connect(server.address);
    first.send(get_request("/first"));
    called.recv_timeout(PATIENCE).expect("it is called");
    let mut second = Client::connect(server.address);
    let shed = second.request(get_request("/second"));
    assert_eq!((shed.status, shed.field("x-fc-status")), (500, Some("404")));
    gate.open();
    server.stop();
}

#[test]
fn a_buffer_s_worker_is_a_task_of_the_loop() {
    let worker_to_spawn = Arc::new(Mutex::new(None));
    let service = service_fn(async |request: Request| {
        Ok::<_, tower::BoxError>(http::Response::new(request.uri().path().to_owned()))
    });
    let (buffer, worker) = Buffer::pair(
        service.map_request(|request: http::Request<Incoming>| request.map(Body::new)),
        4,
    );
    worker_to_spawn.lock().expect("no panic").replace(worker);
    let spawning = Arc::clone(&worker_to_spawn);
    let service = service_fn(move |request: http::Request<Incoming>| {
        if let Some(worker) = spawning.lock().expect("no panic").take() {
            drop(coldstart::spawn(worker));
        }
        buffer.clone().oneshot(request)
    });
    let mut handler = ServiceHandler::new(service);
    for path in ["/a", "/b"] {
        assert_eq!(
            TestRequest::get(path).run_handler(&mut handler).text(),
            path
        );
    }
}

#[test]
fn an_error_of_a_layer_is_a_response_where_axum_makes_it_one() {
    let layers = ServiceBuilder::new()
        .layer(axum::error_handling::HandleErrorLayer::new(
            async |_: tower::BoxError| StatusCode::SERVICE_UNAVAILABLE,
        ))
        .load_shed()
        .concurrency_limit(1);
    let (called_in, called) = channel();
    let gate = Gate::default();
    let waiting = gate.clone();
    let wait = async move || {
        called_in.send(()).expect("the test waits");
        waiting.pass().await;
    };
    let router = Router::new().route("/", get(wait)).layer(layers);
    // Otherwise axum puts its layers around a route anew for each request.
    let router = router.with_state(());
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(router));
    let mut first = Client::connect(server.address);
    first.send(get_request("/"));
    called.recv_timeout(PATIENCE).expect("it is called");
    let mut second = Client::connect(server.address);
    assert_eq!(second.request(get_request("/")).status, 503);
    gate.open();
    assert_eq!(first.response().status, 200);
    server.stop();
}
