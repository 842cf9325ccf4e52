//! The files of a folder, the second argument, by tower-http: types, ranges, conditions. It reads them with tokio.
//!
//! ```text
//! curl -i -r 0-7 localhost:9000/assets/Cargo.toml
//! curl localhost:9000/no/such/page
//! ```

use axum::Router;
use axum::http::StatusCode;
use tower_http::services::ServeDir;

async fn missing() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "no such page\n")
}

pub(crate) fn router() -> Router {
    Router::new()
        .nest_service("/assets", ServeDir::new(crate::folder()))
        .fallback(missing)
        .with_state(())
}
