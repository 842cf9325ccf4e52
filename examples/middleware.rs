//! Middleware: authentication, CORS, request ids, an access log, and a time-out.
//!
//! Try `curl -i -H 'authorization: Bearer open sesame' localhost:9000/slow`.
#![expect(
    clippy::disallowed_methods,
    reason = "a clock is read to measure, and not in a test"
)]

use core::time::Duration;
use std::process::ExitCode;
use std::time::Instant;

use coldstart::function::Context;
use coldstart::handler::{IntoResponse, Next, Outcome};
use coldstart::message::Head;
use coldstart::{Function, Handler, Request, Response, Router, Status, sleep, timeout};

/// How long a request may take if the platform does not say so.
const TIME_MAX: Duration = Duration::from_secs(60);

/// Lets pages of any origin call, and responds to a browser that asks whether its page may.
fn cors(head: &Head<'_>) -> Next {
    let allow = |response: Response| response.header("access-control-allow-origin", "*");
    if head.method() == "OPTIONS" && head.header("access-control-request-method").is_some() {
        let response = Response::new(Status::NO_CONTENT)
            .header("access-control-allow-methods", "GET, POST")
            .header("access-control-allow-headers", "authorization");
        return Next::respond(allow(response));
    }
    Next::on_response(allow)
}

/// Only callers that know the key get through.
fn only_with_key(head: &Head<'_>) -> Next {
    if head.header("authorization") == Some("Bearer open sesame") {
        return Next::handle();
    }
    let field = [("www-authenticate", "Bearer")];
    Next::respond((Status::UNAUTHORIZED, field, "who are you?\n"))
}

/// Tells the caller the platform's id of its request.
fn request_id(head: &Head<'_>) -> Next {
    let id = Context::new(*head)
        .request_id()
        .unwrap_or("none")
        .to_owned();
    Next::on_response(|response| response.header("x-request-id", id))
}

/// Logs a line for each response.
fn access_log(head: &Head<'_>) -> Next {
    let (began_at, line) = (
        Instant::now(),
        format!("{} {}", head.method(), head.target()),
    );
    let context = Context::new(*head).to_owned();
    Next::on_response(move |response| {
        let (status, time) = (response.head().status(), began_at.elapsed());
        context
            .as_context()
            .log(format_args!("{line} {status} {time:?}"));
        response
    })
}

/// Ends an async handler at the platform's deadline, in time to say so.
fn in_time<F>(handler: impl Fn(&Request<'_>) -> F) -> impl Fn(&Request<'_>) -> Outcome
where
    F: Future<Output: IntoResponse> + 'static,
{
    move |request| {
        let deadline = Context::new(request.head()).deadline();
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let response = timeout(left.unwrap_or(TIME_MAX).mul_f32(0.9), handler(request));
        let late = (Status::GATEWAY_TIMEOUT, "it takes too long\n");
        Outcome::future(async move { response.await.map_err(|_| late.into_response()) })
    }
}

pub(crate) fn function() -> Function<impl Handler> {
    let router = Router::new()
        .get("/", |_| "hello\n")
        .get("/slow", in_time(|_| sleep(Duration::from_secs(5))))
        // The last one is the outermost.
        .with(only_with_key)
        .with(cors)
        .with(request_id)
        .with(access_log);
    Function::new().http_handler(router)
}

fn main() -> ExitCode {
    function().run()
}
