//! Errors as JSON: those of the extractors, and the application's own.
//!
//! ```text
//! curl -H 'content-type: application/json' -d '{"name":"Ada"}' localhost:9000/users
//! curl -H 'content-type: application/json' -d '{"name":""}' localhost:9000/users
//! curl -H 'content-type: application/json' -d '{"name":' localhost:9000/users
//! curl localhost:9000/users/7
//! ```

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Path};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// As axum's extractor, with our own error.
#[derive(Debug)]
struct Valid<T>(T);

impl<T, S> FromRequest<S> for Valid<T>
where
    Json<T>: FromRequest<S, Rejection = JsonRejection>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Problem> {
        let Json(value) = Json::from_request(request, state).await?;
        Ok(Self(value))
    }
}

#[derive(Debug)]
enum Problem {
    Json(JsonRejection),
    NameIsEmpty,
    NoUser(u64),
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::Json(rejection)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, problem) = match self {
            Self::Json(rejection) => (rejection.status(), rejection.body_text()),
            Self::NameIsEmpty => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "a user has a name".to_owned(),
            ),
            Self::NoUser(id) => (
                StatusCode::NOT_FOUND,
                format!("no user has the number {id}"),
            ),
        };
        (status, Json(json!({ "problem": problem }))).into_response()
    }
}

#[derive(Debug, Deserialize, Serialize)]
struct User {
    name: String,
}

async fn create(Valid(user): Valid<User>) -> Result<(StatusCode, Json<User>), Problem> {
    if user.name.is_empty() {
        return Err(Problem::NameIsEmpty);
    }
    Ok((StatusCode::CREATED, Json(user)))
}

async fn read(Path(id): Path<u64>) -> Result<Json<User>, Problem> {
    // This application keeps none.
    Err(Problem::NoUser(id))
}

pub(crate) fn router() -> Router {
    Router::new()
        .route("/users", post(create))
        .route("/users/{id}", get(read))
        .with_state(())
}
