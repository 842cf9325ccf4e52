//! A REST API over a database in a file, with its tests.
//!
//! ```console
//! $ cargo run --example todos --features form,json,log -- :memory:
//! $ curl localhost:9000/todos --json '{"title":"milk"}'
//! {"id":1,"title":"milk","done":false}
//! $ curl -X PATCH localhost:9000/todos/1 --json '{"done":true}'
//! {"id":1,"title":"milk","done":true}
//! $ curl 'localhost:9000/todos?done=true&limit=10'
//! {"todos":[{"id":1,"title":"milk","done":true}],"next":null}
//! $ curl -X DELETE -w '%{http_code}\n' localhost:9000/todos/1
//! 204
//! $ curl localhost:9000/todos/1
//! {"error":"there is no such todo"}
//! ```
//!
//! With a path in place of `:memory:`, such as `/mnt/todos.db`, the database is that file; without, it is `/tmp/todos.db`. The
//! `next` of a page is the `after` of the one that follows.
#![expect(
    clippy::needless_pass_by_value,
    reason = "handlers get the state by value"
)]

use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coldstart::handler::{IntoResponse, StateRouter};
use coldstart::message::{Json, Rejection};
use coldstart::{Function, Request, Response, Router, Status};
use rusqlite::{Connection, ErrorCode, Row, params};
use serde::{Deserialize, Serialize};

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS todos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL UNIQUE,
    done BOOLEAN NOT NULL
)";
const LIMIT_MAX: u32 = 100;
const TITLE_LEN_MAX: usize = 200;

#[derive(Serialize)]
struct Todo {
    id: i64,
    title: String,
    done: bool,
}

#[derive(Serialize)]
struct Page {
    todos: Vec<Todo>,
    /// The id to go on after, if there are more.
    next: Option<i64>,
}

#[derive(Deserialize)]
struct Selection {
    #[serde(default)]
    after: i64,
    limit: Option<u32>,
    done: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTodo {
    title: String,
    #[serde(default)]
    done: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    title: Option<String>,
    done: Option<bool>,
}

impl Todo {
    fn from_row(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            id: row.get("id")?,
            title: row.get("title")?,
            done: row.get("done")?,
        })
    }
}

fn list(request: &Request<'_>, todos: Todos) -> Result<Json<Page>, Failure> {
    let selection: Selection = request.parse_query()?;
    let limit = selection.limit.unwrap_or(LIMIT_MAX);
    if limit == 0 || limit > LIMIT_MAX {
        return Err(Failure::Invalid("limit must be from 1 to 100"));
    }
    let database = todos.lock();
    let mut statement = database.prepare(
        "SELECT id, title, done FROM todos WHERE id > ?1 AND (?2 IS NULL OR done = ?2)
         ORDER BY id LIMIT ?3",
    )?;
    // One more than wanted shows whether there is a next page.
    let asked = params![selection.after, selection.done, limit + 1];
    let found = statement.query_map(asked, Todo::from_row)?;
    let mut todos = found.collect::<Result<Vec<_>, _>>()?;
    let has_more = todos.len() > limit as usize;
    todos.truncate(limit as usize);
    let next = todos.last().filter(|_| has_more).map(|todo| todo.id);
    Ok(Json(Page { todos, next }))
}

fn create(request: &Request<'_>, todos: Todos) -> Result<Response, Failure> {
    let new: NewTodo = request.json()?;
    let todo = todos.lock().query_row(
        "INSERT INTO todos (title, done) VALUES (?1, ?2) RETURNING id, title, done",
        params![valid(&new.title)?, new.done],
        Todo::from_row,
    )?;
    let response = Response::json(&todo).status(Status::CREATED);
    Ok(response.header("location", format!("/todos/{}", todo.id)))
}

fn read(request: &Request<'_>, todos: Todos) -> Result<Json<Todo>, Failure> {
    let id: i64 = request.parse_parameter("id")?;
    let select = "SELECT id, title, done FROM todos WHERE id = ?1";
    let todo = todos.lock().query_row(select, [id], Todo::from_row)?;
    Ok(Json(todo))
}

fn update(request: &Request<'_>, todos: Todos) -> Result<Json<Todo>, Failure> {
    let id: i64 = request.parse_parameter("id")?;
    let change: Change = request.json()?;
    let title = change.title.as_deref().map(valid).transpose()?;
    let todo = todos.lock().query_row(
        "UPDATE todos SET title = COALESCE(?2, title), done = COALESCE(?3, done) WHERE id = ?1
         RETURNING id, title, done",
        params![id, title, change.done],
        Todo::from_row,
    )?;
    Ok(Json(todo))
}

