//! An HTML form and what it sends.
//!
//! ```text
//! curl localhost:9000/
//! curl -d name=Ada --data-urlencode 'email=ada@example.com' localhost:9000/
//! ```

use axum::response::Html;
use axum::routing::get;
use axum::{Form, Router};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Subscriber {
    name: String,
    email: String,
}

const PAGE: &str = r#"<!doctype html>
<form method="post">
<label>Name <input name="name"></label>
<label>E-mail <input name="email" type="email"></label>
<button>Subscribe</button>
</form>
"#;

async fn subscribe(Form(subscriber): Form<Subscriber>) -> String {
    format!("{} gets mail at {}\n", subscriber.name, subscriber.email)
}

pub(crate) fn router() -> Router {
    Router::new()
        .route("/", get(async || Html(PAGE)).post(subscribe))
        .with_state(())
}
