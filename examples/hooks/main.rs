//! A function with state: the initializer prepares it, calls on several threads use it, and the pre-stop hook reports on
//! it. Deploy it with the `s.yaml` next to it.

use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use coldstart::function::FunctionError;
use coldstart::{Function, Response, Router, Status};

/// State that the calls need and that is slow to set up: a table, a model, a database connection.
static GREETINGS: OnceLock<Vec<&str>> = OnceLock::new();
static CALLS: AtomicU64 = AtomicU64::new(0);

/// More than the instance has cores: the calls spend most of their time waiting.
const THREADS: usize = 8;

fn main() -> ExitCode {
    let router = Router::new().get("/{name}", |request| {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let Some(greetings) = GREETINGS.get() else {
            return Response::text("not initialized\n").status(Status::SERVICE_UNAVAILABLE);
        };
        let index = usize::try_from(call).unwrap_or(0) % greetings.len();
        let name = request.parameter("name").unwrap_or_default();
        Response::text(format!("{}, {name}\n", greetings[index]))
    });
    Function::new()
        .http_handler(router)
        .health("/healthz")
        .initializer(|context| {
            context.log("preparing the greetings");
            GREETINGS
                .set(vec!["hello", "welcome", "good day"])
                .map_err(|_| FunctionError::new("the greetings are prepared already"))
        })
        .pre_stop(|context| {
            context.log(format_args!(
                "served {} calls",
                CALLS.load(Ordering::Relaxed)
            ));
            Ok(())
        })
        .run_on_threads(THREADS)
}
