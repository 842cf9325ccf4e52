//! The files of a folder as responses: types, validators, ranges, and variants that are compressed already. Feature `files`.

mod conditions;
mod encoding;
mod range;

use core::fmt::Write as _;
use core::time::Duration;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::handler::router::Router;
use crate::message::body::Body;
use crate::message::headers::HeaderValue;
use crate::message::request::{Head, Request};
use crate::message::response::{Response, Status};
use crate::os::clock;

use conditions::{Validators, Verdict};
use encoding::Coding;
use range::Range;

/// A directory whose name begins with a dot, and that is public all the same (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// The files under one folder.
///
/// | the request | the response |
/// | --- | --- |
/// | a regular file | 200 with its type, `ETag`, `Last-Modified`, `Accept-Ranges` |
/// | `Range` with one range | 206, or 416 (RFC 9110 §14); several ranges get all of the file |
/// | `If-None-Match`, `If-Modified-Since`, `If-Match`, `If-Unmodified-Since`, `If-Range` | 304, 412 or the file (RFC 9110 §13) |
/// | a folder | its `index.html`; without a slash at the end, 308 to the same with one |
/// | anything else | 404 |
///
/// No path leads out of the folder: not by `..`, not by an encoded slash, not by a symbolic link. Names that begin with a dot are
/// hidden, but for `.well-known`. FIFOs, sockets and devices are not found, and nothing waits for them.
///
/// A file is sent as the peer takes it, as [`Body::file`](crate::Body::file) is. That is done on the loop: a slow disk stops it.
///
/// ```no_run
/// use coldstart::Router;
/// use coldstart::handler::Files;
///
/// # fn main() -> std::io::Result<()> {
/// let router = Router::new()
///     .get("/hello", |_| "Hello, World!")
///     .files("/static", Files::new("public")?.cache_control("max-age=3600"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Files {
    /// Without symbolic links.
    root: PathBuf,
    variants: Variants,
    cache_control: Option<HeaderValue>,
}

/// Whether there are compressed variants beside the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variants {
    Ignored,
    Precompressed,
}

impl Router {
    /// Adds the files of a folder for GET and HEAD: `files("/static", ..)` has `/static/a/b.css` for its `a/b.css`.
    ///
    /// ```no_run
    /// use coldstart::Router;
    /// use coldstart::handler::Files;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let pages = Files::new("public")?.precompressed().cache_control("max-age=3600");
    /// let router = Router::new().get("/api", |_| "hello\n").files("/", pages);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Their pattern is `/static/{*path}`. A route for another method in the same place has to have that pattern as well: a more
    /// specific one, such as `/static/{name}`, is all that is asked for its paths, and has no GET.
    ///
    /// ```
    /// use coldstart::handler::Files;
    /// use coldstart::{Router, Status, TestRequest};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let mut router = Router::new()
    ///     .files("/notes", Files::new(std::env::temp_dir())?)
    ///     .put("/notes/{*path}", |_| Status::CREATED);
    /// assert_eq!(TestRequest::new("PUT", "/notes/a").run_handler(&mut router).status(), 201);
    /// assert_eq!(TestRequest::get("/notes/no-such-note").run_handler(&mut router).status(), 404);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// As [`route`](Self::route).
    #[must_use]
    pub fn files(self, prefix: &str, files: Files) -> Self {
        let pattern = format!("{}/{{*path}}", prefix.trim_end_matches('/'));
        self.get(&pattern, move |request| {
            files.respond(request, &request.parameter("path").unwrap_or_default())
        })
    }
}

