//! Uploads of any size to a folder, the second argument: the files of a form, or a request's body.
//!
//! ```text
//! curl -F file=@Cargo.toml localhost:9000/
//! curl -T Cargo.lock localhost:9000/file/Cargo.lock
//! ```

use std::fs::File;
use std::io::Write as _;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::multipart::MultipartError;
use axum::extract::{DefaultBodyLimit, Multipart, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use http_body_util::BodyExt as _;
use tower_http::limit::RequestBodyLimitLayer;

const BODY_LEN_MAX: usize = 4 * 1024 * 1024 * 1024;

type Folder = Arc<FilePath>;

enum Refusal {
    Name(String),
    Form(MultipartError),
    Body(axum::Error),
    File(std::io::Error),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Name(name) => {
                let why = format!("no name of a file: {name:?}\n");
                (StatusCode::UNPROCESSABLE_ENTITY, why).into_response()
            }
            Self::Form(error) => error.into_response(),
            Self::Body(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
            Self::File(error) => {
                let why = format!("the file is not stored: {error}\n");
                (StatusCode::INTERNAL_SERVER_ERROR, why).into_response()
            }
        }
    }
}

impl From<MultipartError> for Refusal {
    fn from(error: MultipartError) -> Self {
        Self::Form(error)
    }
}

impl From<axum::Error> for Refusal {
    fn from(error: axum::Error) -> Self {
        Self::Body(error)
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::File(error)
    }
}

/// Where a file of this name is stored: in the folder itself.
fn place(folder: &FilePath, name: &str) -> Result<PathBuf, Refusal> {
    let mut parts = FilePath::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(std::path::Component::Normal(only)), None) if only == name => Ok(folder.join(only)),
        _ => Err(Refusal::Name(name.to_owned())),
    }
}

async fn form(State(folder): State<Folder>, mut form: Multipart) -> Result<String, Refusal> {
    let mut stored = String::new();
    while let Some(mut field) = form.next_field().await? {
        let Some(name) = field.file_name().map(str::to_owned) else {
            continue;
        };
        let mut file = File::create(place(&folder, &name)?)?;
        let mut len = 0;
        while let Some(piece) = field.chunk().await? {
            file.write_all(&piece)?;
            len += piece.len();
        }
        stored += &format!("{name}: {len} bytes\n");
    }
    Ok(stored)
}

async fn whole(
    State(folder): State<Folder>,
    Path(name): Path<String>,
    mut body: Body,
) -> Result<(StatusCode, String), Refusal> {
    let mut file = File::create(place(&folder, &name)?)?;
    let mut len = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame?.into_data() {
            file.write_all(&piece)?;
            len += piece.len();
        }
    }
    Ok((StatusCode::CREATED, format!("{name}: {len} bytes\n")))
}

pub(crate) fn router() -> Router {
    Router::new()
        .route("/", post(form))
        .route("/file/{name}", put(whole))
        // axum's own bound is 2 MB.
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(BODY_LEN_MAX))
        .with_state(Folder::from(crate::folder()))
}
