//! Routes: parameters, a query, state that all requests share, a folder of routes, and what becomes of all other requests.
//!
//! ```console
//! $ cargo run --example router
//! $ curl localhost:9000/hello/Ada
//! hello, Ada: you are caller 1
//! $ curl 'localhost:9000/hello/Grace?loud'
//! HELLO, GRACE: YOU ARE CALLER 2
//! $ curl localhost:9000/admin/callers
//! 2
//! $ curl -X DELETE -w '%{http_code}, allowed: %header{allow}\n' localhost:9000/admin/callers
//! 405, allowed: GET, HEAD, OPTIONS
//! $ curl localhost:9000/bye
//! nothing is at /bye
//! ```
#![expect(
    clippy::needless_pass_by_value,
    reason = "handlers get the state by value"
)]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coldstart::{Function, Request, Router, Status};

/// How many callers were greeted. All requests share it.
type Callers = Arc<AtomicU64>;

fn hello(request: &Request<'_>, callers: Callers) -> String {
    let name = request.parameter("name").unwrap_or_default();
    let number = callers.fetch_add(1, Ordering::Relaxed) + 1;
    let greeting = format!("hello, {name}: you are caller {number}\n");
    match request.query() {
        Some("loud") => greeting.to_uppercase(),
        Some(_) | None => greeting,
    }
}

/// Routes of their own, which another router takes in below a path.
fn admin(callers: Callers) -> Router {
    Router::new()
        .with_state(callers)
        .get("/callers", |_, callers| {
            format!("{}\n", callers.load(Ordering::Relaxed))
        })
        .into()
}

fn router() -> Router {
    let callers = Callers::default();
    Router::new()
        .with_state(Arc::clone(&callers))
        .get("/hello/{name}", hello)
        .nest("/admin", admin(callers))
        .fallback(|request, _| {
            let path = request.path();
            (Status::NOT_FOUND, format!("nothing is at {path}\n"))
        })
        .into()
}

fn main() -> ExitCode {
    Function::new().http_handler(router()).run()
}
