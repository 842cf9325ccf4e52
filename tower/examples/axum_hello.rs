//! An axum router on coldstart: the same routes, another `main`.
//!
//! ```console
//! $ cargo run -p coldstart-tower --example axum_hello
//! $ curl localhost:9000/hello/you
//! hello, you
//! ```

use std::process::ExitCode;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;

async fn hello(Path(name): Path<String>) -> String {
    format!("hello, {name}\n")
}

fn main() -> ExitCode {
    let router = Router::new()
        .route("/", get(async || "hello\n"))
        .route("/hello/{name}", get(hello));
    // Without state, axum would make its routes anew for each request.
    coldstart_tower::serve(router.with_state(()))
}
