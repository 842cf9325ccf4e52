//! On hyper, as in axum's documentation, on a current-thread runtime of tokio.

#[path = "../ticks/tokio.rs"]
mod ticks;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

pub fn main() {
    let port: u16 = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async move {
        let listener = TcpListener::bind(("0.0.0.0", port)).await.expect("the port is free");
        let listener = listener.tap_io(|socket| {
            let _ = socket.set_nodelay(true);
        });
        axum::serve(listener, peer_axum::router(ticks::ticks)).await.expect("it serves");
    });
}
