//! A list of things to do, in memory.
//!
//! ```text
//! curl -H 'content-type: application/json' -d '{"text":"buy milk"}' localhost:9000/todos
//! curl -X PATCH -H 'content-type: application/json' -d '{"done":true}' localhost:9000/todos/1
//! curl 'localhost:9000/todos?offset=0&limit=10'
//! curl -i -X DELETE localhost:9000/todos/1
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, patch};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize)]
struct Todo {
    id: u64,
    text: String,
    done: bool,
}

#[derive(Debug, Default)]
struct List {
    last: u64,
    todos: BTreeMap<u64, Todo>,
}

type Shared = Arc<RwLock<List>>;

#[derive(Debug, Deserialize)]
struct Page {
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct New {
    text: String,
}

#[derive(Debug, Deserialize)]
struct Change {
    text: Option<String>,
    done: Option<bool>,
}

async fn list(State(list): State<Shared>, Query(page): Query<Page>) -> Json<Vec<Todo>> {
    let list = list.read().unwrap_or_else(PoisonError::into_inner);
    let limit = page.limit.unwrap_or(usize::MAX);
    let todos = list.todos.values().skip(page.offset).take(limit);
    Json(todos.cloned().collect())
}

async fn create(State(list): State<Shared>, Json(new): Json<New>) -> impl IntoResponse {
    let mut list = list.write().unwrap_or_else(PoisonError::into_inner);
    list.last += 1;
    let todo = Todo {
        id: list.last,
        text: new.text,
        done: false,
    };
    list.todos.insert(todo.id, todo.clone());
    (StatusCode::CREATED, Json(todo))
}

async fn update(
    State(list): State<Shared>,
    Path(id): Path<u64>,
    Json(change): Json<Change>,
) -> Result<Json<Todo>, StatusCode> {
    let mut list = list.write().unwrap_or_else(PoisonError::into_inner);
    let todo = list.todos.get_mut(&id).ok_or(StatusCode::NOT_FOUND)?;
    if let Some(text) = change.text {
        todo.text = text;
    }
    todo.done = change.done.unwrap_or(todo.done);
    Ok(Json(todo.clone()))
}

async fn delete(State(list): State<Shared>, Path(id): Path<u64>) -> StatusCode {
    let mut list = list.write().unwrap_or_else(PoisonError::into_inner);
    match list.todos.remove(&id) {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::NOT_FOUND,
    }
}

pub(crate) fn router() -> Router {
    Router::new()
        .route("/todos", get(list).post(create))
        .route("/todos/{id}", patch(update).delete(delete))
        .with_state(Shared::default())
}
