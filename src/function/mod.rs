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

/// Does `work` as part of the request with this id: log records that are written meanwhile carry it
/// ([contract §5](crate::contract#5-logs)). For threads of your own; on the loop and on the pool's threads this
/// happens by itself.
pub fn in_request<T>(request_id: &str, work: impl FnOnce() -> T) -> T {
    let _leave = current_request::leave_afterwards();
    let _scope = CurrentRequest::current().named(request_id).enter();
    work()
}