impl Files {
    /// The files under `root`, a path of this machine.
    ///
    /// # Errors
    ///
    /// `root` is not there, or is not a folder. The error names it.
    pub fn new(root: impl AsRef<Path>) -> io::Result<Self> {
        let root = root.as_ref();
        let named = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("the folder {}: {error}", root.display()),
            )
        };
        let real = fs::canonicalize(root).map_err(named)?;
        if !fs::metadata(&real).map_err(named)?.is_dir() {
            return Err(named(io::ErrorKind::NotADirectory.into()));
        }
        Ok(Self {
            root: real,
            variants: Variants::Ignored,
            cache_control: None,
        })
    }

    /// Sends `a.css.br`, `a.css.zst` or `a.css.gz` in place of `a.css` to clients that accept that coding, where there is such a
    /// file.
    ///
    /// ```
    /// use coldstart::handler::Files;
    /// use coldstart::{Router, TestRequest};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let folder = std::env::temp_dir().join(format!("coldstart-precompressed-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// std::fs::write(folder.join("a.css"), "a { color: red }")?;
    /// std::fs::write(folder.join("a.css.br"), "as brotli would have it")?;
    /// let mut router = Router::new().files("/static", Files::new(&folder)?.precompressed());
    /// let get = TestRequest::get("/static/a.css").header("accept-encoding", "br");
    /// assert_eq!(get.run_handler(&mut router).header("content-encoding"), Some("br"));
    /// # std::fs::remove_dir_all(folder)
    /// # }
    /// ```
    #[must_use]
    pub const fn precompressed(mut self) -> Self {
        self.variants = Variants::Precompressed;
        self
    }

    /// The value of `Cache-Control` in responses with a file, and in 304.
    #[must_use]
    pub fn cache_control(mut self, value: impl Into<HeaderValue>) -> Self {
        self.cache_control = Some(value.into());
        self
    }

    /// The response to a request for a file. `path` is relative to the folder, and percent-decoded.
    ///
    /// ```
    /// use coldstart::handler::Files;
    /// use coldstart::{Router, TestRequest};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # let root = folder.path();
    /// # std::fs::write(root.join("7.txt"), "seven")?;
    /// let files = Files::new(root)?;
    /// // The files of one pattern, by names that are not their paths.
    /// let mut router = Router::new().get("/notes/{id}", move |request| {
    ///     files.respond(request, &format!("{}.txt", request.parameter("id").unwrap_or_default()))
    /// });
    /// let response = TestRequest::get("/notes/7").run_handler(&mut router);
    /// assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
    /// assert_eq!(response.text(), "seven");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn respond(&self, request: &Request<'_>, path: &str) -> Response {
        let Some(relative) = relative(path) else {
            return not_found();
        };
        let mut place = self.root.join(relative);
        let mut opened = self.open(&place);
        if matches!(&opened, Ok(found) if found.metadata.is_dir()) {
            if !path.is_empty() && !path.ends_with('/') {
                return with_slash(request.path());
            }
            place.push("index.html");
            opened = self.open(&place);
        } else if path.ends_with('/') {
            return not_found();
        }
        match opened {
            Ok(found) if found.metadata.is_file() => self.send(request.head(), found, &place),
            Ok(_) => not_found(),
            Err(error) => failed(&error),
        }
    }

    fn send(&self, head: Head<'_>, found: Found, place: &Path) -> Response {
        let found = self.variant(head, place).unwrap_or(found);
        let validators = found.validators();
        let len = found.metadata.len();
        let mut response = match conditions::verdict(head, &validators) {
            Verdict::Failed => return Response::new(Status::PRECONDITION_FAILED),
            Verdict::NotModified => Response::new(Status::NOT_MODIFIED),
            Verdict::Whole => found.response(0..len, place),
            Verdict::Range(header) => match Range::of(header, len) {
                Range::All => found.response(0..len, place),
                Range::Part(part) => {
                    let last = part.end.saturating_sub(1);
                    let range = format!("bytes {}-{last}/{len}", part.start);
                    found
                        .response(part, place)
                        .header("Content-Range", range)
                        .status(Status::PARTIAL_CONTENT)
                }
                Range::Unsatisfiable => {
                    return Response::new(Status::RANGE_NOT_SATISFIABLE)
                        .header("Content-Range", format!("bytes */{len}"));
                }
            },
        };
        response = response.header("ETag", validators.etag);
        if let Some(date) = validators.modified {
            response = response.header("Last-Modified", httpdate::fmt_http_date(date));
        }
        if let Some(value) = &self.cache_control {
            response = response.header("Cache-Control", value.clone());
        }
        if self.variants == Variants::Precompressed {
            response = response.header("Vary", "Accept-Encoding");
        }
        response.header("Accept-Ranges", "bytes")
    }

    /// The compressed file that the client prefers, if there is one.
    fn variant(&self, head: Head<'_>, place: &Path) -> Option<Found> {
        if self.variants == Variants::Ignored {
            return None;
        }
        encoding::accepted(head).into_iter().find_map(|coding| {
            let mut name = place.as_os_str().to_owned();
            name.push(coding.extension());
            let mut found = self.open(Path::new(&name)).ok()?;
            found.coding = Some(coding);
            found.metadata.is_file().then_some(found)
        })
    }

    /// Opens a file or a folder, without waiting for the other end of a FIFO. Whether it is inside the root is asked of what was
    /// opened: no link can be changed in between.
    fn open(&self, place: &Path) -> io::Result<Found> {
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(place)?;
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        let real = fs::read_link(link).or_else(|_| fs::canonicalize(place))?;
        if !real.starts_with(&self.root) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Found {
            metadata: file.metadata()?,
            file,
            coding: None,
        })
    }
}

