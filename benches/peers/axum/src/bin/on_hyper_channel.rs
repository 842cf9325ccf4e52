//! Events that a task, or a thread, sends through a channel, on hyper as in `on_hyper.rs`. By itself, so that the application's size
//! and start are without the channel.

use std::convert::Infallible;

use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use futures_util::stream::{Stream, unfold};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver, channel};

/// As many as in `benches/support/streams.rs`.
const BURST: usize = 2000;
/// As many as wait in 64 KiB of ours.
const WAITING_MAX: usize = 1024;

type Item = Result<Event, Infallible>;

fn stream(receiver: Receiver<Item>) -> Sse<impl Stream<Item = Item>> {
    Sse::new(unfold(receiver, async |mut receiver| receiver.recv().await.map(|item| (item, receiver))))
}

async fn from_a_task() -> Sse<impl Stream<Item = Item>> {
    let (sender, receiver) = channel(WAITING_MAX);
    tokio::spawn(async move {
        for _ in 0..BURST {
            if sender.send(Ok(Event::default().data("@"))).await.is_err() {
                return;
            }
        }
    });
    stream(receiver)
}

async fn from_a_thread() -> Sse<impl Stream<Item = Item>> {
    let (sender, receiver) = channel(WAITING_MAX);
    std::thread::spawn(move || {
        for _ in 0..BURST {
            if sender.blocking_send(Ok(Event::default().data("@"))).is_err() {
                return;
            }
        }
    });
    stream(receiver)
}

pub fn main() {
    let port: u16 = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async move {
        let listener = TcpListener::bind(("0.0.0.0", port)).await.expect("the port is free");
        let listener = listener.tap_io(|socket| {
            let _ = socket.set_nodelay(true);
        });
        let router = Router::new().route("/burst", get(from_a_task)).route("/thread", get(from_a_thread));
        axum::serve(listener, router).await.expect("it serves");
    });
}
