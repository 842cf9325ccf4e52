//! A function with state: the initializer prepares it, calls on several threads use it, and the pre-stop hook says what
//! becomes of it. `s.yaml` beside it deploys it.

use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use coldstart::{Function, FunctionError, Response, Router, Status};

/// What the calls need and what takes long to make: a table, a model, a connection to a database.
static GREETINGS: OnceLock<Vec<&str>> = OnceLock::new();
static CALLS: AtomicU64 = AtomicU64::new(0);

/// The instance has a processor or two, and the calls wait for others most of the time.
const THREADS: usize = 8;

fn main() -> ExitCode {
    let router = Router::new().get("/{name}", |request| {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let Some(greetings) = GREETINGS.get() else {
            return Response::text("not initialized\n").status(Status::SERVICE_UNAVAILABLE);
        };
        let place = usize::try_from(call).unwrap_or(0) % greetings.len();
        let name = request.parameter("name").unwrap_or_default();
        Response::text(format!("{}, {name}\n", greetings[place]))
    });
    Function::new()
        .http(router)
        .health("/healthz")
        .initializer(|context| {
            context.log("preparing the greetings");
            GREETINGS
                .set(vec!["hello", "welcome", "good day"])
                .map_err(|_| FunctionError::new("they are prepared already"))
        })
        .pre_stop(|context| {
            context.log(format_args!(
                "{} calls were answered",
                CALLS.load(Ordering::Relaxed)
            ));
            Ok(())
        })
        .run_on_threads(THREADS)
}
