//! The feature `tokio`: what needs a runtime finds one, on the loop's thread and off it.
#![expect(clippy::disallowed_methods, reason = "a test may start a thread")]

use core::time::Duration;
use std::sync::mpsc::{Sender, channel};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use coldstart::TestRequest;
use coldstart_tower::ServiceHandler;
use loopback::gate::Dropped;
use loopback::server::{Running, on_loopback};
use loopback::{Client, PATIENCE, get as get_request, pattern};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Handle;
use tower::ServiceBuilder;
use tower_http::services::ServeDir;

#[path = "../../tests/loopback/mod.rs"]
mod loopback;

#[test]
fn timers_and_tasks_of_tokio_run() {
    let router = Router::new()
        .route(
            "/sleep",
            get(async || {
                tokio::time::sleep(Duration::from_millis(5)).await;
                "slept"
            }),
        )
        .route(
            "/spawn",
            get(async || {
                let task = tokio::spawn(async {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    std::thread::current().name().map(str::to_owned)
                });
                format!("{:?}", task.await.expect("no panic"))
            }),
        )
        .route(
            "/blocking",
            get(async || {
                tokio::task::spawn_blocking(|| "on a thread")
                    .await
                    .expect("no panic")
            }),
        )
        .route(
            "/late",
            get(async || {
                tokio::time::timeout(Duration::from_millis(1), core::future::pending::<()>())
                    .await
                    .is_err()
                    .to_string()
            }),
        );
    let mut handler = ServiceHandler::new(router.with_state(()));
    for (path, text) in [
        ("/sleep", "slept"),
        ("/spawn", "Some(\"tokio\")"),
        ("/blocking", "on a thread"),
        ("/late", "true"),
    ] {
        assert_eq!(
            TestRequest::get(path).run_handler(&mut handler).text(),
            text
        );
    }
}

#[test]
fn layers_with_timers_work() {
    let service = ServiceBuilder::new()
        .timeout(Duration::from_millis(5))
        .service(tower::service_fn(
            async |_: http::Request<coldstart_tower::Incoming>| {
                core::future::pending::<()>().await;
                Ok::<_, tower::BoxError>(http::Response::new(String::new()))
            },
        ));
    let response = TestRequest::get("/").run_handler(&mut ServiceHandler::new(service));
    assert_eq!(response.status(), 500);
}

#[test]
fn sockets_and_http_clients_of_tokio_work() {
    let (echoed_in, echoed) = channel();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let echo = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let copied = std::io::copy(&mut stream.try_clone().expect("a socket"), &mut stream);
        echoed_in.send(copied.is_ok())
    });
    let backend = Running::start(on_loopback(), |request| {
        format!("backend has {}", request.path())
    });
    let (client, url) = (
        reqwest::Client::new(),
        format!("http://{}/there", backend.address),
    );
    let router = Router::new()
        .route(
            "/client",
            get(async move || {
                client
                    .get(url)
                    .send()
                    .await
                    .expect("a response")
                    .text()
                    .await
                    .expect("a text")
            }),
        )
        .route(
            "/socket",
            get(async move || {
                let mut stream = tokio::net::TcpStream::connect(echo)
                    .await
                    .expect("it listens");
                stream.write_all(b"echo").await.expect("written");
                stream.shutdown().await.expect("ended");
                let mut text = String::new();
                stream.read_to_string(&mut text).await.expect("read");
                text
            }),
        );
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(router.with_state(())));
    let mut client = Client::connect(server.address);
    assert_eq!(
        client.request(get_request("/client")).text(),
        "backend has /there"
    );
    assert_eq!(client.request(get_request("/socket")).text(), "echo");
    assert_eq!(echoed.recv_timeout(PATIENCE), Ok(true));
    server.stop();
    backend.stop();
}

#[test]
fn a_folder_is_served_by_tower_http() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("served");
    std::fs::create_dir_all(&folder).expect("a folder");
    let content = pattern(1_000_000);
    std::fs::write(folder.join("file.bin"), &content).expect("a file");
    let router = Router::new().fallback_service(ServeDir::new(&folder));
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(router.with_state(())));
    let mut client = Client::connect(server.address);
    let response = client.request(get_request("/file.bin"));
    assert_eq!(response.field("content-length"), Some("1000000"));
    assert!(response.body == content, "the file arrives whole");
    assert_eq!(client.request(get_request("/nowhere")).status, 404);
    server.stop();
}

#[test]
fn the_end_of_the_last_handler_ends_the_runtime_and_its_tasks() {
    let (dropped_in, dropped) = channel();
    let router = Router::new().route(
        "/",
        get(async move || {
            let kept = Dropped(dropped_in.clone());
            tokio::spawn(async move {
                core::future::pending::<()>().await;
                drop(kept);
            });
            "spawned"
        }),
    );
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(router.with_state(())));
    assert_eq!(
        Client::connect(server.address)
            .request(get_request("/"))
            .text(),
        "spawned"
    );
    server.stop();
    // Another test of this process may hold the runtime for as long as it runs.
    dropped.recv_timeout(PATIENCE).expect("the task is dropped");
}

enum Life {
    Begun,
    /// Whether in the runtime.
    Dropped(bool),
}

/// What needs the runtime when it is dropped, as a pooled connection that spawns its return to the pool.
struct Pooled(Sender<Life>);

impl Pooled {
    fn new(lives: &Sender<Life>) -> Self {
        drop(lives.send(Life::Begun));
        Self(lives.clone())
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let is_in_runtime = Handle::try_current().is_ok();
        drop(self.0.send(Life::Dropped(is_in_runtime)));
    }
}

#[test]
fn what_a_peer_leaves_behind_is_dropped_in_the_runtime() {
    let (lives_in, lives) = channel();
    let futures = lives_in.clone();
    let router = Router::new()
        .route(
            "/future",
            get(async move || {
                let kept = Pooled::new(&futures);
                core::future::pending::<()>().await;
                drop(kept);
            }),
        )
        .route(
            "/body",
            get(async move || {
                let kept = Pooled::new(&lives_in);
                let chunks = futures_util::stream::repeat_with(move || {
                    let _ = &kept;
                    Ok::<_, core::convert::Infallible>("more ")
                });
                Body::from_stream(chunks)
            }),
        )
        .route("/", get(async || "before"));
    let handler = ServiceHandler::new(router.with_state(()));
    let server = Running::start_handler(on_loopback(), handler);
    for path in ["/future", "/body"] {
        let client = Client::connect(server.address);
        client.send(get_request("/") + &get_request(path));
        let begun = lives.recv_timeout(PATIENCE).expect("it is called");
        assert!(matches!(begun, Life::Begun), "{path}");
        // What it has not read resets the connection.
        client.stream().peek(&mut [0]).expect("a response");
        drop(client);
        let ended = lives.recv_timeout(PATIENCE).expect("it is dropped");
        assert!(matches!(ended, Life::Dropped(true)), "{path}");
    }
    server.stop();
}
