//! The function's side of the platform's contract: the only module that knows that there is a platform.

mod builder;
mod call;
mod calls;
#[cfg(feature = "_sim")]
pub(crate) mod check;
mod context;
mod environment;
mod failure;
mod once;
mod record;
mod returned;
mod state;

use std::process::ExitCode;

pub use builder::{Function, NoHttp};
pub use context::{Context, Credentials, OwnedContext};
pub use environment::port_from_environment;
pub use failure::FunctionError;
#[cfg(feature = "log")]
pub use record::log_to_stdout;
pub use returned::IntoFunctionResult;
pub use state::{State, StateKind};

use crate::current_request::{self, CurrentRequest};
use crate::handler::into_handler::IntoHandler;
use crate::output;
use crate::server::Server;
use crate::server::start_error::StartError;

/// Serves with a function, a [`Router`](crate::Router) or another [`Handler`](crate::Handler) on `0.0.0.0` and the platform's port
/// until SIGTERM, and returns the exit status of the process: 0 after a stop, else that of the [`StartError`], which is printed on
/// stderr.
///
/// ```no_run
/// use coldstart::{Request, Response};
///
/// fn hello(request: &Request<'_>) -> Response {
///     Response::text(format!("hello from {}\n", request.path()))
/// }
///
/// fn main() -> std::process::ExitCode {
///     coldstart::serve(hello)
/// }
/// ```
pub fn serve<Kind>(handler: impl IntoHandler<Kind>) -> ExitCode {
    let handler = handler.into_handler();
    exit_code(
        port_from_environment().and_then(|port| Server::new().port(port).run_handler(handler)),
    )
}

/// The exit status of a server that has ended; an error is printed on stderr in one line.
///
/// ```
/// use std::process::ExitCode;
///
/// use coldstart::function::exit_code;
/// use coldstart::server::StartError;
///
/// assert_eq!(exit_code(Ok(())), ExitCode::SUCCESS);
/// let mistake = StartError::InvalidPort { source: "PORT".to_owned(), value: "http".to_owned() };
/// // On stderr: coldstart: PORT is "http", which is not a port; give a number from 1 to 65535
/// assert_eq!(exit_code(Err(mistake)), ExitCode::from(78));
/// ```
pub fn exit_code(outcome: Result<(), StartError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One write, so that no other output gets into the line. If stderr is closed, the exit status remains.
            output::STDERR.write(format!("coldstart: {error}\n").as_bytes());
            ExitCode::from(&error)
        }
    }
}

/// Runs `work` as part of the request with this id: log records that are written meanwhile carry it
/// ([contract §5](crate::contract#5-logs)). For threads of your own; on the loop and on the pool's threads this
/// happens by itself.
///
/// ```
/// use coldstart::function::in_request;
/// use coldstart::handler::Outcome;
/// use coldstart::{Context, Request, TestRequest};
///
/// fn slow(request: &Request<'_>) -> Outcome {
///     let id = Context::new(request.head()).request_id().unwrap_or("none").to_owned();
///     let (outcome, reply) = Outcome::promised();
///     std::thread::spawn(move || {
///         // What `report` logs has the id of the request.
///         let report = || "done\n";
///         reply.complete(in_request(&id, report));
///     });
///     outcome
/// }
///
/// assert_eq!(TestRequest::get("/").run(slow).text(), "done\n");
/// ```
pub fn in_request<T>(request_id: &str, work: impl FnOnce() -> T) -> T {
    let _leave = current_request::leave_afterwards();
    let _scope = CurrentRequest::current().named(request_id).enter();
    work()
}
