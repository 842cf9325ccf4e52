//! axum routers: extractors, responses, methods, bodies, and what is in a request's extensions.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "what a test cannot set up must fail it, and a server has a thread of its own"
)]

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::{get, post};
use axum::{Extension, Form, Json, Router};
use coldstart::handler::WebSocket;
use coldstart::server::ServerEvent;
use coldstart::{Function, Handler, TestRequest};
use coldstart_tower::{RequestContext, ServiceHandler};
use loopback::server::{Running, on_loopback};
use loopback::{Client, get as get_request, pattern, post as post_request};
use serde_json::{Value, json};
use std::collections::HashMap;

#[path = "../../tests/loopback/mod.rs"]
mod loopback;

#[derive(Clone)]
struct Shop {
    name: &'static str,
}

fn router() -> Router {
    let things = Router::new().route(
        "/{id}",
        get(async |Path(id): Path<u32>, State(shop): State<Shop>| format!("{id} of {}", shop.name))
            .delete(async || StatusCode::NO_CONTENT),
    );
    Router::new()
        .nest("/things", things)
        .route(
            "/json",
            post(async |Json(value): Json<Value>| Json(json!({ "got": value }))),
        )
        .route(
            "/form",
            post(async |Form(form): Form<HashMap<String, String>>| format!("{:?}", form.get("a"))),
        )
        .route(
            "/query",
            get(async |Query(query): Query<HashMap<String, String>>| {
                format!("{:?}", query.get("a"))
            }),
        )
        .route(
            "/cookies",
            get(async || {
                let mut fields = HeaderMap::new();
                for cookie in ["a=1", "b=2"] {
                    fields.append(header::SET_COOKIE, cookie.parse().expect("a value"));
                }
                (fields, "set").into_response()
            }),
        )
        .route("/moved", get(async || Redirect::to("/things/7")))
        .route("/unchanged", get(async || StatusCode::NOT_MODIFIED))
        .route(
            "/panic",
            get(async || -> &'static str { panic!("on purpose") }),
        )
        .route(
            "/len",
            post(async |body: axum::body::Bytes| format!("{} bytes", body.len())),
        )
        .with_state(Shop { name: "here" })
}

fn handler() -> ServiceHandler<Router> {
    ServiceHandler::new(router())
}

#[test]
fn routes_extractors_and_responses_work_as_they_are() {
    for (request, status, text) in [
        (TestRequest::get("/things/7"), 200, "7 of here"),
        (
            TestRequest::get("/things/x"),
            400,
            "Invalid URL: Cannot parse `x` to a `u32`",
        ),
        (TestRequest::new("DELETE", "/things/7"), 204, ""),
        (TestRequest::post("/things/7"), 405, ""),
        (TestRequest::get("/nowhere"), 404, ""),
        (
            TestRequest::post("/json")
                .header("content-type", "application/json")
                .body("[1]"),
            200,
            r#"{"got":[1]}"#,
        ),
        (
            TestRequest::post("/json").body("[1]"),
            415,
            "Expected request with `Content-Type: application/json`",
        ),
        (
            TestRequest::post("/form")
                .header("content-type", "application/x-www-form-urlencoded")
                .body("a=b"),
            200,
            "Some(\"b\")",
        ),
        (TestRequest::get("/query?a=%20b"), 200, "Some(\" b\")"),
        (
            TestRequest::post("/len")
                .header("transfer-encoding", "chunked")
                .body("3\r\nabc\r\n0\r\n\r\n"),
            200,
            "3 bytes",
        ),
    ] {
        let response = request.run_handler(&mut handler());
        assert_eq!(response.status(), status, "{request:?}");
        assert_eq!(response.text(), text, "{request:?}");
    }
    let moved = TestRequest::get("/moved").run_handler(&mut handler());
    assert_eq!(
        (moved.status().code(), moved.header("location")),
        (303, Some("/things/7"))
    );
    let cookies = TestRequest::get("/cookies").run_handler(&mut handler());
    assert_eq!(
        cookies.header_all("set-cookie").collect::<Vec<_>>(),
        ["a=1", "b=2"]
    );
}

#[test]
fn the_framing_is_that_of_the_response_and_nothing_is_left_out() {
    let server = Running::start_handler(on_loopback(), handler());
    let mut client = Client::connect(server.address);
    let response = client.request(get_request("/things/7"));
    assert_eq!(response.field("content-length"), Some("9"));
    assert_eq!(response.text(), "7 of here");
    client.send("HEAD /things/7 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        client.head().expect("a head").field("content-length"),
        Some("9")
    );
    client.send("DELETE /things/7 HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.head().expect("a head");
    assert_eq!(
        (response.status, response.field("content-length")),
        (204, None)
    );
    let response = client.request(get_request("/unchanged"));
    assert_eq!(
        (response.status, response.field("content-length")),
        (304, None)
    );
    let body = pattern(300_000);
    assert_eq!(
        client.request(post_request("/len", &body)).status,
        200,
        "within axum's bound of 2 MB"
    );
    let mut events = server.events.try_iter();
    assert!(!events.any(|event| matches!(event, ServerEvent::FieldsLeftOut(_))));
    server.stop();
}

#[test]
fn a_panic_fails_its_request_alone() {
    let mut function = Function::new().http_handler(handler()).handler();
    let response = TestRequest::get("/things/7").run_handler(&mut function);
    assert_eq!(response.text(), "7 of here");
    let server = Running::start_handler(on_loopback(), handler());
    let mut client = Client::connect(server.address);
    assert_eq!(client.request(get_request("/panic")).status, 500);
    assert_eq!(client.request(get_request("/things/7")).status, 200);
    let mut events = server.events.try_iter();
    assert!(events.any(|event| matches!(event, ServerEvent::HandlerPanicked)));
    server.stop();
}

#[test]
fn the_context_is_in_the_extensions() {
    async fn shown(Extension(context): Extension<RequestContext>) -> String {
        let context = context.as_context();
        format!(
            "{:?} {:?} {}",
            context.request_id(),
            context.timeout(),
            context.deadline().is_some()
        )
    }
    let mut handler = ServiceHandler::new(Router::new().route("/", get(shown).post(shown)));
    let with_fields = |request: TestRequest| {
        let request = request.header("x-fc-request-id", "1-2");
        request.header("x-fc-function-timeout", "3")
    };
    let response = with_fields(TestRequest::get("/")).run_handler(&mut handler);
    assert_eq!(response.text(), "Some(\"1-2\") Some(3s) true");
    // Whether the request is complete or not.
    let chunked = TestRequest::post("/")
        .header("transfer-encoding", "chunked")
        .body("0\r\n\r\n");
    assert_eq!(
        with_fields(chunked).run_handler(&mut handler).text(),
        "Some(\"1-2\") Some(3s) true"
    );
    let response = TestRequest::get("/").run_handler(&mut handler);
    assert_eq!(response.text(), "None None false");
}

#[test]
fn events_and_hooks_stand_beside_a_router() {
    let mut function = Function::new()
        .event(|_, payload| Ok(payload.to_ascii_uppercase()))
        .initializer(|_| Ok(()))
        .http_handler(handler())
        .handler();
    let event = TestRequest::post("/invoke")
        .body("ping")
        .run_handler(&mut function);
    assert_eq!(event.header("x-fc-status"), Some("200"));
    assert_eq!(event.text(), "PING");
    let http = TestRequest::get("/things/7").header("x-fc-control-path", "/http-invoke");
    assert_eq!(http.run_handler(&mut function).text(), "7 of here");
    let hook = TestRequest::post("/initialize").header("x-fc-control-path", "/initialize");
    assert_eq!(hook.run_handler(&mut function).status(), 200);
}

#[test]
fn each_worker_has_a_clone_of_the_router() {
    fn serves<H: Handler + Clone + Send + 'static>(_: &H) {}
    serves(&handler());
    let bound = on_loopback().workers(2).bind().expect("a free port");
    let (address, stopper) = (bound.local_address(), bound.stopper());
    let running = std::thread::spawn(move || bound.run_handler(handler()));
    for _ in 0..8 {
        assert_eq!(
            Client::connect(address)
                .request(get_request("/things/7"))
                .text(),
            "7 of here"
        );
    }
    stopper.stop();
    running.join().expect("no panic").expect("it stops");
}

#[test]
fn an_upgrade_is_not_taken_and_a_tunnel_is_refused() {
    let server = Running::start_handler(on_loopback(), handler());
    let mut client = Client::connect(server.address);
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let response =
        client.request(get_request("/things/7").trim_end().to_owned() + "\r\n" + upgrade);
    assert_eq!(
        (response.status, response.text()),
        (200, "7 of here".to_owned())
    );
    let tunnel = client.request("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
    assert_eq!(tunnel.status, 501);
    server.stop();
}

#[test]
fn a_web_socket_stays_in_front_of_a_router() {
    let router = Router::new().route("/", get(async || "routed"));
    // As in `README.md`.
    let front = coldstart::Router::new()
        .accept("GET", "/ws", |head| {
            WebSocket::accept(head, async |mut socket| {
                while let Some(message) = socket.read().await? {
                    socket.send(message).await?;
                }
                Ok(())
            })
        })
        .fallback_handler(ServiceHandler::new(router.with_state(())));
    let server = Running::start_handler(on_loopback(), front);
    let mut client = Client::connect(server.address);
    assert_eq!(client.request(get_request("/")).text(), "routed");
    assert_eq!(client.request(get_request("/ws")).status, 426);
    client.send(
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(client.head().expect("a response").status, 101);
    // A text of two bytes, masked with zeros (RFC 6455 §5.2), and its echo.
    client.send(b"\x81\x82\0\0\0\0hi");
    let mut echo = [0; 4];
    client.read_exact(&mut echo);
    assert_eq!(&echo, b"\x81\x02hi");
    drop(client);
    server.stop();
}
