//! {{name}}: an axum application. Code that needs tokio, such as reqwest, a database client or `ServeDir`, finds it with the feature
//! `tokio` of coldstart-tower.

use std::process::ExitCode;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Text {
    text: String,
}

#[derive(Serialize)]
struct Counted {
    words: usize,
}

fn router() -> Router {
    Router::new()
        .route("/", get(async || "hello from {{name}}\n"))
        .route("/hello/{name}", get(greet))
        .route("/words", post(count_words))
        .route("/healthz", get(async || "ok\n"))
        .fallback(async || (StatusCode::NOT_FOUND, "no such page\n"))
}

async fn greet(Path(name): Path<String>) -> String {
    format!("hello {name}\n")
}

async fn count_words(Json(Text { text }): Json<Text>) -> Json<Counted> {
    // Log before the response is sent: after it, the platform freezes the process.
    println!("a text of {} bytes", text.len());
    let words = text.split_whitespace().count();
    Json(Counted { words })
}

fn main() -> ExitCode {
    coldstart_tower::serve(router().with_state(()))
}

#[cfg(test)]
mod tests {
    use coldstart::TestRequest;
    use coldstart_tower::ServiceHandler;

    #[test]
    fn words_are_counted() {
        let mut handler = ServiceHandler::new(super::router());
        let request = TestRequest::post("/words").header("content-type", "application/json");
        let response = request
            .body(r#"{"text":"one two"}"#)
            .run_handler(&mut handler);
        assert_eq!(response.text(), r#"{"words":2}"#);
    }
}
