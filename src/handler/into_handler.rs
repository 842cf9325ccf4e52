//! What `serve` takes: a function, or a handler.

use crate::message::request::Request;

use super::outcome::IntoOutcome;
use super::{FunctionHandler, Handler};

/// What [`serve`](crate::serve) and [`main!`](crate::main) take: a function or closure from `&Request<'_>` to what a
/// [`Router`](crate::Router)'s functions may return, or a [`Handler`] such as a router.
///
/// `Kind` is inferred. A closure needs the type of its parameter, `|request: &Request<'_>|`: the compiler cannot infer it from a bound
/// that handlers meet as well. [`Server::run`](crate::Server::run) takes closures without it.
///
/// ```no_run
/// use coldstart::Router;
///
/// fn main() -> std::process::ExitCode {
///     coldstart::serve(Router::new().get("/", |_| "hello\n"))
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler, nor a function that can be one",
    label = "expected a function or closure from `&Request<'_>`, or a `Router`",
    note = "write a function as `fn hello(request: &Request<'_>) -> Response`",
    note = "write a closure with the type of its parameter: `|request: &Request<'_>| …`",
    note = "it returns a response, text, `Status`, `Json`, a tuple, `Option` or `Result` of these, or a future of one: see `IntoResponse`",
    note = "an async function cannot borrow the request: write `|request: &Request<'_>| load(request.to_owned())`"
)]
pub trait IntoHandler<Kind> {
    /// The handler.
    fn into_handler(self) -> impl Handler;
}

/// The kind of [`IntoHandler`] that is a [`Handler`] itself.
#[derive(Debug)]
#[non_exhaustive]
pub enum Itself {}

impl<H: Handler> IntoHandler<Itself> for H {
    fn into_handler(self) -> impl Handler {
        self
    }
}

/// The kind of [`IntoHandler`] that is a function; `Kind` is that of what it returns.
impl<F, R, Kind> IntoHandler<(Kind,)> for F
where
    F: FnMut(&Request<'_>) -> R,
    R: IntoOutcome<Kind>,
{
    fn into_handler(self) -> impl Handler {
        FunctionHandler::new(self)
    }
}