/// What was opened.
struct Found {
    file: File,
    metadata: Metadata,
    /// How the file is compressed, if it stands for another one.
    coding: Option<Coding>,
}

impl Found {
    fn validators(&self) -> Validators {
        let (seconds, nanoseconds) = (self.metadata.mtime(), self.metadata.mtime_nsec());
        let mut etag = format!("\"{seconds:x}-{nanoseconds:x}-{:x}", self.metadata.len());
        if let Some(coding) = self.coding {
            let _ = write!(etag, "-{}", coding.name());
        }
        etag.push('"');
        let seconds = u64::try_from(seconds).ok();
        // RFC 9110 §8.8.2.1: a date in the future is not sent.
        let seconds = seconds.filter(|seconds| *seconds <= clock::since_1970().as_secs());
        let modified = seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        Validators { etag, modified }
    }

    /// `place` is the file that was asked for.
    fn response(self, part: core::ops::Range<u64>, place: &Path) -> Response {
        let response = Response::new(Status::OK)
            .content_type(content_type(place))
            .body(Body::file(self.file, part));
        match self.coding {
            Some(coding) => response.header("Content-Encoding", coding.name()),
            None => response,
        }
    }
}

/// The path below the folder; `None` if no file may have it.
fn relative(path: &str) -> Option<PathBuf> {
    let mut relative = PathBuf::new();
    let path = path.strip_suffix('/').unwrap_or(path);
    for segment in path.split('/').filter(|_| !path.is_empty()) {
        let is_hidden = segment.starts_with('.') && segment != WELL_KNOWN;
        if segment.is_empty() || is_hidden || segment.contains(['\0', '\\']) {
            return None;
        }
        relative.push(segment);
    }
    Some(relative)
}

/// The type by the name's extension; texts are taken to be UTF-8.
fn content_type(place: &Path) -> String {
    let guessed = mime_guess::from_path(place).first_or_octet_stream();
    let mut name = guessed.essence_str().to_owned();
    if name.starts_with("text/") {
        name.push_str("; charset=utf-8");
    }
    name
}

/// Redirects to the same path with a slash, by its last segment: whatever the path is, this cannot lead to another host.
fn with_slash(path: &str) -> Response {
    let (_, last) = path.rsplit_once('/').unwrap_or_default();
    Response::new(Status::PERMANENT_REDIRECT).header("Location", format!("./{last}/"))
}

fn not_found() -> Response {
    Response::text("Not Found\n").status(Status::NOT_FOUND)
}

fn failed(error: &io::Error) -> Response {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => {
            Response::new(Status::SERVICE_UNAVAILABLE).header("Retry-After", "1")
        }
        _ => not_found(),
    }
}

#[cfg(test)]
mod tests {
    use super::{PathBuf, relative};

    #[test]
    fn a_path_stays_below_its_folder() {
        for (path, expected) in [
            ("", Some("")),
            ("/", Some("")),
            ("a", Some("a")),
            ("a/", Some("a")),
            ("a/b.css", Some("a/b.css")),
            (".well-known/x", Some(".well-known/x")),
            ("..", None),
            ("../a", None),
            ("a/../b", None),
            ("a/./b", None),
            (".git/config", None),
            ("a/.env", None),
            ("a//b", None),
            ("//etc/passwd", None),
            ("/etc/passwd", None),
            ("a\0b", None),
            ("a\\..\\b", None),
        ] {
            assert_eq!(relative(path), expected.map(PathBuf::from), "{path:?}");
        }
    }
}