fn delete(request: &Request<'_>, todos: Todos) -> Result<Status, Failure> {
    let id: i64 = request.parse_parameter("id")?;
    let delete = "DELETE FROM todos WHERE id = ?1 RETURNING id";
    todos.lock().query_row(delete, [id], |_| Ok(()))?;
    Ok(Status::NO_CONTENT)
}

fn valid(title: &str) -> Result<&str, Failure> {
    match title.trim() {
        "" => Err(Failure::Invalid("the title is empty")),
        title if title.len() > TITLE_LEN_MAX => Err(Failure::Invalid("the title is too long")),
        title => Ok(title),
    }
}

/// Why there is no todo, as its client sees it.
enum Failure {
    NotFound,
    TitleTaken,
    Invalid(&'static str),
    Rejected(Rejection),
    Database(rusqlite::Error),
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match (&error, error.sqlite_error_code()) {
            (rusqlite::Error::QueryReturnedNoRows, _) => Self::NotFound,
            (_, Some(ErrorCode::ConstraintViolation)) => Self::TitleTaken,
            _ => Self::Database(error),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::NotFound => (Status::NOT_FOUND, "there is no such todo".to_owned()),
            Self::TitleTaken => (Status::CONFLICT, "another todo has this title".to_owned()),
            Self::Invalid(why) => (Status::UNPROCESSABLE_CONTENT, why.to_owned()),
            Self::Rejected(rejection) => (rejection.status(), rejection.to_string()),
            Self::Database(error) => {
                log::error!("the database: {error}");
                (
                    Status::INTERNAL_SERVER_ERROR,
                    "the database failed".to_owned(),
                )
            }
        };
        (status, Json(serde_json::json!({ "error": error }))).into_response()
    }
}

/// The database, which all clones share.
#[derive(Clone)]
struct Todos(Arc<Mutex<Connection>>);

impl Todos {
    fn open(database: Connection) -> Result<Self, rusqlite::Error> {
        database.execute_batch(SCHEMA)?;
        Ok(Self(Arc::new(Mutex::new(database))))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic leaves a connection as it was: each statement is a transaction.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn router(todos: Todos) -> StateRouter<Todos> {
    Router::new()
        .with_state(todos)
        .get("/todos", list)
        .post("/todos", create)
        .get("/todos/{id}", read)
        .patch("/todos/{id}", update)
        .delete("/todos/{id}", delete)
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    coldstart::function::log_to_stdout();
    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "/tmp/todos.db".to_owned());
    let todos = Todos::open(Connection::open(path)?)?;
    // SQLite waits for the disk, so requests run on a thread beside the loop: one, as the connection takes one at a time.
    Ok(Function::new()
        .http_handler(router(todos))
        .run_on_threads(1))
}

#[cfg(test)]
mod tests {
    use super::{Connection, LIMIT_MAX, StateRouter, TITLE_LEN_MAX, Todos, router};
    use coldstart::TestRequest;

    fn todos() -> StateRouter<Todos> {
        let memory = Connection::open_in_memory().expect("a database in memory");
        router(Todos::open(memory).expect("a table"))
    }

    /// The status and the body.
    fn ask(
        router: &mut StateRouter<Todos>,
        method: &str,
        target: &str,
        json: &str,
    ) -> (u16, String) {
        let request = TestRequest::new(method, target).header("content-type", "application/json");
        let response = request.body(json).run_handler(router);
        (response.status().code(), response.text())
    }

