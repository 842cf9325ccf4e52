//! A number for each request, the client's or one of ours, which the handler and the response have.
//!
//! ```text
//! curl -i -H 'x-request-id: mine' localhost:9000/
//! curl -i localhost:9000/
//! ```

use axum::routing::get;
use axum::{Extension, Router};
use tower::ServiceBuilder;
use tower_http::request_id::{
    MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};

async fn which(Extension(id): Extension<RequestId>) -> String {
    let id = id.header_value().to_str().unwrap_or("not ASCII");
    format!("request {id}\n")
}

pub(crate) fn router() -> Router {
    let layers = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(PropagateRequestIdLayer::x_request_id());
    Router::new()
        .route("/", get(which))
        .layer(layers)
        .with_state(())
}
