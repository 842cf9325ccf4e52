//! The shop of `app.rs` on axum's own server, as it was before: what the tests compare `main.rs` with.

mod app;

use std::io::Write as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let rates = arguments.next().unwrap_or_default();
    let photos = arguments.next().unwrap_or_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    writeln!(std::io::stderr(), "listening on {address}")?;
    axum::serve(listener, app::router(rates, photos.into())).await
}