    #[test]
    fn a_todo_is_created_read_changed_and_deleted() {
        let todos = &mut todos();
        let request = TestRequest::post("/todos").header("content-type", "application/json");
        let created = request.body(r#"{"title":" milk "}"#).run_handler(todos);
        assert_eq!(created.status(), 201);
        assert_eq!(created.header("location"), Some("/todos/1"));
        let milk = r#"{"id":1,"title":"milk","done":false}"#;
        assert_eq!(created.text(), milk);
        assert_eq!(ask(todos, "GET", "/todos/1", ""), (200, milk.into()));
        for (change, json) in [
            (r#"{"done":true}"#, r#"{"id":1,"title":"milk","done":true}"#),
            (
                r#"{"title":"tea"}"#,
                r#"{"id":1,"title":"tea","done":true}"#,
            ),
            ("{}", r#"{"id":1,"title":"tea","done":true}"#),
        ] {
            assert_eq!(ask(todos, "PATCH", "/todos/1", change), (200, json.into()));
        }
        assert_eq!(ask(todos, "DELETE", "/todos/1", ""), (204, String::new()));
        let gone = (404, r#"{"error":"there is no such todo"}"#.into());
        assert_eq!(ask(todos, "DELETE", "/todos/1", ""), gone);
        assert_eq!(ask(todos, "GET", "/todos/1", ""), gone);
        assert_eq!(ask(todos, "PATCH", "/todos/1", "{}"), gone);
        // The id of what was deleted is not used again.
        let next = ask(todos, "POST", "/todos", r#"{"title":"milk","done":true}"#);
        assert_eq!(next, (201, r#"{"id":2,"title":"milk","done":true}"#.into()));
    }

    #[test]
    fn pages_go_on_where_the_one_before_has_ended() {
        let todos = &mut todos();
        for number in 1..=5 {
            let json = format!(r#"{{"title":"{number}","done":{}}}"#, number % 2 == 0);
            assert_eq!(ask(todos, "POST", "/todos", &json).0, 201);
        }
        let mut page = |query: &str| {
            let (status, json) = ask(todos, "GET", &format!("/todos{query}"), "");
            assert_eq!(status, 200, "{json}");
            let page: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            let ids = page["todos"].as_array().expect("a list").iter();
            let ids: Vec<i64> = ids
                .map(|todo| todo["id"].as_i64().expect("an id"))
                .collect();
            (ids, page["next"].as_i64())
        };
        assert_eq!(page(""), (vec![1, 2, 3, 4, 5], None));
        assert_eq!(page("?limit=2"), (vec![1, 2], Some(2)));
        assert_eq!(page("?limit=2&after=2"), (vec![3, 4], Some(4)));
        assert_eq!(page("?limit=2&after=4"), (vec![5], None));
        assert_eq!(page("?limit=5"), (vec![1, 2, 3, 4, 5], None));
        assert_eq!(page("?done=true&limit=1"), (vec![2], Some(2)));
        assert_eq!(page("?done=false&after=1"), (vec![3, 5], None));
        assert_eq!(page("?after=5"), (vec![], None));
    }

    #[test]
    fn what_is_wrong_has_a_status_and_a_reason_and_changes_nothing() {
        let todos = &mut todos();
        for title in ["milk", "tea"] {
            let json = format!(r#"{{"title":"{title}"}}"#);
            assert_eq!(ask(todos, "POST", "/todos", &json).0, 201);
        }
        let long = format!(r#"{{"title":"{}"}}"#, "a".repeat(TITLE_LEN_MAX + 1));
        let beyond = format!("/todos?limit={}", LIMIT_MAX + 1);
        for (method, target, json, status, why) in [
            (
                "POST",
                "/todos",
                r#"{"title":"milk"}"#,
                409,
                "another todo has this title",
            ),
            (
                "PATCH",
                "/todos/2",
                r#"{"title":"milk"}"#,
                409,
                "another todo has this title",
            ),
            (
                "POST",
                "/todos",
                r#"{"title":"  "}"#,
                422,
                "the title is empty",
            ),
            ("PATCH", "/todos/2", &long, 422, "the title is too long"),
            (
                "POST",
                "/todos",
                r#"{"done":true}"#,
                422,
                "missing field `title`",
            ),
            (
                "POST",
                "/todos",
                r#"{"title":"a","id":7}"#,
                422,
                "unknown field `id`",
            ),
            ("POST", "/todos", r#"{"title"#, 400, "the body is not JSON"),
            ("GET", "/todos/x", "", 400, "invalid digit"),
            ("GET", "/todos?limit=x", "", 400, "the query is not valid"),
            ("GET", "/todos?limit=0", "", 422, "from 1 to 100"),
            ("GET", &beyond, "", 422, "from 1 to 100"),
        ] {
            let (was, said) = ask(todos, method, target, json);
            assert_eq!(was, status, "{method} {target} {json}: {said}");
            let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
            let said = said["error"].as_str().expect("a text");
            assert!(said.contains(why), "{method} {target}: {said}");
        }
        let request = TestRequest::post("/todos").body(r#"{"title":"a"}"#);
        assert_eq!(request.run_handler(todos).status(), 415);
        assert_eq!(ask(todos, "PUT", "/todos/1", "{}").0, 405);
        let both = r#"{"todos":[{"id":1,"title":"milk","done":false},{"id":2,"title":"tea","done":false}],"next":null}"#;
        assert_eq!(ask(todos, "GET", "/todos", ""), (200, both.into()));
    }

    #[test]
    fn a_database_that_fails_is_not_shown() {
        let memory = Connection::open_in_memory().expect("a database in memory");
        let todos = Todos::open(memory).expect("a table");
        let drop_table = todos.lock().execute_batch("DROP TABLE todos");
        drop_table.expect("there is a table");
        let said = ask(&mut router(todos), "GET", "/todos", "");
        assert_eq!(said, (500, r#"{"error":"the database failed"}"#.into()));
    }
}
