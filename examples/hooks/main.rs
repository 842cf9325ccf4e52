//! A function with state: the initializer prepares it on a thread, calls use it, and the pre-stop hook reports on it. Deploy it
//! with the `s.yaml` next to it.
//!
//! ```console
//! $ cargo run --example hooks
//! $ curl -X POST localhost:9000/initialize
//! $ curl localhost:9000/Ada
//! hello, Ada
//! $ curl localhost:9000/Grace
//! welcome, Grace
//! $ curl localhost:9000/pre-stop
//! ```

use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use coldstart::function::FunctionError;
use coldstart::handler::Blocking;
use coldstart::{Function, Response, Router, Status};

/// State that the calls need and that is slow to set up: a table, a model, a database connection.
static GREETINGS: OnceLock<Vec<&str>> = OnceLock::new();
static CALLS: AtomicU64 = AtomicU64::new(0);

/// What is slow to set up: it may block its thread.
fn prepare() -> Vec<&'static str> {
    vec!["hello", "welcome", "good day"]
}

fn main() -> ExitCode {
    let threads = Blocking::threads(1);
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
        .initializer(move |context| {
            context.log("preparing the greetings");
            // Meanwhile the loop responds to health checks.
            let greetings = threads.run(prepare);
            async move {
                let greetings = greetings.await?;
                GREETINGS
                    .set(greetings)
                    .map_err(|_| FunctionError::new("the greetings are prepared already"))
            }
        })
        .pre_stop(|context| {
            context.log(format_args!(
                "served {} calls",
                CALLS.load(Ordering::Relaxed)
            ));
            Ok(())
        })
        .run()
}
