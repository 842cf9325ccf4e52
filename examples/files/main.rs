//! Uploads of any size, stored as they arrive, and their downloads.
//!
//! ```console
//! $ cargo run --example files --features files,json -- $(mktemp -d)
//! $ curl -F file=@Cargo.toml -F file=@Cargo.lock localhost:9000/files
//! ["Cargo.toml","Cargo.lock"]
//! $ curl -r 0-10 localhost:9000/files/Cargo.toml
//! [workspace]
//! $ curl -o /dev/null -w '%{http_code}\n' localhost:9000/files/none
//! 404
//! ```
//!
//! `curl localhost:9000/files` prints the names. The folder is one that exists, such as `/mnt/files`, and `/tmp` by default.
#![expect(clippy::needless_pass_by_value, reason = "for map_err")]

use std::error::Error;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

use coldstart::handler::{Blocking, Files};
use coldstart::message::{Head, Incoming, IncomingError};
use coldstart::{Function, Response, Router, Status};
use futures_util::stream;
use tempfile::NamedTempFile;

/// The loop does not wait for the disk.
static THREADS: LazyLock<Blocking> = LazyLock::new(|| Blocking::threads(4));

/// Stores each part under the name that its client gave it. A part that does not arrive whole leaves nothing.
fn upload(
    head: &Head<'_>,
    mut body: Incoming,
    folder: PathBuf,
) -> impl Future<Output = Result<Response, Response>> + use<> {
    let boundary = multer::parse_boundary(head.header("content-type").unwrap_or_default());
    let chunks = stream::poll_fn(move |context| body.poll_chunk(context).map(Result::transpose));
    async move {
        let mut parts = multer::Multipart::new(chunks, boundary.map_err(refuse)?);
        let mut names = Vec::new();
        while let Some(mut part) = parts.next_field().await.map_err(refuse)? {
            let name = part.file_name().filter(|name| is_plain(name));
            let name = name.ok_or(Status::UNPROCESSABLE_CONTENT)?.to_owned();
            let (path, folder) = (folder.join(&name), folder.clone());
            let mut file = THREADS.run(|| NamedTempFile::new_in(folder)).await??;
            while let Some(chunk) = part.chunk().await.map_err(refuse)? {
                let written = THREADS.run(move || file.write_all(&chunk).map(|()| file));
                file = written.await??;
            }
            let stored = THREADS.run(|| file.persist(path).map_err(io::Error::from));
            stored.await??;
            names.push(name);
        }
        Ok(Response::json(&names).status(Status::CREATED))
    }
}

async fn list(folder: PathBuf) -> Result<Response, Response> {
    let entries = THREADS.run(move || folder.read_dir()?.collect::<io::Result<Vec<_>>>());
    let entries = entries.await??.into_iter();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let names: Vec<String> = names.filter(|name| is_plain(name)).collect();
    Ok(Response::json(&names))
}

/// Whether a file may have this name: it is in the folder, and shown.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

fn refuse(error: multer::Error) -> Response {
    if let multer::Error::StreamReadFailed(cause) = &error
        && let Some(cause) = cause.downcast_ref::<IncomingError>()
    {
        return Response::from(*cause); // It is too large, or too slow.
    }
    Response::text(format!("{error}\n")).status(Status::BAD_REQUEST)
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).as_deref().unwrap_or("/tmp"));
    let files = Router::new().files("/files", Files::new(&folder)?);
    let router = files
        .with_state(folder)
        .get("/files", |_, folder| list(folder))
        .post_incoming("/files", upload);
    Ok(Function::new().http_handler(router).run())
}
