//! Bodies that are streams: one that is made piece by piece, and one that responds to a request's while that arrives.
//!
//! ```text
//! curl -N localhost:9000/numbers/3
//! curl -N -H 'transfer-encoding: chunked' -d 'shout' localhost:9000/loud
//! ```

use core::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::routing::{get, post};
use futures_util::{StreamExt as _, stream};

async fn numbers(Path(last): Path<u32>) -> Body {
    let lines = (1..=last).map(|number| Ok::<_, Infallible>(format!("{number}\n")));
    Body::from_stream(stream::iter(lines))
}

async fn loud(body: Body) -> Body {
    let pieces = body.into_data_stream();
    Body::from_stream(pieces.map(|piece| piece.map(|piece| piece.to_ascii_uppercase())))
}

pub(crate) fn router() -> Router {
    Router::new()
        .route("/numbers/{last}", get(numbers))
        .route("/loud", post(loud))
        .with_state(())
}
