//! The shop of `app.rs` on coldstart. `on_hyper.rs` is the `main` that it had on axum's own server.
//!
//! ```text
//! cargo run -p coldstart-tower --example shop --features tokio -- http://localhost:8000 /tmp
//! curl -H 'authorization: Bearer open-sesame' -H 'content-type: application/json' \
//!     -d '{"name":"tea","cents":450}' localhost:9000/products
//! ```

mod app;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let rates = arguments.next().unwrap_or_default();
    let photos = arguments.next().unwrap_or_default();
    coldstart_tower::serve(app::router(rates, photos.into()))
}
